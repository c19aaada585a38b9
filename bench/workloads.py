"""The work: what is asked for, with which header fields, and what the right answer is.

A name is a base and variants: `1k`, `304+browser`, `64k+https`, `1k+h2`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.client import fetch, request_bytes
from bench.load import H2_STREAMS
from bench.native import handle_limit
from bench.site import COMPRESSED_NAME, KIB, MIB, SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.client import Answer, Fields
    from bench.contenders import Contender
    from bench.servers import Server
    from bench.site import Site

USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)

# What Chromium sends for a script, with Host the fifteen fields of a same-origin request.
BROWSER_FIELDS: Fields = (
    ("Connection", "keep-alive"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("User-Agent", USER_AGENT),
    ("sec-ch-ua", '"Chromium";v="140", "Not=A?Brand";v="24"'),
    ("DNT", "1"),
    ("sec-ch-ua-mobile", "?0"),
    ("Accept", "*/*"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "no-cors"),
    ("Sec-Fetch-Dest", "script"),
    ("Referer", "http://127.0.0.1/"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
    ("Cookie", "session=5f2b8c1d9e7a4036; theme=dark"),
)  # fmt: skip

CONNECTIONS, LARGE_CONNECTIONS = 32, 4
VISITORS = 1000
SAMPLED_FILES = 50
COLD_FILES = 500
SPARE_HANDLES = 128  # for connections, and what a server holds beside them
RANGE_START, RANGE_SIZE = 5_000_000, 64 * KIB


class UnofferedError(Exception):
    """The contender does not do this: it answered properly, but otherwise."""


class WrongAnswerError(Exception):
    """The answer is wrong; nothing that follows from it may be timed."""


@dataclass(frozen=True)
class Work:
    """One kind of request.

    `paths` are asked for in turn; `part` is the byte range wanted; `coding` the content-coding;
    `revalidates` adds the validators of a first answer; `visitors` is how many different cookies
    there are; a `cold` work asks for each path once, after dropping it from the page cache.
    """

    name: str
    title: str
    paths: tuple[str, ...]
    fields: Fields = ()
    status: int = 200
    coding: str | None = None
    part: slice | None = None
    revalidates: bool = False
    visitors: int = 1
    connections: int = CONNECTIONS
    tls: bool = False
    http2: bool = False
    cold: bool = False

    @property
    def at_once(self) -> int:
        """How many answers may be on their way at any time."""
        return self.connections * (H2_STREAMS if self.http2 else 1)


@dataclass(frozen=True)
class Prepared:
    """Work made ready for one server: checked, and as octets."""

    requests: tuple[bytes, ...]
    fields: Fields
    wire_size: int
    content_size: int

    @property
    def is_large(self) -> bool:
        """Whether the content is large enough to be counted in octets."""
        return self.content_size >= MIB


def base_works(site: Site) -> dict[str, Work]:
    """Return the base works on one document root, by name."""
    shuffled = list(site.many)
    random.Random(SEED).shuffle(shuffled)  # noqa: S311 - the same order for every contender
    last = RANGE_START + RANGE_SIZE - 1
    return {
        work.name: work
        for work in (
            Work("1k", "1 KiB", ("/1k.js",)),
            Work("64k", "64 KiB", ("/64k.js",)),
            Work("10m", "10 MiB", ("/10m.bin",), connections=LARGE_CONNECTIONS),
            Work("100m", "100 MiB", ("/100m.bin",), connections=LARGE_CONNECTIONS),
            Work("304", "not modified", ("/1k.js",), status=304, revalidates=True),
            Work(
                "range", "64 KiB of 10 MiB", ("/10m.bin",),
                (("Range", f"bytes={RANGE_START}-{last}"),),
                status=206, part=slice(RANGE_START, last + 1),
            ),
            Work(
                "precompressed", "precompressed", (f"/{COMPRESSED_NAME}",),
                (("Accept-Encoding", "gzip"),), coding="gzip",
            ),
            Work("miss", "not found", ("/no/such/file.js",), status=404),
            Work("cold", "cold file", site.cold, cold=True),
            Work("files", f"{len(shuffled):,} files", tuple(shuffled)),
        )
    }  # fmt: skip


def with_browser(work: Work) -> Work:
    """Send a browser's header fields; the work's own take precedence."""
    own = {name.lower() for name, _ in work.fields}
    more = tuple(field for field in BROWSER_FIELDS if field[0].lower() not in own)
    return replace(work, title=f"{work.title}, browser", fields=more + work.fields)


def with_visitors(work: Work) -> Work:
    """Send a browser's fields with a thousand different cookies: no two header blocks alike."""
    visited = with_browser(work)
    return replace(visited, title=f"{work.title}, {VISITORS:,} visitors", visitors=VISITORS)


def with_https(work: Work) -> Work:
    """Go over TLS."""
    return replace(work, title=f"{work.title}, HTTPS", tls=True)


def with_http2(work: Work) -> Work:
    """Go over HTTP/2, which means over TLS."""
    return replace(work, title=f"{work.title}, HTTP/2", tls=True, http2=True, connections=4)


VARIANTS: dict[str, Callable[[Work], Work]] = {
    "browser": with_browser,
    "visitors": with_visitors,
    "https": with_https,
    "h2": with_http2,
}


def parse_work(name: str, bases: dict[str, Work]) -> Work:
    """Return the work that `name` means.

    Raises:
        KeyError: an unknown base or variant.
    """
    base, *variants = name.split("+")
    work = bases[base]
    for variant in variants:
        work = VARIANTS[variant](work)
    return replace(work, name=name)


def prepare(server: Server, work: Work, site: Site) -> Prepared:
    """Fetch and check what is about to be timed, and return the requests to time it with.

    Raises:
        UnofferedError: the contender answers properly but has not got this feature.
        WrongAnswerError: status or octets are wrong.
    """
    fields = work.fields
    if work.revalidates:
        fields += _validators(fetch(server.port, _target(server, work), tls=server.tls))
    answers = [_checked(server, work, site, path, fields) for path in _sample(work)]
    wire_size = max(answer.wire_size for answer in answers)
    return Prepared(_requests(server, work, fields), fields, wire_size, len(answers[0].content))


def within_handles(work: Work, contender: Contender) -> Work:
    """Ask a server that holds files open for no more of them than it may have descriptors."""
    room = handle_limit() - SPARE_HANDLES
    if not contender.holds_open or len(work.paths) <= room:
        return work
    return replace(work, paths=work.paths[:room])


def _sample(work: Work) -> Sequence[str]:
    """Return the paths to check; of a cold work the last ones, which no turn asks for."""
    if work.cold:
        return work.paths[-SAMPLED_FILES:]
    return work.paths[:: max(1, len(work.paths) // SAMPLED_FILES)]


def _target(server: Server, work: Work) -> str:
    return server.contender.prefix + work.paths[0]


def _requests(server: Server, work: Work, fields: Fields) -> tuple[bytes, ...]:
    """Return the octets of each request: every path, and for every visitor a cookie."""
    prefix = server.contender.prefix
    if work.visitors == 1:
        paths = (prefix + path for path in work.paths)
        return tuple(request_bytes(server.port, path, fields) for path in paths)
    others = tuple(field for field in fields if field[0] != "Cookie")
    cookies = ((*others, ("Cookie", f"session={n:016x}")) for n in range(work.visitors))
    return tuple(request_bytes(server.port, _target(server, work), own) for own in cookies)


def _validators(answer: Answer) -> Fields:
    """Return the conditional fields a cache would send after `answer`."""
    pairs = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
    found = tuple((name, answer.fields[field]) for name, field in pairs if field in answer.fields)
    if not found:
        raise UnofferedError("sends no validator")
    return found


def _checked(server: Server, work: Work, site: Site, path: str, fields: Fields) -> Answer:
    """Fetch `path` and compare status, coding and every octet with the file."""
    target = server.contender.prefix + path
    answer = fetch(server.port, target, fields, tls=server.tls)
    if answer.status == work.status == 404:
        return answer
    if answer.status == 200 and work.status in (206, 304):
        raise UnofferedError("answers 200")
    if answer.status != work.status:
        raise WrongAnswerError(f"{target}: status {answer.status} instead of {work.status}")
    coding = answer.fields.get("content-encoding")
    if coding != work.coding and answer.content == site.read(path):
        raise UnofferedError("sends the file uncompressed")
    if answer.content != _expected(work, site, path):
        raise WrongAnswerError(f"{target}: {len(answer.content)} octets that are not the file's")
    return answer


def _expected(work: Work, site: Site, path: str) -> bytes:
    if work.status == 304:
        return b""
    if work.coding:
        return site.read(f"{path}.gz")
    content = site.read(path)
    return content[work.part] if work.part else content
