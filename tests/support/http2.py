"""A raw HTTP/2 client over h2, with prior knowledge (RFC 9113 §3.3); reads only when told to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tests.support.raw import HOST, Answer


class StreamError(Exception):
    """The stream did not end as its head promised (RFC 9113 §5.4.2, §8.1.1)."""


class _State(h2.connection.H2ConnectionStateMachine):
    """Goes on reading after GOAWAY, as clients do (RFC 9113 §6.8)."""

    def process_input(self, input_: h2.connection.ConnectionInputs) -> list[h2.events.Event]:
        is_goodbye = input_ is h2.connection.ConnectionInputs.RECV_GOAWAY
        return [] if is_goodbye else super().process_input(input_)


class Connection2:
    """One HTTP/2 connection to a server on the loopback.

    Args:
        port: where it listens.
        window: bytes of a stream that the server may send unasked (SETTINGS).
        before: bytes to send in front of everything else.
        tls: begin TLS; the server must choose h2.

    """

    def __init__(
        self,
        port: int,
        window: int = 65_535,
        before: bytes = b"",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=10)
        self.socket.sendall(before)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=HOST)
            assert self.socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.state_machine = _State()
        # What is set later would only count after the server's acknowledgement.
        self.h2.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.h2.initiate_connection()
        self._events: list[h2.events.Event] = []
        self.flush()

    def __enter__(self) -> Connection2:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what is to be sent."""
        self.socket.sendall(self.h2.data_to_send())

    def request(self, target: str, *fields: tuple[str, str], method: str = "GET") -> int:
        """Send a request; returns its stream.

        Raises:
            StreamError: the server wants no more requests (GOAWAY), which may have come with the
                answer before; the request was not sent.

        """
        if any(isinstance(event, h2.events.ConnectionTerminated) for event in self._events):
            raise StreamError("the connection ended")
        stream: int = self.h2.get_next_available_stream_id()
        pseudo = (":method", method), (":scheme", "http"), (":authority", HOST), (":path", target)
        self.h2.send_headers(stream, [*pseudo, *fields], end_stream=True)
        self.flush()
        return stream

    def read(self, stream: int) -> Answer:
        """Read the answer on a stream; flow-control windows are opened as it comes.

        Raises:
            StreamError: it was reset, or is malformed: not as long as its Content-Length.

        """
        fields: list[tuple[str, str]] = []
        content = bytearray()
        for event in self._of(stream):
            if isinstance(event, h2.events.ResponseReceived):
                fields = list(event.headers or ())  # type: ignore[arg-type] # decoded to str
            elif isinstance(event, h2.events.DataReceived):
                content += event.data or b""
            elif isinstance(event, h2.events.StreamReset):
                raise StreamError(f"reset: {event.error_code}")
            elif isinstance(event, h2.events.StreamEnded):
                break
        values = dict(fields)
        return Answer(int(values.pop(":status")), tuple(values.items()), bytes(content))

    def get(self, target: str, *fields: tuple[str, str], method: str = "GET") -> Answer:
        """One request and its answer."""
        return self.read(self.request(target, *fields, method=method))

    def until_content(self, stream: int) -> None:
        """Receive until the first bytes of content are here; they stay unread."""
        while not any(
            isinstance(event, h2.events.DataReceived) and event.stream_id == stream
            for event in self._events
        ):
            self._receive()

    def until_pong(self) -> None:
        """Receive until a ping is answered."""
        while not any(isinstance(event, h2.events.PingAckReceived) for event in self._events):
            self._receive()

    def until_window(self, stream: int, size: int = 1) -> None:
        """Receive until so many bytes of a stream's content may be sent."""
        while self.h2.local_flow_control_window(stream) < size:
            self._receive()

    def goodbye(self) -> h2.events.ConnectionTerminated:
        """Receive until the server says that it ends the connection (GOAWAY)."""
        while True:
            for event in self._events:
                if isinstance(event, h2.events.ConnectionTerminated):
                    return event
            self._receive()

    def reset(self, stream: int) -> None:
        """Give a stream up (RST_STREAM, CANCEL)."""
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def _of(self, stream: int) -> Iterator[h2.events.Event]:
        while True:
            mine = [event for event in self._events if getattr(event, "stream_id", 0) == stream]
            for event in mine:
                self._events.remove(event)
                yield event
            self._receive()

    def _receive(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise StreamError("the connection ended")
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise StreamError(f"malformed: {error}") from error
        self._events += events
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                assert event.stream_id is not None
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
