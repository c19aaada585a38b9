"""What the connections of the direct lane share: roots, memories, clock, limits.

A lane stands in front of a full server (`FullServer`): Hypercorn in `asyncstatic serve`,
Uvicorn in `asyncstatic.serve.uvicorn`. What that one was configured with holds for both.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from asyncstatic.files.cache import Cached
from asyncstatic.files.entry import Entry
from asyncstatic.files.memory import BoundedDict, BoundedOctets
from asyncstatic.files.source import Opened
from asyncstatic.files.turn import Turn
from asyncstatic.http.model import ByteRange, Lookup, Request, ResponsePlan
from asyncstatic.http.pages import page
from asyncstatic.http.respond import ALLOW, admit, is_lasting
from asyncstatic.serve.asgi import StaticFiles, remember
from asyncstatic.serve.direct.head import Head, HeadReader, Key, RequestLine
from asyncstatic.serve.direct.outlet import Octets, joined
from asyncstatic.serve.direct.refusal import misread
from asyncstatic.serve.direct.response import Contents, KnownResponse, head_of
from asyncstatic.serve.middleware import PASSED_ON
from asyncstatic.serve.portable import in_memory
from asyncstatic.serve.scope import split_mount

SWEEP_SECONDS = 0.5
_REMEMBERED_OCTETS = 2048  # of one request head; a longer one is seldom repeated
# Of what hot content may take, one part in so many, besides it.
_SHARE_OF_REQUESTS = 4
_SHARE_OF_CONTENTS = 8
_ADMITTED_OCTETS = 720  # that a request takes besides its head (measured)
_PAGES = 256
_PAGE_HEAD_BYTES = 1024  # a longer one has a client's own query, and is seldom asked for again
_CROWD = 500  # connections; with a duplicate of each these are less than 1,024 events at once
_SEND_TIMEOUT = 60.0  # seconds, where no root says another


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

    def answers(self, plan: ResponsePlan) -> bool:
        """Tell whether a plan is for the lane: not what an app may have, or of unknown length."""
        return plan.length is not None and not (plan.status in PASSED_ON and self.passes_on())


@dataclass(slots=True, eq=False)
class Admitted:
    """A request the lane may answer, with all that its octets alone decide.

    Attributes:
        request: what was read.
        mount: the root that answers it.
        lookup: what to ask of the root; or the answer, if it needs none.
        head: its header block.
        key: what a response is remembered by, beside its representation.
        cache: the root's memory, if it answers all.
        entry: where in it the last answer came from.
        page: the answer while there is nothing, or always, once it was made.
    """

    request: Request
    mount: Mount
    lookup: Lookup | ResponsePlan
    head: Head
    key: Key
    cache: Cached | None
    entry: Entry | None = None
    page: KnownResponse | None = None

    def find_entry(self) -> None:
        """Note where in the cache the answer came from, for the next time."""
        if self.cache is not None and isinstance(self.lookup, Lookup):
            self.entry = self.cache.entry_of(self.lookup)

    def recall(self) -> KnownResponse | None:
        """Return the answer of the last time, if memory has it and it still holds."""
        found = self.entry.recall() if self.entry is not None else None
        if isinstance(found, Opened):
            return found.memo.get(self.key)
        if found is None or self.page is None or not self.mount.answers(self.page.plan):
            return None
        return self.page


class Exchange(NamedTuple):
    """A request and its response, for the log; `seconds` from the one's head to the other's end."""

    line: RequestLine
    head: Head
    plan: ResponsePlan
    transport: asyncio.Transport
    seconds: float


@dataclass(frozen=True, slots=True)
class Terms:
    """What the full server was configured with. Times in seconds.

    Attributes:
        head_octets: the largest request head.
        keep_alive_timeout: how long a connection may take for its next request head.
        keep_alive_requests: the requests of one connection.
        server_names: hosts that are served; empty for all.
        root_path: the path below which the app is mounted (ASGI).
    """

    head_octets: int = 16 * 1024
    keep_alive_timeout: float = 5.0
    keep_alive_requests: float = math.inf
    server_names: tuple[str, ...] = ()
    root_path: str = ""


class FullServer(Protocol):
    """The server behind the lane.

    Attributes:
        terms: its configuration.
        observes: whether it wants to be told of every exchange.
    """

    @property
    def terms(self) -> Terms: ...

    @property
    def observes(self) -> bool: ...

    def is_full(self, connections: int) -> bool:
        """Tell whether one connection more is too many, with so many in the lane."""

    def fields(self) -> Iterable[tuple[bytes, bytes]]:
        """Date, and what else it adds to every response; asked once a second."""

    def observe(self, exchange: Exchange) -> None:
        """Count and log an exchange."""

    def take_over(self, transport: asyncio.Transport, octets: bytes, *, eof: bool) -> None:
        """Go on with a connection, of which octets, and perhaps the end, were received."""


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
        mounts: the roots, looked at in this order; without one everything is handed over.
        server: the full server behind.
        direct: False hands everything over; of the roots only `send_timeout` counts then.
    """

    def __init__(self, mounts: list[Mount], server: FullServer, *, direct: bool = True) -> None:
        terms = server.terms
        self.server = server
        self.direct = direct and bool(mounts)
        self._mounts = mounts
        self._paths = [(mount, terms.root_path + mount.prefix) for mount in mounts]
        self.head_octets = terms.head_octets
        self.keep_alive_timeout = terms.keep_alive_timeout
        self.keep_alive_requests = terms.keep_alive_requests
        self.observes = server.observes
        self.send_timeout = max(
            (mount.static.settings.send_timeout for mount in mounts), default=_SEND_TIMEOUT
        )
        self.connections: set[Connection] = set()
        self._lingering: set[Connection] = set()  # refused, and not closed yet
        self.closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._sweeping: asyncio.TimerHandle | None = None
        self._reader = HeadReader(terms.server_names)
        cached = sum(mount.static.settings.cache_bytes for mount in mounts)
        # Requests by their exact octets, so that one which is repeated is read once.
        self.remembered = BoundedOctets(cached // _SHARE_OF_REQUESTS, cost_of_request)
        self.contents = Contents(cached // _SHARE_OF_CONTENTS)
        # Of this turn of the loop, by what they were made of, and by the octets of requests.
        self.answers: dict[KnownResponse | bytes, Octets] = {}
        self._pages: BoundedDict[ResponsePlan, KnownResponse] = BoundedDict(_PAGES)
        self._second = 0
        self._ending = b""

    # -- from octets to what they ask for --------------------------------------------------

    def admit(self, head: bytes) -> Admitted | None:
        """Read one request head; None when the full server must have it.

        It is `remembered` by its exact octets, so a repeated request is one look-up.
        """
        admitted = self._admit(head)
        if admitted is not None and len(head) <= _REMEMBERED_OCTETS:
            self.remembered.put(head, admitted)
        return admitted

    def _admit(self, octets: bytes) -> Admitted | None:
        read = self._reader.read(octets)
        if read is None:
            return None
        line, head = read
        for mount, path in self._paths:
            prefix, target = split_mount(line.path, path)
            if mount.prefix and not prefix:
                if not target:
                    return None  # the mount point without its slash
                continue
            if mount.static.needs_scope:
                return None
            request = Request(line.method, target, line.query, head.fields, prefix)
            lookup = admit(request, mount.static.settings)
            source = mount.static.source
            cache = source if isinstance(source, Cached) else None
            return Admitted(request, mount, lookup, head, head.keys[line.method], cache)
        return None

    def refusal_of(self, octets: bytes) -> bytes | None:
        """The answer to what the full server would misread, where all paths are a root's."""
        status = misread(octets, self.head_octets)
        whole = next((mount for mount in self._mounts if not mount.prefix), None)
        if status is None or whole is None or whole.passes_on():
            return None
        known = self.page(page(status, None, (ALLOW,) if status == 405 else ()))
        return known.head + self.ending(close=True) + (known.content or b"")

    # -- from a plan to octets -------------------------------------------------------------

    def ending(self, *, close: bool = False) -> bytes:
        """How every head ends: Date, and what else the server adds; made once a second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            lines = [b"%b: %b\r\n" % field for field in self.server.fields()]
            self._ending = b"".join((*lines, b"\r\n"))
        return b"connection: close\r\n" + self._ending if close else self._ending

    def again(self, known: KnownResponse, turn: Turn, *, past: bool) -> Octets:
        """Give an answer once more: those who ask in one turn of the loop share its octets."""
        octets = self.answers.get(known)
        if octets is None:
            content = self.contents.of(known) if past else known.content
            octets = joined(known.head + self.ending(), content or b"")
            if not self.answers:
                turn.ends(self.answers)
            self.answers[known] = octets
        return octets

    def lets_glance(self, turn: Turn) -> bool:
        """Tell whether those who send the same octets in this turn are answered without a look.

        Not after what a task saw, nor where so many may ask at once that the loop listens again
        in between (`Turn`), nor where the full server is told of each.
        """
        return not (turn.of_tasks or self.observes or len(self.connections) > _CROWD)

    def page(self, plan: ResponsePlan) -> KnownResponse:
        """Make a response that needs no representation, once for all who get the same."""
        known = self._pages.get(plan)
        if known is None:
            known = KnownResponse(head_of(plan), in_memory(plan, None), plan)
            if len(known.head) <= _PAGE_HEAD_BYTES:
                self._pages.put(plan, known)
        return known

    def remember(self, admitted: Admitted, opened: Opened, response: KnownResponse) -> None:
        """Keep a response with what it was made from, where it lasts.

        The cache has measured that content: a part of it would be a copy that nobody has.
        """
        if response.content is not opened.content and any(
            isinstance(part, ByteRange) for part in response.plan.content
        ):
            return
        if opened.witnesses and is_lasting(admitted.request, opened.representation, time.time_ns()):
            remember(opened, admitted.key.deciding, admitted.key, response)
            if opened.handle is None:
                admitted.find_entry()

    def observed(
        self, admitted: Admitted, plan: ResponsePlan, transport: asyncio.Transport, seconds: float
    ) -> None:
        """Tell the full server of an exchange."""
        method, target, query, _, mount, _ = admitted.request
        line = RequestLine(method, mount + target, query)
        self.server.observe(Exchange(line, admitted.head, plan, transport, seconds))

    # -- the life of connections -----------------------------------------------------------

    def is_full(self) -> bool:
        """Tell whether as many connections are there as there may be."""
        return self.server.is_full(len(self.connections))

    def enter(self, connection: Connection) -> None:
        """Watch a connection: its deadline is looked at, and a shutdown closes it."""
        self._watch(connection, self.connections)

    def linger(self, connection: Connection) -> None:
        """Watch a connection that was refused: it does not count towards a limit."""
        self._watch(connection, self._lingering)

    def leave(self, connection: Connection) -> None:
        """Watch a connection no more."""
        self.connections.discard(connection)
        self._lingering.discard(connection)
        if not self.connections and not self._lingering:
            self._empty.set()

    def _watch(self, connection: Connection, among: set[Connection]) -> None:
        among.add(connection)
        self._empty.clear()
        if self._sweeping is None:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what is past its deadline, and forget what nobody asks for: one timer for all."""
        self._sweeping = None
        self.contents.turn()
        now = asyncio.get_running_loop().time()
        for connection in (*self.connections, *self._lingering):
            connection.expire(now)
        if self.connections or self._lingering or self.contents:
            self._sweep_later()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine, and keep it alive until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Begin a graceful shutdown: idle connections go, others finish what they answer."""
        self.closing = True
        self.keep_alive_requests = 0  # the next answer of a connection is its last
        for connection in tuple(self.connections):
            connection.finish()

    async def closed(self, seconds: float) -> None:
        """Wait until all connections are gone, but not for ever: then cut off what is left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.connections or self._lingering:  # one may be handed over meanwhile
                    await self._empty.wait()
        for connection in (*self.connections, *self._lingering):
            connection.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        if self._sweeping is not None:
            self._sweeping.cancel()


def cost_of_request(octets: bytes, _: Admitted) -> int:
    """Octets that a request takes which is remembered."""
    return len(octets) + _ADMITTED_OCTETS


def find_mounts(app: Any) -> Iterator[Mount]:
    """Find the static roots in front of an app, as far as our own wrappers are around it."""
    from asyncstatic.serve.middleware import StaticMiddleware

    if isinstance(app, StaticFiles):
        yield Mount("", app, lambda: False)
    elif callable(built := getattr(app, "built", None)):  # `asyncstatic.app`: made when needed
        yield from find_mounts(built())
    elif isinstance(app, StaticMiddleware):
        yield Mount(app.prefix, app.static, app.passes_on)
        yield from find_mounts(app.app)
    elif isinstance(getattr(app, "asgi_app", None), StaticMiddleware):
        yield from find_mounts(app.asgi_app)
