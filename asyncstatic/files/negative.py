"""The proof that a name is missing: the stamp of the last directory on the way to it.

Nothing can appear under a missing name without a change of that directory, which its times show
(inode(7)). Names behind symbolic links have no such proof, nor have names that are refused, nor
entries that are no regular files, nor names with a refused sidecar: rewriting a sidecar in place
does not change its directory.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from asyncstatic.files import kernel
from asyncstatic.files.candidates import is_stored
from asyncstatic.files.handle import identity_of
from asyncstatic.files.root import Segments
from asyncstatic.files.witness import Witness, lasting

_DIRECTORY_TIMES_TELL = os.name == "posix"
_LONGEST = 256  # characters of a path that is worth an entry


def proof_of_absence(root: str, segments: Segments) -> tuple[Witness, ...]:
    """Return the stamp that proves a name missing; empty when there is no such proof.

    Args:
        root: the path of the tree.
        segments: the name below it, which a lookup did not find just now.
    """
    if not _DIRECTORY_TIMES_TELL or sum(map(len, segments)) > _LONGEST:
        return ()
    directory = _last_directory(root, segments)
    return () if directory is None else lasting((directory,))


def _last_directory(root: str, segments: Segments) -> Witness | None:
    """Stamp each directory before the next name is looked up in it, so no change is missed."""
    path = root
    with suppress(OSError):
        status = kernel.stat(path)  # the root itself may be a link
        for name in segments:
            if not stat.S_ISDIR(status.st_mode):
                break
            directory = Witness(path, identity_of(status))
            path = f"{path}/{name}"
            try:
                status = kernel.lstat(path)
            except FileNotFoundError:
                return None if is_stored(path) else directory
    return None
