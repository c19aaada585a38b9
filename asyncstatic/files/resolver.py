"""The resolver opens a name below the root, and never a file outside it.

There are two of equal rank: `Openat2Resolver` where Linux offers openat2(2), `WalkResolver`
everywhere else. They open the same files and refuse the same files. A probe on the real root
chooses between them, because a kernel, a container runtime or a seccomp filter may each withhold
the call.
"""

from __future__ import annotations

import os
from typing import Protocol

from asyncstatic.files import kernel
from asyncstatic.files.openat2 import Openat2Resolver, refusal
from asyncstatic.files.root import Allowed, RootHandle, Segments, TreeHandle
from asyncstatic.files.walk import WalkResolver
from asyncstatic.files.windows import FinalPathResolver
from asyncstatic.settings.root import ResolverChoice, Symlinks

_ADVICE = 'choose the resolver "auto" or "walk"'


class Resolver(Protocol):
    """Opens files below one root. Safe to call from several threads at once.

    Attributes:
        root: the root that it opens below.
    """

    root: RootHandle

    @property
    def name(self) -> str:
        """The method in use: "openat2" or "walk"."""

    def open(
        self, segments: Segments, *, cached_only: bool = False, tree: TreeHandle | None = None
    ) -> int:
        """Open `segments` below the root for reading, whatever kind of file it is.

        The caller owns the descriptor and must call fstat: it may be a directory, a FIFO or a
        device.

        Args:
            segments: plain names; empty for the root itself.
            cached_only: do not wait for the disk; for use on an event loop.
            tree: opens in this tree; None for the one that the root leads to now.

        Raises:
            BlockingIOError: with `cached_only`, the lookup would have to wait. Without it, renames
                elsewhere on the machine disturbed the lookup too often: try later.
            OSError: EXDEV for an escape, ELOOP for a forbidden link or a loop; ENOENT also for
                a link to a name that is not allowed; otherwise as open(2).
            ValueError: a segment is not a plain name: a bug in the caller.
        """


def choose_resolver(
    root: RootHandle, *, symlinks: Symlinks, allowed: Allowed, prefer: ResolverChoice = "auto"
) -> Resolver:
    """Return the resolver for a root: the preferred one, or the one that a probe finds.

    Args:
        root: the caller closes it.
        symlinks: see `WalkResolver`.
        allowed: the name policy for the place a followed link leads to.
        prefer: "auto" takes openat2 where it works.

    Raises:
        OSError: the root cannot be searched.
        ValueError: `prefer` is "openat2", and that does not work here.
    """
    if os.name == "nt":
        if prefer == "openat2":
            raise ValueError(f"Windows has no openat2; {_ADVICE}")
        return FinalPathResolver(root, symlinks=symlinks, allowed=allowed)
    tree = root.tree()
    # EACCES now, not per request
    kernel.release(kernel.openat(tree.fd, b".", kernel.DIRECTORY_FLAGS))
    if prefer != "walk":
        reason = refusal(tree)
        if reason is None:
            return Openat2Resolver(root, symlinks=symlinks, allowed=allowed)
        if prefer == "openat2":
            raise ValueError(f"openat2 does not work on {root.path} ({reason}); {_ADVICE}")
    return WalkResolver(root, symlinks=symlinks, allowed=allowed)
