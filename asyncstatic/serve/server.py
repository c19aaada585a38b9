"""Hypercorn with the direct entry in front: one worker, its sockets, signals and shutdown.

Configuration, lifespan and sockets are Hypercorn's own. Every connection starts in the direct entry;
a request that is not plain HTTP/1.1 for a static root hands it to Hypercorn's TCPServer. `serve_app`
has the shape of `hypercorn.asyncio.serve`, so an app gets the direct entry by changing one import.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import copy
from functools import partial
from typing import Any, Unpack

from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.statsd import StatsdLogger
from hypercorn.config import Config, Sockets
from hypercorn.typing import AppWrapper, LifespanState
from hypercorn.utils import repr_socket_addr, wrap_app

from asyncstatic.serve.direct.accept import Listener
from asyncstatic.serve.direct.connection import DirectProtocol
from asyncstatic.serve.direct.deadline import HEAD_SECONDS
from asyncstatic.serve.direct.entry import DirectEntry
from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.direct.proxied import preface_reader
from asyncstatic.serve.hypercorn import Hypercorn
from asyncstatic.serve.operations import Operations
from asyncstatic.serve.protocols import Context
from asyncstatic.serve.proxies import behind_proxies
from asyncstatic.serve.redirect import RedirectToHTTPS
from asyncstatic.serve.server_options import ServeOptions, ServerOptions
from asyncstatic.serve.tls import context_of

Waiter = Callable[[], Awaitable[Any]]
Trigger = Waiter
#: Called when a server accepts no more connections.
Closed = Callable[[], None]
#: Waits until a server must end, given a function that waits until it has served its `max_requests`.
#: It is called when the server accepts connections. Returns None, or `Closed` where others accept
#: connections already, so that no request may fail.
Until = Callable[[Waiter], Awaitable[Closed | None]]


async def serve_app(
    app: Any,
    config: Config,
    *,
    shutdown_trigger: Trigger | None = None,
    sockets: Sockets | None = None,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve an ASGI app, its static roots by the direct entry.

    Static roots are found where `StaticFiles`, `StaticMiddleware` or `create_app` put them in front
    of the app. Without a root this does the same as `hypercorn.asyncio.serve`.

    Args:
        app: the ASGI app, or its name: "module:app", or "module:function()" for a function that
            makes it. ``config.workers`` of 2 or more need a name.
        config: Hypercorn's; QUIC binds are ignored here. ``workers`` processes serve; this one
            supervises them, and obeys the signals of ``asyncstatic serve``.
        shutdown_trigger: returns to begin a graceful shutdown; SIGINT and SIGTERM if None.
        sockets: bound sockets; made from the config if None.
        **options: `ServerOptions`.

    Raises:
        NotImplementedError: the event loop cannot read a PROXY header (Windows).
        ValueError: an option is wrong.
        hypercorn.utils.LifespanFailureError: the app failed to start.
        SettingsError: the certificate of the config cannot be used; the app cannot be imported by its
            name, or has none but workers need it.
        ssl.SSLError: `ssl_context` is for clients.
        OSError: an address cannot be bound.
        RuntimeError: a worker cannot start, or workers end again and again.
    """
    chosen = ServerOptions(**options)
    if config.workers > 1:
        from asyncstatic.serve.process.serve_workers import serve_by_workers

        await serve_by_workers(app, config, shutdown_trigger, chosen, sockets)
        return
    if isinstance(app, str):
        from asyncstatic.serve.process.target import App

        app = App(app).build()

    async def until(worn: Waiter) -> None:
        await first(shutdown_trigger or signalled, worn)

    await serve(app, config, until, chosen, sockets)


async def serve(
    app: Any, config: Config, until: Until, options: ServerOptions, sockets: Sockets | None
) -> None:
    """Serve in this process until `until` returns; the other arguments are those of `serve_app`."""
    worker = _Worker(app, config, options)
    async with (
        context_of(config, options.ssl_context) as context,
        worker.lifespan(),
        worker.showing_metrics() as showing,
    ):
        sockets = sockets or bind(config, secure=context is not None)
        behind = worker.hypercorn(sockets)
        servers = [*showing, *await worker.listen(sockets, behind.entry, context)]
        closed = None
        try:
            closed = await until(worker.context.terminate.wait)
            if closed is None:
                await worker.drain(behind)
        finally:
            await _stop_accepting(servers)
            if closed is None:
                worker.give_up_metrics_address()
            else:
                closed()
                await behind.retire()
            await behind.stop()


def bind(config: Config, *, secure: bool) -> Sockets:
    """Bind; Hypercorn by itself makes sockets for HTTPS only if the config has a certificate."""
    sockets = config.create_sockets()
    if secure and not config.ssl_enabled:
        return Sockets(sockets.insecure_sockets, [], sockets.quic_sockets)
    return sockets


async def first(*triggers: Trigger) -> None:
    """Wait until one trigger returns."""
    tasks = [asyncio.ensure_future(trigger()) for trigger in triggers]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def signalled() -> None:
    """Wait for SIGINT or SIGTERM. A second signal, during the shutdown, has its default effect.

    A signal that the parent process set to be ignored stays ignored.
    """
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    watched = []
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, event.set)
            watched.append(number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(event.set))
    try:
        await event.wait()
    finally:
        for number in watched:
            loop.remove_signal_handler(number)


async def _stop_accepting(servers: list[asyncio.Server | Listener]) -> None:
    """Close the listeners; connections that were accepted go on.

    asyncio gives an accepted connection its transport one step later, and loses the connection if its
    server is closed by then.
    """
    loop = asyncio.get_running_loop()
    for server in servers:
        if isinstance(server, asyncio.Server):  # uvloop's is another, and needs no step
            for sock in server.sockets:
                with contextlib.suppress(NotImplementedError):  # Windows
                    loop.remove_reader(sock.fileno())
    await asyncio.sleep(0)
    for server in servers:
        server.close()


def _port_of(sockets: list[socket.socket]) -> int:
    """Return the port of the first socket that has one; that of HTTPS if none has."""
    names = [sock.getsockname() for sock in sockets]
    return next((name[1] for name in names if isinstance(name, tuple)), 443)


class _Lifespan(Lifespan):
    """Tells `hypercorn_seam` that this server has the direct entry already."""


class _Worker:
    """Hypercorn's parts in one process, assembled around our protocol."""

    def __init__(self, app: Any, config: Config, options: ServerOptions) -> None:
        config.set_statsd_logger_class(StatsdLogger)
        self._app = app
        self._config = config
        self._options = options
        self._operations = Operations(options.health, options.metrics)
        self._wrapped = self._wrap(app)
        self._loop = asyncio.get_running_loop()
        self._state: LifespanState = {}
        most = config.max_requests
        jitter = random.randint(0, config.max_requests_jitter)  # noqa: S311 - to spread restarts
        self.context = Context(None if most is None else most + jitter)

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start the app, and shut it down at the end."""
        lifespan = _Lifespan(self._wrapped, self._config, self._loop, self._state)
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

    def hypercorn(self, sockets: Sockets) -> Hypercorn:
        """Put Hypercorn behind a direct entry for the app's roots."""
        options, wrapped = self._options, self._wrapped
        if options.redirect_https:
            wrapped = self._wrap(RedirectToHTTPS(self._app, _port_of(sockets.secure_sockets)))
        mounts = list(find_mounts(self._app))
        behind = Hypercorn(
            wrapped,
            self._config,
            self.context,
            self._state,
            mounts,
            options.limit_concurrency,
            direct=options.direct,
            trusted=options.trusted,
            own_paths=self._operations.own_paths,
            metrics=self._operations.metrics,
        )
        self._operations.watch(mounts, behind.entry)
        return behind

    def _wrap(self, app: Any) -> AppWrapper:
        """Put the operator's paths in front of an app, in the form that Hypercorn calls.

        They are paths of this server: the prefix that a proxy removed does not belong to them.
        """
        trusted = self._options.trusted
        front = self._operations.in_front_of(
            app if trusted is None else behind_proxies(app, trusted)
        )
        return wrap_app(front, self._config.wsgi_max_body_size, "asgi")

    async def drain(self, behind: Hypercorn) -> None:
        """Tell balancers that this worker ends, and answer for a while longer."""
        self._operations.drain()
        if self._options.drain_seconds:
            await behind.drain(self._options.drain_seconds)

    @contextlib.asynccontextmanager
    async def showing_metrics(self) -> AsyncIterator[list[asyncio.Server]]:
        """Show the metrics on addresses of their own, if there are any; yield their servers."""
        app: Any = self._operations.metrics_app
        try:
            if app is None:
                yield []
                return
            wrapped = wrap_app(app, self._config.wsgi_max_body_size, "asgi")
            behind = Hypercorn(wrapped, self._config, Context(None), {}, [], own_paths=app.paths)
            servers = [
                await self._loop.create_server(
                    partial(DirectProtocol, behind.entry), sock=sock.dup()
                )
                for sock in self._operations.metrics_sockets
            ]
            try:
                yield servers
            finally:
                for server in servers:
                    server.close()
                await behind.stop()
        finally:
            self._operations.stop()

    def give_up_metrics_address(self) -> None:
        """Close the sockets of the metrics: nobody else in this process needs them."""
        for sock in self._operations.metrics_sockets:
            sock.close()

    async def listen(
        self, sockets: Sockets, entry: DirectEntry, context: ssl.SSLContext | None
    ) -> list[asyncio.Server | Listener]:
        """Accept connections; the context is for those over TLS."""
        plain = entry
        if self._options.redirect_https:
            plain = copy(entry)
            plain.admission = None  # Hypercorn gets every request, and its app redirects
        # A proxy may state "http" over TLS; only the app's scope knows.
        secure = plain if entry.terms.trusts_proxies else entry
        listeners = [(sock, context, "https", secure) for sock in sockets.secure_sockets]
        listeners += [(sock, None, "http", plain) for sock in sockets.insecure_sockets]
        servers = []
        for sock, tls, scheme, entered in listeners:
            bind = repr_socket_addr(sock.family, sock.getsockname())
            servers.append(await self._listen_on(sock, tls, entered))
            await self._config.log.info(f"Running on {scheme}://{bind} (CTRL + C to quit)")
        return servers

    async def _listen_on(
        self, sock: socket.socket, context: ssl.SSLContext | None, entry: DirectEntry
    ) -> asyncio.Server | Listener:
        """Accept connections of one socket; with TLS by our own `Listener`."""
        make_protocol = partial(DirectProtocol, entry)
        seconds = HEAD_SECONDS if context is None else self._config.ssl_handshake_timeout
        balancers = self._options.trusted if self._options.proxy_protocol else None
        if context is not None or balancers is not None:
            read = None if balancers is None else preface_reader(balancers)
            # Hypercorn only binds, and `create_server` listens itself.
            sock.listen(self._config.backlog)
            try:
                listener = Listener(
                    sock, entry, make_protocol, context=context, seconds=seconds, read_preface=read
                )
                listener.start()
                return listener
            except NotImplementedError:  # Windows
                if read is not None:
                    raise
        return await self._loop.create_server(
            make_protocol,
            sock=sock,
            backlog=self._config.backlog,
            ssl=context,
            ssl_handshake_timeout=None if context is None else seconds,
        )
