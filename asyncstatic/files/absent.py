"""Names that are not there: asked for again, one look at a directory tells that they still are not."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from asyncstatic.files import kernel
from asyncstatic.files.entry import Entry
from asyncstatic.files.handle import identity_of
from asyncstatic.files.memory import BoundedDict
from asyncstatic.files.root import Segments
from asyncstatic.files.turn import Turn
from asyncstatic.files.witness import Witness, lasting
from asyncstatic.http.model import Absence

_NAMES = 4096
_DIRECTORIES_TELL = os.name == "posix"
_MOST_CHARACTERS = 256  # of a path; who asks for a longer one seldom asks again


class AbsentNames:
    """What a tree does not have, each with its witness: the last directory on the way to it.

    Nothing can appear under such a name without a change of that directory, which its times show
    (inode(7)). Behind a link that is not so: what is missing there is not remembered, nor what is
    refused, nor what is there but no file.

    Args:
        path: the tree.
        turn: of the loop that asks.
        capacity: names; the older half is forgotten when there are more.
    """

    def __init__(self, path: str, turn: Turn, capacity: int = _NAMES) -> None:
        self._path = path
        self._turn = turn
        self._entries: BoundedDict[Segments, Entry] = BoundedDict(capacity)

    def get(self, segments: Segments) -> Entry | None:
        """Return what tells whether a name that was missing still is."""
        return self._entries.get(segments)

    def forget(self, segments: Segments) -> None:
        """Forget a name of which it is not known any more."""
        self._entries.pop(segments, None)

    def note(self, segments: Segments) -> None:
        """Remember a name that was missing just now, if a directory can tell when it is not.

        Asks the system for each directory on the way, which the lookup has just done too.
        """
        if not _DIRECTORIES_TELL or sum(map(len, segments)) > _MOST_CHARACTERS:
            return
        witness = self._witness(segments)
        if witness is not None and lasting((witness,)):
            self._entries.put(segments, Entry(Absence.MISSING, (witness,), self._turn))

    def _witness(self, segments: Segments) -> Witness | None:
        """The directory that lacks the next name; looked at before the name is, so not too late."""
        path = self._path
        with suppress(OSError):
            status = kernel.stat(path)  # the root may be a link, its witness is what that leads to
            for name in segments:
                if not stat.S_ISDIR(status.st_mode):
                    break
                directory = Witness(path, identity_of(status))
                path = f"{path}/{name}"
                try:
                    status = kernel.lstat(path)
                except FileNotFoundError:
                    return directory
        return None
