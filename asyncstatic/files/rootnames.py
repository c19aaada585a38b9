"""Absolute links: the paths that name a root, and the links that begin with one of them.

An absolute link is judged by its text: it stays inside when it begins with a name of the root.
The rest of it is then resolved beneath the root's handle, like any other path. So a wrong or
outdated name can only lead to another file below the root.

The alternative is to walk the link from ``/`` and to compare every directory with the root. That
would accept every name. But a user who can create a link below the root could then make the server
examine any path of the machine: wake automounts, wait for a dead NFS server, or learn from the time
of an answer which paths exist. So an unrelated second name of the root (a link or bind mount
elsewhere) is not followed, nor is a link that goes through ``..`` before it reaches the root.
Relative links that leave the root and come back are refused in the same way.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from asyncstatic.files import kernel
from asyncstatic.files.root import TreeHandle

_Names = tuple[bytes, ...]

_MOST_SPELLINGS = 64
_HERE, _UP = b".", b".."
# Errors that mean "this is not a link", or "this path does not lead here". Others are faults.
_NO_SUCH_NAME = frozenset(
    {
        *(errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.ELOOP),
        *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG),
    }
)


def names_below_root(target: bytes, root: str, tree: TreeHandle) -> list[bytes] | None:
    """Return the names that follow the root's name in an absolute link; None if it leads outside.

    Makes system calls that may wait for the disk.

    Args:
        target: the text of the link.
        root: the configured path of the root.
        tree: the directory that the lookup began with.

    Raises:
        OSError: a name of the root cannot be examined, so the link cannot be judged.
    """
    parts = [part for part in target.split(b"/") if part]
    for name in _names_of(root, tree):
        rest = _without_prefix(parts, name)
        if rest is not None:
            return rest
    return None


def _without_prefix(parts: list[bytes], prefix: _Names) -> list[bytes] | None:
    rest = parts[::-1]
    for name in prefix:
        while rest and rest[-1] == _HERE:
            rest.pop()
        if not rest or rest.pop() != name:
            return None
    return rest[::-1]


def _names_of(path: str, tree: TreeHandle) -> Iterator[_Names]:
    """Yield the names of a tree: as configured, with links on the way resolved, and its real path.

    The configured path also counts where it already leads to a newer tree: within one release, a
    link that names the root means that release.
    """
    configured = _plain(os.fsencode(path))
    yield configured
    yield from _spellings(configured, tree)
    try:
        real = _plain(os.fsencode(kernel.fd_path(tree.fd)))
    except OSError as error:
        if error.errno in _NO_SUCH_NAME:  # no /proc: the spellings include the real path
            return
        raise
    if _leads_to(real, tree):
        yield real


def _spellings(configured: _Names, tree: TreeHandle) -> Iterator[_Names]:
    """Yield every path that results from resolving some links of the configured one."""
    found = [configured]
    for names in found:  # grows during the loop
        for end in range(1, len(names) + 1):
            spelled = _resolved(names, end, tree)
            if spelled is None or spelled in found or len(found) == _MOST_SPELLINGS:
                continue
            found.append(spelled)
            if _leads_to(spelled, tree):
                yield spelled


def _resolved(names: _Names, end: int, tree: TreeHandle) -> _Names | None:
    """Replace the link at `names[:end]` by its target; None if it is not a link."""
    try:
        target = kernel.readlinkat(tree.fd, _joined(names[:end]))  # absolute: the handle is unused
    except OSError as error:
        if error.errno in _NO_SUCH_NAME:
            return None
        raise
    above = b"" if target.startswith(b"/") else _joined(names[: end - 1])
    return _plain(b"/".join((above, target, *names[end:])))


def _plain(path: bytes) -> _Names:
    """Split a path and resolve its dot segments by text; `_leads_to` checks the result."""
    names: list[bytes] = []
    for part in path.split(b"/"):
        if part == _UP:
            del names[-1:]
        elif part not in (b"", _HERE):
            names.append(part)
    return tuple(names)


def _joined(names: _Names) -> bytes:
    return b"/" + b"/".join(names)


def _leads_to(names: _Names, tree: TreeHandle) -> bool:
    try:
        return tree.is_at(_joined(names))
    except OSError as error:
        if error.errno in _NO_SUCH_NAME:
            return False
        raise
