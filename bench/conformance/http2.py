"""The same questions over HTTP/2 with prior knowledge (RFC 9113 section 3.3)."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from bench.conformance.exchange import PATIENCE, Client, Sent
from bench.conformance.messages import Answer, Ask, Fields, Unanswered


class Http2Client(Client):
    """Checks over HTTP/2: one connection and one stream a request."""

    def again(self, sent: Sent) -> Answer:
        assert isinstance(sent, Ask)
        return self._exchange(sent)

    def _exchange(self, request: Ask) -> Answer:
        self.sent = request
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            try:
                answer = _Stream(connection, request).answer()
            except (TimeoutError, ConnectionError) as broken:
                raise Unanswered(str(broken) or "no answer in time") from None
            except h2.exceptions.InvalidBodyLengthError as broken:
                raise Unanswered(_wrong_length(broken)) from None
            except h2.exceptions.ProtocolError as broken:
                raise Unanswered(f"not HTTP/2: {broken}") from None
        self.log.append((str(request), answer))
        return answer


def _wrong_length(error: h2.exceptions.InvalidBodyLengthError) -> str:
    return f"{error.actual_length} octets of content instead of {error.expected_length}"


class _Stream:
    """One request and what came back on its stream."""

    def __init__(self, connection: socket.socket, request: Ask) -> None:
        # Header encoding None: octets stay octets, whatever the server sends.
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="latin-1", validate_outbound_headers=False
        )
        self._socket = connection
        self._http2 = h2.connection.H2Connection(config=config)
        self._request = request
        self._fields: Fields = ()
        self._content = b""
        self._ended = False
        self._faults: tuple[str, ...] = ()
        self._interim: tuple[int, ...] = ()

    def answer(self) -> Answer:
        """Send the request and read until its stream ends."""
        self._http2.initiate_connection()
        self._http2.send_headers(1, self._headers(), end_stream=True)
        self._flush()
        while not self._ended:
            data = self._socket.recv(65_536)
            if not data:
                raise Unanswered("connection closed")
            for event in self._http2.receive_data(data):
                self._take(event)
            self._flush()
        return self._built()

    def _headers(self) -> list[tuple[str, str]]:
        target = self._request.target.encode("utf-8", "surrogateescape").decode("latin-1")
        pseudo = [(":method", self._request.method), (":scheme", "http")]
        pseudo += [(":authority", "localhost"), (":path", target)]
        return pseudo + [
            (name.lower(), value)
            for name, value in self._request.fields
            if name.lower() != "content-length"
        ]

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived():
                self._interim += (int(dict(_text(event.headers))[":status"]),)
            case h2.events.ResponseReceived():
                self._fields = _text(event.headers)
            case h2.events.DataReceived():
                self._content += event.data
                self._http2.acknowledge_received_data(event.flow_controlled_length, 1)
            case h2.events.StreamReset():
                self._faults += (f"stream reset, error {event.error_code}",)
                self._ended = True
            case h2.events.ConnectionTerminated():
                raise Unanswered(f"connection ended, error {event.error_code}")
            case h2.events.StreamEnded():
                self._ended = True
            case _:
                return

    def _flush(self) -> None:
        self._socket.sendall(self._http2.data_to_send())

    def _built(self) -> Answer:
        if not self._fields:
            raise Unanswered("; ".join(self._faults) or "no header section")
        status = int(dict(self._fields)[":status"])
        fields = tuple(pair for pair in self._fields if not pair[0].startswith(":"))
        method = self._request.method
        faults = self._faults
        if self._content and (method == "HEAD" or status == 304):
            faults += (f"{len(self._content)} octets of content on {method} {status}",)
        return Answer(
            status, fields, self._content, "HTTP/2", method, "stream", self._interim, faults
        )


def _text(headers: Iterable[tuple[bytes | str, ...]] | None) -> Fields:
    return tuple((_string(pair[0]), _string(pair[1])) for pair in headers or ())


def _string(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
