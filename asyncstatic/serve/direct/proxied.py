"""The PROXY header at the beginning of a connection, in which a balancer names the client."""

from __future__ import annotations

import socket

from asyncstatic.http.addresses import Networks
from asyncstatic.http.proxy_protocol import NoHeader, ProxyHeader, read_header
from asyncstatic.serve.direct.accept import Preface, ReadPreface


def preface_reader(trusted: Networks) -> ReadPreface:
    """Return a function that reads the PROXY header of a connection.

    A listener has a header on every connection, or on none: guessing would let a client choose
    ("The PROXY protocol", section 2). So a peer that is not trusted is refused as well.

    Args:
        trusted: the networks of the balancers.
    """

    def read(sock: socket.socket, data: bytes) -> Preface | None:
        name = sock.getpeername()
        peer = name[:2] if isinstance(name, tuple) else None
        if not trusted.contain(peer):
            raise ValueError(f"{_named(peer)} is not in --trusted-proxies")
        header = read_header(data)
        if header is NoHeader.INCOMPLETE:
            return None
        if not isinstance(header, ProxyHeader):
            raise ValueError(f"{_named(peer)} sent no PROXY header")
        return Preface(header.size, header)

    return read


def _named(peer: tuple[str, int] | None) -> str:
    return "the peer on a Unix socket" if peer is None else peer[0]
