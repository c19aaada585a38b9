"""The root of a served tree, and the words both resolvers share."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Protocol

from asyncstatic.files import kernel

Symlinks = Literal["deny", "within_root", "follow"]
Segments = tuple[str, ...]
#: Whether the name policy (dotfiles, deny patterns) lets a link end at these segments.
Allowed = Callable[[Segments], bool]

_PATH_MAX = 4096  # octets with the final NUL, as the kernel counts
_NEVER_A_NAME = frozenset(("", ".", ".."))


def fault(code: int) -> OSError:
    """Return the `OSError` subclass for an errno, with its standard text and no path."""
    return OSError(code, os.strerror(code))


def relative_path(segments: Segments) -> bytes:
    """Join segments to the octets the kernel is asked for; ``.`` for the root itself.

    Names on disk are the octets of the URL (UTF-8), whatever the locale says.

    Raises:
        ValueError: a segment is no plain name. The request target's parser refuses those
            long before, so this is a bug, not a client's doing.
        OSError: ENAMETOOLONG, for every resolver alike.
    """
    if not segments:
        return b"."
    path = "/".join(segments)
    if not _NEVER_A_NAME.isdisjoint(segments) or path.count("/") != len(segments) - 1:
        raise ValueError("a segment is empty, a dot segment, or holds a slash")
    octets = path.encode("utf-8", "surrogateescape")
    if len(octets) >= _PATH_MAX:
        raise fault(errno.ENAMETOOLONG)
    return octets


def release(fd: int) -> None:
    """Close a handle nothing was written to: its close cannot lose anything, so it may fail."""
    with suppress(OSError):
        kernel.close(fd)


class Tree:
    """One directory handle, closed when its last user lets go.

    The reference count of this object counts the users of the handle. A lookup holds the
    tree in a local variable, so the handle cannot be closed under it (and its number given
    to another directory) when the root is swapped meanwhile. No lock, no extra work.
    """

    __slots__ = ("fd", "identity")

    def __init__(self, fd: int) -> None:
        """Take over `fd`; it is closed even if it cannot be examined."""
        self.fd = fd
        facts = kernel.fstat(fd)
        self.identity = (facts.st_dev, facts.st_ino)

    def __del__(self) -> None:
        release(self.fd)


class Root(Protocol):
    """What a resolver opens below: `RootHandle`, or one tree of it.

    Attributes:
        path: the absolute path by which links may name it; "" if there is none.
    """

    path: str

    def tree(self, *, cached_only: bool = False) -> Tree:
        """Return the tree to use now."""

    def previous(self) -> Tree | None:
        """Return the tree before it, as long as that is kept."""

    def leads_to(self, tree: Tree) -> bool:
        """Tell whether a tree is still the one to use."""

    def renew(self, *, cached_only: bool = False) -> None:
        """Find out which tree to use, before it is time."""

    def close(self) -> None:
        """Let the tree go."""


class OneTree:
    """A root that is this tree for ever, wherever its path leads."""

    def __init__(self, tree: Tree, path: str = "") -> None:
        self.path = path
        self._tree = tree

    def tree(self, *, cached_only: bool = False) -> Tree:
        """Return the tree."""
        return self._tree

    def previous(self) -> None:
        """There was none before."""

    def leads_to(self, tree: Tree) -> bool:
        """Tell whether it is this one."""
        return tree is self._tree

    def renew(self, *, cached_only: bool = False) -> None:
        """Stay what it is."""

    def close(self) -> None:
        """Do nothing: the handle goes with the tree's last user."""


class RootHandle:
    """The root's directory handle, renewed when its path leads to another directory.

    The path may be a symlink (``current -> releases/42``) that a deploy swaps. It is opened
    anew at most every `recheck` seconds; another (device, inode) replaces the handle, and
    lookups in flight finish on the tree they began with. A held directory's inode number is
    never reused, so equal identity means the same directory.

    A first failing check keeps the tree: a deploy by two renames has a moment with no root.
    From the second on, `tree` raises what the check raised, until the root is back.

    Args:
        path: the root; a relative one is bound to the present working directory.
        recheck: seconds; 0 checks on every call.
        grace: seconds for which a tree that was replaced is kept, for `previous`; 0 for none.
        monotonic: the clock, in seconds.

    Raises:
        OSError: the path is missing, not a directory, or cannot be reached.
    """

    def __init__(
        self,
        path: str,
        *,
        recheck: float = 0.25,
        grace: float = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = os.path.join(os.getcwd(), path)
        self._octets = os.fsencode(self.path)
        self._recheck = recheck
        self._grace = grace
        self._monotonic = monotonic
        self._checking = threading.Lock()
        self._closed = False
        self._failed = 0  # the errno of the last check
        self._tree: Tree | None = Tree(kernel.open_path(self.path, directory=True))
        self._previous: tuple[Tree, float] | None = None  # and until when it is kept
        self._next_check = monotonic() + recheck

    def tree(self, *, cached_only: bool = False) -> Tree:
        """Return the present tree. Keep the object, not its `fd`, as long as the handle is used.

        Raises:
            OSError: why the root cannot be opened; EBADF after `close`.
            BlockingIOError: a check is due that would wait for a disk, and `cached_only`.
        """
        if self._monotonic() >= self._next_check and self._checking.acquire(blocking=False):
            try:
                self._check(cached_only)
            finally:
                self._checking.release()
        tree = self._tree
        if tree is None:
            raise fault(self._failed or errno.EBADF)
        return tree

    def previous(self) -> Tree | None:
        """Return the tree before the present one, as long as it is kept.

        Its handle is let go by the first check that comes after that.
        """
        kept = self._previous
        return kept[0] if kept is not None and self._monotonic() < kept[1] else None

    def leads_to(self, tree: Tree) -> bool:
        """Tell whether the path still leads to a tree; while it leads nowhere, it does."""
        try:
            facts = kernel.stat(self.path)
        except OSError:
            return True
        return (facts.st_dev, facts.st_ino) == tree.identity

    def renew(self, *, cached_only: bool = False) -> None:
        """Look where the path leads, before it is time.

        Raises:
            BlockingIOError: that would wait for a disk or another thread, and `cached_only`.
        """
        if not self._checking.acquire(blocking=not cached_only):
            raise fault(errno.EAGAIN)
        try:
            self._check(cached_only)
        finally:
            self._checking.release()

    def close(self) -> None:
        """Let the handle go, at once or after the last lookup in flight."""
        self._closed = True
        self._next_check = float("inf")
        self._failed = 0
        self._tree = None
        self._previous = None

    def _check(self, cached_only: bool) -> None:
        if self.previous() is None:
            self._previous = None
        try:
            found = Tree(self._open(cached_only))
        except OSError as error:
            if cached_only:  # only a thread that may wait decides that a root is gone
                raise fault(errno.EAGAIN) from error
            self._miss(error.errno or errno.EIO)
        else:
            self._adopt(found)
        # A missing root is looked for on every call, so it is back at once.
        self._next_check = self._monotonic() + (self._recheck if self._tree else 0)
        if self._closed:  # meanwhile, by another thread
            self.close()

    def _open(self, cached_only: bool) -> int:
        if not cached_only:
            return kernel.open_path(self.path, directory=True)
        flags = kernel.DIRECTORY_FLAGS
        return kernel.openat2(kernel.AT_FDCWD, self._octets, flags, kernel.RESOLVE_CACHED)

    def _miss(self, code: int) -> None:
        if self._failed:
            self._replace(None)
        self._failed = code

    def _adopt(self, found: Tree) -> None:
        self._failed = 0
        if self._tree is None or self._tree.identity != found.identity:
            self._replace(found)

    def _replace(self, found: Tree | None) -> None:
        if self._tree is not None and self._grace:
            self._previous = self._tree, self._monotonic() + self._grace
        self._tree = found
