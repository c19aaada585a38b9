"""The PROXY protocol, versions 1 and 2: a header in front of everything else of a connection.

A balancer that forwards bytes sends it to name the client. It comes before TLS. Source: "The PROXY
protocol", W. Tarreau, doc/proxy-protocol.txt of HAProxy; sections as there.
"""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from asyncstatic.http.addresses import Address, canonical_ip

#: The longest header that is read, in bytes. The addresses and what balancers add take some hundred.
LONGEST = 4096
_LONGEST_V1 = 107  # §2.1

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\0\r\nQUIT\n"  # §2.2
_FIXED = 16  # bytes of version 2 in front of the addresses
_PORT = rb"(0|[1-9][0-9]{0,4})"
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) %b %b)"
    % (_PORT, _PORT)
)
_LOCAL, _PROXY = 0, 1  # commands
_TCP4, _TCP6 = 0x11, 0x21  # family and protocol
_ADDRESSES = {1: 12, 2: 36, 3: 216}  # family -> bytes of both addresses, and ports
_SSL, _CLIENT_SSL = 0x20, 0x01  # PP2_TYPE_SSL, PP2_CLIENT_SSL (§2.2.6)


class ProxyHeader(NamedTuple):
    """A header that was read.

    Attributes:
        size: its length in bytes; the client's own bytes follow.
        client: the client; None when the header names no address (UNKNOWN, a Unix socket).
        server: the address that the client connected to; None with `client`.
        tls: whether the client uses TLS towards the balancer.
        local: the connection is the balancer's own, such as a health check: nothing is stated.
    """

    size: int
    client: Address | None = None
    server: Address | None = None
    tls: bool = False
    local: bool = False


class NoHeader(Enum):
    """Received bytes that are no header."""

    INCOMPLETE = "may still become one"
    MALFORMED = "never becomes one"


def read_header(data: bytes) -> ProxyHeader | NoHeader:
    """Read the header at the beginning of a connection.

    Args:
        data: what was received until now; may go on behind the header.
    """
    if data.startswith(_V2):
        return _read_v2(data)
    if data.startswith(_V1):
        return _read_v1(data)
    if _V1.startswith(data) or _V2.startswith(data):
        return NoHeader.INCOMPLETE
    return NoHeader.MALFORMED


def _read_v1(data: bytes) -> ProxyHeader | NoHeader:
    line, end, _ = data[:_LONGEST_V1].partition(b"\r\n")
    if not end:
        return NoHeader.MALFORMED if len(data) >= _LONGEST_V1 else NoHeader.INCOMPLETE
    match = _LINE.fullmatch(line)
    if match is None:
        return NoHeader.MALFORMED
    size = len(line) + 2
    if match[1] is None:
        return ProxyHeader(size)
    source, destination = _address(match[1], match[2], match[4]), _address(*match.group(1, 3, 5))
    if source is None or destination is None:
        return NoHeader.MALFORMED
    return ProxyHeader(size, source, destination)


def _address(version: bytes, address: bytes, port: bytes) -> Address | None:
    text = address.decode("ascii")
    known = canonical_ip(text)
    if known is None or (":" in text) != (version == b"6") or int(port) >= 1 << 16:
        return None
    return known, int(port)


def _read_v2(data: bytes) -> ProxyHeader | NoHeader:
    if len(data) < _FIXED:
        return NoHeader.INCOMPLETE
    version, command, kind = data[12] >> 4, data[12] & 15, data[13]
    family, size = kind >> 4, _FIXED + int.from_bytes(data[14:16], "big")
    is_local = command == _LOCAL  # then the family is ignored (§2.2)
    known = is_local or (command == _PROXY and family <= 3 and kind & 15 <= 2)
    if version != 2 or not known or size > LONGEST:
        return NoHeader.MALFORMED
    if len(data) < size:
        return NoHeader.INCOMPLETE
    if is_local or not family:
        return ProxyHeader(size, local=is_local)
    addresses = _FIXED + _ADDRESSES[family]
    tls = _tls(data[addresses:size]) if addresses <= size else None
    if tls is None:
        return NoHeader.MALFORMED
    if kind not in (_TCP4, _TCP6):  # a Unix socket or datagrams: no address of a client
        return ProxyHeader(size, tls=tls)
    return ProxyHeader(size, *_pair(data[_FIXED:addresses]), tls)


def _pair(block: bytes) -> tuple[Address, Address]:
    """Read two addresses of equal length, then two ports."""
    width = (len(block) - 4) // 2
    read = IPv4Address if width == 4 else IPv6Address
    texts = (str(read(block[start : start + width])) for start in (0, width))
    source, destination = (canonical_ip(text) or text for text in texts)
    ports = int.from_bytes(block[-4:-2], "big"), int.from_bytes(block[-2:], "big")
    return (source, ports[0]), (destination, ports[1])


def _tls(block: bytes) -> bool | None:
    """Tell from the TLVs whether the client uses TLS; None if they are malformed (§2.2.1)."""
    tls = False
    position = 0
    while position < len(block):
        value = position + 3
        end = value + int.from_bytes(block[position + 1 : value], "big")
        if end > len(block) or value > len(block):
            return None
        if block[position] == _SSL and end > value:
            tls = bool(block[value] & _CLIENT_SSL)
        position = end
    return tls
