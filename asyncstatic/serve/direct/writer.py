"""The writing side of a connection: through its transport, or by system calls on its socket.

The system calls use a duplicate of the socket, which the transport knows nothing of. So they are
made only while the transport has nothing of its own to write, and the duplicate is closed only
when no loop watches it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from asyncstatic.files import kernel
from asyncstatic.files.memfd import MemoryFile
from asyncstatic.serve.tcp import MORE, duplicate

# Bytes that TLS gathers in front of a full socket: one record, not the 512 KiB of asyncio and uvloop.
_WAITING_FOR_TLS = 16 * 1024


class SocketWriter:
    """Writes to one connection.

    Args:
        transport: the connection's own.

    Attributes:
        has_sendfile: whether sendfile(2) may ever be used: not over TLS.
    """

    __slots__ = ("_duplicate", "_transport", "has_sendfile")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        tls = transport.get_extra_info("ssl_object") is not None
        if tls:
            transport.set_write_buffer_limits(_WAITING_FOR_TLS)
        self.has_sendfile = kernel.HAS_SENDFILE and not tls
        self._duplicate: socket.socket | None = None

    def send(self, head: bytes, content: MemoryFile) -> None:
        """Send a head and content without a copy; the transport writes what the socket leaves."""
        out, sent = self.socket(), 0
        if out is not None:
            with suppress(OSError):  # the transport meets the same error
                head = head[out.send(head, MORE) :]
                if not head:
                    sent = kernel.sendfile(out.fileno(), content.fd, 0, content.length)
        if sent < content.length:
            self._transport.write(head + content.read(sent))

    def socket(self) -> socket.socket | None:
        """Return a duplicate of the socket, for system calls of our own.

        None while only the transport may write: over TLS, behind data that it has still to write,
        and when the process is out of file descriptors.
        """
        if not self.has_sendfile or self._transport.get_write_buffer_size():
            return None
        if self._duplicate is None:
            with suppress(OSError):
                self._duplicate = duplicate(self._transport.get_extra_info("socket"))
        return self._duplicate

    def close(self) -> None:
        """Close the duplicate; harmless when there is none."""
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None
