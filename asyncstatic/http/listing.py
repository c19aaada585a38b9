"""The listing of a directory: which view a request asks for, in which order, with which links.

`docs/listing.md` says what a client may ask for. A request that cannot be understood gets the
first page.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, quote, urlencode

from asyncstatic.http.accept import media_quality, media_ranges
from asyncstatic.http.dates import LAST_HTTP_DATE
from asyncstatic.http.media import media_type
from asyncstatic.http.model import SECOND, Refusal, Request, View
from asyncstatic.http.target import is_public, parse_target
from asyncstatic.settings import Settings

NAMES_ON_PAGE = 1000
_SORTS = ("name", "size", "modified")
_PAGE_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_NUMBERS = re.compile(r"0*([0-9]+)")
# Names that are public whatever the settings are, apart from `deny`.
_ORDINARY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. ()-]{0,200}")
_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Kinds of files, by the beginning of the media type: each has an icon, and some a preview.
_KINDS = {
    "image/": "image",
    "video/mp2t": "file",  # no browser plays it alone
    "video/": "video",
    "audio/": "audio",
    "font/": "font",
    "application/pdf": "pdf",
    "text/html": "page",
    "text/": "text",
    "application/json": "text",
    "application/xml": "text",
    "application/yaml": "text",
    "application/toml": "text",
    "application/sql": "text",
    "application/x-sh": "text",
    "application/zip": "archive",
    "application/gzip": "archive",
    "application/zstd": "archive",
    "application/x-7z-compressed": "archive",
    "application/x-tar": "archive",
    "application/x-xz": "archive",
    "application/x-bzip": "archive",
    "application/vnd.rar": "archive",
    "application/java-archive": "archive",
}
# Files of text without a suffix that says so.
_TEXT_NAME = re.compile(
    r"(?:readme|licen[cs]e|copying|authors|changelog|changes|makefile|dockerfile|notice|todo)"
    r"|.*\.(?:conf|cfg|ini|env|log|lock|md|rst|py|rs|go|c|h|cc|cpp|java|kt|rb|pl|lua|php|ts|tsx|jsx|vue|sh)",
    re.IGNORECASE,
)


class Row(NamedTuple):
    """One entry, ready to be shown.

    Attributes:
        name: of the entry.
        href: the relative reference that requests it.
        is_directory: a directory, otherwise a file.
        size: in bytes; None for a directory.
        modified: in UTC.
        kind: "folder", or the kind of the file: it chooses icon and preview.
    """

    name: str
    href: str
    is_directory: bool
    size: int | None
    modified: datetime
    kind: str

    @property
    def short_size(self) -> str:
        """The size for people."""
        return "" if self.size is None else human_size(self.size)

    @property
    def short_time(self) -> str:
        """The time for people."""
        return f"{self.modified:%Y-%m-%d %H:%M}"

    @property
    def exact_time(self) -> str:
        """The time by RFC 3339."""
        return f"{self.modified:%Y-%m-%dT%H:%M:%SZ}"


def view_of(request: Request) -> View:
    """Read the view from query and Accept."""
    wanted = _form(request.fields.accept)
    if not request.query:
        return View(wanted)
    try:
        asked = parse_qs(request.query.decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        asked = {}
    given = {name: values[-1] for name, values in asked.items()}
    sort, page = given.get("sort", ""), given.get("page", "")
    return View(
        "zip" if "zip" in given else wanted,
        sort if sort in _SORTS else "name",
        given.get("order") == "desc",
        int(page) if _PAGE_NUMBER.fullmatch(page) else 1,
        given.get("q", "").strip(),
    )


def _form(accept: str | None) -> Literal["html", "json"]:
    """JSON for a client that names it and does not like HTML more (RFC 9110 §12.5.1)."""
    if accept is None or "json" not in accept.lower():
        return "html"
    ranges = media_ranges(accept)
    json, html = (media_quality(ranges, kind) for kind in ("application/json", "text/html"))
    names_html = "text/html" in ranges
    return "json" if json > html or (json == html > 0 and not names_html) else "html"


def query_of(view: View, **changes: Any) -> str:
    """Return the reference to another view of the same directory."""
    new = view._replace(**changes)
    parts = {
        "q": new.text,
        "sort": "" if new.sort == "name" else new.sort,
        "order": "desc" if new.descending else "",
        "page": "" if new.page == 1 else str(new.page),
    }
    return "?" + urlencode({name: value for name, value in parts.items() if value})


def href_of(name: str, *, is_directory: bool) -> str:
    """Return the relative reference to a name in the same directory.

    The "./" keeps a colon in the name from reading as a scheme (RFC 3986 §4.2).
    """
    return f"./{quote(name, safe='')}" + ("/" if is_directory else "")


def servable_in(directory: tuple[str, ...], settings: Settings) -> Callable[[str, bool], bool]:
    """Return a function that tells whether a request for a name would be admitted.

    It would not for a hidden, denied or ill-formed name. The function takes the name, and whether
    the request has a slash at the end.

    Args:
        directory: the names of a directory that is admitted itself.
        settings: of the root.
    """
    above = "/" + "".join(f"{quote(name, safe='')}/" for name in directory)
    longest = settings.max_target - len(above)

    def is_servable(name: str, is_directory: bool) -> bool:
        if sys.platform == "linux" and 3 * len(name) < longest and _ORDINARY.fullmatch(name):
            return not settings.deny or is_public((*directory, name), settings)
        try:
            target = above + href_of(name, is_directory=is_directory)[2:]
        except UnicodeEncodeError:  # bytes that are not UTF-8
            return False
        return not isinstance(parse_target(target.encode("ascii"), settings), Refusal)

    return is_servable


def natural_key(name: str) -> str:
    """Return a key that sorts "file 9" before "file 10", and "é" beside "e".

    A number is preceded by its length, so the shorter one is less.
    """
    folded = name.casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKD", folded)
    return f"{_NUMBERS.sub(_sortable_number, folded)}\0{name}"


def _sortable_number(match: re.Match[str]) -> str:
    return f"0{len(match[1]):03}{match[1]}"


def human_size(size: int) -> str:
    """Return a size in decimal units (IEC 80000-13): 1.2 MB."""
    if size < 1000:
        return f"{size} B"
    amount = float(size)
    for unit in _UNITS:
        amount /= 1000
        if amount < 999.5 or unit == _UNITS[-1]:
            break
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


def row_of(name: str, size: int, mtime_ns: int, *, is_directory: bool) -> Row:
    """Return the row of an entry."""
    seconds = min(max(mtime_ns // SECOND, 0), LAST_HTTP_DATE)
    modified = _EPOCH + timedelta(seconds=seconds)
    kind = "folder" if is_directory else kind_of(name)
    href = href_of(name, is_directory=is_directory)
    return Row(name, href, is_directory, None if is_directory else size, modified, kind)


def kind_of(name: str) -> str:
    """Return the kind of a file by its name."""
    known = media_type(name)
    for beginning, kind in _KINDS.items():
        if known.startswith(beginning):
            return kind
    return "text" if _TEXT_NAME.fullmatch(name) else "file"
