"""A source that lists the directories that have no index."""

from __future__ import annotations

import errno
import gzip
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from asyncstatic.files import kernel
from asyncstatic.files.root import Segments
from asyncstatic.files.source import Found, Opened, Source, absence_of, is_missing, logger
from asyncstatic.files.tree import DirectoryEntry, TreeReader
from asyncstatic.files.tree_source import TreeSource, find_in
from asyncstatic.files.zipped import NO_FILE, ZippedFile, ZippedFolder
from asyncstatic.http.disposition import content_disposition
from asyncstatic.http.listing import NAMES_ON_PAGE, Row, natural_key, row_of, servable_in
from asyncstatic.http.model import (
    Absence,
    DirectoryRedirect,
    Lookup,
    RawFields,
    Representation,
    View,
)
from asyncstatic.serve.listing.page import Listing, Pages, Readme
from asyncstatic.settings import Settings
from asyncstatic.settings.values import printable

MOST_NAMES = 100_000  # that are read of one directory; their listing takes about 40 MB
MOST_MEMBERS = 10_000  # files and directories of an archive
_LARGEST_README = 128 * 1024  # bytes
_READMES = ("readme.md", "readme.markdown", "readme", "readme.txt")  # the first one is shown
_WORTH_GZIP = 2048  # bytes


class _Named(NamedTuple):
    """An entry, and the tree that has it."""

    entry: DirectoryEntry
    tree: TreeReader


class _Entries(dict[str, _Named]):
    """Entries by name; `is_cut`: there are more than were read."""

    is_cut = False


class ListedSource:
    """Lists a directory that another source calls missing, because it has no index.

    Everything happens in a pool of its own, so no file waits for a listing, and for each request
    anew: a listing is never cached, and shows what is there now.

    Args:
        source: is asked first.
        trees: the trees of the root; the first that has a name counts.
        settings: of the root.
        pages: makes the pages.
        hides: tells of a name that no zip has it, because another mount answers for it.
    """

    def __init__(
        self,
        source: Source,
        trees: list[TreeSource],
        settings: Settings,
        pages: Pages,
        hides: Callable[[Segments], bool],
    ) -> None:
        self._source = source
        self._first = trees[0]
        self._nowait = [tree.tree for tree in trees]
        self._trees = [tree.waiting() for tree in self._nowait]
        self._settings = settings
        self._pages = pages
        self._hides = hides
        self._pool = pages.pool

    def open_nowait(self, lookup: Lookup) -> Found | None:
        """Look a file up without waiting; None also where a directory may have to be listed."""
        found = self._source.open_nowait(lookup)
        if found is not Absence.MISSING or not lookup.available:
            return found
        return found if all(_is_missing_name(tree, lookup) for tree in self._nowait) else None

    async def open(self, lookup: Lookup) -> Found:
        """Look a file up, and list a directory without an index."""
        found = await self._source.open(lookup)
        if found is not Absence.MISSING or not lookup.available:
            return found
        if lookup.directory:
            return await find_in(self._pool, partial(self._find, self._directory, lookup))
        return await self._first.in_pool(partial(self._find, self._redirect, lookup))

    def close(self) -> None:
        """Close the source, and end the threads."""
        self._pool.close()
        self._source.close()

    def _find(self, find: Callable[[Lookup], Found], lookup: Lookup) -> Found:
        try:
            return find(lookup)
        except OSError as error:
            return absence_of(error, self._nowait[0].path_of(lookup.segments))

    def _directory(self, lookup: Lookup) -> Found:
        view = lookup.view or View()
        return self._archive(lookup) if view.form == "zip" else self._listing(lookup, view)

    def _in_trees(self, lookup: Lookup, select: Callable[[TreeReader], bool]) -> bool:
        """Call `select` with each tree as it is now; tell whether one has the directory."""

        def selected(tree: TreeReader, _lookup: Lookup) -> Found:
            try:
                return DirectoryRedirect("") if select(tree) else Absence.MISSING
            except OSError as error:
                if is_missing(error):
                    return Absence.MISSING
                raise

        found = [tree.find(lookup, partial(selected, tree)) for tree in self._trees]
        return any(isinstance(each, DirectoryRedirect) for each in found)

    def _redirect(self, lookup: Lookup) -> Found:
        """Redirect a directory without its slash."""

        def is_directory(tree: TreeReader) -> bool:
            entry = tree.entry(lookup.segments)
            return entry is not None and entry.is_directory

        if not lookup.segments or not self._in_trees(lookup, is_directory):
            return Absence.MISSING
        return DirectoryRedirect(lookup.segments[-1])

    # -- entries ---------------------------------------------------------------------------

    def _entries(self, lookup: Lookup, *, sized: bool) -> _Entries | None:
        """Return the public entries of a directory; None where there is no directory."""
        read: dict[TreeReader, list[DirectoryEntry]] = {}

        def read_names(tree: TreeReader) -> bool:
            read.pop(tree, None)  # it was replaced meanwhile
            read[tree] = tree.entries(lookup.segments, MOST_NAMES + 1, sized=sized)
            return True

        if not self._in_trees(lookup, read_names):
            return None
        found = _Entries()
        is_servable = servable_in(lookup.segments, self._settings)
        for tree, entries in read.items():
            found.is_cut |= len(entries) > MOST_NAMES
            for entry in entries[:MOST_NAMES]:
                if entry.name not in found and is_servable(entry.name, entry.is_directory):
                    found[entry.name] = _Named(entry, tree)
        return found

    def _listing(self, lookup: Lookup, view: View) -> Found:
        entries = self._entries(lookup, sized=view.sort != "name")
        if entries is None:
            return Absence.MISSING
        chosen = _chosen(entries, view)
        pages = max(-(-len(chosen) // NAMES_ON_PAGE), 1)
        view = view._replace(page=min(view.page, pages))
        first = (view.page - 1) * NAMES_ON_PAGE
        rows = list(_rows(chosen[first : first + NAMES_ON_PAGE], lookup.segments))
        total = len(rows) if pages == 1 else len(chosen)
        readme = None
        is_plain = view == View(form="html", sort=view.sort, descending=view.descending)
        if is_plain and self._pages.has_readme:
            readme = _readme(entries, lookup.segments)
        listing = Listing(lookup.segments, view, rows, total, pages, entries.is_cut, readme)
        return _opened(lookup, *self._pages.render(listing))

    # -- a folder as a zip -----------------------------------------------------------------

    def _archive(self, lookup: Lookup) -> Found:
        """Return the files below a directory as a zip, if they are within the bounds."""
        if not self._settings.listing_zip or self._entries(lookup, sized=False) is None:
            return Absence.MISSING
        members, size = [], 0
        for member in self._members(lookup):
            size += member.size
            members.append(member)
            if len(members) > MOST_MEMBERS or size > self._settings.listing_zip:
                path = printable("/".join(("", *lookup.segments, "")))
                logger.warning("no zip of %s: it has more bytes or files than allowed", path)
                return Absence.FORBIDDEN
        name = f"{lookup.segments[-1] if lookup.segments else 'files'}.zip"
        disposition = content_disposition("attachment", name).encode("ascii")
        facts = Representation(
            (*lookup.segments, name),
            NO_FILE,
            decoding="zip",
            made=((b"content-disposition", disposition),),
        )
        return Opened(facts, handle=ZippedFolder(members, self._pool))

    def _members(self, lookup: Lookup) -> Iterator[ZippedFile]:
        """Yield what is below a directory; one that is hidden or may not be read is left out.

        Links to directories are not followed: they may lead back. Directories are yielded because
        they count; the archive leaves them out.
        """
        pending, depth = [lookup.segments], len(lookup.segments)
        while pending:
            directory = pending.pop()
            try:
                entries = self._entries(lookup._replace(segments=directory), sized=True)
            except PermissionError:
                continue
            for name, (entry, tree) in sorted((entries or {}).items()):
                segments = (*directory, name)
                if (entry.is_directory and entry.is_link) or self._hides(segments):
                    continue
                if entry.is_directory:
                    pending.append(segments)
                size = 0 if entry.is_directory else entry.size
                yield ZippedFile(tree, segments, "/".join(segments[depth:]), size, entry.mtime_ns)


def _is_missing_name(tree: TreeReader, lookup: Lookup) -> bool:
    """Tell whether the names that a tree knows prove that there is no such file or directory."""

    def selected(_lookup: Lookup) -> Found:
        raise kernel.fault(errno.EAGAIN)

    try:
        return tree.find(lookup, selected) is Absence.MISSING
    except OSError:
        return False


def _opened(lookup: Lookup, name: str, content: bytes, fields: RawFields) -> Opened:
    """Return a page as a representation, compressed for a client that accepts it."""
    coding = "identity"
    is_long = len(content) >= _WORTH_GZIP
    preferred = next((tier for tier in lookup.codings if {"gzip", "identity"} & {*tier}), ())
    if is_long and "gzip" in preferred:
        coding, content = "gzip", gzip.compress(content, 5, mtime=0)
    facts = Representation(
        (*lookup.segments, name),
        NO_FILE._replace(size=len(content)),
        coding,
        negotiable=is_long,
        digest=hashlib.sha256(content).digest(),
        made=fields,
    )
    return Opened(facts, content)


def _chosen(entries: dict[str, _Named], view: View) -> list[_Named]:
    """Return the entries of a view in its order, directories first."""
    chosen = list(entries.values())
    if wanted := view.text.casefold():
        chosen = [each for name, each in entries.items() if wanted in name.casefold()]
    chosen.sort(key=lambda each: natural_key(each.entry.name), reverse=view.descending)
    if view.sort == "size":
        chosen.sort(key=lambda each: each.entry.size, reverse=view.descending)
    elif view.sort == "modified":
        chosen.sort(key=lambda each: each.entry.mtime_ns, reverse=view.descending)
    folders = [each for each in chosen if each.entry.is_directory]
    return folders + [each for each in chosen if not each.entry.is_directory]


def _rows(entries: list[_Named], directory: Segments) -> Iterator[Row]:
    """Open each entry, as a request for it would, and describe those that can be opened."""
    for named in entries:
        entry = named.tree.entry((*directory, named.entry.name))
        if entry is not None and entry.is_directory == named.entry.is_directory:
            yield row_of(entry.name, entry.size, entry.mtime_ns, is_directory=entry.is_directory)


def _readme(entries: dict[str, _Named], directory: Segments) -> Readme | None:
    """Read the README of a directory, as far as it is a text of a reasonable size."""
    by_name = {name.lower(): named for name, named in entries.items()}
    for wanted in _READMES:
        named = by_name.get(wanted)
        if named is None or named.entry.is_directory:
            continue
        if named.entry.size > _LARGEST_README:  # in an archive it would be unpacked to be read
            continue
        text = _text_of(named.tree, (*directory, named.entry.name))
        if text is not None:
            return Readme(named.entry.name, text)
    return None


def _text_of(tree: TreeReader, segments: Segments) -> str | None:
    try:
        file = tree.open_file(segments)
    except OSError:
        return None
    try:
        if file.identity.length > _LARGEST_README:
            return None
        return file.read(0, file.identity.length).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    finally:
        kernel.release(file.fd)
