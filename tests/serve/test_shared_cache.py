"""The roots of a process share one cache: one budget, and no answer of another root."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import Limits, StaticFiles
from asyncstatic.files import cache
from asyncstatic.files.cache import shared_cache
from asyncstatic.files.source import Opened
from asyncstatic.http.model import Absence, Lookup, Request
from asyncstatic.serve.direct.admission import Admission
from asyncstatic.serve.direct.head import match_head
from asyncstatic.serve.direct.mounts import Mount
from asyncstatic.serve.direct.response import head_of
from asyncstatic.serve.direct.server import Terms
from tests.serve.inside import serving_inside
from tests.support.raw import head

KIB = 1024
OLD = 1_600_000_000
FILES = {"a.txt": b"a", "large.bin": b"L" * 100 * KIB, ".hidden": b"h", "private/b.txt": b"b"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two roots with the same names and other content."""
    for root in ("one", "two"):
        for name, content in FILES.items():
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(root.encode() + content)
            os.utime(path, (OLD, OLD))
    time.sleep(0.05)  # more than a clock tick: the cache may hold everything
    return tmp_path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def made(path: Path, **settings: Any) -> StaticFiles:
    """Make a root as at start-up, before there is a loop: this may wait."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(partial(StaticFiles, path, **settings)).result()


def root(stack: ExitStack, path: Path, **settings: Any) -> StaticFiles:
    static = made(path, **settings)
    stack.callback(static.close)
    return static


async def content(static: StaticFiles, target: str) -> bytes | int:
    """Ask a root; return the content, or the status of an error."""
    answer = await static.find(Request("GET", target.encode()))
    opened = answer.opened
    if opened is None:
        return answer.plan.status
    try:
        if opened.content is not None:
            return opened.content
        assert opened.handle is not None
        return await opened.handle.read(0, opened.representation.length)
    finally:
        opened.close()


SHARING = [
    pytest.param({}, {}, True, id="by default"),
    pytest.param({}, {"pool_threads": 2, "dotfiles": True}, True, id="whatever else is set"),
    pytest.param({"cache_bytes": "1MiB"}, {"cache_bytes": 1 << 20}, True, id="the same number"),
    pytest.param({}, {"limits": Limits(pool_timeout=1)}, True, id="limits with the same number"),
    pytest.param({}, {"cache_bytes": "1MiB"}, False, id="a number of its own"),
]


@pytest.mark.parametrize(("first", "second", "shared"), SHARING)
async def test_roots_share_one_cache_unless_one_has_a_number_of_its_own(
    place: Path, stack: ExitStack, first: Any, second: Any, shared: bool
) -> None:
    one, two = root(stack, place / "one", **first), root(stack, place / "two", **second)
    assert (one.cache is two.cache) == shared


async def test_two_roots_together_hold_no_more_than_one_budget(
    place: Path, stack: ExitStack
) -> None:
    for number in range(40):
        for name in ("one", "two"):
            path = place / name / f"{number}.txt"
            path.write_bytes(bytes(8 * KIB))
            os.utime(path, (OLD, OLD))
    await asyncio.sleep(0.05)
    roots = [root(stack, place / name, cache_bytes="128KiB") for name in ("one", "two")]
    for number in range(40):
        for static in roots:
            assert await content(static, f"/{number}.txt") == bytes(8 * KIB)
            assert static.cache.size <= 128 * KIB
    owners = {entry.key[0] for entry in roots[0].cache.entries()}  # type: ignore[index]
    assert len(owners) == 2, "each root holds a part of it"


async def test_roots_with_the_same_names_keep_their_content_apart(
    place: Path, stack: ExitStack
) -> None:
    one, two = root(stack, place / "one"), root(stack, place / "two")
    for _ in range(2):
        assert await content(one, "/a.txt") == b"onea"
        assert await content(two, "/a.txt") == b"twoa"


STRICTER = [
    pytest.param("/.hidden", {"dotfiles": True}, {}, id="dotfiles"),
    pytest.param("/private/b.txt", {}, {"deny": "private/*"}, id="deny"),
    pytest.param("/link", {"symlinks": "follow"}, {}, id="symlinks"),
]


@pytest.mark.parametrize("first", ["lax", "strict"])
@pytest.mark.parametrize(("target", "lax", "strict"), STRICTER)
async def test_roots_of_one_directory_with_other_settings_share_no_entry(
    place: Path, stack: ExitStack, target: str, lax: Any, strict: Any, first: str
) -> None:
    (place / "one" / "link").symlink_to(place / "two" / "a.txt")
    await asyncio.sleep(0.05)
    roots = {
        "lax": root(stack, place / "one", **lax),
        "strict": root(stack, place / "one", **strict),
    }
    second = "strict" if first == "lax" else "lax"
    for name in (first, second, first, second):
        answer = await content(roots[name], target)
        assert answer == 404 if name == "strict" else isinstance(answer, bytes)


async def test_a_root_that_is_closed_takes_its_own_entries_only(
    place: Path, stack: ExitStack
) -> None:
    one, two = made(place / "one"), root(stack, place / "two")
    for static in (one, two):
        for target in ("/a.txt", "/large.bin", "/none"):
            await content(static, target)
    held = len(two.cache)
    one.close()
    assert 0 < len(two.cache) < held
    found = two.source.open_nowait(Lookup(("a.txt",), False, (("identity",),)))
    assert isinstance(found, Opened)
    assert found.entry is not None, "still cached"


async def test_open_files_of_all_roots_are_counted_together(
    place: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_MOST_OPEN", 1)
    roots = [root(stack, place / name, cache_bytes="3MiB") for name in ("one", "two")]
    for static in roots:
        await content(static, "/large.bin")
    handles = [
        entry.value.handle
        for entry in roots[0].cache.entries()
        if isinstance(entry.value, Opened) and entry.value.handle is not None
    ]
    assert len(handles) == 1


async def test_servers_of_one_process_do_not_send_each_others_prepared_answers(
    place: Path, stack: ExitStack
) -> None:
    match = match_head(head("/a.txt"))
    assert match is not None
    sent = []
    for name in ("one", "two"):
        static = root(stack, place / name)
        admission = Admission([Mount("", static, lambda: False)], Terms())
        stack.callback(admission.close)
        assert admission.prepared(admission.key(match)) is None
        admitted = admission.admit(match, admission.key(match))
        assert admitted is not None
        with_entry = await static.find(admitted.request)
        admission.prepare(admitted, with_entry, head_of(with_entry.plan))
        prepared = admission.prepared(admission.key(match))
        assert prepared is not None
        sent.append(prepared.source.value.content)
    assert sent == [b"onea", b"twoa"]


async def test_the_prepared_answers_of_a_server_go_with_it(place: Path, stack: ExitStack) -> None:
    match = match_head(head("/a.txt"))
    assert match is not None
    static = root(stack, place / "one")
    admission = Admission([Mount("", static, lambda: False)], Terms())
    admitted = admission.admit(match, admission.key(match))
    assert admitted is not None
    answer = await static.find(admitted.request)
    admission.prepare(admitted, answer, head_of(answer.plan))
    held = static.cache.size
    admission.close()
    assert static.cache.size < held
    assert admission.prepared(admission.key(match)) is None


# -- threads ---------------------------------------------------------------------------------


async def test_another_thread_has_another_cache(place: Path) -> None:
    assert shared_cache(1) is not await asyncio.to_thread(shared_cache, 1)


async def test_a_root_in_another_thread_than_its_cache_is_asked_without_it(
    place: Path, stack: ExitStack
) -> None:
    """An entry could be evicted there while it is used here."""
    static = root(stack, place / "one")
    assert await content(static, "/a.txt") == b"onea"
    await content(static, "/none")
    held = len(static.cache)
    for segments in (("a.txt",), ("none",)):
        lookup = Lookup(segments, False, (("identity",),))
        found = await asyncio.to_thread(static.source.open_nowait, lookup)
        assert found is Absence.MISSING or (isinstance(found, Opened) and found.entry is None)
    assert len(static.cache) == held


def test_servers_in_several_threads_of_a_process_answer_for_themselves(
    place: Path, stack: ExitStack
) -> None:
    servers = [
        stack.enter_context(serving_inside(root(stack, place / name))) for name in ("one", "two")
    ]
    clients = [stack.enter_context(server.connect()) for server in servers]
    for _ in range(3):
        assert [client.get("/a.txt").content for client in clients] == [b"onea", b"twoa"]
        assert clients[0].get("/large.bin").content == b"one" + FILES["large.bin"]
    assert servers[0].loop is not servers[1].loop
