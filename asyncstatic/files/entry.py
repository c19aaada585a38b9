"""One answer that is remembered; it is asked itself whether it still holds."""

from __future__ import annotations

from asyncstatic.files.source import Opened
from asyncstatic.files.turn import Turn
from asyncstatic.files.witness import Witness
from asyncstatic.http.model import Absence


class Entry:
    """What was found, and what tells that it would be found again.

    Args:
        found: a representation in memory; or that there is nothing.
        witnesses: what must be as it was for the same to be found again.
        turn: of the loop that uses it.

    Attributes:
        turn: the same.
        used: since it was last considered.
    """

    __slots__ = ("_found", "_looked_at", "_witnesses", "turn", "used")

    def __init__(self, found: Opened | Absence, witnesses: tuple[Witness, ...], turn: Turn) -> None:
        self._found: Opened | Absence | None = found
        self._witnesses = witnesses
        self._looked_at = -1
        self.turn = turn
        self.used = False

    def recall(self) -> Opened | Absence | None:
        """Return what was found; None if it is forgotten, or no longer so."""
        turn, looked_at = self.turn, self._looked_at
        if looked_at != turn.number or looked_at != turn.now():
            if self._found is None or not turn.are_unchanged(self._witnesses):
                return None
            self._looked_at = turn.number
        self.used = True
        return self._found

    def forget(self) -> None:
        """Let it go, also for those who still have this entry."""
        self._found, self._looked_at = None, -1
