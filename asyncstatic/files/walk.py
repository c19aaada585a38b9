"""Resolve a name by a walk: plain POSIX calls, one path component at a time.

Every component is opened relative to the handle of the directory before it, with O_NOFOLLOW. So no
name is checked first and opened later, and a directory that is swapped for a link in between is
not followed. The walk reads and follows links itself: ``..`` pops its own stack of handles and
cannot leave the root. An absolute link starts again at the root's handle when its text begins with
a name of the root (`rootnames`); every other absolute link leaves the root.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial

from asyncstatic.files import kernel
from asyncstatic.files.root import Allowed, RootHandle, Segments, TreeHandle, relative_path
from asyncstatic.files.rootnames import names_below_root
from asyncstatic.settings.root import Symlinks

_MAX_LINKS = 40  # path_resolution(7)
_HERE, _UP = b".", b".."
# Errors of O_NOFOLLOW at a link: on Linux and macOS, with O_DIRECTORY, on FreeBSD.
_PERHAPS_A_LINK = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)


class WalkResolver:
    """A `Resolver` for every system with openat(2), as strict as openat2.

    Args:
        root: the tree's root; other resolvers may share it.
        symlinks: "deny" refuses every link (ELOOP); "within_root" follows links that stay inside,
            absolute ones too; "follow" lets the kernel follow them, **without any containment**.
        allowed: the name policy for the target of a followed link; not used by "follow".
    """

    name = "walk"

    def __init__(self, root: RootHandle, *, symlinks: Symlinks, allowed: Allowed) -> None:
        self.root = root
        self._symlinks = symlinks
        self._allowed = allowed

    def open(
        self, segments: Segments, *, cached_only: bool = False, tree: TreeHandle | None = None
    ) -> int:
        """Return a descriptor for `segments`; see `Resolver.open`.

        With `cached_only` it always raises BlockingIOError: openat(2) cannot promise not to wait
        for the disk, so a walk belongs in a thread.
        """
        if cached_only:
            raise kernel.fault(errno.EAGAIN)
        path = relative_path(segments)
        tree = tree or self.root.tree()
        if self._symlinks == "follow":
            return kernel.openat(tree.fd, path, kernel.OPEN_FLAGS)
        follow = self._symlinks == "within_root"
        below = partial(names_below_root, root=self.root.path, tree=tree)
        walk = _Walk(tree.fd, path, below, follow=follow)
        try:
            fd = walk.run()
        finally:
            walk.close()
        try:
            # Bytes that are not UTF-8 become lone surrogates.
            names = (name.decode("utf-8", "surrogateescape") for name in walk.names)
            if walk.links and not self._allowed(tuple(names)):
                raise kernel.fault(errno.ENOENT)
        except BaseException:
            kernel.release(fd)
            raise
        return fd


class _Walk:
    """One lookup: the names entered so far, a handle for each, and the names still to resolve."""

    __slots__ = ("_below_root", "_follow", "_handles", "_pending", "links", "names")

    def __init__(
        self,
        root_fd: int,
        path: bytes,
        below_root: Callable[[bytes], list[bytes] | None],
        *,
        follow: bool,
    ) -> None:
        self._below_root = below_root
        self._follow = follow
        self._handles = [root_fd]  # the root's is borrowed
        self._pending = path.split(b"/")[::-1]
        self.names: list[bytes] = []
        self.links = 0

    def run(self) -> int:
        """Resolve the pending names; return the descriptor of the last component."""
        while True:
            name = self._pending.pop()
            last = not self._pending
            if name == _UP:
                self._leave()
                if last:
                    self._pending.append(_HERE)
            elif last:
                fd = self._step(name, kernel.OPEN_FLAGS)
                if fd is not None:
                    if name != _HERE:
                        self.names.append(name)
                    return fd
            elif name != _HERE:
                self._enter(name)

    def close(self) -> None:
        """Close every directory that was entered."""
        while len(self._handles) > 1:
            kernel.release(self._handles.pop())

    def _enter(self, name: bytes) -> None:
        fd = self._step(name, kernel.DIRECTORY_FLAGS)
        if fd is not None:
            self._handles.append(fd)
            self.names.append(name)

    def _leave(self) -> None:
        if not self.names:
            raise kernel.fault(errno.EXDEV)
        self.names.pop()
        kernel.release(self._handles.pop())

    def _step(self, name: bytes, flags: int, *, again: bool = True) -> int | None:
        """Open one component; None when it is a link, whose target is now pending."""
        directory = self._handles[-1]
        try:
            return kernel.openat(directory, name, flags | kernel.NOFOLLOW)
        except OSError as error:
            if error.errno not in _PERHAPS_A_LINK:
                raise
            target = _link_target(directory, name)
            if target is None and not again:
                raise
        if target is None:  # perhaps a link that was replaced between the two calls
            return self._step(name, flags, again=False)
        self._expand(target)
        return None

    def _expand(self, target: bytes) -> None:
        self.links += 1
        if not self._follow or self.links > _MAX_LINKS:
            raise kernel.fault(errno.ELOOP)
        if target.startswith(b"/"):
            parts = self._back_to_root(target)
        else:
            parts = [part for part in target.split(b"/") if part]
        if target.endswith(b"/") or not (parts or self._pending):
            parts.append(_HERE)  # "name/" must be a directory: path_resolution(7)
        self._pending.extend(reversed(parts))

    def _back_to_root(self, target: bytes) -> list[bytes]:
        """Go back to the root's handle; return the names of an absolute link below it."""
        parts = self._below_root(target)
        if parts is None:
            raise kernel.fault(errno.EXDEV)
        self.close()
        self.names.clear()
        return parts


def _link_target(directory: int, name: bytes) -> bytes | None:
    try:
        return kernel.readlinkat(directory, name)
    except OSError as error:
        if error.errno == errno.EINVAL:  # not a link
            return None
        raise
