"""Requests that are refused: the server has no place for them, or the full one would misread them."""

from __future__ import annotations

#: The answer where the server has no place for another connection.
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\n"
    b"cache-control: no-store\r\nconnection: close\r\n\r\n"
)


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
