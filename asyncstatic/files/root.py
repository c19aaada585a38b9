"""The root of a served tree: the handle of its directory, renewed when a deploy replaces it."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable

from asyncstatic.files import kernel

Segments = tuple[str, ...]
#: Tells whether the name policy (dotfiles, deny patterns) allows a link to end at these segments.
Allowed = Callable[[Segments], bool]

_PATH_MAX = 4096  # bytes with the final NUL, as the kernel counts
_NEVER_A_NAME = frozenset(("", ".", ".."))


def relative_path(segments: Segments) -> bytes:
    """Join segments to a path for the kernel, in bytes; ``.`` for the root itself.

    Names on disk have the bytes of the URL (UTF-8), whatever the locale is.

    Raises:
        ValueError: a segment is not a plain name. The parser of the request target refuses
            those earlier, so this is a bug, and no client can cause it.
        OSError: ENAMETOOLONG, for every resolver alike.
    """
    if not segments:
        return b"."
    path = "/".join(segments)
    if not _NEVER_A_NAME.isdisjoint(segments) or path.count("/") != len(segments) - 1:
        raise ValueError("a segment is empty, a dot segment, or holds a slash")
    data = path.encode("utf-8", "surrogateescape")
    if len(data) >= _PATH_MAX:
        raise kernel.fault(errno.ENAMETOOLONG)
    return data


def absolute(path: str) -> str:
    """Bind a relative path to the working directory; an absolute one does not need that.

    Unlike `os.path.abspath` it keeps ``..``: behind a symbolic link, that leads to another directory.

    Raises:
        OSError: the working directory was removed.
    """
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


class TreeHandle:
    """The directory handle of one tree; it closes when its last user drops it.

    The reference count of this object counts the users of the handle. A lookup holds it in a local
    variable. So the handle is not closed (and its number given to another directory) while
    the lookup runs, even if the root is swapped. This needs no lock and no extra work.
    """

    __slots__ = ("fd", "identity")

    def __init__(self, fd: int) -> None:
        """Own `fd`, and close it even if fstat fails."""
        self.fd = fd
        facts = kernel.fstat(fd)
        self.identity = (facts.st_dev, facts.st_ino)

    def is_at(self, path: str | bytes) -> bool:
        """Tell whether a path leads to this tree; OSError if it leads nowhere."""
        facts = kernel.stat(path)
        return (facts.st_dev, facts.st_ino) == self.identity

    def __del__(self) -> None:
        kernel.release(self.fd)


class RootHandle:
    """The root's directory handle, renewed when its path leads to another directory.

    The path may be a symlink (``current -> releases/42``) that a deploy swaps. It is opened again
    at most every `recheck` seconds. If it leads to another (device, inode), that handle replaces
    the old one; lookups in flight finish on the tree that they began with. The inode number of an
    open directory is never reused, so an equal identity means the same directory.

    The first check that fails keeps the tree, because a deploy by two renames has a moment without
    a root. After the second, `tree` raises the error of the check until the root is back.

    Args:
        path: the root; a relative one is bound to the present working directory.
        recheck: seconds between two checks; 0 checks on every call.
        grace: seconds for which a replaced tree stays open, for `previous`; 0 for none.
        monotonic: the clock, in seconds.

    Raises:
        OSError: the path is missing, is not a directory, or cannot be reached.

    Attributes:
        path: the absolute path, by which links may name the root.
    """

    def __init__(
        self,
        path: str,
        *,
        recheck: float = 0.25,
        grace: float = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = absolute(path)
        self._path_bytes = os.fsencode(self.path)
        self._recheck = recheck
        self._grace = grace
        self._monotonic = monotonic
        self._checking = threading.Lock()
        self._closed = False
        self._failed = 0  # the errno of the last check
        self._tree: TreeHandle | None = TreeHandle(kernel.open_path(self.path, directory=True))
        self._previous: tuple[TreeHandle, float] | None = None  # with the end of its grace
        self._next_check = monotonic() + recheck

    def tree(self, *, cached_only: bool = False) -> TreeHandle:
        """Return the present tree. Hold the object, not its `fd`, while the handle is in use.

        Raises:
            OSError: the root cannot be opened; EBADF after `close`.
            BlockingIOError: with `cached_only`, a check is due and would wait for the disk.
        """
        if self._monotonic() >= self._next_check and self._checking.acquire(blocking=False):
            try:
                self._check(cached_only)
            finally:
                self._checking.release()
        tree = self._tree
        if tree is None:
            raise kernel.fault(self._failed or errno.EBADF)
        return tree

    def previous(self) -> TreeHandle | None:
        """Return the tree before the present one, while its grace lasts.

        The first check after that closes its handle.
        """
        previous = self._previous
        if previous is None or self._monotonic() >= previous[1]:
            return None
        return previous[0]

    def leads_to(self, tree: TreeHandle) -> bool:
        """Tell whether the path still leads to a tree; True also while it leads nowhere."""
        try:
            return tree.is_at(self.path)
        except OSError:
            return True

    def renew(self, *, cached_only: bool = False) -> None:
        """Check now where the path leads.

        Raises:
            BlockingIOError: with `cached_only`, the check would wait for the disk or a thread.
        """
        if not self._checking.acquire(blocking=not cached_only):
            raise kernel.fault(errno.EAGAIN)
        try:
            self._check(cached_only)
        finally:
            self._checking.release()

    def close(self) -> None:
        """Close the handle, at once or after the last lookup in flight."""
        self._closed = True
        self._next_check = float("inf")
        self._failed = 0
        self._tree = None
        self._previous = None

    def _check(self, cached_only: bool) -> None:
        if self.previous() is None:
            self._previous = None
        try:
            found = TreeHandle(self._open(cached_only))
        except OSError as error:
            if cached_only:  # only a thread, which may wait, decides that the root is gone
                raise kernel.fault(errno.EAGAIN) from error
            if self._failed:
                self._replace(None)
            self._failed = error.errno or errno.EIO
        else:
            self._failed = 0
            if self._tree is None or self._tree.identity != found.identity:
                self._replace(found)
        # While the root is missing every call checks, so it is found as soon as it is back.
        self._next_check = self._monotonic() + (self._recheck if self._tree else 0)
        if self._closed:  # by another thread, during the check
            self.close()

    def _open(self, cached_only: bool) -> int:
        if not cached_only:
            return kernel.open_path(self.path, directory=True)
        flags = kernel.DIRECTORY_FLAGS
        return kernel.openat2(kernel.AT_FDCWD, self._path_bytes, flags, kernel.RESOLVE_CACHED)

    def _replace(self, found: TreeHandle | None) -> None:
        if self._tree is not None and self._grace:
            self._previous = self._tree, self._monotonic() + self._grace
        self._tree = found
