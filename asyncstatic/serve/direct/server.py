"""The full server behind the direct entry, as far as the direct entry needs it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.direct.head import Headers


class Exchange(NamedTuple):
    """A request that was answered or cut short, for counts and the access log.

    Attributes:
        line: the request line as it was sent.
        headers: the fields of the request.
        plan: the response; None when none was begun.
        status: the status that was sent; 499 or 444 (`access_log`) when none was.
        sent: bytes of content that left.
        transport: the connection.
        seconds: from the end of the request's head to the end of the response.
    """

    line: bytes
    headers: Headers
    plan: ResponsePlan | None
    status: int
    sent: int
    transport: asyncio.Transport
    seconds: float


@dataclass(frozen=True, slots=True)
class Terms:
    """The configuration of the full server that holds for the direct entry too.

    Attributes:
        head_bytes: the largest request head.
        keep_alive_timeout: seconds that a connection may be idle.
        keep_alive_requests: requests of one connection.
        server_names: the hosts that are served; empty for all.
        root_path: the path below which the app is mounted (ASGI).
    """

    head_bytes: int = 16 * 1024
    keep_alive_timeout: float = 5.0
    keep_alive_requests: float = math.inf
    server_names: tuple[str, ...] = ()
    root_path: str = ""


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

    def observe_refusal(self, transport: asyncio.Transport, data: bytes, status: int) -> None:
        """Log a request that was refused before it was read; `data` is its beginning."""

    def take_over(self, transport: asyncio.Transport, data: bytes, *, eof: bool) -> None:
        """Go on with a connection, of which data, and perhaps the end, were received."""
