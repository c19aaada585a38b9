"""Refused at the door: what the full server has no place for, or would misread."""

from __future__ import annotations

import asyncio

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\n"
    b"cache-control: no-store\r\nconnection: close\r\n\r\n"
)
_LINGER_SECONDS = 1.0


def misread(octets: bytes, head_octets: int) -> int | None:
    """Tell with which status to refuse what full servers take for something else.

    They say of a request-target without an end that the fields are too large (RFC 9112 §3).

    Args:
        octets: what was received of a request.
        head_octets: the largest head.
    """
    _, space, rest = octets[: head_octets + 1].partition(b" ")
    endless = space and b"\n" not in rest and len(octets) > head_octets
    return 414 if endless else None


def refuse(transport: asyncio.Transport, answer: bytes = _BUSY) -> None:
    """Answer and close, after the client had a moment to read that; 503 unless said otherwise.

    Closing while its request is still unread would reset the connection, and the answer with
    it (RFC 9112 §9.6): what comes is read, and dropped, until the client closes.
    """
    transport.set_protocol(_Refused(transport))
    transport.write(answer)
    if transport.can_write_eof():
        transport.write_eof()
    asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.abort)


class _Refused(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def eof_received(self) -> None:
        self._transport.close()
