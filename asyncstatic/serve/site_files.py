"""``_redirects`` and ``_headers`` at the top of a root, read again when they change.

The stamps of both belong to every cached answer of the root (`CachedSource`), so no answer outlives
the rules that it was made by.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from asyncstatic.files import kernel
from asyncstatic.files.dependency import FileStamp, are_unchanged, lasting
from asyncstatic.files.pool import PoolBusyError
from asyncstatic.files.source import logger
from asyncstatic.files.tree import File, TreeReader
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Absence, Lookup
from asyncstatic.http.netlify import HEADERS, REDIRECTS, read_headers, read_redirects
from asyncstatic.settings import Settings, SettingsError

_LONGEST = 1024 * 1024  # bytes of a file


class SiteFiles:
    """The settings of a root, with the redirects and rules of its own files.

    A file that has become wrong changes nothing; it is logged once.

    Args:
        trees: of the root; the first one that has a file counts.
        settings: of the root.

    Raises:
        SettingsError: a line cannot be used; the message names file and line.

    Attributes:
        settings: with what the files say: redirects and rules behind those of the settings.
        stamps: of the files, or of the directories that lack them; empty while one of them might
            be written again without a visible change.
    """

    def __init__(self, trees: Sequence[TreeSource], settings: Settings) -> None:
        self._first = trees[0]
        self._trees = [tree.tree.waiting() for tree in trees]
        self._base = settings
        self._complaint = ""
        stamps: list[FileStamp] = []
        self.settings = self._read(stamps)
        self.stamps = tuple(stamps)

    def is_fresh(self) -> bool:
        """Tell whether the files are as they were when they were read."""
        return bool(self.stamps) and are_unchanged(self.stamps)

    def add_stamps(self, stamps: tuple[FileStamp, ...]) -> tuple[FileStamp, ...]:
        """Add the stamps to those of an answer; none where they prove nothing yet."""
        return (*stamps, *self.stamps) if self.stamps else ()

    async def renew(self) -> bool:
        """Read the files again, in a thread of the root; tell whether the disk answered in time.

        Settings and stamps change together: one read may end after its client has left.
        """
        stamps: list[FileStamp] = []
        try:
            settings = await self._first.read(partial(self._read, stamps))
        except PoolBusyError:
            return False
        except SettingsError as error:
            self.stamps = tuple(stamps)
            if str(error) != self._complaint:
                logger.error("%s and %s stay as they were: %s", REDIRECTS, HEADERS, str(error))
            self._complaint = str(error)
            return True
        self.stamps, self._complaint = tuple(stamps), ""
        if settings.spa != self.settings.spa:
            logger.warning("%s: the shell is changed by the next start", REDIRECTS)
        self.settings = replace(settings, spa=self.settings.spa)
        return True

    def _read(self, stamps: list[FileStamp]) -> Settings:
        """Read both files, and add their stamps to a list, even if a line is wrong."""
        name = REDIRECTS
        try:
            redirects = read_redirects(self._text(name, stamps))
            headers = self._text(name := HEADERS, stamps)
        except OSError as error:
            stamps.clear()  # none would tell that it can be read again
            problem = f"{error.strerror}; make it a file that can be read, or remove it"
            raise SettingsError(f"{name}: {problem}") from None
        finally:
            stamps[:] = lasting(tuple(stamps))
        base = self._base
        slash = base.clean_urls and base.trailing_slash == "always"
        rules = read_headers(headers, base.index, base.at, slash=slash)
        try:
            return replace(
                base,
                redirects=(*base.redirects, *redirects.redirects),
                rules=(*base.rules, *rules),
                spa=base.spa or redirects.shell or False,
            )
        except SettingsError as error:
            raise SettingsError(f"{REDIRECTS}, {HEADERS}: {error}") from None

    def _text(self, name: str, stamps: list[FileStamp]) -> str:
        """Read a file, and add the stamps that tell a change of it; "" if there is none."""
        for tree in self._trees:
            directory = tree.stamp(())
            file = _open(tree, name)
            if file is None:
                stamps.append(directory)
                continue
            try:
                stamps.append(file.stamp or FileStamp(tree.path_of((name,)), file.identity))
                if file.identity.length > _LONGEST:
                    raise SettingsError(f"{name}: at most {_LONGEST} bytes are read")
                return kernel.pread(file.fd, file.identity.length, file.identity.offset).decode()
            except UnicodeDecodeError as error:
                raise SettingsError(f"{name}: not UTF-8: {error.reason}") from None
            finally:
                kernel.release(file.fd)
        return ""


def _open(tree: TreeReader, name: str) -> File | None:
    """Open a file at the top of the tree that the root leads to now; None if it is missing."""
    opened: list[File] = []

    def select(lookup: Lookup) -> Absence:
        while opened:
            kernel.release(opened.pop().fd)
        with suppress(FileNotFoundError, IsADirectoryError):
            opened.append(tree.open_file(lookup.segments))
        return Absence.MISSING  # so that a tree which was replaced is searched again

    try:
        tree.find(Lookup((name,), directory=False, codings=()), select)
    except BaseException:
        while opened:
            kernel.release(opened.pop().fd)
        raise
    return opened[0] if opened else None
