"""Resolve a name by openat2(2): the kernel itself keeps the lookup beneath the root.

The first attempt forbids links. It costs nothing extra and succeeds for nearly every file. A path
with a link is opened again under RESOLVE_BENEATH where the lookup must not wait, and by the walk
where it may: the walk knows every name it passed, needs no /proc, and is not disturbed by renames
elsewhere (which make a ``..`` under RESOLVE_BENEATH fail with EAGAIN).
"""

from __future__ import annotations

import errno
import logging

from asyncstatic.files import kernel
from asyncstatic.files.root import Allowed, RootHandle, Segments, TreeHandle, relative_path
from asyncstatic.files.spelling import from_os
from asyncstatic.files.walk import WalkResolver
from asyncstatic.settings.root import Symlinks

logger = logging.getLogger("asyncstatic")

_BENEATH = kernel.RESOLVE_BENEATH | kernel.RESOLVE_NO_MAGICLINKS
_NO_LINKS = _BENEATH | kernel.RESOLVE_NO_SYMLINKS
_UNAVAILABLE = (errno.ENOSYS, errno.EPERM)


class Openat2Resolver:
    """A `Resolver` that needs one system call; see `WalkResolver` for the arguments.

    If the call is refused later (by a seccomp filter installed after start-up), the walk takes
    over for good, and one warning is logged.
    """

    def __init__(self, root: RootHandle, *, symlinks: Symlinks, allowed: Allowed) -> None:
        self.root = root
        self._links = symlinks == "within_root"
        self._first_attempt = 0 if symlinks == "follow" else _NO_LINKS
        self._allowed = allowed
        self._walk = WalkResolver(root, symlinks=symlinks, allowed=allowed)
        self._refused = False
        self._knows_cached = _knows_cached(root.tree())

    @property
    def name(self) -> str:
        """The method in use: "openat2", or "walk" once the kernel has refused the call."""
        return "walk" if self._refused else "openat2"

    def open(
        self, segments: Segments, *, cached_only: bool = False, tree: TreeHandle | None = None
    ) -> int:
        if self._refused or (cached_only and not self._knows_cached):
            return self._walk.open(segments, cached_only=cached_only, tree=tree)
        path = relative_path(segments)
        tree = tree or self.root.tree(cached_only=cached_only)
        resolve = self._first_attempt | (kernel.RESOLVE_CACHED if cached_only else 0)
        try:
            return kernel.openat2(tree.fd, path, kernel.OPEN_FLAGS, resolve)
        except OSError as error:
            if error.errno == errno.ELOOP and self._links:
                if cached_only:
                    return self._open_cached_link(tree, path)
            elif error.errno not in _UNAVAILABLE or not self._is_refused(tree):
                raise
        return self._walk.open(segments, cached_only=cached_only, tree=tree)

    def _open_cached_link(self, tree: TreeHandle, path: bytes) -> int:
        """Open a path that holds a link, if the name policy allows its target."""
        resolve = _BENEATH | kernel.RESOLVE_CACHED
        try:
            fd = kernel.openat2(tree.fd, path, kernel.OPEN_FLAGS, resolve)
        except OSError as error:
            if error.errno == errno.EXDEV:  # perhaps an absolute link to inside; the walk can tell
                raise kernel.fault(errno.EAGAIN) from error
            raise
        try:
            names = _names_below(tree, fd)
            if names is None:
                raise kernel.fault(errno.EAGAIN)
            if not self._allowed(names):
                raise kernel.fault(errno.ENOENT)
        except BaseException:
            kernel.release(fd)
            raise
        return fd

    def _is_refused(self, tree: TreeHandle) -> bool:
        """Tell a kernel that refuses the call from a file that may not be opened."""
        reason = refusal(tree)
        if reason is None:
            return False
        if not self._refused:
            self._refused = True
            logger.warning("openat2 is refused from now on (%s); resolving by the walk", reason)
        return True


def refusal(tree: TreeHandle) -> str | None:
    """Probe openat2 on a real tree, and return why it cannot be used.

    Returns:
        None if the call opens ``.`` and refuses ``..``.

    Raises:
        OSError: the directory itself cannot be searched (EACCES), or a fault such as EMFILE.
    """
    try:
        kernel.release(kernel.openat2(tree.fd, b".", kernel.DIRECTORY_FLAGS, _NO_LINKS))
        escaped = kernel.openat2(tree.fd, b"..", kernel.DIRECTORY_FLAGS, _NO_LINKS)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return None
        if error.errno in (*_UNAVAILABLE, errno.EINVAL, errno.E2BIG):
            return error.strerror
        raise
    kernel.release(escaped)
    return "it does not keep lookups beneath the root"


def _knows_cached(tree: TreeHandle) -> bool:
    """Tell whether the kernel has RESOLVE_CACHED: since Linux 5.12, an invalid argument before."""
    flags = kernel.DIRECTORY_FLAGS
    try:
        kernel.release(kernel.openat2(tree.fd, b".", flags, _NO_LINKS | kernel.RESOLVE_CACHED))
    except OSError as error:
        return error.errno == errno.EAGAIN
    return True


def _names_below(tree: TreeHandle, fd: int) -> Segments | None:
    """Return the names from the tree to an open file; None when /proc gives no clear answer."""
    try:
        root, path = kernel.fd_path(tree.fd), kernel.fd_path(fd)
    except OSError:
        return None
    if path == root:
        return ()
    below = root if root.endswith("/") else root + "/"
    if not path.startswith(below) or path.endswith(" (deleted)"):
        return None
    return tuple(from_os(path.removeprefix(below)).split("/"))
