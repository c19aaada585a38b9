"""IP addresses in their one canonical spelling, and networks of trusted proxies and of clients."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

#: An address and a port, as in ASGI; None for a Unix socket, which has neither.
Address: TypeAlias = tuple[str, int]

_UNIX = "unix"
_UNREADABLE = "unreadable"
_EVERYBODY = "*"

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
# No zone ("%eth0"): it has a meaning on one machine only, and `ipaddress` takes any text for one.
_IP = re.compile(r"[0-9A-Fa-f:.]{2,45}")


def canonical_ip(text: str) -> str | None:
    """Return an IPv4 or IPv6 address as RFC 5952 spells it; None if it is none.

    An IPv4-mapped address (``::ffff:192.0.2.1``) is that IPv4 address.
    """
    if not _IP.fullmatch(text):
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def bucket_of(client: Address | None) -> str:
    """Return the name under which the requests of a client are counted.

    An IPv6 client has a whole /64 network at its disposal (RFC 4291 §2.5.4), so that counts as one.
    All clients on Unix sockets count as one, too, and so do all whose address cannot be read, as that of
    a framework's test client.
    """
    if client is None:
        return _UNIX
    known = canonical_ip(client[0].partition("%")[0])
    if known is None:
        return _UNREADABLE
    return str(ipaddress.ip_network((known, 64), strict=False)) if ":" in known else known


class Networks:
    """Networks of trusted proxies, or of clients.

    Args:
        names: each a network (``10.0.0.0/8``, ``fd00::/8``), an address, ``unix`` for every peer on
            a Unix socket, or ``*`` for everybody; in one string separated by commas or spaces.

    Raises:
        ValueError: a name is none of these; the message says what is needed.
    """

    def __init__(self, names: str | Iterable[str]) -> None:
        listed = names.replace(",", " ").split() if isinstance(names, str) else list(names)
        self._everybody = _EVERYBODY in listed
        self._unix = _UNIX in listed
        self._networks = [_network_of(name) for name in listed if name not in (_EVERYBODY, _UNIX)]

    def contain(self, peer: Address | None) -> bool:
        """Tell whether a peer is within a network; None is a peer on a Unix socket."""
        if peer is None:
            return self._unix or self._everybody
        return self._contain_text(peer[0])

    # The peers are few, and each request of a peer asks again.
    @lru_cache(maxsize=1024)  # noqa: B019 - networks live as long as their server
    def _contain_text(self, text: str) -> bool:
        known = canonical_ip(text.partition("%")[0])  # fe80::1%eth0, from getpeername(2)
        if known is None:
            return False
        address = ipaddress.ip_address(known)
        return self._everybody or any(address in network for network in self._networks)


def _network_of(name: str) -> _Network:
    """Read a network or an address.

    Raises:
        ValueError: it is none; the message says what is needed.
    """
    if "%" not in name:
        try:
            network = ipaddress.ip_network(name, strict=False)
        except ValueError:
            pass
        else:
            if "/" in name and network.network_address != ipaddress.ip_address(name.split("/")[0]):
                raise ValueError(f"{name} names an address in a network: say {network}")
            return _without_mapping(network)
    raise ValueError(
        f"{name!r} is no network: say one such as 10.0.0.0/8 or fd00::/8, an address, unix or *"
    )


def _without_mapping(network: _Network) -> _Network:
    """Return the IPv4 network that an IPv4-mapped one is (``::ffff:10.0.0.0/104``)."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - 96))
