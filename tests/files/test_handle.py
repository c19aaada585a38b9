"""An open file: what it remembers of the page cache, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle, identity_of
from asyncstatic.files.pool import Pool

MIB = 1024 * 1024


class PageCache:
    """Has everything, and notes at which bytes it was looked at."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.has = True

    def is_resident(self, _: int, position: int) -> bool:
        self.asked.append(position)
        return self.has


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> PageCache:
    cache = PageCache()
    monkeypatch.setattr(kernel, "is_resident", cache.is_resident)
    return cache


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on when told."""
    clock = [100.0]
    monkeypatch.setattr("asyncstatic.files.handle.time.monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[Handle]:
    path = tmp_path / "file"
    path.write_bytes(b"")
    pool = Pool(1, 10.0)
    with path.open("rb") as file:
        yield Handle(file.fileno(), identity_of(path.stat()), pool)
    pool.close()


def test_one_byte_of_each_mebibyte_is_looked_at_and_both_ends(
    handle: Handle, cache: PageCache
) -> None:
    assert handle.is_warm(5, 2 * MIB + 1)
    assert sorted(cache.asked) == [5, 5 + MIB, 5 + 2 * MIB]


def test_what_was_there_a_moment_ago_is_not_looked_at_again(
    handle: Handle, cache: PageCache, now: list[float]
) -> None:
    assert handle.is_warm(0, 4 * MIB)
    cache.asked.clear()
    now[0] += 0.04
    assert handle.is_warm(0, 4 * MIB)
    assert handle.shared().is_warm(MIB, 7)
    assert not cache.asked
    now[0] += 0.02
    cache.has = False
    assert not handle.is_warm(0, 4 * MIB)
    assert cache.asked


@pytest.mark.parametrize(
    ("seen", "asked", "is_known"),
    [
        ([(0, 4), (4, 4)], (0, 8), True),
        ([(4, 4), (0, 4)], (1, 6), True),
        ([(0, 4), (5, 4)], (5, 4), True),
        ([(0, 4), (5, 4)], (0, 4), False),
        ([(0, 4), (5, 4)], (4, 1), False),
        ([(0, 4)], (3, 2), False),
        ([(2, 4)], (1, 2), False),
    ],
)
def test_stretches_that_touch_are_known_as_one(
    handle: Handle,
    cache: PageCache,
    now: list[float],
    seen: list[tuple[int, int]],
    asked: tuple[int, int],
    is_known: bool,
) -> None:
    for first, count in seen:
        assert handle.is_warm(first * MIB, count * MIB)
    cache.asked.clear()
    assert handle.is_warm(asked[0] * MIB, asked[1] * MIB)
    assert bool(cache.asked) is not is_known


def test_what_was_not_there_is_asked_for_until_it_is(
    handle: Handle, cache: PageCache, now: list[float]
) -> None:
    cache.has = False
    assert not handle.is_warm(0, MIB)
    cache.has = True
    assert handle.is_warm(0, MIB)


def test_joined_stretches_are_as_old_as_the_first_of_them(
    handle: Handle, cache: PageCache, now: list[float]
) -> None:
    assert handle.is_warm(0, 4 * MIB)
    now[0] += 0.04
    assert handle.is_warm(4 * MIB, 4 * MIB)
    now[0] += 0.02
    cache.has = False
    assert not handle.is_warm(4 * MIB, 4 * MIB)
