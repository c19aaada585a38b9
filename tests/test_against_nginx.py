"""A foreign witness: the same requests to a real nginx and to us, over both HTTP versions.

Status, content and the fields that matter are equal, or the difference is one of those named
below, each with its reason from the RFC. A named difference that never occurs fails the test as
well, so the list cannot outlive its reasons.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import pytest

from tests.support.core import parts_of
from tests.support.http2 import Connection2, StreamError
from tests.support.programs import require
from tests.support.raw import Answer, Connection, EndedError
from tests.support.servers import free_port, serving
from tests.support.site import write_site

pytestmark = pytest.mark.grid(setup="serve")

SEED, GENERATED = 9110, 700
MODIFIED = 1_600_000_000  # Sun, 13 Sep 2020 12:26:40 GMT
DATES = {
    "{same}": "Sun, 13 Sep 2020 12:26:40 GMT",
    "{before}": "Sun, 13 Sep 2020 12:26:39 GMT",
    "{after}": "Mon, 14 Sep 2020 12:26:40 GMT",
}

SCRIPT = b"export const words = ['one', 'two', 'three'];\n" * 60
SITE = {
    "index.html": b"<!doctype html><title>Home</title>",
    "plain.txt": bytes(range(256)) * 4,
    "empty.txt": b"",
    "big.bin": random.Random(7).randbytes(300_000),
    "app.js": SCRIPT,
    "app.js.gz": gzip.compress(SCRIPT, mtime=0),
    "stale.js": SCRIPT,
    "stale.js.gz": gzip.compress(SCRIPT[:-1], mtime=0),
    "lone.js.gz": gzip.compress(SCRIPT, mtime=0),
    "archive.tar.gz": gzip.compress(b"an archive", mtime=0),
    "docs/index.html": b"<!doctype html><title>Docs</title>",
    "docs/\u00e9t\u00e9.html": b"<!doctype html><title>Summer</title>",
    "bare/file.txt": b"in a directory without index",
    "with space.txt": b"a space in the name",
    ".hidden": b"hidden",
}

CONFIGURATION = """
daemon off; master_process off; worker_processes 1;
pid {scratch}/pid; error_log {scratch}/error.log;
events {{ worker_connections 64; }}
http {{
  client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/fastcgi; uwsgi_temp_path {scratch}/uwsgi;
  scgi_temp_path {scratch}/scgi;
  access_log off; keepalive_requests 100000; gzip_static on; gzip_vary on;
  types {{ text/html html; text/javascript js; text/plain txt; application/gzip gz; }}
  default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{port2} http2; root {root}; }}
}}
"""


class Case(NamedTuple):
    """One request, the same for both but for the validators, which are each server's own."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        return dict(self.fields).get(name, "")

    def has(self, name: str) -> bool:
        return name in dict(self.fields)

    def filled(self, tag: str) -> list[tuple[str, str]]:
        """The fields, with dates and the tag that the server gave this representation."""
        fields = list(self.fields)
        for placeholder, text in {"{tag}": tag, **DATES}.items():
            fields = [(name, value.replace(placeholder, text)) for name, value in fields]
        return fields


# -- servers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose files are all of one old second, as nginx's sidecars need it."""
    top = tmp_path_factory.mktemp("nginx")
    top.chmod(0o755)
    root = write_site(top / "site", SITE)
    for path in root.rglob("*"):
        os.utime(path, (MODIFIED, MODIFIED))
    return root


@pytest.fixture(scope="module")
def nginx(root: Path) -> Iterator[dict[str, int]]:
    """The ports of an nginx on the same site, by HTTP version."""
    program = require("nginx", "nginx-light")
    scratch, port, port2 = root.parent, free_port(), free_port()
    configuration = scratch / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(scratch=scratch, port=port, port2=port2, root=root)
    )
    command = [program, "-p", str(scratch), "-e", f"{scratch}/error.log", "-c", str(configuration)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            _wait(port, process)
            yield {"HTTP/1.1": port, "HTTP/2": port2}
        finally:
            process.terminate()
            process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), Connection(port):
            return
        time.sleep(0.02)
    pytest.fail("nginx does not start")


class Client:
    """One kept connection, opened again when the server ends it."""

    def __init__(self, port: int, version: str) -> None:
        self._port = port
        self._version = version
        self._connection: Connection | Connection2 | None = None
        self._tags: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.socket.close()
        self._connection = None

    def ask(self, case: Case) -> Answer:
        return self._send(case.method, case.target, case.filled(self._tag(case)))

    def _tag(self, case: Case) -> str:
        """The entity-tag that this server gives the representation the case selects."""
        accepted = case.get("Accept-Encoding")
        key = (case.target, accepted)
        if key not in self._tags:
            fields = [("Accept-Encoding", accepted)] if case.has("Accept-Encoding") else []
            tag = self._send("HEAD", case.target, fields).field("etag")
            self._tags[key] = tag or '"none"'
        return self._tags[key]

    def _send(self, method: str, target: str, fields: list[tuple[str, str]]) -> Answer:
        try:
            answer = self._on_connection(method, target, fields)
        except (EndedError, StreamError, ConnectionError):  # a kept connection may end at any time
            self.__exit__()
            answer = self._on_connection(method, target, fields)
        if "close" in (answer.field("connection") or ""):
            self.__exit__()
        return answer

    def _on_connection(self, method: str, target: str, fields: list[tuple[str, str]]) -> Answer:
        if self._connection is None:
            kind = Connection2 if self._version == "HTTP/2" else Connection
            self._connection = kind(self._port)
        if isinstance(self._connection, Connection2):
            lowered = [(name.lower(), value) for name, value in fields]
            return self._connection.get(target, *lowered, method=method)
        lines = [f"{name}: {value}" for name, value in fields]
        return self._connection.get(target, *lines, method=method)


# -- what is compared --------------------------------------------------------------------------

View = dict[str, object]


def view(answer: Answer, case: Case) -> View:
    """What matters of an answer; names in it are what a difference may be about."""
    seen: View = {"status": answer.status, "complete": answer.complete}
    if answer.status in (200, 206):
        for name in ("content-encoding", "accept-ranges", "last-modified", "content-range"):
            seen[name] = answer.field(name)
        seen["content"] = _content(answer) if case.method == "GET" else b""
        seen["media-type"] = (answer.field("content-type") or "").partition(";")[0]
        if not _is_multipart(answer):
            seen["content-length"] = answer.field("content-length")
    if answer.status in (200, 206, 304):
        tag = answer.field("etag")
        seen["tag"] = None if tag is None else tag.startswith("W/")
        seen["vary"] = "accept-encoding" in (answer.field("vary") or "").lower()
    if answer.status == 304:
        seen["last-modified"] = answer.field("last-modified")
        seen["content-length"] = answer.field("content-length")
    if answer.status == 416:
        seen["content-range"] = answer.field("content-range")
    if answer.status == 405:
        seen["allow"] = answer.field("allow")
    if 300 < answer.status < 304 or answer.status == 308:
        seen["location"] = _resolved(case, answer)
    return seen


def _is_multipart(answer: Answer) -> bool:
    return (answer.field("content-type") or "").startswith("multipart/byteranges")


def _content(answer: Answer) -> object:
    if _is_multipart(answer):
        parts = parts_of(answer.field("content-type") or "", answer.content)
        return [(content_range, data) for _, content_range, data in parts]
    return answer.content


def _resolved(case: Case, answer: Answer) -> str:
    """Path and query that a Location leads to: one is absolute, the other relative."""
    found = urlsplit(urljoin(f"http://localhost{case.target}", answer.field("location") or ""))
    return f"{found.path}?{found.query}"


# -- named differences -------------------------------------------------------------------------


class Difference(NamedTuple):
    """Where we are not nginx: what of the answer, when, and why."""

    name: str
    about: frozenset[str] | None  # None: the answers are of different kinds
    when: Callable[[Case, Answer, Answer], bool]
    why: str


def _about(*names: str) -> frozenset[str]:
    return frozenset(names)


def _specs(case: Case) -> list[tuple[str, str]]:
    return re.findall(r"(\d*)-(\d*)", case.get("Range").partition("=")[2])


def _is_malformed(value: str) -> bool:
    """A Range whose unit is bytes and whose set is none (§14.1.1), or runs backwards."""
    if not value.lower().startswith("bytes="):
        return False
    specs = [spec.strip() for spec in value[6:].split(",") if spec.strip()]
    if value[6:].startswith(" "):
        return True
    for spec in specs:
        match = re.fullmatch(r"(\d+)-(\d*)|-\d+", spec)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            return True
    return not specs


def _overlaps(case: Case, complete: int) -> bool:
    taken: set[int] = set()
    for first, last in _specs(case):
        if first:
            span = range(int(first), min(int(last or complete), complete - 1) + 1)
        else:
            span = range(max(0, complete - int(last or 0)), complete)
        if not taken.isdisjoint(span):
            return True
        taken |= set(span)
    return False


def _path(case: Case) -> str:
    return case.target.partition("?")[0]


def _size(case: Case) -> int:
    name = _path(case).lstrip("/")
    return len(SITE.get(f"{name}index.html" if name[-1:] in ("", "/") else name, b""))


DIFFERENCES = [
    Difference(
        "OPTIONS is answered",
        None,
        lambda case, theirs, ours: case.method == "OPTIONS" and ours.status == 204,
        "§9.3.7: it asks what can be done here; a static server can say it",
    ),
    Difference(
        "405 says what is allowed",
        _about("allow"),
        lambda case, theirs, ours: ours.field("allow") == "GET, HEAD, OPTIONS",
        "§15.5.6: Allow MUST be sent",
    ),
    Difference(
        "the method is judged first",
        _about("status", "allow", "location"),
        lambda case, theirs, ours: case.method not in ("GET", "HEAD") and ours.status == 405,
        "§9.1: the method is not allowed wherever the target leads",
    ),
    Difference(
        "HEAD ignores Range",
        None,
        lambda case, theirs, ours: (
            case.method == "HEAD"
            and case.has("Range")
            and theirs.status in (206, 416)
            and ours.status == 200
        ),
        "§14.2: Range is defined for GET; on another method it MUST be ignored",
    ),
    Difference(
        "a directory without index is not there",
        None,
        lambda case, theirs, ours: _path(case) in ("/bare", "/bare/") and ours.status == 404,
        "§15.5.4: 403 would tell that there is something",
    ),
    Difference(
        "dotfiles are not there",
        None,
        lambda case, theirs, ours: "/." in _path(case) and ours.status == 404,
        "§17.3: what is there by accident is not disclosed",
    ),
    Difference(
        "no second spelling: nothing is normalised",
        None,
        lambda case, theirs, ours: (
            re.search(r"//|\.\.|%2e|%2f|%5c|\\|%ff|%01", _path(case), re.I) is not None
            and ours.status in (400, 404)
        ),
        "RFC 3986 §6: we take the lowest rung, so that filters in front see what the disk sees",
    ),
    Difference(
        "a dot segment leads to the canonical path",
        None,
        lambda case, theirs, ours: "/./" in _path(case) and ours.status == 308,
        "RFC 3986 §6.2.2.3: the client should have removed it; it learns the right name",
    ),
    Difference(
        "If-Match outranks If-Unmodified-Since",
        None,
        lambda case, theirs, ours: (
            case.has("If-Match") and case.has("If-Unmodified-Since") and theirs.status == 412
        ),
        "§13.1.4: MUST ignore the date if the request contains If-Match",
    ),
    Difference(
        "If-None-Match outranks If-Modified-Since",
        None,
        lambda case, theirs, ours: (
            case.has("If-None-Match")
            and case.get("If-Modified-Since") not in ("", "{same}")
            and ours.status == 304
        ),
        "§13.1.3: MUST ignore the date if the request contains If-None-Match",
    ),
    Difference(
        "a later date is not older than ours",
        None,
        lambda case, theirs, ours: (
            case.get("If-Modified-Since") == "{after}"
            and not case.has("If-None-Match")
            and ours.status == 304
        ),
        "§13.1.3: false if the modification date is earlier or equal; nginx compares for equality",
    ),
    Difference(
        "what is no date is ignored",
        None,
        lambda case, theirs, ours: (
            case.get("If-Unmodified-Since") == "nonsense" and theirs.status == 412
        ),
        "§13.1.4: MUST ignore the field if its value is no valid HTTP-date",
    ),
    Difference(
        "304 repeats no Last-Modified beside a tag",
        _about("last-modified"),
        lambda case, theirs, ours: ours.status == 304 and ours.field("last-modified") is None,
        "§15.4.5: SHOULD NOT send representation metadata other than what guides the cache",
    ),
    Difference(
        "a malformed Range is ignored",
        None,
        lambda case, theirs, ours: (
            _is_malformed(case.get("Range")) and theirs.status in (206, 416) and ours.status == 200
        ),
        "§14.2: MAY be ignored or rejected; who is ignored gets what it needs",
    ),
    Difference(
        "a part tells that parts can be asked for",
        _about("accept-ranges"),
        lambda case, theirs, ours: ours.status == 206 and ours.field("accept-ranges") == "bytes",
        "§14.3: MAY be sent; who lost the first answer needs it",
    ),
    Difference(
        "nothing of an empty file is satisfiable",
        None,
        lambda case, theirs, ours: (
            _path(case) == "/empty.txt" and (theirs.status, ours.status) == (200, 416)
        ),
        "§14.1.2: satisfiable needs a first-pos below the current length",
    ),
    Difference(
        "overlapping ranges become one",
        None,
        lambda case, theirs, ours: (
            theirs.status == 206 and ours.status == 206 and _overlaps(case, _size(case))
        ),
        "§15.3.7.2: MAY coalesce; no byte is sent twice",
    ),
    Difference(
        "too many ranges are ignored",
        None,
        lambda case, theirs, ours: (
            len(_specs(case)) > 32 and (theirs.status, ours.status) == (206, 200)
        ),
        "§14.2: ignore what looks like an attack",
    ),
    Difference(
        "any coding is one we have",
        None,
        lambda case, theirs, ours: (
            case.get("Accept-Encoding") == "*" and ours.field("content-encoding") == "gzip"
        ),
        "§12.5.3: * matches every coding that is not listed",
    ),
    Difference(
        "x-gzip is gzip",
        None,
        lambda case, theirs, ours: (
            case.get("Accept-Encoding") == "x-gzip" and ours.field("content-encoding") == "gzip"
        ),
        "§8.4.1.3: SHOULD be considered equivalent",
    ),
    Difference(
        "weights are compared",
        None,
        lambda case, theirs, ours: (
            case.get("Accept-Encoding") == "identity, gzip;q=0.5"
            and ours.field("content-encoding") is None
        ),
        "§12.5.3: the one with the highest non-zero weight is preferred",
    ),
    Difference(
        "a stale sidecar is never served",
        None,
        lambda case, theirs, ours: (
            _path(case) == "/stale.js" and ours.field("content-encoding") is None
        ),
        "§8.4: a coding of other bytes is not a coding of this representation",
    ),
    Difference(
        "a sidecar has ranges as well",
        None,
        lambda case, theirs, ours: (
            theirs.field("content-encoding") == "gzip" and theirs.field("accept-ranges") is None
        ),
        "§14.2: ranges are of the selected representation, and its bytes are as stable as others",
    ),
    Difference(
        "a sidecar without original is decoded",
        None,
        lambda case, theirs, ours: (
            _path(case) == "/lone.js" and theirs.status == 404 and ours.status != 404
        ),
        "§12.5.3: identity is acceptable, and can be made",
    ),
]


# -- requests ----------------------------------------------------------------------------------

TARGETS = [
    *("/", "/index.html", "/plain.txt", "/empty.txt", "/big.bin", "/app.js", "/stale.js"),
    *("/lone.js", "/app.js.gz", "/archive.tar.gz", "/docs/", "/docs", "/docs?a=%20b&c", "/bare/"),
    *("/bare", "/bare/file.txt", "/docs/%C3%A9t%C3%A9.html", "/with%20space.txt", "/%70lain.txt"),
    *("/missing", "/missing/", "/plain.txt/", "/plain.txt/x", "/plain.txt?query", "/PLAIN.TXT"),
    *("/.hidden", "//plain.txt", "/docs//index.html", "/./plain.txt", "/docs/../plain.txt"),
    *("/docs/%2e%2e/plain.txt", "/docs%2Findex.html", "/docs%5Cindex.html", "/docs\\index.html"),
    *("/%ff", "/%01", "/%00", "/%zz", "/a%", "/../etc/passwd", "/..%2f..%2fetc/passwd"),
]
ORDINARY = ["/plain.txt", "/big.bin", "/app.js", "/index.html", "/empty.txt", "/docs/"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
CHOICES: dict[str, list[str]] = {
    "Accept-Encoding": [
        *("gzip", "gzip, br", "br", "gzip;q=0", "gzip;q=0.5", "identity", "*", "x-gzip", "GZIP"),
        *("identity, gzip;q=0.5", "identity;q=0", "deflate, gzip;q=1.0", ""),
    ],
    "If-Match": ["{tag}", '"other"', "*", '"other", {tag}', "W/{tag}", "nonsense"],
    "If-None-Match": ["{tag}", '"other"', "*", '"other", {tag}', "W/{tag}", "nonsense"],
    "If-Modified-Since": ["{same}", "{before}", "{after}", "nonsense"],
    "If-Unmodified-Since": ["{same}", "{before}", "{after}", "nonsense"],
    "Range": [
        *("bytes=0-0", "bytes=0-", "bytes=5-10", "bytes=-5", "bytes=-0", "bytes=-99999999"),
        *("bytes=10-99999999", "bytes=99999999-", "bytes=0-0,-1", "bytes=0-1,5-6,9-", "bytes=5-4"),
        *("bytes=9-12,0-3", "bytes=0-9,5-14", "bytes=0-1,99999999-", "bytes=0-,0-", "items=0-1"),
        *("bytes=", "bytes=a-b", "bytes=0-0-0", "BYTES=0-4", "bytes= 0-1 , 3-4"),
        "bytes=" + ",".join(f"{i * 4}-{i * 4}" for i in range(40)),
    ],
    "If-Range": ["{tag}", '"other"', "W/{tag}", "nonsense"],
}


def cases() -> list[Case]:
    """Each value alone on each ordinary target, then mixtures; the same at every run."""
    found = [Case(method, target) for method in METHODS for target in TARGETS]
    found += [
        Case(method, target, ((name, value),))
        for target in ORDINARY
        for method in ("GET", "HEAD")
        for name, values in CHOICES.items()
        for value in values
    ]
    found.append(Case("GET", "/stale.js", (("Accept-Encoding", "gzip"),)))
    chance = random.Random(SEED)
    return found + [_mixture(chance) for _ in range(GENERATED)]


def _mixture(chance: random.Random) -> Case:
    target = chance.choice(ORDINARY if chance.random() < 0.7 else TARGETS)
    names = chance.sample(sorted(CHOICES), chance.choice([1, 2, 2, 3, 4]))
    if "If-Range" in names and "Range" not in names:
        names.append("Range")
    fields = tuple((name, chance.choice(CHOICES[name])) for name in names)
    return Case(chance.choice(["GET", "GET", "HEAD"]), target, fields)


# -- the comparison ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["HTTP/1.1", pytest.param("HTTP/2", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "setup", [pytest.param("hypercorn-no-direct", marks=pytest.mark.slow), "serve"]
)
def test_we_answer_as_nginx_does_or_say_why(
    nginx: dict[str, int], root: Path, setup: str, version: str
) -> None:
    unexplained: list[str] = []
    occurred: set[str] = set()
    with (
        serving(setup, root, etag="content") as server,
        Client(nginx[version], version) as them,
        Client(server.port, version) as us,
    ):
        for case in cases():
            theirs, ours = them.ask(case), us.ask(case)
            differing = _differing(view(theirs, case), view(ours, case))
            left, reasons = _explain(case, theirs, ours, differing)
            occurred |= reasons
            if left:
                unexplained.append(f"{case}: {left}")
    assert not unexplained, f"{len(unexplained)} of them:\n" + "\n".join(unexplained[:40])
    never = {difference.name for difference in DIFFERENCES} - occurred
    assert not never, f"named, but did not occur: {never}"


def _differing(theirs: View, ours: View) -> dict[str, tuple[object, object]]:
    names = sorted(theirs.keys() | ours.keys())
    pairs = {name: (theirs.get(name), ours.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _explain(
    case: Case, theirs: Answer, ours: Answer, differing: dict[str, tuple[object, object]]
) -> tuple[dict[str, str], set[str]]:
    """Take away what a named difference is about; return what is left, and the names used."""
    left, used = dict(differing), set()
    for difference in DIFFERENCES:
        about = left.keys() if difference.about is None else left.keys() & difference.about
        if about and difference.when(case, theirs, ours):
            used.add(difference.name)
            left = {name: pair for name, pair in left.items() if name not in about}
    return {name: f"nginx {pair[0]!r:.60}, we {pair[1]!r:.60}" for name, pair in left.items()}, used


def test_there_are_several_hundred_requests_of_every_kind() -> None:
    found = cases()
    assert len(found) > 1000
    assert {case.method for case in found} == set(METHODS)
    assert {case.target for case in found} == set(TARGETS)
    for name, values in CHOICES.items():
        assert {case.get(name) for case in found if case.has(name)} == set(values)


def test_differences_are_named_once_and_say_why() -> None:
    names = [difference.name for difference in DIFFERENCES]
    assert len(names) == len(set(names))
    for difference in DIFFERENCES:
        assert "§" in difference.why, difference.name
