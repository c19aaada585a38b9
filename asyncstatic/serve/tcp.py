"""What the system tells of a connection, and is told, that no event loop offers (tcp(7))."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import sys
from contextlib import suppress

from asyncstatic.files import kernel

MORE = 0x8000 if sys.platform == "linux" else 0  # MSG_MORE of send(2)

_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_INFO = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_BYTES_ACKED = slice(120, 128)  # of struct tcp_info, since Linux 4.1 (<linux/tcp.h>)
if sys.platform == "linux":
    import fcntl

    _SIOCOUTQNSD = 0x894B  # <linux/sockios.h>
    _SIOCOUTQ = 0x5411
else:
    _SIOCOUTQNSD = _SIOCOUTQ = None
_NO_LINGERING = struct.pack("ii", 1, 0)  # struct linger: on, for no second


def duplicate(original: socket.socket) -> socket.socket:
    """Return another handle of a connection, which does not block (dup(2)).

    Raises:
        OSError: there are no more handles.
    """
    family, kind, protocol = original.family, original.type, original.proto
    again = socket.socket(family, kind, protocol, kernel.dup(original.fileno()))
    again.setblocking(False)
    return again


def unsent(out: socket.socket) -> float:
    """Return how many octets in a TCP socket have not left yet; infinity where that is not told."""
    if _SIOCOUTQNSD is not None:
        with suppress(OSError):  # no TCP socket
            return int.from_bytes(fcntl.ioctl(out, _SIOCOUTQNSD, bytes(4)), sys.byteorder)
    return math.inf


def be_writable_when(out: socket.socket, *, unsent_below: int) -> None:
    """Say when a TCP socket is writable: when so few octets in it wait to be sent; 0 is as usual.

    Where the system has no TCP_NOTSENT_LOWAT (tcp(7)), it stays as usual.
    """
    if _NOTSENT_LOWAT is not None:
        with suppress(OSError):  # no TCP socket
            out.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, unsent_below)


def taken(transport: asyncio.Transport) -> tuple[int, int]:
    """Return a value that differs from the last one if a client has taken something since.

    Over TCP that is how many bytes its system has acknowledged (tcp(7), TCP_INFO): of a slow client
    it grows long before there is so much room that the socket is writable again. For any other
    socket, a unix one say, it is how many bytes wait: in the transport, and in the socket for the
    client to read them (unix(7), SIOCOUTQ; in buffers of up to 32 KiB). Both numbers stand still
    while a client takes nothing, once both buffers are full. They may also be equal by chance: so
    the caller treats as progress that there was room to write, too.
    """
    sock = transport.get_extra_info("socket")
    if _INFO is not None:
        with suppress(OSError, ValueError, AttributeError):  # no TCP socket; closed; `waiting`
            info = sock.getsockopt(socket.IPPROTO_TCP, _INFO, _BYTES_ACKED.stop)
            return 0, int.from_bytes(info[_BYTES_ACKED], sys.byteorder)
    return waiting(transport), _unread(sock)


def _unread(sock: socket.socket) -> int:
    """Return how many bytes in a socket its peer has not read yet; 0 where that is not told."""
    if _SIOCOUTQ is not None:
        with suppress(OSError, ValueError, AttributeError):  # closed; `waiting`
            octets = fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4))
            return int.from_bytes(octets, sys.byteorder)
    return 0


def waiting(transport: asyncio.Transport) -> int:
    """Return how many octets a transport has still to write.

    asyncio's for TLS knows nothing any more once it was closed twice, as Hypercorn does. What it
    has still to write then has a deadline of its own (ssl_shutdown_timeout).
    """
    with suppress(AttributeError):
        return transport.get_write_buffer_size()
    return 0


def reset(transport: asyncio.Transport) -> None:
    """Close at once, and for a client that takes nothing: with RST.

    Else the system would keep what waits for it, megabytes, for as long as it hopes (tcp(7),
    tcp_orphan_retries).
    """
    if sys.platform != "win32":
        with suppress(OSError):
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    transport.abort()
