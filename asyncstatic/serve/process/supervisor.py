"""The supervisor starts worker processes, replaces those that end, and stops all together."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

# Seconds after the graceful timeout until a worker is killed: for lifespan, logs, interpreter.
_GRACE = 5.0


def supervise(work: Callable[[], None], workers: int, graceful_timeout: float) -> int:
    """Keep worker processes alive until a signal comes or one of them fails.

    Args:
        work: runs in each worker process; must be picklable.
        workers: the number of processes.
        graceful_timeout: seconds that each may take to end.

    Returns:
        0, or 1 when a worker failed.
    """
    supervisor = _Supervisor(work, graceful_timeout)
    for _ in range(workers):
        supervisor.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, supervisor.stop)
    return supervisor.watch()


@contextmanager
def _interrupt_ignored_by_children() -> Iterator[None]:
    """Let children ignore SIGINT: Ctrl-C reaches the whole group, but the supervisor stops them.

    Children inherit an ignored signal. A SIGINT that arrives here meanwhile is not lost: a blocked
    signal stays pending, also while it is ignored (signal(7), Linux).
    """
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is not None:
        mask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if mask is not None:
            mask(signal.SIG_UNBLOCK, {signal.SIGINT})


class _Supervisor:
    def __init__(self, work: Callable[[], None], graceful_timeout: float) -> None:
        self._work = work
        self._patience = graceful_timeout + _GRACE
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess] = []
        self._deadline: float | None = None

    def start(self) -> None:
        """Start a worker, and stop it at once if a stop was requested meanwhile."""
        process = self._context.Process(target=self._work)
        with _interrupt_ignored_by_children():
            process.start()
        self._processes.append(process)
        if self._deadline is not None:
            process.terminate()

    def stop(self, *_: Any) -> None:
        """Send SIGTERM to all workers."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._patience
        for process in self._processes:
            process.terminate()

    def watch(self) -> int:
        """Wait until all workers have ended; return the exit status."""
        status = 0
        while self._processes:
            wait([process.sentinel for process in self._processes], self._time_left())
            for process in [process for process in self._processes if not process.is_alive()]:
                process.join()
                self._processes.remove(process)
                if self._deadline is not None:
                    continue
                if process.exitcode:
                    status = 1
                    self.stop()
                else:
                    self.start()  # it served its max_requests
        return status

    def _time_left(self) -> float | None:
        """Return the seconds until workers are killed; None before a stop."""
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            for process in self._processes:
                process.kill()
            return None
        return left
