"""The open connections of one worker: their deadlines, and a graceful shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from itertools import chain
from typing import Any, Protocol

from asyncstatic.serve.tcp import in_flight, taken

SWEEP_SECONDS = 0.5
_LAST_SECONDS = 3.0  # for tasks to end after their connections were aborted


class Connection(Protocol):
    """A connection, as far as the registry needs it."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """Its transport; None before it has one."""

    def expire(self, now: float) -> None:
        """Close if a deadline has passed (`loop.time`)."""

    def finish(self) -> None:
        """Close now when idle, else after the response under way."""

    def abort(self) -> None:
        """Close at once."""


class Registry:
    """Watches connections: one timer checks all deadlines, a shutdown closes all.

    Attributes:
        connections: those that are watched, and count towards a limit.
        beginning: those whose first bytes or TLS handshake are not complete.
        closing: whether a shutdown has begun.
    """

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.beginning: set[Connection] = set()
        self._lingering: set[Connection] = set()  # refused, and not closed yet
        self._every = (self.connections, self.beginning, self._lingering)
        self._delivered: dict[Connection, tuple[int, int]] = {}  # and what their clients had taken
        self.closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._sweeping: asyncio.TimerHandle | None = None

    def enter(self, connection: Connection) -> None:
        self._watch(connection, self.connections)

    def begin(self, connection: Connection) -> None:
        """Watch a connection before it has a protocol."""
        self._watch(connection, self.beginning)

    def linger(self, connection: Connection) -> None:
        """Watch a refused connection until it is closed: it counts towards no limit."""
        self._watch(connection, self._lingering)

    def leave(self, connection: Connection) -> None:
        """Watch a connection no more; harmless when it is not watched."""
        for among in self._every:
            among.discard(connection)
        if not any(self._every):
            self._empty.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine, and keep it alive until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Begin a graceful shutdown: idle connections close, others finish their response."""
        self.closing = True
        for connection in (*self.connections, *self.beginning):
            connection.finish()

    async def closed(self, seconds: float) -> None:
        """Wait until all connections are closed, at most so long; then abort the rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(self._every):  # one may be handed over meanwhile
                    await self._empty.wait()
        for connection in tuple(chain(*self._every)):
            connection.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=min(seconds, _LAST_SECONDS))
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _watch(self, connection: Connection, among: set[Connection]) -> None:
        among.add(connection)
        self._empty.clear()
        if self._sweeping is None:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = asyncio.get_running_loop().time()
        for connection in tuple(chain(*self._every)):
            connection.expire(now)
        if self.closing:
            self._end_delivered()
        if any(self._every):
            self._sweep_later()

    def _end_delivered(self) -> None:
        """Abort connections that wait for nothing but the end of TLS by their clients.

        Nobody needs to wait for that (RFC 8446 §6.1), but event loops do so for 30 seconds. A client that
        had everything one sweep ago, and has taken nothing since, has nothing more to take.
        """
        before, self._delivered = self._delivered, {}
        for connection in tuple(self.connections):
            transport = connection.transport
            if transport is None or not transport.is_closing() or in_flight(transport):
                continue
            self._delivered[connection] = so_far = taken(transport)
            if before.get(connection) == so_far:
                connection.abort()
