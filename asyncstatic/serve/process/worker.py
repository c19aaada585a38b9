"""A worker process: the messages between it and its supervisor, and its end.

Supervisor and worker are connected by a pair of sockets. Each sends lines:

============  ====================================================================
from worker   ``ready``, ``pong``, ``worn`` (it has served its ``max_requests``),
              ``closed`` (it retires, and accepts no more connections), ``failed REASON``
to worker     ``ping``, ``reopen`` (the logs), ``stop``, ``retire`` (stop; others accept
              connections already); the first of these two counts
============  ====================================================================

The end of this connection means that the other process is dead. So a worker ends with its
supervisor. On Linux the kernel also sends it SIGTERM, which works before it listens to the socket.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial

from hypercorn.utils import LifespanFailureError

from asyncstatic.serve.access_log import reopen_logs
from asyncstatic.serve.process.control import one_line
from asyncstatic.serve.process.signals import unblock
from asyncstatic.serve.server import Closed, Until, Waiter
from asyncstatic.settings import SettingsError

Work = Callable[[Until], None]

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_EXPECTED = (SettingsError, OSError, LifespanFailureError)


def run_worker(work: Work, channel: socket.socket, supervisor: int) -> None:
    """Serve in this new process, as its supervisor wants.

    Args:
        work: serves until its argument says that it must end.
        channel: the connection to the supervisor.
        supervisor: the process id of the supervisor.
    """
    unblock()
    end_with(supervisor)
    channel.set_inheritable(False)
    link = _Link(channel)
    try:
        work(link.until)
    except Exception as error:
        link.tell(f"failed {one_line(error)}")
        if not isinstance(error, _EXPECTED):
            raise
        sys.exit(1)


def end_with(supervisor: int) -> None:
    """Let the kernel send this process SIGTERM when its supervisor dies (prctl(2), Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != supervisor:  # it died before the call
            sys.exit(1)


async def streams(channel: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the streams of one end of the connection."""
    if channel.family == socket.AF_INET:  # Windows
        return await asyncio.open_connection(sock=channel)
    return await asyncio.open_unix_connection(sock=channel)


class _Link:
    """The worker's end of the connection."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._second = channel.dup()  # stays open until the process is gone
        self._is_gentle = False
        self._tasks: list[asyncio.Task[None]] = []

    def tell(self, line: str) -> None:
        """Send the supervisor a line."""
        with suppress(OSError):  # it is gone, or reads nothing
            self._second.send(line.encode("utf-8", "replace") + b"\n")

    async def until(self, worn: Waiter) -> Closed | None:
        """Tell that this worker is ready; wait until it must end. `server.Until` says more."""
        loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(signal.SIGTERM, self._end.set)
        reader, self._writer = await streams(self._channel)
        self._tasks += [loop.create_task(self._obey(reader)), loop.create_task(self._wear(worn))]
        self.tell("ready")
        await self._end.wait()
        return partial(self.tell, "closed") if self._is_gentle else None

    async def _obey(self, reader: asyncio.StreamReader) -> None:
        """Carry out what the supervisor says, until this is cancelled."""
        with suppress(OSError), closing(self._writer):
            while line := await reader.readline():
                command = line.strip()
                if command == b"ping":
                    self.tell("pong")
                elif command == b"reopen":
                    reopen_logs()
                elif not self._end.is_set():
                    self._is_gentle = command == b"retire"
                    self._end.set()
        self._end.set()

    async def _wear(self, worn: Waiter) -> None:
        await worn()
        self.tell("worn")
