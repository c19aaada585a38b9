"""Media types by file name.

The table is part of this package, so the same file has the same type on every machine. Two kinds
of suffixes have two meanings. ``.ts`` is a segment of video, as registered and as HLS players need
it, because TypeScript is compiled before it is served; ``.d.ts`` is text. ``.tar.gz``, ``.tgz`` and
``.svgz`` are gzip files. They are never announced with a content-coding: the client would save the
unpacked content under the packed name.
"""

from collections.abc import Mapping
from typing import Final

from asyncstatic.http.media_types import MIME_TYPES

# RFC 9110 §8.3: a sender that does not know the type does not guess.
OCTET_STREAM: Final = "application/octet-stream"

# Longer suffixes are not looked up, so a name of 2,000 dots costs no more than others.
_LONGEST_SUFFIX: Final = 64


def _content_type(media_type: str) -> str:
    """Add ``charset=utf-8`` to text/*, which clients would read in another charset without it.

    This includes text/javascript (RFC 9239 §4.1). JSON has no such parameter (RFC 8259 §11). For
    XML, and so for SVG, a charset would overrule the encoding that the document itself declares
    (RFC 7303 §3.2).
    """
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


#: The table: media types by suffix, without charsets.
MEDIA_TYPES: Final = {
    f".{suffix}": found
    for found, *suffixes in map(str.split, MIME_TYPES.splitlines())
    for suffix in suffixes
}
_BY_SUFFIX: Final = {suffix: _content_type(found) for suffix, found in MEDIA_TYPES.items()}

# Names without a suffix that are text wherever they occur. Case counts: `release` may be a program.
_TEXT_NAMES: Final = (
    *("AUTHORS", "CHANGELOG", "CONTRIBUTING", "COPYING", "Dockerfile", "HISTORY", "INSTALL"),
    *("LICENSE", "MANIFEST", "Makefile", "NEWS", "NOTICE", "README", "TODO", "VERSION"),
    *("MD5SUMS", "SHA1SUMS", "SHA256SUMS", "SHA512SUMS"),
)
_BY_NAME: Final = {
    **dict.fromkeys(_TEXT_NAMES, _content_type("text/plain")),
    "apple-app-site-association": "application/json",  # Universal Links: named so, JSON inside
}


def media_type(name: str, overrides: Mapping[str, str] | None = None) -> str:
    """Return the Content-Type value of a file.

    Args:
        name: its last path segment. Suffixes match in any case. A dot at the beginning hides a
            file and begins no suffix.
        overrides: values by suffix in lower case, as in ``{".tar.gz": "application/x-tgz"}``. The
            longest suffix wins, and any override wins over the table. A value is used as written,
            so ``{".html": "text/html"}`` sends no charset.

    Returns:
        The value with its charset; ``application/octet-stream`` for an unknown name.
    """
    suffixes = name.lstrip(".")[-_LONGEST_SUFFIX:].lower()
    override = _longest(suffixes, overrides) if overrides else None
    return override or _from_table(suffixes) or _BY_NAME.get(name, OCTET_STREAM)


def _from_table(name: str) -> str | None:
    """Look up the last two suffixes together, then the last: the table has no longer ones."""
    last = name.rfind(".")
    if last < 0:
        return None
    last_but_one = max(name.rfind(".", 0, last), 0)
    return _BY_SUFFIX.get(name[last_but_one:]) or _BY_SUFFIX.get(name[last:])


def _longest(name: str, values: Mapping[str, str]) -> str | None:
    """Look up every suffix, the longest first."""
    dot = name.find(".")
    while dot >= 0:
        if value := values.get(name[dot:]):
            return value
        dot = name.find(".", dot + 1)
    return None
