"""A raw HTTP/1.1 client: sends any bytes, and reads answers by the framing of RFC 9112 §6.

Independent of the package and of http.client, so that a wrong framing shows: an answer that
ends before its framing says so is returned with ``complete=False``, bytes that are no answer
raise `ProtocolError`, and a server that says nothing raises TimeoutError.
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass

HOST = "127.0.0.1"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*", re.DOTALL)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close() sends RST


class ProtocolError(Exception):
    """What came is no HTTP/1.1 response."""


class EndedError(Exception):
    """The connection ended where an answer was due."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One final response; `complete` is False when it ended before its framing said so."""

    status: int
    fields: tuple[tuple[str, str], ...]
    content: bytes
    complete: bool = True
    interim: tuple[int, ...] = ()

    def field(self, name: str) -> str | None:
        """Return a field's value, several joined with ", "; None when absent."""
        values = [value for known, value in self.fields if known == name]
        return ", ".join(values) if values else None


class Connection:
    """One TCP connection to a server on the loopback.

    Args:
        port: where it listens.
        timeout: seconds the server may be silent.
        receive_buffer: bytes of SO_RCVBUF; small, to be a client that does not keep up.

    """

    def __init__(self, port: int, timeout: float = 10.0, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect((HOST, port))
        except BaseException:
            self.socket.close()
            raise
        self._buffer = bytearray()
        self._ended = False

    @classmethod
    def ended_after(cls, received: bytes) -> Connection:
        """Return a connection that has ended, with all that was received on it."""
        connection = cls.__new__(cls)
        connection._buffer, connection._ended = bytearray(received), True
        return connection

    @property
    def rest(self) -> bytes:
        """What was received and not read."""
        return bytes(self._buffer)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Leave without a word: RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def get(self, target: str | bytes, *lines: str, method: str = "GET") -> Answer:
        """Send a plain request and read its answer."""
        self.send(head(target, *lines, method=method))
        return self.read(method)

    def read(self, method: str = "GET") -> Answer:
        """Read the answer to a request.

        Raises:
            EndedError: the connection ended before an answer began.
            ProtocolError: something else than a response came.

        """
        interim: list[int] = []
        while True:
            status, fields = self._head()
            if status >= 200 or status == 101:
                break
            interim.append(status)
        content, complete = self._content(method, status, fields)
        return Answer(status, fields, content, complete, tuple(interim))

    def ended(self) -> bool:
        """Tell whether the server ends the connection, without another byte."""
        return not self._buffer and not self._fill()

    def take(self, count: int) -> bytes:
        """Read up to `count` bytes as they come, fewer only when the connection ended."""
        while len(self._buffer) < count and self._fill():
            pass
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def receive(self, count: int) -> None:
        """Receive so many bytes and no more, and keep them for `read`."""
        while count:
            data = self.socket.recv(count)
            assert data, "the connection ended"
            self._buffer += data
            count -= len(data)

    def _fill(self) -> bool:
        if self._ended:
            return False
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            data = b""
        self._ended = not data
        self._buffer += data
        return not self._ended

    def _until(self, mark: bytes) -> bytes | None:
        searched = 0
        while (found := self._buffer.find(mark, searched)) < 0:
            searched = max(0, len(self._buffer) - len(mark) + 1)
            if not self._fill():
                return None
        return self.take(found + len(mark))[: -len(mark)]

    def _head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        data = self._until(b"\r\n\r\n")
        if data is None:
            if self._buffer:
                raise ProtocolError(f"the head is cut off: {bytes(self._buffer[:200])!r}")
            raise EndedError("the connection ended before an answer")
        line, *lines = data.split(b"\r\n")
        status = _STATUS_LINE.fullmatch(line)
        if status is None:
            raise ProtocolError(f"no status line: {line!r}")
        return int(status[1]), tuple(_field(field) for field in lines)

    def _content(
        self, method: str, status: int, fields: tuple[tuple[str, str], ...]
    ) -> tuple[bytes, bool]:
        """Read content by the rules of RFC 9112 §6.3, in their order."""
        if method == "HEAD" or status in (204, 304) or status < 200:
            return b"", True
        values = dict(fields)
        if "transfer-encoding" in values:
            if "content-length" in values or values["transfer-encoding"] != "chunked":
                raise ProtocolError(f"two framings: {values}")
            return self._chunked()
        lengths = {value for name, value in fields if name == "content-length"}
        if not lengths:
            while self._fill():
                pass
            return self.take(len(self._buffer)), True
        if len(lengths) != 1 or not (length := lengths.pop()).isdigit():
            raise ProtocolError(f"Content-Length: {lengths}")
        content = self.take(int(length))
        return content, len(content) == int(length)

    def _chunked(self) -> tuple[bytes, bool]:
        content = bytearray()
        while (line := self._until(b"\r\n")) is not None:
            size = int(line.split(b";")[0], 16)
            chunk = self.take(size)
            content += chunk
            if len(chunk) < size or self.take(2) != b"\r\n":
                break
            if size == 0:
                return bytes(content), True
        return bytes(content), False


def head(target: str | bytes, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Write a request head; Host is there unless one of the lines has it."""
    if isinstance(target, str):
        target = target.encode("latin-1")
    if not any(line.lower().startswith("host:") for line in lines):
        lines = ("Host: localhost", *lines)
    block = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    return b"%s %s HTTP/%s\r\n%s\r\n" % (method.encode(), target, version.encode(), block)


def fetch(port: int, target: str | bytes, *lines: str, method: str = "GET") -> Answer:
    """One request on a connection of its own."""
    with Connection(port) as connection:
        return connection.get(target, *lines, method=method)


def _field(line: bytes) -> tuple[str, str]:
    matched = _FIELD_LINE.fullmatch(line)
    if matched is None:
        raise ProtocolError(f"no field line: {line!r}")
    return matched[1].decode("ascii").lower(), matched[2].decode("latin-1")
