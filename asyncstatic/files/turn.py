"""One turn of the event loop: what was seen in it is certain until it ends."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncstatic.files.witness import Seen, Witness, are_unchanged


class Turn:
    """The turn that the loop is in, as far as anything is looked at.

    Requests that were waiting together when it began are answered in it: one look at the disk
    serves them all. When the loop has turned, other requests may have come, and files changed.

    Tasks run before the loop listens (uvloop), so what one of them has seen tells nothing about
    requests that are read in the same turn: these begin another.

    Attributes:
        number: differs from turn to turn.
        of_tasks: whether a task has looked first.
    """

    __slots__ = ("_made", "_seen", "number", "of_tasks")

    def __init__(self) -> None:
        self.number = 0
        self.of_tasks = False
        self._seen: Seen = {}
        self._made: list[dict[Any, Any]] = []

    def are_unchanged(self, witnesses: tuple[Witness, ...]) -> bool:
        """Look at witnesses, each once in a turn."""
        if self.of_tasks and asyncio.current_task() is None:
            self._end()
        if not self._seen:
            self.of_tasks = asyncio.current_task() is not None
            asyncio.get_running_loop().call_soon(self._end)
        return are_unchanged(witnesses, self._seen)

    def ends(self, made: dict[Any, Any]) -> None:
        """Clear with its end what was made of what has been seen."""
        self._made.append(made)

    def _end(self) -> None:
        self.number += 1
        self.of_tasks = False
        self._seen.clear()
        while self._made:
            self._made.pop().clear()
