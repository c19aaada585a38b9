"""Hostile request targets over the wire: no foreign byte, no 5xx, no silence, no handle left."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

import pytest

from tests.support.raw import Answer, EndedError, ProtocolError, head
from tests.support.servers import Server, serving
from tests.support.site import write_site

FOREIGN = b"foreign octets"
PUBLIC = {
    "index.html": b"public index",
    "file.txt": b"public file",
    "docs/index.html": b"public docs",
    "docs/file.txt": b"public docs file",
    ".well-known/x": b"public well-known",
}
PRIVATE = {
    "../secret.txt": FOREIGN,
    "../site-private/secret.txt": FOREIGN,
    "../site.bak": FOREIGN,
    ".hidden": FOREIGN,
    ".git/config": FOREIGN,
    "docs/.hidden": FOREIGN,
}
_LINKS_OUT = {"out.txt": "../secret.txt", "out": "..", "docs/out": "../..", "root": "/"}

_PARENTS = (
    *("..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%25252e.", "%c0%ae%c0%ae", "%e0%80%ae."),
    *("%u002e%u002e", "..;", "..%00", "..%20", "..%09", "...", "%f0%80%80%ae.", "%uff0e%uff0e"),
)
_SLASHES = ("/", "%2f", "%2F", "\\", "%5c", "%252f", "%c0%af", "//", "/./", "%e2%88%95", "%00/")
_FRONTS = ("/", "/docs/", "//", "/%2f", "/out/", "http://localhost/")
_VICTIMS = ("secret.txt", "site-private/secret.txt", "../../../../../etc/passwd")

_SINGLE = (
    *("/out.txt", "/out/secret.txt", "/docs/out/secret.txt", "/root/etc/passwd", "/out/"),
    *("/.hidden", "/%2ehidden", "/.git/config", "/%2egit/config", "/docs/.hidden", "/./.hidden"),
    *("/-private/secret.txt", "/../site-private/secret.txt", "/..site-private", "-private/secret"),
    *("/file.txt/", "/file.txt/..", "/file.txt/../.hidden", "/docs/file.txt/x", "/file.txt%00.png"),
    *("/file.txt%0a", "/file.txt%0d%0aX:%20y", "/file.txt%7f", "/file.txt%c2%80", "/%ff", "/%"),
    *("/%2", "/%zz", "/%%", "/%2%65", "/%-1", "/%+2", "/%e", "/file.txt%", "/a%2", "/%u0061"),
    *(
        "/~root/",
        "/con",
        "/aux.txt",
        "/file.txt::$DATA",
        "/file.txt:x",
        "/FILE~1.TXT",
        "/file.txt.",
    ),
    *("/FILE.TXT", "/file.txt%20", "/%EF%BC%8Fetc", "/file%E2%80%8B.txt", "/;/file.txt", "/*"),
    *("/proc/self/environ", "/dev/stdin", "/dev/fd/3", "//localhost/file.txt", "//etc/passwd"),
    *("http://localhost", "http://other/../secret.txt", "https://x/%2e%2e/secret.txt", "*"),
    *("file:///etc/passwd", "ftp://x/file.txt", "localhost:80", "http:file.txt", "?", "file.txt"),
    *("/?/../../secret.txt", "/#/../secret.txt", "/file.txt#x", "/" + "a" * 300, "/" + "a/" * 300),
    *("/" + "../" * 300 + "secret.txt", "/" + "%2e%2e/" * 300 + "etc/passwd", "/" + "%41" * 4000),
    *("/" + "x" * 5000, "/\x80\x81", "/\xe9", "/\x7f", "/file.txt\x0bx", "/a\x00b", "/a\tb"),
)


def targets() -> Iterator[str]:
    """Every hostile target, latin-1."""
    yield from _SINGLE
    for front, parent, slash, victim in product(_FRONTS, _PARENTS, _SLASHES, _VICTIMS):
        yield f"{front}{parent}{slash}{victim}"


def mutations(seed: int, count: int) -> Iterator[str]:
    """Targets put together at random from what has meaning to some parser."""
    chance = random.Random(seed)
    pieces = (*_PARENTS, *_SLASHES, "file.txt", "secret.txt", "docs", "out", "?", "%", ".", "\xff")
    for _ in range(count):
        yield "/" + "".join(chance.choices(pieces, k=chance.randint(1, 9)))


@pytest.fixture(scope="module")
def guarded(setup: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = write_site(tmp_path_factory.mktemp("guarded") / "site", {**PUBLIC, **PRIVATE})
    for name, leads_to in _LINKS_OUT.items():
        (root / name).symlink_to(leads_to)
    (root / "docs" / "inside").symlink_to("../file.txt")
    with serving(setup, root) as server:
        yield server


def ask(server: Server, target: str) -> Answer | str:
    """The answer, or what went wrong."""
    with server.connect() as connection:
        connection.send(head(target, "Connection: close"))
        try:
            return connection.read()
        except (EndedError, ProtocolError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"


def objection(answer: Answer | str) -> str | None:
    """What is wrong with an answer to a hostile target; None when nothing is."""
    if isinstance(answer, str):
        return answer
    if FOREIGN in answer.content or b"root:" in answer.content:
        return "foreign bytes"
    if answer.status >= 500 or not answer.complete:
        return f"status {answer.status}, complete {answer.complete}"
    if answer.status == 200 and answer.content not in PUBLIC.values():
        return f"unknown content {answer.content[:40]!r}"
    return None


def objections(server: Server, asked: Iterator[str]) -> list[tuple[str, str]]:
    found = ((target, objection(ask(server, target))) for target in asked)
    return [(target, problem) for target, problem in found if problem is not None]


def test_the_guarded_site_is_served(guarded: Server) -> None:
    assert guarded.fetch("/file.txt").content == PUBLIC["file.txt"]
    assert guarded.fetch("/docs/inside").content == PUBLIC["file.txt"]


@pytest.mark.slow
def test_no_hostile_target_gets_foreign_bytes(guarded: Server) -> None:
    before = guarded.settled_handles(0, seconds=1.0)
    assert objections(guarded, targets()) == []
    assert guarded.settled_handles(before, seconds=8.0) <= before


@pytest.mark.parametrize("seed", range(3))
def test_no_random_target_gets_foreign_bytes(guarded: Server, seed: int) -> None:
    assert objections(guarded, mutations(seed, 300)) == []


def test_foreign_bytes_would_be_noticed() -> None:
    assert objection(Answer(200, (), FOREIGN)) == "foreign bytes"
    assert objection(Answer(200, (), b"else")) is not None
    assert objection(Answer(500, (), b"")) is not None
    assert objection("TimeoutError: timed out") is not None
    assert len(set(targets())) > 3000
