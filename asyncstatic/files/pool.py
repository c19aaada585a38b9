"""A bounded pool of threads that wait for one disk, so that the event loop never does.

Each root has its own: a stalled disk uses up its own threads and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

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

    def admit(self) -> None:
        """Tell whether a call made now would have a place in the queue.

        Raises:
            PoolBusyError: it would not.
        """
        if self._places <= 0:
            raise PoolBusyError

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
        self.admit()
        self._places -= 1
        errand = _Errand(call, args, discard)
        # aiofiles' wrapper is one hop to a thread and back: a partial in the executor.
        task = asyncio.ensure_future(aiofiles.os.wrap(errand)(executor=self._executor))
        task.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(task)
        except TimeoutError:
            errand.abandon()
            raise PoolBusyError from None
        except asyncio.CancelledError:
            errand.abandon()
            raise

    def _leave(self, task: asyncio.Future[Result]) -> None:
        self._places += 1
        if not task.cancelled():
            task.exception()  # looked at, also where nobody waits for it any more

    def close(self) -> None:
        """Let running calls end by themselves and start no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class _Errand(Generic[Result]):
    """A call in a thread whose caller may give up on it.

    Result and abandonment each leave a note, by an append, which is atomic: whoever comes
    second finds the other's note first and sees to the result, so exactly one of them does.
    """

    def __init__(
        self,
        call: Callable[..., Result],
        args: tuple[object, ...],
        discard: Callable[[Result], object] | None,
    ) -> None:
        self._call = call
        self._args = args
        self._discard = discard
        self._notes: list[Result | _Abandoned] = []

    def __call__(self) -> Result:
        # The thread holds this errand a moment longer than its caller waits for it. What was
        # called may hold a directory open: it goes with this frame, before the answer.
        call, args = self._call, self._args
        del self._call, self._args
        result = call(*args)
        self._notes.append(result)
        if isinstance(self._notes[0], _Abandoned) and self._discard is not None:
            self._discard(result)
        return result

    def abandon(self) -> None:
        self._notes.append(_Abandoned())
        result = self._notes[0]
        if not isinstance(result, _Abandoned) and self._discard is not None:
            self._discard(result)


class _Abandoned:
    """The note of a caller who has gone."""
