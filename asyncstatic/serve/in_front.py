"""The mounts in front of a root: names below it that they answer for, instead of the root."""

from __future__ import annotations

from asyncstatic.files.root import Segments
from asyncstatic.http.deny import may_be_below


class MountsInFront:
    """Names below a root that other mounts answer for."""

    def __init__(self) -> None:
        self._names: frozenset[Segments] = frozenset()
        self._closed: frozenset[Segments] = frozenset()

    def add(self, names: Segments, *, closed: bool) -> None:
        """Add a mount, before the first request.

        Args:
            names: its place below the root.
            closed: whether it checks the access of its clients.
        """
        self._names |= {names}
        if closed:
            self._closed |= {names}

    def answer_for(self, segments: Segments) -> bool:
        """Tell whether a mount answers for a name: no zip of the root has it."""
        return segments in self._names or self.may_be_closed(segments)

    def may_be_closed(self, segments: Segments) -> bool:
        """Tell whether a path may open what a closed mount serves, under another spelling.

        Under the same spelling that mount was asked: it has let the client in, and lacks the name.
        """
        return any(
            segments[: len(names)] != names and may_be_below(segments, names)
            for names in self._closed
        )
