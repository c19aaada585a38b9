"""Request targets: RFC 9112 section 3.2, RFC 3986, and RFC 9110 section 17.3."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from bench.conformance.check import MUST, QUALITY, SHOULD, Check, Drive, Group, sees
from bench.conformance.exchange import Client
from bench.conformance.findings import RIGHT, Finding, Judge, fails, not_offered, weak
from bench.conformance.judges import harmless, status
from bench.conformance.messages import Answer, Feature, Unanswered, ask
from bench.conformance.site import FILES, NAMES, PLAIN, SECRET

# Every way out of the root that percent-decoding, normalising twice or another system's separator
# has opened somewhere.
ESCAPES = (
    "/../secret.txt",
    "/dir/../../secret.txt",
    "/..%2fsecret.txt",
    "/%2e%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/.%2e/secret.txt",
    "/%252e%252e%252fsecret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/dir/..%2f..%2fsecret.txt",
    "/%2e%2e%00/secret.txt",
    "/..;/secret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "//../secret.txt",
    "/./../secret.txt",
    "/dir//../../secret.txt",
)
# Directory targets whose redirect, copied without care, names another host.
OUTWARD = (
    "//evil.example/..%2f../dir",
    "//evil.example/../dir",
    "//evil.example/%2e%2e/dir",
    "//dir",
    "/\\evil.example/../dir",
)
# Well-formed, and yet more than a file system can take.
AWKWARD = (
    *(target for target in ESCAPES if "\\" not in target),
    *("/%00", "/plain.txt%00", "/%ff%fe", "/%0d%0a", "/" + "a" * 300, "/" + "a/" * 300),
)
# What cannot be in a request-target at all (9112 §3.2, RFC 3986 §3.3).
MALFORMED = ("/%zz", "/%", "/plain.txt%2", "/plain.txt#top", "/caf\udce9.txt", "/a\x01b", "/<a>")


_LABELS = ("space", "utf-8", "question", "percent", "plus", "delims", "tilde", "pchar", "encoded")


def _names(label: str, name: str) -> Check:
    """One row: the encoded form of a name leads to this file."""
    target = "/" + quote(name)
    promise = f"{target} is {name!r}"

    def judge(answer: Answer) -> Finding:
        if answer.status == 200:
            return RIGHT if answer.content == FILES[name] else fails("200 with another file")
        return fails(f"{answer.status}")

    return Check(f"name-{label}", "9110 §4.2.3", MUST, promise, sees(ask(target), judge))


def _equivalent(answer: Answer) -> Finding:
    """The file, or a redirect to the normal form."""
    if 300 <= answer.status < 400:
        return RIGHT
    same = answer.status == 200 and answer.content == PLAIN
    return RIGHT if same else fails(f"{answer.status}")


def _double(answer: Answer) -> Finding:
    decoded_twice = answer.content == NAMES["sp ace.txt"]
    return fails("decoded twice") if decoded_twice else harmless(answer)


def _never_outside(client: Client) -> Finding:
    for target in ESCAPES:
        try:
            answer = client.send(ask(target))
        except Unanswered:
            continue
        if SECRET.strip() in answer.content:
            return fails(f"{target} shows a file outside the root")
    return RIGHT


def _no_error(client: Client) -> Finding:
    for target in AWKWARD:
        try:
            answer = client.send(ask(target))
        except Unanswered as silence:
            return fails(f"{silence} for {target!r}")
        if answer.status >= 500 and answer.status not in (501, 505):
            return fails(f"{answer.status} for {target!r}"[:80])
    return RIGHT


def _malformed(client: Client) -> Finding:
    for target in MALFORMED:
        try:
            answer = client.send(ask(target))
        except Unanswered as silence:
            return fails(f"{silence} for {target!r}")
        if answer.status not in (400, 301, 308):
            return fails(f"{answer.status} for {target!r}")
    return RIGHT


def _redirects_home(client: Client) -> Finding:
    """A directory redirect of a target that starts with two slashes must not name a host."""
    for target in OUTWARD:
        try:
            answer = client.send(ask(target))
        except Unanswered:
            continue
        location = answer.get("Location") or ""
        if _leaves(location):
            return fails(f"{target} is sent to {location}")
        if _leaves(location.replace("\\", "/")):
            return weak(f"browsers take {location} for another host")
    return RIGHT


def _leaves(location: str) -> bool:
    host = urlsplit(location).netloc.rpartition("@")[2].partition(":")[0]
    return host not in ("", "localhost", "127.0.0.1")


def _query_kept(client: Client) -> Finding:
    answer = client.send(ask("/dir?a=1&b=%20"))
    if not 300 <= answer.status < 400:
        return not_offered(f"{answer.status}, no redirect")
    location = answer.get("Location") or ""
    return RIGHT if location.endswith("?a=1&b=%20") else fails(f"Location: {location}")


def _location(client: Client) -> Finding:
    answer = client.send(ask("/dir"))
    if not 300 <= answer.status < 400:
        return not_offered(f"{answer.status}, no redirect")
    location = answer.get("Location")
    return RIGHT if location and location.split("?")[0].endswith("/") else fails(f"{location}")


def _index_base(client: Client) -> Finding:
    """Without the slash, relative references of the index resolve beside the directory."""
    answer = client.send(ask("/dir"))
    return weak("200: its relative links break") if answer.status == 200 else RIGHT


def _file_slash(answer: Answer) -> Finding:
    return weak("200: its relative links break") if answer.status == 200 else harmless(answer)


def _raw(target: str, judge: Judge = harmless, method: str = "GET") -> Drive:
    """Send a request-line with this target exactly as it stands."""

    def drive(client: Client) -> Finding:
        with client.wire() as wire:
            wire.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1"))
            return judge(wire.answer(method))

    return drive


def _plain(answer: Answer) -> Finding:
    right = answer.status == 200 and answer.content == PLAIN
    return RIGHT if right else fails(f"{answer.status}")


def _invalid_line(answer: Answer) -> Finding:
    if answer.status in (400, 301, 308, 505):
        return RIGHT
    return fails(f"{answer.status}")


def _long(client: Client) -> Finding:
    target = "/plain.txt?" + "q" * 7960
    answer = client.send(ask(target))
    return RIGHT if answer.status == 200 else fails(f"{answer.status} for {len(target)} octets")


def _too_long(client: Client) -> Finding:
    """Parsed, or answered 414: twice, as there may be a limit for targets and one for buffers."""
    for length in (20_000, 200_000):
        try:
            answer = client.send(ask("/plain.txt?" + "q" * length))
        except Unanswered as silence:
            return fails(f"{silence}, at {length:,} octets")
        if answer.status not in (200, 414):
            return fails(f"{answer.status} at {length:,} octets")
    return RIGHT


def _sub_delims(client: Client) -> Finding:
    for name in ("a+b.txt", "a;b=c&d,e.txt", "a:b@c.txt"):
        answer = client.send(ask(f"/{name}"))
        if answer.content != NAMES[name]:
            return fails(f"{answer.status} for /{name}")
    return RIGHT


# fmt: off
NAMING = (
    *(_names(label, name) for label, name in zip(_LABELS, NAMES, strict=True)),
    Check("unreserved", "RFC 3986 §2.3", MUST, "/p%6cain%2Etxt is /plain.txt",
        sees(ask("/p%6cain%2Etxt"), _equivalent)),
    Check("hex-case", "RFC 3986 §2.1", MUST, "%c3%a9 is %C3%A9",
        _raw("/caf%c3%a9.txt", status(200, 301, 308)), wire=True),
    Check("sub-delims", "RFC 3986 §2.2", SHOULD, "/a+b.txt and /a;b=c&d,e.txt need no encoding",
        _sub_delims),
    Check("decode-once", "RFC 3986 §2.4", MUST, "%2520 is never decoded twice",
        sees(ask("/sp%2520ace.txt"), _double)),
    Check("query", "RFC 3986 §3.4", MUST, "The query is not part of the path",
        sees(ask("/plain.txt?/../../x=%2F&y"), _plain)),
)
SAFETY = (
    Check("outside", "9110 §17.3", MUST,
        f"{len(ESCAPES)} spellings of `..` show nothing outside the root", _never_outside),
    Check("no-5xx", "9110 §15.6", SHOULD, "No target makes the server fail", _no_error),
    Check("malformed", "9112 §3", SHOULD, "A target outside the grammar: 400",
        _malformed, wire=True),
    Check("redirect-home", "9110 §10.2.2", MUST, "No redirect to a host named in the path",
        _redirects_home),
    Check("redirect-location", "9110 §15.4", SHOULD,
        "A redirected directory has its Location with a slash", _location, Feature.INDEX),
    Check("redirect-query", "no RFC", QUALITY, "The directory redirect keeps the query",
        _query_kept, Feature.INDEX),
    Check("index-base", "RFC 3986 §5.1", QUALITY,
        "A directory's index is not served without the slash", _index_base, Feature.INDEX),
    Check("file-slash", "RFC 3986 §5.1", QUALITY, "/plain.txt/ is not /plain.txt",
        sees(ask("/plain.txt/"), _file_slash)),
)
FORMS = (
    Check("absolute", "9112 §3.2.2", MUST, "The absolute-form is accepted",
        _raw("http://localhost/plain.txt", _plain), wire=True),
    Check("absolute-case", "9110 §4.2.3", MUST, "Its scheme is case-insensitive",
        _raw("HTTP://localhost/plain.txt", _plain), wire=True),
    Check("asterisk", "9112 §3.2.4", SHOULD, "GET * is no request: 400",
        _raw("*", _invalid_line), wire=True),
    Check("asterisk-options", "9112 §3.2.4", SHOULD, "OPTIONS * does not fail the server",
        _raw("*", method="OPTIONS"), wire=True),
    Check("authority", "9112 §3.2.3", SHOULD, "GET localhost:80 is no request: 400",
        _raw("localhost:80", _invalid_line), wire=True),
    Check("relative", "9112 §3.2", SHOULD, "GET plain.txt, without the slash, is no request: 400",
        _raw("plain.txt", _invalid_line), wire=True),
    Check("space", "9112 §3", SHOULD, "A space in the target is no request: 400",
        _raw("/sp ace.txt", _invalid_line), wire=True),
    Check("long", "9112 §3", SHOULD, "A request-line of 8,000 octets is served", _long),
    Check("too-long", "9112 §3", MUST, "A target too long to parse: 414", _too_long, wire=True),
)
# fmt: on

TARGETS = Group("Request targets", "9112 §3", (*NAMING, *SAFETY, *FORMS))
