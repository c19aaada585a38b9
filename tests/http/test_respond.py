"""The decision core: (request, what the disk holds) -> (status, fields, content)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstatic.http.dates import http_date
from asyncstatic.http.entity_tag import EntityTag
from asyncstatic.http.model import (
    Absence,
    Decoded,
    DirectoryRedirect,
    Fields,
    Lookup,
    Representation,
    Request,
    ResponsePlan,
)
from asyncstatic.http.policy import ResponsePolicy
from asyncstatic.http.ranges import MAX_PARTS
from asyncstatic.http.respond import admit, is_lasting, respond
from asyncstatic.settings import Settings
from tests.http.rows import (
    AFTER,
    BEFORE,
    BR,
    DATE,
    EMPTY,
    GZIP,
    IF_RANGE,
    IGNORED,
    LONE,
    METADATA,
    MISSPELT_METHODS,
    OTHER_METHODS,
    PLAIN_OF_TWO,
    PRECONDITIONS,
    SEVERAL,
    SINGLE,
    TAG,
    TARGETS,
    UNSATISFIABLE,
    WEAK_TAG,
    YOUNG,
)
from tests.support.core import (
    BOUNDARY,
    FILE,
    NOW,
    SECOND,
    STORED,
    answer,
    ask,
    content_of,
    fields_of,
    identity,
    parts_of,
    stored,
)

Found = Representation | DirectoryRedirect | Absence
#: Expected fields; None: must not be there.
Expected = Mapping[str, str | None]

LIST = "https://a.example"
ORIGINS = Settings(cors=(LIST, "https://b.example"))
EVERYBODY = Settings(cors=("*",))


def check(plan: ResponsePlan, status: int, expected: Expected) -> None:
    found = fields_of(plan)
    assert plan.status == status
    assert {name: found.get(name) for name in expected} == dict(expected)


# -- methods ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [*OTHER_METHODS, *MISSPELT_METHODS, "", "GET ", "É"],
)
def test_other_methods_are_405_with_allow(method: str) -> None:
    plan = answer(ask(b"/a.txt", method))
    check(plan, 405, {"allow": "GET, HEAD, OPTIONS", "cache-control": "no-store"})
    assert content_of(plan).startswith(b"405 ")


@pytest.mark.parametrize(
    "target", [b"/a.txt", b"/../x", b"*", b"/%", b"/" + b"a" * 5000, b""], ids=lambda t: str(t[:8])
)
def test_the_method_is_judged_before_the_target(target: bytes) -> None:
    assert answer(ask(target, "POST")).status == 405
    check(answer(ask(target, "OPTIONS")), 204, {"allow": "GET, HEAD, OPTIONS"})


def test_options_has_no_content_and_no_length() -> None:
    plan = answer(ask(b"/a.txt", "OPTIONS"))
    assert plan.content == ()
    check(plan, 204, {"content-length": None, "content-type": None})


# -- Host (RFC 9112 §3.2) ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        pytest.param(None, True, id="absent: its version decides, and that is the server's"),
        pytest.param("", True, id="empty"),
        pytest.param(":80", False, id="a port alone"),
        pytest.param("example.com", True, id="name"),
        pytest.param("example.com:8000", True, id="port"),
        pytest.param("127.0.0.1:80", True, id="IPv4"),
        pytest.param("[::1]:80", True, id="IPv6"),
        pytest.param("xn--bcher-kva.example", True, id="IDNA"),
        pytest.param("a%2fb", True, id="encoded"),
        pytest.param("a%zz", False, id="badly encoded"),
        pytest.param("a b", False, id="space"),
        pytest.param("a/b", False, id="slash"),
        pytest.param("a\\b", False, id="backslash"),
        pytest.param("user@example.com", False, id="userinfo"),
        pytest.param("example.com, example.org", False, id="two fields, joined"),
        pytest.param("<script>", False, id="markup"),
        pytest.param("\xe9", False, id="not ASCII"),
        pytest.param("a\r\nb", False, id="line end"),
    ],
)
@pytest.mark.parametrize("target", [b"/a.txt", b"/./a", b"/.git", b"/%"], ids=str)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "BREW"])
def test_a_host_that_is_none_is_400(
    host: str | None, accepted: bool, target: bytes, method: str
) -> None:
    plain, asked = answer(ask(target, method)), answer(ask(target, method, host=host))
    assert asked == plain if accepted else asked.status == 400


# -- targets that never reach the disk -------------------------------------------------------


@pytest.mark.parametrize(("request_", "status", "expected"), TARGETS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_target_that_cannot_be_served_is_answered_without_the_disk(
    request_: Request, status: int, expected: Expected, method: str
) -> None:
    plan = answer(request_._replace(method=method), FILE)
    check(plan, status, {**expected, "cache-control": "no-store", "etag": None})
    assert bool(plan.content) == (method == "GET")


@pytest.mark.parametrize(
    ("settings", "accept_encoding", "codings"),
    [
        pytest.param(Settings(), None, (("identity",),), id="no field"),
        pytest.param(
            Settings(), "br, gzip", (("br", "gzip"), ("identity",)), id="two of equal weight"
        ),
        pytest.param(
            Settings(), "gzip, br;q=0.9", (("gzip",), ("br",), ("identity",)), id="by weight"
        ),
        pytest.param(Settings(), "br;q=0", (("identity",),), id="excluded"),
        pytest.param(Settings(), "*", (("br", "zstd", "gzip"), ("identity",)), id="anything"),
        pytest.param(Settings(), "identity;q=0, gzip", (("gzip",),), id="identity excluded"),
        pytest.param(Settings(), "identity;q=0", (), id="nothing acceptable"),
        pytest.param(
            Settings(), "identity, gzip;q=0.5", (("identity",), ("gzip",)), id="plain preferred"
        ),
        pytest.param(Settings(), "x-gzip", (("gzip",), ("identity",)), id="old name"),
        pytest.param(Settings(precompressed=False), "br", (("identity",),), id="switched off"),
    ],
)
def test_codings_are_looked_up_in_tiers_of_preference(
    settings: Settings, accept_encoding: str | None, codings: tuple[tuple[str, ...], ...]
) -> None:
    admitted = admit(ask(b"/css/a.css", accept_encoding=accept_encoding), settings)
    assert admitted == Lookup(("css", "a.css"), directory=False, codings=codings)


# -- what the disk may say -------------------------------------------------------------------

HIDING = Settings(hide_forbidden=True)
ABSENCES = [
    pytest.param(Absence.MISSING, Settings(), 404, {}, id="missing"),
    pytest.param(Absence.FORBIDDEN, Settings(), 403, {}, id="forbidden"),
    pytest.param(Absence.FORBIDDEN, HIDING, 404, {}, id="forbidden, hidden"),
    pytest.param(Absence.OVERLOADED, Settings(), 503, {"retry-after": "1"}, id="busy"),
    pytest.param(Absence.OVERLOADED, HIDING, 503, {"retry-after": "1"}, id="busy is not hidden"),
    pytest.param(Absence.BROKEN, Settings(), 500, {}, id="broken disk"),
    pytest.param(Absence.BROKEN, HIDING, 500, {}, id="broken disk is not hidden"),
]


@pytest.mark.parametrize(("absence", "settings", "status", "expected"), ABSENCES)
def test_an_absence_is_answered_with_its_status(
    absence: Absence, settings: Settings, status: int, expected: Expected
) -> None:
    plan = answer(ask(), absence, settings)
    check(plan, status, {**expected, "cache-control": "no-store", "etag": None})


@pytest.mark.parametrize("absence", Absence)
@pytest.mark.parametrize(
    "fields",
    [
        {"if_none_match": "*"},
        {"if_match": '"x"'},
        {"if_match": "*"},
        {"if_unmodified_since": BEFORE},
        {"if_modified_since": AFTER},
        {"range": "bytes=0-0"},
        {"range": "bytes=0-0", "if_range": TAG},
    ],
    ids=lambda fields: "+".join(fields),
)
def test_preconditions_and_ranges_change_no_answer_but_2xx(
    absence: Absence, fields: dict[str, str]
) -> None:
    """RFC 9110 §13.2.1: only where the answer would be 2xx without them."""
    assert answer(ask(**fields), absence) == answer(ask(), absence)
    assert answer(ask(**fields), DirectoryRedirect("a")) == answer(ask(), DirectoryRedirect("a"))


def test_hidden_forbidden_is_the_same_answer_as_missing() -> None:
    assert answer(ask(), Absence.FORBIDDEN, HIDING) == answer(ask(), Absence.MISSING, HIDING)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        pytest.param(None, "text/plain; charset=utf-8", id="no Accept"),
        pytest.param("*/*", "text/plain; charset=utf-8", id="curl"),
        pytest.param("text/html,*/*;q=0.8", "text/html; charset=utf-8", id="browser"),
        pytest.param("image/avif,*/*;q=0.8", "text/plain; charset=utf-8", id="an image is wanted"),
        pytest.param("text/plain, text/html;q=0.5", "text/plain; charset=utf-8", id="text rather"),
        pytest.param("application/json", "text/plain; charset=utf-8", id="neither"),
    ],
)
@pytest.mark.parametrize("status", [400, 403, 404, 405, 412, 414, 416, 500, 503])
def test_refusals_are_html_for_browsers_and_text_for_others(
    status: int, accept: str | None, media_type: str
) -> None:
    plan = _refused(status, accept)
    assert plan.status == status
    check(plan, status, {"content-type": media_type, "cache-control": "no-store"})
    content = content_of(plan)
    assert content.startswith(b"<!doctype html>") == media_type.startswith("text/html")
    assert str(status).encode() in content


def test_a_page_of_ours_has_the_width_and_the_colours_of_the_device() -> None:
    content = content_of(_refused(404, "text/html"))
    assert b'<meta name="viewport" content="width=device-width">' in content
    assert b'<meta name="color-scheme" content="light dark">' in content


def _refused(status: int, accept: str | None) -> ResponsePlan:
    requests: dict[int, tuple[Request, Found]] = {
        400: (ask(b"/%", accept=accept), FILE),
        405: (ask(b"/", "POST", accept=accept), FILE),
        412: (ask(accept=accept, if_match='"other"'), FILE),
        414: (ask(b"/" + b"a" * 8192, accept=accept), FILE),
        416: (ask(accept=accept, range="bytes=100-"), FILE),
    }
    if status in requests:
        return answer(*requests[status])
    return answer(ask(accept=accept), Absence(status))


@pytest.mark.parametrize("status", [400, 403, 404, 405, 412, 414, 416, 500, 503])
def test_a_page_echoes_nothing_of_the_request(status: int) -> None:
    request, found = ask(accept="text/html"), FILE
    plain = content_of(_refused(status, "text/html"))
    marked = _refused(status, "text/html, image/x-marker")
    assert request.target not in plain
    assert found.segments[-1].encode() not in plain
    assert content_of(marked) == plain


# -- directories -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "query", "location"),
    [
        pytest.param("docs", b"", "./docs/", id="plain"),
        pytest.param("docs", b"a=1", "./docs/?a=1", id="query is kept"),
        pytest.param("docs", b"a=%2F&b=?", "./docs/?a=%2F&b=?", id="query is kept as it is"),
        pytest.param("a:b", b"", "./a%3Ab/", id="a colon is no scheme"),
        pytest.param("http:", b"", "./http%3A/", id="a scheme is a name"),
        pytest.param("a b", b"", "./a%20b/", id="space"),
        pytest.param("é", b"", "./%C3%A9/", id="UTF-8"),
        pytest.param("100%", b"", "./100%25/", id="percent sign"),
        pytest.param("a?b#c", b"", "./a%3Fb%23c/", id="what would end a path"),
        pytest.param("%2e%2e", b"", "./%252e%252e/", id="looks like dot-dot"),
        pytest.param('"><script>', b"", "./%22%3E%3Cscript%3E/", id="markup"),
    ],
)
def test_a_directory_without_its_slash_is_redirected(
    folder: str, query: bytes, location: str
) -> None:
    plan = answer(ask(b"/x", query=query, mount=b"/m"), DirectoryRedirect(folder))
    check(plan, 301, {"location": location, "etag": None, "cache-control": "no-store"})


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(immutable=("*",), cache_control="max-age=9")]
)
def test_no_client_keeps_the_redirect_to_a_directory(settings: Settings) -> None:
    """A 301 may be cached for ever (§15.4.2), and a file may have the name later."""
    check(
        answer(ask(b"/docs"), DirectoryRedirect("docs"), settings),
        301,
        {"cache-control": "no-store"},
    )


# -- preconditions (§13.2.2) -----------------------------------------------------------------


@pytest.mark.parametrize(("request_", "found", "status"), PRECONDITIONS)
def test_preconditions_are_evaluated_in_order(
    request_: Request, found: Representation, status: int
) -> None:
    plan = answer(request_, found)
    assert plan.status == status
    if status == 200:
        assert plan.content == answer(ask(), found).content
    if status == 304:
        assert plan.content == ()


@pytest.mark.parametrize(("request_", "found", "status"), PRECONDITIONS)
def test_head_is_judged_by_the_same_preconditions(
    request_: Request, found: Representation, status: int
) -> None:
    plan = answer(request_._replace(method="HEAD"), found)
    assert plan.status == (200 if status == 206 else status)


# -- tags and dates that are missing ---------------------------------------------------------

NO_TAGS = Settings(etag="off")


@pytest.mark.parametrize(
    ("request_", "found", "settings", "status"),
    [
        pytest.param(ask(if_none_match=TAG), FILE, NO_TAGS, 200, id="no tag, tag asked"),
        pytest.param(ask(if_none_match="*"), FILE, NO_TAGS, 304, id="no tag, star"),
        pytest.param(ask(if_match="*"), FILE, NO_TAGS, 200, id="no tag, If-Match star"),
        pytest.param(ask(if_match=TAG), FILE, NO_TAGS, 412, id="no tag, If-Match"),
        pytest.param(ask(if_modified_since=DATE), FILE, NO_TAGS, 304, id="no tag, date"),
        pytest.param(
            ask(if_none_match=TAG, if_modified_since=DATE), FILE, NO_TAGS, 200, id="tag still first"
        ),
        pytest.param(
            ask(if_modified_since=DATE), FILE._replace(dated=False), NO_TAGS, 200, id="no date"
        ),
        pytest.param(
            ask(if_unmodified_since=BEFORE),
            FILE._replace(dated=False),
            NO_TAGS,
            200,
            id="no date of ours: the field is ignored",
        ),
        pytest.param(
            ask(range="bytes=0-0", if_range=DATE),
            FILE._replace(dated=False),
            NO_TAGS,
            200,
            id="no date, If-Range",
        ),
        pytest.param(
            ask(range="bytes=0-0", if_range=TAG), FILE, NO_TAGS, 200, id="no tag, If-Range"
        ),
        pytest.param(ask(range="bytes=0-0"), FILE, NO_TAGS, 206, id="a range needs no validator"),
    ],
)
def test_without_a_validator_nothing_is_claimed(
    request_: Request, found: Representation, settings: Settings, status: int
) -> None:
    assert answer(request_, found, settings).status == status


# -- 304 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "settings", "expected"),
    [
        pytest.param(
            FILE,
            Settings(),
            {"etag": TAG, "cache-control": "no-cache", "vary": None, "last-modified": None},
            id="plain",
        ),
        pytest.param(PLAIN_OF_TWO, Settings(), {"etag": TAG, "vary": "Accept-Encoding"}, id="Vary"),
        pytest.param(
            FILE, Settings(cache_control="max-age=60"), {"cache-control": "max-age=60"}, id="rule"
        ),
        pytest.param(
            FILE,
            Settings(immutable=("*.txt",)),
            {"cache-control": "public, max-age=31536000, immutable"},
            id="immutable",
        ),
        pytest.param(FILE, ORIGINS, {"vary": "Origin"}, id="CORS"),
        pytest.param(PLAIN_OF_TWO, ORIGINS, {"vary": "Accept-Encoding, Origin"}, id="Vary, twice"),
        pytest.param(FILE, NO_TAGS, {"etag": None, "last-modified": DATE}, id="date alone"),
    ],
)
def test_304_has_the_fields_that_200_would_have(
    found: Representation, settings: Settings, expected: Expected
) -> None:
    """§15.4.5: Cache-Control, Content-Location, Date, ETag, Expires, Vary; and no metadata."""
    never = dict.fromkeys(
        ("content-type", "content-length", "content-encoding", "content-range", "accept-ranges")
    )
    plan = answer(ask(if_none_match="*"), found, settings)
    check(plan, 304, {**expected, **never})
    whole = fields_of(answer(ask(), found, settings))
    for name in ("etag", "cache-control", "vary"):
        assert fields_of(plan).get(name) == whole.get(name)


# -- ranges ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "first", "last"), SINGLE)
def test_one_range_is_206_with_content_range(value: str, first: int, last: int) -> None:
    plan = answer(ask(range=value))
    check(
        plan,
        206,
        {
            "content-range": f"bytes {first}-{last}/100",
            "content-length": str(last - first + 1),
            "content-type": "text/plain; charset=utf-8",
            "etag": TAG,
            "last-modified": DATE,
            "accept-ranges": "bytes",
            "cache-control": "no-cache",
        },
    )
    assert content_of(plan) == STORED[first : last + 1]


@pytest.mark.parametrize(
    ("value", "found"),
    UNSATISFIABLE,
)
def test_no_satisfiable_range_is_416(value: str, found: Representation) -> None:
    plan = answer(ask(range=value), found)
    expected = {
        "content-range": f"bytes */{found.length}",
        "cache-control": "no-store",
        "etag": None,
        "last-modified": None,
    }
    check(plan, 416, expected)


@pytest.mark.parametrize("value", IGNORED)
def test_a_range_that_is_ignored_is_200(value: str) -> None:
    plan = answer(ask(range=value))
    assert plan == answer(ask())
    assert content_of(plan) == STORED


def test_a_suffix_of_an_empty_representation_is_the_whole() -> None:
    """§14.1.2 calls it satisfiable; no Content-Range could describe it."""
    check(answer(ask(range="bytes=-5"), EMPTY), 200, {"content-length": "0"})


@pytest.mark.parametrize("value", ["bytes=0-0", "bytes=0-0,50-60", "bytes=500-", "nonsense"])
def test_head_ignores_range(value: str) -> None:
    """§14.2: defined for GET alone."""
    assert answer(ask(b"/a.txt", "HEAD", range=value)) == answer(ask(b"/a.txt", "HEAD"))
    assert answer(ask(b"/a.txt", "HEAD", range=value)).status == 200


def test_a_decoded_representation_has_no_ranges() -> None:
    """Its length is not known before it was sent."""
    plan = answer(ask(range="bytes=0-0"), LONE)
    assert plan.content == (Decoded("gzip"),)
    check(plan, 200, {"accept-ranges": None, "content-length": None, "content-encoding": None})


# -- several ranges --------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "parts"), SEVERAL)
def test_several_ranges_are_multipart(value: str, parts: list[tuple[int, int]]) -> None:
    plan = answer(ask(range=value))
    content = content_of(plan)
    expected = {
        "content-type": f"multipart/byteranges; boundary={BOUNDARY}",
        "content-length": str(len(content)),
        "content-range": None,
        "etag": TAG,
    }
    check(plan, 206, expected)
    assert parts_of(fields_of(plan)["content-type"], content) == [
        ("text/plain; charset=utf-8", f"bytes {first}-{last}/100", STORED[first : last + 1])
        for first, last in parts
    ]


# -- If-Range --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found", "status"),
    IF_RANGE,
)
def test_if_range_decides_whether_the_range_applies(
    value: str, found: Representation, status: int
) -> None:
    plan = answer(ask(range="bytes=50-", if_range=value), found)
    assert plan.status == status
    assert content_of(plan) == (STORED[50:] if status == 206 else STORED)


def test_a_weak_tag_of_ours_never_matches_if_range() -> None:
    young = fields_of(answer(ask(), YOUNG))["etag"]
    assert young.startswith("W/")
    assert answer(ask(range="bytes=0-0", if_range=young), YOUNG).status == 200


def test_if_range_does_not_save_an_unsatisfiable_range() -> None:
    assert answer(ask(range="bytes=500-", if_range=TAG)).status == 416
    assert answer(ask(range="bytes=500-", if_range='"x"')).status == 200


def test_if_range_without_range_means_nothing() -> None:
    assert answer(ask(if_range='"x"')) == answer(ask())


# -- codings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "encoding", "vary"),
    [
        pytest.param(FILE, None, None, id="one coding only"),
        pytest.param(PLAIN_OF_TWO, None, "Accept-Encoding", id="plain one of two"),
        pytest.param(BR, "br", "Accept-Encoding", id="br"),
        pytest.param(GZIP, "gzip", "Accept-Encoding", id="gzip"),
        pytest.param(BR._replace(coding="zstd"), "zstd", "Accept-Encoding", id="zstd"),
        pytest.param(LONE, None, "Accept-Encoding", id="decoded"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_coding_is_told_and_caches_are_warned(
    found: Representation, encoding: str | None, vary: str | None, method: str
) -> None:
    plan = answer(ask(b"/a.txt", method), found)
    expected = {
        "content-encoding": encoding,
        "vary": vary,
        "content-type": "text/plain; charset=utf-8",
    }
    check(plan, 200, expected)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"range": "bytes=0-4"}, 206, id="206"),
        pytest.param({"range": "bytes=0-4,9-9"}, 206, id="multipart"),
        pytest.param({"range": "bytes=500-"}, 416, id="416"),
        pytest.param({"if_none_match": "*"}, 304, id="304"),
        pytest.param({"if_match": '"x"'}, 412, id="412"),
    ],
)
def test_every_answer_of_a_negotiated_resource_varies(fields: dict[str, str], status: int) -> None:
    check(answer(ask(**fields), BR), status, {"vary": "Accept-Encoding"})


def test_ranges_are_of_the_selected_representation() -> None:
    plan = answer(ask(range="bytes=0-4"), BR)
    check(plan, 206, {"content-encoding": "br", "content-range": "bytes 0-4/100"})
    several = answer(ask(range="bytes=0-4,9-9"), BR)
    check(several, 206, {"content-encoding": None, "content-range": None})


def test_every_coding_has_a_tag_of_its_own() -> None:
    tags = {fields_of(answer(ask(), found))["etag"] for found in (FILE, BR, GZIP, LONE)}
    assert len(tags) == 4


# -- media types -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "media_type"),
    [
        pytest.param("a.html", Settings(), "text/html; charset=utf-8", id="HTML"),
        pytest.param("a.mjs", Settings(), "text/javascript; charset=utf-8", id="module"),
        pytest.param("a.wasm", Settings(), "application/wasm", id="wasm"),
        pytest.param("a.json", Settings(), "application/json", id="JSON has no charset"),
        pytest.param("a.tar.gz", Settings(), "application/gzip", id="archive"),
        pytest.param("a", Settings(), "application/octet-stream", id="nothing is guessed"),
        pytest.param("sub/a.css", Settings(), "text/css; charset=utf-8", id="below a directory"),
        pytest.param(
            "a.foo", Settings(media_types={".foo": "text/x-foo"}), "text/x-foo", id="setting"
        ),
        pytest.param(
            "a.html", Settings(media_types={".html": "text/html"}), "text/html", id="overridden"
        ),
    ],
)
def test_the_name_decides_the_media_type(name: str, settings: Settings, media_type: str) -> None:
    plan = answer(ask(), stored(STORED, name), settings)
    check(plan, 200, {"content-type": media_type, "x-content-type-options": "nosniff"})


def test_a_sidecar_has_the_media_type_of_its_resource() -> None:
    check(
        answer(ask(), GZIP._replace(segments=("app.js",))),
        200,
        {"content-type": "text/javascript; charset=utf-8", "content-encoding": "gzip"},
    )


# -- Cache-Control ---------------------------------------------------------------------------

FOREVER = "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("settings", "name", "cache_control"),
    [
        pytest.param(Settings(), "app-BxY12345.js", "no-cache", id="never guessed"),
        pytest.param(Settings(cache_control="max-age=60"), "a.txt", "max-age=60", id="setting"),
        pytest.param(Settings(immutable=("*.js",)), "app.js", FOREVER, id="name"),
        pytest.param(Settings(immutable=("*.js",)), "a/b/app.js", FOREVER, id="name below"),
        pytest.param(Settings(immutable=("assets/*",)), "assets/a.js", FOREVER, id="path"),
        pytest.param(Settings(immutable=("assets/*",)), "assets/b/a.js", FOREVER, id="deep path"),
        pytest.param(Settings(immutable=("assets/*",)), "x/assets/a.js", "no-cache", id="anchored"),
        pytest.param(Settings(immutable=("*.js",)), "app.js.txt", "no-cache", id="whole name"),
        pytest.param(
            Settings(immutable=("*.js",), cache_control="private"), "a.css", "private", id="others"
        ),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"range": "bytes=0-0"}, {"if_none_match": "*"}], ids=str)
def test_cache_control_follows_the_rules(
    settings: Settings, name: str, cache_control: str, fields: dict[str, str]
) -> None:
    plan = answer(ask(**fields), stored(STORED, name), settings)
    check(plan, plan.status, {"cache-control": cache_control})
    assert plan.status < 400


def test_an_answer_that_is_an_error_is_never_kept() -> None:
    settings = Settings(immutable=("*",), cache_control="max-age=60")
    for plan in (
        answer(ask(range="bytes=500-"), FILE, settings),
        answer(ask(if_match='"x"'), FILE, settings),
        answer(ask(), Absence.MISSING, settings),
    ):
        check(plan, plan.status, {"cache-control": "no-store"})


# -- digests (RFC 9530) ----------------------------------------------------------------------

STORED_DIGEST = "sha-256=:UZzTzw6gQ+xM/BFmJxgmH3z5vVqoBdXnGmeGnXnZBR8=:"


@pytest.mark.parametrize(
    ("found", "want", "sent"),
    [
        pytest.param(FILE, "sha-256=1", True, id="wanted"),
        pytest.param(FILE, "sha-512=10, sha-256=5", True, id="the one we have of two"),
        pytest.param(FILE, "sha-256=0", False, id="not acceptable"),
        pytest.param(FILE, "sha-512=10", False, id="another algorithm"),
        pytest.param(FILE, None, False, id="not asked"),
        pytest.param(FILE, "?nonsense", False, id="malformed"),
        pytest.param(METADATA, "sha-256=1", False, id="not known"),
        pytest.param(LONE, "sha-256=1", False, id="the stored bytes are not what is sent"),
        pytest.param(BR, "sha-256=1", True, id="of the selected coding"),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"range": "bytes=0-4"}], ids=["200", "206"])
def test_repr_digest_is_of_the_whole_selected_representation(
    found: Representation, want: str | None, sent: bool, fields: dict[str, str]
) -> None:
    plan = answer(ask(want_repr_digest=want, **fields), found)
    value = fields_of(plan).get("repr-digest")
    assert (value is not None) is sent
    if sent:
        assert value == fields_of(answer(ask(want_repr_digest="sha-256=1")))["repr-digest"]


# -- Vary and CORS together ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        pytest.param(ask(), FILE, id="200"),
        pytest.param(ask(range="bytes=0-0"), FILE, id="206"),
        pytest.param(ask(range="bytes=0-0,9-9"), FILE, id="multipart"),
        pytest.param(ask(if_none_match="*"), FILE, id="304"),
        pytest.param(ask(), DirectoryRedirect("a"), id="301"),
        pytest.param(ask(b"/./a"), FILE, id="308 of a dot"),
        pytest.param(ask(b"/%"), FILE, id="400"),
        pytest.param(ask(), Absence.FORBIDDEN, id="403"),
        pytest.param(ask(), Absence.MISSING, id="404"),
        pytest.param(ask(b"/", "POST"), FILE, id="405"),
        pytest.param(ask(if_match='"x"'), FILE, id="412"),
        pytest.param(ask(b"/" + b"a" * 9000), FILE, id="414"),
        pytest.param(ask(range="bytes=500-"), FILE, id="416"),
        pytest.param(ask(), Absence.OVERLOADED, id="503"),
        pytest.param(ask(), FILE._replace(fallback=404), id="the root's own 404"),
        pytest.param(ask(b"/a.txt", "OPTIONS"), FILE, id="OPTIONS"),
    ],
)
def test_every_answer_may_be_read_by_an_allowed_origin_and_varies(
    request_: Request, found: Found
) -> None:
    ours = request_._replace(fields=request_.fields._replace(origin=LIST))
    strange = request_._replace(fields=request_.fields._replace(origin="https://evil.example"))
    for asked, allowed in ((ours, LIST), (strange, None), (request_, None)):
        found_fields = fields_of(answer(asked, found, ORIGINS))
        assert found_fields.get("access-control-allow-origin") == allowed
        assert "Origin" in found_fields["vary"]
    for asked in (ours, strange, request_):
        for_all = fields_of(answer(asked, found, EVERYBODY))
        assert for_all["access-control-allow-origin"] == "*"
        assert "access-control-expose-headers" in for_all
        assert "Origin" not in for_all.get("vary", "")


# -- invariants ------------------------------------------------------------------------------

YEAR = 366 * 86_400
#: Touched in this second.
TOUCHED = FILE._replace(identity=identity(at=NOW * SECOND), modified_ns=NOW * SECOND)
bytes_of_a_field = st.text(st.characters(max_codepoint=255), max_size=40)
tags = st.sampled_from([TAG, WEAK_TAG, '"x"', "*", f'"x", {TAG}', '"', "W/", ""])
dates = st.sampled_from(
    [DATE, BEFORE, AFTER, http_date(NOW), "Thursday, 15-Nov-74 22:13:20 GMT", "x", ""]
)
positions = st.integers(0, 120)
specs = st.one_of(
    st.tuples(positions, positions).map(lambda pair: f"{min(pair)}-{max(pair)}"),
    positions.map(lambda first: f"{first}-"),
    positions.map(lambda length: f"-{length}"),
)
ranges = st.lists(specs, min_size=1, max_size=8).map(lambda members: "bytes=" + ",".join(members))
#: Fields as clients send them, mixed with any bytes at all.
all_fields = st.builds(
    Fields,
    accept=st.none() | bytes_of_a_field,
    accept_encoding=st.none() | st.sampled_from(["br", "gzip;q=0", "*"]) | bytes_of_a_field,
    access_control_request_headers=st.none() | bytes_of_a_field,
    access_control_request_method=st.none() | st.sampled_from(["GET", "PUT"]) | bytes_of_a_field,
    host=st.sampled_from([None, None, "localhost", "a b"]) | bytes_of_a_field,
    if_match=st.none() | tags | bytes_of_a_field,
    if_modified_since=st.none() | dates | bytes_of_a_field,
    if_none_match=st.none() | tags | bytes_of_a_field,
    if_range=st.none() | tags | dates | bytes_of_a_field,
    if_unmodified_since=st.none() | dates | bytes_of_a_field,
    origin=st.none() | st.sampled_from([LIST, "null"]) | bytes_of_a_field,
    range=st.none() | ranges | bytes_of_a_field,
    want_repr_digest=st.none() | st.just("sha-256=1") | bytes_of_a_field,
)
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "POST"])
targets = st.sampled_from([b"/a.txt", b"/", b"/./a", b"/%", b"//"]) | st.binary(max_size=20)
#: A query that a server may hand on: HTTP/2 has no line ends, so some let them through.
queries = st.sampled_from([b"", b"x=1"]) | st.binary(max_size=10)
requests = st.builds(
    Request,
    *(methods, targets, queries, all_fields, st.sampled_from([b"", b"/m"])),
    stripped=st.sampled_from([b"", b"/p", b"/%09"]),  # it is percent-encoded where it is made
)
lengths = st.integers(0, 110)
representations = st.builds(
    lambda length, coding, negotiable, digest, age, dated: stored(b"x" * length)._replace(
        coding=coding,
        negotiable=negotiable or coding != "identity",
        digest=b"d" * 32 if digest else None,
        identity=identity(length, at=(NOW - age) * SECOND + 1),
        modified_ns=(NOW - age) * SECOND,
        dated=dated,
    ),
    lengths,
    st.sampled_from(["identity", "br", "zstd", "gzip"]),
    st.booleans(),
    st.booleans(),
    st.integers(-10, 10) | st.integers(0, NOW),
    st.booleans(),
)
everything_found = st.one_of(
    representations,
    representations.map(lambda found: found._replace(coding="identity", decoding="gzip")),
    st.sampled_from(Absence),
    bytes_of_a_field.filter(lambda name: name not in {"", ".", ".."}).map(DirectoryRedirect),
)
all_settings = st.sampled_from(
    [
        *(Settings(), NO_TAGS, ORIGINS, EVERYBODY, HIDING),
        Settings(etag="content", immutable=("*",), precompressed=False),
    ]
)
STATUSES = {200, 204, 206, 301, 304, 308, 400, 403, 404, 405, 410, 412, 414, 416, 500, 503}


@given(requests, everything_found, all_settings)
@example(ask(b"/./a", query=b"\r\nSet-Cookie: a=b"), FILE, Settings())
def test_no_request_raises_and_no_field_can_be_broken_out_of(
    request_: Request, found: Found, settings: Settings
) -> None:
    plan = answer(request_, found, settings)
    assert plan.status in STATUSES
    for name, value in plan.fields:
        assert name == name.lower()
        assert not set(value) & {0, 10, 13}, (name, value)
        assert value == value.strip()


@given(requests, everything_found, all_settings)
@example(ask(if_match='"x"'), FILE, Settings())
@example(ask(range="bytes=500-"), FILE, Settings())
def test_no_field_comes_twice(request_: Request, found: Found, settings: Settings) -> None:
    names = [name for name, _ in answer(request_, found, settings).fields]
    assert len(names) == len(set(names)), sorted(names)


@given(requests, representations, all_settings, st.integers(0, 100 * YEAR) | st.integers(0, 5))
@example(ask(if_modified_since="Thursday, 15-Nov-74 22:13:20 GMT"), FILE, Settings(), 10 * YEAR)
@example(ask(if_modified_since=DATE), FILE, Settings(), 99 * YEAR)
@example(ask(range="bytes=1-", if_range=http_date(NOW)), TOUCHED, Settings(), 1)
@example(ask(if_none_match=WEAK_TAG), TOUCHED._replace(digest=None), Settings(), 2)
def test_what_is_said_to_last_is_answered_at_any_later_time(
    request_: Request, found: Representation, settings: Settings, later: int
) -> None:
    """Of the same bytes; so it may be remembered."""
    if is_lasting(request_, found, NOW * SECOND):
        now = answer(request_, found, settings)
        assert answer(request_, found, settings, NOW + later) == now


@given(requests, everything_found, all_settings)
def test_content_length_is_the_content(request_: Request, found: Found, settings: Settings) -> None:
    get = request_._replace(method="GET")
    plan = answer(get, found, settings)
    told = fields_of(plan).get("content-length")
    if plan.status == 304 or any(isinstance(part, Decoded) for part in plan.content):
        assert told is None
    else:
        data = STORED * 2
        assert told == str(len(content_of(plan, data))) == str(plan.length)


@given(requests, everything_found, all_settings)
def test_head_has_status_and_fields_of_get_without_range(
    request_: Request, found: Found, settings: Settings
) -> None:
    get = request_._replace(method="GET", fields=request_.fields._replace(range=None))
    head = answer(request_._replace(method="HEAD"), found, settings)
    assert head.content == ()
    assert (head.status, head.fields) == (
        answer(get, found, settings).status,
        answer(get, found, settings).fields,
    )


@given(requests, everything_found, all_settings)
def test_304_only_when_the_client_has_these_bytes(
    request_: Request, found: Found, settings: Settings
) -> None:
    """§13.1.2, §13.1.3: a tag that matches weakly, a star, or a date not older than ours."""
    plan = answer(request_, found, settings)
    if plan.status != 304:
        return
    whole = answer(request_._replace(method="GET", fields=Fields()), found, settings)
    current, fields = fields_of(whole), request_.fields
    assert whole.status == 200
    if fields.if_none_match is None:
        assert fields.if_modified_since is not None
        assert "last-modified" in current
    elif fields.if_none_match.strip() != "*":
        opaque = current["etag"].removeprefix("W/")
        assert opaque in fields.if_none_match


@given(requests, everything_found, all_settings)
def test_a_part_is_sent_only_to_who_asked_with_the_right_validator(
    request_: Request, found: Found, settings: Settings
) -> None:
    plan = answer(request_, found, settings)
    if plan.status in (206, 416):
        assert request_.method == "GET"
        assert request_.fields.range is not None
        if request_.fields.if_range is not None:
            current = fields_of(
                answer(request_._replace(method="GET", fields=Fields()), found, settings)
            )
            assert request_.fields.if_range.strip() in (
                current.get("etag"),
                current.get("last-modified"),
            )


@given(st.binary(max_size=110), ranges)
@example(b"\r\n" * 50, "bytes=0-3,10-12")
@example(b"\r\n--%b--\r\n" % BOUNDARY.encode(), "bytes=0-3,10-12")
def test_a_client_gets_exactly_the_bytes_it_asked_for(data: bytes, value: str) -> None:
    """Every byte a range names is in the answer, at its place; and nothing else is."""
    plan = answer(ask(range=value), stored(data))
    wanted = _wanted(value, len(data))
    if plan.status == 416:
        assert not wanted
        return
    if plan.status == 200:
        assert content_of(plan, data) == data
        return
    received = _received(plan, data)
    assert set(received) == wanted
    assert all(data[position] == byte for position, byte in received.items())


def _wanted(value: str, length: int) -> set[int]:
    """Positions that a Range names; by counting, unlike the code under test."""
    wanted: set[int] = set()
    for spec in value.removeprefix("bytes=").split(","):
        first, _, last = spec.partition("-")
        if not first:
            wanted |= set(range(length)[max(0, length - int(last)) :])
        else:
            wanted |= set(range(length)[int(first) : int(last) + 1 if last else None])
    return wanted


def _received(plan: ResponsePlan, data: bytes) -> dict[int, int]:
    """What a client puts together from a 206, each position once."""
    assert plan.status == 206
    fields, content = fields_of(plan), content_of(plan, data)
    assert fields["content-length"] == str(len(content))
    if "content-range" in fields:
        parts = [(fields["content-range"], content)]
    else:
        found = parts_of(fields["content-type"], content)
        assert len(found) > 1, "one range is never multipart (§15.3.7.2)"
        parts = [(content_range, part) for _, content_range, part in found]
    received: dict[int, int] = {}
    for content_range, part in parts:
        span, _, complete = content_range.removeprefix("bytes ").partition("/")
        first, last = map(int, span.split("-"))
        assert int(complete) == len(data)
        assert last - first + 1 == len(part)
        for position, byte in enumerate(part, first):
            assert position not in received, "no byte is sent twice"
            received[position] = byte
    return received


@given(st.lists(st.tuples(positions, positions), min_size=1, max_size=100))
def test_no_range_makes_one_request_cost_many(spans: list[tuple[int, int]]) -> None:
    """§17.15: never more bytes of the representation than it has, never over 32 parts."""
    value = "bytes=" + ",".join(f"{min(span)}-{max(span)}" for span in spans)
    plan = answer(ask(range=value))
    parts = [part for part in plan.content if not isinstance(part, bytes)]
    assert len(parts) <= MAX_PARTS
    assert sum(part.length for part in parts if not isinstance(part, Decoded)) <= len(STORED)


@given(all_fields)
def test_a_tag_we_send_is_one_that_parses_back(fields: Fields) -> None:
    tag = fields_of(answer(Request("GET", b"/a.txt", fields=Fields(origin=fields.origin))))["etag"]
    assert str(EntityTag.parse(tag)) == tag


def test_a_plan_is_a_function_of_values() -> None:
    request: Any = ask(range="bytes=0-0,9-9")
    assert answer(request) == answer(request)
    assert hash(answer(request)) == hash(answer(request))


@pytest.mark.parametrize(
    ("status", "phrase"), [(414, "URI Too Long"), (416, "Range Not Satisfiable")]
)
def test_a_page_has_the_name_that_rfc_9110_gives_its_status(status: int, phrase: str) -> None:
    assert content_of(_refused(status, "*/*")).startswith(f"{status} {phrase}\n".encode())


#: Fields by which a representation is selected, or which only OPTIONS and error pages read.
NOT_DECIDING = (
    *("accept", "accept_encoding", "host"),
    *("access_control_request_headers", "access_control_request_method"),
)


@pytest.mark.parametrize("name", NOT_DECIDING)
@given(request_=requests, found=everything_found, settings=all_settings)
def test_a_field_that_decides_nothing_changes_no_answer_with_a_representation(
    name: str, request_: Request, found: Found, settings: Settings
) -> None:
    """The direct entry prepares 200, 206 and 304 without regard to Accept and to preflights."""
    policy = ResponsePolicy(settings)
    plan = respond(request_, found, policy, NOW * SECOND, "boundary")
    if plan.status not in (200, 206, 304):
        return
    other = request_._replace(fields=request_.fields._replace(**{name: "text/html"}))
    assert respond(other, found, policy, NOW * SECOND, "boundary") == plan
