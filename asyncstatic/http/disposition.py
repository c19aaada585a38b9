"""Content-Disposition (RFC 6266, RFC 8187)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal
from urllib.parse import quote

# attr-char of RFC 8187 §3.2.1; letters, digits and _.-~ are never quoted anyway.
_ATTR_CHARS: Final = "!#$&+^`|"
# Controls of C0, DEL and C1, and lone surrogates, which UTF-8 cannot carry.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Characters that a fallback must not have (RFC 6266 appendix D): old clients unescape quotes and
# backslashes in different ways, and some decode percent signs.
_UNSAFE = re.compile(r'["%\\/]|[^ -~]')
_NO_NAMES: Final = frozenset(("", ".", ".."))


def content_disposition(kind: Literal["inline", "attachment"], filename: str | None = None) -> str:
    """Build a Content-Disposition value.

    Only the last name of a path is used, and control characters become ``_``, so the result is
    safe to send for every `filename`. If the plain ``filename`` parameter cannot carry the name,
    it is sent twice: as an ASCII approximation, and percent-encoded in ``filename*``.

    Args:
        kind: ``attachment`` asks the client to save the content, ``inline`` to show it.
        filename: the name to save under. None, "", "." and "..": no name is proposed.
    """
    name = _CONTROLS.sub("_", re.split(r"[/\\]", filename or "")[-1])
    if name in _NO_NAMES:
        return kind
    fallback = _UNSAFE.sub("_", _without_accents(name))
    if fallback in _NO_NAMES:  # of "\N{TWO DOT LEADER}", for example
        fallback = "_"
    value = f'{kind}; filename="{fallback}"'
    return value if fallback == name else f"{value}; filename*=UTF-8''{quote(name, _ATTR_CHARS)}"


def _without_accents(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(character for character in decomposed if not unicodedata.combining(character))
