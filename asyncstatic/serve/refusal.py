"""One connection too many: answered 503, so that the client can read it."""

from __future__ import annotations

import asyncio

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\n"
    b"cache-control: no-store\r\nconnection: close\r\n\r\n"
)
_LINGER_SECONDS = 1.0


def refuse(transport: asyncio.Transport) -> None:
    """Answer 503 and close, after the client had a moment to read that.

    Closing while its request is still unread would reset the connection, and the answer with
    it (RFC 9112 §9.6): what comes is read, and dropped, until the client closes.
    """
    transport.set_protocol(_Refused(transport))
    transport.write(_BUSY)
    if transport.can_write_eof():
        transport.write_eof()
    asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.abort)


class _Refused(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def eof_received(self) -> None:
        self._transport.close()
