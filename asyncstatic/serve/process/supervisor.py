"""The supervisor: worker processes that are replaced when they die, and renewed on request.

Workers are started by "spawn": a new interpreter imports everything anew, so new workers have new
code and new settings. All accept connections from the same listening sockets. The supervisor keeps
these open: while no worker accepts, connections wait in the kernel's queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import count
from typing import Any

from hypercorn.config import Sockets

from asyncstatic.serve.process.control import StartError, close_sockets, logger, one_line
from asyncstatic.serve.process.worker import Work
from asyncstatic.serve.process.worker_process import WorkerProcess
from asyncstatic.serve.server import first

# Seconds after the graceful timeout until a worker is killed: for lifespan, logs, interpreter. Also
# those in which a living worker obeys a command.
_GRACE = 5.0
_MOST_QUICK_DEATHS = 5  # one after another, for each worker
_ATTEMPTS = 3  # to start a worker
_LONGEST_DELAY = 10.0  # seconds between the death of a worker and its replacement


class Supervisor:
    """Keeps a number of worker processes alive; `control.Service` says how it is used.

    Args:
        work: serves in each worker process; must be picklable.
        workers: the number of processes.
        graceful_timeout: seconds that a worker may take to finish its responses.
        sockets: listen; this process closes them when the service ends.
        renewed: returns the work of the workers that a reload starts, or raises SettingsError; called in
            a thread.
    """

    def __init__(
        self,
        work: Work,
        workers: int,
        graceful_timeout: float,
        sockets: Sockets,
        renewed: Callable[[], Work] | None = None,
    ) -> None:
        self._work = work
        self._renewed = renewed or (lambda: work)
        self._count = workers
        self._patience = graceful_timeout + _GRACE
        self._sockets = sockets
        self._current: dict[WorkerProcess, asyncio.Task[None]] = {}  # and what replaces each
        self._living: set[WorkerProcess] = set()  # also those that start, and those that finish
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._quick_deaths = 0
        self._last_death = ""
        self._problem: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def status(self) -> str:
        """The state of the service, for people."""
        count = len(self._current)
        return "1 worker" if count == 1 else f"{count} workers"

    async def start(self) -> None:
        """Start all workers, and wait until they are ready.

        Raises:
            StartError: a worker ended instead.
        """
        self._adopt(await self._new_workers(self._work))

    async def reload(self) -> None:
        """Start new workers; when all are ready, let the old ones finish.

        A worker that dies later is replaced by one with the same work, whatever the configuration
        file says by then.

        Raises:
            SettingsError: the configuration is wrong; the old workers go on, as after each error.
            StartError: a new worker ended.
        """
        self._quick_deaths = 0  # the operator may have corrected the cause
        work = await asyncio.to_thread(self._renewed)
        new = await self._new_workers(work)
        for watching in self._current.values():
            watching.cancel()
        self._work, self._current = work, {}
        self._adopt(new)
        # Also successors of dead workers that are starting: they would serve the old settings.
        old = [worker for worker in self._living - new if not worker.is_ending]
        for worker in old:
            self._spawn(self._end(worker, "retire"))
        await asyncio.gather(*map(_closed, old))

    def reopen(self) -> None:
        """Let all workers reopen their log files."""
        for worker in self._living:
            worker.tell("reopen")

    async def answers(self, seconds: float) -> bool:
        """Ask all living workers for a sign of life; tell whether each gave one in time."""
        workers = tuple(self._current)
        for worker in workers:
            worker.ping()
        told = (worker.in_time(worker.has_answered, seconds) for worker in workers)
        return all(await asyncio.gather(*told))

    async def failed(self) -> str:
        return await asyncio.shield(self._problem)

    async def stop(self) -> None:
        """Let all workers finish, and wait until they have ended."""
        close_sockets(self._sockets)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*(self._end(worker, "stop") for worker in self._living))

    def kill(self, _number: int) -> None:
        """End all workers at once."""
        for worker in self._living:
            worker.kill()

    # -- workers ---------------------------------------------------------------------------

    async def _new_workers(self, work: Work) -> set[WorkerProcess]:
        """Start as many workers as wanted; on failure of one, end all of them."""
        begun: set[WorkerProcess] = set()
        starting = [
            asyncio.ensure_future(self._new_worker(work, begun)) for _ in range(self._count)
        ]
        try:
            return set(await asyncio.gather(*starting))
        except Exception:  # not a stop, which ends all living workers itself
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
            for worker in begun & self._living:  # it may accept connections already
                self._spawn(self._end(worker, "retire"))
            raise

    async def _new_worker(self, work: Work, begun: set[WorkerProcess]) -> WorkerProcess:
        """Start a worker, and wait until it is ready; if a signal ends it, start another.

        Args:
            work: serves in it.
            begun: gets each process that is started.

        Raises:
            StartError: it ended instead, or the system cannot start a process.
        """
        for _ in range(_ATTEMPTS):
            await asyncio.sleep(self._delay())
            try:
                worker = await self._started(work, begun)
            except OSError as error:  # out of memory, processes or descriptors
                self._quick_deaths += 1
                self._last_death = f"no process can be started: {one_line(error)}"
                break
            if worker.exit_status is None:
                return worker
            self._quick_deaths += 1
            self._last_death = worker.death()
            if worker.exit_status >= 0:  # another would end in the same way
                break
            logger.warning("%s", self._last_death)
        raise StartError(self._last_death)

    async def _started(self, work: Work, begun: set[WorkerProcess]) -> WorkerProcess:
        """Start a worker, and wait until it is ready or has ended."""
        worker = WorkerProcess(next(self._numbers))
        await worker.start(work)
        begun.add(worker)
        self._living.add(worker)
        await first(worker.is_ready.wait, worker.ended)
        if worker.exit_status is not None:
            self._living.discard(worker)
        return worker

    def _adopt(self, workers: set[WorkerProcess]) -> None:
        for worker in workers:
            self._current[worker] = self._spawn(self._watch(worker))

    async def _watch(self, worker: WorkerProcess) -> None:
        """Wait until a worker must be replaced, and replace it."""
        await first(worker.ended, worker.is_worn.wait)
        if worker.exit_status is not None:
            self._living.discard(worker)
            self._quick_deaths = 0 if worker.is_settled() else self._quick_deaths + 1
            self._last_death = worker.death()
            logger.warning("%s; it is replaced", self._last_death)
        await self._replace(worker)

    async def _replace(self, old: WorkerProcess) -> None:
        while not self._gives_up():
            try:
                new = await self._new_worker(self._work, set())
            except StartError as error:
                logger.warning("%s", error)
                continue
            del self._current[old]
            self._adopt({new})
            if old.exit_status is None:
                self._spawn(self._end(old, "retire"))
            return

    def _delay(self) -> float:
        """Return the seconds until the next start: none at first, then twice as long each time."""
        deaths = self._quick_deaths
        return min(0.1 * 2.0 ** (deaths / self._count), _LONGEST_DELAY) if deaths else 0.0

    def _gives_up(self) -> bool:
        """End the service if workers die at once, again and again, and no other serves."""
        if self._quick_deaths < _MOST_QUICK_DEATHS * self._count:
            return False
        if any(worker.exit_status is None and worker.is_settled() for worker in self._current):
            return False
        if not self._problem.done():
            self._problem.set_result(
                f"workers end as soon as they start: {self._last_death}; "
                "correct the cause, and start the server again"
            )
        return True

    async def _end(self, worker: WorkerProcess, command: str) -> None:
        """Let a worker finish, and kill it when it takes too long."""
        worker.end(command)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await worker.ended()
        if worker.exit_status is None:
            logger.warning("%s has not ended in time; it is killed", worker.name)
            worker.kill()
            await worker.ended()
        elif worker.exit_status and worker.is_ready.is_set() and not worker.is_killed:
            logger.warning("%s", worker.death())
        self._living.discard(worker)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _closed(worker: WorkerProcess) -> None:
    """Wait until a worker that retires accepts no more connections."""
    if not await worker.in_time(worker.has_closed, _GRACE):
        logger.warning("%s does not answer; it may still accept connections", worker.name)
