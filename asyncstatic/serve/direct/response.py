"""HTTP/1.1 responses as bytes: heads, and the fields that every head ends with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from asyncstatic.http.model import ResponsePlan
from asyncstatic.http.status import PHRASES

_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {phrase}\r\n".encode() for status, phrase in PHRASES.items()
}
_FIELD = b"%b: %b\r\n"


def head_of(plan: ResponsePlan) -> bytes:
    """Serialize status line and fields, without the end that `HeadEnd` gives."""
    line = _STATUS_LINES.get(plan.status) or b"HTTP/1.1 %d \r\n" % plan.status
    return line + b"".join(map(_FIELD.__mod__, plan.fields))


class HeadEnd:
    """The end of every head: Date and what else the server adds, made once a second.

    Args:
        fields: returns these fields as they are now.
    """

    def __init__(self, fields: Callable[[], Iterable[tuple[bytes, bytes]]]) -> None:
        self._fields = fields
        self._second = 0
        self._end = b""

    def __call__(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._end = b"".join((*map(_FIELD.__mod__, self._fields()), b"\r\n"))
        return self._end
