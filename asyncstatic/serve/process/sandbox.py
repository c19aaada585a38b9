"""`restrict`: the process gives up all files but those it serves (Linux Landlock, landlock(7)).

The sandbox is a second barrier behind the resolver: if a bug makes any code in this process open
another path, the kernel refuses (EACCES). The process may still read below the roots, and below the
directories that Python and its libraries are loaded from: the interpreter loads some modules only
when they are needed, and these directories hold published code, no private data. Nothing may be
written, created, removed or executed, except that log files may be written. No TCP connection may
be made, and no signal reaches a process outside.

The rules hold for directories, not for names: each belongs to the directory that its path leads to
when `restrict` is called. A root that is a symbolic link (``current -> releases/42``) is meant to
be swapped, so the whole directory that holds its target is readable; also that of an archive. A
root that is a plain directory and is renamed has no such rule: its successor is refused until the
server is restarted.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

from asyncstatic.files import kernel
from asyncstatic.files.zip_tree import archive_of
from asyncstatic.settings import SettingsError

# <linux/landlock.h>; `kernel.syscall` fails where the numbers are others.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38  # <linux/prctl.h>

_WRITE_FILE, _READ_FILE, _READ_DIRECTORY = 1 << 1, 1 << 2, 1 << 3
# How many rights on files there are, by the version of the interface (landlock(7), VERSIONS).
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_FILE_RIGHTS_NOW = 16
_TCP_BIND_AND_CONNECT = 0b11  # since version 4
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # since version 6


class SandboxError(SettingsError):
    """The process cannot be restricted; the message, one line, tells the reason."""


class _Ruleset(ctypes.Structure):
    """``struct landlock_ruleset_attr``: the rights that are refused unless a rule allows them."""

    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    """``struct landlock_path_beneath_attr``: the rights that are allowed below a directory."""

    _pack_ = 1
    _layout_ = "ms"  # the layout that _pack_ implies; Python 3.14 requires it
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """Return the version of the kernel's Landlock interface; 0 where there is none."""
    with suppress(OSError):
        return _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    return 0


def restrict(roots: Iterable[str], *, reads: Iterable[str] = (), logs: Iterable[str] = ()) -> int:
    """Give up every file that is not needed to serve, for good.

    Call it after the sockets are bound and before a second thread starts: the restriction would
    not hold for that thread. Open files stay open. Child processes inherit the restriction.

    Args:
        roots: directories or archives to serve, or symbolic links to them.
        reads: files to read later, or directories of such files.
        logs: files to write; created if they are missing.

    Returns:
        The version of Landlock's interface that the kernel has.

    Raises:
        SandboxError: the kernel has no Landlock, or another thread runs; nothing is restricted.
        OSError: a path cannot be opened.
    """
    abi = version()
    if not abi:
        raise SandboxError(
            "the sandbox needs Landlock: Linux 5.13 or newer, with landlock in its list of "
            "security modules (lsm=); start without --sandbox"
        )
    if len(os.listdir("/proc/self/task")) > 1:
        raise SandboxError("the sandbox must be entered before a second thread runs")
    ruleset = _create(abi)
    try:
        for path in (*map(_swappable, roots), *_import_directories()):
            _allow(ruleset, path, _READ_FILE | _READ_DIRECTORY)
        for path in (*reads, *_time_zone()):
            _allow(ruleset, path, _READ_FILE)
        for path in logs:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640))
            _allow(ruleset, path, _WRITE_FILE)
        _enter(ruleset)
    finally:
        os.close(ruleset)
    return abi


def _create(abi: int) -> int:
    rights = (1 << _FILE_RIGHTS.get(abi, _FILE_RIGHTS_NOW)) - 1
    rules = _Ruleset(rights, _TCP_BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS)
    size = 8 if abi < 4 else 16 if abi < 6 else 24  # an older kernel knows fewer fields
    return _call(_CREATE_RULESET, ctypes.byref(rules), size, 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Beneath(rights, handle)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(handle)


def _enter(ruleset: int) -> None:
    """Restrict this process; before that it must give up gaining privileges by exec (prctl(2))."""
    if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _call(_RESTRICT_SELF, ruleset, 0)


def _swappable(root: str) -> str:
    """Return the directory that holds a root, now and after its link or its archive is replaced."""
    archive = archive_of(root)
    path = archive[0] if archive else root
    return os.path.dirname(os.path.realpath(path)) if archive or os.path.islink(root) else root


def _import_directories() -> Iterator[str]:
    """Yield the directories of modules; not those of the user and of the script that is run."""
    paths = {path for path in sys.path if not _is_beside_script(path)}
    own: Iterable[str] = sys.modules["asyncstatic"].__path__
    return filter(os.path.isdir, sorted({*paths, *own, *_library_directories()}))


def _is_beside_script(path: str) -> bool:
    """Tell whether Python added a directory to the path by itself: any file may be in it."""
    added = (os.curdir, os.path.dirname(sys.argv[0]) or os.curdir)
    with suppress(OSError):
        return any(os.path.samefile(path or os.curdir, each) for each in added)
    return False


def _library_directories() -> set[str]:
    """Return the directories of the loaded shared libraries: modules may load more (proc(5))."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        mapped = {line.rstrip("\n").partition("/")[2] for line in maps}
    return {"/" + os.path.dirname(path) for path in mapped if ".so" in os.path.basename(path)}


def _time_zone() -> Iterator[str]:
    """Yield the file that local times in a log are computed from (tzset(3))."""
    return filter(os.path.isfile, ("/etc/localtime",))


def _call(number: int, *args: object) -> int:
    result = kernel.syscall(ctypes.c_long(number), *map(_word, args))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _word(arg: object) -> object:
    """Widen a number to the register it is passed in."""
    return ctypes.c_long(arg) if isinstance(arg, int) else arg
