"""Manifests: a bundler's list of the fingerprinted files that it made of each source file.

Three forms are read: Vite's ``.vite/manifest.json``; a plain object of logical name -> file name,
as webpack's plugins and esbuild scripts write it; and the ``{"paths": {...}}`` of Django and
WhiteNoise. A file that a manifest names *and* that carries a fingerprint in its name is proven
never to change under that name. A name alone proves nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

# A part of a file name that only a hash of the content looks like: six characters or more, one
# of them a digit or a capital, between a separator and the suffix.
_FINGERPRINT = re.compile(r"[.~_-](?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{6,}\.[^/]+")
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


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """The files that a bundler made of one source file, and the entries that it imports."""

    file: str
    css: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    integrity: str = ""
    module: bool = False


def read_manifest(text: bytes) -> dict[str, ManifestEntry]:
    """Read the entries of a manifest by their logical names.

    Raises:
        ValueError: it is no manifest; the message is the rest of an error message.
    """
    try:
        data = json.loads(text.decode())
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if isinstance(data, dict) and isinstance(data.get("paths"), dict):
        data = data["paths"]
    try:
        return {_name(logical): _entry(value) for logical, value in data.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the form is neither Vite's nor name -> file: {error}") from None


def _entry(value: Any) -> ManifestEntry:
    """Read one entry: a file name, Vite's object with "file", or webpack's with "src"."""
    if isinstance(value, str):
        return ManifestEntry(_name(value))
    file = value["file"] if "file" in value else value["src"]
    integrity = value.get("integrity") or ""
    if not _INTEGRITY.fullmatch(integrity or "sha256-x"):
        raise ValueError(f"integrity {integrity!r}")
    return ManifestEntry(
        _name(file),
        tuple(map(_name, value.get("css", ()))),
        tuple(map(_name, value.get("assets", ()))),
        tuple(map(_name, value.get("imports", ()))),
        integrity,
        module="file" in value,
    )


def _name(text: str) -> str:
    """Check a name, and drop a leading slash: the name becomes part of URLs and patterns."""
    name = text.removeprefix("./").lstrip("/")
    if not name or "\\" in name or "\0" in name or "://" in name:
        raise ValueError(f"not a file below the root: {text!r}")
    return name


def is_fingerprinted(name: str) -> bool:
    """Tell whether a file name has a part that only a hash of the content looks like."""
    return _FINGERPRINT.search(name.rpartition("/")[2]) is not None


def manifest_of(entries: Mapping[str, ManifestEntry]) -> Manifest:
    """Return a manifest with these entries."""
    loaded = {logical: _loaded(entries, logical) for logical in entries}
    return Manifest(
        files={logical: entry.file for logical, entry in entries.items()},
        styles={
            logical: tuple(dict.fromkeys(name for entry in each for name in entry.css))
            for logical, each in loaded.items()
        },
        imports={
            logical: tuple({entry.file: None for entry in each if entry.file != each[-1].file})
            for logical, each in loaded.items()
        },
        modules=frozenset(logical for logical, entry in entries.items() if entry.module),
        integrity={entry.file: entry.integrity for entry in entries.values() if entry.integrity},
        proven=frozenset(
            name
            for entry in entries.values()
            for name in (entry.file, *entry.css, *entry.assets)
            if is_fingerprinted(name)
        ),
    )


def _loaded(entries: Mapping[str, ManifestEntry], logical: str) -> list[ManifestEntry]:
    """Return an entry behind all its imports, each once, the deepest first.

    This is Vite's documented order: the stylesheets of an import come before those of its importer.
    """
    found: list[ManifestEntry] = []
    seen: set[str] = set()
    pending = [(logical, False)]
    while pending:
        name, imports_are_found = pending.pop()
        if imports_are_found:
            found.append(entries[name])
        elif name in entries and name not in seen:
            seen.add(name)
            pending.append((name, True))
            pending.extend((imported, False) for imported in reversed(entries[name].imports))
    return found
