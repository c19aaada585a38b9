"""The pool: bounded, patient for so long, and nothing is lost that somebody must close."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle, identity_of
from asyncstatic.files.pool import QUEUE_PER_THREAD, Pool, PoolBusyError
from tests.support.servers import environment

PATIENCE = 10.0  # seconds; for what is expected, at once


class Gate:
    """A call that stays in its thread until it is let go."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._entered = threading.Event()

    def __call__(self, result: str = "late") -> str:
        self._entered.set()
        assert self._open.wait(PATIENCE)
        return result

    def let_go(self) -> None:
        self._open.set()

    async def entered(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self._entered.is_set():
                await asyncio.sleep(0.001)


class Discarded(list[object]):
    """What was discarded, and a way to wait for it."""

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self:
                await asyncio.sleep(0.001)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.let_go()


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(threads=1, timeout=PATIENCE)
    yield pool
    pool.close()


async def test_a_call_runs_in_a_thread_of_the_pool(pool: Pool) -> None:
    name = await pool.run(lambda: threading.current_thread().name)
    assert name.startswith("asyncstatic-disk")


async def test_arguments_and_result_are_handed_through(pool: Pool) -> None:
    assert await pool.run(divmod, 17, 5) == (3, 2)


async def test_an_exception_is_handed_through(pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 1, 0)
    assert await pool.run(divmod, 1, 1) == (1, 0)


async def test_a_thread_that_has_answered_holds_nothing_of_what_it_called(
    pool: Pool, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a directory's handle would be open, sometimes, a moment after its last use."""
    loop = asyncio.get_running_loop()
    really = loop.call_soon_threadsafe

    def answer_and_stay(*args: Any, **kwargs: Any) -> asyncio.Handle:
        handle = really(*args, **kwargs)
        gate()
        return handle

    monkeypatch.setattr(loop, "call_soon_threadsafe", answer_and_stay)
    called = Gate()
    held = weakref.ref(called)
    asyncio.get_running_loop().call_later(0.01, called.let_go)
    await pool.run(called)
    del called
    await asyncio.sleep(0)  # the timer's reference goes
    assert held() is None


async def test_a_used_result_is_not_discarded(pool: Pool) -> None:
    discarded = Discarded()
    assert await pool.run(str, 5, discard=discarded.append) == "5"
    assert await pool.run(str, 6, discard=discarded.append) == "6"
    assert discarded == []


async def test_what_a_cancelled_caller_asked_for_is_discarded(pool: Pool, gate: Gate) -> None:
    discarded = Discarded()
    caller = asyncio.create_task(pool.run(gate, "handle", discard=discarded.append))
    await gate.entered()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert discarded == []
    gate.let_go()
    await discarded.wait()
    assert discarded == ["handle"]


async def test_cancelled_as_the_result_arrives_it_is_discarded(pool: Pool) -> None:
    """The call is done, but its caller is cancelled before it runs again."""
    discarded = Discarded()
    done = threading.Event()

    def call() -> str:
        done.set()
        return "handle"

    caller = asyncio.create_task(pool.run(call, discard=discarded.append))
    for _ in range(5):  # turns of the loop, until the call is in its thread
        await asyncio.sleep(0)
    assert done.wait(PATIENCE)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await discarded.wait()
    assert discarded == ["handle"]


async def test_after_its_timeout_a_call_is_busy_and_its_result_discarded(gate: Gate) -> None:
    pool = Pool(threads=1, timeout=0.01)
    discarded = Discarded()
    with pytest.raises(PoolBusyError):
        await pool.run(gate, "handle", discard=discarded.append)
    gate.let_go()
    await discarded.wait()
    assert discarded == ["handle"]
    pool.close()


async def test_an_abandoned_call_that_fails_is_silent(
    gate: Gate, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    others = set(threading.enumerate())  # pools of other tests
    pool = Pool(threads=1, timeout=0.01)

    def failing() -> str:
        gate()
        raise OSError(5, "disk")

    discarded = Discarded()
    with pytest.raises(PoolBusyError):
        await pool.run(failing, discard=discarded.append)
    caplog.clear()
    gate.let_go()
    pool.close()
    async with asyncio.timeout(PATIENCE):
        ours = [it for it in set(threading.enumerate()) - others if "-disk" in it.name]
        while any(thread.is_alive() for thread in ours):
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert discarded == []
    assert not recwarn.list
    assert not caplog.records


async def test_a_call_that_waits_in_the_queue_has_the_same_timeout(gate: Gate) -> None:
    pool = Pool(threads=1, timeout=0.05)
    first = asyncio.create_task(pool.run(gate))
    await gate.entered()
    with pytest.raises(PoolBusyError):
        await pool.run(str, 1)
    with pytest.raises(PoolBusyError):
        await first
    gate.let_go()
    pool.close()


async def test_a_full_queue_is_busy_at_once(pool: Pool, gate: Gate) -> None:
    running = [asyncio.create_task(pool.run(gate)) for _ in range(1 + QUEUE_PER_THREAD)]
    await gate.entered()
    for _ in range(3):
        with pytest.raises(PoolBusyError):
            await pool.run(str, 1)
    gate.let_go()
    assert await asyncio.gather(*running) == ["late"] * (1 + QUEUE_PER_THREAD)


async def test_places_come_back(pool: Pool, gate: Gate) -> None:
    """Also those of cancelled callers - when the thread is free again, not before."""
    callers = [asyncio.create_task(pool.run(gate)) for _ in range(1 + QUEUE_PER_THREAD)]
    await gate.entered()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    with pytest.raises(PoolBusyError):
        await pool.run(str, 1)
    gate.let_go()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                assert await pool.run(str, 2) == "2"
            except PoolBusyError:
                await asyncio.sleep(0.001)
            else:
                break


async def test_threads_are_bounded() -> None:
    pool = Pool(threads=3, timeout=PATIENCE)
    names = await asyncio.gather(
        *(pool.run(lambda: threading.current_thread().name) for _ in range(60))
    )
    assert 1 <= len(set(names)) <= 3
    pool.close()


async def test_without_a_thread_a_call_is_busy_and_never_runs(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of threads, or memory, is reached: also what waits for a thread is given back."""
    called: list[int] = []
    for number in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(PoolBusyError):
                await pool.run(called.append, number)
        assert not pool._executor._work_queue.qsize()
    assert await pool.run(str, 2) == "2"
    assert not called


async def test_without_a_second_thread_the_first_goes_on(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(threads=2, timeout=PATIENCE)
    running = asyncio.create_task(pool.run(gate))
    await gate.entered()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(PoolBusyError):
            await pool.run(str, 1)
    gate.let_go()
    assert await running == "late"
    assert await pool.run(str, 2) == "2"
    pool.close()


def no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


async def test_why_calls_are_refused_is_one_line_of_the_log(
    gate: Gate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines() -> list[str]:
        texts = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return texts

    pool = Pool(threads=1, timeout=0.01, path="/srv/site")
    for _ in range(3):
        with pytest.raises(PoolBusyError):
            await pool.run(gate)
    assert lines() == ["'/srv/site' cannot be read: no answer within 0.01 seconds"]
    pool._silent_until = 0
    waiting = [asyncio.ensure_future(pool.run(gate)) for _ in range(QUEUE_PER_THREAD)]
    assert PoolBusyError in {
        type(it) for it in await asyncio.gather(*waiting, return_exceptions=True)
    }
    assert lines() == ["'/srv/site' cannot be read: too many requests wait for the disk"]
    gate.let_go()
    pool.close()
    assert not lines()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(PoolBusyError):
            await Pool(threads=1, timeout=PATIENCE, path="/srv").run(int)
    assert lines() == ["'/srv' cannot be read: no thread can be started"]


async def test_a_closed_pool_is_busy() -> None:
    pool = Pool(threads=1, timeout=PATIENCE)
    assert await pool.run(str, 1) == "1"
    pool.close()
    for _ in range(2):
        with pytest.raises(PoolBusyError):
            await pool.run(str, 1)


async def test_a_call_that_waits_is_answered_when_the_pool_is_closed(
    gate: Gate, tmp_path: Path, open_handles: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is busy and not cancelled, and closes its duplicate of the descriptor."""
    pool = Pool(threads=1, timeout=PATIENCE)
    (tmp_path / "a").write_bytes(b"a")
    fd = os.open(tmp_path / "a", os.O_RDONLY)
    handle = Handle(fd, identity_of(os.fstat(fd)), pool)
    before = open_handles()
    monkeypatch.setattr(kernel, "pread_nowait", lambda *_: None)
    running = asyncio.ensure_future(pool.run(gate))
    await gate.entered()
    waiting = asyncio.ensure_future(handle.read(0, 1))
    while not pool._executor._work_queue.qsize():
        await asyncio.sleep(0)
    pool.close()
    assert isinstance((await asyncio.wait_for(until(waiting), PATIENCE)), PoolBusyError)
    del waiting
    gate.let_go()
    assert await running == "late"
    assert open_handles() == before
    handle.close()


async def until(call: asyncio.Future[bytes]) -> BaseException | None:
    await asyncio.wait([call])
    return None if call.cancelled() else call.exception()


FORKED = """
import asyncio, os
from asyncstatic.files.pool import Pool

pool = Pool(threads=1, timeout=10)
asyncio.run(pool.run(int))
child = os.fork()
print(asyncio.run(pool.run(os.getpid)) == os.getpid(), flush=True)
if child:
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_process_that_was_forked_has_threads_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
