"""multipart/byteranges, read back by the standard library's e-mail parser."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstatic.http.model import ByteRange
from asyncstatic.http.multipart import multipart_byteranges
from tests.support.core import content_of, fields_of, parts_of

FIELDS = ((b"content-type", b"image/png"), (b"etag", b'"v1"'), (b"vary", b"Accept-Encoding"))
CODED = (*FIELDS, (b"content-encoding", b"br"))
BYTES = bytes(range(256))
TWO = (ByteRange(0, 0), ByteRange(255, 255))


def test_the_wire_format_is_that_of_the_rfc() -> None:
    """RFC 9110 §14.6, with the CRLF before the first delimiter that RFC 2046 §5.1.1 allows."""
    plan = multipart_byteranges(TWO, 256, FIELDS, "frontier")
    assert content_of(plan, BYTES) == (
        b"\r\n--frontier\r\ncontent-type: image/png\r\ncontent-range: bytes 0-0/256\r\n\r\n\x00"
        b"\r\n--frontier\r\ncontent-type: image/png\r\ncontent-range: bytes 255-255/256\r\n\r\n\xff"
        b"\r\n--frontier--\r\n"
    )


def test_media_type_and_coding_move_into_the_parts() -> None:
    """Clients decode a coded message before they read its parts, and a multipart is not coded."""
    plan = multipart_byteranges(TWO, 256, CODED, "frontier")
    assert content_of(plan, BYTES).count(b"\r\ncontent-encoding: br\r\n") == len(TWO)
    assert plan.status == 206
    assert fields_of(plan) == {
        "content-length": str(len(content_of(plan, BYTES))),
        "content-type": "multipart/byteranges; boundary=frontier",
        "etag": '"v1"',
        "vary": "Accept-Encoding",
    }


@pytest.mark.parametrize("count", [2, 3, 32])
def test_only_what_is_asked_is_listed(count: int) -> None:
    ranges = tuple(ByteRange(8 * i, 8 * i + 1) for i in range(count))
    plan = multipart_byteranges(ranges, 256, FIELDS, "b")
    assert tuple(part for part in plan.content if isinstance(part, ByteRange)) == ranges


spans = st.tuples(st.integers(0, 255), st.integers(0, 255)).map(
    lambda pair: ByteRange(min(pair), max(pair))
)
boundaries = st.text("0123456789abcdef", min_size=1, max_size=70)


@given(
    st.lists(spans, min_size=1, max_size=8),
    st.binary(min_size=256, max_size=256),
    boundaries,
    st.sampled_from([b"text/plain; charset=utf-8", b"application/octet-stream"]),
)
@example([ByteRange(0, 1), ByteRange(0, 255)], b"\r\n" * 128, "b", b"image/png")
@example([ByteRange(0, 1), ByteRange(0, 254)], b"\n\r" * 128, "b", b"image/png")
def test_it_is_parsed_back_to_the_same_bytes(
    ranges: list[ByteRange], data: bytes, boundary: str, media: bytes
) -> None:
    if b"--" + boundary.encode() in data:
        return  # the reason why a boundary must not be predictable
    plan = multipart_byteranges(tuple(ranges), 256, ((b"content-type", media),), boundary)
    content = content_of(plan, data)
    assert plan.length == len(content)
    assert fields_of(plan)["content-length"] == str(len(content))
    assert parts_of(fields_of(plan)["content-type"], content) == [
        (media.decode(), f"bytes {part.first}-{part.last}/256", data[part.first : part.last + 1])
        for part in ranges
    ]
