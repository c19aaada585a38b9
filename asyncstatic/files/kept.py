"""Handles of large content, kept open between requests."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from asyncstatic.files import kernel
from asyncstatic.files.source import Opened
from asyncstatic.files.turn import Turn
from asyncstatic.http.model import Lookup

_IDLE_SECONDS = 0.5
_MOST = 256
_SHARE = 8  # of the handles this process may have, one in so many


class KeptHandles:
    """Open representations, each kept while it is asked for.

    An idle handle would hold the space of a deleted file, and keep its file system busy: it goes
    within two times `_IDLE_SECONDS`. All go when the process is out of handles.

    Args:
        turn: of the loop that uses them.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._most = min(_MOST, kernel.handle_limit() // _SHARE)
        self._kept: OrderedDict[Lookup, Opened] = OrderedDict()
        self._asked: set[Lookup] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # that will look for idle ones

    def get(self, lookup: Lookup) -> Opened | None:
        """Return what is kept, if it is still what it was; its user closes it."""
        entry = self._kept.get(lookup)
        if entry is None:
            return None
        if not self._turn.are_unchanged(entry.witnesses):
            self._close(lookup)
            return None
        self._asked.add(lookup)
        self._kept.move_to_end(lookup)  # the longest unused goes when there are too many
        return _shared(entry)

    def keep(self, lookup: Lookup, opened: Opened) -> None:
        """Keep a representation, which its user closes all the same."""
        if lookup in self._kept:
            self._close(lookup)
        self._kept[lookup] = _shared(opened)
        if len(self._kept) > self._most:
            self._close(next(iter(self._kept)))
        self._asked.add(lookup)
        self._look_later()

    def close_all(self) -> bool:
        """Give all handles back; tell whether there was one."""
        had = bool(self._kept)
        for lookup in tuple(self._kept):
            self._close(lookup)
        return had

    def _close(self, lookup: Lookup) -> None:
        self._kept.pop(lookup).close()

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._kept and self._loop is not loop:
            self._loop = loop
            loop.call_later(_IDLE_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        self._loop = None
        for lookup in self._kept.keys() - self._asked:
            self._close(lookup)
        self._asked.clear()
        self._look_later()


def _shared(opened: Opened) -> Opened:
    """The same once more, with a handle that is closed by itself."""
    handle = opened.handle
    return Opened(
        opened.representation,
        handle=handle.again() if handle is not None else None,
        witnesses=opened.witnesses,
        memo=opened.memo,
    )
