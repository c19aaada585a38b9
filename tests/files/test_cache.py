"""The hot cache: every hit is looked at again; what changed is never served from memory."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest

from asyncstatic.files import cache as cache_module
from asyncstatic.files.cache import ENTRY_BYTES, Cache, CacheEntry
from asyncstatic.files.cached import CachedSource
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Absence, Lookup
from asyncstatic.http.target import is_public
from asyncstatic.settings import Settings
from tests.support.trees import directory_source

pytestmark = pytest.mark.usefixtures("no_handle_leaks")

OLD = b"old content of the file, worth compressing " * 10
NEW = OLD.replace(b"old", b"new")
LONGER = NEW + b" and more"
FASTER = brotli.compress(OLD, quality=1)
TIMES = (1_600_000_000 * 10**9 + 5,) * 2
A_TICK = 0.05  # seconds; longer than any clock tick of the kernel, so that nothing is racy
CODINGS = (("br", "gzip"), ("identity",))

INDEXES = ("first.html", "index.html")


class Counting:
    """A source that counts what it is asked; asked nothing, the answer was a hit."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.asked = 0

    def open_nowait(self, lookup: Lookup) -> Found | None:
        self.asked += 1
        return self._source.open_nowait(lookup)

    async def open(self, lookup: Lookup) -> Found:
        return await self._source.open(lookup)

    def close(self) -> None:
        self._source.close()


class Site:
    """A small tree, the cache in front of it, and a way to ask without a cache."""

    def __init__(self, top: Path, capacity: int = 1 << 20, **options: Any) -> None:
        self.top, self.root = top, top / "root"
        build(top)
        self.settings = Settings(self.root, index=INDEXES, **options)
        self.counting = Counting(self._directory())
        self.cache = Cache(capacity)
        self.cached = CachedSource(self.counting, self.cache)

    def _directory(self) -> TreeSource:
        """Open the root as at start-up, before there is a loop: this may wait."""
        allowed = partial(is_public, settings=self.settings)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(directory_source, self.settings, allowed).result()

    async def ask(self, lookup: Lookup) -> tuple[str, bytes] | Absence:
        """One request."""
        return await _ask(self.cached, lookup)

    async def hits(self, lookup: Lookup) -> bool:
        """Ask, and tell whether memory answered."""
        before = self.counting.asked
        await self.ask(lookup)
        return self.counting.asked == before

    async def entry_of(self, lookup: Lookup) -> CacheEntry | None:
        """Ask, and return the entry that holds the answer."""
        found = self.cached.open_nowait(lookup) or await self.cached.open(lookup)
        return found.entry if isinstance(found, Opened) else None

    def recall(self, entry: CacheEntry) -> tuple[str, bytes] | None:
        """Use an entry that somebody kept, as the direct entry does."""
        if not entry.is_fresh():
            return None
        found: Opened = entry.value
        return found.representation.coding, found.content or b""

    async def fresh(self, lookup: Lookup) -> tuple[str, bytes] | Absence:
        """What the disk says, without memory."""
        directory = self._directory()
        try:
            return await _ask(directory, lookup)
        finally:
            directory.close()


async def _ask(source: Source, lookup: Lookup) -> tuple[str, bytes] | Absence:
    found = source.open_nowait(lookup)
    if found is None:
        found = await source.open(lookup)
    if isinstance(found, Opened):
        assert found.content is not None, "all files here are small"
        found.close()
        return found.representation.coding, found.content
    assert isinstance(found, Absence)
    return found


def build(top: Path) -> None:
    """``root -> one``; a file, a directory and links to either; sidecars; a second tree."""
    for name in ("one/dir", "one/other", "two/dir"):
        (top / name).mkdir(parents=True)
    os.symlink("one", top / "root")
    for name in ("one/a.txt", "one/index.html", "one/dir/a.txt", "one/target"):
        write(top / name, OLD)
    for name in ("one/b.txt", "one/other/a.txt", "two/a.txt", "two/index.html", "two/dir/a.txt"):
        write(top / name, NEW)
    write(top / "one/packed.txt", OLD)
    write(top / "one/packed.txt.br", brotli.compress(OLD))
    write(top / "one/stale.txt", NEW)
    write(top / "one/stale.txt.br", brotli.compress(OLD))
    write(top / "one/shut.txt", OLD)
    write(top / "one/shut.txt.br", brotli.compress(OLD))
    os.chmod(top / "one/shut.txt.br", 0)
    write(top / "one/both.txt", OLD)
    write(top / "one/both.txt.br", brotli.compress(OLD, quality=0))
    write(top / "one/both.txt.gz", gzip.compress(OLD, compresslevel=0, mtime=0))
    os.symlink("target", top / "one/link")
    os.symlink("dir", top / "one/linked")
    time.sleep(A_TICK)


def write(path: Path, data: bytes, times: tuple[int, int] = TIMES) -> None:
    path.write_bytes(data)
    os.utime(path, ns=times)


def replace(path: Path, data: bytes, times: tuple[int, int] = TIMES) -> None:
    beside = path.with_name(path.name + ".new")
    write(beside, data, times)
    os.replace(beside, path)


def retarget(link: Path, target: str) -> None:
    beside = link.with_name(link.name + ".new")
    os.symlink(target, beside)
    os.replace(beside, link)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.cached.close()


def at(*segments: str, directory: bool = False) -> Lookup:
    return Lookup(segments, directory, CODINGS)


Change = Callable[[Path], object]
FILE, LINK, LINKED, PACKED = at("a.txt"), at("link"), at("linked", "a.txt"), at("packed.txt")
STALE, UNREADABLE, BOTH = at("stale.txt"), at("shut.txt"), at("both.txt")
INDEX = at(directory=True)

#: What may happen to a tree, and the lookup that must not be answered from memory after it.
CHANGES = [
    pytest.param(FILE, lambda t: write(t / "root/a.txt", NEW), NEW, id="rewritten in place, same size, time restored"),
    pytest.param(FILE, lambda t: write(t / "root/a.txt", LONGER), LONGER, id="rewritten longer, time restored"),
    pytest.param(FILE, lambda t: write(t / "root/a.txt", b""), b"", id="emptied"),
    pytest.param(FILE, lambda t: os.truncate(t / "root/a.txt", 7), OLD[:7], id="cut short"),
    pytest.param(FILE, lambda t: replace(t / "root/a.txt", NEW), NEW, id="replaced by rename, same size and time"),
    pytest.param(FILE, lambda t: os.remove(t / "root/a.txt"), Absence.MISSING, id="removed"),
    pytest.param(FILE, lambda t: os.rename(t / "root/b.txt", t / "root/a.txt"), NEW, id="another file took the name"),
    pytest.param(FILE, lambda t: os.chmod(t / "root/a.txt", 0), Absence.FORBIDDEN, id="made unreadable"),
    pytest.param(FILE, lambda t: retarget(t / "root", "two"), NEW, id="the root was switched"),
    pytest.param(LINK, lambda t: retarget(t / "root/link", "b.txt"), NEW, id="a link leads elsewhere"),
    pytest.param(LINK, lambda t: write(t / "root/target", NEW), NEW, id="what a link leads to was rewritten"),
    pytest.param(LINK, lambda t: replace(t / "root/target", NEW), NEW, id="what a link leads to was replaced"),
    pytest.param(LINK, lambda t: retarget(t / "root/link", "/etc/passwd"), Absence.MISSING, id="a link leads out"),
    pytest.param(LINKED, lambda t: retarget(t / "root/linked", "other"), NEW, id="a linked directory leads elsewhere"),
    pytest.param(INDEX, lambda t: write(t / "root/index.html", NEW), NEW, id="the index was rewritten"),
    pytest.param(INDEX, lambda t: write(t / "root/first.html", NEW), NEW, id="a better index appeared"),
    pytest.param(INDEX, lambda t: os.remove(t / "root/index.html"), Absence.MISSING, id="the index was removed"),
    pytest.param(PACKED, lambda t: os.remove(t / "root/packed.txt.br"), OLD, id="the sidecar was removed"),
    pytest.param(PACKED, lambda t: write(t / "root/packed.txt", LONGER, (TIMES[0] + 1,) * 2), LONGER, id="the sidecar became stale"),
    pytest.param(PACKED, lambda t: write(t / "root/packed.txt.br", FASTER), FASTER, id="the sidecar was rewritten"),
    pytest.param(PACKED, lambda t: replace(t / "root/packed.txt.br", FASTER), FASTER, id="the sidecar was replaced"),
    pytest.param(PACKED, lambda t: write(t / "root/packed.txt.br", brotli.compress(NEW)), OLD, id="the sidecar was rewritten with other content"),
    pytest.param(PACKED, lambda t: replace(t / "root/packed.txt.br", brotli.compress(NEW)), OLD, id="the sidecar was replaced by one of other content"),
    pytest.param(PACKED, lambda t: os.chmod(t / "root/packed.txt.br", 0), OLD, id="the sidecar was made unreadable"),
    pytest.param(STALE, lambda t: write(t / "root/stale.txt.br", brotli.compress(NEW)), brotli.compress(NEW), id="a refused sidecar was made right, in place"),
    pytest.param(STALE, lambda t: write(t / "root/stale.txt", OLD), brotli.compress(OLD), id="the original of a refused sidecar was set back, in place"),
    pytest.param(UNREADABLE, lambda t: os.chmod(t / "root/shut.txt.br", 0o644), brotli.compress(OLD), id="an unreadable sidecar was made readable"),
    pytest.param(BOTH, lambda t: write(t / "root/both.txt.gz", gzip.compress(OLD, mtime=0)), gzip.compress(OLD, mtime=0), id="a larger sidecar was made smaller, in place"),
    pytest.param(FILE, lambda t: write(t / "root/a.txt.gz", gzip.compress(OLD, mtime=0)), gzip.compress(OLD, mtime=0), id="a sidecar appeared"),
    pytest.param(PACKED, lambda t: os.remove(t / "root/packed.txt"), brotli.compress(OLD), id="the original was removed"),
]  # fmt: skip


@pytest.mark.parametrize(("lookup", "change", "expected"), CHANGES)
async def test_a_change_is_seen_by_the_next_request(
    site: Site, lookup: Lookup, change: Change, expected: bytes | Absence
) -> None:
    await site.ask(lookup)
    assert await site.hits(lookup), "it was not in memory: the test would prove nothing"
    entry = await site.entry_of(lookup)
    assert entry is not None
    assert site.recall(entry) == await site.ask(lookup)
    change(site.top)
    assert site.recall(entry) is None
    await asyncio.sleep(0.3)  # how long the resolver may hold on to a root that was switched
    answer = await site.ask(lookup)
    assert site.recall(entry) is None
    assert answer == await site.fresh(lookup)
    assert (answer[1] if isinstance(answer, tuple) else answer) == expected


@pytest.mark.parametrize(
    "lookup",
    [FILE, LINK, LINKED, INDEX, PACKED],
    ids=["file", "link", "linked directory", "index", "sidecar"],
)
async def test_what_did_not_change_is_answered_from_memory(site: Site, lookup: Lookup) -> None:
    first = await site.ask(lookup)
    for _ in range(3):
        assert await site.hits(lookup)
    assert await site.ask(lookup) == first == await site.fresh(lookup)


async def test_an_evicted_entry_holds_nothing(site: Site) -> None:
    entry = await site.entry_of(FILE)
    assert entry is not None
    assert entry.is_fresh()
    for number in range(500):  # fill the cache
        write(site.top / f"root/{number}", b"x" * 4096)
    await asyncio.sleep(A_TICK)
    for number in range(500):
        await site.ask(at(str(number)))
    assert not entry.is_fresh()
    assert not any(isinstance(held, Opened) for held in gc.get_referents(entry))


async def test_every_use_is_proven_anew(site: Site) -> None:
    """Also within one iteration of the event loop."""
    entry = await site.entry_of(FILE)
    assert entry is not None
    assert entry.is_fresh()
    write(site.top / "root/a.txt", NEW)
    assert not entry.is_fresh()


async def test_a_neighbour_that_changes_costs_at_most_a_look(site: Site) -> None:
    await site.ask(FILE)
    write(site.top / "root/b.txt", LONGER)
    assert await site.ask(FILE) == ("identity", OLD)
    assert await site.ask(at("b.txt")) == ("identity", LONGER)


async def test_codings_are_remembered_apart(site: Site) -> None:
    plain = Lookup(("packed.txt",), directory=False, codings=(("identity",),))
    for _ in range(2):
        assert await site.ask(PACKED) == ("br", brotli.compress(OLD))
        assert await site.ask(plain) == ("identity", OLD)


async def test_what_has_one_representation_is_remembered_once_for_all_codings(site: Site) -> None:
    await site.ask(FILE)
    for codings in ((), (("identity",),), (("gzip",), ("br", "identity"))):
        for _ in range(2):
            assert await site.hits(FILE._replace(codings=codings))
    for number in range(20):  # more than one entry has names for
        assert await site.hits(FILE._replace(codings=((f"x-{number}",),)))


async def test_who_accepts_nothing_does_not_decide_for_others(site: Site) -> None:
    for _ in range(2):
        assert await site.ask(PACKED._replace(codings=())) == ("identity", OLD)
        assert await site.ask(PACKED) == ("br", brotli.compress(OLD))


async def test_a_sidecar_that_appears_is_seen_under_every_name(site: Site) -> None:
    for codings in (CODINGS, (("identity",),)):
        await site.ask(FILE._replace(codings=codings))
    write(site.top / "root/a.txt.gz", gzip.compress(OLD, mtime=0))
    await asyncio.sleep(A_TICK)
    assert await site.ask(FILE) == ("gzip", gzip.compress(OLD, mtime=0))
    assert await site.ask(FILE._replace(codings=(("identity",),))) == ("identity", OLD)


async def test_a_file_that_may_still_be_written_is_not_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next write may leave the same times."""
    moment = os.stat(site.top / "root/a.txt").st_ctime_ns + 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: moment)
    await site.ask(FILE)
    assert not await site.hits(FILE)
    monkeypatch.setattr(time, "time_ns", lambda: moment + 10**9)
    await site.ask(FILE)
    assert await site.hits(FILE)


async def test_a_directory_that_may_still_change_is_not_trusted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar may yet appear in it without its times showing it."""
    time.sleep(A_TICK)
    write(site.top / "root/neighbour", b"x")
    moment = os.stat(site.top / "root").st_ctime_ns + 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: moment)
    await site.ask(FILE)
    assert not await site.hits(FILE)


async def test_what_appears_is_seen_by_the_next_request(site: Site) -> None:
    assert await site.ask(at("late.txt")) is Absence.MISSING
    write(site.top / "root/late.txt", NEW)
    assert await site.ask(at("late.txt")) == ("identity", NEW)


# -- bounds ------------------------------------------------------------------------------------


def test_a_used_entry_outlives_newer_unused_ones() -> None:
    """Second chance: the hand passes a used entry once."""
    cache = Cache(3 * (ENTRY_BYTES + 1))
    for key in "abc":
        cache.put(key, key, 1)
    assert cache.get("a") is not None
    cache.put("d", "d", 1)
    assert [key for key in "abcd" if cache.find(key)] == ["a", "c", "d"]
    for key in "efg":
        cache.put(key, key, 1)
    assert [key for key in "abcdefg" if cache.find(key)] == ["e", "f", "g"]


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_the_cache_never_exceeds_its_bound(size: int) -> None:
    cache = Cache(64 * 1024)
    for number in range(1000):
        cache.put(number, b"", size)
        assert cache.size == len(cache) * (ENTRY_BYTES + size) <= 64 * 1024
    assert cache.put("large", b"", 64 * 1024) is None
    for entry in cache.entries():
        cache.evict(entry)
    assert cache.size == len(cache) == 0


@pytest.mark.parametrize("size", [0, 100_000], ids=["held and evicted", "too large to be held"])
def test_a_value_that_is_not_held_is_closed(size: int) -> None:
    closed: list[int] = []

    class Value:
        def close(self) -> None:
            closed.append(1)

    cache = Cache(ENTRY_BYTES + 100)
    cache.put("key", Value(), size)
    cache.put("other", b"", 0)
    assert closed == [1]


async def test_a_large_file_that_no_cache_can_hold_is_closed_with_its_answer(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, capacity=100, cache_file_bytes=0)
    for _ in range(5):
        assert await _ask_handle(site.cached, FILE) == OLD
    site.cached.close()


def test_an_entry_that_takes_the_place_of_another_is_counted_once() -> None:
    cache = Cache(64 * 1024)
    for _ in range(10):
        cache.put("key", b"", 10)
    assert cache.size == ENTRY_BYTES + 10


async def test_what_is_larger_than_the_memory_is_served_all_the_same(tmp_path: Path) -> None:
    site = Site(tmp_path, capacity=100)
    for _ in range(3):
        assert await site.ask(FILE) == ("identity", OLD)
        assert not await site.hits(FILE)
    site.cached.close()


async def test_of_large_files_the_handle_is_kept_while_they_are_asked_for(tmp_path: Path) -> None:
    site = Site(tmp_path, cache_file_bytes=len(OLD) - 1)
    handles = set()
    for _ in range(3):
        await asyncio.sleep(0)
        found = site.cached.open_nowait(FILE) or await site.cached.open(FILE)
        assert isinstance(found, Opened)
        assert found.content is None
        assert found.handle is not None
        handles.add(found.handle.fd)
        found.close()
    assert site.counting.asked == len(handles) == 1
    site.cached.close()


@pytest.mark.slow
@pytest.mark.parametrize(("lookup", "change", "expected"), CHANGES)
async def test_a_changed_file_is_never_read_from_a_kept_handle(
    tmp_path: Path, lookup: Lookup, change: Change, expected: bytes | Absence
) -> None:
    site = Site(tmp_path, cache_file_bytes=0)
    await _ask_handle(site.cached, lookup)
    asked = site.counting.asked
    await _ask_handle(site.cached, lookup)
    assert site.counting.asked == asked, "its handle was not kept: the test would prove nothing"
    change(site.top)
    await asyncio.sleep(0.3)  # how long the resolver may hold on to a root that was switched
    assert await _ask_handle(site.cached, lookup) == expected
    site.cached.close()


async def test_a_handle_nobody_asks_for_is_given_back(tmp_path: Path) -> None:
    """It would hold the space of a file that was deleted."""
    site = Site(tmp_path, cache_file_bytes=0)
    before = len(os.listdir("/proc/self/fd"))
    await _ask_handle(site.cached, FILE)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    async with asyncio.timeout(5):
        while len(os.listdir("/proc/self/fd")) > before:
            await asyncio.sleep(0.05)
    site.cached.close()


async def test_too_many_open_files_close_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_MOST_OPEN", 2)
    site = Site(tmp_path, cache_file_bytes=0)
    for lookup in (at("b.txt"), FILE, at("packed.txt")):
        await _ask_handle(site.cached, lookup)
    asked = site.counting.asked
    await _ask_handle(site.cached, FILE)
    assert site.counting.asked == asked
    site.cached.close()


async def _ask_handle(source: Source, lookup: Lookup) -> bytes | Absence:
    """One request whose content is read from a handle."""
    await asyncio.sleep(0)
    found = source.open_nowait(lookup) or await source.open(lookup)
    if not isinstance(found, Opened):
        assert isinstance(found, Absence)
        return found
    try:
        if found.handle is None:  # an empty file
            return found.content or b""
        return await found.handle.read(0, found.representation.length)
    finally:
        found.close()


# -- any history -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_after_any_history_memory_and_disk_agree(site: Site, seed: int) -> None:
    """Changes in any order, and every lookup after each of them."""
    chance = random.Random(seed)
    lookups = [FILE, LINK, LINKED, INDEX, PACKED, at("b.txt"), at("packed.txt.br")]
    changes: list[Any] = [row.values[1] for row in CHANGES if "root" not in str(row.id)]
    entries: list[tuple[Lookup, CacheEntry]] = []
    for _ in range(15):
        try:
            chance.choice(changes)(site.top)
        except FileNotFoundError:
            continue  # an earlier change took away what this one needs
        await asyncio.sleep(A_TICK if chance.random() < 0.5 else 0)
        for lookup, entry in entries:
            assert site.recall(entry) in (None, await site.fresh(lookup)), lookup
        for lookup in chance.sample(lookups, len(lookups)):
            assert await site.ask(lookup) == await site.fresh(lookup), lookup
            entry_now = await site.entry_of(lookup)
            if entry_now is not None:
                assert site.recall(entry_now) == await site.fresh(lookup), lookup
                entries.append((lookup, entry_now))
