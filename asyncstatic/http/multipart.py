"""multipart/byteranges (RFC 9110 §14.6): several ranges in one answer."""

from __future__ import annotations

from asyncstatic.http.model import ByteRange, RawFields, ResponsePlan


def multipart_byteranges(
    ranges: tuple[ByteRange, ...], length: int, fields: RawFields, boundary: str
) -> ResponsePlan:
    """Plan a 206 of several parts, with its exact Content-Length.

    RFC 2046 §5.1.1 allows the CRLF before the first delimiter, and zsync needs it.

    Args:
        ranges: the parts, in the order to send them.
        length: length of the whole representation, in bytes.
        fields: of the whole response; its Content-Type moves into the parts.
        boundary: at most 70 token characters, unpredictable for the author of the file.
    """
    content: list[bytes | ByteRange] = []
    media = b"".join(value for name, value in fields if name == b"content-type")
    for part in ranges:
        content.append(
            b"\r\n--%b\r\ncontent-type: %b\r\ncontent-range: bytes %d-%d/%d\r\n\r\n"
            % (boundary.encode("ascii"), media, part.first, part.last, length)
        )
        content.append(part)
    content.append(b"\r\n--%b--\r\n" % boundary.encode("ascii"))
    total = sum(len(item) if isinstance(item, bytes) else item.length for item in content)
    framing = (
        (b"content-length", b"%d" % total),
        (b"content-type", b"multipart/byteranges; boundary=" + boundary.encode("ascii")),
    )
    rest = tuple(field for field in fields if field[0] != b"content-type")
    return ResponsePlan(206, (*framing, *rest), tuple(content))
