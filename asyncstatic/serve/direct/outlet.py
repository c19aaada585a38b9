"""Where the octets of a connection leave: through its transport, or past it by system calls.

Past it means on a duplicate of the socket, which the transport knows nothing of. So it is used only
while the transport has nothing of its own to write, and closed only when no loop watches it.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import sys
from contextlib import suppress
from typing import TypeAlias

from asyncstatic.files import kernel
from asyncstatic.files.snapshot import Snapshot

_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_INFO = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
if sys.platform == "linux":
    import fcntl

    _SIOCOUTQNSD = 0x894B  # <linux/sockios.h>, tcp(7)
else:
    _SIOCOUTQNSD = None
MORE = 0x8000 if sys.platform == "linux" else 0  # MSG_MORE of send(2)
_NO_LINGERING = struct.pack("ii", 1, 0)  # struct linger: on, for no second
# Octets that TLS gathers in front of a full socket: one record, not the 512 KiB of asyncio and uvloop.
_WAITING_FOR_TLS = 16 * 1024
_JOINED = 4096  # octets of content up to which one copy costs less than a list of two
_BYTES_ACKED = slice(120, 128)  # of struct tcp_info, since Linux 4.1 (<linux/tcp.h>)


#: What is written together: in one piece, or in two.
Octets: TypeAlias = bytes | tuple[bytes, bytes | Snapshot]


def joined(head: bytes, content: bytes | Snapshot) -> Octets:
    """Make a response of its parts; only a little is worth a copy behind its head."""
    if isinstance(content, bytes) and len(content) <= _JOINED:
        return head + content
    return head, content


class Outlet:
    """The writing side of one connection.

    Args:
        transport: the connection's own.

    Attributes:
        may_pass: whether octets may ever leave past it.
    """

    __slots__ = ("_duplicate", "_transport", "may_pass")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        tls = transport.get_extra_info("ssl_object") is not None
        if tls:
            transport.set_write_buffer_limits(_WAITING_FOR_TLS)
        self.may_pass = kernel.HAS_SENDFILE and not tls
        self._duplicate: socket.socket | None = None

    def write(self, octets: Octets) -> None:
        """Write all; what the socket does not take waits in the transport."""
        if isinstance(octets, bytes):
            self._transport.write(octets)
            return
        head, content = octets
        if isinstance(content, Snapshot):
            self._send(head, content)
        else:
            self._transport.writelines((head, content))

    def _send(self, head: bytes, content: Snapshot) -> None:
        """Write past the transport what the socket takes: without a copy."""
        out, count, sent = self.past(), len(content), 0
        try:
            if out is not None:
                head = head[out.send(head, MORE) :]
                if not head:
                    sent = kernel.sendfile(out.fileno(), content.fd, 0, count)
        except OSError:
            pass  # the transport meets the same
        if sent < count:
            self._transport.write(head + content.read(sent))

    def past(self) -> socket.socket | None:
        """Return a duplicate of the socket, for system calls of our own.

        None while only the transport may write: over TLS, behind what it has still to write, and
        when there are no more handles.
        """
        if not self.may_pass or self._transport.get_write_buffer_size():
            return None
        if self._duplicate is None:
            with suppress(OSError):
                self._duplicate = _duplicate(self._transport.get_extra_info("socket"))
        return self._duplicate

    def close(self, _: object = None) -> None:
        """Give the duplicate back."""
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None


def taken(transport: asyncio.Transport) -> int:
    """Return a number that grows whenever a client takes something of what was written to it.

    That is how many octets its system has acknowledged (tcp(7), TCP_INFO): of a slow client it
    grows long before there is so much room that the socket is writable again. Where the system
    does not tell, it is what the transport has still to write, below zero.
    """
    if _INFO is not None:
        with suppress(OSError, ValueError):  # no TCP socket; closed
            info = transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, _INFO, _BYTES_ACKED.stop
            )
            return int.from_bytes(info[_BYTES_ACKED], sys.byteorder)
    return -transport.get_write_buffer_size()


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


def _duplicate(original: socket.socket) -> socket.socket:
    family, kind, protocol = original.family, original.type, original.proto
    duplicate = socket.socket(family, kind, protocol, kernel.dup(original.fileno()))
    duplicate.setblocking(False)
    return duplicate


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
