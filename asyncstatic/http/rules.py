"""The rules that match one file, combined into one `Ruling`: once for each path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from asyncstatic.http.accept import canonical_coding
from asyncstatic.http.glob import Glob
from asyncstatic.http.model import SUFFIXES, RawFields
from asyncstatic.settings import Rule

_PATHS = 1024  # whose rulings are held
# A 304 repeats no metadata of the content (RFC 9110 §15.4.5).
_OF_CONTENT: Final = frozenset({"content-language"})
# They make shared caches ignore Cache-Control (RFC 9213 §2.2; nginx; Fastly and Akamai).
_FOR_CACHES = re.compile(r"(?:.+-)?cache-control|surrogate-control|x-accel-expires")


class Ruling(NamedTuple):
    """The rules about one file, combined.

    Attributes:
        rules: those that match, in their order.
        named: lower-case names of the fields that they set or remove.
        cache_control: the value of Cache-Control; None if no rule names one.
        media_type: the value of Content-Type; None for that of the suffix.
        disposition: the value of Content-Disposition; None for none.
        coding: the content-coding of the stored bytes; "" for none.
        content_fields: other fields about the content.
        cache_fields: other fields by which shared caches store an answer.
        fields: all other fields.
    """

    rules: tuple[Rule, ...] = ()
    named: frozenset[bytes] = frozenset()
    cache_control: str | None = None
    media_type: str | None = None
    disposition: str | None = None
    coding: str = ""
    content_fields: RawFields = ()
    cache_fields: RawFields = ()
    fields: RawFields = ()

    def without_suffix(self, name: str) -> str:
        """Return the name of a file without the suffix of its coding."""
        return name.removesuffix(SUFFIXES.get(canonical_coding(self.coding), ""))


NO_RULING: Final = Ruling()


class Rulebook:
    """The rules of a root.

    Args:
        rules: later ones count more.
        at: `Settings.at`.

    Attributes:
        names: lower-case names of all fields that a rule sets.
    """

    def __init__(self, rules: Iterable[Rule], at: str) -> None:
        self._rules = tuple((Glob(rule.match), rule) for rule in rules)
        self._at = at
        self.names = frozenset(
            name.lower().encode("ascii") for _, rule in self._rules for name in rule.headers
        )
        #: Returns the `Ruling` about the file with these names, the root's first.
        self.about = lru_cache(_PATHS)(self._decide) if self._rules else _nothing
        #: About our own pages, whose path is that of the root with a slash.
        self.of_pages = self.about(("",))

    def _decide(self, segments: tuple[str, ...]) -> Ruling:
        path = "/".join((self._at, *segments))
        rules = tuple(rule for glob, rule in self._rules if glob.matches(path))
        return _ruling_of(rules) if rules else NO_RULING


def _nothing(_segments: tuple[str, ...]) -> Ruling:
    return NO_RULING


def _ruling_of(rules: tuple[Rule, ...]) -> Ruling:
    """Combine rules: for each field, for the media type and for the coding the last one counts."""
    values = {name.lower(): value for rule in rules for name, value in rule.headers.items()}
    types = [rule.media_type for rule in rules if rule.media_type is not None]
    codings = [rule.coding for rule in rules if rule.coding is not None]
    named = frozenset(name.encode("ascii") for name in values)
    cache_control = values.pop("cache-control", None) or None
    disposition = values.pop("content-disposition", None) or None
    fields: dict[str, list[tuple[bytes, bytes]]] = {"content": [], "cache": [], "other": []}
    for name, value in values.items():
        if value:
            fields[_kind(name)].append((name.encode("ascii"), value.encode("ascii")))
    return Ruling(
        rules,
        named,
        cache_control,
        (types and types[-1]) or None,
        disposition,
        (codings and codings[-1]) or "",
        *map(tuple, fields.values()),
    )


def _kind(name: str) -> str:
    if name in _OF_CONTENT:
        return "content"
    return "cache" if _FOR_CACHES.fullmatch(name) else "other"
