"""Hypercorn behind the direct entry: its configuration, counters, log and server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, LifespanState

from asyncstatic.http.addresses import Networks
from asyncstatic.serve.access_log import LoggedRequest, first_line
from asyncstatic.serve.direct.connection import DirectProtocol
from asyncstatic.serve.direct.deadline import Deadline
from asyncstatic.serve.direct.entry import DirectEntry
from asyncstatic.serve.direct.mounts import Mount
from asyncstatic.serve.direct.server import Exchange, Peer, Terms
from asyncstatic.serve.hypercorn_log import HypercornLog, quiet
from asyncstatic.serve.portable import connection_lost
from asyncstatic.serve.protocols import Context, with_request_as_sent
from asyncstatic.serve.tcp import reset, waiting
from asyncstatic.serve.tcp_server import Server

if TYPE_CHECKING:
    from asyncstatic.serve.metrics import Metrics

# Seconds for an app to end by itself after its client was cut off at the graceful timeout.
_LAST_SECONDS = 1.0

_RETIREMENT_SECONDS = 2.0
_STEPS = 20

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event]
Continuation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


class Hypercorn:
    """The full server of `asyncstatic serve`, for one worker.

    Args:
        app: the app, as Hypercorn wraps it.
        config: holds for the direct entry and for Hypercorn.
        context: counts requests, and tells when this worker ends.
        state: the state that the app's lifespan hands to its requests.
        mounts: the roots of the app.
        limit_concurrency: the most connections at the same time, in both. None: no limit.
        direct: False hands every connection to Hypercorn at once.
        trusted: the networks of the proxies that the log believes; None for none.
        our_log: False has Hypercorn's logger write the lines, in its own format.
        own_paths: raw paths that `app` answers before the roots, and that no log mentions.
        metrics: count the requests of both; None for none.
    """

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: LifespanState,
        mounts: list[Mount],
        limit_concurrency: int | None = None,
        *,
        direct: bool = True,
        trusted: Networks | None = None,
        our_log: bool = True,
        own_paths: frozenset[bytes] = frozenset(),
        metrics: Metrics | None = None,
    ) -> None:
        self._app = with_request_as_sent(app)
        self._config = config
        self._log = HypercornLog(
            config, lambda work: self.entry.registry.spawn(work), trusted, ours=our_log
        )
        self._log.unlogged = own_paths
        self._metrics = metrics
        self._quiet = quiet(config, self._log)
        self._context = context
        self._state = state
        self._limit = inf if limit_concurrency is None else limit_concurrency
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.observes = self._log.active or context.max_requests is not None or metrics is not None
        self.terms = _terms(config, trusted, own_paths)
        self.entry = DirectEntry(mounts, self, direct=direct)
        if metrics is not None:
            behind = "portable" if self.entry.admission is None else "handed_over"
            self._log.count = partial(metrics.count, entry=behind)

    def is_full(self, connections: int) -> bool:
        return connections >= self._limit

    def fields(self) -> Iterable[tuple[bytes, bytes]]:
        """Return Date, Server and Alt-Svc, as configured."""
        return self._config.response_headers("h11")

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange, also towards ``max_requests``, and log it."""
        if self._metrics is not None:
            self._metrics.count(exchange.line, exchange.status, exchange.sent, "direct")
            if exchange.plan is not None:
                self._metrics.count_saved(exchange.plan)
            if exchange.prepared:
                self._metrics.count_prepared()
        context = self._context
        if context.max_requests is not None:
            context.requests += 1
            if context.requests > context.max_requests:
                self.entry.registry.spawn(context.terminate.set())
        self._write(exchange)

    def observe_refusal(self, peer: Peer, data: bytes, status: int) -> None:
        line = first_line(data)
        if self._metrics is not None:
            self._metrics.count(line, status, 0, "direct")
        self._write(Exchange(line, [], None, status, 0, peer, 0.0))

    def _write(self, exchange: Exchange) -> None:
        if not self._log.active:
            return
        line, headers, plan, status, sent, peer, seconds, _ = exchange
        scheme = "https" if peer.tls else "http"
        response = None if plan is None else list(plan.fields)
        logged = LoggedRequest(
            line, headers, peer.client, scheme, status, sent, seconds, "direct", response
        )
        self._log.write(logged)

    def take_over(self, transport: asyncio.Transport, data: bytes, *, eof: bool) -> None:
        """Let Hypercorn go on with a connection, of which some bytes were read already."""
        reader, lost = asyncio.StreamReader(loop=self._loop), asyncio.Event()
        if not transport.can_write_eof():  # TLS, whose end is always that of both sides
            lost.set()
        goes_on = self._continuation(transport, lost)
        protocol = _HandedOver(self.entry, transport, reader, goes_on, lost)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()  # before the reader is fed, because that may pause it again
        if data:
            reader.feed_data(data)
        if eof:
            reader.feed_eof()

    def _continuation(self, transport: asyncio.Transport, lost: asyncio.Event) -> Continuation:
        """Return the function that asyncio calls with the streams of a connection."""
        return partial(self._serve, Peer.of(transport), lost)

    async def _serve(
        self,
        peer: Peer,
        lost: asyncio.Event,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        connection_lost.set(lost)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this callback in a task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(asyncio.CancelledError):  # by `stop`; asyncio's streams would log it
            shared = self._app, self._loop, self._quiet, self._context, self._state
            await Server(*shared, reader, writer, peer=peer)

    async def retire(self) -> None:
        """Answer what still comes, and close each connection after its next response.

        For a moment after others accept the connections: requests and TLS handshakes are under way
        that this server has not seen yet. To close an idle connection at once would cut off a
        request that its client is sending.
        """
        await self.drain(min(_RETIREMENT_SECONDS, self._config.graceful_timeout))

    async def drain(self, seconds: float) -> None:
        """Answer for a while longer, and close each connection after its next response."""
        self.entry.retire()
        if isinstance(self._context, Context):
            self._context.retires = True
        for _ in range(_STEPS):  # where the processor is busy, requests come between
            await asyncio.sleep(seconds / _STEPS)

    async def stop(self) -> None:
        """Let requests finish for the graceful timeout, then cut them off."""
        timeout = self._config.graceful_timeout
        end = self._loop.time() + timeout
        await self._context.terminated.set()
        self.entry.close()
        await self.entry.registry.closed(timeout)
        if self._tasks:  # apps that run on without their client
            left = max(end - self._loop.time(), _LAST_SECONDS)
            _, late = await asyncio.wait(self._tasks, timeout=left)
            for task in late:
                task.cancel()


def _terms(config: Config, trusted: Networks | None, own_paths: frozenset[bytes]) -> Terms:
    return Terms(
        head_bytes=config.h11_max_incomplete_size,
        keep_alive_timeout=min(config.keep_alive_timeout, config.read_timeout or inf),
        keep_alive_requests=config.keep_alive_max_requests,
        server_names=tuple(config.server_names),
        root_path=config.root_path,
        trusts_proxies=trusted is not None,
        own_paths=own_paths,
    )


class PlainHypercorn(Hypercorn):
    """The full server under the command ``hypercorn``, which accepts the connections itself.

    Hypercorn writes the access log, counts, and waits for its tasks at a shutdown: one task of
    Hypercorn's serves a connection until it ends. A connection that is handed over goes on in
    Hypercorn's own TCPServer. The arguments are those of `Hypercorn`.

    Attributes:
        ending: ends when the worker ends.
    """

    def __init__(self, app: AppWrapper, *arguments: Any) -> None:
        super().__init__(app, *arguments, our_log=False)
        self._app = app  # as it is: only `Server` knows the method as it was sent
        self.ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        await self._context.terminated.wait()
        await self.stop()

    async def serve(self, transport: asyncio.WriteTransport, data: bytes, *, eof: bool) -> None:
        """Serve a connection, of which some bytes were read already, until it ends."""
        if transport.is_closing():  # lost: no protocol would be told any more
            return
        transport = cast("asyncio.Transport", transport)
        accepted = _AcceptedByHypercorn(self.entry)
        transport.set_protocol(accepted)
        accepted.connection_made(transport)
        transport.resume_reading()
        if data:
            cast("asyncio.Protocol", transport.get_protocol()).data_received(data)
        # Each step may hand the connection over to another protocol.
        if eof and not cast("asyncio.Protocol", transport.get_protocol()).eof_received():
            transport.close()
        try:
            streams = await accepted.ended
            if streams is not None:
                reader, writer, lost = streams
                connection_lost.set(lost)
                shared = self._app, self._loop, self._config, self._context, self._state
                await TCPServer(*shared, reader, writer)
        except asyncio.CancelledError:  # by Hypercorn's graceful timeout
            accepted.abort()  # and not raised, because asyncio's streams would log it

    def _continuation(self, transport: asyncio.Transport, lost: asyncio.Event) -> Continuation:
        """Go on in the task that waits for the end of the connection."""
        accepted = cast("_AcceptedByHypercorn", transport.get_protocol())
        return lambda reader, writer: accepted.end((reader, writer, lost))


class _AcceptedByHypercorn(DirectProtocol):
    """A connection that Hypercorn has accepted.

    Attributes:
        ended: the streams of a connection that was handed over, and the event of its loss; None
            for one that has ended.
    """

    __slots__ = ("ended",)

    def __init__(self, entry: DirectEntry) -> None:
        super().__init__(entry)
        self.ended: asyncio.Future[Streams | None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.end(None)

    def end(self, streams: Streams | None) -> None:
        """Wake the task that waits for the end."""
        if not self.ended.done():
            self.ended.set_result(streams)


class _HandedOver(asyncio.StreamReaderProtocol):
    """A connection that was handed to Hypercorn; the registry still watches it.

    Hypercorn by itself waits without end for a client that does not read, even when it closes.
    Here such a client has the same deadline as in the direct entry.
    """

    def __init__(
        self,
        entry: DirectEntry,
        transport: asyncio.Transport,
        reader: asyncio.StreamReader,
        serve: Continuation,
        lost: asyncio.Event,
    ) -> None:
        super().__init__(reader, serve, loop=asyncio.get_running_loop())
        self._entry = entry
        self.transport = transport
        self._lost = lost
        self._deadline = Deadline(asyncio.get_running_loop(), inf, entry.send_timeout)
        self._deadline.progress()
        entry.registry.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._entry.registry.leave(self)
        self._lost.set()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._deadline.progress()
        super().resume_writing()

    def expire(self, now: float) -> None:
        """Drop a client that reads nothing of the data that waits for it."""
        if not waiting(self.transport):
            self._deadline.progress()
        elif self._deadline.has_passed(now, self.transport, answers=True):
            reset(self.transport)

    def finish(self) -> None:
        """Do nothing: Hypercorn itself closes idle connections at a shutdown."""

    def abort(self) -> None:
        self.transport.abort()
