"""Sidecars: the names of precompressed copies beside their originals."""

from __future__ import annotations

import errno
import time
from itertools import islice
from typing import NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.handle import identity_of
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
