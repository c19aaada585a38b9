"""Resolve a name on Windows, which has no openat: open first, then check where the handle is.

The check is made on the handle that will be read, not on a name, so there is no race between check
and use. It is weaker than the other resolvers in one way: a file outside the root may be *opened*
(never read) before it is refused. CI runs on Linux, so this module is not tested on every change.
"""

from __future__ import annotations

import errno

from asyncstatic.files import kernel
from asyncstatic.files.root import Allowed, RootHandle, Segments, TreeHandle, relative_path
from asyncstatic.settings.root import Symlinks


class FinalPathResolver:
    """A `Resolver` that opens a file by its full path, and verifies the final path of the handle.

    The final path must spell the segments exactly, so case aliases and short (8.3) names are
    refused with ENOENT. Under "within_root" a link may lead elsewhere below the root. Every lookup
    may wait for the disk, so `cached_only` always raises BlockingIOError.
    """

    name = "walk"

    def __init__(self, root: RootHandle, *, symlinks: Symlinks, allowed: Allowed) -> None:
        self.root = root
        self._symlinks = symlinks
        self._allowed = allowed

    def open(
        self, segments: Segments, *, cached_only: bool = False, tree: TreeHandle | None = None
    ) -> int:
        if cached_only:
            raise kernel.fault(errno.EAGAIN)
        relative_path(segments)
        tree = tree or self.root.tree()
        # The extended path (\\?\) of an open directory: no device names, no "..", no rewriting.
        root = kernel.fd_path(tree.fd).rstrip("\\")
        fd = kernel.open_path("\\".join((root, *segments)))
        try:
            self._vet(root, segments, kernel.fd_path(fd))
        except BaseException:
            kernel.release(fd)
            raise
        return fd

    def _vet(self, root: str, segments: Segments, final: str) -> None:
        expected = "\\".join((root, *segments))
        if self._symlinks == "follow" or final == expected:
            return
        if not final.startswith(root + "\\"):
            raise kernel.fault(errno.EXDEV)
        names = tuple(final.removeprefix(root + "\\").split("\\"))
        alias = final.casefold() == expected.casefold() or self._symlinks == "deny"
        if alias or not self._allowed(names):
            raise kernel.fault(errno.ENOENT)
