"""multipart/byteranges (RFC 9110 §14.6): several ranges in one answer."""

from __future__ import annotations

from typing import Final

from asyncstatic.http.model import ByteRange, RawFields, ResponsePlan

_OF_PARTS: Final = (b"content-type", b"content-encoding")


def multipart_byteranges(
    ranges: tuple[ByteRange, ...], length: int, fields: RawFields, boundary: str
) -> ResponsePlan:
    """Plan a 206 of several parts, with its exact Content-Length.

    RFC 2046 §5.1.1 allows the CRLF before the first delimiter, and zsync needs it.

    Args:
        ranges: the parts, in the order to send them.
        length: length of the whole representation, in bytes.
        fields: of the whole response. Content-Type and Content-Encoding describe the
            representation, so they move into the parts: the multipart itself is not coded (§8.4).
        boundary: at most 70 token characters, unpredictable for the author of the file.
    """
    content: list[bytes | ByteRange] = []
    described = b"".join(b"%b: %b\r\n" % field for field in fields if field[0] in _OF_PARTS)
    for part in ranges:
        content.append(
            b"\r\n--%b\r\n%bcontent-range: bytes %d-%d/%d\r\n\r\n"
            % (boundary.encode("ascii"), described, part.first, part.last, length)
        )
        content.append(part)
    content.append(b"\r\n--%b--\r\n" % boundary.encode("ascii"))
    total = sum(len(item) if isinstance(item, bytes) else item.length for item in content)
    framing = (
        (b"content-length", b"%d" % total),
        (b"content-type", b"multipart/byteranges; boundary=" + boundary.encode("ascii")),
    )
    rest = tuple(field for field in fields if field[0] not in _OF_PARTS)
    return ResponsePlan(206, (*framing, *rest), tuple(content))
