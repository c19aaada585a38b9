"""Every system call on the served files: thin functions without policy.

This is the seam for fault injection. Callers write ``kernel.fstat(fd)``, never
``from .kernel import fstat``, so a test that replaces an attribute of this module reaches
every caller. A call that fails raises `OSError` with its errno; EINTR is retried (PEP 475).
Where a platform lacks a call, a flag (`HAS_SENDFILE`), ENOSYS or None says so; nothing is guessed.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from asyncstatic.files.spelling import for_os

# -- flags ---------------------------------------------------------------------------------

#: How content is opened: never inherited, never waiting for a FIFO's writer, never a terminal.
OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_LARGEFILE", 0)
    | getattr(os, "O_BINARY", 0)
)
#: How a directory is held for lookups below it. O_PATH needs search permission only.
DIRECTORY_FLAGS = (
    getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
)
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)

AT_FDCWD = -100  # <fcntl.h>, Linux; only `openat2` takes it
RESOLVE_NO_MAGICLINKS = 0x02  # <linux/openat2.h>: one value on every architecture
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_CACHED = 0x20  # Linux 5.12

HAS_SENDFILE = hasattr(os, "sendfile")


# -- calls the os module already has -------------------------------------------------------

fstat = os.fstat
stat = os.stat
lstat = os.lstat


def lstat_at(dir_fd: int, name: str) -> os.stat_result:
    """Examine `name` in the directory `dir_fd`, not what it links to (fstatat(2))."""
    return os.stat(for_os(name), dir_fd=dir_fd, follow_symlinks=False)


close = os.close
dup = os.dup


def release(fd: int) -> None:
    """Close a descriptor that was only read, and ignore an error: nothing can be lost."""
    try:  # noqa: SIM105 - `suppress` costs more than the call
        close(fd)
    except OSError:
        pass


def fault(code: int) -> OSError:
    """Return the `OSError` subclass for an errno, with its standard text and without a path."""
    return OSError(code, os.strerror(code))


def openat(dir_fd: int, name: bytes | str, flags: int) -> int:
    """Open `name` relative to the directory `dir_fd` (openat(2))."""
    return os.open(name, flags, dir_fd=dir_fd)


def readlinkat(dir_fd: int, name: bytes) -> bytes:
    """Return the text of the link `name` in `dir_fd`; EINVAL when it is no link."""
    return os.readlink(name, dir_fd=dir_fd)


def scandir_fd(fd: int) -> os._ScandirIterator[str]:
    """List the directory `fd`, which stays open; use as a context manager."""
    return os.scandir(fd)


if sys.platform == "win32":

    def handle_limit() -> int:
        """Return how many files this process may have open: the C library's own bound."""
        return 2048
else:
    import resource

    def handle_limit() -> int:
        """Return how many files this process may have open (getrlimit(2), RLIMIT_NOFILE)."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return sys.maxsize if soft == resource.RLIM_INFINITY else soft


# -- openat2(2): not in libc yet -----------------------------------------------------------

# One number on every architecture but these two, whose tables start elsewhere.
_UNIFIED_NUMBERS = sys.platform == "linux" and not os.uname().machine.startswith(("alpha", "mips"))
_SYS_OPENAT2 = ctypes.c_long(437)


class _OpenHow(ctypes.Structure):
    """``struct open_how`` of <linux/openat2.h>, version 0."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_OPEN_HOW_SIZE = ctypes.c_size_t(ctypes.sizeof(_OpenHow))


def _load_syscall() -> Callable[..., int]:
    if not _UNIFIED_NUMBERS:
        return no_syscall
    # No argtypes: ctypes is a seventh faster when the fixed arguments are boxed once, above.
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    return call


def no_syscall(*_: object) -> int:
    """Fail as a kernel does that has no such system call."""
    ctypes.set_errno(errno.ENOSYS)
    return -1


syscall = _load_syscall()

# `byref` keeps the struct alive; the kernel only reads it, so all threads share one.
_open_hows: dict[tuple[int, int], object] = {}


def openat2(dir_fd: int, path: bytes, flags: int, resolve: int) -> int:
    """Open `path` below `dir_fd` under RESOLVE_* rules (openat2(2)).

    Raises:
        ValueError: `path` holds a NUL, where C would end it silently.
        OSError: ENOSYS where the call does not exist; EXDEV for an escape; ELOOP for a
            forbidden link; EAGAIN under RESOLVE_CACHED when the lookup would have to wait,
            and under RESOLVE_BENEATH when a rename on the machine raced a ``..``.
    """
    if 0 in path:
        raise ValueError("embedded null byte")
    sys.audit("open", path, None, flags)  # as os.open does
    how = _open_hows.get((flags, resolve)) or _open_how(flags, resolve)
    while (fd := syscall(_SYS_OPENAT2, dir_fd, path, how, _OPEN_HOW_SIZE)) < 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise fault(code)
    return fd


def _open_how(flags: int, resolve: int) -> object:
    how: object = ctypes.byref(_OpenHow(flags, 0, resolve))
    return _open_hows.setdefault((flags, resolve), how)


# -- reading -------------------------------------------------------------------------------

if sys.platform == "win32":

    def pread(fd: int, count: int, offset: int) -> bytes:
        """Read `count` bytes at `offset`; moves the handle's position, so one reader at a time."""
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, count)
else:
    pread = os.pread

SCRATCH = 1024 * 1024  # bytes of a reusable buffer
# A stack of them: list.pop and list.append are atomic, so threads may share it.
_scratch: list[memoryview] = []


@contextmanager
def scratch() -> Iterator[memoryview]:
    """Lend a buffer of SCRATCH bytes until the block ends; keep no view of it."""
    buffer = _borrowed()
    try:
        yield buffer
    finally:
        _scratch.append(buffer)


def _borrowed() -> memoryview:
    try:
        return _scratch.pop()
    except IndexError:
        return aligned(SCRATCH)


def aligned(count: int) -> memoryview:
    """Return a buffer that begins at a page boundary.

    The kernel copies into it from pages. A bytearray begins 16 bytes behind a boundary, and some
    processors copy into that ten times as slowly (Zen 3 and 4: REP MOVSB, "page aliasing").
    """
    buffer = bytearray(count + mmap.PAGESIZE)
    before = -ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % mmap.PAGESIZE
    return memoryview(buffer)[before : before + count]


def pread_nowait(fd: int, count: int, offset: int) -> bytes | None:
    """Read `count` bytes at `offset` if the page cache holds them all, else return None.

    Returns fewer bytes only where the file ends. Also returns None where the kernel or the file
    system cannot promise not to wait (preadv2(2), RWF_NOWAIT): use `pread` in a thread.
    """
    # Without `scratch`: a context manager costs as much as reading a small file.
    buffer = _borrowed() if count <= SCRATCH else aligned(count)
    try:
        view, filled = buffer[:count], 0
        while filled < count:
            got = pread_into_nowait(fd, view[filled:] if filled else view, offset + filled)
            if got is None:
                return None
            if not got:
                break
            filled += got
        return bytes(view[:filled])
    finally:
        if count <= SCRATCH:
            _scratch.append(buffer)


def pread_into_nowait(fd: int, view: memoryview, offset: int) -> int | None:
    """Fill a buffer from the page cache, from `offset` on, and return the number of bytes read.

    Possibly short, 0 at the end of the file, None if reading would block.
    """
    try:
        got = preadv_nowait(fd, view, offset)
    except OSError as error:
        if error.errno in _WOULD_WAIT:
            return None
        raise
    # Linux 5.9 and 5.10 may answer 0 before the end (preadv2(2), BUGS): ask the size.
    return got if got or offset >= fstat(fd).st_size else None


if sys.platform == "linux":
    # EPERM: a seccomp filter older than preadv2(2). Whether the file may be read, `pread` will tell.
    _WOULD_WAIT = (errno.EAGAIN, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM)

    def preadv_nowait(fd: int, view: memoryview, offset: int) -> int:
        """Fill a buffer from the page cache; EAGAIN when the first byte is not there."""
        return os.preadv(fd, [view], offset, os.RWF_NOWAIT)
else:
    _WOULD_WAIT = (errno.EAGAIN,)

    def preadv_nowait(fd: int, view: memoryview, offset: int) -> int:
        """Raise EAGAIN: this platform cannot read without waiting."""
        raise fault(errno.EAGAIN)


_one_byte = memoryview(bytearray(1))  # its value is never used


def is_resident(fd: int, position: int) -> bool:
    """Tell whether the byte at `position` is certainly in the page cache.

    Also False where the kernel cannot tell. (cachestat(2) answers for a whole window, but costs
    ten times as much, and counts too few pages of large folios.)
    """
    try:
        return preadv_nowait(fd, _one_byte, position) == 1
    except OSError:
        return False


# -- anonymous files -----------------------------------------------------------------------

pread_memory = pread  # of an anonymous file: never waits for a disk, may be called on the loop
_write = os.write

if sys.platform == "win32":

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        """Write bytes at `offset`; moves the handle's position, so one writer at a time."""
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)
else:
    pwrite = os.pwrite


def anonymous_file() -> int:
    """Return an empty file without a name: in memory (memfd_create(2)), else among temporary files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("asyncstatic")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def memory_file(data: bytes) -> int:
    """Return a file without a name that holds `data`, in memory; ENOSYS where there is none."""
    if not hasattr(os, "memfd_create"):
        raise fault(errno.ENOSYS)
    fd = os.memfd_create("asyncstatic")
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[_write(fd, rest) :]
    except BaseException:
        close(fd)
        raise
    return fd


# -- to a socket ---------------------------------------------------------------------------

if sys.platform != "win32":
    #: Copies up to `count` bytes from a file to a socket (sendfile(2)), if HAS_SENDFILE.
    sendfile = os.sendfile


# -- the name of an open handle, and Windows -----------------------------------------------

if sys.platform == "win32":
    import msvcrt
    from ctypes import wintypes

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.CreateFileW.restype = wintypes.HANDLE
    _kernel32.CreateFileW.argtypes = (
        *(wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, wintypes.LPVOID),
        *(wintypes.DWORD, wintypes.DWORD, wintypes.HANDLE),
    )
    _kernel32.GetFinalPathNameByHandleW.restype = wintypes.DWORD
    _kernel32.GetFinalPathNameByHandleW.argtypes = (
        *(wintypes.HANDLE, wintypes.LPWSTR, wintypes.DWORD, wintypes.DWORD),
    )
    _kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)

    def open_path(path: str, *, directory: bool = False) -> int:
        """Open a file or a directory by its path; others may rename and delete it meanwhile."""
        generic_read, share_all, open_existing, backup_semantics = 1 << 31, 7, 3, 0x02000000
        handle = _kernel32.CreateFileW(
            path, generic_read, share_all, None, open_existing, backup_semantics, None
        )
        if handle == wintypes.HANDLE(-1).value:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            fd = msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)
        except OSError:
            _kernel32.CloseHandle(handle)
            raise
        return fd

    def fd_path(fd: int) -> str:
        r"""Return the handle's final path, as ``\\?\C:\dir\name``."""
        buffer = ctypes.create_unicode_buffer(32768)
        handle = msvcrt.get_osfhandle(fd)
        if not _kernel32.GetFinalPathNameByHandleW(handle, buffer, len(buffer), 0):
            raise ctypes.WinError(ctypes.get_last_error())
        return buffer.value
else:

    def open_path(path: str, *, directory: bool = False) -> int:
        """Open `path` and follow its links; only for paths that the operator names."""
        return os.open(path, DIRECTORY_FLAGS if directory else OPEN_FLAGS)

    if sys.platform == "darwin":
        import fcntl

        def fd_path(fd: int) -> str:
            """Return the present path of an open handle (F_GETPATH)."""
            return os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    else:
        _readlink = os.readlink  # of proc(5), which needs no disk: may be called on the loop

        def fd_path(fd: int) -> str:
            """Return the present path of an open handle; OSError where /proc is not mounted."""
            return _readlink(f"/proc/self/fd/{fd}")
