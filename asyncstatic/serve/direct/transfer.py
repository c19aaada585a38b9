"""Large content of the direct lane: from the page cache to the socket, without a copy.

The head leaves with MSG_MORE and the file follows by sendfile(2), on a duplicate of the socket, as
long as nothing waits in the transport's own buffer. Over TLS, or where there is no sendfile(2),
pieces go through the transport. Either way a window of the file is in the page cache
before it is sent, so the loop does not wait for the disk; and the last window is
sent only while the file is still what it was.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Protocol

from asyncstatic.files import kernel
from asyncstatic.files.arena import Copy
from asyncstatic.files.handle import Handle
from asyncstatic.http.model import ByteRange, ResponsePlan

WINDOW = 4 * 1024 * 1024
PIECE = 256 * 1024
_MSG_MORE = getattr(socket, "MSG_MORE", 0)
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def send_copy(sock: int, head: bytes, copy: Copy) -> int:
    """Send a head and content from an arena, as far as the socket takes it now.

    Returns:
        How many octets of both were sent. After an error of the connection that is none more:
        the transport meets the same error and deals with it.
    """
    sent = 0
    with suppress(OSError):
        sent = kernel.send_more(sock, head)
        if sent == len(head):
            sent += kernel.sendfile(sock, copy.fd, copy.offset, copy.length)
    return sent


class ContentChangedError(Exception):
    """The file is no longer what the head promised."""


class Client(Protocol):
    """The connection, as far as a transfer needs it."""

    transport: asyncio.Transport

    def progress(self) -> None:
        """Note that octets moved: the client has another while."""

    def hold(self) -> None:
        """Note that it is not the client that is waited for."""

    async def drained(self) -> None:
        """Wait until the transport takes more."""


class Transfer:
    """Sends one response whose content is in a file.

    Args:
        client: where to.
        handle: where from; not closed here.
    """

    def __init__(self, client: Client, handle: Handle) -> None:
        self._client = client
        self._handle = handle

    async def send(self, head: bytes, plan: ResponsePlan) -> None:
        """Send head and content.

        Raises:
            ContentChangedError: the file changed; what was sent must not end cleanly.
            OSError: disk or connection failed.
            PoolBusyError: the disk did not answer in time.
        """
        transport = self._client.transport
        await asyncio.sleep(0)  # uvloop writes at the end of a turn: let it
        tls = transport.get_extra_info("ssl_object") is not None
        if tls or not kernel.HAS_SENDFILE or transport.get_write_buffer_size():
            await self._by_transport(head, plan)
        else:
            await self._by_kernel(head, plan)

    async def _by_kernel(self, head: bytes, plan: ResponsePlan) -> None:
        original = self._client.transport.get_extra_info("socket")
        out = socket.socket(fileno=kernel.dup(original.fileno()))
        try:
            out.setblocking(False)
            await self._send_octets(out, head)
            for part in plan.content:
                if isinstance(part, bytes):
                    await self._send_octets(out, part)
                elif isinstance(part, ByteRange):
                    await self._send_range(out, part)
            if out.family in _INTERNET:  # what MSG_MORE held back leaves now (tcp(7))
                out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        finally:
            out.close()

    async def _send_octets(self, out: socket.socket, octets: bytes) -> None:
        while octets:
            try:
                octets = octets[out.send(octets, _MSG_MORE) :]
            except BlockingIOError:
                await self._writable(out)

    async def _send_range(self, out: socket.socket, part: ByteRange) -> None:
        offset, end = part.first, part.last + 1
        while offset < end:
            window_end = min(offset + WINDOW, end)
            self._client.hold()
            await self._handle.warm(offset, window_end - offset)
            self._client.progress()
            while offset < window_end:
                if window_end == end:
                    self._check()
                try:
                    sent = kernel.sendfile(
                        out.fileno(), self._handle.fd, offset, window_end - offset
                    )
                except BlockingIOError:
                    await self._writable(out)
                    continue
                if not sent:
                    raise ContentChangedError("the file became shorter")
                offset += sent
            await asyncio.sleep(0)

    async def _writable(self, out: socket.socket) -> None:
        """Wait until the socket takes more; that is the client's progress."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(out.fileno(), _wake, ready)
        try:
            await ready
        finally:
            loop.remove_writer(out.fileno())
        self._client.progress()

    async def _by_transport(self, head: bytes, plan: ResponsePlan) -> None:
        transport = self._client.transport
        transport.write(head)
        for part in plan.content:
            if isinstance(part, bytes):
                transport.write(part)
            elif isinstance(part, ByteRange):
                await self._write_range(part)
            await self._client.drained()

    async def _write_range(self, part: ByteRange) -> None:
        offset, end = part.first, part.last + 1
        while offset < end:
            self._client.hold()
            piece = await self._handle.read(offset, min(PIECE, end - offset))
            if not piece:
                raise ContentChangedError("the file became shorter")
            offset += len(piece)
            if offset == end:
                self._check()
            self._client.transport.write(piece)
            await self._client.drained()

    def _check(self) -> None:
        if self._handle.changed():
            raise ContentChangedError("the file changed while it was sent")


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
