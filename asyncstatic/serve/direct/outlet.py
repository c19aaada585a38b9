"""Where the octets of a connection leave: through its transport, or past it by system calls.

Past it means on a duplicate of the socket, which the transport knows nothing of. So it is used only
while the transport has nothing of its own to write, and closed only when no loop watches it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from asyncstatic.files import kernel
from asyncstatic.files.arena import Copy

_MSG_MORE = getattr(socket, "MSG_MORE", 0)


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

    def write(self, head: bytes, content: bytes, copy: Copy | None) -> None:
        """Write a response whose octets are in memory.

        Args:
            head: status line and fields.
            content: what follows.
            copy: the content once more, where the kernel can take it without copying it again.
        """
        out = self.past() if copy is not None else None
        if copy is None or out is None:
            self._transport.write(head + content)
            return
        sent = _send_copy(out, head, copy)
        if sent < len(head) + len(content):
            self._transport.write((head + content)[sent:])

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


def _send_copy(out: socket.socket, head: bytes, copy: Copy) -> int:
    """Send a head and content from an arena, as far as the socket takes it now.

    The content begins at a page and is small, so both are one segment (send(2), MSG_MORE).

    Returns:
        How many octets of both were sent. After an error of the connection that is none more:
        the transport meets the same error and deals with it.
    """
    sent = 0
    with suppress(OSError):
        sent = out.send(head, _MSG_MORE)
        if sent == len(head):
            sent += kernel.sendfile(out.fileno(), copy.fd, copy.offset, copy.length)
    return sent
