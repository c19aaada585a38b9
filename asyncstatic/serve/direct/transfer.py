"""Large content of the direct lane: from the page cache to the socket, without a copy.

The head leaves by itself: it wakes the client, which then takes and acknowledges the content on
its own core while it is sent. (With MSG_MORE a server pays for that: a third more for 10 MiB, twice
as much for 64 KiB that do not begin at a page.) The file follows by sendfile(2), half a MiB at a
turn, the first at once. What is left goes on, on a duplicate of the socket, whenever the client has
made room: the loop calls `_go_on`, with no task between. Over TLS, where there is no sendfile(2), or
while the transport still has octets of its own to write, pieces go through the transport.

Either way a window of the file is in the page cache before it is sent, so the loop does not wait
for the disk; and the last window is sent only while the file is still what it was.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from enum import Enum, auto
from typing import Protocol, cast

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle
from asyncstatic.http.model import ByteRange, ResponsePlan

WINDOW = 4 * 1024 * 1024
# What one connection sends before it is another's turn. The client takes it meanwhile on its core:
# a server that fills the socket at once, or goes on until it is full, pays twice as much per octet
# (measured with 64 KiB to 4 MiB, and from one to four clients).
TURN = 512 * 1024
PIECE = 256 * 1024


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


class _Waits(Enum):
    """What a transfer waits for."""

    NOTHING = auto()
    CLIENT = auto()
    DISK = auto()


class Transfer:
    """Sends one response whose content is in a file.

    Args:
        client: where to.
        handle: where from; not closed here.
        head: goes first.
        plan: the content.
    """

    def __init__(self, client: Client, handle: Handle, head: bytes, plan: ResponsePlan) -> None:
        self._client = client
        self._handle = handle
        # Of a length that is not known (`Decoded`) nothing comes here.
        self._parts = deque(cast("tuple[bytes | ByteRange, ...]", (head, *plan.content)))
        self._warm_until = 0

    def begin(self, out: socket.socket) -> bool:
        """Send what the socket takes at once; tell whether that was all.

        Raises:
            ContentChangedError, OSError: as `finish`.
        """
        return self._advance(out) is _Waits.NOTHING

    async def finish(self, out: socket.socket | None) -> None:
        """Send what is left, at the client's pace.

        Args:
            out: the connection's duplicate; None to go through the transport.

        Raises:
            ContentChangedError: the file changed; what was sent must not end cleanly.
            OSError: disk or connection failed.
            PoolBusyError: the disk did not answer in time.
        """
        if out is None:
            await self._by_transport()
            return
        waits = self._advance(out)
        while waits is not _Waits.NOTHING:
            if waits is _Waits.DISK:
                await self._warm()
                waits = self._advance(out)
            else:
                waits = await self._paced(out)

    # -- by sendfile(2) --------------------------------------------------------------------

    async def _paced(self, out: socket.socket) -> _Waits:
        """Send whenever the client has made room, until something else is waited for."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[_Waits] = loop.create_future()
        loop.add_writer(out.fileno(), self._go_on, out, ready)
        try:
            return await ready
        finally:
            loop.remove_writer(out.fileno())

    def _go_on(self, out: socket.socket, ready: asyncio.Future[_Waits]) -> None:
        if ready.done():
            return
        self._client.progress()
        try:
            waits = self._advance(out)
        except Exception as error:
            ready.set_exception(error)
            return
        if waits is not _Waits.CLIENT:
            ready.set_result(waits)

    def _advance(self, out: socket.socket) -> _Waits:
        """Send until something has to be waited for, or it is another connection's turn."""
        parts, room = self._parts, TURN
        try:
            while parts and room > 0:
                part = parts[0]
                if isinstance(part, bytes):
                    self._send_octets(out, part)
                elif part.first >= self._warm_until and not self._is_warm(part):
                    return _Waits.DISK
                else:
                    room -= self._send_range(out, part, room)
        except BlockingIOError:
            pass
        return _Waits.CLIENT if parts else _Waits.NOTHING

    def _send_octets(self, out: socket.socket, octets: bytes) -> None:
        rest = octets[out.send(octets) :]
        self._replace(rest or None)

    def _send_range(self, out: socket.socket, part: ByteRange, room: int) -> int:
        if part.last < self._warm_until:
            self._check()
        count = min(self._warm_until - part.first, part.last + 1 - part.first, room)
        sent = kernel.sendfile(out.fileno(), self._handle.fd, part.first, count)
        if not sent:
            raise ContentChangedError("the file became shorter")
        first = part.first + sent
        self._replace(ByteRange(first, part.last) if first <= part.last else None)
        return sent

    def _replace(self, rest: bytes | ByteRange | None) -> None:
        """Put what is left of the part that is being sent in its place."""
        if rest is None:
            self._parts.popleft()
            self._warm_until = 0  # the next range may lie before this one
        else:
            self._parts[0] = rest

    def _is_warm(self, part: ByteRange) -> bool:
        count = min(WINDOW, part.length)
        warm = self._handle.is_warm(part.first, count)
        if warm:
            self._warm_until = part.first + count
        return warm

    async def _warm(self) -> None:
        """Wait for the disk, which has a deadline of its own, in the pool."""
        part = self._parts[0]
        assert isinstance(part, ByteRange)  # noqa: S101 - only a range waits for the disk
        count = min(WINDOW, part.length)
        self._client.hold()
        await self._handle.warm(part.first, count)
        self._client.progress()
        self._warm_until = part.first + count

    # -- by the transport ------------------------------------------------------------------

    async def _by_transport(self) -> None:
        for part in self._parts:
            if isinstance(part, bytes):
                self._client.transport.write(part)
            else:
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
