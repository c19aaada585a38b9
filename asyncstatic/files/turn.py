"""One turn of the event loop: what was seen in it is certain until it ends."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from asyncstatic.files.witness import Seen, Witness, are_unchanged

_BELIEVED = 0.0005  # seconds: less than it takes to handle 1,024 events


class Turn:
    """The turn that the loop is in, as far as anything is looked at.

    Requests that were waiting together when it began are answered in it: one look at the disk
    serves them all. When the loop has listened again, other requests may have come, and files
    changed. That is so in another turn, and on uvloop also

    * behind tasks, which run before it listens: what one of them has seen tells nothing about
      requests that are read in the same turn;
    * after 1,024 events that came at once: libuv listens again before the turn is over.

    Attributes:
        number: differs from turn to turn.
        of_tasks: whether a task has looked first.
    """

    __slots__ = ("_made", "_seen", "_since", "number", "of_tasks")

    def __init__(self) -> None:
        self.number = 0
        self.of_tasks = False
        self._seen: Seen = {}
        self._since = 0.0
        self._made: list[dict[Any, Any]] = []

    def now(self) -> int:
        """Return the number, after a look whether the loop may have listened again."""
        if self._seen and (
            monotonic() - self._since > _BELIEVED
            or (self.of_tasks and asyncio.current_task() is None)
        ):
            self._end()
        return self.number

    def are_unchanged(self, witnesses: tuple[Witness, ...]) -> bool:
        """Look at witnesses, each once in a turn."""
        self.now()
        if not self._seen:
            self._begin()
        return are_unchanged(witnesses, self._seen)

    def ends(self, made: dict[Any, Any]) -> None:
        """Clear with its end what was made of what has been seen."""
        self._made.append(made)

    def _begin(self) -> None:
        self._since = monotonic()
        self.of_tasks = asyncio.current_task() is not None
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self.number += 1
        self.of_tasks = False
        self._seen.clear()
        while self._made:
            self._made.pop().clear()
