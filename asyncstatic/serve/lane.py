"""What the connections of the direct lane share: roots, memories, clock, limits, log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote

from asyncstatic.files.memory import BoundedDict
from asyncstatic.files.source import Opened
from asyncstatic.http.model import Lookup, Request, ResponsePlan
from asyncstatic.http.respond import admit
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.head import Head, HeadReader, RequestLine
from asyncstatic.serve.scope import split_mount

if TYPE_CHECKING:
    from hypercorn.asyncio.worker_context import WorkerContext
    from hypercorn.config import Config

SWEEP_SECONDS = 0.5
_REMEMBERED_REQUESTS = 512
_REMEMBERED_OCTETS = 2048
_MEMO_ENTRIES = 8
_MEMO_OCTETS = 512

HandOver = Callable[[asyncio.Transport, bytes, bool], None]


@dataclass(frozen=True, slots=True)
class Mount:
    """A static root and the path it answers for.

    Attributes:
        prefix: decoded, such as "/static"; "" for all paths.
        static: the root.
        passes_on: whether an app behind it gets what the root does not have.
    """

    prefix: str
    static: StaticFiles
    passes_on: Callable[[], bool]


class Admitted(NamedTuple):
    """A request the lane may answer, with all that its octets alone decide."""

    request: Request
    mount: Mount
    lookup: Lookup | ResponsePlan
    keep_alive: bool
    line: RequestLine
    head: Head


class KnownResponse(NamedTuple):
    """A response as it was sent in one second (of the clock, since the epoch)."""

    second: int
    head: bytes
    content: bytes
    plan: ResponsePlan


class Connection(Protocol):
    """What the lane asks of its connections."""

    def expire(self, now: float) -> None:
        """Close if a deadline has passed (`loop.time`)."""

    def finish(self) -> None:
        """Close now when idle, else after the response under way."""

    def abort(self) -> None:
        """Close at once."""


class Lane:
    """Shared by all connections of one worker.

    Args:
        mounts: the roots, looked at in this order.
        config: Hypercorn's; its limits and timeouts hold for both lanes.
        context: Hypercorn's, for ``max_requests``.
        hand_over: starts the full server on a connection, with the octets received so far
            and whether the client will send no more.
        limit_concurrency: connections at the same time; beyond it 503. None: no limit.
    """

    def __init__(
        self,
        mounts: list[Mount],
        config: Config,
        context: WorkerContext,
        hand_over: HandOver,
        limit_concurrency: int | None = None,
    ) -> None:
        self.config = config
        self.hand_over = hand_over
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.limit_concurrency = limit_concurrency
        self.closing = False
        self._mounts = mounts
        self._context = context
        self._reader = HeadReader(config.server_names)
        self._admitted: BoundedDict[bytes, Admitted] = BoundedDict(_REMEMBERED_REQUESTS)
        self._second = 0
        self._common = b""
        self._logs_access = config.log.access_logger is not None
        self.send_timeout = max(mount.static.settings.send_timeout for mount in mounts)

    # -- from octets to what they ask for --------------------------------------------------

    def admit(self, head: bytes) -> Admitted | None:
        """Read one request head; None when the full server must have it.

        Remembered by its exact octets, so a repeated request is one look-up.
        """
        known = self._admitted.get(head)
        if known is None:
            known = self._admit(head)
            if known is not None and len(head) <= _REMEMBERED_OCTETS:
                self._admitted.put(head, known)
        return known

    def _admit(self, octets: bytes) -> Admitted | None:
        read = self._reader.read(octets)
        if read is None:
            return None
        line, head = read
        for mount in self._mounts:
            prefix, target = split_mount(line.path, mount.prefix)
            if mount.prefix and not prefix:
                continue
            request = Request(line.method, target, line.query, head.fields, prefix)
            lookup = admit(request, mount.static.settings)
            return Admitted(request, mount, lookup, head.keep_alive, line, head)
        return None

    # -- from a plan to octets -------------------------------------------------------------

    def common_fields(self) -> bytes:
        """Date, and what else the config adds to every response; made once a second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._common = b"".join(
                b"%b: %b\r\n" % field for field in self.config.response_headers("h11")
            )
        return self._common

    def head_of(self, plan: ResponsePlan, *, close: bool) -> bytes:
        """Serialize status line and fields."""
        lines = [_status_line(plan.status)]
        lines += [b"%b: %b\r\n" % field for field in plan.fields]
        lines.append(self.common_fields())
        lines.append(b"connection: close\r\n\r\n" if close else b"\r\n")
        return b"".join(lines)

    def known_response(self, admitted: Admitted, opened: Opened) -> KnownResponse | None:
        """The response to an equal request in this second, if it is remembered."""
        known: KnownResponse | None = opened.memo.get(admitted.request)
        return known if known is not None and known.second == int(time.time()) else None

    def remember(
        self, admitted: Admitted, opened: Opened, plan: ResponsePlan, head: bytes, content: bytes
    ) -> None:
        """Keep a whole response with what it was made from, for the rest of this second.

        A plan depends on nothing but request, representation, boundary and the clock in
        seconds, so within one second equal requests for unchanged bytes have equal answers.
        """
        fields = admitted.request.fields
        if not opened.witnesses or fields.range is not None:
            return
        if sum(len(value or "") for value in fields) > _MEMO_OCTETS:
            return
        if len(opened.memo) >= _MEMO_ENTRIES:
            opened.memo.clear()
        opened.memo[admitted.request] = KnownResponse(self._second, head, content, plan)

    # -- limits, log, life -----------------------------------------------------------------

    def is_full(self) -> bool:
        """Tell whether ``limit_concurrency`` connections are there already."""
        most = self.limit_concurrency
        return most is not None and len(self.connections) >= most

    def answered(
        self, admitted: Admitted, plan: ResponsePlan, transport: asyncio.Transport
    ) -> None:
        """Count a request towards ``max_requests`` and log it, as Hypercorn does."""
        context = self._context
        if context.max_requests is not None:
            context.requests += 1
            if context.requests > context.max_requests:
                self.spawn(context.terminate.set())
        if self._logs_access:
            self.spawn(self._log(admitted, plan, transport.get_extra_info("peername")))

    async def _log(self, admitted: Admitted, plan: ResponsePlan, peer: Any) -> None:
        """Write an access log line, in Hypercorn's format and with its atoms."""
        scope: Any = {
            "type": "http",
            "http_version": "1.1",
            "method": admitted.line.method,
            "scheme": "https" if self.config.ssl_enabled else "http",
            "path": unquote(admitted.line.path.decode("ascii")),
            "query_string": admitted.line.query,
            "headers": admitted.head.headers,
            "client": peer[:2] if isinstance(peer, tuple) else None,
        }
        response: Any = {"status": plan.status, "headers": plan.fields}
        await self.config.log.access(scope, response, 0.0)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine, and keep it alive until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def sweep(self) -> None:
        """Close what is past its deadline, until cancelled: one timer for all connections."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in tuple(self.connections):
                connection.expire(now)

    def close(self) -> None:
        """Begin a graceful shutdown: idle connections go, others finish what they answer."""
        self.closing = True
        for connection in tuple(self.connections):
            connection.finish()

    def abort(self) -> None:
        """End a shutdown that took too long: whatever is left is cut off."""
        for connection in tuple(self.connections):
            connection.abort()


def find_mounts(app: Any) -> Iterator[Mount]:
    """Find the static roots in front of an app, as far as our own wrappers are around it."""
    from asyncstatic.application import Application
    from asyncstatic.serve.middleware import StaticMiddleware

    if isinstance(app, StaticFiles):
        yield Mount("", app, lambda: False)
    elif isinstance(app, Application):
        yield from find_mounts(app.built())
    elif isinstance(app, StaticMiddleware):
        yield Mount(app.prefix, app.static, app.passes_on)
        yield from find_mounts(app.app)
    elif isinstance(getattr(app, "asgi_app", None), StaticMiddleware):
        yield from find_mounts(app.asgi_app)


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
