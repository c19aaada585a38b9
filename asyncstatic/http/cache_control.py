"""Cache-Control of responses (RFC 9111 §5.2.2, RFC 5861, RFC 8246).

Cache-Control   = #cache-directive
cache-directive = token [ "=" ( token / quoted-string ) ]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from asyncstatic.http.abnf import QUOTED_STRING, TOKEN, members, unquote

_DIRECTIVE = re.compile(rf"({TOKEN})(?:=({TOKEN}|{QUOTED_STRING}))?+")
_IS_TOKEN = re.compile(TOKEN)
_IS_DELTA_SECONDS = re.compile(r"[0-9]++")

# Many caches count in 31 bits; RFC 9111 §1.2.2 gives this value the meaning "too large".
MAX_DELTA_SECONDS: Final = 2**31

# Never revalidate: only for names that change with their content.
IMMUTABLE: Final = "public, max-age=31536000, immutable"

# In the order in which they are written.
_NAMES: Final = (
    *("public", "private", "no-cache", "no-store", "no-transform"),
    *("must-revalidate", "proxy-revalidate", "must-understand"),
    *("max-age", "s-maxage", "immutable", "stale-while-revalidate", "stale-if-error"),
)
_SECONDS: Final = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})
_LIMITABLE: Final = frozenset({"private", "no-cache"})  # to the fields that they name
_BY_LETTERS: Final = {name.replace("-", ""): name for name in _NAMES}


def read_directives(value: str | None) -> dict[str, str] | None:
    """Read the directives of a response: names in lower case, with their arguments or "".

    For a directive given twice, the first counts (RFC 9111 §4.2.1). Unknown ones are ignored
    (§5.2.3).

    Returns:
        None when the field is absent or any directive is malformed.
    """
    if value is None:
        return None
    directives: dict[str, str] = {}
    for member in members(value):
        match = _DIRECTIVE.fullmatch(member)
        if match is None:
            return None
        name = match[1].lower()
        if name not in _NAMES:
            continue
        argument = _argument(name, match[2])
        if argument is None:
            return None
        directives.setdefault(name, argument)
    return directives


def written(directives: Mapping[str, str]) -> str:
    """Return the field value of directives that `read_directives` returned."""
    present = ((name, directives[name]) for name in _NAMES if name in directives)
    return ", ".join(f"{name}={argument}" if argument else name for name, argument in present)


def _argument(name: str, text: str | None) -> str | None:
    """Return an argument in its one spelling, "" for none; None when it is malformed."""
    if name in _SECONDS:
        return _delta_seconds(unquote(text or ""))
    if text is None:
        return ""
    names = members(unquote(text)) if name in _LIMITABLE else []
    return f'"{", ".join(names)}"' if names and all(map(_IS_TOKEN.fullmatch, names)) else None


def _delta_seconds(digits: str) -> str | None:
    if not _IS_DELTA_SECONDS.fullmatch(digits):
        return None
    significant = digits.lstrip("0")
    return str(min(int(significant[:11] or "0"), MAX_DELTA_SECONDS))


def is_private(value: str | None) -> bool:
    """Tell whether shared caches are kept from storing an answer, or fields of it."""
    return "private" in (read_directives(value) or ())


def private_value(value: str) -> str:
    """Return a value with which no shared cache keeps an answer, and which is this one otherwise."""
    directives = read_directives(value) or {}
    directives.pop("public", None)
    directives.pop("s-maxage", None)
    return written(directives | {"private": ""})


def misspelled_directive(value: str) -> str | None:
    """Return the directive that a near miss such as ``no_cache`` or ``maxage=60`` means, or None.

    Other unknown directives are extensions (RFC 9111 §5.2.3).
    """
    for member in members(value):
        name = member.partition("=")[0].lower()
        meant = _BY_LETTERS.get(name.replace("-", "").replace("_", ""))
        if meant not in (None, name):
            return meant
    return None
