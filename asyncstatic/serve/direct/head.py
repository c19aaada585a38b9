"""A raw HTTP/1.1 request head -> Request, for the direct lane.

The direct lane is a second HTTP front end, so it takes only what has one reading: a strict
subset of RFC 9112, checked before llhttp (httptools) parses it. Everything else - another
version or method, content, Upgrade, Expect, bare LF, obs-fold, a space before a colon, a
missing or second Host, any doubt - is None: handed over, untouched, to the full server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import httptools

from asyncstatic.files.memory import BoundedDict, BoundedOctets
from asyncstatic.http.model import Fields

Headers = list[tuple[bytes, bytes]]

# field-line = field-name ":" OWS field-value OWS (RFC 9112 §5): tokens, no controls.
_FIELD_LINES = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[ \t]*+[\t \x21-\x7e\x80-\xff]*+\r\n)++\r\n"
)
_REQUEST_LINE = re.compile(rb"(GET|HEAD) (/[\x21-\x7e]*+) HTTP/1\.1")
_HOST = re.compile(rb"[A-Za-z0-9.\-_~%!$&'()*+,;=:\[\]]++")
_NEVER_HERE = frozenset({b"content-length", b"transfer-encoding", b"expect", b"trailer"})
_STARTS = (b"GET /", b"HEAD /", b"\r\n")
_REMEMBERED_OCTETS = 4096
_BLOCKS_BYTES = 1024 * 1024  # of the header blocks that are remembered, and of what they say
_REMEMBERED_KEYS = 2048
_REMEMBERED_CHARACTERS = 512  # of the fields of a key; who varies more seldom asks again


class Key:
    """What decides a response, once its representation is selected: the method and some fields.

    There is one for all requests that agree in them: it is compared by identity.
    """

    __slots__ = ("deciding",)

    def __init__(self, deciding: Fields) -> None:
        self.deciding = deciding


class Head(NamedTuple):
    """What a header block says; equal for every request that repeats it byte for byte.

    Attributes:
        fields: those that matter for the answer.
        keep_alive: whether the connection goes on.
        headers: all of them.
        keys: by method, what a response is remembered by, beside its representation.
    """

    fields: Fields
    keep_alive: bool
    headers: Headers
    keys: dict[str, Key]


class RequestLine(NamedTuple):
    """Method, path and query of a request line, still percent-encoded."""

    method: str
    path: bytes
    query: bytes


class _Collector:
    """Receives what llhttp finds."""

    def __init__(self) -> None:
        self.headers: Headers = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.complete = True


class HeadReader:
    """Reads heads, and remembers header blocks by their exact bytes, within a bound.

    Args:
        server_names: hosts that are ours; empty for all (Hypercorn's ``server_names``).
    """

    def __init__(self, server_names: Iterable[str] = ()) -> None:
        self._server_names = frozenset(name.encode("latin-1") for name in server_names)
        self._blocks: BoundedOctets[bytes, Head] = BoundedOctets(_BLOCKS_BYTES, _cost_of_block)
        self._keys: BoundedDict[tuple[str, Fields], Key] = BoundedDict(_REMEMBERED_KEYS)

    def read(self, head: bytes) -> tuple[RequestLine, Head] | None:
        """Read one head, its empty line included; None for whatever is not ours."""
        line, _, block = head.partition(b"\r\n")
        parts = _REQUEST_LINE.fullmatch(line)
        if parts is None:
            return None
        known = self._blocks.get(block)
        if known is None:
            known = self._parse(head, block)
            if known is None:
                return None
            if len(block) <= _REMEMBERED_OCTETS:
                self._blocks.put(block, known)
        path, _, query = parts[2].partition(b"?")
        return RequestLine(parts[1].decode("ascii"), path, query), known

    def _parse(self, head: bytes, block: bytes) -> Head | None:
        if _FIELD_LINES.fullmatch(block) is None:
            return None
        collector = _Collector()
        parser = httptools.HttpRequestParser(collector)
        # An upgrade ends the head all the same; which of them we may ignore is asked below.
        with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            parser.feed_data(head)
        if not collector.complete or not self._is_plain(collector.headers):
            return None
        options = _plain_connection(collector.headers)
        if options is None:
            return None
        fields = Fields.read(collector.headers)
        keys = {method: self._key(method, fields.deciding()) for method in ("GET", "HEAD")}
        return Head(fields, b"close" not in options, collector.headers, keys)

    def _key(self, method: str, deciding: Fields) -> Key:
        key = self._keys.get((method, deciding))
        if key is None:
            key = Key(deciding)
            if sum(map(len, filter(None, deciding))) <= _REMEMBERED_CHARACTERS:
                self._keys.put((method, deciding), key)
        return key

    def _is_plain(self, headers: Headers) -> bool:
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            return False
        if self._server_names and hosts[0] not in self._server_names:
            return False
        return not any(name in _NEVER_HERE for name, _ in headers)


def _cost_of_block(block: bytes, head: Head) -> int:
    """Bytes that a header block takes which is remembered, with its parts (measured)."""
    return 3 * len(block) + 150 * len(head.headers) + 1024


def may_become_ours(octets: bytes, most: int) -> bool:
    """Tell whether an incomplete head could still be one for this lane, of `most` octets."""
    if len(octets) > most or octets.count(b"\n") != octets.count(b"\r\n"):
        return False
    return any(octets.startswith(start) or start.startswith(octets[:6]) for start in _STARTS)


def _plain_connection(headers: Headers) -> set[bytes] | None:
    """What Connection says: close or keep-alive, not both; None where something is upgraded.

    An offer of h2c may be ignored (RFC 9110 §7.8), and is: clients that make it, curl among
    them, stumble over data right behind a 101.
    """
    connection = b", ".join(value for name, value in headers if name == b"connection").lower()
    upgrade = b", ".join(value for name, value in headers if name == b"upgrade").lower()
    if upgrade and upgrade.strip() != b"h2c":
        return None
    options = {option.strip() for option in connection.split(b",")} - {b""}
    if upgrade:
        options -= {b"upgrade", b"http2-settings"}
    return options if options <= {b"close"} or options <= {b"keep-alive"} else None
