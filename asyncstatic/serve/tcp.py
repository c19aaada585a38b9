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
else:
    _SIOCOUTQNSD = None
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


def taken(transport: asyncio.Transport) -> int:
    """Return a number that grows whenever a client takes something of what was written to it.

    That is how many octets its system has acknowledged (tcp(7), TCP_INFO): of a slow client it
    grows long before there is so much room that the socket is writable again. Where the system
    does not tell, it is what the transport has still to write, below zero.
    """
    if _INFO is not None:
        with suppress(OSError, ValueError, AttributeError):  # no TCP socket; closed; `waiting`
            info = transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, _INFO, _BYTES_ACKED.stop
            )
            return int.from_bytes(info[_BYTES_ACKED], sys.byteorder)
    return -waiting(transport)


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
