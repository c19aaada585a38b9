"""A directory tree as a source.

One lookup: open the name, `fstat` what was opened, and use only that handle from then on.
A directory is answered by its index; a file by itself or by the preferred of its fresh
sidecars (``app.js.br`` beside ``app.js``). Everything goes through the same resolver.

A sidecar is used once it is proven to decode to its original's bytes. The same code runs on the
event loop and in the pool. On the loop (`nowait`) every step raises BlockingIOError instead of
waiting, and the lookup is begun again in a thread.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
from collections.abc import Callable
from functools import partial

from asyncstatic.files import kernel
from asyncstatic.files.candidates import Candidates, File, is_stored
from asyncstatic.files.digests import HASHED, Digests
from asyncstatic.files.handle import ReadBegunError, identity_of, open_handle, read_version
from asyncstatic.files.listing import DirectoryNames
from asyncstatic.files.memory import Dating
from asyncstatic.files.pool import Pool, PoolBusyError
from asyncstatic.files.proof import Pair, Proofs
from asyncstatic.files.resolver import choose_resolver
from asyncstatic.files.root import Tree, fault, release
from asyncstatic.files.sidecar import SUFFIXES
from asyncstatic.files.source import Found, Opened, absence_of, is_forbidden, is_missing
from asyncstatic.files.witness import DirectoryWitnesses, Witness
from asyncstatic.http.model import Absence, Folder, Identity, Lookup, Representation
from asyncstatic.settings import Settings

_NOBODY_MAY_READ = 0o444
_RENEWALS = 10  # deploys, one right after another, that a lookup may meet
_READ_TAKES = (0.0003, 0.001)  # seconds: flash, and a busy one
# Any sidecar may be the one that is decoded for a client that accepts none.
_EACH_CODING = tuple((coding,) for coding in SUFFIXES)


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
        self._begun: Lookup | None = None
        self._dating = Dating()
        self._digests = Digests()
        self._proofs = Proofs()
        self._directories = DirectoryWitnesses(self.path)
        self._names = DirectoryNames(self._resolver, self._directories)

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
        self._proofs.close()
        self._resolver.close()

    def _find(self, lookup: Lookup, nowait: bool) -> Found:
        if not lookup.available or self._names.tell_missing(lookup.segments):
            return Absence.MISSING
        try:
            found = self._find_present(lookup, nowait)
            if found is Absence.MISSING and not nowait:
                self._names.learn_missing(lookup.segments)
            return found
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

    def _open_file(self, segments: tuple[str, ...], coding: str, nowait: bool) -> File:
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
        return File(fd, identity_of(status), coding)

    def _index(self, lookup: Lookup, nowait: bool) -> Found:
        """The first index that is there; without the slash, only that there is one."""
        is_certain = True  # that the names before it are not there, in no way
        for name in self._settings.index:
            segments = (*lookup.segments, name)
            if not self._allowed(segments):
                continue
            below = Lookup(segments, directory=False, codings=lookup.codings)
            try:
                found = self._lookup(below, nowait)
            except (FileNotFoundError, NotADirectoryError):
                found = Absence.MISSING
            if isinstance(found, Opened) and not lookup.directory:
                found.close()
                return Folder(lookup.segments[-1]) if lookup.segments else Absence.MISSING
            if isinstance(found, Opened):
                found.witnesses = found.witnesses if is_certain else ()
                return found
            is_certain = is_certain and not is_stored(self._directories.path_of(segments))
        return Absence.MISSING

    # -- negotiation: which of the stored codings ------------------------------------------

    def _represent(self, lookup: Lookup, original: File, nowait: bool) -> Opened | Absence:
        candidates = self._candidates(lookup.segments, [original], nowait)
        try:
            # RFC 9110 §12.4.1: where nothing stored is acceptable the field is disregarded;
            # the original is worth more to a client than a 406.
            is_fresh = partial(self._is_fresh, lookup.segments, original, nowait=nowait)
            chosen = candidates.choose(lookup.codings, is_fresh) or original
            facts = Representation(
                lookup.segments,
                chosen.identity,
                chosen.coding,
                negotiable=len(candidates.files) > 1,
                modified_ns=original.identity.mtime_ns,
                dated=self._dating.tells(lookup.segments, original.identity),
            )
            opened = self._take(candidates, chosen, facts, nowait)
            if opened is None and chosen is not original:  # it changed after it was proven
                facts = facts._replace(identity=original.identity, coding=original.coding)
                opened = self._take(candidates, original, facts, nowait)
                if opened is not None:
                    opened.witnesses = ()
            return opened or Absence.OVERLOADED
        finally:
            candidates.close()

    def _without_original(self, lookup: Lookup, nowait: bool) -> Opened | Absence:
        """Serve a lone sidecar, decoded for a client that does not accept its coding."""
        candidates = self._candidates(lookup.segments, [], nowait)
        try:
            is_whole = partial(self._is_fresh, lookup.segments, None, nowait=nowait)
            chosen, decoding = candidates.choose(lookup.codings, is_whole), None
            if chosen is None:
                chosen = candidates.choose(_EACH_CODING, is_whole)
                if chosen is None:
                    return Absence.MISSING
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
            return self._take(candidates, chosen, facts, nowait) or Absence.OVERLOADED
        finally:
            candidates.close()

    def _candidates(self, segments: tuple[str, ...], files: list[File], nowait: bool) -> Candidates:
        """Open what is stored of a resource besides these files."""
        try:
            directory = self._directory_witness(segments, nowait)
            candidates = Candidates(directory, segments[-1] if segments else "", files)
            if not files:
                candidates.could_not_open("identity")
            if self._settings.precompressed:
                for coding in self._stored(segments, directory.identity, nowait):
                    self._open_sidecar(candidates, segments, coding, nowait)
        except BaseException:
            for file in files:
                release(file.fd)
            raise
        return candidates

    def _stored(
        self, segments: tuple[str, ...], directory: Identity, nowait: bool
    ) -> tuple[str, ...]:
        """The codings in which a file may be there, besides its own."""
        if not segments:
            return ()
        names = self._names.of(segments[:-1], directory, nowait=nowait)
        if names is None:
            return tuple(SUFFIXES)
        return tuple(
            coding for coding, suffix in SUFFIXES.items() if segments[-1] + suffix in names
        )

    def _open_sidecar(
        self, candidates: Candidates, segments: tuple[str, ...], coding: str, nowait: bool
    ) -> None:
        """Open one sidecar, if there is one for us.

        A fault of ours is raised: an answer without the sidecar would say that there is none.
        """
        named = _sidecar_of(segments, coding)
        if not self._allowed(named):
            return
        try:
            candidates.files.append(self._open_file(named, coding, nowait))
        except OSError as error:
            if not (is_missing(error) or is_forbidden(error)):
                raise
            candidates.could_not_open(coding)

    def _is_fresh(
        self, segments: tuple[str, ...], original: File | None, sidecar: File, *, nowait: bool
    ) -> bool | None:
        """Tell whether a sidecar holds the original's content; None while that is not known."""
        pair = Pair(sidecar.coding, sidecar.identity, original.identity if original else None)
        name = "/".join(_sidecar_of(segments, sidecar.coding))
        prove_anew = partial(self._prove, segments, pair)
        fds = (sidecar.fd, original.fd if original else -1)
        return self._proofs.verdict(pair, name, *fds, prove_anew, nowait=nowait)

    def _prove(self, segments: tuple[str, ...], pair: Pair) -> None:
        """Prove a pair in the background, by handles of its own: the request's are closed soon."""
        named = _sidecar_of(segments, pair.coding)
        original = self._open_file(segments, "identity", nowait=False)
        try:
            sidecar = self._open_file(named, pair.coding, nowait=False)
            try:
                if (sidecar.identity, original.identity) == (pair.sidecar, pair.original):
                    self._proofs.prove(pair, "/".join(named), sidecar.fd, original.fd)
            finally:
                release(sidecar.fd)
        finally:
            release(original.fd)

    # -- content: in memory when it is small, else by its handle ---------------------------

    def _take(
        self, candidates: Candidates, chosen: File, facts: Representation, nowait: bool
    ) -> Opened | None:
        """Make the answer; a handle that it holds is taken. None: the file is being written."""
        witnesses = candidates.witnesses(chosen)
        if chosen.identity.size <= self._settings.cache_file_bytes and facts.decoding is None:
            return self._in_memory(chosen, facts, witnesses, nowait)
        handle = open_handle(chosen.fd, chosen.identity, self._pool, nowait=nowait)
        identity = handle.identity
        if facts.coding != "identity" and identity != chosen.identity:
            return None  # the proof was about what it was
        now = chosen._replace(identity=identity)
        facts = self._with_digest(now, facts._replace(identity=identity), nowait)
        candidates.take(chosen)
        witnesses = witnesses if identity == chosen.identity else ()
        return Opened(facts, handle=handle, witnesses=witnesses)

    def _in_memory(
        self, chosen: File, facts: Representation, witnesses: tuple[Witness, ...], nowait: bool
    ) -> Opened | None:
        """Read all bytes of one version: a file that is being written is read again."""
        version = read_version(chosen.fd, chosen.identity, nowait=nowait)
        if version is None:
            return None
        identity, octets = version
        if facts.coding != "identity" and identity != chosen.identity:
            return None  # the proof was about what it was
        digest = None if self._settings.etag == "off" else hashlib.sha256(octets).digest()
        facts = facts._replace(identity=identity, digest=digest)
        return Opened(facts, octets, witnesses=witnesses if identity == chosen.identity else ())

    def _with_digest(self, file: File, facts: Representation, nowait: bool) -> Representation:
        """Add what the entity-tag of a large file is made from, computed once per identity."""
        etag, digests = self._settings.etag, self._digests
        if etag == "off":
            return facts
        if etag == "content" or file.identity.size <= HASHED:
            return facts._replace(digest=digests.content(file.fd, file.identity, nowait=nowait))
        if not self._has_own_date(file, facts):
            return facts
        return facts._replace(summary=digests.summary(file.fd, file.identity, nowait=nowait))

    def _has_own_date(self, file: File, facts: Representation) -> bool:
        """Tell whether no other file was seen under this name with this modification time."""
        if file.coding == "identity":
            return facts.dated
        return self._dating.tells(_sidecar_of(facts.segments, file.coding), file.identity)

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


def _sidecar_of(segments: tuple[str, ...], coding: str) -> tuple[str, ...]:
    return (*segments[:-1], segments[-1] + SUFFIXES[coding])


def _close_found(found: Found) -> None:
    if isinstance(found, Opened):
        found.close()
