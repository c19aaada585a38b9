"""The manifests of a root: their files are read, and read again when a build replaces them.

`http.manifest` knows their forms and what they prove.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from math import inf
from typing import Protocol

from asyncstatic.files.handle import identity_of
from asyncstatic.files.zip_tree import ZipTree
from asyncstatic.http.manifest import (
    Manifest,
    ManifestEntry,
    is_fingerprinted,
    manifest_of,
    read_manifest,
)
from asyncstatic.http.model import Identity
from asyncstatic.serve.reread import Reread
from asyncstatic.settings import SettingsError

_SCRIPTS_AND_STYLES = (".js", ".mjs", ".css")
_RECHECK = 0.25  # seconds between two checks of the manifest files, as of the root itself


class Manifests(Reread[Manifest]):
    """The manifests of a root, read again when a build or a deploy has replaced them.

    Args:
        root: the directory of the manifests and of the files that they name, which may be a link
            that a deploy swaps; or an archive.
        paths: of the manifests, below the root; may be empty.
        recheck: seconds between two checks.
        monotonic: the clock, in seconds.

    Raises:
        SettingsError: a manifest is missing or malformed, or names a file that is missing.
    """

    def __init__(
        self,
        root: str | ZipTree,
        paths: Iterable[str],
        *,
        recheck: float = _RECHECK,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        files: _Files = _InDirectory(root) if isinstance(root, str) else _InArchive(root)
        named = files, tuple(paths)
        super().__init__(
            partial(_identities, *named),
            partial(_read_all, *named),
            "the manifest stays as it was",
            recheck=recheck if named[1] else inf,
            monotonic=monotonic,
        )

    def may_prove(self, segments: tuple[str, ...]) -> bool:
        """Tell whether the next manifest may name the file at this path, which none names yet."""
        is_candidate = bool(segments) and is_fingerprinted(segments[-1])
        return is_candidate and not self.present.proves(segments)


class _Files(Protocol):
    """Reads files by their names below a root; raises OSError."""

    def path(self, name: str) -> str:
        """Return the path of a file, for messages."""

    def identity(self, name: str) -> Identity:
        """Return an identity that changes with the file."""

    def read(self, name: str) -> bytes:
        """Read a file."""


class _InDirectory:
    def __init__(self, root: str) -> None:
        self._root = root

    def path(self, name: str) -> str:
        return os.path.join(self._root, name)

    def identity(self, name: str) -> Identity:
        return identity_of(os.stat(self.path(name)))

    def read(self, name: str) -> bytes:
        with open(self.path(name), "rb") as file:
            return file.read()


class _InArchive:
    def __init__(self, tree: ZipTree) -> None:
        self._tree = tree.waiting()

    def path(self, name: str) -> str:
        return self._tree.path_of((name,))

    def identity(self, name: str) -> Identity:
        return self._tree.renewed().identity

    def read(self, name: str) -> bytes:
        return self._tree.read(tuple(name.split("/")))


def _identities(files: _Files, paths: tuple[str, ...]) -> tuple[Identity, ...]:
    """Return the identities of manifests.

    Raises:
        SettingsError: a manifest is missing.
    """
    try:
        return tuple(map(files.identity, paths))
    except OSError as error:
        raise _unreadable(error.filename or files.path(paths[0]), error) from None


def _read_all(files: _Files, paths: Iterable[str]) -> Manifest:
    """Read manifests; if several hold a name, the first counts.

    Scripts and stylesheets that are proven get an integrity value, made from their content.
    """
    entries: dict[str, ManifestEntry] = {}
    for path in paths:
        entries = {**_read(files, path), **entries}
    manifest = manifest_of(entries)
    made = {
        name: _integrity_of(files, name)
        for name in sorted(manifest.proven - manifest.integrity.keys())
        if name.endswith(_SCRIPTS_AND_STYLES)
    }
    return replace(manifest, integrity={**manifest.integrity, **made})


def _read(files: _Files, name: str) -> dict[str, ManifestEntry]:
    path = files.path(name)
    try:
        return read_manifest(files.read(name))
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        raise SettingsError(f"manifest {path}: {error}") from None


def _unreadable(path: str, error: OSError) -> SettingsError:
    return SettingsError(f"manifest {path}: {error.strerror}; build the site first")


def _integrity_of(files: _Files, name: str) -> str:
    """Hash a file for Subresource Integrity (W3C SRI §3.5)."""
    try:
        digest = hashlib.sha384(files.read(name)).digest()
    except OSError as error:
        raise SettingsError(f"manifest: {name}: {error.strerror}; build the site again") from None
    return "sha384-" + base64.b64encode(digest).decode("ascii")
