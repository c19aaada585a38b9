"""Digests of content: once per identity, equal for equal bytes, never of other bytes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from asyncstatic.files import contents, kernel
from asyncstatic.files import digests as digests_module
from asyncstatic.files.digests import ComputedOnce, Digests
from asyncstatic.files.handle import identity_of
from asyncstatic.files.source import Opened
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Lookup, Representation
from asyncstatic.http.target import is_public
from asyncstatic.settings import Settings
from tests.support.trees import directory_source

pytestmark = pytest.mark.usefixtures("no_handle_leaks")

A_TICK = 0.05  # seconds; longer than any clock tick of the kernel
THEN = 1_600_000_000 * 10**9 + 5
CONTENT = random.Random(5).randbytes(200_000)
BOUND = 100_000  # stands for `HASHED` here


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    write(path, CONTENT)
    time.sleep(A_TICK)
    return path


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(THEN, THEN))


def changed_at(position: int) -> bytes:
    return CONTENT[:position] + bytes([CONTENT[position] ^ 1]) + CONTENT[position + 1 :]


def digest(digests: Digests, kind: str, path: Path, *, nowait: bool = False) -> bytes | None:
    fd = os.open(path, os.O_RDONLY)
    try:
        method = digests.content if kind == "content" else digests.summary
        return method(fd, identity_of(os.fstat(fd)), nowait=nowait)
    finally:
        os.close(fd)


kinds = pytest.mark.parametrize("kind", ["content", "summary"])


@kinds
def test_a_file_is_read_once(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = Digests()
    first = digest(digests, kind, path)
    assert first is not None
    monkeypatch.setattr(kernel, "pread", None)  # a second reading would fail
    assert digest(digests, kind, path) == first
    assert digest(digests, kind, path, nowait=True) == first


@kinds
def test_on_the_loop_nothing_is_read(path: Path, kind: str) -> None:
    with pytest.raises(BlockingIOError):
        digest(Digests(), kind, path, nowait=True)


@kinds
def test_a_copy_that_keeps_the_time_has_the_same_digest(path: Path, kind: str) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    time.sleep(A_TICK)
    assert digest(Digests(), kind, path) == digest(Digests(), kind, copy) is not None


def test_the_content_is_hashed_by_sha_256(path: Path) -> None:
    assert digest(Digests(), "content", path) == hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("position", [0, 4095, -4096, -1])
def test_samples_tell_other_content_of_equal_size_and_time(path: Path, position: int) -> None:
    before = digest(Digests(), "summary", path)
    write(path, changed_at(position % len(CONTENT)))
    time.sleep(A_TICK)
    assert digest(Digests(), "summary", path) != before


def test_size_and_time_are_part_of_a_summary(path: Path) -> None:
    before = digest(Digests(), "summary", path)
    os.utime(path, ns=(THEN, THEN + 1))
    time.sleep(A_TICK)
    assert digest(Digests(), "summary", path) != before


@kinds
def test_of_a_file_that_changes_meanwhile_there_is_no_digest(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = kernel.pread

    def overtaken(fd: int, count: int, offset: int) -> bytes:
        data = pread(fd, count, offset)
        path.write_bytes(b"other")
        return data

    monkeypatch.setattr(kernel, "pread", overtaken)
    assert digest(Digests(), kind, path) is None


def test_what_is_read_within_a_tick_of_the_clock_is_not_remembered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next write may leave the same times."""
    digests = Digests()
    moment = os.stat(path).st_ctime_ns + 1
    monkeypatch.setattr(time, "time_ns", lambda: moment)
    assert digest(digests, "content", path) == hashlib.sha256(CONTENT).digest()
    with pytest.raises(BlockingIOError):
        digest(digests, "content", path, nowait=True)
    assert digest(digests, "summary", path) is None


def test_threads_that_ask_together_compute_once() -> None:
    once: ComputedOnce[str, int] = ComputedOnce(10)
    together, made = Barrier(4), []

    def make() -> int:
        time.sleep(0.01)
        made.append(1)
        return len(made)

    def ask(_: int) -> int | None:
        together.wait(10)
        return once.compute("key", make)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == [1] * 4
    assert not once._under_way


def test_after_a_failure_the_next_one_computes() -> None:
    once: ComputedOnce[str, int] = ComputedOnce(10)

    def failing() -> int:
        raise OSError(5, "disk")

    with pytest.raises(OSError, match="disk"):
        once.compute("key", failing)
    assert once.compute("key", lambda: 3) == 3


def test_digests_are_bounded_in_number() -> None:
    once: ComputedOnce[int, int] = ComputedOnce(10)
    for number in range(100):
        once.compute(number, lambda: 1)
    assert sum(once.get(number) is not None for number in range(100)) <= 10


# -- which of them a directory takes ---------------------------------------------------------------


@pytest.fixture
def directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TreeSource]:
    monkeypatch.setattr(contents, "HASHED", BOUND)
    settings = Settings(path.parent, cache_file_bytes=0)
    with ThreadPoolExecutor(1) as thread:
        allowed = partial(is_public, settings=settings)
        opened = thread.submit(directory_source, settings, allowed).result()
    yield opened
    opened.close()


async def facts(directory: TreeSource, name: str = "big.bin") -> Representation:
    lookup = Lookup((name,), directory=False, codings=(("identity",),))
    found = directory.open_nowait(lookup) or await directory.open(lookup)
    assert isinstance(found, Opened)
    found.close()
    return found.representation


@pytest.mark.parametrize(
    ("size", "kind"), [(0, "digest"), (1, "digest"), (BOUND, "digest"), (BOUND + 1, "summary")]
)
async def test_up_to_a_bound_the_content_is_hashed(
    directory: TreeSource, path: Path, size: int, kind: str
) -> None:
    write(path.with_name("some"), CONTENT[:size])
    await asyncio.sleep(A_TICK)
    found = await facts(directory, "some")
    assert (found.digest is None, found.summary is None) == (kind != "digest", kind != "summary")


Change = Callable[[Path], object]


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name("beside")
    write(beside, content)
    os.replace(beside, path)


def _between_the_samples() -> bytes:
    return changed_at(len(CONTENT) // 2)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: write(p, _between_the_samples()), id="rewritten in place"),
        pytest.param(lambda p: _replace(p, _between_the_samples()), id="replaced"),
        pytest.param(lambda p: os.chmod(p, 0o600), id="its mode changed: the bytes might have"),
    ],
)
async def test_a_file_that_was_touched_under_its_old_time_has_no_summary(
    directory: TreeSource, path: Path, change: Change
) -> None:
    """Samples might miss what changed; inode and ctime make the tag from then on."""
    assert (await facts(directory)).summary is not None
    change(path)
    await asyncio.sleep(A_TICK)
    for _ in range(2):
        found = await facts(directory)
        assert found.summary is None
        assert found.digest is None


async def test_a_new_time_is_evidence_again(directory: TreeSource, path: Path) -> None:
    await facts(directory)
    write(path, _between_the_samples())
    await facts(directory)
    os.utime(path, ns=(THEN, THEN + 10**9))
    await asyncio.sleep(A_TICK)
    assert (await facts(directory)).summary is not None


async def test_hashing_waits_for_no_disk_on_the_loop(
    directory: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = Lookup(("big.bin",), directory=False, codings=(("identity",),))
    assert directory.open_nowait(lookup) is None
    monkeypatch.setattr(digests_module, "_hash_all", None)
    assert (await facts(directory)).summary is not None
