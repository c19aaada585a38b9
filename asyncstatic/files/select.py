"""The selection chooses the file of a tree that represents a resource.

A directory is represented by its index. A file is represented by itself, or by the preferred of
its sidecars (``app.js.br`` beside ``app.js``). A sidecar is used once it is proven to decode to the
bytes of its original; until then the original is sent, and the answer is not cached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from asyncstatic.files import kernel
from asyncstatic.files.candidates import Candidates, is_stored
from asyncstatic.files.contents import Contents
from asyncstatic.files.root import Segments
from asyncstatic.files.sidecar import sidecar_of
from asyncstatic.files.source import Found, Opened, is_forbidden, is_missing
from asyncstatic.files.tree import File, TreeReader
from asyncstatic.http.model import (
    SUFFIXES,
    Absence,
    DirectoryRedirect,
    Identity,
    Lookup,
    Representation,
)
from asyncstatic.settings import Settings

# For a client that accepts no coding any sidecar may be decoded.
_EACH_CODING = tuple((coding,) for coding in SUFFIXES)


class Selection:
    """Selects representations from one tree, in the tree's mode.

    Args:
        settings: index and precompressed are used.
        allowed: the name policy; asked about index files and sidecars.
        tree: the names and files.
        contents: opens the selected file.

    Attributes:
        tree: the argument.
    """

    def __init__(
        self,
        settings: Settings,
        allowed: Callable[[Segments], bool],
        tree: TreeReader,
        contents: Contents,
    ) -> None:
        self._settings = settings
        self._allowed = allowed
        self.tree = tree
        self._contents = contents

    def find_or_missing(self, lookup: Lookup) -> Found:
        """Do the same as `find`, but return MISSING where there is no such file."""
        try:
            return self.find(lookup)
        except OSError as error:
            if not is_missing(error):
                raise
            return Absence.MISSING

    def find(self, lookup: Lookup) -> Found:
        """Select and open the file that represents a resource.

        Raises:
            BlockingIOError: the lookup would have to wait, and the tree does not wait.
            OSError: there is no such file, or the disk failed.
        """
        try:
            return self._file(lookup)
        except IsADirectoryError:
            return self._index(lookup)
        except PermissionError:
            index = self._index(lookup)  # of a directory that may be searched, but not read
            if index is Absence.MISSING:
                raise
            return index

    def _file(self, lookup: Lookup) -> Opened | Absence:
        """Select and open a file by its own name, or a sidecar; IsADirectoryError for a directory."""
        try:
            original = self.tree.open_file(lookup.segments)
        except FileNotFoundError:
            if lookup.directory or not self._settings.precompressed:
                raise
            return self._without_original(lookup)
        if lookup.directory:
            kernel.release(original.fd)
            return Absence.MISSING
        return self._represent(lookup, original)

    def _index(self, lookup: Lookup) -> Found:
        """Return the first index that exists; without the slash, only that there is one."""
        is_certain = True  # no earlier index exists in any form
        for name in self._settings.index:
            segments = (*lookup.segments, name)
            if not self._allowed(segments):
                continue
            below = Lookup(segments, directory=False, codings=lookup.codings)
            try:
                found = self._file(below)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                found = Absence.MISSING
            if isinstance(found, Opened) and not lookup.directory:
                found.close()
                return (
                    DirectoryRedirect(lookup.segments[-1]) if lookup.segments else Absence.MISSING
                )
            if isinstance(found, Opened):
                found.dependencies = found.dependencies if is_certain else ()
                return found
            is_certain = is_certain and not is_stored(self.tree.path_of(segments))
        return Absence.MISSING

    def _represent(self, lookup: Lookup, original: File) -> Opened | Absence:
        candidates = self._candidates(lookup.segments, [original])
        try:
            chosen = original
            if len(candidates.files) > 1:
                # RFC 9110 §12.4.1: where no stored coding is acceptable the field is disregarded;
                # the original is worth more to a client than a 406.
                is_fresh = partial(self._contents.is_fresh, self.tree, lookup.segments, original)
                chosen = candidates.choose(lookup.codings, is_fresh) or original
            facts = Representation(
                lookup.segments,
                chosen.identity,
                chosen.coding,
                negotiable=len(candidates.files) > 1,
                original_length=original.identity.length,
                modified_ns=original.version.mtime_ns,
                dated=self._contents.times.is_unique(lookup.segments, original.version),
            )
            opened = self._open(candidates, chosen, facts)
            if opened is None and chosen is not original:  # it changed after it was proven
                facts = facts._replace(identity=original.identity, coding=original.coding)
                opened = self._open(candidates, original, facts)
                if opened is not None:
                    opened.dependencies = ()
            return opened or Absence.OVERLOADED
        finally:
            candidates.close()

    def _without_original(self, lookup: Lookup) -> Opened | Absence:
        """Serve a lone sidecar, decoded for a client that does not accept its coding."""
        candidates = self._candidates(lookup.segments, [])
        try:
            is_whole = partial(self._contents.is_fresh, self.tree, lookup.segments, None)
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
                modified_ns=chosen.version.mtime_ns,
                dated=self._contents.times.is_unique(lookup.segments, chosen.version),
            )
            return self._open(candidates, chosen, facts) or Absence.OVERLOADED
        finally:
            candidates.close()

    def _open(self, candidates: Candidates, chosen: File, facts: Representation) -> Opened | None:
        return self._contents.open(candidates, chosen, facts, nowait=self.tree.nowait)

    # -- sidecars --------------------------------------------------------------------------

    def _candidates(self, segments: Segments, files: list[File]) -> Candidates:
        """Open the sidecars of a resource beside these files."""
        try:
            directory = self.tree.stamp(segments[:-1])
            candidates = Candidates(directory, segments[-1] if segments else "", files)
            if not files:
                candidates.could_not_open("identity")
            if self._settings.precompressed:
                for coding in self._stored(segments, directory.identity):
                    self._open_sidecar(candidates, segments, coding)
                files += [coded for file in files[:1] if (coded := file.in_gzip()) is not None]
        except BaseException:
            for file in files:
                kernel.release(file.fd)
            raise
        return candidates

    def _stored(self, segments: Segments, directory: Identity) -> tuple[str, ...]:
        """Return the codings in which there may be a sidecar."""
        if not segments:
            return ()
        names = self.tree.names(segments[:-1], directory)
        if names is None:
            return tuple(SUFFIXES)
        return tuple(
            coding for coding, suffix in SUFFIXES.items() if segments[-1] + suffix in names
        )

    def _open_sidecar(self, candidates: Candidates, segments: Segments, coding: str) -> None:
        """Open one sidecar, if it is there and public.

        A fault of the server is raised: an answer without the sidecar would say that there is none.
        """
        named = sidecar_of(segments, coding)
        if not self._allowed(named):
            return
        try:
            candidates.files.append(self.tree.open_file(named, coding))
        except OSError as error:
            if not (is_missing(error) or is_forbidden(error)):
                raise
            candidates.could_not_open(coding)
