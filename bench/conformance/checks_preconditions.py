"""Preconditions: RFC 9110 section 13, and what a 304 carries."""

from __future__ import annotations

from bench.conformance.check import MUST, SHOULD, Check, Group, Level, sees
from bench.conformance.exchange import Client
from bench.conformance.findings import RIGHT, Finding, Judge, fails, not_offered, weak
from bench.conformance.judges import part, status, whole
from bench.conformance.messages import Answer, Ask, Feature, ask

FILE, NOTHING = "/plain.txt", "/nothing-here"
FULL = whole("plain.txt")
FAILED, UNCHANGED = status(412), status(304)
DATES = ("yesterday", "0", "2050-01-01T00:00:00Z", "Tue, 99 Foo 2050 25:61:61 GMT", '"x"')


def _row(
    name: str,
    rfc: str,
    promise: str,
    request: Ask,
    judge: Judge,
    level: Level = MUST,
    needs: Feature | None = None,
) -> Check:
    return Check(name, f"9110 §{rfc}", level, promise, sees(request, judge), needs)


def _each_invalid_date(field: str) -> Check:
    """One row over several values that are no HTTP-date: the first one obeyed is reported."""

    def drive(client: Client) -> Finding:
        for date in DATES:
            answer = client.send(Ask(FILE, "GET", ((field, date),)))
            if answer.status != 200:
                return fails(f"{answer.status} for {field}: {date}")
        return RIGHT

    name = "ims-invalid" if field == "If-Modified-Since" else "ius-invalid"
    rfc = "9110 §13.1.3" if field == "If-Modified-Since" else "9110 §13.1.4"
    return Check(name, rfc, MUST, f"{field} that is no HTTP-date is ignored", drive)


def _redirect_unconditional(client: Client) -> Finding:
    plain = client.send(ask("/dir"))
    if not 300 <= plain.status < 400:
        return not_offered("/dir is not redirected")
    conditional = client.send(ask("/dir", if_none_match="*"))
    return RIGHT if conditional.status == plain.status else fails(f"{conditional.status}")


def _not_modified(client: Client, target: str = FILE, **fields: str) -> tuple[Answer, Answer]:
    """Give a 200 and the 304 to the same request made conditional."""
    request = ask(target, **fields)
    full = client.unconditional(request)
    condition = ("If-None-Match", "{etag}") if full.get("ETag") else ("If-Modified-Since", "{date}")
    return full, client.send(Ask(target, "GET", (*request.fields, condition)))


_MUST_REPEAT = ("Content-Location", "Date", "ETag", "Vary", "Cache-Control", "Expires")
_METADATA = ("Content-Type", "Content-Encoding", "Content-Language", "Content-Range")


def _304_repeats(client: Client) -> Finding:
    full, answer = _not_modified(client)
    if answer.status != 304:
        return not_offered(f"{answer.status}, no 304 to look at")
    lost = [name for name in _MUST_REPEAT if full.get(name) and not answer.get(name)]
    if full.get("ETag") and answer.get("ETag") not in (full.get("ETag"), None):
        lost.append(f"ETag became {answer.get('ETag')}")
    return fails(f"lost: {', '.join(lost)}") if lost else RIGHT


def _304_metadata(client: Client) -> Finding:
    _, answer = _not_modified(client)
    if answer.status != 304:
        return not_offered(f"{answer.status}, no 304 to look at")
    extra = [name for name in _METADATA if answer.get(name)]
    return fails(f"carries {', '.join(extra)}") if extra else RIGHT


def _304_length(client: Client) -> Finding:
    full, answer = _not_modified(client)
    length = answer.get("Content-Length")
    if answer.status != 304 or length is None:
        return not_offered("no Content-Length on 304")
    return RIGHT if length == str(len(full.content)) else fails(f"Content-Length: {length}")


def _unchanged_by_date(answer: Answer) -> Finding:
    """304; 200 is weak, since "if false ... SHOULD generate a 304" (13.1.3)."""
    if answer.status == 304:
        return RIGHT
    return weak("200") if answer.status == 200 else fails(f"{answer.status}")


# fmt: off
IF_MATCH = (
    _row("im-equal", "13.1.1", "If-Match with the tag is true",
        ask(FILE, if_match="{strong}"), FULL),
    _row("im-any", "13.1.1", "If-Match: * is true for a file", ask(FILE, if_match="*"), FULL),
    _row("im-list", "13.1.1", "If-Match with the tag in a list is true",
        ask(FILE, if_match='"a", "b,c", {strong}'), FULL),
    _row("im-other", "13.1.1", "If-Match with another tag: 412",
        ask(FILE, if_match='"other"'), FAILED),
    _row("im-weak", "13.1.1", "If-Match compares strongly: W/ never matches",
        ask(FILE, if_match="W/{quoted}"), FAILED),
    _row("im-head", "13.1.1", "If-Match applies to HEAD",
        ask(FILE, "HEAD", if_match='"x"'), FAILED),
    _row("im-missing", "13.2.1", "If-Match does not turn 404 into 412",
        ask(NOTHING, if_match='"x"'), status(404)),
)
IF_UNMODIFIED_SINCE = (
    _row("ius-equal", "13.1.4", "Same date: true", ask(FILE, if_unmodified_since="{date}"), FULL),
    _row("ius-later", "13.1.4", "Later date: true",
        ask(FILE, if_unmodified_since="{day_after}"), FULL),
    _row("ius-earlier", "13.1.4", "Earlier date: 412",
        ask(FILE, if_unmodified_since="{day_before}"), FAILED),
    _row("ius-rfc850", "5.6.7", "An earlier date in RFC 850 format is understood: 412",
        ask(FILE, if_unmodified_since="{rfc850_before}"), FAILED),
    _row("ius-if-match", "13.1.4", "Ignored when If-Match is present",
        ask(FILE, if_match="{strong}", if_unmodified_since="{day_before}"), FULL),
    _each_invalid_date("If-Unmodified-Since"),
)
IF_NONE_MATCH = (
    _row("inm-equal", "13.1.2", "The tag: 304", ask(FILE, if_none_match="{etag}"), UNCHANGED),
    _row("inm-weak", "13.1.2",
        "Weak comparison: W/ before the tag, as a proxy adds it, still gives 304",
        ask(FILE, if_none_match="W/{quoted}"), UNCHANGED),
    _row("inm-any", "13.1.2", "`*` for a file: 304", ask(FILE, if_none_match="*"), UNCHANGED),
    _row("inm-list", "13.1.2", "The tag in a list: 304",
        ask(FILE, if_none_match='"a", W/"b" ,{etag}'), UNCHANGED),
    _row("inm-comma", "8.8.3", "A tag may contain a comma: the next one is still found",
        ask(FILE, if_none_match='"a,b", {etag}'), UNCHANGED),
    _row("inm-lines", "5.3", "The list may span two field lines",
        ask(FILE, if_none_match=('"a"', "{etag}")), UNCHANGED),
    _row("inm-empty", "5.6.1.2", "Empty list members are ignored",
        ask(FILE, if_none_match=', ,"a",, {etag},'), UNCHANGED),
    _row("inm-other", "13.1.2", "Another tag: 200", ask(FILE, if_none_match='"other"'), FULL),
    _row("inm-part", "8.8.3.2", "Character by character: a tag that contains ours differs",
        ask(FILE, if_none_match='"x{opaque}", "{opaque}x"'), FULL),
    _row("inm-case", "8.8.3.2", "Character by character: the other case differs",
        ask(FILE, if_none_match='"{swapped}"'), FULL),
    _row("inm-head", "13.1.2", "HEAD: 304", ask(FILE, "HEAD", if_none_match="{etag}"), UNCHANGED),
    _row("inm-missing", "13.2.1", "404 stays 404", ask(NOTHING, if_none_match="*"), status(404)),
    Check("inm-redirect", "9110 §13.2.1", MUST, "Preconditions do not replace a redirect",
        _redirect_unconditional),
)
# fmt: on

_SINCE = Feature.MODIFIED_SINCE
# fmt: off
IF_MODIFIED_SINCE = (
    _row("ims-equal", "13.1.3", "Same date: 304",
        ask(FILE, if_modified_since="{date}"), _unchanged_by_date, SHOULD),
    _row("ims-later", "13.1.3", "Later date: 304",
        ask(FILE, if_modified_since="{day_after}"), _unchanged_by_date, SHOULD),
    _row("ims-earlier", "13.1.3", "Earlier date: 200",
        ask(FILE, if_modified_since="{day_before}"), FULL),
    _row("ims-head", "13.1.3", "HEAD: 304",
        ask(FILE, "HEAD", if_modified_since="{date}"), _unchanged_by_date, SHOULD, _SINCE),
    _row("ims-rfc850", "5.6.7", "The RFC 850 format is accepted",
        ask(FILE, if_modified_since="{rfc850}"), UNCHANGED, needs=_SINCE),
    _row("ims-asctime", "5.6.7", "The asctime format is accepted",
        ask(FILE, if_modified_since="{asctime}"), UNCHANGED, needs=_SINCE),
    _row("ims-two-digits", "5.6.7", "A two-digit year more than 50 years ahead is in the past",
        ask(FILE, if_modified_since="Sunday, 06-Nov-94 08:49:37 GMT"), FULL),
    _row("ims-twice", "13.1.3", "More than one member: ignored, or the request refused",
        ask(FILE, if_modified_since=("{date}", "{date}")), status(200, 400), needs=_SINCE),
    _row("ims-if-none-match", "13.1.3", "Ignored when If-None-Match is present",
        ask(FILE, if_none_match='"other"', if_modified_since="{date}"), FULL),
    _each_invalid_date("If-Modified-Since"),
)
# fmt: on

_RANGES = Feature.RANGES
# fmt: off
PRECEDENCE = (
    _row("order-1-3", "13.2.2", "If-Match (step 1) before If-None-Match (step 3): 412",
        ask(FILE, if_match='"other"', if_none_match="{etag}"), FAILED),
    _row("order-2-3", "13.2.2", "If-Unmodified-Since (step 2) before If-None-Match (step 3): 412",
        ask(FILE, if_unmodified_since="{day_before}", if_none_match="{etag}"), FAILED),
    _row("order-1-then-3", "13.2.2", "If-Match true: If-None-Match still counts: 304",
        ask(FILE, if_match="{strong}", if_none_match="{etag}"), UNCHANGED),
    _row("order-1-range", "13.2.2", "If-Match false: 412, whatever Range says",
        ask(FILE, if_match='"other"', range="bytes=0-9"), FAILED),
    _row("order-3-range", "14.2", "If-None-Match false: 304, whatever Range says",
        ask(FILE, if_none_match="{etag}", range="bytes=0-9"), UNCHANGED),
    _row("order-3-416", "14.2", "If-None-Match false: 304, even when the range is unsatisfiable",
        ask(FILE, if_none_match="{etag}", range="bytes=9999-"), UNCHANGED),
    _row("order-4-range", "14.2", "If-Modified-Since false: 304, whatever Range says",
        ask(FILE, if_modified_since="{date}", range="bytes=0-9"), UNCHANGED, needs=_SINCE),
    _row("im-then-range", "13.2.2", "If-Match true: the range is served",
        ask(FILE, if_match="{strong}", range="bytes=0-9"), part("plain.txt", 0, 9), SHOULD,
        _RANGES),
)
NOT_MODIFIED = (
    Check("304-repeats", "9110 §15.4.5", MUST,
        "304 repeats ETag, Date, Vary, Cache-Control, Expires, Content-Location of the 200",
        _304_repeats),
    Check("304-metadata", "9110 §15.4.5", SHOULD,
        "304 has no other representation metadata, such as Content-Type", _304_metadata),
    Check("304-length", "9110 §8.6", MUST, "Content-Length on 304, if sent, is that of the 200",
        _304_length),
)
# fmt: on

PRECONDITIONS = Group(
    "Preconditions",
    "9110 §13",
    (
        *IF_MATCH,
        *IF_UNMODIFIED_SINCE,
        *IF_NONE_MATCH,
        *IF_MODIFIED_SINCE,
        *PRECEDENCE,
        *NOT_MODIFIED,
    ),
)
