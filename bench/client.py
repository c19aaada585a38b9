"""A small client that fetches one answer whole, so that it can be checked before it is timed."""

from __future__ import annotations

import http.client
import itertools
import ssl
from dataclasses import dataclass

Fields = tuple[tuple[str, str], ...]

# A request may contain TOKEN. Each time it is sent, a number takes the place of TOKEN that no
# other request of this run has, so that no server has seen the request before.
TOKEN, DIGITS = "{new}", 12
NUMBERS_OF_A_JOB = 10**8
_jobs = itertools.count(1)


def first_number() -> int:
    """Return the first of 100 million numbers that nobody else in this process gets."""
    return next(_jobs) * NUMBERS_OF_A_JOB


def numbered(text: str, number: int) -> str:
    """Return `text` with `number`, always of the same width, in place of each TOKEN."""
    return text.replace(TOKEN, f"{number:0{DIGITS}d}")


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    fields: dict[str, str]
    content: bytes
    head_size: int

    @property
    def wire_size(self) -> int:
        """The octets of head and content together (without chunked framing)."""
        return self.head_size + len(self.content)


def request_bytes(port: int, path: str, fields: Fields) -> bytes:
    """Return a GET request as it goes over the wire."""
    lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(": ".join(f) for f in fields))
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def fetch(
    port: int, path: str, fields: Fields = (), *, tls: bool = False, patience: float = 30
) -> Answer:
    """Fetch one path and return the whole answer.

    Raises:
        OSError: no connection, or nothing heard for `patience` seconds.
        http.client.HTTPException: the answer is not HTTP, or ends early.
    """
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=patience, context=trusting_context())
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    )
    try:
        connection.request("GET", path, headers=dict(fields))
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    head_size = len(f"HTTP/1.1 {response.status} {response.reason}\r\n\r\n")
    head_size += sum(len(f"{name}: {value}\r\n") for name, value in response.getheaders())
    names = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, names, content, head_size)


def trusting_context() -> ssl.SSLContext:
    """Return a TLS context for the bench's own throw-away certificate on loopback."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
