"""A request cancelled at its k-th suspension, for k = 1, 2, 3 ... until it completes before that.

However it ends, every handle it opened is closed exactly once: never left open, and never closed
twice, which would close somebody else's.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import coroutine
from typing import Any

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.directory import open_directory
from asyncstatic.serve import roots
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.direct.connection import DirectProtocol
from tests.support.raw import Connection, EndedError, head
from tests.support.site import write_site
from tests.trust.inside import ask, open_handles, serving_inside, settled_handles

BIG = random.Random(5).randbytes(600_000)
SCRIPT = b"export const page = 'page'\n" * 99
SITE = {
    "page.html": b"<p>page",
    "docs/index.html": b"<p>index",
    "app.js": SCRIPT,
    "app.js.gz": gzip.compress(SCRIPT, mtime=0),
    "lone.txt.gz": gzip.compress(BIG, mtime=0),
    "big.bin": BIG,
}
REQUESTS = [
    pytest.param("GET", "/page.html", {}, id="small"),
    pytest.param("GET", "/docs/", {}, id="index"),
    pytest.param("GET", "/docs", {}, id="directory"),
    pytest.param("GET", "/app.js", {b"accept-encoding": b"gzip"}, id="sidecar"),
    pytest.param("GET", "/lone.txt", {}, id="decoded"),
    pytest.param("GET", "/big.bin", {}, id="large"),
    pytest.param("HEAD", "/big.bin", {}, id="head"),
    pytest.param("GET", "/big.bin", {b"range": b"bytes=0-9,200-300000"}, id="parts"),
    pytest.param("GET", "/big.bin", {b"content-length": b"9"}, id="with-content"),
    pytest.param("GET", "/missing", {}, id="missing"),
]
SETTINGS = [
    pytest.param({"cache_bytes": 0}, id="warm"),
    pytest.param({"cache_bytes": 0, "resolver": "walk"}, id="in-the-pool"),
]
#: When a cancellation arrives: as the coroutine suspends, or when what it waits for is there.
MOMENTS = [pytest.param(False, id="at-once"), pytest.param(True, id="as-it-resumes")]
OPENING = ("openat2", "openat", "open_path", "dup")
Work = Generator[Any, Any, Any] | Coroutine[Any, Any, Any]


@coroutine
def stopped_at(
    step: int, late: bool, work: Work, stop: Callable[[], object]
) -> Generator[Any, Any, int]:
    """Run a coroutine and stop it at one of its suspensions; return how many it had."""
    thrown: BaseException | None = None
    for number in itertools.count(1):
        try:
            waited_for = work.send(None) if thrown is None else work.throw(thrown)
        except StopIteration:
            return number - 1
        if number == step and late and asyncio.isfuture(waited_for):
            waited_for.add_done_callback(lambda _: stop())
        elif number == step:
            stop()
        thrown = None
        try:
            yield waited_for
        except BaseException as error:
            thrown = error
    raise AssertionError


async def cancelled_at(step: int, late: bool, work: Work) -> int:
    """Cancel the task at a suspension of what it does."""
    task = asyncio.current_task()
    assert task is not None
    return await stopped_at(step, late, work, task.cancel)


class Ledger:
    """Every handle the package opens and closes; closing one a second time is an error."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.opened = 0
        self.wrong: list[int] = []
        self._closed: set[int] = set()
        for name in OPENING:
            patch.setattr(kernel, name, self._opening(getattr(kernel, name)))
        patch.setattr(kernel, "close", self._closing(kernel.close))

    def _opening(self, call: Callable[..., int]) -> Callable[..., int]:
        def opening(*args: Any, **kwargs: Any) -> int:
            fd = call(*args, **kwargs)
            self.opened += 1
            self._closed.discard(fd)
            return fd

        return opening

    def _closing(self, call: Callable[[int], None]) -> Callable[[int], None]:
        def closing(fd: int) -> None:
            if fd in self._closed:
                self.wrong.append(fd)
            self._closed.add(fd)  # before the number can be given to another
            call(fd)

        return closing


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    return Ledger(monkeypatch)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("cancelled") / "site", SITE)


@pytest.fixture(params=[False, True], ids=["cached-pages", "cold-pages"])
def _page_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the page cache as it is, and as if it held nothing."""
    if request.param:
        monkeypatch.setattr(kernel, "pread_nowait", lambda *_: None)
        monkeypatch.setattr(kernel, "pread_into_nowait", lambda *_: None)
        monkeypatch.setattr(kernel, "is_resident", lambda *_: False)


@pytest.fixture
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never look whether the root was swapped, which opens a handle now and then."""
    monkeypatch.setattr(roots, "open_tree", partial(open_directory, recheck=math.inf))


@pytest.fixture
def static(
    request: pytest.FixtureRequest, root: Path, ledger: Ledger, _unchecked: None
) -> Iterator[StaticFiles]:
    static = StaticFiles(root, **request.param)
    yield static
    static.close()


def scope_of(method: str, target: str, fields: dict[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": list(fields.items()),
    }


async def send(_: Any) -> None:
    """A client that takes what it gets, one turn of the loop later."""
    await asyncio.sleep(0)


def receiver() -> Callable[[], Any]:
    """A client that says nothing more after its request."""
    said = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        if said:
            return said.pop()
        await asyncio.Event().wait()
        raise AssertionError

    return receive


@asynccontextmanager
async def no_task_left() -> AsyncIterator[None]:
    """Wait, briefly, until only this task runs: threads end, late results are thrown away."""
    yield
    deadline = time.monotonic() + 5
    while len(asyncio.all_tasks()) > 1 and time.monotonic() < deadline:
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.grid
@pytest.mark.parametrize("static", SETTINGS, indirect=True)
@pytest.mark.parametrize("late", MOMENTS)
@pytest.mark.parametrize(("method", "target", "fields"), REQUESTS)
@pytest.mark.usefixtures("_page_cache")
async def test_a_request_cancelled_anywhere_closes_each_handle_once(
    static: StaticFiles,
    ledger: Ledger,
    late: bool,
    method: str,
    target: str,
    fields: dict[bytes, bytes],
) -> None:
    scope = scope_of(method, target, fields)
    async with no_task_left():
        await static(scope, receiver(), send)
    before, cancelled = open_handles(), 0
    for step in range(1, 200):
        task = asyncio.ensure_future(cancelled_at(step, late, static(scope, receiver(), send)))
        async with no_task_left():
            with suppress(asyncio.CancelledError):
                if await task < step:
                    break
            cancelled += 1
        assert settled_handles(before, seconds=5) <= before, step
    else:
        pytest.fail("the request never completed")
    assert cancelled
    assert settled_handles(before, seconds=5) <= before
    assert ledger.wrong == []
    assert ledger.opened


# -- the direct entry -------------------------------------------------------------------------

DIRECT = [
    pytest.param("/page.html", (), id="small"),
    pytest.param("/big.bin", (), id="large"),
    pytest.param("/big.bin", ("Range: bytes=0-9,200-300000",), id="parts"),
]


class Step:
    """The connection is lost at step `at` of what the direct entry waits for, if it takes as many."""

    def __init__(self) -> None:
        self.at = 0
        self.taken = 0


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Step:
    chosen = Step()
    run = DirectProtocol._run

    async def stepping(self: DirectProtocol, work: Any) -> None:
        lose = self.transport.abort
        chosen.taken = chosen.at  # also if it never comes to an end
        chosen.taken = await stopped_at(chosen.at, False, run(self, work), lose)

    monkeypatch.setattr(DirectProtocol, "_run", stepping)
    return chosen


@pytest.mark.parametrize("resolver", ["openat2", "walk"])
@pytest.mark.parametrize(("target", "lines"), DIRECT)
@pytest.mark.usefixtures("_page_cache", "_unchecked")
def test_a_connection_of_the_direct_entry_lost_anywhere_closes_each_handle_once(
    root: Path, ledger: Ledger, step: Step, target: str, lines: tuple[str, ...], resolver: Any
) -> None:
    static = StaticFiles(root, cache_bytes=0, resolver=resolver)
    with serving_inside(static, direct=True) as port:
        assert ask(port, target, *lines)
        before = settled_handles(at_most=0, seconds=0.05)
        for number in range(1, 100):
            step.at, step.taken = number, 0
            with Connection(port, timeout=0.1) as connection, suppress(TimeoutError, EndedError):
                connection.send(head(target, "Connection: close", *lines))
                connection.read()
            assert settled_handles(before, seconds=5) <= before, number
            if step.taken < number:
                break
        else:
            pytest.fail("the answer never completed")
    static.close()
    assert ledger.wrong == []
