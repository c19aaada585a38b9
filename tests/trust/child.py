"""A server in a process of its own, with something about it changed: ``python -m tests.trust.child``.

Usage: child.py CHANGE LANE BIND ROOT [PREFIX=ROOT ...]; settings come from the environment.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypercorn.config import Config

from asyncstatic import StaticFiles, StaticMiddleware, serve_app
from asyncstatic.files import kernel
from asyncstatic.files.pool import Pool
from asyncstatic.settings import Settings

STALL = 2.5  # seconds; longer than any test's pool_timeout
SLOW = 0.08  # seconds that a slow disk takes for a read


def few_handles() -> None:
    """Leave room for few handles."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def stalled() -> None:
    """Let reads and opens below a directory named "stalled" wait, as for a disk that is gone."""
    for name in ("openat", "pread"):
        setattr(kernel, name, _stalling(getattr(kernel, name)))
    really = kernel.openat2

    def openat2(dir_fd: int, path: bytes, flags: int, resolve: int) -> int:
        if _is_stalled(dir_fd) and path != b".":
            if resolve & kernel.RESOLVE_CACHED:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            time.sleep(STALL)
        return really(dir_fd, path, flags, resolve)

    kernel.openat2 = openat2


def _stalling(call: Callable[..., Any]) -> Callable[..., Any]:
    def stalling(fd: int, *args: Any) -> Any:
        if _is_stalled(fd) and args[0] != b".":
            time.sleep(STALL)
        return call(fd, *args)

    return stalling


def _is_stalled(fd: int) -> bool:
    return "/stalled" in os.readlink(f"/proc/self/fd/{fd}")


def refused(code: int, after: int) -> None:
    """Refuse openat2(2) from its n-th call on."""
    really, calls = kernel.openat2, 0

    def openat2(dir_fd: int, path: bytes, flags: int, resolve: int) -> int:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(code, os.strerror(code))
        return really(dir_fd, path, flags, resolve)

    kernel.openat2 = openat2


def slow_disk() -> None:
    """No page is in the page cache, and the disk is slow; note the lag."""
    kernel.pread = _slow(kernel.pread)
    kernel.pread_nowait = lambda *_: None
    kernel.pread_into_nowait = lambda *_: None
    kernel.is_resident = lambda *_: False
    lag()


def slow_disk_on_the_loop() -> None:
    """The same under a server that reads wherever it is, as naive ones do."""
    kernel.pread = _slow(kernel.pread)
    kernel.pread_nowait = kernel.pread
    kernel.pread_into_nowait = _slow(kernel.pread_into_nowait)
    lag()


def _slow(call: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*args: Any) -> Any:
        time.sleep(SLOW)
        return call(*args)

    return slow


def stalled_on_the_loop() -> None:
    """A stalled disk under a server that asks it on its loop, as naive ones do."""

    async def run(self: Pool, call: Callable[..., Any], *args: Any, discard: Any = None) -> Any:
        return call(*args)

    Pool.run = run  # type: ignore[method-assign] # the one way into the pool
    stalled()


def lag() -> None:
    """Note on stderr, at the end, how long the loop was ever kept from turning by itself."""
    start = asyncio.Runner.run

    def run(self: asyncio.Runner, main: Any, **options: Any) -> Any:
        return start(self, _sampled(main), **options)

    asyncio.Runner.run = run  # type: ignore[method-assign, assignment] # the one place where every loop begins


def passed_over() -> float:
    """Seconds that this thread could have run and had to wait for a processor (proc(5)).

    That is the other processes' doing, and is told apart from what the loop does itself.
    """
    with open("/proc/thread-self/schedstat", "rb") as statistics:
        return int(statistics.read().split()[1]) / 1e9


async def _sampled(main: Any) -> None:
    worst, sampling = 0.0, True

    async def sample() -> None:
        nonlocal worst
        loop = asyncio.get_running_loop()
        while sampling:
            began, waited = loop.time(), passed_over()
            await asyncio.sleep(0.001)
            worst = max(worst, loop.time() - began - 0.001 - (passed_over() - waited))

    sampler = asyncio.ensure_future(sample())
    try:
        await main
    finally:
        sampling = False
        await sampler
        print(f"lag {worst:.6f} threads {threading.active_count()}", file=sys.stderr, flush=True)


CHANGES: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "few-handles": few_handles,
    "stalled": stalled,
    "stalled-on-the-loop": stalled_on_the_loop,
    "lag": lag,
    "slow-disk": slow_disk,
    "slow-disk-on-the-loop": slow_disk_on_the_loop,
    **{
        f"{name}-{when}": lambda code=code, after=after: refused(code, after)  # type: ignore[misc] # bound at once
        for name, code in (("ENOSYS", errno.ENOSYS), ("EPERM", errno.EPERM))
        for when, after in (("at-start", 0), ("later", 12))
    },
}


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """The app behind the roots has nothing."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def app_of(roots: list[str]) -> Any:
    """The first root for all paths, others for their prefixes."""
    settings = Settings.from_environment({**os.environ, "ASYNCSTATIC_ROOT": roots[0]})
    app: Any = StaticFiles(settings)
    for pair in roots[1:]:
        prefix, _, root = pair.partition("=")
        options = {**os.environ, "ASYNCSTATIC_ROOT": root}
        static = StaticFiles(Settings.from_environment(options))
        app = StaticMiddleware(app, static, prefix=prefix)
    return app


def main() -> None:
    """Serve until a signal comes."""
    change, setup, bind, *roots = sys.argv[1:]
    CHANGES[change]()
    config = Config()
    config.bind = [bind]
    config.loglevel = "WARNING"
    runner = asyncio.Runner()
    with suppress(KeyboardInterrupt), runner:
        runner.run(serve_app(app_of(roots), config, direct=setup == "serve"))


if __name__ == "__main__":
    main()
