"""The client's side of a request that came through proxies: address, scheme, host and prefix.

Each proxy adds the address of its own peer at the end of X-Forwarded-For or Forwarded (RFC 7239). So
the list is read from its end, and only as long as the machine that wrote an entry is trusted. The first
address that is not trusted is the client. Everything further left is the client's own text.

* X-Forwarded-Proto, -Host and -Prefix are lists too, and their values belong to the hop at the same
  place from the end. A hop that states no usable value leaves the value of the nearer hop.
* A malformed address ends the reading: the hop before it is the last. `unknown` and obfuscated
  identifiers (RFC 7239 §6) name no address, so the client stays the proxy that wrote them.
* A proxy maintains one family of fields, and may pass the other on as the client sent it. Where a
  request has both, a value counts only if both families state it. If they name different clients,
  or one names none, the client is `UNKNOWN_CLIENT`, and not the proxy: that may be let in where the client
  is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple
from urllib.parse import unquote as decoded

from asyncstatic.http.abnf import OWS, QUOTED_STRING, TOKEN, members, unquote
from asyncstatic.http.addresses import Address, Networks, canonical_ip

_MOST_HOPS = 32  # real chains have less than ten
_LONGEST_KNOWN = 1024  # bytes of fields that are worth caching
_X_FIELDS = tuple(b"x-forwarded-" + name for name in (b"for", b"proto", b"host", b"prefix"))
_FIELDS = frozenset([b"forwarded", *_X_FIELDS])
_PAIR = re.compile(rf"{OWS}({TOKEN})=({TOKEN}|{QUOTED_STRING}){OWS}(?:;|\Z)")
# nodename [ ":" node-port ] (RFC 7239 §6); groups: IPv4, IPv6, a name that hides, port.
_NODE = re.compile(
    r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]|(unknown|_[0-9A-Za-z._-]+))"
    r"(?::(?:([0-9]{1,5})|_[0-9A-Za-z._-]+))?"
)
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*")  # in X-Forwarded-For
# uri-host [ ":" port ] (RFC 9110 §7.2), without a comma, which separates members here.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+;=-]+)(?::[0-9]{1,5})?")
# No segment is empty: a redirect to "//host" would leave the site (RFC 3986 §4.2).
_PREFIX = re.compile(r"((?:/(?:[0-9A-Za-z._~!$&'()*+;=:@-]|%[0-9A-Fa-f]{2})++)*+)/?")
#: A client that nobody can tell, in the word of RFC 7239 §6.2. It is in no network.
UNKNOWN_CLIENT: Address = ("unknown", 0)
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class Forwarded(NamedTuple):
    """A request as the client made it; None where no trusted proxy states a value.

    Attributes:
        client: the address and port of the client, the port 0 if unknown; or `UNKNOWN_CLIENT`.
        scheme: "http" or "https".
        host: the authority, such as "example.org:8443".
        prefix: the beginning of the path that a proxy removed, percent-encoded, such as "/app".
    """

    client: Address | None = None
    scheme: str | None = None
    host: str | None = None
    prefix: str | None = None


NOTHING_STATED = Forwarded()


def read_forwarded(
    peer: Address | None, headers: Iterable[tuple[bytes, bytes]], trusted: Networks
) -> Forwarded:
    """Return the values that trusted proxies state about a request.

    Linear in the length of the fields. Nothing is read from a peer that is not trusted.

    Args:
        peer: the address of the connection; None for a Unix socket.
        headers: the fields of the request, names in lower case.
        trusted: the networks of the proxies.
    """
    if not trusted.contain(peer):
        return NOTHING_STATED
    fields = tuple([field for field in headers if field[0] in _FIELDS])
    if not fields:
        return NOTHING_STATED
    known = sum(len(value) for _, value in fields) <= _LONGEST_KNOWN
    return _read_known(fields, trusted) if known else _read(fields, trusted)


def _read(fields: tuple[tuple[bytes, bytes], ...], trusted: Networks) -> Forwarded:
    lines: dict[bytes, list[str]] = {}
    for name, value in fields:
        lines.setdefault(name, []).append(value.decode("latin-1"))
    standard = lines.pop(b"forwarded", None)
    stated = _outermost(_x_forwarded(lines), trusted)
    if standard is None:
        return stated
    others = _outermost(_forwarded(standard), trusted)
    if lines.keys() <= {b"x-forwarded-prefix"}:  # which Forwarded does not have
        return others._replace(prefix=stated.prefix)
    return _agreed(stated, others)


# A pure function; a visitor sends many requests through the same proxies.
_read_known = lru_cache(maxsize=256)(_read)


def _outermost(hops: Iterable[Forwarded | None], trusted: Networks) -> Forwarded:
    """Return the values of the outermost hop that a trusted machine describes.

    Args:
        hops: nearest first; None: malformed.
        trusted: the networks of the proxies.
    """
    stated = NOTHING_STATED
    for hop in hops:
        if hop is None:
            break
        stated = Forwarded(
            hop.client or stated.client,
            hop.scheme or stated.scheme,
            hop.host or stated.host,
            hop.prefix if hop.prefix is not None else stated.prefix,
        )
        if hop.client is None or not trusted.contain(hop.client):
            break
    return stated


def _agreed(one: Forwarded, other: Forwarded) -> Forwarded:
    """Return the values that both state, and the prefix of the first."""
    hosts = [stated.client and stated.client[0] for stated in (one, other)]
    return Forwarded(
        one.client if hosts[0] == hosts[1] else UNKNOWN_CLIENT,
        one.scheme if one.scheme == other.scheme else None,
        one.host if one.host == other.host else None,
        one.prefix,
    )


def _hop(
    node: str | None, scheme: str | None, host: str | None, prefix: str | None
) -> Forwarded | None:
    """Read the values of one hop; None where its address is malformed."""
    client = None
    if node is not None:
        match = _NODE.fullmatch(node)
        if match is None:
            return None
        client = _address(match)
        if client is None and not match[3]:
            return None
    if host is not None and not _HOST.fullmatch(host):
        host = None
    scheme = None if scheme is None else _SCHEMES.get(scheme.lower())
    return Forwarded(client, scheme, host, None if prefix is None else _prefix(prefix))


def _address(node: re.Match[str]) -> Address | None:
    address = canonical_ip(node[1] or node[2] or "")
    port = int(node[4] or 0)
    if address is None or (node[2] and ":" not in node[2]) or port >= 1 << 16:
        return None
    return address, port


def _prefix(text: str) -> str | None:
    """Read a path of plain segments, without its last slash; None for any other."""
    match = _PREFIX.fullmatch(text)
    if match is None:
        return None
    path = decoded(match[1])
    names = path.split("/")[1:]
    is_plain = len(names) == match[1].count("/") and not {".", ".."} & set(names)
    return match[1] if is_plain and path.isprintable() and "\\" not in path else None


def _x_forwarded(lines: dict[bytes, list[str]]) -> Iterator[Forwarded | None]:
    """Read X-Forwarded-For and its companions; nearest hop first."""
    for node, *others in zip_longest(*(_list(lines.get(name, [])) for name in _X_FIELDS)):
        is_bare = node is not None and _BARE_IPV6.fullmatch(node)
        yield _hop(f"[{node}]" if is_bare else node, *others)


def _list(values: list[str]) -> list[str]:
    """Return the last members of a list without quoted strings, the last one first."""
    parts = ",".join(values).rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
    return [member for part in reversed(parts) if (member := part.strip(" \t"))]


def _forwarded(lines: list[str]) -> Iterator[Forwarded | None]:
    """Read Forwarded; nearest hop first."""
    # A quote without an end is of the line in which it begins; another line may be a proxy's.
    elements = [element for line in lines for element in members(line)]
    for element in reversed(elements[-_MOST_HOPS:]):
        pairs = _pairs(element)
        if pairs is None:
            yield None
        else:
            yield _hop(pairs.get("for"), pairs.get("proto"), pairs.get("host"), None)


def _pairs(element: str) -> dict[str, str] | None:
    """Read a forwarded-element (§4); None if it is malformed."""
    pairs: dict[str, str] = {}
    position = 0
    while position < len(element):
        match = _PAIR.match(element, position)
        if match is None or match[1].lower() in pairs:  # each parameter at most once (§4)
            return None
        pairs[match[1].lower()] = unquote(match[2])
        position = match.end()
    return pairs
