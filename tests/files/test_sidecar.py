"""Sidecars in a tree that changes: never a stale one, and the fresh one as soon as it is proven."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest

from asyncstatic.files.cache import Cache
from asyncstatic.files.cached import CachedSource
from asyncstatic.files.decoding import decoder
from asyncstatic.files.source import Opened
from asyncstatic.http.model import Absence, Lookup
from asyncstatic.http.target import is_public
from asyncstatic.settings import Settings
from tests.files.conftest import Silent
from tests.support.trees import directory_source

pytestmark = pytest.mark.usefixtures("no_handle_leaks")

TODAY = b"<p>today's page, worth compressing " * 60
YESTERDAY = TODAY.replace(b"today's", b"another")
LARGE = b"".join(b"%d\n" % number for number in range(700_000))
BR, STALE_BR, GZ = brotli.compress(TODAY), brotli.compress(YESTERDAY), gzip.compress(TODAY, mtime=0)
A_TICK = 0.05  # seconds; longer than any clock tick of the kernel
THEN = 1_600_000_000 * 10**9
ANY = (("br", "zstd", "gzip"), ("identity",))


class Tree:
    """A directory, the cache in front of it, and what a client gets from it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        options: dict[str, Any] = {"index": ("first.html", "index.html"), "cache_file_bytes": 8192}
        self.settings = Settings(root, **options)
        allowed = partial(is_public, settings=self.settings)
        with ThreadPoolExecutor(1) as thread:
            self.directory = thread.submit(directory_source, self.settings, allowed).result()
        self.cache = Cache(1 << 20)
        self.cached = CachedSource(self.directory, self.cache)

    def write(self, **files: bytes) -> None:
        """Write in place; "_" in a name is a dot."""
        for name, content in files.items():
            (self.root / name.replace("_", ".")).write_bytes(content)

    def open_files(self) -> int:
        """Count the open files below the directory (proc(5)), those that are removed as well."""
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return sum(os.path.exists(f) and f"{self.root}/" in os.readlink(f) for f in links)

    async def find(self, *segments: str, codings: tuple[tuple[str, ...], ...] = ANY) -> Any:
        await asyncio.sleep(0)
        lookup = Lookup(segments, not segments, codings)
        found = self.cached.open_nowait(lookup)
        return await self.cached.open(lookup) if found is None else found

    async def ask(self, *segments: str) -> tuple[str, bytes] | Absence:
        found = await self.find(*segments)
        if not isinstance(found, Opened):
            assert isinstance(found, Absence)
            return found
        try:
            content = found.content
            if content is None:
                assert found.handle is not None
                content = await found.handle.read(0, found.representation.length)
            return found.representation.coding, content
        finally:
            found.close()

    async def remembered(self, *segments: str) -> bool:
        """Ask once more, and tell whether memory answered."""
        await self.ask(*segments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.cached, "_source", Silent())
            return self.cached.open_nowait(Lookup(segments, not segments, ANY)) is not None


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path)
    yield tree
    tree.cached.close()


# -- the faults that were seen ---------------------------------------------------------------------


async def test_a_page_whose_time_was_set_back_is_not_sent_as_its_old_sidecar(tree: Tree) -> None:
    """``rsync -a``, ``cp -p``, tar and SOURCE_DATE_EPOCH set times back."""
    tree.write(a_html=TODAY, a_html_br=STALE_BR)
    os.utime(tree.root / "a.html", ns=(THEN, THEN))
    time.sleep(A_TICK)
    for _ in range(3):
        assert await tree.ask("a.html") == ("identity", TODAY)


async def test_a_right_sidecar_is_sent_although_it_is_a_millisecond_older(tree: Tree) -> None:
    """After a parallel copy, or a sync from an object store."""
    tree.write(a_html=TODAY, a_html_br=BR)
    os.utime(tree.root / "a.html", ns=(THEN, THEN))
    os.utime(tree.root / "a.html.br", ns=(THEN - 10**6, THEN - 10**6))
    assert await tree.ask("a.html") == ("br", BR)


async def test_a_sidecar_that_is_being_written_is_not_sent(tree: Tree) -> None:
    """Compressors create it empty; others write it piece by piece."""
    tree.write(a_html=TODAY)
    path = tree.root / "a.html.br"
    path.write_bytes(b"")
    for end in range(0, len(BR), 7):
        path.write_bytes(BR[:end])
        assert await tree.ask("a.html") == ("identity", TODAY)
        time.sleep(0.002)
    path.write_bytes(BR)
    assert await tree.ask("a.html") == ("br", BR)


# -- what is remembered ----------------------------------------------------------------------------


async def test_a_refused_sidecar_that_becomes_right_is_sent_to_the_next_request(tree: Tree) -> None:
    """It is rewritten in place, so its directory does not change."""
    tree.write(a_html=TODAY, a_html_br=STALE_BR)
    time.sleep(A_TICK)
    assert await tree.ask("a.html") == ("identity", TODAY)
    assert await tree.remembered("a.html")
    with (tree.root / "a.html.br").open("r+b") as file:
        file.write(BR)
        file.truncate()
    assert await tree.ask("a.html") == ("br", BR)


async def test_one_refused_sidecar_leaves_the_others(tree: Tree) -> None:
    tree.write(a_html=TODAY, a_html_br=STALE_BR, a_html_gz=GZ)
    time.sleep(A_TICK)
    for _ in range(2):
        assert await tree.ask("a.html") == ("gzip", GZ)
    tree.write(a_html_br=BR)
    assert await tree.ask("a.html") == ("br", BR)


async def test_a_link_whose_target_appears_elsewhere_is_followed_by_the_next_request(
    tree: Tree,
) -> None:
    (tree.root / "store").mkdir()
    (tree.root / "a.html.br").symlink_to("store/a")
    tree.write(a_html=TODAY)
    time.sleep(A_TICK)
    assert await tree.ask("a.html") == ("identity", TODAY)
    (tree.root / "store/a").write_bytes(BR)
    assert await tree.ask("a.html") == ("br", BR)


async def test_a_sidecar_that_is_a_link_is_sent_while_it_leads_to_right_content(tree: Tree) -> None:
    (tree.root / "store").mkdir()
    (tree.root / "store/a").write_bytes(BR)
    (tree.root / "a.html.br").symlink_to("store/a")
    tree.write(a_html=TODAY)
    time.sleep(A_TICK)
    for _ in range(2):
        assert await tree.ask("a.html") == ("br", BR)
    (tree.root / "store/a").write_bytes(STALE_BR)
    assert await tree.ask("a.html") == ("identity", TODAY)


async def test_two_codings_that_are_one_file_are_told_apart(tree: Tree) -> None:
    tree.write(a_html=TODAY, a_html_br=BR)
    os.link(tree.root / "a.html.br", tree.root / "a.html.gz")
    for coding, expected in (("gzip", "identity"), ("br", "br"), ("gzip", "identity")):
        found = await tree.find("a.html", codings=((coding,), ("identity",)))
        assert found.representation.coding == expected


async def test_whatever_is_refused_the_answer_may_vary(tree: Tree) -> None:
    tree.write(a_html=TODAY, a_html_br=STALE_BR)
    found = await tree.find("a.html")
    assert found.representation.negotiable


# -- large files: in the background ----------------------------------------------------------------


@pytest.fixture
def begun() -> list[object]:
    """The proofs that have begun."""
    return []


@pytest.fixture
def held(begun: list[object], monkeypatch: pytest.MonkeyPatch) -> Event:
    """Proofs wait until this is set."""
    go = Event()

    def waiting(*args: Any, **options: Any) -> Any:
        begun.append(args)
        go.wait(10)
        return decoder(*args, **options)

    monkeypatch.setattr("asyncstatic.files.proof.decoder", waiting)
    return go


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_a_long_proof_holds_nobody_up_and_no_answer_outlives_it(
    tree: Tree, held: Event, begun: list[object]
) -> None:
    coded = brotli.compress(LARGE, quality=1)
    tree.write(a_txt=LARGE, a_txt_br=coded)
    time.sleep(A_TICK)
    for _ in range(3):
        assert await tree.ask("a.txt") == ("identity", LARGE)
        assert (await tree.find("a.txt", codings=(("identity",),))).close() is None
    held.set()
    async with asyncio.timeout(10):
        while (answer := await tree.ask("a.txt")) == ("identity", LARGE):
            await asyncio.sleep(0.005)
    assert answer == ("br", coded)
    assert len(begun) == 1


async def test_a_long_proof_that_fails_is_logged_once(
    tree: Tree, held: Event, caplog: pytest.LogCaptureFixture
) -> None:
    tree.write(a_txt=LARGE, a_txt_gz=gzip.compress(LARGE[:-1], 1, mtime=0))
    time.sleep(A_TICK)
    held.set()
    for _ in range(3):
        assert await tree.ask("a.txt") == ("identity", LARGE)
        await until(lambda: bool(caplog.records))
    assert [record.getMessage() for record in caplog.records] == [
        "sidecar a.txt.gz is not used: it decodes to less than its original"
    ]


async def test_a_file_that_goes_before_its_proof_ends_leaves_nothing(
    tree: Tree, held: Event
) -> None:
    tree.write(a_txt=LARGE, a_txt_br=brotli.compress(LARGE, quality=1))
    time.sleep(A_TICK)
    assert await tree.ask("a.txt") == ("identity", LARGE)
    await until(lambda: tree.open_files() == 2)  # those of the proof
    os.remove(tree.root / "a.txt")
    held.set()
    await until(lambda: tree.open_files() == 0)


# -- sidecars without an original ------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", BR[:-1], b"no brotli"], ids=["empty", "cut", "other"])
async def test_a_lone_sidecar_that_cannot_be_decoded_is_not_there(
    tree: Tree, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    tree.write(a_html_br=data)
    time.sleep(A_TICK)
    for _ in range(2):
        assert await tree.ask("a.html") is Absence.MISSING
    assert len(caplog.records) == 1
    tree.write(a_html_br=BR)  # in place: its directory does not change
    assert await tree.ask("a.html") == ("br", BR)


async def test_a_lone_sidecar_that_becomes_readable_is_sent(tree: Tree) -> None:
    tree.write(a_html_br=BR)
    os.chmod(tree.root / "a.html.br", 0)
    time.sleep(A_TICK)
    for _ in range(2):
        assert await tree.ask("a.html") is Absence.MISSING
    os.chmod(tree.root / "a.html.br", 0o644)
    assert await tree.ask("a.html") == ("br", BR)


async def test_an_index_that_becomes_right_comes_before_the_next_one(tree: Tree) -> None:
    tree.write(first_html_br=b"", index_html=YESTERDAY)
    time.sleep(A_TICK)
    for _ in range(2):
        assert await tree.ask() == ("identity", YESTERDAY)
    tree.write(first_html_br=BR)
    assert await tree.ask() == ("br", BR)
