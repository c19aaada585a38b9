"""Where the octets of a connection leave: through its transport, or past it by system calls.

Past it means on a duplicate of the socket, which the transport knows nothing of. So it is used only
while the transport has nothing of its own to write, and closed only when no loop watches it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress

from asyncstatic.files import kernel

if sys.platform == "win32":

    def _queued(_: int) -> int:
        """Octets in a socket's queue: Windows does not tell."""
        return 0
else:
    import fcntl
    import termios

    _NONE = bytes(4)  # an int of C

    def _queued(fd: int) -> int:
        """Octets in a socket's queue that the client has not acknowledged (tcp(7), SIOCOUTQ)."""
        try:
            return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, _NONE), sys.byteorder)
        except (OSError, ValueError):  # not a socket, or closed
            return 0


_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class Outlet:
    """The writing side of one connection.

    Args:
        transport: the connection's own.
    """

    __slots__ = ("_duplicate", "_may_pass", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        tls = transport.get_extra_info("ssl_object") is not None
        self._may_pass = kernel.HAS_SENDFILE and not tls
        self._duplicate: socket.socket | None = None

    def past(self) -> socket.socket | None:
        """Return a duplicate of the socket, for system calls of our own.

        None while only the transport may write: over TLS, behind what it has still to write, and
        when there are no more handles.
        """
        if not self._may_pass or self._transport.get_write_buffer_size():
            return None
        if self._duplicate is None:
            with suppress(OSError):
                self._duplicate = _duplicate(self._transport.get_extra_info("socket"))
        return self._duplicate

    def unsent(self) -> int:
        """How many octets the client has not taken, in the transport and, if known, in the system.

        A slow client may take a while to make so much room that the socket is writable again.
        """
        waiting = self._transport.get_write_buffer_size()
        return waiting + _queued(self._transport.get_extra_info("socket").fileno())

    def close(self, _: object = None) -> None:
        """Give the duplicate back."""
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None


def _duplicate(original: socket.socket) -> socket.socket:
    family, kind, protocol = original.family, original.type, original.proto
    duplicate = socket.socket(family, kind, protocol, kernel.dup(original.fileno()))
    duplicate.setblocking(False)
    return duplicate


def be_writable_when(out: socket.socket, *, all_has_left: bool) -> None:
    """Say when a TCP socket is writable: when nothing in it waits to be sent, or as usual.

    Where the system has no TCP_NOTSENT_LOWAT (tcp(7)), it stays as usual.
    """
    if _NOTSENT_LOWAT is not None:
        with suppress(OSError):  # no TCP socket
            out.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, int(all_has_left))
