"""A worker process, as its supervisor sees it: how it is started, asked and ended, and how it died."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
from contextlib import suppress

from asyncstatic.serve.process.signals import ending, ignored_by_children
from asyncstatic.serve.process.worker import Work, run_worker, streams
from asyncstatic.serve.server import first

_SETTLED_SECONDS = 1.0  # a worker that has lived so long did not die at once


class WorkerProcess:
    """A worker process.

    Attributes:
        number: counts the workers of the service.
        exit_status: how the process ended, as in `multiprocessing`; None before.
        is_ready: set when it serves.
        is_worn: set when it has served its ``max_requests``.
        has_answered: set when it has answered the last `ping`.
        has_closed: set when it retires, and accepts no more connections.
        is_ending: whether it was told to end.
        is_killed: whether this process has ended it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.exit_status: int | None = None
        self.is_ready, self.is_worn = asyncio.Event(), asyncio.Event()
        self.has_answered, self.has_closed = asyncio.Event(), asyncio.Event()
        self.is_ending = self.is_killed = False
        self._reason = ""
        self._ready_at = 0.0
        self._oom_kills = oom_kills()

    async def start(self, work: Work) -> None:
        """Start the process.

        Raises:
            OSError: the system cannot.
        """
        os.stat(os.curdir)  # the new process enters it (multiprocessing.spawn)
        ours, theirs = socket.socketpair()
        with theirs:
            reader, self._writer = await streams(ours)
            context = multiprocessing.get_context("spawn")
            arguments = work, theirs, os.getpid()
            self._process = context.Process(target=run_worker, args=arguments)
            try:
                with ignored_by_children():
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
                elif word == "closed":
                    self.has_closed.set()
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

    async def in_time(self, told: asyncio.Event, seconds: float) -> bool:
        """Wait until the worker has told something, or has ended; False if that takes longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await first(told.wait, self.ended)
                return True
        return False

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
        self.is_ending = True
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
        hint = f": {self._reason}" if self._reason and status >= 0 else ""
        if -status == signal.SIGKILL and oom_kills() > self._oom_kills:
            hint = ", perhaps because memory ran out (see dmesg)"
        return f"{name} {ending(status)}{when}{hint}"


def oom_kills() -> int:
    """Return how many processes of this machine were killed because memory ran out (proc(5))."""
    with suppress(OSError, ValueError), open("/proc/vmstat", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
