"""A directory tree as a source.

One lookup: open the name, `fstat` what was opened, and use only that handle from then on.
A directory is answered by its index; a file by itself or by the preferred of its fresh
sidecars (``app.js.br`` beside ``app.js``). Everything goes through the same resolver.

The same code runs on the event loop and in the pool. On the loop (`nowait`) every step
raises BlockingIOError instead of waiting, and the lookup is begun again in a thread.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.decoding import can_decode
from asyncstatic.files.handle import (
    ReadBegunError,
    identity_of,
    open_handle,
    read_fully,
    read_version,
)
from asyncstatic.files.memory import BoundedDict, Dating
from asyncstatic.files.pool import Pool, PoolBusyError
from asyncstatic.files.resolver import choose_resolver
from asyncstatic.files.root import Tree, fault, release
from asyncstatic.files.sidecar import SUFFIXES, SidecarNames, is_fresh
from asyncstatic.files.source import Found, Opened, absence_of, is_forbidden, is_missing
from asyncstatic.files.witness import DirectoryWitnesses, Witness, lasting
from asyncstatic.http.model import Absence, Folder, Identity, Lookup, Representation
from asyncstatic.settings import Settings

_NOBODY_MAY_READ = 0o444
_RENEWALS = 10  # deploys, one right after another, that a lookup may meet
_READ_TAKES = (0.0003, 0.001)  # seconds: flash, and a busy one
_HASH_STEP = 1 << 20


class _File(NamedTuple):
    """A regular file that is open; whoever holds it closes `fd`."""

    fd: int
    identity: Identity
    coding: str


class Directory:
    """Serve what is below one directory.

    Args:
        settings: root, symlinks, index, precompressed, etag, cache_bytes, cache_file_bytes,
            pool_threads, pool_timeout, resolver and previous_root_grace are used.
        allowed: which names are public; asked about what was not named by the request
            itself: where links lead, index files, sidecars.

    Raises:
        OSError: the root is missing, no directory, or unreadable.
        ValueError: the chosen resolver does not work here.
    """

    def __init__(self, settings: Settings, allowed: Callable[[tuple[str, ...]], bool]) -> None:
        self._settings = settings
        self._resolver = choose_resolver(
            settings.root,
            symlinks=settings.symlinks,
            allowed=allowed,
            prefer=settings.resolver,
            grace=settings.previous_root_grace,
        )
        self._allowed = allowed
        self.path = os.path.abspath(settings.root)
        self._pool = Pool(settings.pool_threads, settings.pool_timeout)
        self._sidecar_names = SidecarNames(self._resolver)
        self._begun: Lookup | None = None
        self._dating = Dating()
        self._digests: BoundedDict[Identity, bytes] = BoundedDict(65_536)
        self._directories = DirectoryWitnesses(self.path)

    @property
    def resolver_name(self) -> str:
        """Which resolver works on this root, for the start-up line."""
        return self._resolver.name

    def previous_tree(self) -> Tree | None:
        """Return the tree before the present one, as long as it is kept."""
        return self._resolver.root.previous()

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Answer from what the kernel has in memory, else None."""
        self._begun = None
        try:
            return self._find(lookup, nowait=True)
        except ReadBegunError:
            self._begun = lookup
        except BlockingIOError:
            pass
        return None

    async def open(self, lookup: Lookup) -> Found:
        """Answer, waiting for the disk: in the pool, unless it reads for us already.

        Then it is worth a moment: a hop to a thread and back costs more than a small read.
        """
        if self._begun is lookup:
            for seconds in _READ_TAKES:
                await asyncio.sleep(seconds)
                found = self.open_nowait(lookup)
                if found is not None:
                    return found
        try:
            return await self._pool.run(self._find, lookup, False, discard=_close_found)
        except PoolBusyError:
            return Absence.OVERLOADED

    def close(self) -> None:
        """Give back root handle and threads."""
        self._pool.close()
        self._resolver.close()

    def _find(self, lookup: Lookup, nowait: bool) -> Found:
        if not lookup.available:
            return Absence.MISSING
        try:
            return self._find_present(lookup, nowait)
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise
            return absence_of(error)

    def _find_present(self, lookup: Lookup, nowait: bool) -> Found:
        """Believe that something is missing only of the tree that the root leads to now.

        The root's handle is renewed a few times a second, and a deploy may delete the tree
        it replaced at once.
        """
        root = self._resolver.root
        for _ in range(_RENEWALS):
            tree = root.tree(cached_only=nowait)
            try:
                found = self._lookup(lookup, nowait)
            except OSError as error:
                if not is_missing(error):
                    raise
                found = Absence.MISSING
            if found is not Absence.MISSING or root.leads_to(tree):
                break
            root.renew(cached_only=nowait)
        return found

    def _lookup(self, lookup: Lookup, nowait: bool) -> Found:
        try:
            original = self._open_file(lookup.segments, "identity", nowait)
        except IsADirectoryError:
            return self._index(lookup, nowait)
        except (FileNotFoundError, NotADirectoryError):
            if lookup.directory or not self._settings.precompressed:
                raise
            return self._without_original(lookup, nowait)
        if lookup.directory:
            release(original.fd)
            return Absence.MISSING
        return self._represent(lookup, original, nowait)

    def _open_file(self, segments: tuple[str, ...], coding: str, nowait: bool) -> _File:
        """Open one regular file; IsADirectoryError for a directory, ENXIO for other kinds."""
        fd = self._resolver.open(segments, cached_only=nowait)
        try:
            status = kernel.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                raise fault(errno.EISDIR)
            if not stat.S_ISREG(status.st_mode):
                raise fault(errno.ENOENT)
            # Root reads everything: a file nobody may read is hidden all the same.
            if not status.st_mode & _NOBODY_MAY_READ and os.name == "posix":
                raise fault(errno.EACCES)
        except BaseException:
            release(fd)
            raise
        return _File(fd, identity_of(status), coding)

    def _index(self, lookup: Lookup, nowait: bool) -> Found:
        """The first index that is there; without the slash, only that there is one."""
        for name in self._settings.index:
            segments = (*lookup.segments, name)
            if not self._allowed(segments):
                continue
            below = Lookup(segments, directory=False, codings=lookup.codings)
            try:
                found = self._lookup(below, nowait)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if isinstance(found, Opened) and not lookup.directory:
                found.close()
                return Folder(lookup.segments[-1]) if lookup.segments else Absence.MISSING
            if isinstance(found, Opened):
                return found
        return Absence.MISSING

    # -- negotiation: which of the stored codings ------------------------------------------

    def _represent(self, lookup: Lookup, original: _File, nowait: bool) -> Opened | Absence:
        files = [original]
        try:
            directory = self._directory_witness(lookup.segments, nowait)
            if self._settings.precompressed:
                self._add_fresh_sidecars(files, lookup.segments, directory.identity, nowait)
            # RFC 9110 §12.4.1: where nothing stored is acceptable the field is disregarded;
            # the original is worth more to a client than a 406.
            chosen = _preferred(lookup.codings, files) or original
            facts = Representation(
                lookup.segments,
                chosen.identity,
                chosen.coding,
                negotiable=len(files) > 1,
                modified_ns=original.identity.mtime_ns,
                dated=self._dating.tells(lookup.segments, original.identity),
            )
            witnesses = _witnesses(directory, lookup.segments[-1], original, chosen)
            return self._take(files, chosen, facts, witnesses, nowait)
        finally:
            _close_all(files)

    def _without_original(self, lookup: Lookup, nowait: bool) -> Opened | Absence:
        """Serve a lone sidecar, decoded for a client that does not accept its coding."""
        files: list[_File] = []
        try:
            directory = self._directory_witness(lookup.segments, nowait)
            for coding in self._stored(lookup.segments, directory.identity, nowait):
                self._add_sidecar(files, lookup.segments, coding, nowait)
            if not files:
                return Absence.MISSING
            chosen = _preferred(lookup.codings, files)
            decoding = None
            if chosen is None:
                chosen = next((file for file in files if can_decode(file.coding)), None)
                if chosen is None:
                    return Absence.UNACCEPTABLE
                decoding = chosen.coding
            facts = Representation(
                lookup.segments,
                chosen.identity,
                "identity" if decoding else chosen.coding,
                decoding,
                negotiable=True,
                modified_ns=chosen.identity.mtime_ns,
                dated=self._dating.tells(lookup.segments, chosen.identity),
            )
            witnesses = _witnesses(directory, lookup.segments[-1], chosen, chosen)
            return self._take(files, chosen, facts, witnesses, nowait)
        finally:
            _close_all(files)

    def _stored(
        self, segments: tuple[str, ...], directory: Identity, nowait: bool
    ) -> tuple[str, ...]:
        """The codings in which a file may be there, besides its own."""
        if not segments:
            return ()
        names = self._sidecar_names.of(segments[:-1], directory, nowait=nowait)
        if names is None:
            return tuple(SUFFIXES)
        return tuple(
            coding for coding, suffix in SUFFIXES.items() if segments[-1] + suffix in names
        )

    def _add_fresh_sidecars(
        self, files: list[_File], segments: tuple[str, ...], directory: Identity, nowait: bool
    ) -> None:
        (original,) = files
        for coding in self._stored(segments, directory, nowait):
            self._add_sidecar(files, segments, coding, nowait)
            added = files[-1]
            if added.coding == coding and not is_fresh(
                coding, added.fd, added.identity, original.identity, nowait=nowait
            ):
                release(files.pop().fd)

    def _add_sidecar(
        self, files: list[_File], segments: tuple[str, ...], coding: str, nowait: bool
    ) -> None:
        """Open one sidecar, if there is one for us.

        A fault of ours is raised: an answer without the sidecar would say that there is none.
        """
        named = (*segments[:-1], segments[-1] + SUFFIXES[coding])
        if not self._allowed(named):
            return
        try:
            files.append(self._open_file(named, coding, nowait))
        except OSError as error:
            if not (is_missing(error) or is_forbidden(error)):
                raise

    # -- content: in memory when it is small, else by its handle ---------------------------

    def _take(
        self,
        files: list[_File],
        chosen: _File,
        facts: Representation,
        witnesses: tuple[Witness, ...],
        nowait: bool,
    ) -> Opened | Absence:
        """Make the answer; a handle it holds is taken out of `files`."""
        if chosen.identity.size <= self._settings.cache_file_bytes and facts.decoding is None:
            return self._in_memory(chosen, facts, witnesses, nowait)
        handle = open_handle(chosen.fd, chosen.identity, self._pool, nowait=nowait)
        same, identity = handle.identity == chosen.identity, handle.identity
        digest = None
        if self._settings.etag == "content":
            digest = self._known_digest(chosen._replace(identity=identity), nowait)
        files.remove(chosen)
        facts = facts._replace(identity=identity, digest=digest)
        return Opened(facts, handle=handle, witnesses=lasting(witnesses) if same else ())

    def _in_memory(
        self, chosen: _File, facts: Representation, witnesses: tuple[Witness, ...], nowait: bool
    ) -> Opened | Absence:
        version = read_version(chosen.fd, chosen.identity, nowait=nowait)
        if version is None:
            return Absence.OVERLOADED
        identity, octets = version
        digest = None if self._settings.etag == "off" else hashlib.sha256(octets).digest()
        facts = facts._replace(identity=identity, digest=digest)
        same = identity == chosen.identity
        return Opened(facts, octets, witnesses=lasting(witnesses) if same else ())

    def _known_digest(self, file: _File, nowait: bool) -> bytes | None:
        """The SHA-256 of a large file, computed once for each identity."""
        known = self._digests.get(file.identity)
        if known is not None:
            return known
        if nowait:
            raise fault(errno.EAGAIN)
        digest = hashlib.sha256()
        for offset in range(0, file.identity.size, _HASH_STEP):
            digest.update(read_fully(file.fd, offset, _HASH_STEP))
        if identity_of(kernel.fstat(file.fd)) != file.identity:
            return None
        if not file.identity.racy(time.time_ns()):
            self._digests.put(file.identity, digest.digest())
        return digest.digest()

    # -- witnesses -------------------------------------------------------------------------

    def _directory_witness(self, segments: tuple[str, ...], nowait: bool) -> Witness:
        """The directory that a new or removed sidecar or index would change."""
        directory = segments[:-1]
        try:
            return self._directories.of(directory)
        except FileNotFoundError:  # between the two renames of a deploy, say
            identity = self._identity_beneath(directory, nowait)
            return Witness(self._directories.path_of(directory), identity)

    def _identity_beneath(self, segments: tuple[str, ...], nowait: bool) -> Identity:
        fd = self._resolver.open(segments, cached_only=nowait)
        try:
            return identity_of(kernel.fstat(fd))
        finally:
            release(fd)


def _witnesses(
    directory: Witness, name: str, original: _File, chosen: _File
) -> tuple[Witness, ...]:
    """What must be unchanged for the same answer; directory and original decide about sidecars."""
    path = f"{directory.path}/{name}"
    files = (original,) if chosen is original else (original, chosen)
    paths = (Witness(path + SUFFIXES.get(file.coding, ""), file.identity) for file in files)
    return (directory, *paths)


def _preferred(tiers: tuple[tuple[str, ...], ...], files: list[_File]) -> _File | None:
    """The smallest file of the first tier that has one."""
    for tier in tiers:
        acceptable = [file for file in files if file.coding in tier]
        if acceptable:
            return min(acceptable, key=lambda file: file.identity.size)
    return None


def _close_all(files: list[_File]) -> None:
    for file in files:
        release(file.fd)


def _close_found(found: Found) -> None:
    if isinstance(found, Opened):
        found.close()
