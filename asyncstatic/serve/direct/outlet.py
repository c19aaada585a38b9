"""Where the octets of a connection leave: through its transport, or past it by system calls.

Past it means on a duplicate of the socket, which the transport knows nothing of. So it is used only
while the transport has nothing of its own to write, and closed only when no loop watches it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TypeAlias

from asyncstatic.files import kernel
from asyncstatic.files.snapshot import Snapshot
from asyncstatic.serve.tcp import MORE, duplicate

# Octets that TLS gathers in front of a full socket: one record, not the 512 KiB of asyncio and uvloop.
_WAITING_FOR_TLS = 16 * 1024
_JOINED = 4096  # octets of content up to which one copy costs less than a list of two

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
        out, count, sent = self.past(), content.length, 0
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
                self._duplicate = duplicate(self._transport.get_extra_info("socket"))
        return self._duplicate

    def close(self, _: object = None) -> None:
        """Give the duplicate back."""
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None
