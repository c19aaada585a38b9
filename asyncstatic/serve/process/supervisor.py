"""The supervisor: worker processes that are replaced when they die, and renewed on request.

Workers are started by "spawn": a new interpreter imports everything anew, so new workers have new
code and new settings. All accept connections from the same listening sockets. The supervisor keeps
these open: while no worker accepts, connections wait in the kernel's queue.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from hypercorn.config import Sockets

from asyncstatic.serve.process.control import StartError, close_sockets, logger, one_line
from asyncstatic.serve.process.worker import FOR_THE_SUPERVISOR, Work, run_worker, streams
from asyncstatic.serve.server import first

# Seconds after the graceful timeout until a worker is killed: for lifespan, logs, interpreter.
_GRACE = 5.0
_SETTLED_SECONDS = 1.0  # a worker that has lived so long did not die at once
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
        renewed: returns the work of the workers that a reload starts, or raises SettingsError.
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
        self._current: set[_Worker] = set()
        self._living: set[_Worker] = set()  # also those that start, and those that finish
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._quick_deaths = 0
        self._last_death = ""
        self._problem: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def status(self) -> str:
        """The state of the service, for people."""
        return f"{len(self._current)} workers"

    async def start(self) -> None:
        """Start all workers, and wait until they are ready.

        Raises:
            StartError: a worker ended instead.
        """
        self._adopt(await self._new_workers())

    async def reload(self) -> None:
        """Start new workers; when all are ready, let the old ones finish.

        A worker that dies later is replaced by one with the same work, whatever the configuration
        file says by then.

        Raises:
            SettingsError: the configuration is wrong; the old workers go on, as after each error.
            StartError: a new worker ended.
        """
        self._quick_deaths = 0  # the operator may have corrected the cause
        before = self._work
        try:
            self._work = self._renewed()
            new, old = await self._new_workers(), self._current
        except BaseException:
            self._work = before
            raise
        self._current = set()
        self._adopt(new)
        for worker in old:
            self._spawn(self._end(worker, "retire"))

    def reopen(self) -> None:
        """Let all workers reopen their log files."""
        for worker in self._living:
            worker.tell("reopen")

    async def answers(self, seconds: float) -> bool:
        """Ask all living workers for a sign of life; tell whether each gave one in time."""
        workers = [worker for worker in self._current if worker.exit_status is None]
        for worker in workers:
            worker.ping()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for worker in workers:
                    await worker.has_answered.wait()
        return all(worker.has_answered.is_set() for worker in workers)

    async def failed(self) -> str:
        """Wait until the service cannot go on; return why."""
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

    async def _new_workers(self) -> set[_Worker]:
        """Start as many workers as wanted; on failure of one, end all of them."""
        starting = [asyncio.ensure_future(self._new_worker()) for _ in range(self._count)]
        try:
            return set(await asyncio.gather(*starting))
        except BaseException:
            for task in starting:
                task.cancel()
            for worker in await asyncio.gather(*starting, return_exceptions=True):
                if isinstance(worker, _Worker):  # which accepts connections already
                    self._spawn(self._end(worker, "retire"))
            raise

    async def _new_worker(self) -> _Worker:
        """Start a worker, and wait until it is ready; if a signal ends it, start another.

        Raises:
            StartError: it ended instead, or the system cannot start a process.
        """
        for _ in range(_ATTEMPTS):
            await asyncio.sleep(self._delay())
            try:
                worker = await self._started()
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

    async def _started(self) -> _Worker:
        """Start a worker, and wait until it is ready or has ended."""
        worker = _Worker(next(self._numbers))
        await worker.start(self._work)
        self._living.add(worker)
        try:
            await first(worker.is_ready.wait, worker.ended)
        except BaseException:
            self._spawn(self._end(worker, "retire"))
            raise
        if worker.exit_status is not None:
            self._living.discard(worker)
        return worker

    def _adopt(self, workers: set[_Worker]) -> None:
        self._current |= workers
        for worker in workers:
            self._spawn(self._watch(worker))

    async def _watch(self, worker: _Worker) -> None:
        """Wait until a worker must be replaced, and replace it."""
        await first(worker.ended, worker.is_worn.wait)
        if worker.exit_status is not None:
            self._living.discard(worker)
        if worker not in self._current:
            return
        if worker.exit_status is not None:
            self._quick_deaths = 0 if worker.is_settled() else self._quick_deaths + 1
            self._last_death = worker.death()
            logger.warning("%s; it is replaced", self._last_death)
        await self._replace(worker)

    async def _replace(self, old: _Worker) -> None:
        while not self._gives_up():
            try:
                new = await self._new_worker()
            except StartError as error:
                logger.warning("%s", error)
                continue
            if old in self._current:
                self._current.remove(old)
                self._adopt({new})
            else:  # a reload has replaced all meanwhile
                self._spawn(self._end(new, "retire"))
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

    async def _end(self, worker: _Worker, command: str) -> None:
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Worker:
    """A worker process, as its supervisor sees it.

    Attributes:
        number: counts the workers of the service.
        exit_status: how the process ended, as in `multiprocessing`; None before.
        is_ready: set when it serves.
        is_worn: set when it has served its ``max_requests``.
        has_answered: set when it has answered the last `ping`.
        is_killed: whether this process has ended it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.exit_status: int | None = None
        self.is_ready, self.is_worn = asyncio.Event(), asyncio.Event()
        self.has_answered = asyncio.Event()
        self.is_killed = False
        self._reason = ""
        self._ready_at = 0.0
        self._oom_kills = oom_kills()

    async def start(self, work: Work) -> None:
        """Start the process.

        Raises:
            OSError: the system cannot.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reader, self._writer = await streams(ours)
            context = multiprocessing.get_context("spawn")
            arguments = work, theirs, os.getpid()
            self._process = context.Process(target=run_worker, args=arguments)
            try:
                with _ignored_by_children():
                    self._process.start()
            except BaseException:
                self._writer.close()
                raise
        self._pid = self._process.pid
        self._listening = asyncio.get_running_loop().create_task(self._listen(reader))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Note what the worker tells, until it is gone."""
        with suppress(OSError, ValueError):  # ValueError: a line without end
            while line := await reader.readline():
                word, _, text = line.decode("utf-8", "replace").strip().partition(" ")
                if word == "ready":
                    self._ready_at = asyncio.get_running_loop().time()
                    self.is_ready.set()
                elif word == "pong":
                    self.has_answered.set()
                elif word == "worn":
                    self.is_worn.set()
                elif word == "failed":
                    self._reason = text
        self._writer.close()

    async def ended(self) -> None:
        """Wait until the process has ended.

        Its end closes the connection at once, unless a child process of the worker holds it open.
        """
        while self.exit_status is None:
            await asyncio.wait([self._listening], timeout=1.0)
            if self.exit_status is None and self._process.exitcode is not None:
                self.exit_status = self._process.exitcode
                self._process.close()
            elif self.exit_status is None and self._listening.done():
                await asyncio.sleep(0.01)

    def is_settled(self) -> bool:
        """Tell whether it has been ready for a while."""
        now = asyncio.get_running_loop().time()
        return self.is_ready.is_set() and now >= self._ready_at + _SETTLED_SECONDS

    def tell(self, command: str) -> None:
        """Send a command; `worker` lists them."""
        if not self._writer.is_closing():
            self._writer.write(command.encode() + b"\n")

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.has_answered.clear()
        self.tell("ping")

    def end(self, command: str) -> None:
        """Let it finish, by "stop" or "retire"; "stop" ends it at once before it is ready."""
        if command == "retire" or self.is_ready.is_set():
            self.tell(command)
        elif self.exit_status is None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process at once."""
        if self.exit_status is None:
            self.is_killed = True
            self._process.kill()

    @property
    def name(self) -> str:
        """Its name, for the log."""
        return f"worker {self.number} (process {self._pid})"

    def death(self) -> str:
        """Describe how it ended, for the log."""
        name = self.name
        when = "" if self.is_ready.is_set() else " before it was ready"
        status = self.exit_status or 0
        if status >= 0:
            reason = f": {self._reason}" if self._reason else ""
            return f"{name} ended with status {status}{when}{reason}"
        hint = ""
        if -status == signal.SIGKILL and oom_kills() > self._oom_kills:
            hint = ", perhaps because memory ran out (see dmesg)"
        return f"{name} was ended by {_signal_name(-status)}{when}{hint}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def oom_kills() -> int:
    """Return how many processes of this machine were killed because memory ran out (proc(5))."""
    with suppress(OSError, ValueError), open("/proc/vmstat", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


@contextmanager
def _ignored_by_children() -> Iterator[None]:
    """Let children ignore signals that reach the whole terminal, or are for the supervisor.

    Children inherit an ignored signal. A signal that arrives here meanwhile is not lost: a blocked
    signal stays pending, also while it is ignored (signal(7), Linux).
    """
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is not None:
        mask(signal.SIG_BLOCK, FOR_THE_SUPERVISOR)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in FOR_THE_SUPERVISOR}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if mask is not None:
            mask(signal.SIG_UNBLOCK, FOR_THE_SUPERVISOR)
