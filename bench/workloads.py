"""The work: what is asked for, with which header fields, and what the right answer is.

A name is a base and variants: `1k`, `304+browser`, `200+new+query`, `1k+h2`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING

from bench.client import TOKEN, fetch, first_number, numbered, request_bytes
from bench.load import H2_STREAMS
from bench.native import handle_limit
from bench.site import COMPRESSED_NAME, KIB, MIB, SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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

# What differs from visitor to visitor and from page to page. Chromium has some twenty values of
# Sec-Fetch-Dest; here every request has its own.
VISITOR_FIELDS: Fields = (
    ("Sec-Fetch-Dest", f"script-{TOKEN}"),
    ("Referer", f"http://127.0.0.1/pages/{TOKEN}"),
    ("Cookie", f"session={TOKEN}; theme=dark"),
)

CONNECTIONS, LARGE_CONNECTIONS, VISITOR_CONNECTIONS = 32, 4, 16
VISITED_FILES = 200
SAMPLED_FILES = 50
COLD_FILES = 500
SPARE_HANDLES = 128  # for connections, and what a server holds beside them
RANGE_START, RANGE_SIZE = 5_000_000, 64 * KIB

# Who takes part in the rows that only a file server can answer in time.
FILE_SERVERS = frozenset({"asyncstatic-serve", "nginx", "nginx-cache", "caddy", "lighttpd"})


class UnofferedError(Exception):
    """The contender does not do this: it answered properly, but otherwise."""


class WrongAnswerError(Exception):
    """The answer is wrong; nothing that follows from it may be timed."""


@dataclass(frozen=True)
class Work:
    """One kind of request.

    `paths` are asked for in turn; `part` is the byte range wanted; `coding` the content-coding;
    `revalidates` adds the validators of a first answer; with `tags` each path is asked for with
    its own entity tag, then with an unknown one. A `cold` work asks for each path once, after
    dropping it from the page cache. A work with a `visit` asks for each path once in a new process,
    for the first or the second time. A `paced` work has a third of the reference's rate. `among`
    are those who take part, or empty for all.
    """

    name: str
    title: str
    paths: tuple[str, ...]
    fields: Fields = ()
    status: int = 200
    coding: str | None = None
    part: slice | None = None
    revalidates: bool = False
    tags: bool = False
    connections: int = CONNECTIONS
    tls: bool = False
    http2: bool = False
    cold: bool = False
    visit: int = 0
    paced: bool = False
    among: frozenset[str] = frozenset()

    @property
    def at_once(self) -> int:
        """The largest number of answers on their way at any time."""
        return self.connections * (H2_STREAMS if self.http2 else 1)

    @property
    def is_new(self) -> bool:
        """Whether no request is sent twice."""
        texts = (*self.paths[:1], *(value for _, value in self.fields))
        return self.tags or any(TOKEN in text for text in texts)


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
    flat = list(site.flat)
    random.Random(SEED).shuffle(flat)  # noqa: S311 - the same order for every contender
    visited, few = tuple(flat), partial(Work, connections=VISITOR_CONNECTIONS)
    return {
        work.name: work
        for work in (
            few("200", "1 KiB, 200 files", site.many[:VISITED_FILES]),
            few(
                "tags", "304 and 200 by its own If-None-Match", site.many[:VISITED_FILES],
                tags=True,
            ),
            few("misses", "not found, every name new", (f"/no/{TOKEN}.js",), status=404),
            few(
                "first", f"first visit of {len(flat):,} files", visited,
                visit=1, among=FILE_SERVERS,
            ),
            few(
                "second", f"second visit of {len(flat):,} files", visited,
                visit=2, among=FILE_SERVERS,
            ),
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


def with_new_visitors(work: Work) -> Work:
    """Send a browser's fields, of which each request has its own Cookie, Referer and so on."""
    own = {name for name, _ in VISITOR_FIELDS}
    fields = tuple(field for field in with_browser(work).fields if field[0] not in own)
    return replace(work, title=f"{work.title}, every visitor new", fields=fields + VISITOR_FIELDS)


def with_query(work: Work) -> Work:
    """Give each request its own query."""
    paths = tuple(f"{path}?v={TOKEN}" for path in work.paths)
    return replace(work, title=f"{work.title}, own query", paths=paths)


def at_a_third(work: Work) -> Work:
    """Send a third of what the reference can answer, so that the server wakes for each request."""
    title = f"{work.title}, a third of nginx's rate"
    return replace(work, title=title, paced=True, among=FILE_SERVERS)


def with_https(work: Work) -> Work:
    """Go over TLS."""
    return replace(work, title=f"{work.title}, HTTPS", tls=True)


def with_http2(work: Work) -> Work:
    """Go over HTTP/2, which means over TLS."""
    return replace(work, title=f"{work.title}, HTTP/2", tls=True, http2=True, connections=4)


VARIANTS: dict[str, Callable[[Work], Work]] = {
    "browser": with_browser,
    "new": with_new_visitors,
    "query": with_query,
    "paced": at_a_third,
    "https": with_https,
    "h2": with_http2,
}


def parse_work(name: str, bases: dict[str, Work]) -> Work:
    """Return the work that `name` means.

    Raises:
        KeyError: an unknown base or variant, or h2load cannot send it.
    """
    base, *variants = name.split("+")
    work = bases[base]
    for variant in variants:
        work = VARIANTS[variant](work)
    if work.http2 and (work.paced or work.is_new):
        raise KeyError(name)
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
    asks = {path: tuple(_asks(server, work, path, fields)) for path in work.paths}
    answers = [
        _checked(server, replace(work, status=status), site, path, own)
        for path in _sample(work)
        for own, status in asks[path]
    ]
    return Prepared(
        tuple(
            request_bytes(server.port, server.contender.prefix + path, own)
            for path in work.paths
            for own, _ in asks[path]
        ),
        fields,
        round(mean(answer.wire_size for answer in answers)),
        max(len(answer.content) for answer in answers),
    )


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
    return numbered(server.contender.prefix + work.paths[0], first_number())


def _asks(server: Server, work: Work, path: str, fields: Fields) -> Iterator[tuple[Fields, int]]:
    """Yield the fields to ask for `path` with, and the status that is right."""
    if not work.tags:
        yield fields, work.status
        return
    target = numbered(server.contender.prefix + path, first_number())
    answer = fetch(server.port, target, tls=server.tls)
    if "etag" not in answer.fields:
        raise UnofferedError("sends no ETag")
    yield (*fields, ("If-None-Match", answer.fields["etag"])), 304
    yield (*fields, ("If-None-Match", f'"{TOKEN}"')), 200


def _validators(answer: Answer) -> Fields:
    """Return the conditional fields a cache would send after `answer`."""
    pairs = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
    found = tuple((name, answer.fields[field]) for name, field in pairs if field in answer.fields)
    if not found:
        raise UnofferedError("sends no validator")
    return found


def _checked(server: Server, work: Work, site: Site, path: str, fields: Fields) -> Answer:
    """Fetch `path` and compare status, coding and every octet with the file."""
    number = first_number()
    target = numbered(server.contender.prefix + path, number)
    sent = tuple((name, numbered(value, number)) for name, value in fields)
    answer = fetch(server.port, target, sent, tls=server.tls)
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
        return site.read(f"{path.partition('?')[0]}.gz")
    content = site.read(path)
    return content[work.part] if work.part else content
