"""Field values: one type per field, two verbs - ``parse`` and ``str()``.

Rules of the room:

* A parser takes the field value as latin-1 text, repeated fields joined with ", ", and returns
  the value, or None when the field is absent or unusable. It never raises and is linear in the
  length of the value.
* ``parse(str(x)) == x``. What would break out of its field - a quote in a tag, a line end in a
  directive - cannot be constructed: that is a ValueError.
* Comparisons live on the type.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote

from asyncstatic.http.abnf import OWS
from asyncstatic.http.accept import AcceptEncoding, media_quality, prefers_html
from asyncstatic.http.cache_control import IMMUTABLE, NO_CACHE, NO_STORE, PRIVATE, CacheControl
from asyncstatic.http.model import ByteRange
from asyncstatic.http.ranges import IntRange, RangeSpec, SuffixRange, parse_ranges, resolve

__all__ = [
    "IMMUTABLE",
    "LAST_HTTP_DATE",
    "NO_CACHE",
    "NO_STORE",
    "PRIVATE",
    "AcceptEncoding",
    "ByteRange",
    "CacheControl",
    "EntityTag",
    "EntityTags",
    "IntRange",
    "RangeSpec",
    "SuffixRange",
    "content_disposition",
    "http_date",
    "media_quality",
    "parse_http_date",
    "parse_ranges",
    "prefers_html",
    "repr_digest",
    "resolve",
    "want_repr_digest",
]

# --- Entity tags (RFC 9110 §8.8.3) --------------------------------------------------------------
#
#   entity-tag = [ weak ] opaque-tag
#   weak       = %s"W/"
#   opaque-tag = DQUOTE *etagc DQUOTE
#   etagc      = %x21 / %x23-7E / obs-text                   no escapes: a backslash is a backslash

_OPAQUE = r"[!#-~\x80-\xff]*+"
_IS_OPAQUE = re.compile(_OPAQUE)
_TAG = re.compile(rf'(W/)?+"({_OPAQUE})"')
_TAGS = re.compile(rf"{OWS}(?:{_TAG.pattern})?+(?:{OWS},{OWS}(?:{_TAG.pattern})?+)*+{OWS}")


@dataclass(frozen=True, slots=True)
class EntityTag:
    """A validator: equal tags, equal content.

    Raises:
        ValueError: `opaque` holds a character outside etagc, such as a quote or a line end.
    """

    opaque: str
    weak: bool = False

    def __post_init__(self) -> None:
        if not _IS_OPAQUE.fullmatch(self.opaque):
            raise ValueError(f"not an opaque-tag: {self.opaque!r}")

    @classmethod
    def parse(cls, value: str) -> EntityTag | None:
        """Parse one entity-tag, as ETag and If-Range carry it."""
        match = _TAG.fullmatch(value.strip(" \t"))
        return cls(match[2], match[1] is not None) if match else None

    def __str__(self) -> str:
        return f'W/"{self.opaque}"' if self.weak else f'"{self.opaque}"'

    def strong_eq(self, other: EntityTag) -> bool:
        """Both strong and the same text: the same octets (§8.8.3.2)."""
        return not self.weak and not other.weak and self.opaque == other.opaque

    def weak_eq(self, other: EntityTag) -> bool:
        """Return whether the text is the same, weak or not: equivalent content (§8.8.3.2)."""
        return self.opaque == other.opaque


@dataclass(frozen=True, slots=True)
class EntityTags:
    """The value of If-Match and If-None-Match: ``"*" / #entity-tag`` (§13.1.1, §13.1.2).

    A malformed member makes the field unusable as a whole, and each field has its safe side.
    If-None-Match: ignore it; the client gets 200 and the content. If-Match: answer 412; the
    client asked for one version and nobody can tell which, so *present but None is false*.

    Raises:
        ValueError: `any` together with tags; the grammar has no such value.
    """

    tags: tuple[EntityTag, ...]
    any: bool = False

    def __post_init__(self) -> None:
        if self.any and self.tags:
            raise ValueError('"*" stands alone')

    @classmethod
    def parse(cls, value: str | None) -> EntityTags | None:
        """Parse the field; commas inside tags are part of them, empty members are skipped."""
        if value is None:
            return None
        if value.strip(" \t") == "*":
            return cls((), any=True)
        if not _TAGS.fullmatch(value):
            return None
        return cls(tuple(EntityTag(opaque, bool(weak)) for weak, opaque in _TAG.findall(value)))

    def __str__(self) -> str:
        return "*" if self.any else ", ".join(map(str, self.tags))

    def matches_strong(self, tag: EntityTag | None) -> bool:
        """Compare for If-Match. `tag` None: a representation without a tag, matched by ``*``."""
        return self.any or (tag is not None and any(map(tag.strong_eq, self.tags)))

    def matches_weak(self, tag: EntityTag | None) -> bool:
        """Compare for If-None-Match. `tag` None: a representation without a tag."""
        return self.any or (tag is not None and any(map(tag.weak_eq, self.tags)))


# --- Dates (RFC 9110 §5.6.7) --------------------------------------------------------------------
#
#   IMF-fixdate  = day-name "," SP 2DIGIT SP month SP 4DIGIT SP time-of-day SP GMT
#   rfc850-date  = day-name-l "," SP 2DIGIT "-" month "-" 2DIGIT SP time-of-day SP GMT
#   asctime-date = day-name SP month SP ( 2DIGIT / ( SP 1DIGIT ) ) SP time-of-day SP 4DIGIT
#
# Case-sensitive. Exact: a date that is nearly right is ignored, which costs a client at most the
# content it already has.

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_DAY_NAME = f"(?P<day_name>{'|'.join(_DAYS)})"
_DAY_NAME_L = "(?P<day_name>Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_HTTP_DATES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_DAY_NAME}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"{_DAY_NAME_L}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"{_DAY_NAME} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_EPOCH: Final = date(1970, 1, 1).toordinal()

# Fri, 31 Dec 9999 23:59:59 GMT
LAST_HTTP_DATE: Final = 253402300799


def parse_http_date(value: str | None, *, now: int) -> int | None:
    """Parse an HTTP-date in any of its three formats to POSIX seconds.

    A day name that contradicts the date makes it unusable: one of the two is wrong, nothing tells
    which, and who echoes our Last-Modified never gets there. A leap second (``:60``) is the second
    after it, as in POSIX.

    Args:
        value: the field value; None when absent.
        now: POSIX seconds; the century of a two-digit year follows from it.
    """
    stripped = (value or "").strip(" \t")
    for pattern in _HTTP_DATES:
        if match := pattern.fullmatch(stripped):
            return _posix_seconds(match, now)
    return None


def _posix_seconds(match: re.Match[str], now: int) -> int | None:
    year, month, day = match["year"], _MONTHS.index(match["month"]) + 1, int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    rest = (month, day, hour, minute, second)
    try:
        found = date(int(year) if len(year) == 4 else _full_year(int(year), rest, now), month, day)
    except ValueError:  # 31 April, year 0
        return None
    if not match["day_name"].startswith(_DAYS[found.weekday()]):
        return None
    return ((found.toordinal() - _EPOCH) * 24 + hour) * 3600 + minute * 60 + second


def _full_year(two_digits: int, rest: tuple[int, ...], now: int) -> int:
    """Return this century's year, or the last century's when more than 50 years ahead (§5.6.7)."""
    today = datetime.fromtimestamp(now, UTC)
    year = today.year - today.year % 100 + two_digits
    is_far_ahead = (year - 50, *rest) > today.timetuple()[:6]
    return year - 100 if is_far_ahead else year


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """Format POSIX seconds as an IMF-fixdate, the only format a sender may generate.

    Raises:
        ValueError: before 1970 or after `LAST_HTTP_DATE`; no four-digit year describes it to
            every recipient. A file's mtime can be there: look before you format it.
    """
    if not 0 <= seconds <= LAST_HTTP_DATE:
        raise ValueError(f"not between 1970 and 9999: {seconds}")
    days, time = divmod(seconds, 86400)
    day = date.fromordinal(_EPOCH + days)
    return (
        f"{_DAYS[day.weekday()]}, {day.day:02} {_MONTHS[day.month - 1]} {day.year} "
        f"{time // 3600:02}:{time // 60 % 60:02}:{time % 60:02} GMT"
    )


# --- Content-Disposition (RFC 6266, RFC 8187) ---------------------------------------------------

# attr-char of RFC 8187 §3.2.1; letters, digits and _.-~ are never quoted anyway.
_ATTR_CHARS: Final = "!#$&+^`|"
# Controls of C0, DEL and C1, and lone surrogates, which UTF-8 cannot carry.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Not in a fallback (RFC 6266 appendix D): quotes and backslashes, which old clients unescape each
# in their own way, and percent signs, which some decode.
_UNSAFE = re.compile(r'["%\\/]|[^ -~]')


def content_disposition(kind: Literal["inline", "attachment"], filename: str | None = None) -> str:
    """Build a Content-Disposition value.

    Only the last name of a path is kept, and control characters become ``_``: the result is safe
    to send whatever `filename` holds. A name the plain ``filename`` parameter cannot carry is
    sent twice, as an ASCII approximation and percent-encoded in ``filename*``.

    Args:
        kind: ``attachment`` asks the client to save, ``inline`` to show.
        filename: the name to save under; None, or one that names no file: none is proposed.
    """
    name = _CONTROLS.sub("_", re.split(r"[/\\]", filename or "")[-1])
    if name in {"", ".", ".."}:
        return kind
    fallback = _UNSAFE.sub("_", _without_accents(name))
    value = f'{kind}; filename="{fallback}"'
    return value if fallback == name else f"{value}; filename*=UTF-8''{quote(name, _ATTR_CHARS)}"


def _without_accents(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(character for character in decomposed if not unicodedata.combining(character))


# --- Digests (RFC 9530) -------------------------------------------------------------------------

# A member of a Dictionary (RFC 9651 §3.2) as far as Want-Repr-Digest uses it: key "=" sf-integer.
_PREFERENCE = r"[ \t]*+([a-z*][a-z0-9_.*\-]*+)=(-?[0-9]{1,15})[ \t]*+"
_PREFERENCES = re.compile(rf"{_PREFERENCE}(?:,{_PREFERENCE})*+")
_PREFERENCE_MEMBER = re.compile(_PREFERENCE)


def want_repr_digest(value: str | None) -> str | None:
    """Return the hash algorithm to answer Want-Repr-Digest with: ``sha-256`` or None (§4).

    A preference is 1 to 10; 0 means not acceptable. A malformed field is ignored as a whole, as
    structured fields are (RFC 9651 §4.2). The other active algorithm, sha-512, is not kept.
    """
    if value is None or not _PREFERENCES.fullmatch(value):
        return None
    preferences = dict(_PREFERENCE_MEMBER.findall(value))
    return "sha-256" if 1 <= int(preferences.get("sha-256", 0)) <= 10 else None


def repr_digest(sha256: bytes) -> str:
    """Build a Repr-Digest value from the 32 octets of a SHA-256 hash (RFC 9530 §3)."""
    return f"sha-256=:{binascii.b2a_base64(sha256, newline=False).decode()}:"
