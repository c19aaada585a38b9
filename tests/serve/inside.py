"""The direct entry's server inside this process, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvloop
from hypercorn.asyncio.run import worker_serve
from hypercorn.config import Config, Sockets
from hypercorn.utils import wrap_app

from asyncstatic import serve_app
from asyncstatic.files import kernel
from tests.support.raw import HOST, Connection

#: Both loops; whatever holds on one must hold on the other.
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}

#: Whether `serving_inside` runs plain Hypercorn where it can; the tests in plain_hypercorn/ say so.
plain = False

# Taken before blocking calls are watched: of warm windows it may be called on the loop.
sendfile = os.sendfile


class Opaque:
    """A wrapper that the direct entry does not look into."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, *arguments: Any) -> None:
        await self.app(*arguments)


class Inside:
    """A server in this process.

    Attributes:
        port: where it listens.
        loop: that it runs on.

    """

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = port
        self.loop = loop
        self._stop = asyncio.Event()

    def connect(self, timeout: float = 10.0, receive_buffer: int | None = None) -> Connection:
        """Open a connection."""
        return Connection(self.port, timeout, receive_buffer)

    def stop(self) -> None:
        """Begin the graceful shutdown."""
        with suppress(RuntimeError):  # it has ended by itself
            self.loop.call_soon_threadsafe(self._stop.set)

    async def stopped(self) -> None:
        """Wait for `stop`."""
        await self._stop.wait()


@contextmanager
def serving_inside(
    app: Any,
    *,
    direct: bool = True,
    loop: str = "uvloop",
    limit_concurrency: int | None = None,
    trusted_proxies: str = "",
    proxy_protocol: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    health: str | None = None,
    drain_seconds: float = 0.0,
    **options: Any,
) -> Iterator[Inside]:
    """Serve an app; options are attributes of Hypercorn's Config."""
    if plain and limit_concurrency is not None:
        pytest.skip("plain Hypercorn has no limit of connections")
    config = Config()
    config.errorlog = None
    config.include_server_header = False
    for name, value in options.items():
        setattr(config, name, value)
    listener = socket.create_server((HOST, 0), backlog=512)
    started = threading.Event()
    servers: list[Inside] = []

    async def main() -> None:
        running = asyncio.get_running_loop()
        server = Inside(listener.getsockname()[1], running)
        servers.append(server)
        running.call_soon(started.set)
        secure = config.ssl_enabled or ssl_context is not None
        sockets = Sockets([listener], [], []) if secure else Sockets([], [listener], [])
        if plain:
            served = app if direct else Opaque(app)
            wrapped = wrap_app(served, config.wsgi_max_body_size, "asgi")
            await worker_serve(wrapped, config, sockets=sockets, shutdown_trigger=server.stopped)
            return
        await serve_app(
            app,
            config,
            shutdown_trigger=server.stopped,
            direct=direct,
            limit_concurrency=limit_concurrency,
            sockets=sockets,
            trusted_proxies=trusted_proxies,
            proxy_protocol=proxy_protocol,
            ssl_context=ssl_context,
            health=health,
            drain_seconds=drain_seconds,
        )

    def run() -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main())

    thread = threading.Thread(target=run)
    with pytest.MonkeyPatch.context() as patch, listener:
        patch.setattr(kernel, "sendfile", sendfile)
        thread.start()
        try:
            assert started.wait(10), "it does not start"
            yield servers[0]
        finally:
            if servers:
                servers[0].stop()
            thread.join(30)
            assert not thread.is_alive(), "it does not end"


def open_handles() -> int:
    """Count the open handles of this process (proc(5))."""
    return len(os.listdir("/proc/self/fd"))


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
