"""The stored codings of one resource, opened for one lookup, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from asyncstatic.files import kernel
from asyncstatic.files.dependency import FileStamp, lasting
from asyncstatic.files.handle import identity_of
from asyncstatic.files.spelling import for_os
from asyncstatic.files.tree import File
from asyncstatic.http.model import SUFFIXES, Identity


def is_stored(path: str) -> bool:
    """Tell whether a name, or one of its sidecars' names, exists as an entry of any kind.

    Such an entry may become an answer without a change of its directory.
    """
    for suffix in ("", *SUFFIXES.values()):
        with suppress(OSError):
            kernel.lstat(path + suffix)
            return True
    return False


class Candidates:
    """The stored files of one resource, and the stamps that the choice between them depends on.

    An answer depends on every candidate that was examined, refused ones included: rewriting a file
    in place does not change its directory.

    Args:
        directory: the stamp of their directory, taken before they were opened.
        name: the name of the original.
        files: the original, if there is one. The caller appends the sidecars that it opens.
    """

    def __init__(self, directory: FileStamp, name: str, files: list[File]) -> None:
        self._path = f"{directory.path}/{for_os(name)}"
        self._dependencies = {directory.path: directory}
        self._is_certain = True
        self.files = files

    def could_not_open(self, coding: str) -> None:
        """Depend on a name that cannot be opened: a link that leads nowhere, an unreadable file.

        A missing name needs no stamp: it cannot appear without a change of the directory.
        """
        path = self._path_of(coding)
        try:
            kernel.lstat(path)
        except (FileNotFoundError, NotADirectoryError):  # the latter in an archive
            return
        except OSError:
            self._is_certain = False
            return
        try:
            self._depend_on(path, identity_of(kernel.stat(path)))
        except OSError:
            self._is_certain = False

    def choose(
        self, tiers: tuple[tuple[str, ...], ...], is_fresh: Callable[[File], bool | None]
    ) -> File | None:
        """Return the smallest fresh file of the first tier that has one.

        Args:
            tiers: acceptable codings, in tiers of equal preference, best first.
            is_fresh: judges a sidecar; called for the smallest first. Where it returns None,
                nothing is known yet, and the answer is not cached.
        """
        for tier in tiers:
            acceptable = [file for file in self.files if file.coding in tier]
            for file in acceptable:
                self._depend_on_file(file)
            for file in sorted(acceptable, key=lambda file: file.identity.length):
                verdict = file.coding == "identity" or file.is_gzip_of_unpacked or is_fresh(file)
                if verdict:
                    return file
                if verdict is None:
                    self._is_certain = False
        return None

    def take(self, file: File) -> None:
        """Give a file away: it stays open, and its new owner closes it."""
        self.files.remove(file)

    def dependencies(self, chosen: File) -> tuple[FileStamp, ...]:
        """Return the stamps that the answer depends on; none where they cannot prove it."""
        for file in self.files:
            if file is chosen or file.coding == "identity":
                self._depend_on_file(file)
        return lasting(tuple(self._dependencies.values())) if self._is_certain else ()

    def close(self) -> None:
        """Close the files that were not given away."""
        for file in self.files:
            kernel.release(file.fd)

    def _path_of(self, coding: str) -> str:
        return self._path + SUFFIXES.get(coding, "")

    def _depend_on_file(self, file: File) -> None:
        if file.stamp is not None:
            self._depend_on(*file.stamp)
        else:
            self._depend_on(self._path_of(file.coding), file.identity)

    def _depend_on(self, path: str, identity: Identity) -> None:
        self._dependencies[path] = FileStamp(path, identity)
