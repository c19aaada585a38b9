"""Octets out, answers in: a reader that trusts nothing, so that no client library can be to blame.

`Wire` is one HTTP/1.1 connection. `Client` is what checks talk to: it fills placeholders, keeps
every answer for the rows that look at all of them, and hides which HTTP version carries a request.
"""

from __future__ import annotations

import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from bench.conformance.messages import Answer, Ask, Feature, Fields, NotOffered, Unanswered
from bench.conformance.site import Site

PATIENCE = 3.0  # seconds to wait for octets that should come at once
_STATUS_LINE = re.compile(rb"(HTTP/1\.\d) ([1-5]\d\d) [^\r\n]*\Z")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*\Z")
_CONDITIONAL = {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"}


Log = list[tuple[str, Answer]]
# A request as it left: the octets of HTTP/1.1; over HTTP/2 they are made by the library.
Sent = bytes | Ask


class Wire:
    """One connection to a server, read octet by octet."""

    def __init__(self, port: int, log: Log) -> None:
        self._log = log
        self._asked = ""
        self.sent = b""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pending = b""

    def close(self) -> None:
        self._socket.close()

    def send(self, octets: bytes) -> None:
        """Send; a server that has already hung up is noticed when its answer is read."""
        self.sent = octets
        self._asked = octets[:200].decode("latin-1").strip().replace("\r\n", " | ")
        try:
            self._socket.sendall(octets)
        except OSError:
            return

    def answer(self, method: str = "GET") -> Answer:
        """Read one final response to ``method``; 1xx are collected on the way.

        Raises:
            Unanswered: closed, silent for `PATIENCE` seconds, or not HTTP.

        """
        interim: tuple[int, ...] = ()
        spoiled: tuple[str, ...] = ()
        while True:
            version, status, fields, faults = self._head()
            spoiled += faults
            if status >= 200 or status == 101:
                break
            interim += (status,)
            spoiled += _delimited(status, fields)
        framing, content, more = self._content(method, status, fields)
        faults = spoiled + more
        found = Answer(status, fields, content, version, method, framing, interim, faults)
        self._log.append((self._asked, found))
        return found

    def closes(self, within: float = PATIENCE) -> bool:
        """Whether the server ends the connection, sending nothing more, within so many seconds."""
        self._socket.settimeout(within)
        try:
            return not self._pending and not self._receive()
        except Unanswered:
            return False

    def speaks(self, within: float = PATIENCE) -> bool:
        """Whether the server sends anything, within so many seconds."""
        self._socket.settimeout(within)
        try:
            self._pending += self._receive()
        except Unanswered:
            return False
        return bool(self._pending)

    def extra(self) -> bytes:
        """Octets that came although nothing was asked; does not wait."""
        self._socket.settimeout(0.0)
        with suppress(OSError):
            self._pending += self._socket.recv(65_536)
        self._socket.settimeout(PATIENCE)
        return self._pending

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(262_144)
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        except ConnectionError:
            return b""

    def _line(self) -> bytes:
        while b"\n" not in self._pending:
            more = self._receive()
            if not more:
                missing = "connection closed in mid-head" if self._pending else "connection closed"
                raise Unanswered(missing)
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _head(self) -> tuple[str, int, Fields, tuple[str, ...]]:
        faults: list[str] = []
        line = self._line()
        match = _STATUS_LINE.match(line.removesuffix(b"\r"))
        if not match:
            raise Unanswered(f"not an HTTP status line: {line[:40]!r}")
        fields: list[tuple[str, str]] = []
        while line := self._line():
            if not line.endswith(b"\r"):
                faults.append("a line ends in a bare LF")
            line = line.removesuffix(b"\r")
            if not line:
                break
            field = _FIELD_LINE.match(line)
            if not field:
                faults.append(f"not a field line: {line[:40]!r}")
                continue
            fields.append((field[1].decode("ascii"), field[2].decode("latin-1")))
        return match[1].decode(), int(match[2]), tuple(fields), tuple(faults)

    def _content(
        self, method: str, status: int, fields: Fields
    ) -> tuple[str, bytes, tuple[str, ...]]:
        """Read the content as 9112 §6.3 delimits it: (framing, octets, faults)."""
        named = {name.lower(): value for name, value in fields}
        if method == "HEAD" or status in (101, 204, 304):
            return "none", b"", ()
        if "transfer-encoding" in named:
            return "chunked", *self._chunked()
        if "content-length" in named:
            return "length", *self._exactly(named["content-length"])
        return "close", self._until_closed(), ()

    def _exactly(self, length: str) -> tuple[bytes, tuple[str, ...]]:
        if not length.isdecimal():
            return b"", (f"Content-Length: {length!r}",)
        wanted = int(length)
        while len(self._pending) < wanted:
            try:
                more = self._receive()
            except Unanswered:
                more = b""
            if not more:
                short = f"{len(self._pending)} of {wanted} octets came"
                content, self._pending = self._pending, b""
                return content, (short,)
            self._pending += more
        content, self._pending = self._pending[:wanted], self._pending[wanted:]
        return content, ()

    def _chunked(self) -> tuple[bytes, tuple[str, ...]]:
        content = b""
        while True:
            size = self._line().split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]+", size):
                return content, (f"chunk size {size[:20]!r}",)
            chunk, faults = self._exactly(str(int(size, 16)))
            content += chunk
            if faults:
                return content, faults
            if int(size, 16) == 0:
                while self._line().strip():
                    pass
                return content, ()
            if self._line().strip():
                return content, ("a chunk is longer than its size",)

    def _until_closed(self) -> bytes:
        content, self._pending = self._pending, b""
        while more := self._receive():
            content += more
        return content


def _delimited(status: int, fields: Fields) -> tuple[str, ...]:
    """1xx has no content and MUST NOT say otherwise (9110 §8.6, 9112 §6.1)."""
    named = {name.lower() for name, _ in fields} & {"content-length", "transfer-encoding"}
    return tuple(f"{status} with {name}" for name in named)


class Client(ABC):
    """The client of a check, for one server over one HTTP version."""

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.port = port
        self.log: Log = []
        self.sent: Sent | None = None  # the last request
        self.features: frozenset[Feature] = frozenset()

    def send(self, request: Ask) -> Answer:
        """Fill the placeholders and exchange."""
        return self._exchange(self._fill(request))

    def unconditional(self, request: Ask) -> Answer:
        """GET the request's target without its conditions and without Range."""
        kept = tuple(
            (name, value)
            for name, value in request.fields
            if name.lower() not in _CONDITIONAL | {"range"}
        )
        return self.send(Ask(request.target, "GET", kept))

    @abstractmethod
    def again(self, sent: Sent) -> Answer:
        """Send a request once more, on a connection of its own."""

    def wire(self) -> AbstractContextManager[Wire]:
        """Open a connection whose octets are the check's own; HTTP/1.1 alone has such."""
        raise NotOffered("rows about octets are HTTP/1.1's")

    @abstractmethod
    def _exchange(self, request: Ask) -> Answer:
        """Carry one request on a connection of its own."""

    def _fill(self, request: Ask) -> Ask:
        if not any("{" in value for _, value in request.fields):
            return request
        known = Validators(self.unconditional(request))
        filled = tuple((name, known.fill(value)) for name, value in request.fields)
        return Ask(request.target, request.method, filled)


class Http1Client(Client):
    """Checks over HTTP/1.1, and the wire itself for rows about its octets."""

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """Open a connection and close it afterwards."""
        connection = Wire(self.port, self.log)
        try:
            yield connection
        finally:
            self.sent = connection.sent
            connection.close()

    def again(self, sent: Sent) -> Answer:
        if isinstance(sent, Ask):
            return self._exchange(sent)
        with self.wire() as wire:
            wire.send(sent)
            return wire.answer(sent.lstrip(b"\r\n").partition(b" ")[0].decode("latin-1"))

    def _exchange(self, request: Ask) -> Answer:
        with self.wire() as wire:
            wire.send(octets(request))
            answer = wire.answer(request.method)
            if wire.extra():
                fault = f"{len(wire.extra())} octets follow the end of the answer"
                answer = replace(answer, faults=(*answer.faults, fault))
                self.log.append((str(request), answer))
            return answer


def octets(request: Ask, host: str = "localhost") -> bytes:
    """Serialize a request to HTTP/1.1; a lone surrogate stands for the octet it escapes."""
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.fields]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


class Validators:
    """The placeholders an unconditional answer can fill."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def fill(self, value: str) -> str:
        """Replace ``{name}`` by this object's property of that name.

        Raises:
            NotOffered: the answer did not have the validator asked for.

        """
        return re.sub(r"\{(\w+)\}", lambda match: str(getattr(self, match[1])), value)

    @property
    def etag(self) -> str:
        """The entity-tag as sent, W/ included."""
        tag = self._answer.get("ETag")
        if not tag:
            raise NotOffered("sends no entity-tag")
        return tag

    @property
    def strong(self) -> str:
        """The entity-tag, when it is strong."""
        if self.etag.startswith("W/"):
            raise NotOffered("its entity-tag is weak")
        return self.etag

    @property
    def quoted(self) -> str:
        """Give the opaque-tag with its quotes, without W/."""
        return self.etag.removeprefix("W/")

    @property
    def opaque(self) -> str:
        """The opaque-tag without its quotes."""
        return self.quoted.strip('"')

    @property
    def swapped(self) -> str:
        """The opaque-tag in the other case."""
        if self.opaque.swapcase() == self.opaque:
            raise NotOffered("its entity-tag has no letters")
        return self.opaque.swapcase()

    @property
    def date(self) -> str:
        """The Last-Modified field as sent."""
        value = self._answer.get("Last-Modified")
        if not value:
            raise NotOffered("sends no Last-Modified")
        return value

    @property
    def day_before(self) -> str:
        """The IMF-fixdate 24 hours before Last-Modified."""
        return self._written("%a, %d %b %Y %H:%M:%S GMT", days=-1)

    @property
    def day_after(self) -> str:
        """The IMF-fixdate 24 hours after Last-Modified."""
        return self._written("%a, %d %b %Y %H:%M:%S GMT", days=1)

    @property
    def rfc850(self) -> str:
        """Last-Modified in the first obsolete format of 9110 §5.6.7."""
        return self._written("%A, %d-%b-%y %H:%M:%S GMT")

    @property
    def rfc850_before(self) -> str:
        """24 hours before Last-Modified, in the first obsolete format."""
        return self._written("%A, %d-%b-%y %H:%M:%S GMT", days=-1)

    @property
    def asctime(self) -> str:
        """Last-Modified in the second obsolete format of 9110 §5.6.7."""
        return self._moment().strftime("%a %b ") + self._moment().strftime("%e %H:%M:%S %Y")

    def _moment(self) -> datetime:
        return parsedate_to_datetime(self.date).astimezone(UTC)

    def _written(self, form: str, days: int = 0) -> str:
        return (self._moment() + timedelta(days=days)).strftime(form)
