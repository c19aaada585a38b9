"""The HTTP/1.1 connection: RFC 9112. Every row here writes its own octets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.conformance.check import MUST, QUALITY, SHOULD, Check, Drive, Group
from bench.conformance.exchange import Client, Validators, Wire
from bench.conformance.findings import RIGHT, Finding, Judge, fails, not_offered, wrong
from bench.conformance.judges import status
from bench.conformance.messages import Answer, Feature, Unanswered, ask
from bench.conformance.site import FILES, PLAIN, SCRIPT

PERSISTENCE = Feature.PERSISTENCE
INNER = FILES["dir/inner.txt"]
GET = b"GET /plain.txt HTTP/1.1\r\nHost: localhost\r\n"
NEXT = b"GET /dir/inner.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
# What a server reads as a request when it forgets that it is content.
SMUGGLED = b"GET /empty.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"


def on_wire(talk: Callable[[Wire], Finding]) -> Drive:
    """Run a conversation on a connection of its own."""

    def drive(client: Client) -> Finding:
        with client.wire() as wire:
            return talk(wire)

    return drive


def answers(octets: bytes, judge: Judge, method: str = "GET") -> Drive:
    """Send these octets, judge the first answer."""

    def talk(wire: Wire) -> Finding:
        wire.send(octets)
        return judge(wire.answer(method))

    return on_wire(talk)


def announces_close(answer: Answer) -> bool:
    """Whether the server says, or by its version means, that the connection ends."""
    options = (answer.get("Connection") or "").lower()
    return "close" in options or (answer.version == "HTTP/1.0" and "keep-alive" not in options)


def persists_after(head: bytes, method: str = "GET") -> Drive:
    """Send a request, then another on the same connection: answered, or closed as announced."""

    def talk(wire: Wire) -> Finding:
        wire.send(head + b"\r\n")
        first = wire.answer(method)
        if announces_close(first):
            return not_offered("announces that it closes")
        wire.send(NEXT)
        second = wire.answer()
        right = second.status == 200 and second.content == INNER
        return RIGHT if right else fails(f"the next request is answered {second}")

    return on_wire(talk)


def drains(head: bytes, content: bytes, method: str = "GET") -> Drive:
    """Content is read to its end or the connection closed; it is never the next request."""

    def talk(wire: Wire) -> Finding:
        wire.send(head + b"\r\n" + content + NEXT)
        wire.answer(method)
        try:
            second = wire.answer()
        except Unanswered as silence:
            return RIGHT if "closed" in str(silence) else fails(f"then {silence}")
        if second.content == INNER or second.status == 400:
            return RIGHT
        return fails(f"the content is taken for a request: {second}")

    return on_wire(talk)


def refused_then_closed(octets: bytes, *allowed: int) -> Drive:
    """Refused with one of these statuses, and the connection ended."""

    def talk(wire: Wire) -> Finding:
        wire.send(octets)
        answer = wire.answer()
        if answer.status not in allowed:
            return fails(f"{answer.status}")
        return RIGHT if wire.closes() else fails(f"{answer.status}, but the connection stays")

    return on_wire(talk)


def _pipeline(wire: Wire) -> Finding:
    wire.send(GET + b"\r\n" + NEXT + b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for expected in (PLAIN, INNER, SCRIPT):
        answer = wire.answer()
        if answer.content != expected:
            return fails(f"out of order: {answer}")
        if announces_close(answer):
            return RIGHT
    return RIGHT


def _pipeline_head(wire: Wire) -> Finding:
    wire.send(GET.replace(b"GET", b"HEAD") + b"\r\n" + NEXT)
    if announces_close(wire.answer("HEAD")):
        return not_offered("announces that it closes")
    answer = wire.answer()
    return RIGHT if answer.content == INNER else fails(f"{answer}")


def _closes(option: bytes) -> Drive:
    def talk(wire: Wire) -> Finding:
        wire.send(GET + b"Connection: " + option + b"\r\n\r\n")
        wire.answer()
        return RIGHT if wire.closes() else fails("the connection stays")

    return on_wire(talk)


def _says_close(answer: Answer) -> Finding:
    return RIGHT if announces_close(answer) else fails("does not say close")


def _http10(wire: Wire) -> Finding:
    wire.send(b"GET /plain.txt HTTP/1.0\r\n\r\n")
    answer = wire.answer()
    if answer.get("Transfer-Encoding"):
        return fails("Transfer-Encoding in answer to HTTP/1.0 (9112 §6.1 MUST NOT)")
    if answer.content != PLAIN:
        return fails(f"{answer}")
    return RIGHT if answer.framing == "close" or wire.closes() else fails("the connection stays")


def _obs_fold(client: Client) -> Finding:
    """400, or the fold read as a space: then the tag on the second line is found."""
    tag = Validators(client.send(ask("/plain.txt"))).etag.encode("latin-1")
    with client.wire() as wire:
        wire.send(GET + b'If-None-Match: "a",\r\n ' + tag + b"\r\n\r\n")
        return status(400, 304)(wire.answer())


def _both_lengths(wire: Wire) -> Finding:
    head = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.send(b"POST /plain.txt HTTP/1.1\r\nHost: localhost\r\n" + head + b"0\r\n\r\n")
    answer = wire.answer()
    return RIGHT if wire.closes() else fails(f"{answer.status}, and the connection stays")


def _chunked_http10(wire: Wire) -> Finding:
    head = b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.send(b"GET /plain.txt HTTP/1.0\r\n" + head + b"0\r\n\r\n")
    answer = wire.answer()
    return RIGHT if wire.closes() else fails(f"{answer.status}, and the connection stays")


def _bad_lengths(client: Client) -> Finding:
    for value in (b"+5", b"-5", b"0x5", b"5a", b"5, 6", b"1_0"):
        head = GET + b"Content-Length: " + value + b"\r\n\r\n"
        found = refused_then_closed(head + b"12345", 400)(client)
        if found is not RIGHT:
            return fails(f"Content-Length: {value.decode()}: {found.reason}")
    return RIGHT


def _expect(wire: Wire) -> Finding:
    fields = b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    wire.send(b"PUT /plain.txt HTTP/1.1\r\nHost: localhost\r\n" + fields)
    if not wire.speaks():
        return fails("neither 100 nor an answer while it waits for the content")
    return RIGHT


def _expect_http10(wire: Wire) -> Finding:
    fields = b"Host: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n12345"
    wire.send(b"PUT /plain.txt HTTP/1.0\r\n" + fields)
    answer = wire.answer()
    return fails(f"{answer.interim[0]} to HTTP/1.0") if answer.interim else RIGHT


def _served(answer: Answer) -> Finding:
    return RIGHT if answer.status == 200 else fails(f"{answer.status}")


def _minor(answer: Answer) -> Finding:
    """9110 §2.5: "MUST NOT send a version to which it is not conformant"."""
    if answer.version not in ("HTTP/1.0", "HTTP/1.1"):
        return wrong(f"claims to be {answer.version}")
    return _served(answer)


def _line_feeds(answer: Answer) -> Finding:
    return RIGHT if answer.status in (200, 400) else fails(f"{answer.status}")


def _large_field(wire: Wire) -> Finding:
    wire.send(GET + b"X-Large: " + b"x" * 200_000 + b"\r\n\r\n")
    answer = wire.answer()
    return (
        RIGHT if answer.status == 200 or 400 <= answer.status < 500 else fails(f"{answer.status}")
    )


def _many_fields(wire: Wire) -> Finding:
    wire.send(GET + b"".join(b"X-%d: x\r\n" % n for n in range(2000)) + b"\r\n")
    answer = wire.answer()
    return (
        RIGHT if answer.status == 200 or 400 <= answer.status < 500 else fails(f"{answer.status}")
    )


def _chunks(data: bytes) -> bytes:
    """Two chunks, an extension and a trailer field: all that chunked may hold."""
    half = len(data) // 2
    first = b"%x;name=value\r\n%s\r\n" % (half, data[:half])
    second = b"%X\r\n%s\r\n" % (len(data) - half, data[half:])
    return first + second + b"0\r\nX-Trailer: 1\r\n\r\n"


_LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_POST = GET.replace(b"GET", b"POST")
BAD_REQUEST = status(400)

# fmt: off
PERSISTING = (
    Check("persist", "9112 §9.3", MUST,
        "A second request is answered, or the first answer said close", persists_after(GET)),
    Check("persist-offered", "9112 §9.3", SHOULD, "Persistent connections are supported",
        lambda client: RIGHT if PERSISTENCE in client.features else fails("closes after each answer")),
    Check("persist-head", "9112 §6.3", MUST, "After HEAD",
        persists_after(GET.replace(b"GET", b"HEAD"), "HEAD"), PERSISTENCE),
    Check("persist-304", "9112 §6.3", MUST, "After 304",
        persists_after(GET + b"If-None-Match: *\r\n"), PERSISTENCE),
    Check("persist-206", "9112 §6.3", MUST, "After 206",
        persists_after(GET + b"Range: bytes=0-9\r\n"), PERSISTENCE),
    Check("persist-416", "9112 §6.3", MUST, "After 416",
        persists_after(GET + b"Range: bytes=9999-\r\n"), PERSISTENCE),
    Check("persist-404", "9112 §6.3", MUST, "After 404",
        persists_after(GET.replace(b"plain", b"nothing")), PERSISTENCE),
    Check("persist-head-404", "9112 §6.3", MUST, "After HEAD with 404",
        persists_after(b"HEAD /nothing HTTP/1.1\r\nHost: localhost\r\n", "HEAD"), PERSISTENCE),
    Check("pipeline", "9112 §9.3.2", MUST, "Pipelined requests are answered in order",
        on_wire(_pipeline), PERSISTENCE),
    Check("pipeline-head", "9112 §9.3.2", MUST, "HEAD and GET pipelined",
        on_wire(_pipeline_head), PERSISTENCE),
    Check("close", "9112 §9.6", MUST, "Connection: close closes after the answer",
        _closes(b"close")),
    Check("close-list", "9110 §7.6.1", MUST, "Connection options are a case-insensitive list",
        _closes(b"x-other, CLOSE")),
    Check("close-said", "9112 §9.6", SHOULD, "The last answer says close",
        answers(GET + b"Connection: close\r\n\r\n", _says_close)),
)
VERSIONS = (
    Check("http-1.0", "9112 §9.3", MUST, "HTTP/1.0, without Host: served, not chunked, closed",
        on_wire(_http10)),
    Check("http-1.9", "9110 §2.5", SHOULD, "HTTP/1.9 is processed as HTTP/1.1",
        answers(GET.replace(b"/1.1", b"/1.9") + b"\r\n", _minor)),
    Check("http-lower", "9112 §2.3", SHOULD, "http/1.1 is no HTTP-version: 400",
        answers(GET.replace(b"HTTP/", b"http/") + b"\r\n", status(400, 505))),
)
HEADERS = (
    Check("upgrade", "9110 §7.8", QUALITY, "Upgrade to a protocol nobody speaks is ignored",
        answers(GET + b"Connection: upgrade\r\nUpgrade: nobody/1\r\n\r\n", _served)),
    Check("host-none", "9112 §3.2", MUST, "HTTP/1.1 without Host: 400",
        answers(b"GET /plain.txt HTTP/1.1\r\n\r\n", BAD_REQUEST)),
    Check("host-two", "9112 §3.2", MUST, "Two Host fields: 400",
        answers(GET + b"Host: other\r\n\r\n", BAD_REQUEST)),
    Check("host-invalid", "9112 §3.2", MUST, "A Host value outside its grammar: 400",
        answers(GET.replace(b"localhost", b"local/host?") + b"\r\n", BAD_REQUEST)),
    Check("space-colon", "9112 §5.1", MUST, "Whitespace before the colon: 400",
        answers(GET + b"X-A : b\r\n\r\n", BAD_REQUEST)),
    Check("obs-fold", "9112 §5.2", MUST, "A folded line: 400, or one space in its place",
        _obs_fold),
    Check("field-name", "9112 §2.2", SHOULD, "A field name that is no token: 400",
        answers(GET + b"X[1]: b\r\n\r\n", BAD_REQUEST)),
    Check("no-colon", "9112 §2.2", SHOULD, "A line without a colon: 400",
        answers(GET + b"nonsense\r\n\r\n", BAD_REQUEST)),
    Check("line-feeds", "9112 §2.2", SHOULD, "Lines ended by a bare LF: read, or 400",
        answers((GET + b"\r\n").replace(b"\r", b""), _line_feeds)),
    Check("empty-line", "9112 §2.2", SHOULD, "An empty line before the request-line is ignored",
        answers(b"\r\n" + GET + b"\r\n", _served)),
    Check("large-field", "9110 §5.4", MUST, "A field of 200,000 octets: served, or a 4xx",
        on_wire(_large_field)),
    Check("many-fields", "9110 §5.4", MUST, "2,000 fields: served, or a 4xx",
        on_wire(_many_fields)),
)
CONTENT = (
    Check("drain-length", "9112 §9.3", MUST, "Content of a GET is read, or the connection closed",
        drains(GET + _LENGTH, SMUGGLED)),
    Check("drain-chunked", "9112 §9.3", MUST, "The same, chunked, with an extension and a trailer",
        drains(GET + _CHUNKED, _chunks(SMUGGLED))),
    Check("drain-post", "9112 §9.3", MUST, "Content of a refused POST",
        drains(_POST + _LENGTH, SMUGGLED)),
    Check("drain-missing", "9112 §9.3", MUST, "Content of a POST that finds nothing",
        drains(_POST.replace(b"plain", b"nothing") + _LENGTH, SMUGGLED)),
    Check("two-lengths", "9112 §6.3", MUST, "Two different Content-Length: 400, closed",
        refused_then_closed(GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", 400)),
    Check("bad-length", "9112 §6.3", MUST, "A Content-Length that is no number: 400, closed",
        _bad_lengths),
    Check("length-chunked", "9112 §6.1", MUST,
        "Content-Length with Transfer-Encoding: closed after the answer", on_wire(_both_lengths)),
    Check("coding-unknown", "9112 §6.3", MUST,
        "A transfer coding other than chunked last: 400 or 501, closed",
        refused_then_closed(GET + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, 501)),
    Check("coding-order", "9112 §6.3", MUST, "chunked, then gzip: 400 or 501, closed",
        refused_then_closed(GET + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, 501)),
    Check("coding-1.0", "9112 §6.1", MUST, "Transfer-Encoding in HTTP/1.0: closed",
        on_wire(_chunked_http10)),
    Check("bad-chunk", "9112 §7.1", SHOULD,
        "A chunk size that is no number: 400 or closed, nothing served",
        drains(GET + _CHUNKED, b"zz\r\n" + SMUGGLED)),
    Check("expect", "9110 §10.1.1", MUST, "Expect: 100-continue gets 100 or the answer at once",
        on_wire(_expect)),
    Check("expect-1.0", "9110 §10.1.1", MUST, "Expect in HTTP/1.0 is ignored",
        on_wire(_expect_http10)),
)
# fmt: on

_ROWS = (*PERSISTING, *VERSIONS, *HEADERS, *CONTENT)
CONNECTION = Group("HTTP/1.1 connections", "9112", tuple(replace(row, wire=True) for row in _ROWS))
