"""A bounded pool of threads that wait for one disk, so that the event loop never does.

Each root has its own: a stalled disk uses up its own threads and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import aiofiles.os

Result = TypeVar("Result")

# Calls that may wait for a thread, for each thread: beyond that a queue only adds delay.
QUEUE_PER_THREAD = 128


class PoolBusyError(Exception):
    """No thread became free, or the disk did not answer, in time."""


class Pool:
    """Threads for blocking calls.

    Args:
        threads: how many at most; they are started when needed.
        timeout: seconds that one call may take, waiting for a thread included.
    """

    def __init__(self, threads: int, timeout: float) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="asyncstatic-disk")
        self._places = threads * (1 + QUEUE_PER_THREAD)
        self._timeout = timeout

    async def run(
        self,
        call: Callable[..., Result],
        *args: object,
        discard: Callable[[Result], object] | None = None,
    ) -> Result:
        """Run a call in a thread.

        A call cannot be stopped once it runs. When its caller is cancelled or loses
        patience, `discard` gets the late result - to close a handle nobody will use.

        Raises:
            PoolBusyError: no place in the queue, or no answer within the timeout.
        """
        if self._places <= 0:
            raise PoolBusyError
        self._places -= 1
        # aiofiles' wrapper is one hop to a thread and back: a partial in the executor.
        task = asyncio.ensure_future(aiofiles.os.wrap(call)(*args, executor=self._executor))
        task.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(task)
        except TimeoutError:
            _abandon(task, discard)
            raise PoolBusyError from None
        except asyncio.CancelledError:
            _abandon(task, discard)
            raise

    def _leave(self, _: asyncio.Future[Result]) -> None:
        self._places += 1

    def close(self) -> None:
        """Let running calls end by themselves and start no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _abandon(task: asyncio.Future[Result], discard: Callable[[Result], object] | None) -> None:
    def finish(done: asyncio.Future[Result]) -> None:
        if not done.cancelled() and done.exception() is None and discard is not None:
            discard(done.result())

    task.add_done_callback(finish)
