"""The content of files: held in memory or by an open handle, with the facts that describe it.

One object per root holds the facts about contents: digests, proofs of sidecars, and modification
times. All trees of the root share it.
"""

from __future__ import annotations

import hashlib
from functools import partial

from asyncstatic.files import kernel
from asyncstatic.files.bounded import BoundedDict
from asyncstatic.files.candidates import Candidates
from asyncstatic.files.digests import HASHED, Digests
from asyncstatic.files.handle import Handle, open_handle, read_version
from asyncstatic.files.pool import Pool
from asyncstatic.files.proof import AT_ONCE, Proofs, SidecarPair
from asyncstatic.files.root import Segments
from asyncstatic.files.sidecar import sidecar_of
from asyncstatic.files.source import Opened
from asyncstatic.files.tree import File, TreeReader
from asyncstatic.files.unpacked import UnpackedHandle
from asyncstatic.http.model import SECOND, Identity, Representation
from asyncstatic.settings import Settings

_TIMES = 16_384  # files whose last modification time is held


class ModificationTimes:
    """The modification times that files had: a time may have been that of other content.

    Tools restore times (``touch -r``, SOURCE_DATE_EPOCH), and two writes may share a second. Once
    two versions of a file have had the same second, that second proves nothing.
    """

    def __init__(self) -> None:
        self._seen: BoundedDict[Segments, tuple[Identity, bool]] = BoundedDict(_TIMES)

    def is_unique(self, segments: Segments, identity: Identity) -> bool:
        """Tell whether no other version of this file had the same modification time."""
        seen = self._seen.get(segments)
        if seen is not None and seen[0] == identity:
            return seen[1]
        is_unique = seen is None or seen[0].mtime_ns // SECOND != identity.mtime_ns // SECOND
        self._seen.put(segments, (identity, is_unique))
        return is_unique


class Contents:
    """Opens content, and holds the facts about it.

    Args:
        settings: etag and limits are used.
        pool: reads from the disk.

    Attributes:
        times: the modification times that were seen.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self.times = ModificationTimes()
        self._digests = Digests()
        self._proofs = Proofs()

    def close(self) -> None:
        """End the thread of the proofs."""
        self._proofs.close()

    def open(
        self, candidates: Candidates, chosen: File, facts: Representation, *, nowait: bool
    ) -> Opened | None:
        """Return the content of a chosen file with its facts; None while the file is being written.

        Small content is read, and the caller keeps the descriptor. The handle of larger content takes
        the descriptor over.
        """
        dependencies = candidates.dependencies(chosen)
        is_small = chosen.identity.length <= self._settings.limits.cache_file_bytes
        in_memory = is_small and facts.decoding is None
        opened = (self._in_memory if in_memory else self._by_handle)(chosen, facts, nowait)
        if opened is None:
            return None
        is_same = opened.representation.identity == chosen.identity
        if facts.coding != "identity" and not is_same:
            return None  # the proof was about other bytes
        opened.dependencies = dependencies if is_same else ()
        if not in_memory:
            candidates.take(chosen)
        return opened

    def _in_memory(self, chosen: File, facts: Representation, nowait: bool) -> Opened | None:
        """Read all bytes of one version."""
        version = read_version(chosen.fd, chosen.identity, nowait=nowait)
        if version is None:
            return None
        identity, content = version
        digest = None if self._settings.etag == "off" else hashlib.sha256(content).digest()
        return Opened(facts._replace(identity=identity, digest=digest), content)

    def _by_handle(self, chosen: File, facts: Representation, nowait: bool) -> Opened:
        handle = self._handle(chosen, nowait)
        file = chosen._replace(identity=handle.identity)
        facts = facts._replace(identity=handle.identity)
        return Opened(self._with_digest(file, facts, nowait), handle=handle)

    def _handle(self, chosen: File, nowait: bool) -> Handle:
        if chosen.unpacked is not None:
            return UnpackedHandle(chosen.fd, chosen.identity, self._pool, chosen.unpacked)
        return open_handle(chosen.fd, chosen.identity, self._pool, nowait=nowait)

    def _with_digest(self, file: File, facts: Representation, nowait: bool) -> Representation:
        """Add the digest that the entity-tag of a large file is made from, once per identity."""
        etag, digests = self._settings.etag, self._digests
        if etag == "off":
            return facts
        if file.unpacked is not None:
            return facts._replace(digest=file.unpacked.digest(file.identity.part))
        if etag == "content" or file.identity.length <= HASHED:
            return facts._replace(digest=digests.content(file.fd, file.identity, nowait=nowait))
        if not self._has_unique_time(file, facts):
            return facts
        return facts._replace(summary=digests.summary(file.fd, file.identity, nowait=nowait))

    def _has_unique_time(self, file: File, facts: Representation) -> bool:
        """Tell whether no other file was seen under this name with this modification time."""
        if file.coding == "identity":
            return facts.dated
        return self.times.is_unique(sidecar_of(facts.segments, file.coding), file.version)

    # -- proofs of sidecars ----------------------------------------------------------------

    def is_fresh(
        self, tree: TreeReader, segments: Segments, original: File | None, sidecar: File
    ) -> bool | None:
        """Tell whether a sidecar holds the original's content; None while that is unknown."""
        name = "/".join(sidecar_of(segments, sidecar.coding))
        pair = SidecarPair(name, sidecar, original)
        if pair.largest > AT_ONCE and any(file.unpacked for file in pair.files):
            return False  # it would be unpacked anew for the proof, and have another identity
        prove_anew = partial(self._prove, tree, segments, pair)
        return self._proofs.verdict(pair, prove_anew, nowait=tree.nowait)

    def _prove(self, tree: TreeReader, segments: Segments, pair: SidecarPair) -> None:
        """Prove a pair in the background, with its own handles: the request's are closed soon."""
        tree, coding = tree.waiting(), pair.sidecar.coding
        original = tree.open_file(segments)
        try:
            sidecar = tree.open_file(sidecar_of(segments, coding), coding)
            try:
                anew = SidecarPair(pair.name, sidecar, original)
                if anew.key == pair.key:
                    self._proofs.prove(anew)
            finally:
                kernel.release(sidecar.fd)
        finally:
            kernel.release(original.fd)
