"""Socket facts and options that no event loop offers (tcp(7), unix(7))."""

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
    _SIOCINQ = 0x541B
else:
    _SIOCOUTQNSD = _SIOCOUTQ = _SIOCINQ = None
_NO_LINGERING = struct.pack("ii", 1, 0)  # struct linger: on, for no second


def duplicate(original: socket.socket) -> socket.socket:
    """Return a non-blocking duplicate of a socket (dup(2)).

    Raises:
        OSError: the process is out of file descriptors.
    """
    family, kind, protocol = original.family, original.type, original.proto
    again = socket.socket(family, kind, protocol, kernel.dup(original.fileno()))
    again.setblocking(False)
    return again


def unsent(out: socket.socket) -> float:
    """Return the number of bytes in a TCP socket that were not sent yet; infinity if unknown."""
    if _SIOCOUTQNSD is not None:
        with suppress(OSError):  # no TCP socket
            return int.from_bytes(fcntl.ioctl(out, _SIOCOUTQNSD, bytes(4)), sys.byteorder)
    return math.inf


def be_writable_when(out: socket.socket, *, unsent_below: int) -> None:
    """Report a TCP socket as writable only while fewer bytes than this are unsent; 0: the default.

    Where the system has no TCP_NOTSENT_LOWAT (tcp(7)), nothing changes.
    """
    if _NOTSENT_LOWAT is not None:
        with suppress(OSError):  # no TCP socket
            out.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, unsent_below)


def taken(transport: asyncio.Transport) -> tuple[int, int]:
    """Return a value that changes when the client has received something since the last call.

    Over TCP it is the number of bytes that the client's system has acknowledged (tcp(7), TCP_INFO).
    With a slow client it grows long before the socket is writable again. For any other socket, such
    as a Unix socket, it is the number of bytes that wait: in the transport, and in the socket until
    the client reads them (unix(7), SIOCOUTQ; in buffers of up to 32 KiB). Once both buffers are
    full, both numbers stay equal while a client reads nothing. They may also be equal by chance, so
    the caller also counts room to write as progress.
    """
    sock = transport.get_extra_info("socket")
    if _INFO is not None:
        with suppress(OSError, ValueError, AttributeError):  # no TCP socket; closed; `waiting`
            info = sock.getsockopt(socket.IPPROTO_TCP, _INFO, _BYTES_ACKED.stop)
            return 0, int.from_bytes(info[_BYTES_ACKED], sys.byteorder)
    return waiting(transport), _unread(sock)


def _unread(sock: socket.socket) -> int:
    """Return the number of bytes in a socket that its peer has not read yet; 0 if unknown.

    Over TCP: that its peer's system has not acknowledged.
    """
    if _SIOCOUTQ is not None:
        with suppress(OSError, ValueError, AttributeError):  # closed; `waiting`
            buffer = fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4))
            return int.from_bytes(buffer, sys.byteorder)
    return 0


def in_flight(transport: asyncio.Transport) -> bool:
    """Tell whether data waits in a transport or its socket; what TLS has passed on may wait unseen."""
    return waiting(transport) > 0 or _unread(transport.get_extra_info("socket")) > 0


def has_received(transport: asyncio.Transport) -> bool:
    """Tell whether bytes have arrived that the event loop has not read yet; False if unknown."""
    if _SIOCINQ is not None:
        with suppress(OSError, ValueError, AttributeError):  # closed
            sock = transport.get_extra_info("socket")
            return any(fcntl.ioctl(sock.fileno(), _SIOCINQ, bytes(4)))
    return False


def waiting(transport: asyncio.Transport) -> int:
    """Return the number of bytes that a transport still has to write.

    asyncio's TLS transport does not know it after it was closed twice, as Hypercorn does. Then the
    rest has its own deadline (ssl_shutdown_timeout).
    """
    with suppress(AttributeError):
        return transport.get_write_buffer_size()
    return 0


def reset(transport: asyncio.Transport) -> None:
    """Close at once, by RST; for a client that reads nothing.

    Otherwise the system would hold the unsent data, megabytes, until its retries end (tcp(7),
    tcp_orphan_retries).
    """
    if sys.platform != "win32":
        with suppress(OSError):
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    transport.abort()
