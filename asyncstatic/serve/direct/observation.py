"""Reports each request of one direct connection to the full server, however it ends."""

from __future__ import annotations

import asyncio
import re
import time

from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.access_log import CLIENT_CLOSED, SERVER_CLOSED, first_line
from asyncstatic.serve.direct.head import read_headers
from asyncstatic.serve.direct.server import Exchange, FullServer, Peer
from asyncstatic.serve.direct.transfer import Transfer


class Observation:
    """One report per request: `begin`, then `finish` or `end`; or only `refuse`.

    Args:
        server: gets the reports.
        transport: the connection, which has just begun.
    """

    __slots__ = ("_began", "_head", "_peer", "_plan", "_prepared", "_server")

    def __init__(self, server: FullServer, transport: asyncio.Transport) -> None:
        self._server = server
        self._peer = Peer.of(transport)  # a TLS transport forgets it before the last report
        self._head: re.Match[bytes] | None = None
        self._plan: ResponsePlan | None = None
        self._prepared = False
        self._began = 0.0

    def begin(self, head: re.Match[bytes]) -> None:
        """Note a request whose head is complete."""
        self._head, self._plan, self._prepared = head, None, False
        self._began = time.monotonic()

    def answer(self, plan: ResponsePlan, *, prepared: bool = False) -> None:
        """Note the response that is sent now, and once whether the cache held it."""
        self._plan = plan
        self._prepared = self._prepared or prepared

    def finish(self) -> None:
        """Report the response, which has left or waits in the transport as a whole."""
        if self._plan is not None:
            self._report(self._plan, self._plan.status, self._plan.length or 0)

    def end(self, answering: object, data: bytes, *, by_us: bool) -> None:
        """Report the request that the end of the connection cuts short, if there is one.

        Args:
            answering: the transfer or task that is under way.
            data: received behind the last complete head.
            by_us: False when the client left.
        """
        if self._head is None:
            if answering is None and data.strip(b"\r\n"):
                self.refuse(data, 408 if by_us else 400)
        elif self._plan is None:
            self._report(None, SERVER_CLOSED if by_us else CLIENT_CLOSED, 0)
        else:
            sent = answering.sent if isinstance(answering, Transfer) else 0
            self._report(self._plan, self._plan.status, sent)

    def refuse(self, data: bytes, status: int) -> None:
        """Report a request that was refused; `data` is its beginning."""
        self._server.observe_refusal(self._peer, data, status)

    def _report(self, plan: ResponsePlan | None, status: int, sent: int) -> None:
        head, self._head, self._plan = self._head, None, None
        if head is None:
            return
        line, seconds = first_line(head[0]), time.monotonic() - self._began
        headers = read_headers(head)
        exchange = Exchange(line, headers, plan, status, sent, self._peer, seconds, self._prepared)
        self._server.observe(exchange)
