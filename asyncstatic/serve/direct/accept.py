"""Accept connections that begin with something else than HTTP: with TLS, or with a PROXY header.

Event loops offer no hook between accept(2) and the TLS handshake. So connections are accepted here.
The first bytes are examined while they are still in the socket (recv(2), MSG_PEEK). Then the loop
gets the socket (`loop.connect_accepted_socket`) and begins TLS, as if it had accepted it itself.

1. `read_preface`, where there is one, reads the header that precedes TLS and HTTP. Its bytes are
   removed from the socket here, and nowhere else.
2. The first byte behind it tells whether the client begins TLS. Plain HTTP on a TLS port is
   answered 400 (nginx's 497); before, such a client saw a reset.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

from asyncstatic.files.source import logger
from asyncstatic.serve.direct.connection import DirectProtocol
from asyncstatic.serve.direct.deadline import HEAD_SECONDS
from asyncstatic.serve.direct.entry import DirectEntry

_AT_ONCE = 100  # connections that are accepted before the event loop serves others
_PEEKED = 4096  # bytes
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_CLOSING_SECONDS = 1.0  # for first bytes that are on their way when a shutdown begins

_TEXT = b"400 Bad Request\nThis port is for HTTPS, but the request is plain HTTP: say https:// instead.\n"
_PLAIN_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    b"connection: close\r\n" % len(_TEXT)
)


class Preface(NamedTuple):
    """A header in front of TLS and HTTP.

    Attributes:
        length: bytes of the header, from the first byte of the connection.
        facts: for the protocol of the connection, such as the address of the client.
    """

    length: int
    facts: Any


#: Gets the socket, which knows the peer, and the first bytes of its connection. Returns None while the
#: header is not complete, and raises ValueError, with one line for the log, when no valid header can
#: follow: the connection is closed.
ReadPreface = Callable[[socket.socket, bytes], Preface | None]


class Listener:
    """Accepts the connections of one listening socket.

    Args:
        sock: becomes non-blocking; `close` closes it.
        entry: its registry watches connections until they have a protocol.
        make_protocol: makes the protocol of a connection, from the facts of its preface; from None
            without a preface.
        context: for TLS; None where HTTP follows at once.
        seconds: the time for the preface and the TLS handshake together.
        read_preface: reads a header that precedes everything else.
    """

    def __init__(
        self,
        sock: socket.socket,
        entry: DirectEntry,
        make_protocol: Callable[[Any], asyncio.Protocol],
        *,
        context: ssl.SSLContext | None,
        seconds: float,
        read_preface: ReadPreface | None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.entry = entry
        self.make_protocol = make_protocol
        self.context = context
        self.seconds = seconds
        self.read_preface = read_preface
        self._sock = sock
        sock.setblocking(False)
        self._paused: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept.

        Raises:
            NotImplementedError: the event loop cannot watch a socket (Windows).
        """
        self._paused = None
        self.loop.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more; connections that were accepted go on."""
        if self._paused is not None:
            self._paused.cancel()
        elif self._sock.fileno() >= 0:
            self.loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._pause(error)
                return
            sock.setblocking(False)
            _Accepted(self, sock).read()

    def _pause(self, error: OSError) -> None:
        """Wait a second for descriptors or memory, as asyncio does: else the loop would spin."""
        logger.warning("cannot accept connections for a second: %s", error.strerror)
        self.loop.remove_reader(self._sock.fileno())
        self._paused = self.loop.call_later(1.0, self.start)


class _Accepted:
    """An accepted connection that has no protocol yet.

    Clients that never finish their handshakes must not shut out others. So it is refused only after
    the handshake, if there are too many connections then; and it gets less time for it if those that
    begin would be too many.
    """

    __slots__ = ("_end", "_facts", "_listener", "_preface", "_sock", "_task", "_waits")
    transport = None

    def __init__(self, listener: Listener, sock: socket.socket) -> None:
        self._listener = listener
        self._sock = sock
        seconds = listener.seconds
        if listener.entry.is_crowded():
            seconds = min(seconds, HEAD_SECONDS)
        self._end = listener.loop.time() + seconds
        self._preface: bytes | None = None if listener.read_preface is None else b""
        self._facts: Any = None
        self._waits = False
        self._task: asyncio.Task[None] | None = None
        listener.entry.registry.begin(self)

    def read(self) -> None:
        """Examine the bytes that are there, and go on, or wait for more."""
        data = b""
        try:
            data = self._peek()
        except BlockingIOError:
            pass
        except OSError:
            self.abort()
            return
        except ValueError as error:
            logger.warning("a connection is closed: %s", error)
            self.abort()
            return
        if self._preface is None and (data or self._listener.context is None):
            self._begin(data)
        elif not self._waits:
            self._waits = True
            self._listener.loop.add_reader(self._sock.fileno(), self.read)

    def _peek(self) -> bytes:
        """Return the bytes that are there behind the preface; they stay in the socket.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the client left.
            ValueError: the preface is not valid.
        """
        data = self._sock.recv(_PEEKED, socket.MSG_PEEK)
        if not data:
            raise ConnectionResetError
        return data if self._preface is None else self._cut(self._preface, data)

    def _cut(self, before: bytes, data: bytes) -> bytes:
        """Remove the preface, or its beginning, from the socket; return the bytes behind it.

        The beginning is removed at once: bytes left in the socket would wake the loop again.
        """
        read_preface = cast("ReadPreface", self._listener.read_preface)
        preface = read_preface(self._sock, before + data)
        if preface is None:
            self._preface = before + self._sock.recv(len(data))
            return b""
        self._preface, self._facts = None, preface.facts
        rest = preface.length - len(before)
        self._sock.recv(rest)
        return data[rest:]

    def _begin(self, data: bytes) -> None:
        self._stop_waiting()
        entry, context = self._listener.entry, self._listener.context
        make = self._listener.make_protocol
        if context is not None and data[:1].isalpha():  # TLS begins with 22 (RFC 8446 §5.1)
            make, context = partial(_PlainHTTP, entry), None
        self._task = entry.registry.spawn(self._connect(partial(make, self._facts), context))

    async def _connect(
        self, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None
    ) -> None:
        loop = self._listener.loop
        left = None
        if context is not None:
            left = max(0.1, self._end - loop.time())
        try:
            await loop.connect_accepted_socket(
                make, self._sock, ssl=context, ssl_handshake_timeout=left
            )
        except OSError:  # the client left, or no TLS came about; the loop has closed the socket
            pass
        finally:
            self._listener.entry.registry.leave(self)

    def expire(self, now: float) -> None:
        """Close when the first bytes or the handshake take too long."""
        if now >= self._end:
            self.abort()

    def finish(self) -> None:
        """Go on for a moment: a request may be on its way."""
        self._end = min(self._end, self._listener.loop.time() + _CLOSING_SECONDS)

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
            return
        self._stop_waiting()
        self._sock.close()
        self._listener.entry.registry.leave(self)

    def _stop_waiting(self) -> None:
        if self._waits:
            self._waits = False
            self._listener.loop.remove_reader(self._sock.fileno())


class _PlainHTTP(DirectProtocol):
    """Refuses plain HTTP on a TLS port by 400."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, of which some bytes are there."""
        self._begin(transport)
        self._entry.registry.linger(self)
        self.deadline.linger()

    def data_received(self, data: bytes) -> None:
        if not self._lingers:
            self._buffer = data
            text = b"" if data.startswith(b"HEAD ") else _TEXT
            self._refuse(400, _PLAIN_HTTP + self._entry.head_end() + text)
