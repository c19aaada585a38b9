"""Sidecars: a precompressed copy beside its original, and the proof that it is fresh."""

from __future__ import annotations

import errno
import time
from itertools import islice
from typing import NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.handle import identity_of, read_fully
from asyncstatic.files.memory import BoundedDict
from asyncstatic.files.resolver import Resolver
from asyncstatic.files.root import fault, release
from asyncstatic.http.model import Identity

#: Suffix of a file by its content-coding, in the order in which equals are preferred.
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}

_ENDINGS = tuple(SUFFIXES.values())
_DIRECTORIES = 1024  # remembered at the same time
_LARGE_DIRECTORY = 20_000  # names; reading them takes about 10 ms
_READ_AGAIN_AFTER = 1.0  # seconds

_SECOND = 1_000_000_000
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_SMALLEST = 18  # header and trailer (RFC 1952 §2.3)


def is_fresh(
    coding: str, fd: int, sidecar: Identity, original: Identity, *, nowait: bool = False
) -> bool:
    """Tell whether a sidecar was made from this original, as far as can be proven.

    Args:
        coding: of the sidecar.
        fd: the sidecar, open.
        sidecar: its identity.
        original: identity of the file beside it.
        nowait: do not wait for a disk: for use on an event loop.

    Raises:
        BlockingIOError: it would have to wait.
        OSError: the sidecar could not be read.
    """
    if not _not_older(sidecar.mtime_ns, original.mtime_ns):
        return False
    return coding != "gzip" or _gzip_holds(fd, sidecar.size, original.size, nowait)


def _not_older(sidecar_ns: int, original_ns: int) -> bool:
    """Compressors copy the original's time; some cut it to the second."""
    if sidecar_ns % _SECOND == 0:
        return sidecar_ns >= original_ns // _SECOND * _SECOND
    return sidecar_ns >= original_ns


def _gzip_holds(fd: int, size: int, original_size: int, nowait: bool) -> bool:
    """Compare ISIZE, the size before compression modulo 2**32 (RFC 1952 §2.3.1)."""
    if size < _GZIP_SMALLEST or read_fully(fd, 0, 2, nowait=nowait) != _GZIP_MAGIC:
        return False
    isize = int.from_bytes(read_fully(fd, size - 4, 4, nowait=nowait), "little")
    return isize == original_size % 2**32


class SidecarNames:
    """Which sidecars each directory holds, so that nobody asks for those that are not there.

    A directory is read once for each identity it has: adding or removing a name changes its
    times (inode(7)). One that is large, or changes all the time,
    is not read at all: then every sidecar may exist, and has to be asked for.

    Args:
        resolver: opens the directories.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._seen: BoundedDict[tuple[str, ...], _Seen] = BoundedDict(_DIRECTORIES)

    def of(
        self, directory: tuple[str, ...], identity: Identity, *, nowait: bool
    ) -> frozenset[str] | None:
        """Return the names of all sidecars in a directory; None when only asking will tell.

        Args:
            directory: below the root.
            identity: of the directory, looked up just now.
            nowait: raise BlockingIOError rather than read the directory.

        Raises:
            OSError: it cannot be read.
        """
        seen = self._seen.get(directory)
        if seen is not None and seen.identity == identity:
            return seen.names
        now = time.monotonic()
        if seen is not None and now - seen.read_at < _READ_AGAIN_AFTER:
            return None
        if nowait:
            raise fault(errno.EAGAIN)
        names = self._read(directory, identity)
        if not identity.racy(time.time_ns()):
            self._seen.put(directory, _Seen(identity, names, now))
        return names

    def _read(self, directory: tuple[str, ...], identity: Identity) -> frozenset[str] | None:
        fd = self._resolver.open(directory)
        try:
            if identity_of(kernel.fstat(fd)) != identity:
                return None
            with kernel.scandir_fd(fd) as entries:
                some = [entry.name for entry in islice(entries, _LARGE_DIRECTORY)]
        finally:
            release(fd)
        if len(some) == _LARGE_DIRECTORY:
            return None
        return frozenset(name for name in some if name.endswith(_ENDINGS))


class _Seen(NamedTuple):
    identity: Identity
    names: frozenset[str] | None
    read_at: float
