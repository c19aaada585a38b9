"""A bounded pool of threads that wait for the disk, so that the event loop never does.

Each root has its own pool: a stalled disk uses up its own threads, and no others.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import aiofiles.os

Result = TypeVar("Result")

# Calls that may wait, per thread. A longer queue only adds delay.
QUEUE_PER_THREAD = 128
_SILENT_SECONDS = 10.0  # between two lines of the log about calls that one pool refuses
logger = logging.getLogger("asyncstatic")


class PoolBusyError(Exception):
    """No thread became free, or the disk did not answer, in time; or no thread can be started."""


class Pool:
    """Threads for blocking calls. A process that was forked begins with new ones.

    Args:
        threads: the largest number of threads; each is started when it is needed.
        timeout: seconds that one call may take, with the wait for a thread.
        path: of what the calls read, for the log.
    """

    def __init__(self, threads: int, timeout: float, path: str = "") -> None:
        self._threads = threads
        self._timeout = timeout
        self._path = path
        self._silent_until = 0.0
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._executor = Threads(self._threads, thread_name_prefix="asyncstatic-disk")
        self._places = self._threads * (1 + QUEUE_PER_THREAD)

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        free = self._places - self._threads * QUEUE_PER_THREAD
        return max(-free, 0)

    async def run(
        self,
        call: Callable[..., Result],
        *args: object,
        discard: Callable[[Result], object] | None = None,
    ) -> Result:
        """Run a call in a thread.

        A call cannot be stopped once it runs. If its caller is cancelled, or the timeout passes,
        `discard` gets the late result, for example to close a handle.

        Raises:
            PoolBusyError: no place in the queue, no answer within the timeout, no thread, or the
                pool was closed before the call began. Then nothing refers to the arguments any more.
        """
        if self._process != os.getpid():
            self._begin()
        if self._closed:
            raise PoolBusyError
        if self._places <= 0:
            raise self._busy("too many requests wait for the disk")
        self._places -= 1
        job = _Job(call, args, discard)
        # aiofiles' wrapper is one hop to a thread and back: a partial in the executor.
        task = asyncio.ensure_future(aiofiles.os.wrap(job)(executor=self._executor))
        task.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(task)
        except TimeoutError:
            job.abandon()
            raise self._busy(f"no answer within {self._timeout:g} seconds") from None
        except PoolBusyError:
            job.abandon()
            self._begin_anew()
            raise self._busy("no thread can be started") from None
        except asyncio.CancelledError:
            job.abandon()
            if _is_caller_cancelled():
                raise
            raise PoolBusyError from None  # `close` cancelled the call

    def _leave(self, task: asyncio.Future[Result]) -> None:
        self._places += 1
        if not task.cancelled():
            task.exception()  # marks it as retrieved, also where no caller waits any more

    def _busy(self, reason: str) -> PoolBusyError:
        """Return the refusal of a call; its reason is logged now and then."""
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _SILENT_SECONDS
            logger.error("%a cannot be read: %s", self._path, reason)
        return PoolBusyError()

    def _begin_anew(self) -> None:
        """Refuse the calls that wait: one for which no thread can be started stays in the queue."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if not self._closed:
            self._executor = Threads(self._threads, thread_name_prefix="asyncstatic-disk")

    def close(self) -> None:
        """Start no more calls, also none that wait. Running calls end by themselves."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)


class Threads(ThreadPoolExecutor):
    """Threads that are started when they are needed.

    A call raises PoolBusyError if none can be started, because of a limit or for lack of memory.
    """

    def submit(self, call: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        try:
            return super().submit(call, *args, **kwargs)
        except RuntimeError:  # also once they are shut down
            raise PoolBusyError from None


def _is_caller_cancelled() -> bool:
    caller = asyncio.current_task()
    return caller is not None and caller.cancelling() > 0


class _Job(Generic[Result]):
    """A call in a thread whose caller may give up on it.

    The thread appends the result to a list, the caller that gives up appends a marker. An append
    is atomic. The second of the two finds the other's item in front and discards the result, so
    exactly one of them does.
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
        # The thread holds this job a moment longer than its caller waits for it. Call and arguments
        # may hold a file open, so the job drops them before the result is there.
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
    """The marker of a caller that gave up."""
