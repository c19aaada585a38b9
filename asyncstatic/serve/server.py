"""Hypercorn with the direct lane in front: workers, sockets, signals, shutdown.

Everything but the first look at a connection is Hypercorn's own: its configuration, lifespan,
sockets, and the TCPServer that every connection is handed to which is not plain HTTP/1.1 for a
static root. `serve` has the shape of `hypercorn.asyncio.serve`, so an app gets the lane by
changing one import.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.statsd import StatsdLogger
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config, Sockets
from hypercorn.typing import AppWrapper, LifespanState
from hypercorn.utils import repr_socket_addr, wrap_app

from asyncstatic.serve.direct import DirectProtocol
from asyncstatic.serve.lane import Lane, find_mounts

Trigger = Callable[[], Awaitable[Any]]


async def serve(
    app: Any,
    config: Config,
    *,
    shutdown_trigger: Trigger | None = None,
    direct: bool = True,
    limit_concurrency: int | None = None,
    sockets: Sockets | None = None,
) -> None:
    """Serve an ASGI app, its static roots by the direct lane.

    Static roots are found where `StaticFiles`, `StaticMiddleware` or `create_app` put them in
    front of the app. Without one this is what `hypercorn.asyncio.serve` does.

    Args:
        app: the ASGI app.
        config: Hypercorn's; of QUIC binds nothing is served here.
        shutdown_trigger: returns to begin a graceful shutdown; SIGINT and SIGTERM if None.
        direct: False hands every connection to Hypercorn at once.
        limit_concurrency: connections at the same time; more are answered 503. None: no limit.
        sockets: already bound; made from the config if None.

    Raises:
        hypercorn.utils.LifespanFailureError: the app would not start.
        OSError: an address cannot be bound.
    """
    worker = _Worker(app, config)
    async with worker.lifespan():
        lane = worker.lane(limit_concurrency) if direct else None
        bound = sockets if sockets is not None else config.create_sockets()
        servers = await worker.listen(bound, lane)
        try:
            await _first(shutdown_trigger or _signalled(), worker.context.terminate.wait)
        finally:
            await worker.stop(servers, lane)


async def _first(*triggers: Trigger) -> None:
    """Wait until one of them returns."""
    tasks = [asyncio.ensure_future(trigger()) for trigger in triggers]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _signalled() -> Trigger:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None:
            continue
        try:
            loop.add_signal_handler(number, event.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(event.set))
    return event.wait


class _Worker:
    """One process's share: Hypercorn's parts, put together around our protocol."""

    def __init__(self, app: Any, config: Config) -> None:
        config.set_statsd_logger_class(StatsdLogger)
        self._app = app
        self._wrapped: AppWrapper = wrap_app(app, config.wsgi_max_body_size, "asgi")
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._state: LifespanState = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        most = config.max_requests
        jitter = random.randint(0, config.max_requests_jitter)  # noqa: S311 - to spread restarts
        self.context = WorkerContext(None if most is None else most + jitter)

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start the app up, and shut it down at the end."""
        lifespan = Lifespan(self._wrapped, self._config, self._loop, self._state)
        task = self._loop.create_task(lifespan.handle_lifespan())
        await lifespan.wait_for_startup()
        if task.done() and (error := task.exception()) is not None:
            raise error
        try:
            yield
        finally:
            await lifespan.wait_for_shutdown()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def lane(self, limit_concurrency: int | None) -> Lane | None:
        """Make the direct lane, if the app has roots for it."""
        mounts = list(find_mounts(self._app))
        if not mounts:
            return None
        return Lane(mounts, self._config, self.context, self._hand_over, limit_concurrency)

    async def listen(self, sockets: Sockets, lane: Lane | None) -> list[asyncio.Server]:
        """Accept connections."""
        config = self._config
        tls: dict[str, Any] = {}
        if config.ssl_enabled:
            tls = {
                "ssl": config.create_ssl_context(),
                "ssl_handshake_timeout": config.ssl_handshake_timeout,
            }
        listeners = [(sock, tls, "https") for sock in sockets.secure_sockets]
        listeners += [(sock, {}, "http") for sock in sockets.insecure_sockets]
        servers = []
        for sock, options, scheme in listeners:
            servers.append(
                await self._loop.create_server(
                    self._protocol_factory(lane), sock=sock, backlog=config.backlog, **options
                )
            )
            bind = repr_socket_addr(sock.family, sock.getsockname())
            await config.log.info(f"Running on {scheme}://{bind} (CTRL + C to quit)")
        if lane is not None:
            self._sweeper = self._loop.create_task(lane.sweep())
        return servers

    def _protocol_factory(self, lane: Lane | None) -> Callable[[], asyncio.BaseProtocol]:
        if lane is not None:
            return lambda: DirectProtocol(lane, self._loop)
        return lambda: asyncio.StreamReaderProtocol(
            asyncio.StreamReader(loop=self._loop), self._full_server, loop=self._loop
        )

    def _hand_over(self, transport: asyncio.Transport, octets: bytes, eof: bool) -> None:
        """Start Hypercorn's server on a connection whose beginning was read already."""
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, self._full_server, loop=self._loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if octets:
            reader.feed_data(octets)
        if eof:
            reader.feed_eof()
        transport.resume_reading()

    async def _full_server(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this callback in a task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await TCPServer(
            self._wrapped, self._loop, self._config, self.context, self._state, reader, writer
        )

    async def stop(self, servers: list[asyncio.Server], lane: Lane | None) -> None:
        """Accept no more, let what is under way finish, then cut it off."""
        await self.context.terminated.set()
        for server in servers:
            server.close()
        tasks = self._tasks
        if lane is not None:
            lane.close()
            tasks = tasks | lane.tasks
        if tasks:
            await asyncio.wait(tasks, timeout=self._config.graceful_timeout)
        for task in tuple(self._tasks) + tuple(lane.tasks if lane is not None else ()):
            task.cancel()
        if lane is not None:
            lane.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
