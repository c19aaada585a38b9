"""Every difference from Flask's and Quart's own functions is known and explained in docs/quart.md."""

from __future__ import annotations

import asyncio
import gc
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.serve.quart_grid import Case, Grid, Outcome, cases, write_tree

DOCUMENT = Path(__file__).parents[2] / "docs" / "quart.md"
BOTH = "flask|quart"


class Row(NamedTuple):
    """Expected differences; all but `explained` are regular expressions for whole texts."""

    explained: str  # a sentence of docs/quart.md
    field: str  # of `Outcome`
    theirs: str
    ours: str
    cases: str = ".*"
    who: str = BOTH
    result: str = ".*"  # ours


MEMORY = "Content in memory and open files have a tag"
ONLY_PATHS = "Quart takes a path or a `BytesIO` only"
ERRORS = "An error is `no-store` and has no validators"
NOT_MODIFIED = "A 304 has only the fields that a cache needs"
NAMES = "A name in `Content-Disposition` is the last part of a path"
RANGES = "A `Range` that is malformed or of another unit is ignored"
EMPTY = "A range of an empty file is a 416"
SPELLING = "`send_from_directory` finds a file by one spelling only"
RANGES_ARE_OFFERED = "`Accept-Ranges: bytes` is in every answer whose range would be honoured"
DEFAULT_AGE = "Without `max_age` the answer is `no-cache`"
INLINE = "`Content-Disposition: inline` is sent only if you name the file"
OPEN_FILE = r"a file(| at 4); .*"
STATUS = "[2-5][0-9][0-9]"

EXPECTED = (
    # -- what is sent
    Row("A file object is sent from its beginning", "body", "b'456789'", "b'0123456789'", ".* at 4; .*", "flask"),
    Row(MEMORY, "etag", "None", "strong", "(.*BytesIO|bytes|a file).*"),
    Row(MEMORY, "content_length", "None", "[0-9]+", OPEN_FILE, "flask"),
    Row(MEMORY, "last_modified", "None", ".* GMT", OPEN_FILE, "flask"),
    Row(MEMORY, "result", "200", "206|304|412|416", OPEN_FILE, "flask"),
    Row(MEMORY, "result", "200", "206|304|412", "BytesIO; .*"),
    Row("A download needs no name", "result", "TypeError", "200", "BytesIO; as_attachment 1", "flask"),
    Row("The name of a file object", "result", "TypeError", "200", OPEN_FILE, "flask"),
    Row("Plain bytes are content here", "result", "AttributeError", "200", "bytes; .*", "flask"),
    Row("Plain bytes are content here", "result", "FileNotFoundError", "200|ValueError", "bytes; .*", "quart"),
    Row(ONLY_PATHS, "result", "TypeError", f"{STATUS}|ValueError", OPEN_FILE, "quart"),
    Row(
        "A path is relative to `app.root_path`, as in Flask",
        *("result", "FileNotFoundError", "200", "a relative (str|Path); .*", "quart"),
    ),
    # -- errors
    Row("A path that is missing, or is a directory, is a 404", "result", "(FileNotFound|IsADirectory)Error", "404", "a (missing|direc).*"),
    Row("To send a text file is a `TypeError`", "result", "ValueError", "TypeError", "(a text f|Str).*"),
    Row("Content with no media type is a `ValueError`", "result", "TypeError", "ValueError", ".*", "flask"),
    Row("A `SettingsError` is a `ValueError`", "result", "ValueError", "SettingsError"),
    Row("An empty `mimetype` is an error", "result", "200", "SettingsError", ".*; mimetype empty"),
    Row(ERRORS, "cache_control", ".*", "no-store", result="4.."),
    Row(ERRORS, "etag|last_modified|accept_ranges", ".*", "None", result="412"),
    Row(ERRORS, "content_range", "None", r"bytes \*/[0-9]+", result="416", who="quart"),
    # -- fields
    Row("`X-Content-Type-Options: nosniff` is always sent", "others", "", "x-content-type-options"),
    Row(DEFAULT_AGE, "cache_control", "public(, max-age=43200)?", "no-cache", who="quart"),
    Row("`Expires` is not sent", "expires", "sent", "None"),
    Row(
        "`max_age=0` is `max-age=0`",
        *("cache_control", "no-cache, max-age=0", "public, max-age=0", ".*", "flask"),
    ),
    Row("and a negative one as well", "cache_control", ".*max-age=-1", "public, max-age=0"),
    Row(
        "A `max_age` function is called with the name",
        *("cache_control", "public, max-age=[0-9]+", "public, max-age=9", ".* function of the path"),
        "flask",
    ),
    Row(RANGES_ARE_OFFERED, "accept_ranges", "None", "bytes", who="quart", result="200"),
    Row(NOT_MODIFIED, "content_type|last_modified", ".*", "None", who="quart", result="304"),
    Row(NOT_MODIFIED, "accept_ranges", "bytes", "None", who="flask", result="304"),
    Row(INLINE, "content_disposition", "inline: .*", "None", who="flask"),
    Row(INLINE, "content_disposition", "None", "inline: .*", ".*; download_name.*", "quart"),
    Row(NAMES, "content_disposition", r"[a-z]+: \.\..*", ".*", ".* with (a slash|dots)"),
    Row(NAMES, "content_disposition", r"[a-z]+: my\\.*", "[a-z]+: report.csv", ".* a backslash"),
    Row(NAMES, "content_disposition", r"[a-z]+: a\0b.csv", "[a-z]+: a_b.csv", ".* with NUL"),
    Row(NAMES, "result", "ValueError", "200", ".*; download_name with a line end"),
    Row("it sends it as UTF-8 without saying so", "content_disposition", ".*[^ -~].*", ".*", who="quart"),
    Row(
        "An empty `download_name` is none",
        *("content_disposition", "[a-z]+: ", "[a-z]+: notes.txt", ".* with nothing"),
    ),
    Row(
        "An empty `download_name` is none",
        *("content_type", "application/octet-stream", "text/plain; .*", ".* with nothing"),
    ),
    Row("An empty `download_name` is none", "result", "200", "ValueError", "Byt.* with nothing"),
    Row("A `.tar.gz` is `application/gzip`", "content_type", "application/x-tar", "application/gzip"),
    Row("A `.tar.gz` is `application/gzip`", "content_encoding", "gzip", "None", who="flask"),
    Row(
        "XML and SVG have no `charset`",
        *("content_type", r"(application/xml|image/svg\+xml); charset=utf-8"),
        r"(application/xml|image/svg\+xml)",
    ),
    Row(
        "A `charset` that you name is the only one",
        *("content_type", ".*; charset=latin-1; charset=utf-8", ".*; charset=latin-1"),
    ),
    # -- validators
    Row("An empty `etag` is none", "etag", '""', "None", ".*; etag empty", "flask"),
    Row(
        "Any other character is a `ValueError`",
        *("result", "200", "ValueError", ".*; etag with (a space|an accent)", "flask"),
    ),
    Row("`Last-Modified` is never in the future", "last_modified", ".* 2096 .*", ".* GMT", ".*; last_modified in the.*"),
    Row(
        "is not sent at all",
        *("last_modified", ".*(1969|1970).*", "None", ".*; last_modified (0|negative)"),
    ),
    # -- conditions and ranges
    Row("A `Range` is for GET only", "result", "206", "200", ".*; HEAD with a range"),
    Row("`If-Range` has to name exactly", "result", "206", "200", ".*; If-Range with a later date"),
    Row("is evaluated before the range", "result", "206", "304", ".*; If-None-Match with a range"),
    Row("`If-Unmodified-Since` is honoured", "result", "200", "412", ".*; If-Unmod.*"),
    Row("`If-Match: *` holds for every file", "result", "412", "200", r".*; If-Match \*"),
    Row(RANGES, "result", "416", "200", ".*; (another unit|a malformed range|a reversed range)"),
    Row("Several ranges are one `multipart/byteranges` answer", "result", "416", "206", ".*; two ranges"),
    Row("Quart fails for a suffix", "result", "AssertionError", "206", ".*; a suffix", "quart"),
    Row(EMPTY, "result", "200", "416", ".*empty.txt.*"),
    # -- names from users
    Row(SPELLING, "result", "200|206", "404", r"below: '(\./|sub//|notes.txt/).*"),
    Row(SPELLING, "result", "200|206", "400", r"below: 'sub/\.\./.*"),
    Row("a 400 instead of a 404", "result", "404", "400", r"below: .*(\.\.|x00|\\\\|udcff).*|below: '(C|/).*"),
    Row("Hidden names, and links that", "result", "200|206", "404", r"below: '(\.hidden|outside)'.*"),
    Row("longer than any file", "result", "OSError", "404", "below: 'xxx.*", "quart"),
)  # fmt: skip


class Difference(NamedTuple):
    who: str
    case: str
    field: str
    theirs: str
    ours: str
    result: str

    def matches(self, row: Row) -> bool:
        pairs = (
            *((row.who, self.who), (row.field, self.field), (row.theirs, self.theirs)),
            *((row.ours, self.ours), (row.cases, self.case), (row.result, self.result)),
        )
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in pairs)


def differences(who: str, case: Case, theirs: Outcome, ours: Outcome) -> Iterator[Difference]:
    """Compare field by field; only the result where that is another one."""
    fields = ("result",) if theirs.result != ours.result else Outcome._fields
    for field in fields:
        there, here = getattr(theirs, field), getattr(ours, field)
        if there != here:
            yield Difference(who, case.name, field, str(there), str(here), ours.result)


async def compared(place: Path) -> list[Difference]:
    grid, found = Grid(place), list[Difference]()
    for case in cases():
        ours = await grid.ours(case)
        found += differences("flask", case, await grid.flask(case), ours)
        if case.quart_options is not None:
            found += differences("quart", case, await grid.quart(case), ours)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Difference]:
    """All differences, in a time zone in which naive and aware times differ."""
    place = tmp_path_factory.mktemp("grid")
    write_tree(place)
    time.sleep(2.1)  # a young file has a weak tag (RFC 9110 §8.8.1)
    try:
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Flask leaves files open
            patch.setenv("TZ", "JST-9")
            time.tzset()
            found = asyncio.run(compared(place))
            gc.collect()
            return found
    finally:
        time.tzset()


def test_every_difference_is_expected(found: list[Difference]) -> None:
    unexpected = [it for it in found if not any(it.matches(row) for row in EXPECTED)]
    assert not unexpected, "\n".join(map(str, unexpected))


@pytest.mark.parametrize("row", EXPECTED, ids=lambda row: f"{row.explained} ({row.field})")
def test_every_expected_difference_is_one(found: list[Difference], row: Row) -> None:
    assert any(difference.matches(row) for difference in found)


@pytest.mark.parametrize("sentence", sorted({row.explained for row in EXPECTED}))
def test_every_difference_is_explained_in_the_documentation(sentence: str) -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    _, _, section = text.partition("### Differences from Quart's and Flask's")
    assert sentence in section
