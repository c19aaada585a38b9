"""h11's connection, with a few corrections.

h11 takes HTTP/9.9 for HTTP/1.1, and HTTP/1.2 without Host for a valid request. At bytes behind the last request
of a connection, and at an empty line in front of a request line, it ends the connection, also in the midst
of a response. Here these versions are refused, and these bytes are dropped (RFC 9112 §2.2, §9.6).
"""

from __future__ import annotations

from typing import Any

import h11

from asyncstatic.serve.direct.head import without_empty_lines


class CorrectedConnection(h11.Connection):
    """One HTTP/1 connection, server side; it keeps the bytes of a head that is refused."""

    _refused = b""
    _is_taken = False

    def receive_data(self, data: bytes) -> None:
        if self.their_state is not h11.MUST_CLOSE:
            super().receive_data(data)

    def next_event(self) -> Any:
        if self.their_state is h11.MUST_CLOSE:
            return h11.NEED_DATA
        data = self._head() if self.their_state is h11.IDLE else b""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                _check_version(event)
        except h11.RemoteProtocolError:
            self._refused = data
            raise
        return event

    def _head(self) -> bytes:
        """Return the begun head, after its empty lines are dropped (RFC 9112 §2.2)."""
        data = self.trailing_data[0]
        begun = without_empty_lines(data)
        self._receive_buffer.maybe_extract_at_most(len(data) - len(begun))
        return begun

    def take_unread(self) -> bytes | None:
        """Return the head that was refused or is incomplete; None from the second call on."""
        if self._is_taken:
            return None
        self._is_taken = True
        return self._refused or self.trailing_data[0]


def _check_version(request: h11.Request) -> None:
    """Refuse another major version, and a later minor one without Host (RFC 9110 §2.5, §15.6.6).

    Raises:
        h11.RemoteProtocolError: with the status of the answer.
    """
    version = request.http_version
    is_preface = (request.method, request.target, version) == (b"PRI", b"*", b"2.0")
    if version[:2] != b"1." and not is_preface:
        raise h11.RemoteProtocolError("another major version", error_status_hint=505)
    if version > b"1.1" and not is_preface and b"host" not in dict(request.headers):
        raise h11.RemoteProtocolError("no Host", error_status_hint=400)
