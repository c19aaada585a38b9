"""Entity tags, dates, cache directives, dispositions and digests."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from email.message import Message
from email.utils import collapse_rfc2231_value, formatdate, parsedate_to_datetime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.cache_control import (
    MAX_DELTA_SECONDS,
    is_private,
    private_value,
    read_directives,
    written,
)
from asyncstatic.http.dates import LAST_HTTP_DATE, http_date, parse_http_date
from asyncstatic.http.digest import repr_digest, wants_sha256
from asyncstatic.http.disposition import content_disposition
from asyncstatic.http.entity_tag import EntityTag, EntityTags

HEADER_BLOCK = 65_536  # bytes: the largest field value any server in front of us lets through
LATIN_1 = st.characters(max_codepoint=0xFF)
NOW = int(datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC).timestamp())

# --- Entity tags -------------------------------------------------------------------------------

A, B, C = EntityTag("a"), EntityTag("b"), EntityTag("c")
WEAK_A = EntityTag("a", weak=True)

TAGS = [
    pytest.param('"xyzzy"', EntityTag("xyzzy"), id="strong"),
    pytest.param('W/"xyzzy"', EntityTag("xyzzy", weak=True), id="weak"),
    pytest.param('""', EntityTag(""), id="empty"),
    pytest.param('W/""', EntityTag("", weak=True), id="weak and empty"),
    pytest.param('"a,b"', EntityTag("a,b"), id="comma"),
    pytest.param('"a\\"', EntityTag("a\\"), id="a backslash is no escape"),
    pytest.param('"!#~"', EntityTag("!#~"), id="the ends of the ranges"),
    pytest.param('"\x80\xff"', EntityTag("\x80\xff"), id="obs-text"),
    pytest.param('"*"', EntityTag("*"), id="an asterisk in quotes is a tag"),
    pytest.param('"W/"', EntityTag("W/"), id="W/ in quotes is text"),
    pytest.param(' \t"a" ', A, id="OWS around"),
]

NO_TAGS = [
    pytest.param("", id="empty"),
    pytest.param("*", id="asterisk"),
    pytest.param("xyzzy", id="no quotes"),
    pytest.param('"xyzzy', id="no closing quote"),
    pytest.param('xyzzy"', id="no opening quote"),
    pytest.param('w/"a"', id="weak in lower case"),
    pytest.param('W "a"', id="weak without slash"),
    pytest.param('W/ "a"', id="space behind W/"),
    pytest.param("W/a", id="weak without quotes"),
    pytest.param('"a b"', id="space inside"),
    pytest.param('"a"b"', id="quote inside"),
    pytest.param('"a\\"b"', id="escaped quote inside"),
    pytest.param('"a\tb"', id="tab inside"),
    pytest.param('"a\x7f"', id="DEL inside"),
    pytest.param('"a\n"', id="line end inside"),
    pytest.param('"a"\n', id="line end behind"),
    pytest.param('"\u0100"', id="no byte"),
    pytest.param('"a", "b"', id="two tags"),
    pytest.param("'a'", id="single quotes"),
    pytest.param('"a";gzip', id="something behind"),
]


@pytest.mark.parametrize(("value", "tag"), TAGS)
def test_an_entity_tag_is_read_and_written(value: str, tag: EntityTag) -> None:
    assert EntityTag.parse(value) == tag
    assert str(tag) == value.strip()


@pytest.mark.parametrize("value", NO_TAGS)
def test_what_is_no_entity_tag_is_unusable(value: str) -> None:
    assert EntityTag.parse(value) is None


@pytest.mark.parametrize("opaque", ['"', " ", "\r\n", "\x00", "\x7f", "\u0100", 'a"b', "a\n"])
def test_a_tag_that_would_break_out_of_its_field_cannot_be_built(opaque: str) -> None:
    with pytest.raises(ValueError, match="opaque-tag"):
        EntityTag(opaque)


# RFC 9110 §8.8.3.2, its own table
@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        pytest.param('W/"1"', 'W/"1"', False, True, id="weak and weak"),
        pytest.param('W/"1"', 'W/"2"', False, False, id="weak and another weak"),
        pytest.param('W/"1"', '"1"', False, True, id="weak and strong"),
        pytest.param('"1"', '"1"', True, True, id="strong and strong"),
        pytest.param('"1"', '"2"', False, False, id="strong and another strong"),
    ],
)
def test_tags_compare_as_the_rfc_tabulates(one: str, other: str, strong: bool, weak: bool) -> None:
    first, second = EntityTag.parse(one), EntityTag.parse(other)
    assert first is not None
    assert second is not None
    assert first.strong_eq(second) is second.strong_eq(first) is strong
    assert first.weak_eq(second) is second.weak_eq(first) is weak


TAG_LISTS = [
    pytest.param("*", EntityTags((), any=True), id="any"),
    pytest.param(" * ", EntityTags((), any=True), id="any, OWS around"),
    pytest.param('"a"', EntityTags((A,)), id="one"),
    pytest.param('"a", "b", "c"', EntityTags((A, B, C)), id="three"),
    pytest.param('"a","b"', EntityTags((A, B)), id="no space"),
    pytest.param('"a"\t ,\t"b"', EntityTags((A, B)), id="OWS on both sides"),
    pytest.param('W/"a", "a"', EntityTags((WEAK_A, A)), id="weak and strong"),
    pytest.param('"a,b", "c"', EntityTags((EntityTag("a,b"), C)), id="comma inside a tag"),
    pytest.param('", ", "c"', None, id="space inside a tag"),
    pytest.param('"\\","a"', EntityTags((EntityTag("\\"), A)), id="backslash inside a tag"),
    pytest.param('"a",,"b"', EntityTags((A, B)), id="empty member"),
    pytest.param(', ,"a", ,', EntityTags((A,)), id="empty members all over"),
    pytest.param("", EntityTags(()), id="an empty list names no tag"),
    pytest.param(",", EntityTags(()), id="nor does one comma"),
    pytest.param(None, None, id="absent"),
    pytest.param('*, "a"', None, id="any is no member"),
    pytest.param('"a", *', None, id="any is no member, behind"),
    pytest.param('"a" "b"', None, id="no comma"),
    pytest.param('"a""b"', None, id="nothing between"),
    pytest.param('"a", b', None, id="one bad member spoils the list"),
    pytest.param('"a", w/"b"', None, id="weak in lower case"),
    pytest.param('"a", "b', None, id="cut off"),
    pytest.param('"a"\r\n', None, id="line end"),
]


@pytest.mark.parametrize(("value", "tags"), TAG_LISTS)
def test_a_list_of_tags_is_usable_as_a_whole_or_not_at_all(
    value: str | None, tags: EntityTags | None
) -> None:
    assert EntityTags.parse(value) == tags


@pytest.mark.parametrize(
    ("value", "tag", "strong", "weak"),
    [
        pytest.param('"a"', A, True, True, id="same"),
        pytest.param('"b"', A, False, False, id="another"),
        pytest.param('"b", "a"', A, True, True, id="the second"),
        pytest.param('W/"a"', A, False, True, id="weakened by a proxy"),
        pytest.param('"a"', WEAK_A, False, True, id="ours is weak"),
        pytest.param('W/"a"', WEAK_A, False, True, id="both weak"),
        pytest.param("*", A, True, True, id="any"),
        pytest.param("*", None, True, True, id="any, and we have no tag"),
        pytest.param('"a"', None, False, False, id="we have no tag"),
        pytest.param("", A, False, False, id="empty list"),
    ],
)
def test_a_list_matches_when_a_member_does(
    value: str, tag: EntityTag | None, strong: bool, weak: bool
) -> None:
    tags = EntityTags.parse(value)
    assert tags is not None
    assert tags.matches_strong(tag) is strong
    assert tags.matches_weak(tag) is weak


@pytest.mark.parametrize(
    ("value", "count"),
    [
        pytest.param('"",' * (HEADER_BLOCK // 3), HEADER_BLOCK // 3, id="tags"),
        pytest.param("," * HEADER_BLOCK, 0, id="commas"),
        pytest.param(" ," * (HEADER_BLOCK // 2), 0, id="commas and spaces"),
        pytest.param('"' * HEADER_BLOCK, None, id="quotes"),
        pytest.param('"a"' + " " * HEADER_BLOCK + "x", None, id="spaces"),
        pytest.param("W/" * (HEADER_BLOCK // 2), None, id="prefixes"),
    ],
)
def test_64_kib_of_tags_are_read_to_the_end(value: str, count: int | None) -> None:
    tags = EntityTags.parse(value)
    assert (tags and len(tags.tags)) == count


opaques = st.from_regex(r"[!#-~\x80-\xff]{0,20}", fullmatch=True)
entity_tags = st.builds(EntityTag, opaques, st.booleans())


@given(entity_tags)
def test_any_tag_parses_back(tag: EntityTag) -> None:
    assert EntityTag.parse(str(tag)) == tag


@given(st.lists(entity_tags, max_size=8))
def test_any_list_of_tags_is_read(tags: list[EntityTag]) -> None:
    assert EntityTags.parse(", ".join(map(str, tags))) == EntityTags(tuple(tags))


@given(st.text() | st.text('W/"a,* \\\t', max_size=30))
def test_parsing_tags_never_raises(value: str) -> None:
    tags = EntityTags.parse(value)
    tag = EntityTag.parse(value)
    assert tag is None or tags == EntityTags((tag,))


# --- Dates -------------------------------------------------------------------------------------

NOVEMBER_1994 = 784111777

DATES = [
    pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", NOVEMBER_1994, id="IMF-fixdate"),
    pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", NOVEMBER_1994, id="RFC 850"),
    pytest.param("Sun Nov  6 08:49:37 1994", NOVEMBER_1994, id="asctime"),
    pytest.param("Sun Nov 06 08:49:37 1994", NOVEMBER_1994, id="asctime, two digits"),
    pytest.param("Wed Nov 16 08:49:37 1994", NOVEMBER_1994 + 864000, id="asctime, the 16th"),
    pytest.param(" Sun, 06 Nov 1994 08:49:37 GMT\t", NOVEMBER_1994, id="OWS around"),
    pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0, id="the epoch"),
    pytest.param("Wed, 31 Dec 1969 23:59:59 GMT", -1, id="before the epoch"),
    pytest.param("Mon, 01 Jan 0001 00:00:00 GMT", -62135596800, id="year 1"),
    pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", LAST_HTTP_DATE, id="the last one"),
    pytest.param("Thu, 29 Feb 2024 00:00:00 GMT", 1709164800, id="leap day"),
    pytest.param("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800, id="leap second"),
    pytest.param("Tuesday, 24-Nov-26 12:00:00 GMT", NOW, id="RFC 850, this year"),
    pytest.param("Saturday, 24-Nov-35 12:00:00 GMT", 2079518400, id="RFC 850, in 9 years"),
    pytest.param("Tuesday, 24-Nov-76 12:00:00 GMT", 3373444800, id="RFC 850, in 50 years"),
    pytest.param("Wednesday, 24-Nov-76 12:00:01 GMT", 217684801, id="RFC 850, a second more"),
]

NO_DATES = [
    pytest.param(None, id="absent"),
    pytest.param("", id="empty"),
    pytest.param("0", id="zero, as in Expires"),
    pytest.param("784111777", id="POSIX seconds"),
    pytest.param("1994-11-06T08:49:37Z", id="ISO 8601"),
    pytest.param("Sun, 06 Nov 1994 08:49:37", id="no zone"),
    pytest.param("Sun, 06 Nov 1994 08:49:37 UTC", id="UTC"),
    pytest.param("Sun, 06 Nov 1994 08:49:37 +0000", id="numeric zone"),
    pytest.param("Sun, 06 Nov 1994 08:49:37 EST", id="another zone"),
    pytest.param("Sun, 06 Nov 1994 08:49:37 gmt", id="zone in lower case"),
    pytest.param("sun, 06 nov 1994 08:49:37 GMT", id="names in lower case"),
    pytest.param("SUN, 06 NOV 1994 08:49:37 GMT", id="names in upper case"),
    pytest.param("06 Nov 1994 08:49:37 GMT", id="no day name"),
    pytest.param("Mon, 06 Nov 1994 08:49:37 GMT", id="wrong day name"),
    pytest.param("Monday, 06-Nov-94 08:49:37 GMT", id="wrong day name, RFC 850"),
    pytest.param("Mon Nov  6 08:49:37 1994", id="wrong day name, asctime"),
    pytest.param("Xxx, 06 Nov 1994 08:49:37 GMT", id="no such day name"),
    pytest.param("Sunday, 06 Nov 1994 08:49:37 GMT", id="long day name"),
    pytest.param("Sun, 06-Nov-94 08:49:37 GMT", id="short day name, RFC 850"),
    pytest.param("Sunday, 06-Nov-1994 08:49:37 GMT", id="four digits, RFC 850"),
    pytest.param("Sun, 06 Nov 94 08:49:37 GMT", id="two digits, IMF-fixdate"),
    pytest.param("Sun, 6 Nov 1994 08:49:37 GMT", id="one-digit day"),
    pytest.param("Sun,  6 Nov 1994 08:49:37 GMT", id="day with a space"),
    pytest.param("Sun Nov 6 08:49:37 1994", id="one space, asctime"),
    pytest.param("Sun, 06 Nov 1994  08:49:37 GMT", id="two spaces"),
    pytest.param("Sun, 06\tNov 1994 08:49:37 GMT", id="tab"),
    pytest.param("Sun,06 Nov 1994 08:49:37 GMT", id="no space"),
    pytest.param("Sun, 06 Nov 1994 8:49:37 GMT", id="one-digit hour"),
    pytest.param("Sun, 06 Nov 1994 08:49 GMT", id="no seconds"),
    pytest.param("Sun, 06 Nov 1994 24:00:00 GMT", id="hour 24"),
    pytest.param("Sun, 06 Nov 1994 08:60:37 GMT", id="minute 60"),
    pytest.param("Sun, 06 Nov 1994 08:49:61 GMT", id="second 61"),
    pytest.param("Sun, 00 Nov 1994 08:49:37 GMT", id="day 0"),
    pytest.param("Thu, 31 Nov 1994 08:49:37 GMT", id="31 November"),
    pytest.param("Wed, 29 Feb 2023 00:00:00 GMT", id="no leap year"),
    pytest.param("Thu, 29 Feb 1900 00:00:00 GMT", id="1900 was none either"),
    pytest.param("Sat, 01 Jan 0000 00:00:00 GMT", id="year 0"),
    pytest.param("Sun, 06 Nov 19940 08:49:37 GMT", id="five digits"),
    pytest.param("Sun, 06 Nov 1994 08:49:37 GMT\n", id="line end"),
    pytest.param("Sun, 06 Nov 1994 08:49:37 GMT; length=5", id="length, as Netscape sent it"),
    pytest.param("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", id="two dates"),
    pytest.param("Sun, \u0660\u0666 Nov 1994 08:49:37 GMT", id="digits that are not ASCII"),
    pytest.param("S" * HEADER_BLOCK, id="64 KiB"),
]


@pytest.mark.parametrize(("value", "seconds"), DATES)
def test_a_date_is_read_in_all_three_formats(value: str, seconds: int) -> None:
    assert parse_http_date(value, now=NOW) == seconds


@pytest.mark.parametrize("value", NO_DATES)
def test_what_is_no_http_date_is_unusable(value: str | None) -> None:
    assert parse_http_date(value, now=NOW) is None


@pytest.mark.parametrize(
    ("now_year", "two_digits", "year"),
    [(1999, 99, 1999), (1999, 0, 1900), (2026, 76, 1976), (2026, 75, 2075), (2050, 99, 2099)],
)
def test_a_two_digit_year_is_at_most_50_years_ahead(
    now_year: int, two_digits: int, year: int
) -> None:
    now = int(datetime(now_year, 1, 1, tzinfo=UTC).timestamp())
    date = datetime(year, 6, 15, tzinfo=UTC)
    value = f"{date:%A}, {date:%d-%b}-{two_digits:02} 00:00:00 GMT"
    assert parse_http_date(value, now=now) == int(date.timestamp())


@given(st.integers(0, LAST_HTTP_DATE))
def test_a_date_parses_back_and_agrees_with_email(seconds: int) -> None:
    value = http_date(seconds)
    assert parse_http_date(value, now=NOW) == seconds
    assert value == formatdate(seconds, usegmt=True)
    assert parsedate_to_datetime(value).timestamp() == seconds


@given(st.integers(0, LAST_HTTP_DATE))
def test_asctime_says_the_same(seconds: int) -> None:
    value = datetime.fromtimestamp(seconds, UTC).ctime()
    assert parse_http_date(value, now=NOW) == seconds


@pytest.mark.parametrize("seconds", [-1, LAST_HTTP_DATE + 1])
def test_a_date_without_a_four_digit_year_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="1970"):
        http_date(seconds)


@given(st.text())
def test_parsing_dates_never_raises(value: str) -> None:
    seconds = parse_http_date(value, now=NOW)
    assert seconds is None or -62135596800 <= seconds <= LAST_HTTP_DATE + 1


# --- Cache-Control -----------------------------------------------------------------------------

DIRECTIVES: list[object] = [
    pytest.param("no-cache", {"no-cache": ""}, id="no-cache"),
    pytest.param("no-store", {"no-store": ""}, id="no-store"),
    pytest.param(
        "public, max-age=31536000, immutable",
        {"public": "", "max-age": "31536000", "immutable": ""},
        id="immutable",
    ),
    pytest.param("private, no-cache", {"private": "", "no-cache": ""}, id="private"),
    pytest.param("", {}, id="empty"),
    pytest.param("max-age=0", {"max-age": "0"}, id="zero is a value"),
    pytest.param(
        "max-age=60, s-maxage=600, stale-while-revalidate=30, stale-if-error=86400",
        {
            "max-age": "60",
            "s-maxage": "600",
            "stale-while-revalidate": "30",
            "stale-if-error": "86400",
        },
        id="seconds",
    ),
    pytest.param(
        "no-transform, must-revalidate, proxy-revalidate, must-understand",
        dict.fromkeys(
            ("no-transform", "must-revalidate", "proxy-revalidate", "must-understand"), ""
        ),
        id="flags",
    ),
    pytest.param(
        'private="X-A", no-cache="Set-Cookie, X-B"',
        {"private": '"X-A"', "no-cache": '"Set-Cookie, X-B"'},
        id="limited to fields",
    ),
]

MOST = str(MAX_DELTA_SECONDS)
LENIENT: list[object] = [
    pytest.param("MAX-AGE=5, Public", {"public": "", "max-age": "5"}, id="any case, order"),
    pytest.param('max-age="5"', {"max-age": "5"}, id="quoted seconds"),
    pytest.param("max-age=5, max-age=6", {"max-age": "5"}, id="the first counts"),
    pytest.param("no-cache=Set-Cookie", {"no-cache": '"Set-Cookie"'}, id="token"),
    pytest.param("public,,no-store", {"public": "", "no-store": ""}, id="empty member"),
    pytest.param('x="a, b", public', {"public": ""}, id="extensions are ignored"),
    pytest.param("max-age=2147483649", {"max-age": MOST}, id="too large"),
    pytest.param(f"max-age={'9' * 60000}", {"max-age": MOST}, id="60 kB"),
    pytest.param(f"max-age={'0' * 60000}5", {"max-age": "5"}, id="60 kB of zeros"),
    pytest.param("," * HEADER_BLOCK + "public", {"public": ""}, id="64 KiB of commas"),
]

NO_DIRECTIVES = [
    pytest.param(None, id="absent"),
    pytest.param("max-age", id="no seconds"),
    pytest.param("max-age=", id="empty seconds"),
    pytest.param("max-age=-1", id="negative"),
    pytest.param("max-age=1.5", id="fraction"),
    pytest.param("max-age=1h", id="unit"),
    pytest.param("max-age =5", id="space before ="),
    pytest.param("max-age= 5", id="space behind ="),
    pytest.param("public=1", id="flag with an argument"),
    pytest.param('no-cache=""', id="no field name"),
    pytest.param('private="a b"', id="no token"),
    pytest.param("public; immutable", id="semicolon"),
    pytest.param("no cache", id="space in the name"),
    pytest.param('no-cache="Set-Cookie', id="cut off"),
    pytest.param('"' * HEADER_BLOCK, id="64 KiB of quotes"),
    pytest.param('"\\' * (HEADER_BLOCK // 2), id="64 KiB of quotes and backslashes"),
]


@pytest.mark.parametrize(("value", "directives"), DIRECTIVES)
def test_directives_are_read_and_written_in_canonical_order(
    value: str, directives: dict[str, str]
) -> None:
    assert read_directives(value) == directives
    assert written(directives) == value


@pytest.mark.parametrize(("value", "directives"), LENIENT)
def test_every_spelling_the_rfc_allows_is_read(value: str, directives: dict[str, str]) -> None:
    assert read_directives(value) == directives


@pytest.mark.parametrize("value", NO_DIRECTIVES)
def test_a_malformed_directive_is_not_guessed(value: str | None) -> None:
    assert read_directives(value) is None


names = st.lists(st.from_regex(r"[A-Za-z-]{1,8}", fullmatch=True), min_size=1, max_size=3)
limits = st.just("") | names.map(lambda listed: f'"{", ".join(listed)}"')
flags = st.just("")
seconds = st.integers(0, MAX_DELTA_SECONDS).map(str)
cache_controls = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("public", "no-store", "must-understand", "immutable"), flags),
        **dict.fromkeys(("private", "no-cache"), limits),
        **dict.fromkeys(("max-age", "s-maxage", "stale-if-error"), seconds),
    },
)


@given(cache_controls)
def test_any_directives_are_read_back(directives: dict[str, str]) -> None:
    assert read_directives(written(directives)) == directives


@given(cache_controls.map(written))
def test_a_private_value_is_private_and_the_same_otherwise(value: str) -> None:
    private = private_value(value)
    directives, made = read_directives(value), read_directives(private)
    assert directives is not None
    assert made is not None
    assert is_private(private)
    assert {"public", "s-maxage"}.isdisjoint(made)
    kept = directives.keys() - {"public", "private", "s-maxage"}
    assert made == {"private": ""} | {name: directives[name] for name in kept}


@given(st.text() | st.text('max-age=0,"\\ public'))
def test_parsing_directives_never_raises(value: str) -> None:
    parsed = read_directives(value)
    assert parsed is None or read_directives(written(parsed)) == parsed


# --- Content-Disposition -----------------------------------------------------------------------

DISPOSITIONS = [
    pytest.param(None, "attachment", id="no name"),
    pytest.param("", "attachment", id="empty name"),
    pytest.param("a.txt", 'attachment; filename="a.txt"', id="plain"),
    pytest.param("a b (1).txt", 'attachment; filename="a b (1).txt"', id="spaces"),
    pytest.param("a;b=c,d.txt", 'attachment; filename="a;b=c,d.txt"', id="delimiters are quoted"),
    pytest.param("../../etc/passwd", 'attachment; filename="passwd"', id="path"),
    pytest.param("C:\\temp\\a.txt", 'attachment; filename="a.txt"', id="path with backslashes"),
    pytest.param("dir/", "attachment", id="a path that names no file"),
    pytest.param("..", "attachment", id="parent"),
    pytest.param(
        "Übergröße.txt",
        "attachment; filename=\"Ubergro_e.txt\"; filename*=UTF-8''%C3%9Cbergr%C3%B6%C3%9Fe.txt",
        id="accents",
    ),
    pytest.param(
        "報告.pdf",
        "attachment; filename=\"__.pdf\"; filename*=UTF-8''%E5%A0%B1%E5%91%8A.pdf",
        id="no ASCII at all",
    ),
    pytest.param(
        'a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt", id="quote"
    ),
    pytest.param(
        "50%25.txt",
        "attachment; filename=\"50_25.txt\"; filename*=UTF-8''50%2525.txt",
        id="percent",
    ),
    pytest.param(
        "a\r\nSet-Cookie: b", 'attachment; filename="a__Set-Cookie: b"', id="header injection"
    ),
    pytest.param("a\x00b\x7fc\x85d", 'attachment; filename="a_b_c_d"', id="controls"),
    pytest.param("a\udcffb", 'attachment; filename="a_b"', id="a name that is no UTF-8"),
    pytest.param(
        "\u2025", "attachment; filename=\"_\"; filename*=UTF-8''%E2%80%A5", id="two dot leader"
    ),
    pytest.param(
        ".\u0301", "attachment; filename=\"_\"; filename*=UTF-8''.%CC%81", id="a dot with an accent"
    ),
    pytest.param(
        "\u0301", "attachment; filename=\"_\"; filename*=UTF-8''%CC%81", id="an accent alone"
    ),
    pytest.param(
        "a\uff0fb", "attachment; filename=\"a_b\"; filename*=UTF-8''a%EF%BC%8Fb", id="wide solidus"
    ),
]


@pytest.mark.parametrize(("filename", "value"), DISPOSITIONS)
def test_a_disposition_proposes_the_last_name(filename: str | None, value: str) -> None:
    assert content_disposition("attachment", filename) == value


def test_inline_is_a_kind() -> None:
    assert content_disposition("inline", "a.pdf") == 'inline; filename="a.pdf"'


@given(st.sampled_from(["inline", "attachment"]), st.text() | st.text("/\\\"%;'\r\n\x00é.a"))
def test_a_disposition_is_printable_ascii_and_one_parameter_cannot_become_two(
    kind: Literal["inline", "attachment"], filename: str
) -> None:
    value = content_disposition(kind, filename)
    fallback = r'; filename="[^"\\%/]+"'
    extended = r"; filename\*=UTF-8''[A-Za-z0-9!#$&+^_`|~.%-]+"
    assert re.fullmatch(f"{kind}(?:{fallback}(?:{extended})?)?", value)
    assert value.isascii()
    assert value.isprintable()


@given(st.text(st.characters(exclude_categories=["C"], exclude_characters="/\\"), min_size=1))
def test_email_reads_the_name_back(filename: str) -> None:
    message = Message()
    message["Content-Disposition"] = content_disposition("attachment", filename)
    parameters = message.get_params([], "content-disposition")
    # Strongest last; email trims what a quoted string may begin and end with.
    names = [
        collapse_rfc2231_value(value).strip() for name, value in parameters if name == "filename"
    ]
    assert names[-1:] == ([] if filename in {".", ".."} else [filename.strip()])


# --- Digests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        pytest.param(None, False, id="absent"),
        pytest.param("", False, id="empty"),
        pytest.param("sha-256=1", True, id="wanted"),
        pytest.param("sha-256=10", True, id="wanted most"),
        pytest.param("sha-256=0", False, id="not acceptable"),
        pytest.param("sha-256=11", False, id="out of range"),
        pytest.param("sha-256=-1", False, id="negative"),
        pytest.param("sha-512=10", False, id="another algorithm"),
        pytest.param("sha-512=10, sha-256=1", True, id="the one we have"),
        pytest.param("sha-512=3,\tsha-256=10 , unixsum=0", True, id="the RFC's, with OWS"),
        pytest.param("sha-256=0, sha-256=5", True, id="the last counts"),
        pytest.param("sha-256=5, sha-256=0", False, id="the last counts, not acceptable"),
        pytest.param("SHA-256=1", False, id="keys are lower case"),
        pytest.param("sha-256", False, id="no preference"),
        pytest.param("sha-256=1.0", False, id="decimal"),
        pytest.param("sha-256=1,", False, id="trailing comma"),
        pytest.param("sha-256=1,,a=1", False, id="empty member"),
        pytest.param("sha-256=1 a=2", False, id="no comma"),
        pytest.param("sha-256=1, b=:YQ==:", False, id="one bad member spoils the dictionary"),
        pytest.param("sha-256=" + "1" * HEADER_BLOCK, False, id="64 KiB of digits"),
        pytest.param("a=1," * (HEADER_BLOCK // 4) + "sha-256=1", True, id="64 KiB of others"),
    ],
)
def test_a_digest_is_given_when_ours_is_acceptable(value: str | None, accepted: bool) -> None:
    assert wants_sha256(value) is accepted


@given(st.text() | st.text("sha-256=10, "))
def test_parsing_a_wanted_digest_never_raises(value: str) -> None:
    assert wants_sha256(value) in {True, False}


@given(st.binary())
def test_a_digest_is_the_hash_in_base64(content: bytes) -> None:
    value = repr_digest(hashlib.sha256(content).digest())
    assert re.fullmatch(r"sha-256=:[A-Za-z0-9+/]{43}=:", value)
    assert base64.b64decode(value[9:-1]) == hashlib.sha256(content).digest()
