"""Range requests: RFC 9110 section 14, If-Range, and what a 206 carries."""

from __future__ import annotations

import re

from bench.conformance.check import MUST, QUALITY, SHOULD, Check, Group, Level, sees
from bench.conformance.exchange import Client
from bench.conformance.findings import RIGHT, Finding, Judge, fails, not_offered, weak, wrong
from bench.conformance.judges import (
    CONTENT_RANGE,
    ignored_or_rejected,
    judge_part,
    part,
    status,
    unsatisfiable,
    whole,
)
from bench.conformance.messages import Answer, Ask, Feature, ask
from bench.conformance.site import BIG, PLAIN

RANGES, MULTIPART = Feature.RANGES, Feature.MULTIPART
FILE = "/plain.txt"
FULL = whole("plain.txt")
SIZE = len(PLAIN)
HUGE = "9" * 40

# None of these is a bytes ranges-specifier. The last two are what int() takes and the grammar
# does not: digits of another script, and an underscore.
INVALID = (
    *("bytes=", "bytes=-", "bytes", "bytes 0-9", "bytes=a-b", "bytes=0-9x", "bytes=0--9"),
    *("bytes=+1-5", "bytes=0x0-0x9", "bytes=1.0-5", "bytes=0-9;10-19", "bytes=--5", "=0-9"),
    *("bytes=\u0660-\u0669", "bytes=1_0-2_0"),
)


def _unknown_unit(answer: Answer) -> Finding:
    """14.2 MUST ignore a unit not understood, yet SHOULD 416 for one not supported."""
    return weak("416") if answer.status == 416 else FULL(answer)


def _row(
    name: str,
    rfc: str,
    promise: str,
    request: Ask,
    judge: Judge,
    level: Level = SHOULD,
    needs: Feature | None = RANGES,
) -> Check:
    return Check(name, f"9110 §{rfc}", level, promise, sees(request, judge), needs)


def _range(value: str, target: str = FILE, **fields: str) -> Ask:
    return ask(target, range=value, **fields)


def _invalid(client: Client) -> Finding:
    for value in INVALID:
        found = ignored_or_rejected(client.send(_range(value)))
        if found.grade is None:
            return fails(f"{found.reason} for {value}")
    return RIGHT


def _empty(value: str) -> Check:
    """An empty file has no range to describe: Content-Range cannot say "none of 0"."""

    def judge(answer: Answer) -> Finding:
        if answer.status == 206:
            return wrong(f"206 with Content-Range: {answer.get('Content-Range')}")
        return RIGHT if answer.status in (200, 416) else fails(f"{answer.status}")

    name = "range-empty-open" if value.endswith("-") else "range-empty-suffix"
    promise = f"{value} of an empty file is answered 200 or 416, never 206"
    return _row(name, "14.4", promise, _range(value, "/empty.txt"), judge, MUST)


def _huge_end(answer: Answer) -> Finding:
    return judge_part(answer, PLAIN, 0, SIZE - 1, whole_will_do=True)


def _digits(client: Client) -> Finding:
    """5,000 digits exceed what int() converts; 9110 allows refusing so long a field, not failing."""
    answer = client.send(_range(f"bytes=0-{'9' * 5000}"))
    return RIGHT if 400 <= answer.status < 500 else _huge_end(answer)


_MUST_REPEAT = ("Date", "Cache-Control", "ETag", "Expires", "Content-Location", "Vary")
_REPRESENTATION = ("Content-Type", "Content-Encoding", "Content-Language", "Last-Modified")


def _206_fields(client: Client, names: tuple[str, ...]) -> Finding:
    full, partial = client.send(ask(FILE)), client.send(_range("bytes=0-9"))
    lost = [name for name in names if full.get(name) and not partial.get(name)]
    return fails(f"lost: {', '.join(lost)}") if lost else RIGHT


def _parts(answer: Answer) -> list[tuple[dict[str, str], bytes]] | Finding:
    """Split multipart/byteranges by its boundary (9110 §14.6, RFC 2046 §5.1.1)."""
    boundary = re.search(r'boundary=(?:"([^"]+)"|([^\s;]+))', answer.get("Content-Type") or "")
    if not boundary:
        return wrong("multipart without a boundary parameter")
    mark = b"--" + (boundary[1] or boundary[2]).encode()
    chunks = (b"\r\n" + answer.content).split(b"\r\n" + mark)
    if len(chunks) < 3 or not chunks[-1].startswith(b"--"):
        return wrong("multipart without a close-delimiter")
    parts = []
    for chunk in chunks[1:-1]:
        head, gap, body = chunk.partition(b"\r\n\r\n")
        if not gap:
            return wrong("a part without a header section")
        pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n") if line)
        parts.append(({name.lower(): value.strip() for name, _, value in pairs}, body))
    return parts


def multipart(*wanted: tuple[int, int], ordered: bool = False) -> Judge:
    """Every part described truthfully and, together, all ranges asked for.

    ``ordered`` also asks for the parts in the order of the request (15.3.7.2 SHOULD).
    """

    def judge(answer: Answer) -> Finding:
        if answer.status != 206:
            return wrong(f"{answer.status}") if answer.status != 200 else weak("200: Range ignored")
        if not (answer.get("Content-Type") or "").startswith("multipart/byteranges"):
            return _single_of(answer, wanted)
        if answer.get("Content-Range"):
            return wrong("Content-Range in the header section of a multipart answer")
        parts = _parts(answer)
        if isinstance(parts, Finding):
            return parts
        return _truthful(parts, wanted, ordered=ordered)

    return judge


def _truthful(
    parts: list[tuple[dict[str, str], bytes]],
    wanted: tuple[tuple[int, int], ...],
    *,
    ordered: bool,
) -> Finding:
    spans = []
    for head, body in parts:
        described = CONTENT_RANGE.match(head.get("content-range", ""))
        if not described:
            return wrong(f"a part with Content-Range: {head.get('content-range')}")
        first, last = int(described[1]), int(described[2])
        if described[3] not in (str(SIZE), "*") or body != PLAIN[first : last + 1]:
            return wrong(f"a part whose octets are not {first}-{last}")
        spans.append((first, last))
    missing = [w for w in wanted if not any(s[0] <= w[0] and w[1] <= s[1] for s in spans)]
    if missing:
        return weak(f"without {missing[0][0]}-{missing[0][1]}")
    return fails("parts in another order") if ordered and spans != list(wanted) else RIGHT


def _single_of(answer: Answer, wanted: tuple[tuple[int, int], ...]) -> Finding:
    """One part for several ranges: coalesced, or a subset, which the client sees and may repeat."""
    described = CONTENT_RANGE.match(answer.get("Content-Range") or "")
    if not described:
        return wrong(f"206 with Content-Range: {answer.get('Content-Range')}")
    first, last = int(described[1]), int(described[2])
    if answer.content != PLAIN[first : last + 1]:
        return wrong(f"206 whose octets are not {first}-{last}")
    covered = all(first <= low and high <= last for low, high in wanted)
    return RIGHT if covered else weak(f"only {first}-{last} of {len(wanted)} ranges")


def _part_types(client: Client) -> Finding:
    full = client.send(ask(FILE))
    answer = client.send(_range("bytes=0-0,1000-1000"))
    if not (answer.get("Content-Type") or "").startswith("multipart/byteranges"):
        return not_offered("no multipart answer")
    parts = _parts(answer)
    if isinstance(parts, Finding):
        return parts
    kinds = {head.get("content-type") for head, _ in parts}
    return RIGHT if kinds == {full.get("Content-Type")} else fails(f"parts of type {kinds}")


def _some_satisfiable(answer: Answer) -> Finding:
    if answer.status == 206 and not (answer.get("Content-Type") or "").startswith("multipart/"):
        return judge_part(answer, PLAIN, 0, 9)
    if answer.status == 416:
        return wrong("416, yet one of the ranges is satisfiable")
    return multipart((0, 9))(answer)


def _bounded(answer: Answer) -> Finding:
    """17.15: ignore, coalesce or reject; do not multiply the octets."""
    if answer.status >= 500:
        return fails(f"{answer.status}")
    times = len(answer.content) // SIZE
    return fails(f"{times} times the file for one request") if times > 2 else RIGHT


def _if_range_date(answer: Answer) -> Finding:
    """206, or 200 by a server that does not take a date for a strong validator (8.8.2.2)."""
    if answer.status == 200:
        return FULL(answer)
    return judge_part(answer, PLAIN, 0, 9)


def _if_range_416(answer: Answer) -> Finding:
    """13.2.2 step 5 says 200, 14.2 says SHOULD 416: either."""
    return RIGHT if answer.status in (200, 416) else fails(f"{answer.status}")


def _big(client: Client) -> Finding:
    end = len(BIG)
    answer = client.send(_range(f"bytes={end - 70_000}-", "/big.bin"))
    return judge_part(answer, BIG, end - 70_000, end - 1)


_LAST = SIZE - 1
_MANY = "bytes=" + ",".join(["0-"] * 200)
_SMALL = "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 1000, 2))

# fmt: off
SINGLE = (
    _row("range", "14.1.2", "bytes=0-99", _range("bytes=0-99"), part("plain.txt", 0, 99)),
    _row("range-first", "14.1.2", "bytes=0-0", _range("bytes=0-0"), part("plain.txt", 0, 0)),
    _row("range-last", "14.1.2", "The last octet alone",
        _range(f"bytes={_LAST}-{_LAST}"), part("plain.txt", _LAST, _LAST)),
    _row("range-open", "14.1.2", "bytes=1900-",
        _range("bytes=1900-"), part("plain.txt", 1900, _LAST)),
    _row("range-all", "14.1.2", "bytes=0-",
        _range("bytes=0-"), part("plain.txt", 0, _LAST, whole_will_do=True)),
    _row("range-clipped", "14.1.2", "A last-pos beyond the end means the remainder",
        _range("bytes=1900-9999"), part("plain.txt", 1900, _LAST)),
    _row("range-suffix", "14.1.2", "bytes=-100 is the last 100 octets",
        _range("bytes=-100"), part("plain.txt", 1900, _LAST)),
    _row("range-suffix-long", "14.1.2", "A suffix longer than the file is the whole file",
        _range("bytes=-9999"), part("plain.txt", 0, _LAST, whole_will_do=True)),
    _row("range-unit-case", "14.1", "Range unit names are case-insensitive",
        _range("Bytes=0-99"), part("plain.txt", 0, 99)),
    _row("range-zeros", "14.1.1", "Leading zeros are digits",
        _range("bytes=000-0099"), part("plain.txt", 0, 99)),
    Check("range-big", "9110 §14.1.2", SHOULD, "The last 70,000 octets of 1 MiB", _big, RANGES),
)
UNSATISFIABLE = (
    _row("range-beyond", "14.2",
        "A first-pos at the length: 416 with Content-Range: bytes */length",
        _range(f"bytes={SIZE}-"), unsatisfiable("plain.txt")),
    _row("range-suffix-zero", "14.1.2", "bytes=-0 is unsatisfiable: 416",
        _range("bytes=-0"), unsatisfiable("plain.txt")),
    _row("range-huge-first", "14.1.2", "40 digits do not overflow: 416",
        _range(f"bytes={HUGE}-"), unsatisfiable("plain.txt")),
    _row("range-huge-last", "14.1.2", "40 digits do not overflow: clipped",
        _range(f"bytes=0-{HUGE}"), _huge_end, MUST),
    Check("range-digits", "9110 §14.1.2", MUST, "5,000 digits are clipped or the field is refused",
        _digits, RANGES),
    _empty("bytes=0-"),
    _empty("bytes=-5"),
)
IGNORED = (
    _row("range-unit", "14.2", "An unknown range unit is ignored",
        _range("pages=0-9"), _unknown_unit, MUST),
    _row("range-order", "14.1.1", "last-pos before first-pos is invalid: ignored or rejected",
        _range("bytes=5-2"), ignored_or_rejected),
    Check("range-invalid", "9110 §14.2", SHOULD,
        "What is no ranges-specifier is ignored or rejected", _invalid, RANGES),
    _row("range-head", "14.2", "HEAD ignores Range",
        ask(FILE, "HEAD", range="bytes=0-99"), status(200), MUST),
    _row("range-missing", "14.2", "Range does not change a 404",
        _range("bytes=0-9", "/nothing-here"), status(404), MUST),
)
SEVERAL = (
    _row("ranges", "14.6", "Two ranges: multipart/byteranges, each part described",
        _range("bytes=0-9,1000-1009"), multipart((0, 9), (1000, 1009)), needs=MULTIPART),
    _row("ranges-space", "14.1.2", "Whitespace around the comma",
        _range("bytes=0-9 , 1000-1009"), multipart((0, 9), (1000, 1009)), needs=MULTIPART),
    _row("ranges-suffix", "14.1.2", "bytes=0-0,-1: the first and the last octet",
        _range("bytes=0-0,-1"), multipart((0, 0), (_LAST, _LAST)), needs=MULTIPART),
    _row("ranges-order", "15.3.7.2", "Parts come in the order asked for",
        _range("bytes=1000-1009,0-9"), multipart((1000, 1009), (0, 9), ordered=True),
        needs=MULTIPART),
    Check("ranges-type", "9110 §15.3.7.2", SHOULD, "Each part has the Content-Type of the 200",
        _part_types, MULTIPART),
    _row("ranges-overlap", "15.3.7.2", "Overlapping ranges: coalesced or apart, all octets there",
        _range("bytes=0-99,50-149"), multipart((0, 99), (50, 149)), needs=MULTIPART),
    _row("ranges-some", "14.1.1", "Satisfiable when one range is",
        _range("bytes=0-9,5000-"), _some_satisfiable, needs=MULTIPART),
    _row("ranges-none", "14.2", "Unsatisfiable when none is: 416",
        _range("bytes=5000-,-0"), unsatisfiable("plain.txt"), needs=MULTIPART),
    _row("ranges-many", "17.15", "200 times `0-` does not send 200 times the file",
        _range(_MANY), _bounded, QUALITY),
    _row("ranges-small", "17.15", "500 single octets do not multiply the file",
        _range(_SMALL), _bounded, QUALITY),
)
IF_RANGE = (
    _row("if-range-tag", "13.1.5", "The strong tag: the range is served",
        _range("bytes=0-9", if_range="{strong}"), part("plain.txt", 0, 9)),
    _row("if-range-other", "13.1.5", "Another tag: the whole file",
        _range("bytes=0-9", if_range='"other"'), FULL, MUST),
    _row("if-range-weak", "13.1.5", "Strong comparison: W/ gives the whole file",
        _range("bytes=0-9", if_range="W/{quoted}"), FULL, MUST),
    _row("if-range-date", "13.1.5", "The exact date: the range, or the whole file",
        _range("bytes=0-9", if_range="{date}"), _if_range_date, MUST),
    _row("if-range-earlier", "13.1.5", "An earlier date: the whole file",
        _range("bytes=0-9", if_range="{day_before}"), FULL, MUST),
    _row("if-range-later", "13.1.5", "By exact match: a later date gives the whole file too",
        _range("bytes=0-9", if_range="{day_after}"), FULL, MUST),
    _row("if-range-garbage", "13.1.5", "Neither tag nor date: the whole file",
        _range("bytes=0-9", if_range="nonsense"), FULL, MUST),
    _row("if-range-alone", "13.1.5", "Without Range it is ignored",
        ask(FILE, if_range="{etag}"), FULL, MUST),
    _row("if-range-416", "13.2.2", "Equal, but unsatisfiable: 200 or 416",
        _range("bytes=9999-", if_range="{strong}"), _if_range_416),
    _row("if-range-no-416", "13.1.5", "Not equal and unsatisfiable: 200",
        _range("bytes=9999-", if_range='"other"'), FULL, MUST),
)
PARTIAL = (
    Check("206-repeats", "9110 §15.3.7", MUST,
        "206 repeats Date, ETag, Cache-Control, Expires, Vary, Content-Location",
        lambda client: _206_fields(client, _MUST_REPEAT), RANGES),
    Check("206-metadata", "9110 §15.3.7", MUST,
        "206 repeats Content-Type, Last-Modified, Content-Encoding",
        lambda client: _206_fields(client, _REPRESENTATION), RANGES),
)
# fmt: on

RANGE_REQUESTS = Group(
    "Range requests",
    "9110 §14",
    (*SINGLE, *UNSATISFIABLE, *IGNORED, *SEVERAL, *IF_RANGE, *PARTIAL),
)
