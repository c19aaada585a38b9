"""One turn of the event loop: what was seen in it is certain until it ends."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncstatic.files.witness import Seen, Witness, are_unchanged


class Turn:
    """The turn that the loop is in, as far as anything is looked at.

    Requests that were waiting together when it began are answered in it: one look at the disk
    serves them all. When the loop has turned, other requests may have come, and files changed.

    Attributes:
        number: differs from turn to turn.
        made: what users made of what was seen, for one another; it goes with the turn.
    """

    __slots__ = ("_seen", "made", "number")

    def __init__(self) -> None:
        self.number = 0
        self.made: dict[Any, Any] = {}
        self._seen: Seen = {}

    def are_unchanged(self, witnesses: tuple[Witness, ...]) -> bool:
        """Look at witnesses, each once in a turn."""
        if not self._seen:
            asyncio.get_running_loop().call_soon(self._end)
        return are_unchanged(witnesses, self._seen)

    def _end(self) -> None:
        self.number += 1
        self._seen.clear()
        self.made.clear()
