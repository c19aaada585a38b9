"""The deadline of a connection: for its next head, for the end of that head, for its content."""

from __future__ import annotations

import asyncio
from math import inf

from asyncstatic.serve.tcp import taken

#: The most seconds from the first byte of a request head to its end, however long a connection may
#: be idle: an incomplete head holds memory (slow loris).
HEAD_SECONDS = 5.0
_LINGER_SECONDS = 1.0  # for a client to read the last answer


class Deadline:
    """The deadline of one connection; there is none while the server waits for the disk.

    Args:
        loop: the event loop; its clock counts.
        idle_seconds: seconds that a client may take to begin its next request head; also the most
            that it may take to complete one, if that is less than `HEAD_SECONDS`.
        stalled_seconds: seconds that it may take no content.
    """

    __slots__ = ("_at", "_head_seconds", "_idle_seconds", "_loop", "_stalled_seconds", "_taken")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, idle_seconds: float, stalled_seconds: float
    ) -> None:
        self._loop = loop
        self._idle_seconds = idle_seconds
        self._head_seconds = min(idle_seconds, HEAD_SECONDS)
        self._stalled_seconds = stalled_seconds
        self._at = inf
        self._taken = (0, 0)

    def rest(self, *, head_begun: bool = False) -> None:
        """Give the client `idle_seconds` to begin its next request head, less to complete one."""
        seconds = self._head_seconds if head_begun else self._idle_seconds
        self._at = self._loop.time() + seconds

    def begin_head(self, *, first: bool) -> None:
        """A part of a request head is there. Only the first part begins its time, no later one."""
        end = self._loop.time() + self._head_seconds
        self._at = end if first else min(self._at, end)

    def progress(self) -> None:
        """Content has moved: give the client another while."""
        self._at = self._loop.time() + self._stalled_seconds

    def linger(self) -> None:
        """Give a client a moment to read the last answer and close."""
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
