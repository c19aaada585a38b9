"""A relay between a client and a server that shows what they said, and can cut the line."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.raw import HOST

_CHUNK = 1 << 16
_PATIENCE = 10.0  # seconds
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the response to it, as they went over the wire; `received` counts bytes."""

    method: str
    target: str
    asked: dict[str, str]
    status: int
    answered: dict[str, str]
    received: int

    @property
    def seen(self) -> tuple[str, str, int]:
        """Method, target and status: what most promises are about."""
        return self.method, self.target, self.status


@dataclass
class _Line:
    """One relayed connection: all bytes of either direction."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class Tap:
    """What a client saw of a server through the relay.

    Args:
        upstream: the server's port, on the loopback.
        cut: bytes from the server after which a connection ends: one number for each of the
            first connections; the later ones are left whole.
        together: connections that have to be answered before any of them gets more than the
            first bytes, so that none is so fast that a client needs no others.

    Attributes:
        port: where the relay listens, on the loopback.

    """

    def __init__(self, upstream: int, cut: tuple[int, ...], together: int) -> None:
        self.upstream = upstream
        self._together = together
        self._all_answered = threading.Event()
        self.port = 0
        self._cuts = iter(cut)
        self._lines: list[_Line] = []
        self._lock = threading.Lock()

    def url(self, path: str = "/") -> str:
        """Return the URL of a path, by way of the relay."""
        return f"http://{HOST}:{self.port}{path}"

    def exchanges(self) -> list[Exchange]:
        """Return what was said, connection by connection, without what has no answer."""
        with self._lock:
            return [exchange for line in self._lines for exchange in _exchanges(line)]

    def seen(self) -> list[tuple[str, str, int]]:
        """Return method, target and status of each exchange."""
        return [exchange.seen for exchange in self.exchanges()]

    @property
    def connections(self) -> int:
        """How many the client opened."""
        return len(self._lines)

    def forget(self) -> None:
        """Begin a new record; connections that are still open belong to the old one."""
        with self._lock:
            self._lines.clear()

    def relay(self, client: socket.socket) -> None:
        """Carry one connection until both sides have ended it."""
        with self._lock:
            line, limit = _Line(), next(self._cuts, None)
            self._lines.append(line)
        with socket.create_connection((HOST, self.upstream)) as server:
            up = threading.Thread(target=self._pump, args=(client, server, line.sent, None))
            up.start()
            self._pump(server, client, line.received, limit)
            up.join()

    def _pump(
        self, source: socket.socket, sink: socket.socket, record: bytearray, limit: int | None
    ) -> None:
        with suppress(OSError):  # either side may leave at any time
            while data := source.recv(_CHUNK):
                if limit is not None:
                    data = data[: limit - len(record)]
                with self._lock:  # before the client has it: who reads the record finds it there
                    record += data
                    if sum(bool(line.received) for line in self._lines) >= self._together:
                        self._all_answered.set()
                sink.sendall(data)
                if len(record) == limit:
                    break
                if len(record) >= _CHUNK:
                    self._all_answered.wait(_PATIENCE)
        # No client here closes one direction only: its end is the end of the connection.
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class _Relay(socketserver.ThreadingTCPServer):
    """The listening side: one thread for each connection, all ended when it is closed."""

    def __init__(self, tap: Tap) -> None:
        super().__init__((HOST, 0), socketserver.BaseRequestHandler)
        self.tap = tap
        self._open: set[socket.socket] = set()

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._open.add(request)
        try:
            self.tap.relay(request)
        finally:
            self._open.discard(request)

    def end(self) -> None:
        """End the connections that a client has kept alive."""
        for client in tuple(self._open):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


@contextmanager
def tapping(upstream: int, cut: tuple[int, ...] = (), together: int = 1) -> Iterator[Tap]:
    """Relay to a port of the loopback, on a port of its own."""
    tap = Tap(upstream, cut, together)
    with _Relay(tap) as relay:
        tap.port = relay.server_address[1]
        thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield tap
        finally:
            relay.shutdown()
            thread.join()
            relay.end()


def _exchanges(line: _Line) -> Iterator[Exchange]:
    """Pair requests without content with their responses (RFC 9112 §9.3.2: in order)."""
    responses = bytes(line.received)
    for request in bytes(line.sent).split(_HEAD_END)[:-1]:
        head, ended, responses = responses.partition(_HEAD_END)
        if not ended:
            return
        (method, target, _), asked = _head(request)
        (_, status, *_), answered = _head(head)
        bare = method == "HEAD" or status in ("204", "304")
        length = 0 if bare else int(answered["content-length"])
        content, responses = responses[:length], responses[length:]
        yield Exchange(method, target, asked, int(status), answered, len(content))


def _head(data: bytes) -> tuple[list[str], dict[str, str]]:
    first, *lines = data.decode("latin-1").split("\r\n")
    pairs = (re.split(r":[ \t]*", text, maxsplit=1) for text in lines)
    return first.split(" ", 2), {name.lower(): value for name, value in pairs}
