"""A server inside this process, on a loop in a thread: what it calls can be watched and failed."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypercorn.config import Config, Sockets

from asyncstatic.files import kernel
from asyncstatic.serve.server import serve_app
from tests.support.raw import HOST, Answer, Connection, EndedError, head

#: What kernel.py makes of its own calls, so that a fault reaches it by theirs; a setting; an error.
_MADE_OF_OTHERS = {
    *("pread_nowait", "pread_into_nowait", "is_resident", "scratch", "handle_limit"),
    *("release", "fault"),
}
#: The functions of kernel.py that ask the system for something: all others that are defined there.
CALLS = tuple(
    name
    for name, value in vars(kernel).items()
    if callable(value)
    and getattr(value, "__module__", "") in (kernel.__name__, os.open.__module__)
    and not name.startswith("_")
    and name not in _MADE_OF_OTHERS
)


@contextmanager
def serving_inside(app: Any, *, direct: bool) -> Iterator[int]:
    """Serve an app on Hypercorn, by the direct entry or without it; yields the port."""
    config = Config()
    config.errorlog = None
    listener = socket.create_server((HOST, 0))
    stop, started = asyncio.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        loops[0].call_soon(started.set)
        sockets = Sockets([], [listener], [])
        await serve_app(app, config, shutdown_trigger=stop.wait, direct=direct, sockets=sockets)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert started.wait(10)
        yield listener.getsockname()[1]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(20)
        listener.close()


def ask(port: int, target: str, *lines: str) -> Answer | None:
    """One request on its own connection; None when it ended before an answer."""
    with Connection(port, timeout=10) as connection, suppress(EndedError):
        connection.send(head(target, "Connection: close", *lines))
        return connection.read()
    return None


def open_handles() -> int:
    """Count the open handles of this process."""
    return len(os.listdir("/proc/self/fd"))


def settled_handles(at_most: int, seconds: float = 2.0) -> int:
    """Count the open handles until they are few enough, or the time is up.

    The handle of a replaced root goes with its last user, which may be a caught exception
    that waits for the garbage collector.
    """
    deadline = time.monotonic() + seconds
    while (count := open_handles()) > at_most and time.monotonic() < deadline:
        time.sleep(0.005)
        gc.collect()
    return count


class FaultyKernel:
    """Fails the n-th system call from now on, or all from the n-th on.

    Args:
        patch: undoes it.
        at: which call, counted from 1; 0 fails none and only counts.
        code: the errno.
        persistent: whether later calls fail, too.

    """

    def __init__(
        self, patch: pytest.MonkeyPatch, at: int, code: int, *, persistent: bool = False
    ) -> None:
        self.calls = 0
        self._at, self._code, self._persistent = at, code, persistent
        self._counting = threading.Lock()
        for name in CALLS:
            patch.setattr(kernel, name, self._wrap(name, getattr(kernel, name)))

    @property
    def struck(self) -> bool:
        """Whether there was an n-th call."""
        return self.calls >= self._at

    def _wrap(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            if not self._is_due():
                return call(*args, **kwargs)
            if name == "close":  # a close(2) that failed has closed all the same
                call(*args, **kwargs)
            raise OSError(self._code, os.strerror(self._code))

        return wrapped

    def _is_due(self) -> bool:
        with self._counting:
            self.calls += 1
            return self.calls == self._at or (self._persistent and 0 < self._at < self.calls)
