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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from copy import copy
from typing import Any

from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.statsd import StatsdLogger
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config, Sockets
from hypercorn.typing import AppWrapper, LifespanState
from hypercorn.utils import repr_socket_addr, wrap_app

from asyncstatic.http.addresses import Networks
from asyncstatic.http.proxy_protocol import Header
from asyncstatic.serve.direct.accept import Listener
from asyncstatic.serve.direct.connection import DirectProtocol
from asyncstatic.serve.direct.entry import DirectEntry
from asyncstatic.serve.direct.mounts import find_mounts
from asyncstatic.serve.direct.proxied import ProxiedProtocol, preface_reader
from asyncstatic.serve.hypercorn import Hypercorn
from asyncstatic.serve.redirect import RedirectToHTTPS
from asyncstatic.serve.tls import context_of

Trigger = Callable[[], Awaitable[Any]]


async def serve_app(
    app: Any,
    config: Config,
    *,
    shutdown_trigger: Trigger | None = None,
    direct: bool = True,
    limit_concurrency: int | None = None,
    sockets: Sockets | None = None,
    redirect_https: bool = False,
    trusted_proxies: str | Iterable[str] = (),
    proxy_protocol: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> None:
    """Serve an ASGI app, its static roots by the direct entry.

    Static roots are found where `StaticFiles`, `StaticMiddleware` or `create_app` put them in front
    of the app. Without a root this does the same as `hypercorn.asyncio.serve`.

    Args:
        app: the ASGI app.
        config: Hypercorn's; QUIC binds are ignored here.
        shutdown_trigger: returns to begin a graceful shutdown; SIGINT and SIGTERM if None.
        direct: False hands every connection to Hypercorn at once.
        limit_concurrency: the most connections at the same time; one more is answered 503. None:
            no limit.
        sockets: bound sockets; made from the config if None.
        redirect_https: answer requests without TLS by a redirect to the first TLS socket.
        trusted_proxies: networks of proxies that are believed about a client: ``10.0.0.0/8``, an
            address, ``unix`` for all peers on Unix sockets. ``*`` believes everybody: only where no
            client can reach the server itself.
        proxy_protocol: every connection begins with a header of the PROXY protocol, and comes from
            a trusted proxy; others are closed.
        ssl_context: for TLS, instead of the certificate of the config; then `config.bind` is for
            HTTPS. It is used as it is: HTTP/2 needs ``set_alpn_protocols(["h2", "http/1.1"])``.
            Without it the certificate of the config is read again when its files change.

    Raises:
        NotImplementedError: the event loop cannot read a PROXY header (Windows).
        ValueError: an entry of `trusted_proxies` is no network, or `proxy_protocol` has none.
        hypercorn.utils.LifespanFailureError: the app failed to start.
        SettingsError: the certificate of the config cannot be used.
        ssl.SSLError: `ssl_context` is for clients.
        OSError: an address cannot be bound.
    """
    trusted = Networks(trusted_proxies) if trusted_proxies else None
    if proxy_protocol and trusted is None:
        raise ValueError("proxy_protocol needs trusted_proxies: name the networks of the balancers")
    worker = _Worker(app, config, trusted if proxy_protocol else None)
    async with context_of(config, ssl_context) as context, worker.lifespan():
        sockets = sockets or _sockets(config, secure=context is not None)
        if redirect_https:
            worker.redirect(sockets)
        behind = worker.hypercorn(direct, limit_concurrency, trusted)
        servers = await worker.listen(sockets, behind.entry, context)
        try:
            await _first(shutdown_trigger or signalled, worker.context.terminate.wait)
        finally:
            for server in servers:
                server.close()
            await behind.stop()


def _sockets(config: Config, *, secure: bool) -> Sockets:
    """Bind; Hypercorn by itself makes sockets for HTTPS only if the config has a certificate."""
    sockets = config.create_sockets()
    if secure and not config.ssl_enabled:
        return Sockets(sockets.insecure_sockets, [], sockets.quic_sockets)
    return sockets


async def _first(*triggers: Trigger) -> None:
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


class _Worker:
    """Hypercorn's parts in one process, assembled around our protocol."""

    def __init__(self, app: Any, config: Config, balancers: Networks | None) -> None:
        config.set_statsd_logger_class(StatsdLogger)
        self._app = app
        self._wrapped: AppWrapper = wrap_app(app, config.wsgi_max_body_size, "asgi")
        self._redirects = False
        self._config = config
        self._balancers = balancers
        self._loop = asyncio.get_running_loop()
        self._state: LifespanState = {}
        most = config.max_requests
        jitter = random.randint(0, config.max_requests_jitter)  # noqa: S311 - to spread restarts
        self.context = WorkerContext(None if most is None else most + jitter)

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start the app, and shut it down at the end."""
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

    def redirect(self, sockets: Sockets) -> None:
        """Redirect requests without TLS."""
        names = [sock.getsockname() for sock in sockets.secure_sockets]
        port = next((name[1] for name in names if isinstance(name, tuple)), 443)
        redirecting: Any = RedirectToHTTPS(self._app, port)
        self._wrapped = wrap_app(redirecting, self._config.wsgi_max_body_size, "asgi")
        self._redirects = True

    def hypercorn(
        self, direct: bool, limit_concurrency: int | None, trusted: Networks | None
    ) -> Hypercorn:
        """Put Hypercorn behind a direct entry for the app's roots."""
        mounts = list(find_mounts(self._app))
        return Hypercorn(
            self._wrapped,
            self._config,
            self.context,
            self._state,
            mounts,
            limit_concurrency,
            direct=direct,
            trusted=trusted,
        )

    async def listen(
        self, sockets: Sockets, entry: DirectEntry, context: ssl.SSLContext | None
    ) -> list[asyncio.Server | Listener]:
        """Accept connections; the context is for those over TLS."""
        plain = entry
        if self._redirects:
            plain = copy(entry)
            plain.admission = None  # Hypercorn gets every request, and its app redirects
        listeners = [(sock, context, "https", entry) for sock in sockets.secure_sockets]
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

        def make_protocol(proxied: Header | None = None) -> DirectProtocol:
            if proxied is not None:
                return ProxiedProtocol(entry, self._loop, proxied)
            return DirectProtocol(entry, self._loop)

        seconds = self._config.ssl_handshake_timeout
        if context is not None or self._balancers is not None:
            read = None if self._balancers is None else preface_reader(self._balancers)
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
