"""Manifests: which fingerprinted file a bundler made of which source.

Three forms are read: Vite's ``.vite/manifest.json``; a plain object of logical name ->
file name, as webpack's plugins and esbuild scripts write it; and the ``{"paths": {...}}`` of
Django and WhiteNoise. A file named in a manifest *and* carrying a fingerprint in its name is
proven never to change under that name; nothing is guessed from a name alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from asyncstatic.http.fields import IMMUTABLE
from asyncstatic.http.model import ResponsePlan
from asyncstatic.settings import SettingsError

_CACHE_CONTROL = (b"cache-control", str(IMMUTABLE).encode("ascii"))

# A part of a file name that only a hash of the content looks like: six characters or more, one
# of them a digit or a capital, between a separator and the suffix.
_FINGERPRINT = re.compile(r"[.~_-](?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{6,}\.[^/]+")
_SCRIPTS_AND_STYLES = (".js", ".mjs", ".css")
_INTEGRITY = re.compile(r"(?:sha(?:256|384|512)-[A-Za-z0-9+/=_-]+ ?)+")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one or several manifests say; all names are relative to the root.

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
        """Tell whether what has this path never changes under it."""
        return "/".join(segments) in self.proven


def immutable(plan: ResponsePlan) -> ResponsePlan:
    """Let caches keep an answer for a year without asking (RFC 8246)."""
    if plan.status not in (200, 206, 304):
        return plan
    fields = (field for field in plan.fields if field[0] != b"cache-control")
    return replace(plan, fields=(*fields, _CACHE_CONTROL))


def read_manifests(root: str, paths: Iterable[str]) -> Manifest:
    """Read manifests below a root; of a name in several the first counts.

    Scripts and stylesheets that are proven get an integrity value, made from their content.

    Raises:
        SettingsError: a manifest is missing, is no manifest, or names a file that is.
    """
    entries: dict[str, _Entry] = {}
    for path in paths:
        entries = {**_read(os.path.join(root, path)), **entries}
    proven = frozenset(
        name for entry in entries.values() for name in entry.all_files if _is_fingerprinted(name)
    )
    integrity = {entry.file: entry.integrity for entry in entries.values() if entry.integrity}
    for name in sorted(proven - integrity.keys()):
        if name.endswith(_SCRIPTS_AND_STYLES):
            integrity[name] = _integrity_of(root, name)
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


def _read(path: str) -> dict[str, _Entry]:
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except OSError as error:
        raise SettingsError(f"manifest {path}: {error.strerror}; build the site first") from None
    except ValueError as error:
        raise SettingsError(f"manifest {path}: no JSON: {error}") from None
    if isinstance(data, dict) and isinstance(data.get("paths"), dict):
        data = data["paths"]
    try:
        return {_name(logical): _entry(value) for logical, value in data.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"manifest {path}: neither Vite's nor name -> file: {error}") from None


def _entry(value: Any) -> _Entry:
    """One entry: a file name, Vite's object with "file", or webpack's with "src"."""
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
    """Check a name, without a slash in front: it becomes part of URLs and of patterns."""
    name = text.removeprefix("./").lstrip("/")
    if not name or "\\" in name or "\0" in name or "://" in name:
        raise ValueError(f"no file below the root: {text!r}")
    return name


def _is_fingerprinted(name: str) -> bool:
    return _FINGERPRINT.search(name.rpartition("/")[2]) is not None


def _integrity_of(root: str, name: str) -> str:
    """Hash a file for Subresource Integrity (W3C SRI §3.5)."""
    try:
        with open(os.path.join(root, name), "rb") as file:
            digest = hashlib.file_digest(file, "sha384").digest()
    except OSError as error:
        raise SettingsError(
            f"manifest: {name}: {error.strerror}; build the site once more"
        ) from None
    return "sha384-" + base64.b64encode(digest).decode("ascii")


def _collect(entries: Mapping[str, _Entry], logical: str, what: str) -> tuple[str, ...]:
    """Collect from an entry and all it imports, each once, what is deepest first.

    Vite's documented order: the stylesheets of an import come before those of its importer.
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
