"""The full server behind the direct entry, as far as the direct entry needs it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from asyncstatic.http.addresses import Address
from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.direct.head import Headers


class Peer(NamedTuple):
    """The other end of a connection.

    Attributes:
        client: its address and port, or those that a PROXY header names; None for a Unix socket,
            and for a header without an address: the balancer's would not be the client's.
        server: the address and port that a PROXY header says it connected to; None without.
        tls: whether it uses TLS, towards this server or towards the balancer.
    """

    client: Address | None
    server: Address | None = None
    tls: bool = False

    @classmethod
    def of(cls, transport: asyncio.Transport) -> Peer:
        """Return the peer of a connection that is not lost yet and not handed over."""
        name = transport.get_extra_info("peername")
        tls = transport.get_extra_info("ssl_object") is not None
        proxied = getattr(transport.get_protocol(), "proxied", None)
        if proxied is not None and not proxied.local:
            return cls(proxied.client, proxied.server, tls or proxied.tls)
        return cls(name[:2] if isinstance(name, tuple) else None, None, tls)


class Exchange(NamedTuple):
    """A request that was answered or cut short, for counts and the access log.

    Attributes:
        line: the request line as it was sent.
        headers: the fields of the request.
        plan: the response; None when none was begun.
        status: the status that was sent; 499 or 444 (`access_log`) when none was.
        sent: bytes of content that left.
        peer: the other end of the connection.
        seconds: from the end of the request's head to the end of the response.
        prepared: whether the cache held the answer.
    """

    line: bytes
    headers: Headers
    plan: ResponsePlan | None
    status: int
    sent: int
    peer: Peer
    seconds: float
    prepared: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """The configuration of the full server that holds for the direct entry too.

    Attributes:
        head_bytes: the largest request head.
        keep_alive_timeout: seconds that a connection may be idle.
        keep_alive_requests: requests of one connection.
        server_names: the hosts that are served; empty for all.
        root_path: the path below which the app is mounted (ASGI).
        trusts_proxies: whether proxies may state a prefix that they removed from the path.
        own_paths: raw paths that the full server answers, whatever the roots hold.
    """

    head_bytes: int = 16 * 1024
    keep_alive_timeout: float = 5.0
    keep_alive_requests: float = math.inf
    server_names: tuple[str, ...] = ()
    root_path: str = ""
    trusts_proxies: bool = False
    own_paths: frozenset[bytes] = frozenset()


class FullServer(Protocol):
    """The server behind the direct entry.

    Attributes:
        terms: its configuration.
        observes: whether it wants to be told of every exchange.
    """

    @property
    def terms(self) -> Terms: ...

    @property
    def observes(self) -> bool: ...

    def is_full(self, connections: int) -> bool:
        """Tell whether one more connection is too many, beside so many direct ones."""

    def fields(self) -> Iterable[tuple[bytes, bytes]]:
        """Return Date and the fields that it adds to every response; asked once a second."""

    def observe(self, exchange: Exchange) -> None:
        """Count and log an exchange."""

    def observe_refusal(self, peer: Peer, data: bytes, status: int) -> None:
        """Log a request that was refused before it was read; `data` is its beginning."""

    def take_over(self, transport: asyncio.Transport, data: bytes, *, eof: bool) -> None:
        """Go on with a connection, of which data, and perhaps the end, were received."""
