"""The deadline of a connection: the next head must be complete, or content must have moved."""

from __future__ import annotations

import asyncio
from math import inf

from asyncstatic.serve.tcp import taken

_LINGER_SECONDS = 1.0  # for a refused client to read why


class Deadline:
    """The deadline of one connection; there is none while the server waits for the disk.

    Args:
        loop: the event loop; its clock counts.
        idle_seconds: seconds that a client may take for its next request head.
        stalled_seconds: seconds that it may take no content.
    """

    __slots__ = ("_at", "_idle_seconds", "_loop", "_stalled_seconds", "_taken")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, idle_seconds: float, stalled_seconds: float
    ) -> None:
        self._loop = loop
        self._idle_seconds = idle_seconds
        self._stalled_seconds = stalled_seconds
        self._at = inf
        self._taken = (0, 0)

    def rest(self) -> None:
        """Give the client `idle_seconds` for its next request head."""
        self._at = self._loop.time() + self._idle_seconds

    def progress(self) -> None:
        """Content has moved: give the client another while."""
        self._at = self._loop.time() + self._stalled_seconds

    def linger(self) -> None:
        """Give a client that was refused a moment to read the answer and close."""
        self._at = self._loop.time() + _LINGER_SECONDS

    def hold(self) -> None:
        """Wait for the disk, which has a deadline of its own: the pool's."""
        self._at = inf

    def has_passed(self, now: float, transport: asyncio.Transport, *, answers: bool) -> bool:
        """Tell whether there was no progress in time (`loop.time`).

        While a response is under way, newly taken bytes count as progress.
        """
        if answers and self._at < inf:
            before, self._taken = self._taken, taken(transport)
            if self._taken != before:
                self.progress()
        return now >= self._at
