"""The rows of RFC 9110: a request, what the disk holds, and what is to be answered.

`test_respond` puts them to the decision core, `test_over_the_wire` to real servers.
"""

from __future__ import annotations

import pytest

from asyncstatic.http.dates import http_date
from asyncstatic.http.model import Request
from asyncstatic.http.ranges import MAX_PARTS
from tests.support.core import FILE, MODIFIED, NOW, SECOND, answer, ask, fields_of, identity, stored

TAG = fields_of(answer(ask()))["etag"]
WEAK_TAG = f"W/{TAG}"
DATE = http_date(MODIFIED)
BEFORE, AFTER = http_date(MODIFIED - 1), http_date(MODIFIED + 1)
EMPTY = stored(b"")
BR = FILE._replace(coding="br", negotiable=True)
GZIP = FILE._replace(coding="gzip", negotiable=True)
PLAIN_OF_TWO = FILE._replace(negotiable=True)
LONE = FILE._replace(decoding="gzip", negotiable=True)
YOUNG = FILE._replace(
    digest=None, identity=identity(at=NOW * SECOND - SECOND), modified_ns=NOW * SECOND
)
METADATA = FILE._replace(digest=None)

# -- methods (§9.1) ------------------------------------------------------------------------------

#: Answered 405 with Allow.
OTHER_METHODS = [
    *("POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "BREW", "GETS"),
]
#: As well: methods are case-sensitive.
MISSPELT_METHODS = ["get", "Head", "options"]

# -- targets: request, status, fields ----------------------------------------------------------

TARGETS = [
    pytest.param(ask(b"/a%2Fb"), 400, {}, id="escaped slash"),
    pytest.param(ask(b"/../a"), 400, {}, id="dot-dot"),
    pytest.param(ask(b"*"), 400, {}, id="asterisk-form with GET"),
    pytest.param(ask(b"/.git/config"), 404, {}, id="dotfile"),
    pytest.param(ask(b"//a"), 404, {}, id="empty segment"),
    pytest.param(ask(b"/" + b"a" * 8192), 414, {}, id="too long"),
    pytest.param(ask(b"/./Release"), 308, {"location": "/Release"}, id="dot segment"),
    pytest.param(
        ask(b"/./a", query=b"x=1&y=%20"), 308, {"location": "/a?x=1&y=%20"}, id="dot, with query"
    ),
    pytest.param(ask(b"/./a", mount=b"/m"), 308, {"location": "/m/a"}, id="dot, below a mount"),
    pytest.param(
        ask(b"/a/.", mount=b"/m%20n", query=b"q"),
        308,
        {"location": "/m%20n/a/?q"},
        id="dot, mount and query",
    ),
    pytest.param(ask(b"/.", mount=b"/m"), 308, {"location": "/m/"}, id="dot is the mount itself"),
]

# -- preconditions (§13.2.2): request, representation, status -----------------------------------

PRECONDITIONS = [
    # step 1: If-Match, strong
    pytest.param(ask(if_match=TAG), FILE, 200, id="If-Match, same"),
    pytest.param(ask(if_match='"x"'), FILE, 412, id="If-Match, other"),
    pytest.param(ask(if_match=f'"x", {TAG}'), FILE, 200, id="If-Match, one of a list"),
    pytest.param(ask(if_match=f'"x",,{TAG} ,'), FILE, 200, id="If-Match, list with empty members"),
    pytest.param(ask(if_match="*"), FILE, 200, id="If-Match, star"),
    pytest.param(ask(if_match=WEAK_TAG), FILE, 412, id="If-Match, weak never matches"),
    pytest.param(ask(if_match="nonsense"), FILE, 412, id="If-Match, malformed"),
    pytest.param(ask(if_match=""), FILE, 412, id="If-Match, empty"),
    pytest.param(ask(if_match=TAG.strip('"')), FILE, 412, id="If-Match, without quotes"),
    pytest.param(ask(if_match=f"{TAG}, *"), FILE, 412, id="If-Match, star in a list"),
    # step 2: If-Unmodified-Since
    pytest.param(ask(if_unmodified_since=DATE), FILE, 200, id="If-Unmodified-Since, same"),
    pytest.param(ask(if_unmodified_since=AFTER), FILE, 200, id="If-Unmodified-Since, later"),
    pytest.param(ask(if_unmodified_since=BEFORE), FILE, 412, id="If-Unmodified-Since, earlier"),
    pytest.param(ask(if_unmodified_since="x"), FILE, 200, id="If-Unmodified-Since, no date"),
    pytest.param(
        ask(if_match=TAG, if_unmodified_since=BEFORE), FILE, 200, id="If-Match outranks the date"
    ),
    pytest.param(
        ask(if_match='"x"', if_unmodified_since=AFTER), FILE, 412, id="If-Match fails all the same"
    ),
    # step 3: If-None-Match, weak
    pytest.param(ask(if_none_match=TAG), FILE, 304, id="If-None-Match, same"),
    pytest.param(ask(if_none_match=WEAK_TAG), FILE, 304, id="If-None-Match, weakened by a proxy"),
    pytest.param(ask(if_none_match='"x"'), FILE, 200, id="If-None-Match, other"),
    pytest.param(ask(if_none_match=f'"x", {TAG}'), FILE, 304, id="If-None-Match, list"),
    pytest.param(ask(if_none_match=f'"a,b", {TAG}'), FILE, 304, id="If-None-Match, comma in a tag"),
    pytest.param(ask(if_none_match="*"), FILE, 304, id="If-None-Match, star"),
    pytest.param(ask(if_none_match="nonsense"), FILE, 200, id="If-None-Match, malformed"),
    pytest.param(ask(if_none_match=""), FILE, 200, id="If-None-Match, empty"),
    pytest.param(ask(if_none_match=f"w/{TAG}"), FILE, 200, id="If-None-Match, lower-case w"),
    pytest.param(ask(if_none_match=TAG[:-1]), FILE, 200, id="If-None-Match, quote missing"),
    pytest.param(
        ask(if_none_match=TAG.replace('"', "&quot;")), FILE, 200, id="If-None-Match, entities"
    ),
    # step 4: If-Modified-Since
    pytest.param(ask(if_modified_since=DATE), FILE, 304, id="If-Modified-Since, same"),
    pytest.param(ask(if_modified_since=AFTER), FILE, 304, id="If-Modified-Since, later"),
    pytest.param(ask(if_modified_since=BEFORE), FILE, 200, id="If-Modified-Since, earlier"),
    pytest.param(ask(if_modified_since="x"), FILE, 200, id="If-Modified-Since, no date"),
    pytest.param(
        ask(if_modified_since="Sunday, 13-Sep-20 12:26:40 GMT"), FILE, 304, id="RFC 850 date"
    ),
    pytest.param(ask(if_modified_since="Sun Sep 13 12:26:40 2020"), FILE, 304, id="asctime date"),
    pytest.param(
        ask(if_modified_since="Mon, 13 Sep 2020 12:26:40 GMT"), FILE, 200, id="wrong day name"
    ),
    pytest.param(
        ask(if_modified_since=f"{DATE}, {DATE}"), FILE, 200, id="If-Modified-Since, twice"
    ),
    pytest.param(ask(if_modified_since=f"{DATE}; length=100"), FILE, 200, id="Netscape's length"),
    pytest.param(
        ask(if_none_match='"x"', if_modified_since=AFTER), FILE, 200, id="the tag outranks the date"
    ),
    pytest.param(
        ask(if_none_match=TAG, if_modified_since=BEFORE), FILE, 304, id="the tag alone decides"
    ),
    pytest.param(
        ask(if_none_match="nonsense", if_modified_since=AFTER),
        FILE,
        200,
        id="a malformed tag still outranks the date",
    ),
    # order
    pytest.param(ask(if_match='"x"', if_none_match=TAG), FILE, 412, id="412 before 304"),
    pytest.param(
        ask(if_unmodified_since=BEFORE, if_none_match=TAG), FILE, 412, id="412 by date before 304"
    ),
    pytest.param(ask(if_match=TAG, if_none_match=TAG), FILE, 304, id="passed, then 304"),
    pytest.param(ask(if_none_match=TAG, range="bytes=0-0"), FILE, 304, id="304 before 206"),
    pytest.param(ask(if_none_match=TAG, range="bytes=500-"), FILE, 304, id="304 before 416"),
    pytest.param(ask(if_match='"x"', range="bytes=0-0"), FILE, 412, id="412 before 206"),
    pytest.param(ask(if_match='"x"', range="bytes=500-"), FILE, 412, id="412 before 416"),
    pytest.param(ask(if_match=TAG, range="bytes=0-0"), FILE, 206, id="If-Match, then 206"),
    pytest.param(ask(if_unmodified_since=DATE, range="bytes=0-0"), FILE, 206, id="resumed by date"),
    # representations with less to compare
    pytest.param(ask(if_match="*"), METADATA, 200, id="star, without a digest"),
    pytest.param(ask(if_none_match=TAG), METADATA, 200, id="a digest tag is no metadata tag"),
    pytest.param(ask(if_none_match=TAG), BR, 200, id="identity's tag is not that of br"),
    pytest.param(ask(if_none_match=TAG), LONE, 200, id="identity's tag is not that of decoded"),
]

# -- ranges (§14.2): value; what is sent ---------------------------------------------------------

SINGLE = [
    pytest.param("bytes=0-0", 0, 0, id="first byte, as Safari asks"),
    pytest.param("bytes=0-99", 0, 99, id="all"),
    pytest.param("bytes=10-19", 10, 19, id="inside"),
    pytest.param("bytes=99-99", 99, 99, id="last byte"),
    pytest.param("bytes=50-", 50, 99, id="open end"),
    pytest.param("bytes=0-", 0, 99, id="from the beginning"),
    pytest.param("bytes=-1", 99, 99, id="suffix of one"),
    pytest.param("bytes=-100", 0, 99, id="suffix of all"),
    pytest.param("bytes=-1000", 0, 99, id="suffix of more than all"),
    pytest.param("bytes=90-1000", 90, 99, id="end clipped"),
    pytest.param("bytes=90-99999999999999999999999", 90, 99, id="end of 23 digits"),
    pytest.param("BYTES=0-4", 0, 4, id="unit in capitals"),
    pytest.param("bytes=0-4,3-9", 0, 9, id="overlapping ranges become one"),
    pytest.param("bytes=5-9,0-5", 0, 9, id="overlapping backwards"),
    pytest.param("bytes=0-0,0-0", 0, 0, id="the same twice"),
    pytest.param("bytes=7-8,100-,200-300", 7, 8, id="unsatisfiable ones are left out"),
    pytest.param("bytes=3-4,-0", 3, 4, id="suffix of nothing is left out"),
    pytest.param("bytes=003-004", 3, 4, id="leading zeros"),
]

UNSATISFIABLE = [
    pytest.param("bytes=100-", FILE, id="from the end"),
    pytest.param("bytes=100-100", FILE, id="one beyond"),
    pytest.param("bytes=1000-2000", FILE, id="far beyond"),
    pytest.param(f"bytes={'9' * 40}-", FILE, id="beyond any integer"),
    pytest.param("bytes=-0", FILE, id="suffix of nothing"),
    pytest.param("bytes=-0,100-", FILE, id="several, none satisfiable"),
    pytest.param("bytes=0-", EMPTY, id="empty representation"),
    pytest.param("bytes=0-0", EMPTY, id="empty representation, first byte"),
    pytest.param("bytes=-0", EMPTY, id="empty representation, suffix of nothing"),
]

IGNORED = [
    pytest.param("items=0-0", id="another unit"),
    pytest.param("bytes=", id="nothing"),
    pytest.param("bytes=a-b", id="letters"),
    pytest.param("bytes=5-4", id="backwards"),
    pytest.param("bytes=0-0,5-4", id="one of two backwards"),
    pytest.param("bytes=0-0;1-1", id="semicolon"),
    pytest.param("bytes 0-0", id="as in Content-Range"),
    pytest.param("bytes=0-0, items=1-1", id="two fields, joined"),
    pytest.param("bytes=0-,0-", id="more than the whole"),
    pytest.param("bytes=0-99,-1", id="the whole and one more"),
    pytest.param("bytes=" + "0-0," * 65 + "1-1", id="66 members"),
    pytest.param(
        "bytes=" + ",".join(f"{i * 2}-{i * 2}" for i in range(MAX_PARTS + 1)), id="33 parts"
    ),
    pytest.param("bytes=" + "0-," * 21_845, id="64 KiB"),
]

SEVERAL = [
    pytest.param("bytes=0-0,-1", [(0, 0), (99, 99)], id="first and last byte"),
    pytest.param("bytes=0-9,20-29", [(0, 9), (20, 29)], id="two"),
    pytest.param("bytes=20-29,0-9", [(20, 29), (0, 9)], id="in the order asked"),
    pytest.param("bytes=0-9,10-19", [(0, 9), (10, 19)], id="touching ranges stay apart"),
    pytest.param("bytes=50-,0-0", [(50, 99), (0, 0)], id="open end first"),
    pytest.param("bytes=0-4,3-9,50-51", [(0, 9), (50, 51)], id="two of three overlap"),
    pytest.param("bytes=0-1,500-,4-5", [(0, 1), (4, 5)], id="one unsatisfiable"),
    pytest.param(
        "bytes=" + ",".join(f"{i * 5}-{i * 5 + 1}" for i in range(20)),
        [(i * 5, i * 5 + 1) for i in range(20)],
        id="20 parts, as zsync asks",
    ),
    pytest.param(
        "bytes=" + ",".join(f"{i * 3}-{i * 3}" for i in range(MAX_PARTS)),
        [(i * 3, i * 3) for i in range(MAX_PARTS)],
        id="32 parts",
    ),
]

# -- If-Range (§13.1.5): value, representation, status -------------------------------------------

IF_RANGE = [
    pytest.param(TAG, FILE, 206, id="same tag"),
    pytest.param('"x"', FILE, 200, id="other tag"),
    pytest.param(WEAK_TAG, FILE, 200, id="weak tag"),
    pytest.param(f'{TAG}, "x"', FILE, 200, id="a list is no If-Range"),
    pytest.param("*", FILE, 200, id="star is no If-Range"),
    pytest.param("", FILE, 200, id="empty"),
    pytest.param("nonsense", FILE, 200, id="malformed"),
    pytest.param(DATE, FILE, 206, id="same date"),
    pytest.param(BEFORE, FILE, 200, id="earlier date"),
    pytest.param(AFTER, FILE, 200, id="later date: exactly, not since"),
    pytest.param("Sun Sep 13 12:26:40 2020", FILE, 206, id="asctime date"),
    pytest.param("Mon, 13 Sep 2020 12:26:40 GMT", FILE, 200, id="wrong day name"),
    pytest.param(http_date(NOW), YOUNG, 200, id="a date of this second is weak"),
    pytest.param(TAG, BR, 200, id="the tag of another coding"),
    pytest.param(DATE, BR, 200, id="a date does not tell codings apart"),
    pytest.param(DATE, PLAIN_OF_TWO, 200, id="nor for the plain one of two"),
]

# -- CORS (Fetch standard, "HTTP extensions"): cors, request, status, Allow-Origin, Vary ----------

OURS, WITH_PORT, STRANGER = "https://a.example", "https://b.example:8443", "https://c.example"
LISTED, EVERYBODY = (OURS, WITH_PORT), ("*",)
ACCESS_CONTROL = "Access-Control-Request-Method, Access-Control-Request-Headers"
OF_PREFLIGHTS = {LISTED: f"Origin, {ACCESS_CONTROL}", EVERYBODY: ACCESS_CONTROL}


def _preflight(target: bytes, wanted: str = "GET", **fields: str | None) -> Request:
    return ask(target, "OPTIONS", access_control_request_method=wanted, **fields)


#: What a request is answered, whoever asks: request, status, other names in Vary.
_ANSWERS = [
    ("200", ask(b"/a.txt"), 200, ""),
    ("HEAD", ask(b"/a.txt", "HEAD"), 200, ""),
    ("200 of two codings", ask(b"/b.txt"), 200, "Accept-Encoding"),
    ("206", ask(b"/a.txt", range="bytes=0-0"), 206, ""),
    ("206 of two parts", ask(b"/a.txt", range="bytes=0-0,9-9"), 206, ""),
    ("304", ask(b"/a.txt", if_none_match="*"), 304, ""),
    ("412", ask(b"/a.txt", if_match='"x"'), 412, ""),
    ("416", ask(b"/a.txt", range="bytes=500-"), 416, ""),
    ("416 of two codings", ask(b"/b.txt", range="bytes=500-"), 416, "Accept-Encoding"),
    ("301 of a directory", ask(b"/docs"), 301, ""),
    ("308 of a dot", ask(b"/./a.txt"), 308, ""),
    ("400", ask(b"/a%2Fb"), 400, ""),
    ("404", ask(b"/missing"), 404, ""),
    ("405", ask(b"/a.txt", "POST"), 405, ""),
    ("414", ask(b"/" + b"a" * 9000), 414, ""),
]
_ASKING = [
    # cors, Origin -> Allow-Origin
    ("the list, one of it", LISTED, OURS, OURS),
    ("the list, a stranger", LISTED, STRANGER, None),
    ("the list, no Origin", LISTED, None, None),
    ("all, anybody", EVERYBODY, STRANGER, "*"),
    ("all, no Origin", EVERYBODY, None, "*"),
    ("not configured", (), OURS, None),
]


def _vary(cors: tuple[str, ...], others: str) -> str | None:
    return ", ".join(filter(None, [others, "Origin" if cors == LISTED else ""])) or None


def _from(request: Request, origin: str | None) -> Request:
    return request._replace(fields=request.fields._replace(origin=origin))


CORS = [
    *(
        pytest.param(
            cors, _from(request, origin), status, allowed, _vary(cors, others), id=f"{name}: {who}"
        )
        for name, request, status, others in _ANSWERS
        for who, cors, origin, allowed in _ASKING
    ),
    # which origins are equal: byte for byte
    *(
        pytest.param(LISTED, ask(b"/a.txt", origin=origin), 200, allowed, "Origin", id=name)
        for name, origin, allowed in (
            ("a port", WITH_PORT, WITH_PORT),
            ("another port", "https://b.example", None),
            ("the default port, spelled out", f"{OURS}:443", None),
            ("another scheme", "http://a.example", None),
            ("a host in capitals: browsers send none", "https://A.example", None),
            ("a scheme in capitals: browsers send none", "HTTPS://a.example", None),
            ("a slash at the end", f"{OURS}/", None),
            ("our name as a prefix", f"{OURS}.evil", None),
            ("null: a sandbox or a local file", "null", None),
            ("two in one field", f"{OURS} {WITH_PORT}", None),
            ("two fields, joined", f"{OURS}, {WITH_PORT}", None),
            ("a star", "*", None),
        )
    ),
    pytest.param(EVERYBODY, ask(b"/a.txt", origin="null"), 200, "*", None, id="all, null"),
    # preflights
    *(
        pytest.param(cors, request, 204, allowed, OF_PREFLIGHTS[cors], id=f"preflight: {name}")
        for name, cors, request, allowed in (
            ("GET", LISTED, _preflight(b"/a.txt", origin=OURS), OURS),
            ("HEAD", LISTED, _preflight(b"/a.txt", "HEAD", origin=OURS), OURS),
            (
                "fields",
                LISTED,
                _preflight(
                    b"/a.txt", origin=OURS, access_control_request_headers="if-range,x-trace"
                ),
                OURS,
            ),
            ("a stranger", LISTED, _preflight(b"/a.txt", origin=STRANGER), None),
            ("null", LISTED, _preflight(b"/a.txt", origin="null"), None),
            ("all", EVERYBODY, _preflight(b"/a.txt", origin=STRANGER), "*"),
            ("all, null", EVERYBODY, _preflight(b"/a.txt", origin="null"), "*"),
            ("a directory", EVERYBODY, _preflight(b"/docs/", origin=OURS), "*"),
            ("a directory without its slash", EVERYBODY, _preflight(b"/docs", origin=OURS), "*"),
        )
    ),
]
#: Where a root is not in front of an app it answers these, too.
CORS_WITHOUT_APP = [
    pytest.param(cors, request, 204, allowed, OF_PREFLIGHTS[cors], id=name)
    for name, cors, request, allowed in (
        ("OPTIONS: the list", LISTED, ask(b"/a.txt", "OPTIONS", origin=OURS), OURS),
        ("OPTIONS: all, no Origin", EVERYBODY, ask(b"/a.txt", "OPTIONS"), "*"),
        ("preflight: PUT", LISTED, _preflight(b"/a.txt", "PUT", origin=OURS), OURS),
        ("preflight: get", LISTED, _preflight(b"/a.txt", "get", origin=OURS), OURS),
        ("preflight: no Origin", LISTED, _preflight(b"/a.txt"), None),
        ("preflight: missing", EVERYBODY, _preflight(b"/missing", origin=OURS), "*"),
    )
]


def access_control_of(
    request: Request, allowed: str | None, vary: str | None
) -> dict[str, str | None]:
    """All fields of the CORS protocol, and Vary, that an answer to a request must have."""
    wanted = request.fields.access_control_request_method
    is_preflight = request.method == "OPTIONS" and wanted is not None
    grants = allowed is not None and is_preflight and wanted in ("GET", "HEAD")
    exposed = (
        "Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag, Repr-Digest"
        if allowed and not is_preflight
        else None
    )
    return {
        "vary": vary,
        "access-control-allow-origin": allowed,
        "access-control-expose-headers": exposed,
        "access-control-allow-methods": "GET, HEAD" if grants else None,
        "access-control-max-age": "86400" if grants else None,
        "access-control-allow-headers": (
            request.fields.access_control_request_headers if grants else None
        ),
        "access-control-allow-credentials": None,
    }
