"""Content that is too large for one write, at the client's pace.

What the socket takes leaves at once (`Outgoing`). The rest goes on, on a duplicate of the socket,
whenever the client has made room: the loop calls `_go_on`, with no task between. Over TLS, where
there is no sendfile(2), or while the transport still has octets of its own to write, pieces go
through the transport.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from typing import Protocol

from asyncstatic.files.handle import Handle
from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.direct.outgoing import Outgoing, Waits
from asyncstatic.serve.pieces import Pieces


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
        head: goes first.
        plan: the content.
    """

    def __init__(self, client: Client, handle: Handle, head: bytes, plan: ResponsePlan) -> None:
        self._client = client
        self._handle = handle
        self._head = head
        self._plan = plan
        self._outgoing = Outgoing(handle, head, plan)
        self._waits: Waits | None = None

    def begin(self, out: socket.socket) -> bool:
        """Send what the socket takes at once; tell whether that was all.

        Raises:
            ContentChangedError, OSError: as `finish`.
        """
        self._outgoing.look_ahead()
        self._waits = self._outgoing.send(out)
        return self._waits is Waits.NOTHING

    async def finish(self, out: socket.socket | None) -> None:
        """Send what is left, at the client's pace.

        Args:
            out: the connection's duplicate; None to go through the transport.

        Raises:
            ContentChangedError, TransferAborted: the file changed; what was sent must not end
                cleanly.
            OSError: disk or connection failed.
            PoolBusyError: the disk did not answer in time.
        """
        if self._waits is None and out is None:
            await self._by_transport()
            return
        # What has begun past the transport goes on there, or not at all: never from its head again.
        assert out is not None  # noqa: S101 - the transport has nothing to write meanwhile
        waits = self._waits or self._outgoing.send(out)
        while waits is not Waits.NOTHING:
            if waits is Waits.DISK:
                self._client.hold()
                await self._outgoing.wait_for_disk()
                self._client.progress()
                waits = self._outgoing.send(out)
            else:
                waits = await self._paced(out)

    async def _paced(self, out: socket.socket) -> Waits:
        """Send whenever the client has made room, until something else is waited for."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[Waits] = loop.create_future()
        loop.add_writer(out.fileno(), self._go_on, out, ready)
        try:
            return await ready
        finally:
            loop.remove_writer(out.fileno())

    def _go_on(self, out: socket.socket, ready: asyncio.Future[Waits]) -> None:
        if ready.done():
            return
        try:
            waits = self._outgoing.send(out)
        except Exception as error:
            ready.set_exception(error)
            return
        self._client.progress()
        if waits is not Waits.CLIENT:
            ready.set_result(waits)

    async def _by_transport(self) -> None:
        self._client.transport.write(self._head)
        self._client.hold()  # while the disk is asked
        async with aclosing(aiter(Pieces(self._plan, self._handle))) as pieces:
            async for piece, _ in pieces:
                self._client.transport.write(piece)
                await self._client.drained()
                self._client.hold()
        self._client.progress()
