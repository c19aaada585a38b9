"""The core by itself, piece by piece, so that a slow-down is seen in a review.

Run `pytest bench/micro.py`, and with `--benchmark-autosave` and `--benchmark-compare` against an
earlier commit. Every benchmark checks the value it times.
"""
# ruff: noqa: D103 - a benchmark's name says what is timed

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest

from asyncstatic import StaticFiles
from asyncstatic.files.resolver import choose_resolver
from asyncstatic.files.root import RootHandle
from asyncstatic.files.source import Opened
from asyncstatic.http.model import Fields, Lookup, Request, ResponsePlan
from asyncstatic.http.ranges import parse_ranges
from asyncstatic.http.respond import admit, respond
from asyncstatic.http.target import TargetPath, parse_target
from asyncstatic.serve.direct.head import deciding_lines, match_head, read_head
from bench.client import request_bytes
from bench.workloads import BROWSER_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any, Protocol

    from asyncstatic.settings.root import ResolverChoice

    class Benchmark(Protocol):
        """The fixture of pytest-benchmark: it times a call and returns its value."""

        def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            """Call the function many times."""


NAME = ("css", "app.css")
TARGET = b"/css/app.css"
NOW_NS = 1_760_000_000_000_000_000
BROWSER = Fields.read([(name.lower().encode(), value.encode()) for name, value in BROWSER_FIELDS])


@pytest.fixture
def files(tmp_path: Path) -> Iterator[StaticFiles]:
    """Serve one old file of 1 KiB."""
    (tmp_path / "css").mkdir()
    path = tmp_path / "css" / "app.css"
    path.write_bytes(b"x" * 1024)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    time.sleep(0.1)  # what has just been written is not remembered
    app = StaticFiles(tmp_path)
    yield app
    app.close()


@pytest.fixture
def opened(files: StaticFiles) -> Opened:
    """Return the file's representation."""
    found = asyncio.run(files.source.open(Lookup(NAME, directory=False, codings=(("identity",),))))
    assert isinstance(found, Opened)
    return found


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(TARGET, id="plain"),
        pytest.param(b"/css/%61pp.css", id="percent-encoded"),
        pytest.param(b"/" + b"/".join([b"%e2%82%ac"] * 20), id="twenty-segments"),
    ],
)
def test_parse_target(benchmark: Benchmark, files: StaticFiles, target: bytes) -> None:
    assert isinstance(benchmark(parse_target, target, files.settings), TargetPath)


@pytest.mark.parametrize("value", ["bytes=0-99", "bytes=0-99,200-299,-5"], ids=["one", "three"])
def test_parse_ranges(benchmark: Benchmark, value: str) -> None:
    assert benchmark(parse_ranges, value)


def test_head_checked(benchmark: Benchmark) -> None:
    head = request_bytes(80, TARGET.decode(), BROWSER_FIELDS)
    assert benchmark(match_head, head) is not None


def test_deciding_lines_picked(benchmark: Benchmark) -> None:
    head = request_bytes(80, TARGET.decode(), BROWSER_FIELDS)
    assert len(benchmark(deciding_lines, head)) == 3


def test_head_read(benchmark: Benchmark) -> None:
    head = request_bytes(80, TARGET.decode(), BROWSER_FIELDS)
    match = match_head(head)
    assert match is not None
    assert benchmark(read_head, match, deciding_lines(head)) is not None


def test_admit(benchmark: Benchmark, files: StaticFiles) -> None:
    admitted = benchmark(admit, Request("GET", TARGET, fields=BROWSER), files.settings)
    assert isinstance(admitted, Lookup)
    assert admitted.segments == NAME


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param(Fields(), 200, id="plain"),
        pytest.param(BROWSER, 200, id="browser"),
        pytest.param(BROWSER._replace(if_none_match="*"), 304, id="not-modified"),
        pytest.param(BROWSER._replace(range="bytes=0-99"), 206, id="range"),
        pytest.param(BROWSER._replace(range="bytes=0-9,99-"), 206, id="two-ranges"),
    ],
)
def test_respond(
    benchmark: Benchmark, files: StaticFiles, opened: Opened, fields: Fields, status: int
) -> None:
    request = Request("GET", TARGET, fields=fields)
    plan: ResponsePlan = benchmark(
        respond, request, opened.representation, files.policy, NOW_NS, "b" * 32
    )
    assert plan.status == status


@pytest.mark.parametrize("prefer", ["openat2", "walk"])
def test_resolve_and_open(benchmark: Benchmark, files: StaticFiles, prefer: ResolverChoice) -> None:
    try:
        resolver = choose_resolver(
            RootHandle(files.root), symlinks="within_root", allowed=lambda _: True, prefer=prefer
        )
    except ValueError as error:
        pytest.skip(str(error))

    def open_and_close() -> int:
        handle = resolver.open(NAME)
        os.close(handle)
        return handle

    assert benchmark(open_and_close) >= 0
    resolver.root.close()


def test_open_without_memory(benchmark: Benchmark, files: StaticFiles) -> None:
    app = StaticFiles(files.root, cache_bytes=0)
    lookup = Lookup(NAME, directory=False, codings=(("identity",),))
    source = app.source
    asyncio.run(source.open(lookup))  # the kernel learns which sidecars are not there

    def open_and_close() -> object:
        found = source.open_nowait(lookup)
        if isinstance(found, Opened):
            found.close()
        return found

    assert isinstance(benchmark(open_and_close), Opened)
    app.close()


def test_an_empty_turn_of_the_loop(benchmark: Benchmark) -> None:
    """To be subtracted from the next: what the loop itself costs."""
    loop = asyncio.new_event_loop()
    assert benchmark(_turn, loop, lambda: True)
    loop.close()


def test_cache_hit_in_a_new_turn_of_the_loop(
    benchmark: Benchmark, files: StaticFiles, opened: Opened
) -> None:
    """Every hit is proven by stat(2)."""
    loop = asyncio.new_event_loop()
    lookup, source = Lookup(NAME, directory=False, codings=(("identity",),)), files.source
    assert benchmark(_turn, loop, lambda: source.open_nowait(lookup)) is opened
    loop.close()


def _turn(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> object:
    """Call a function inside the loop, let the loop turn once, and return the value."""
    values: list[object] = []
    loop.call_soon(lambda: values.append(function()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    return values[0]
