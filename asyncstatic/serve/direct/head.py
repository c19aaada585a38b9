"""The head of an HTTP/1.1 request, read from bytes.

The direct entry takes only heads that have one reading: a strict subset of RFC 9112, checked as a
whole by one possessive regular expression, in linear time. Everything else - another version or
method, bare LF, obs-fold, a space before a colon, a control character - does not match and is
handed over, untouched, to the full server.

Most fields of a request cannot change the answer to it: Cookie, Referer, User-Agent, Sec-*.
`deciding_lines` picks those lines that can. Requests with equal method, path and deciding lines
get the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

from asyncstatic.http.model import Fields, Request

Headers = list[tuple[bytes, bytes]]

# request-line CRLF 1*( field-line CRLF ) CRLF (RFC 9112 §2.1, §3, §5), after any empty lines (§2.2).
# field-line = token ":" *( HTAB / SP / VCHAR / obs-text ). Groups: method, path, query.
_HEAD = re.compile(
    rb"(?:\r\n)*+"
    rb"(GET|HEAD) (/[!->@-~]*+)(?:\?([!-~]*+))? HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)++\r\n"
)
match_head = _HEAD.match
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)++")

#: The fields that can change an answer, or whether this entry gives it. Accept and Sec-Fetch-*
#: decide about error pages and shells, which are never prepared. A test compares this tuple with
#: the fields that the decision core reads.
DECIDING = (
    "host", "connection", "content-length", "transfer-encoding", "expect", "trailer", "upgrade",
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
    "accept-encoding", "origin", "want-repr-digest",
)  # fmt: skip
# By their first letters only, so a few others are picked as well: they do no harm. The literal
# line feed in front lets the engine search with memchr(3); the class behind it rejects most lines.
_DECIDING_LINES = re.compile(
    rb"\n((?=[hctueriaowHCTUERIAOW])"
    rb"(?i:host|con[nt]|tra[in]|exp|upgrade:|ran|if-|accept-e|origin|want)[^\n]*+)"
)
deciding_lines = _DECIDING_LINES.findall
# Besides those, all that is read of a request which has no prepared answer.
_NAVIGATION_LINES = re.compile(rb"\n((?i:accept|sec-fetch-(?:dest|mode)):[^\n]*)")

_HOST = re.compile(rb"[A-Za-z0-9.\-_~%!$&'()*+,;=:\[\]]++")
_HANDED_OVER = frozenset({b"content-length", b"transfer-encoding", b"expect", b"trailer"})
_LONGEST_KNOWN = 1024  # bytes of lines that are worth caching
_STARTS = (b"GET /", b"HEAD /", b"\r\n")  # the last: half of an empty line


class Head(NamedTuple):
    """A request head that was read.

    Attributes:
        request: its target is the whole path.
        keep_alive: whether the client leaves the connection open.
    """

    request: Request
    keep_alive: bool


def read_head(
    match: re.Match[bytes], deciding: Iterable[bytes], server_names: Collection[bytes] = ()
) -> Head | None:
    """Read the fields of a head; None when the full server must answer the request.

    Args:
        match: of `match_head`.
        deciding: its `deciding_lines`.
        server_names: the hosts that are served; empty for all.
    """
    lines = (*deciding, *_NAVIGATION_LINES.findall(match.string, match.end(2), match.end()))
    known = sum(map(len, lines)) <= _LONGEST_KNOWN
    read = _read_known_lines(lines) if known else _read_lines(lines)
    if read is None:
        return None
    host, fields, keep_alive = read
    if server_names and host not in server_names:
        return None
    method, path, query = match.groups(b"")
    return Head(Request(method.decode("ascii"), path, query, fields), keep_alive)


def _read_lines(lines: tuple[bytes, ...]) -> tuple[bytes, Fields, bool] | None:
    """Return Host, the fields of the core, and whether the connection goes on."""
    headers = _split(lines)
    options, host = _connection_options(headers), _plain_host(headers)
    if options is None or host is None:
        return None
    return host, Fields.read(headers), b"close" not in options


# A pure function. Visitors differ in fields that it does not see, and agree in these.
_read_known_lines = lru_cache(maxsize=256)(_read_lines)


def read_headers(match: re.Match[bytes]) -> Headers:
    """Return all fields of a head, for the log and the like: names in lower case."""
    _, _, fields = match[0].lstrip(b"\r\n").partition(b"\r\n")
    return _split(fields.split(b"\r\n")[:-2])


def _split(lines: Iterable[bytes]) -> Headers:
    """Split field lines into names and values, without the white space around values (§5)."""
    parts = (line.partition(b":") for line in lines)
    return [(name.lower(), value.strip(b" \t\r")) for name, _, value in parts]


def _plain_host(headers: Headers) -> bytes | None:
    """Return the one usable Host; None also at any sign of content (RFC 9112 §3.2, §6)."""
    hosts = []
    for name, value in headers:
        if name in _HANDED_OVER:
            return None
        if name == b"host":
            hosts.append(value)
    return hosts[0] if len(hosts) == 1 and _HOST.fullmatch(hosts[0]) else None


def _connection_options(headers: Headers) -> set[bytes] | None:
    """Return the options of Connection: close, keep-alive or none; None for an upgrade.

    An offer of h2c may be ignored (RFC 9110 §7.8), and is: clients that make it, curl among
    them, stumble over data right behind a 101.
    """
    values: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in (b"connection", b"upgrade"):
            values[name] = values.get(name, b"") + b"," + value.lower()
    upgrade = values.get(b"upgrade", b"").strip(b", \t")
    if upgrade not in (b"", b"h2c"):
        return None
    options = {option.strip() for option in values.get(b"connection", b"").split(b",")} - {b""}
    if upgrade:
        options -= {b"upgrade", b"http2-settings"}
    return options if options <= {b"close"} or options <= {b"keep-alive"} else None


def without_empty_lines(data: bytes) -> bytes:
    """Drop the empty lines that may come before a request line (RFC 9112 §2.2)."""
    return _EMPTY_LINES.sub(b"", data, 1)


def may_become_head(data: bytes, limit: int) -> bool:
    """Tell whether an incomplete head of at most `limit` bytes may still become one of ours."""
    if len(data) > limit or b"\r\n\r\n" in data or data.count(b"\n") != data.count(b"\r\n"):
        return False
    return any(data.startswith(start) or start.startswith(data[:6]) for start in _STARTS)
