"""Manifests: a bundler's list of the fingerprinted files that it made of each source file.

Three forms are read: Vite's ``.vite/manifest.json``; a plain object of logical name -> file name,
as webpack's plugins and esbuild scripts write it; and the ``{"paths": {...}}`` of Django and
WhiteNoise. A file that a manifest names *and* that carries a fingerprint in its name is proven
never to change under that name. A name alone proves nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, Protocol
from urllib.parse import quote

from asyncstatic.files.handle import identity_of
from asyncstatic.files.zip_tree import ZipTree
from asyncstatic.http.model import Identity
from asyncstatic.serve.reread import Identities, Reread
from asyncstatic.settings import SettingsError

# A part of a file name that only a hash of the content looks like: six characters or more, one
# of them a digit or a capital, between a separator and the suffix.
_FINGERPRINT = re.compile(r"[.~_-](?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{6,}\.[^/]+")
_SCRIPTS_AND_STYLES = (".js", ".mjs", ".css")
_RECHECK = 0.25  # seconds between two checks of the manifest files, as of the root itself
_INTEGRITY = re.compile(r"(?:sha(?:256|384|512)-[A-Za-z0-9+/=_-]+ ?)+")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of one or several manifests; all names are relative to the root.

    Attributes:
        files: logical name -> file name.
        styles: logical name -> file names of the stylesheets it needs (Vite).
        imports: logical name -> file names of the modules it loads at once (Vite).
        modules: logical names of ECMAScript modules (all of Vite's).
        integrity: file name -> Subresource Integrity value.
        proven: file names that never change their content.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    styles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    imports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    integrity: Mapping[str, str] = field(default_factory=dict)
    proven: frozenset[str] = frozenset()

    def proves(self, segments: tuple[str, ...]) -> bool:
        """Tell whether the file at this path never changes."""
        return "/".join(segments) in self.proven

    def links(self, segments: tuple[str, ...], base: bytes) -> bytes:
        """Return a Link value that preloads what the page at this path needs (RFC 8288).

        Vite's elements have ``crossorigin``; a preload without it would be loaded twice.

        Args:
            segments: of the page.
            base: the raw path of the root, without a slash at its end.
        """
        page = "/".join(segments)
        if page not in self.files:
            return b""
        styles = self.styles.get(page, ())
        scripts = (self.files[page], *self.imports.get(page, ()))
        values = [
            *(b"<%b>; rel=preload; as=style; crossorigin" % _url(base, name) for name in styles),
            *(b"<%b>; rel=modulepreload" % _url(base, name) for name in scripts),
        ]
        return b", ".join(values)


def _url(base: bytes, name: str) -> bytes:
    return base + b"/" + quote(name).encode("ascii")


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
        is_fingerprinted = bool(segments) and _is_fingerprinted(segments[-1])
        return is_fingerprinted and not self.present.proves(segments)


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


def _identities(files: _Files, paths: tuple[str, ...]) -> Identities | None:
    """Return the identities of manifests; None while one may be rewritten within a clock tick.

    Raises:
        SettingsError: a manifest is missing.
    """
    try:
        found = tuple(map(files.identity, paths))
    except OSError as error:
        raise _unreadable(error.filename or files.path(paths[0]), error) from None
    now = time.time_ns()
    return None if any(identity.racy(now) for identity in found) else found


def _read_all(files: _Files, paths: Iterable[str]) -> Manifest:
    """Read manifests; if several hold a name, the first counts.

    Scripts and stylesheets that are proven get an integrity value, made from their content.
    """
    entries: dict[str, _Entry] = {}
    for path in paths:
        entries = {**_read(files, path), **entries}
    proven = frozenset(
        name for entry in entries.values() for name in entry.all_files if _is_fingerprinted(name)
    )
    integrity = {entry.file: entry.integrity for entry in entries.values() if entry.integrity}
    for name in sorted(proven - integrity.keys()):
        if name.endswith(_SCRIPTS_AND_STYLES):
            integrity[name] = _integrity_of(files, name)
    return Manifest(
        files={logical: entry.file for logical, entry in entries.items()},
        styles={logical: _collect(entries, logical, "css") for logical in entries},
        imports={logical: _collect(entries, logical, "file") for logical in entries},
        modules=frozenset(logical for logical, entry in entries.items() if entry.module),
        integrity=integrity,
        proven=proven,
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    file: str
    css: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    integrity: str = ""
    module: bool = False

    @property
    def all_files(self) -> tuple[str, ...]:
        return (self.file, *self.css, *self.assets)


def _read(files: _Files, name: str) -> dict[str, _Entry]:
    path = files.path(name)
    try:
        data = json.loads(files.read(name).decode())
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        raise SettingsError(f"manifest {path}: not JSON: {error}") from None
    if isinstance(data, dict) and isinstance(data.get("paths"), dict):
        data = data["paths"]
    try:
        return {_name(logical): _entry(value) for logical, value in data.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"manifest {path}: the form is neither Vite's nor name -> file: {error}"
        ) from None


def _unreadable(path: str, error: OSError) -> SettingsError:
    return SettingsError(f"manifest {path}: {error.strerror}; build the site first")


def _entry(value: Any) -> _Entry:
    """Read one entry: a file name, Vite's object with "file", or webpack's with "src"."""
    if isinstance(value, str):
        return _Entry(_name(value))
    file = value["file"] if "file" in value else value["src"]
    integrity = value.get("integrity") or ""
    if not _INTEGRITY.fullmatch(integrity or "sha256-x"):
        raise ValueError(f"integrity {integrity!r}")
    return _Entry(
        _name(file),
        tuple(map(_name, value.get("css", ()))),
        tuple(map(_name, value.get("assets", ()))),
        tuple(value.get("imports", ())),
        integrity,
        module="file" in value,
    )


def _name(text: str) -> str:
    """Check a name, and drop a leading slash: the name becomes part of URLs and patterns."""
    name = text.removeprefix("./").lstrip("/")
    if not name or "\\" in name or "\0" in name or "://" in name:
        raise ValueError(f"not a file below the root: {text!r}")
    return name


def _is_fingerprinted(name: str) -> bool:
    return _FINGERPRINT.search(name.rpartition("/")[2]) is not None


def _integrity_of(files: _Files, name: str) -> str:
    """Hash a file for Subresource Integrity (W3C SRI §3.5)."""
    try:
        digest = hashlib.sha384(files.read(name)).digest()
    except OSError as error:
        raise SettingsError(f"manifest: {name}: {error.strerror}; build the site again") from None
    return "sha384-" + base64.b64encode(digest).decode("ascii")


def _collect(entries: Mapping[str, _Entry], logical: str, what: str) -> tuple[str, ...]:
    """Collect from an entry and all its imports, each once, the deepest first.

    This is Vite's documented order: the stylesheets of an import come before those of its importer.
    An entry's own file is not among its imports.
    """
    found: dict[str, None] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen or name not in entries:
            return
        seen.add(name)
        entry = entries[name]
        for imported in entry.imports:
            visit(imported)
        found.update(dict.fromkeys(entry.css if what == "css" else (entry.file,)))

    visit(logical)
    if what == "file":
        found.pop(entries[logical].file, None)
    return tuple(found)
