"""The header of the PROXY protocol, versions 1 and 2, as doc/proxy-protocol.txt of HAProxy has it."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.proxy_protocol import LONGEST, NoHeader, ProxyHeader, read_header

INCOMPLETE, MALFORMED = NoHeader.INCOMPLETE, NoHeader.MALFORMED
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
V4, V4_SERVER = ("192.0.2.7", 56324), ("198.51.100.1", 443)
V6, V6_SERVER = ("2001:db8::7", 56324), ("2001:db8::1", 443)


def packed(family: int, source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """The addresses of version 2."""
    ports = struct.pack("!HH", source[1], destination[1])
    return b"".join(socket.inet_pton(family, text) for text in (source[0], destination[0])) + ports


def v2(kind: int, block: bytes, command: int = 0x21, size: int | None = None) -> bytes:
    size = len(block) if size is None else size
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", size) + block


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


BLOCK4 = packed(socket.AF_INET, V4, V4_SERVER)
BLOCK6 = packed(socket.AF_INET6, V6, V6_SERVER)
TLS = tlv(0x20, b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3"))
NO_TLS = tlv(0x20, b"\x00\0\0\0\0")
AUTHORITY = tlv(0x02, b"a.example")

V1_ROWS = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", V4, V4_SERVER),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", V6, V6_SERVER),
    (b"PROXY TCP6 2001:DB8:0:0:0:0:0:7 2001:db8::1 56324 443\r\n", V6, V6_SERVER),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 56324 443\r\n", V4, V4_SERVER),
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 0 65535\r\n", ("192.0.2.7", 0), (V4_SERVER[0], 65535)),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff:f::ffff ffff:f::ffff 65535 65535\r\n", None, None),
    (b"PROXY UNKNOWN anything at all\r\n", None, None),
]
V2_ROWS = [
    (v2(0x11, BLOCK4), ProxyHeader(0, V4, V4_SERVER)),
    (v2(0x21, BLOCK6), ProxyHeader(0, V6, V6_SERVER)),
    (v2(0x11, BLOCK4 + AUTHORITY), ProxyHeader(0, V4, V4_SERVER)),
    (v2(0x11, BLOCK4 + TLS), ProxyHeader(0, V4, V4_SERVER, tls=True)),
    (v2(0x21, BLOCK6 + AUTHORITY + TLS), ProxyHeader(0, V6, V6_SERVER, tls=True)),
    (v2(0x11, BLOCK4 + NO_TLS), ProxyHeader(0, V4, V4_SERVER)),
    (v2(0x11, BLOCK4 + tlv(0x20, b"")), ProxyHeader(0, V4, V4_SERVER)),
    (v2(0x11, BLOCK4 + tlv(0xEE, b"custom")), ProxyHeader(0, V4, V4_SERVER)),
    # no address of a client: datagrams, Unix sockets, unspecified
    (v2(0x12, BLOCK4), ProxyHeader(0)),
    (v2(0x31, bytes(216)), ProxyHeader(0)),
    (v2(0x31, bytes(216) + TLS), ProxyHeader(0, tls=True)),
    (v2(0x00, b""), ProxyHeader(0)),
    (v2(0x00, b"what follows is ignored"), ProxyHeader(0)),
    # the balancer's own connection: a health check
    (v2(0x00, b"", command=0x20), ProxyHeader(0, local=True)),
    (v2(0x11, BLOCK4 + TLS, command=0x20), ProxyHeader(0, local=True)),
    (v2(0x4F, BLOCK4, command=0x20), ProxyHeader(0, local=True)),
    (v2(0x11, BLOCK4 + tlv(0x04, bytes(LONGEST - 16 - 12 - 3))), ProxyHeader(0, V4, V4_SERVER)),
]
HEADERS = [row[0] for row in V1_ROWS] + [row[0] for row in V2_ROWS]
BEHIND = b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("behind", [b"", BEHIND], ids=["alone", "with a request"])
@pytest.mark.parametrize(("data", "client", "server"), V1_ROWS)
def test_a_line_of_version_1_names_the_client(
    data: bytes,
    client: tuple[str, int] | None,
    server: tuple[str, int] | None,
    behind: bytes,
) -> None:
    assert read_header(data + behind) == ProxyHeader(len(data), client, server)


@pytest.mark.parametrize("behind", [b"", BEHIND], ids=["alone", "with a request"])
@pytest.mark.parametrize(("data", "header"), V2_ROWS)
def test_a_header_of_version_2_names_the_client(
    data: bytes, header: ProxyHeader, behind: bytes
) -> None:
    assert read_header(data + behind) == header._replace(size=len(data))


@pytest.mark.parametrize("data", HEADERS)
def test_no_beginning_of_a_header_is_taken_for_more_or_less(data: bytes) -> None:
    assert {read_header(data[:end]) for end in range(len(data))} == {INCOMPLETE}


@pytest.mark.parametrize(
    "data",
    [
        # no header at all
        b"G",
        BEHIND,
        b"\r\n\r\nGET",
        b"\x16\x03\x01",
        b"PROXY\r\n",
        b"proxy TCP4",
        # version 1
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY TCP6 fe80::7%eth0 2001:db8::1 56324 443\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY UNKNOWN a\nb\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n".ljust(107, b"x"),
        b"PROXY UNKNOWN " + b"x" * 100,
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        # version 2
        v2(0x11, BLOCK4, command=0x11),
        v2(0x11, BLOCK4, command=0x31),
        v2(0x11, BLOCK4, command=0x22),
        v2(0x41, BLOCK4),
        v2(0x13, BLOCK4),
        v2(0x11, BLOCK4[:-1]),
        v2(0x21, BLOCK4),
        v2(0x31, BLOCK6),
        v2(0x11, BLOCK4 + b"\x04"),
        v2(0x11, BLOCK4 + b"\x04\x00"),
        v2(0x11, BLOCK4 + b"\x04\x00\x02\x00"),
        v2(0x11, b"", size=LONGEST - 15),
        v2(0x11, b"", size=65535),
    ],
)
def test_anything_else_never_becomes_a_header(data: bytes) -> None:
    assert read_header(data) is MALFORMED


@given(st.sampled_from(HEADERS), st.binary(max_size=80))
def test_bytes_behind_a_header_do_not_change_it(data: bytes, behind: bytes) -> None:
    assert read_header(data + behind) == read_header(data)


@given(
    st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=200)
)
def test_any_bytes_have_one_reading_and_it_is_bounded(beginning: bytes, data: bytes) -> None:
    read = read_header(beginning + data)
    if isinstance(read, ProxyHeader):
        assert 0 < read.size <= min(LONGEST, len(beginning + data))
