"""Overlays: the first root that has the file wins, whatever was cached before, under every entry."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from urllib.parse import urljoin

import pytest

from asyncstatic import StaticFiles
from tests.asgi import ask
from tests.serve.inside import serving_inside
from tests.support.site import write_site

Paths = list[str | os.PathLike[str]]
OLD = 1_600_000_000
FILES = {
    "top/about/index.html": b"directory of top",
    "top/x/index.html": b"x of top",
    "top/one.html": b"one of top",
    "top/plain": b"plain of top",
    "base/about.html": b"file of base",
    "base/x/index.htm": b"x of base",
    "base/one/index.html": b"one of base",
    "base/plain.html": b"page of base",
    "base/alone.html": b"alone",
    "base/d/index.html": b"d",
    "base/y.txt": b"y of base",
}
INDEX = ("index.htm", "index.html")


@pytest.fixture
def roots(tmp_path: Path) -> Paths:
    write_site(tmp_path, FILES)
    for path in tmp_path.rglob("*"):
        os.utime(path, (OLD, OLD))
    return [tmp_path / "top", tmp_path / "base"]


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "portable"])
def test_a_file_that_appears_above_counts_at_once(roots: Paths, direct: bool) -> None:
    """Also where the answer with the file below was prepared."""
    above = Path(roots[0], "y.txt")
    time.sleep(0.03)  # a tick of the file system's clock: from then on answers are cached
    with serving_inside(StaticFiles(roots), direct=direct) as server, server.connect() as client:
        assert {client.get("/y.txt").content for _ in range(4)} == {b"y of base"}
        for content in (b"y of top", b"y of top, again"):
            above.write_bytes(content)
            assert {client.get("/y.txt").content for _ in range(4)} == {content}
        above.unlink()
        assert {client.get("/y.txt").content for _ in range(4)} == {b"y of base"}


# target -> status and content or Location: auto, always, never.
TABLE = [
    ("/about", "./about/", "./about/", b"directory of top"),
    ("/about/", b"directory of top", b"directory of top", "../about"),
    ("/about.html", b"file of base", b"file of base", b"file of base"),
    ("/x/", b"x of top", b"x of top", "../x"),
    ("/x/index.htm", b"x of base", b"x of base", b"x of base"),
    ("/one", b"one of top", "./one/", b"one of top"),
    ("/one/index.html", b"one of base", b"one of base", b"one of base"),
    ("/plain.html", b"page of base", "./plain/", b"page of base"),
    ("/alone.html", "./alone", "./alone/", "./alone"),
    ("/alone/", "../alone", b"alone", "../alone"),
    ("/d/index.html", "./", "./", "../d"),
    ("/d/", b"d", b"d", "../d"),
]
POLICIES = ("auto", "always", "never")


@pytest.mark.parametrize("cache_bytes", [0, 1_000_000], ids=["no cache", "cached"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_no_redirect_leads_to_a_page_of_another_root(
    roots: Paths, policy: str, cache_bytes: int
) -> None:
    static = await asyncio.to_thread(
        lambda: StaticFiles(
            roots,
            clean_urls=True,
            trailing_slash=policy,  # type: ignore[arg-type]  # one of its literals
            index=INDEX,
            cache_bytes=cache_bytes,
        )
    )
    for target, *expected in TABLE:
        for _ in range(3):
            reply = await ask(static, target)
            outcome = reply.body if reply.status == 200 else reply.headers.get("location")
            assert outcome == expected[POLICIES.index(policy)], target
        if reply.status == 301:
            there = await ask(static, urljoin(target, reply.headers["location"]))
            assert there.status == 200
