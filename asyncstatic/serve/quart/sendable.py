"""The things that a view can send: a path that the developer chose, bytes, or an open file.

Each becomes an `Opened`, as from a source, so the decision core and the senders treat all alike. A
path is opened once, and from then on only the handle is used.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from inspect import iscoroutinefunction
from typing import IO, Any, TypeAlias

from asyncstatic.files import kernel
from asyncstatic.files.contents import ModificationTimes
from asyncstatic.files.digests import HASHED, Digests
from asyncstatic.files.handle import identity_of, open_handle, read_version
from asyncstatic.files.pool import Pool, PoolBusyError
from asyncstatic.files.source import Opened, absence_of
from asyncstatic.http.model import Absence, Identity, Representation

Sendable: TypeAlias = str | bytes | bytearray | memoryview | os.PathLike[str] | IO[bytes]

_IN_MEMORY = 64 * 1024  # bytes; larger files are read while they are sent
_pool = Pool(threads=8, timeout=30.0, path="a file of send_file")
_times = ModificationTimes()
_digests = Digests()


async def open_path(path: str) -> Opened | Absence:
    """Open a regular file by its path, and follow links; on the loop if nothing has to wait.

    Outcomes: MISSING also for a directory or a device; FORBIDDEN; OVERLOADED; BROKEN.
    """
    try:
        return _open(path, nowait=True)
    except (OSError, ValueError):
        pass  # it would wait, or this kernel cannot tell; a thread finds real errors again
    try:
        return await _pool.run(_open, path, False, discard=Opened.close)
    except PoolBusyError:
        return Absence.OVERLOADED
    except ValueError:  # a NUL
        return Absence.MISSING
    except OSError as error:
        return absence_of(error, path)


def open_bytes(content: bytes, name: str) -> Opened:
    """Wrap bytes. `name` gives the media type."""
    identity = Identity(0, 0, len(content), 0, 0)
    digest = hashlib.sha256(content).digest()
    return Opened(Representation((name,), identity, digest=digest), content)


async def open_file(file: Any, name: str) -> Opened:
    """Take over a binary file object: its whole content is sent, and it is closed.

    A file on disk is sent from a duplicate of its descriptor. A file in memory, or one that decodes
    the bytes that it reads, is read whole in a thread.

    Raises:
        TypeError: the object is not a binary file.
    """
    if isinstance(file, io.BytesIO):
        content = file.getvalue()
        file.close()
        return open_bytes(content, name)
    if isinstance(file, io.TextIOBase) or not _is_readable(file):
        raise TypeError(
            f"cannot send {type(file).__name__}: a path, bytes or a binary file is needed"
        )
    if _is_plain_file(file):
        return await _pool.run(_take_over, file, name, discard=Opened.close)
    return open_bytes(await _pool.run(_read_whole, file), name)


def _open(path: str, nowait: bool) -> Opened:
    if nowait:
        name, cached = os.fsencode(path), kernel.RESOLVE_CACHED
        fd = kernel.openat2(kernel.AT_FDCWD, name, kernel.OPEN_FLAGS, cached)
    else:
        fd = kernel.open_path(path)
    try:
        return _opened(fd, os.path.basename(path), path, nowait)
    except BaseException:
        kernel.release(fd)
        raise


def _opened(fd: int, name: str, path: str, nowait: bool) -> Opened:
    """Make an `Opened` of a descriptor, and own the descriptor from then on."""
    status = kernel.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(2, "no regular file")
    identity = identity_of(status)
    dated = _times.is_unique((path,), identity) if path else True
    if identity.length <= _IN_MEMORY:
        version = read_version(fd, identity, nowait=nowait)
        if version is not None:
            identity, content = version
            digest = hashlib.sha256(content).digest()
            kernel.release(fd)
            hashed = Representation(
                (name,), identity, digest=digest, modified_ns=identity.mtime_ns, dated=dated
            )
            return Opened(hashed, content)
    handle = open_handle(fd, identity, _pool, nowait=nowait)
    modified_ns = handle.identity.mtime_ns
    facts = Representation((name,), handle.identity, modified_ns=modified_ns, dated=dated)
    return Opened(_with_digest(fd, facts, path, nowait), handle=handle)


def _with_digest(fd: int, facts: Representation, path: str, nowait: bool) -> Representation:
    """Add the digest that the entity-tag of a large file is made from, as `Contents` does.

    A file object has no path, so an earlier version of it cannot be noticed.
    """
    if facts.length <= HASHED:
        return facts._replace(digest=_digests.content(fd, facts.identity, nowait=nowait))
    if not path or not facts.dated:
        return facts
    return facts._replace(summary=_digests.summary(fd, facts.identity, nowait=nowait))


def _is_readable(file: Any) -> bool:
    """Tell whether `read` is a plain function; aiofiles' is not, so those files need a path."""
    read = getattr(file, "read", None)
    return callable(read) and not iscoroutinefunction(read)


def _is_plain_file(file: Any) -> bool:
    """Tell whether reading returns the descriptor's own bytes; gzip's and zipfile's do not."""
    inner = getattr(file, "file", file)  # of tempfile.NamedTemporaryFile
    return isinstance(getattr(inner, "raw", inner), io.FileIO)


def _take_over(file: Any, name: str) -> Opened:
    if file.writable():
        file.flush()
    fd = kernel.dup(file.fileno())
    try:
        file.close()
        return _opened(fd, name, "", nowait=False)
    except BaseException:
        kernel.release(fd)
        raise


def _read_whole(file: Any) -> bytes:
    with file:
        if file.seekable():
            file.seek(0)
        return bytes(file.read())
