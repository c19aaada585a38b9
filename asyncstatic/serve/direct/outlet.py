"""Where the octets of a connection leave: through its transport, or past it by system calls.

Past it means on a duplicate of the socket, which the transport knows nothing of. So it is used only
while the transport has nothing of its own to write, and closed only when no loop watches it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from asyncstatic.files import kernel


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
