"""The access log: one `LoggedRequest` per request, three formats, and the file that the lines go to.

A client chooses its request line, Referer and User-Agent. So a line escapes quotes, backslashes and
everything outside printable ASCII, as nginx does: a client cannot end a line, forge one, or send a
control sequence to the terminal that shows it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TextIO

from asyncstatic.http.addresses import Address, canonical_ip
from asyncstatic.http.basic import read_credentials
from asyncstatic.serve.direct.head import Headers

#: Status of a request whose client left before the answer began, as in nginx.
CLIENT_CLOSED = 499
#: Status of a request that the server ended before the answer began, as in nginx.
SERVER_CLOSED = 444

_UNSAFE = re.compile(rb'[^\x20-\x7e]|["\\]')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DASH = b"-"
_errors = logging.getLogger("asyncstatic")


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One finished request, for the log.

    Attributes:
        line: the request line as it was sent; b"-" when none was received.
        headers: fields of the request.
        peer: the client's address and port; None for a Unix socket.
        scheme: "http" or "https"; "ws" or "wss" for a WebSocket.
        status: the status that was sent; 499 or 444 when none was.
        sent: bytes of content that left, at most.
        seconds: from the end of the request's head to the end of the response.
        entry: the part that answered, "direct" or "hypercorn".
        response: fields of the response; None when none was begun.
        time: when the request ended, in seconds since the epoch.
    """

    line: bytes
    headers: Headers
    peer: Address | None
    scheme: str
    status: int
    sent: int
    seconds: float
    entry: str
    response: Headers | None = None
    time: float = field(default_factory=time.time)

    @property
    def client(self) -> str:
        """The address of the client, without a port; "unix:" for a Unix socket."""
        return client_of(self.peer)

    @property
    def user(self) -> bytes | None:
        """The name that the client sent with a password, right or wrong; None without one."""
        given = read_credentials(self.headers)
        return given.name or None if given else None

    def first(self, name: bytes) -> bytes | None:
        """Return the first value of a field, its name in lower case; None without one."""
        return next((value for key, value in self.headers if key.lower() == name), None)


# -- formats -----------------------------------------------------------------------------------


def escape(value: bytes) -> str:
    r"""Escape quotes, backslashes and everything outside printable ASCII as ``\xXX`` (nginx)."""
    return _UNSAFE.sub(lambda match: b"\\x%02X" % ord(match[0]), value).decode("ascii")


def common(access: LoggedRequest) -> str:
    """Format a line in the Common Log Format of the NCSA and Apache httpd."""
    user = _or_dash(access.user).replace(" ", r"\x20")  # it is a column of its own
    return (
        f'{access.client} - {user} [{_local(int(access.time))}] "{escape(access.line)}" '
        f"{access.status} {access.sent}"
    )


def combined(access: LoggedRequest) -> str:
    """Format a line as nginx's ``combined``: `common`, then Referer and User-Agent."""
    referrer, agent = (access.first(name) for name in (b"referer", b"user-agent"))
    return f'{common(access)} "{_or_dash(referrer)}" "{_or_dash(agent)}"'


def as_json(access: LoggedRequest) -> str:
    """Format a line as a JSON object in ASCII; each byte that a client sent is one character."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(access.time))
    return json.dumps(
        {
            "time": f"{moment}.{int(access.time * 1000) % 1000:03}Z",
            "client": access.client,
            "user": _text(access.user),
            "request": access.line.decode("latin-1"),
            "status": access.status,
            "bytes_sent": access.sent,
            "seconds": round(access.seconds, 6),
            "entry": access.entry,
            "referrer": _text(access.first(b"referer")),
            "user_agent": _text(access.first(b"user-agent")),
        }
    ).replace("\x7f", "\\u007f")  # the one control character that json.dumps lets through


FORMATS: dict[str, Callable[[LoggedRequest], str]] = {
    "common": common,
    "combined": combined,
    "json": as_json,
}


def _or_dash(value: bytes | None) -> str:
    return escape(_DASH if value is None else value)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


@lru_cache(maxsize=4)
def _local(seconds: int) -> str:
    """Format a time in the local zone, such as 28/Nov/2026:21:57:03 +0000."""
    local = time.localtime(seconds)
    minutes = local.tm_gmtoff // 60
    return (
        f"{local.tm_mday:02}/{_MONTHS[local.tm_mon - 1]}/{local.tm_year}:"
        f"{time.strftime('%H:%M:%S', local)} "
        f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    )


# -- requests ----------------------------------------------------------------------------------


def first_line(data: bytes) -> bytes:
    """Return the request line of received bytes, perhaps incomplete; b"-" without one."""
    return data.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r") or _DASH


def client_of(peer: Any) -> str:
    """Return the address of a client from its socket address (getpeername(2)).

    A socket for IPv6 and IPv4 names an IPv4 client by a mapped address (ipv6(7)).
    """
    if not isinstance(peer, tuple) or not peer:
        return "unix:"
    address: str = peer[0].partition("%")[0]  # fe80::1%eth0: nginx omits the interface
    return (canonical_ip(address) or address) if address.startswith("::ffff:") else address


# -- the file ----------------------------------------------------------------------------------


class _Handler(logging.Handler):
    """Writes lines as they are, and reports once that lines are lost; requests are still answered.

    Attributes:
        label: names the log.
    """

    label: str
    _has_failed = False

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not self._has_failed:
            self._has_failed = True
            _errors.error("access log %s: %r; lines are lost", self.label, sys.exc_info()[1])


class LogStream(_Handler, logging.StreamHandler[TextIO]):
    """Appends to standard output."""

    label = "-"

    def __init__(self) -> None:
        super().__init__(sys.stdout)


class LogFile(_Handler, logging.FileHandler):
    """Appends to a file, and opens a new one when the file was renamed or removed (logrotate).

    Where no new file can be opened, as in a sandbox, the log stays in the old one, and one line says so.

    Args:
        path: the path of the file.

    Raises:
        OSError: the file cannot be opened.

    Attributes:
        problem: the reason, as it was said, why no new file could be opened; "" after one was.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, encoding="ascii", errors="backslashreplace")
        self.label = self.baseFilename
        self.problem = ""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not None and not self._is_at_its_path(self.stream.fileno()):
            problem = _reopen(self)
            if problem and not self.problem:
                _errors.warning("%s", problem)
            self.problem = problem
        super().emit(record)

    def _is_at_its_path(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.baseFilename), os.fstat(fd))
        except OSError:
            return False


def reopen_logs() -> None:
    """Open the files of Hypercorn's logs anew, after they were renamed (logrotate, SIGUSR1).

    One line says why a file cannot be opened: its log stays in the old one.
    """
    for name in ("hypercorn.access", "hypercorn.error"):
        for handler in logging.getLogger(name).handlers:
            if not isinstance(handler, logging.FileHandler):
                continue
            if problem := _reopen(handler):
                _errors.warning("%s", problem)
            if isinstance(handler, LogFile):
                handler.problem = problem


def _reopen(handler: logging.FileHandler) -> str:
    """Open the file of a log anew; return why that failed, or ""."""
    try:
        new = handler._open()  # noqa: SLF001 - its subclasses may override it
    except OSError as error:
        return (
            f"log {handler.baseFilename}: not opened anew, the old file goes on: {error.strerror}"
        )
    with handler.lock or nullcontext():
        old, handler.stream = handler.stream, new
    if old is not None:
        with suppress(OSError):  # lines that a full disk did not take
            old.close()
    return ""
