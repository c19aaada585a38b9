"""Deny patterns. They hold for a file under every spelling of its name and for its coded forms.

Many spellings of a name may open the same file. macOS, Windows, FAT and ext4 directories with
"casefold" ignore case and Unicode normalisation; ext4 also ignores invisible characters; FAT
drops dots and spaces at the end of a name. A server cannot know which rules hold in a directory,
because another file system may be mounted there. So every pattern is compared under all these
rules, on every system. Denying a name without need is the safe error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache

from asyncstatic.http.model import SUFFIXES

#: Default_Ignorable_Code_Point (UAX #44): ext4 ignores all of them, HFS+ some (Apple TN1150).
IGNORABLE = (
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_IGNORABLE = re.compile(IGNORABLE)
_CODING_SUFFIX = re.compile(rf"(?:{'|'.join(map(re.escape, SUFFIXES.values()))})\Z", re.IGNORECASE)
_MOST_SUFFIXES = 8  # bounds the work for "x.gz.gz.gz..."; a name with more is denied
# The short name (8.3) that FAT and NTFS give to a file; the long name cannot be derived from it.
_SHORT_NAME = re.compile(r"[^.]{1,6}~[0-9]{1,6}(?:\.[^.]{0,3})?")


def is_denied(patterns: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Tell whether a pattern holds for a path, in any spelling, or for its decoded form.

    A pattern without a slash is compared with every name of the path, so a pattern that names a
    directory holds for everything below it. A pattern with a slash is compared with the path from
    the root and with every directory above it; ``*`` also matches slashes. Coding suffixes
    (``.gz``, ``.br``, ``.zst``) are ignored: a pattern for ``app.map`` holds for ``app.map.gz``.

    Args:
        patterns: globs (fnmatch).
        segments: the names from the root on; the root itself is never denied.
    """
    if not segments:
        return False
    names = tuple(map(_folded, segments))
    forms = _without_codings(names[-1])
    if len(forms) > _MOST_SUFFIXES or any(map(_SHORT_NAME.fullmatch, names)):
        return True
    if _matches(patterns, names, forms):
        return True
    # Compare the name as spelled, too: "?" may match less in a folded name, which can be longer.
    return names != segments and _matches(patterns, segments, _without_codings(segments[-1]))


def may_be_below(segments: tuple[str, ...], directory: tuple[str, ...]) -> bool:
    """Tell whether some file system opens a path as one of a directory, or below it.

    Args:
        segments: the names of the path, from the root on.
        directory: those of the directory.
    """
    names = tuple(map(_folded, segments[: len(directory)]))
    return len(names) == len(directory) and all(
        name == _folded(wanted) or _SHORT_NAME.fullmatch(name)
        for name, wanted in zip(names, directory, strict=True)
    )


def _matches(patterns: tuple[str, ...], names: tuple[str, ...], forms: list[str]) -> bool:
    """Compare names as spelled; `forms` are the last name with and without its codings."""
    whole, single = _compiled(patterns)
    above = names[:-1]
    if single is not None and any(map(single.match, (*above, *forms))):
        return True
    return whole is not None and any(whole.match("/".join((*above, form))) for form in forms)


def _without_codings(name: str) -> list[str]:
    """Return the name, then the name without its last coding suffix, and so on."""
    forms = [name]
    while len(forms) <= _MOST_SUFFIXES and (suffix := _CODING_SUFFIX.search(forms[-1])):
        forms.append(forms[-1][: suffix.start()])
    return forms


def _folded(name: str) -> str:
    """Return one spelling for all names that some file system treats as equal."""
    return _caseless(name).rstrip(". ")


def _caseless(text: str) -> str:
    """Fold case, normalisation and invisible characters (Unicode, section 3.13, D145)."""
    if text.isascii():
        return text.lower()
    # Upper case first: some file systems fold "ı" to "I", which casefold() alone keeps.
    decomposed = unicodedata.normalize("NFD", _IGNORABLE.sub("", text))
    return unicodedata.normalize("NFC", decomposed.upper().casefold())


@lru_cache(maxsize=64)
def _compiled(
    patterns: tuple[str, ...],
) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Compile the patterns with a slash, and those without, each to one expression."""

    def union(chosen: list[str]) -> re.Pattern[str] | None:
        expressions = [expression for pattern in chosen for expression in _expressions(pattern)]
        return re.compile("|".join(expressions)) if chosen else None

    rooted = [pattern.strip("/") for pattern in patterns if "/" in pattern]
    below = [f"{pattern}/*" for pattern in rooted]
    return union(rooted + below), union([pattern for pattern in patterns if "/" not in pattern])


def _expressions(pattern: str) -> Iterator[str]:
    """Yield a pattern that ignores case, and other forms where that one matches less."""
    yield f"(?i:{translate(pattern)})"
    if "[!" in pattern:  # "[!a-z]" matches "A" only where case counts
        yield translate(pattern)
    if not pattern.isascii():  # "ß" is folded to "ss"
        yield translate(_caseless(pattern))
