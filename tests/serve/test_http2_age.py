"""A request over HTTP/2 costs the same on an old connection, whatever frames came before it."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.stream
import hyperframe.frame as frames
import pytest
from h2.connection import H2Connection
from h2.events import Event
from hpack import Encoder
from hypercorn.protocol.h2 import StreamBuffer
from hypercorn.protocol.http_stream import HTTPStream
from priority import priority

from asyncstatic import StaticFiles
from tests.serve.inside import Inside, eventually, serving_inside
from tests.support.http2 import Connection2, StreamError
from tests.support.raw import HOST
from tests.support.servers import Server, serving

pytestmark = pytest.mark.grid

#: What Hypercorn and its libraries make for a stream; none may outlive it for long.
_OF_A_STREAM = (priority.Stream, h2.stream.H2Stream, HTTPStream, StreamBuffer)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.SettingsFrame(0).serialize()


@pytest.fixture(params=["serve", "serve-no-direct"])
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[Server]:
    with serving(request.param, site) as server:
        yield server


def _get_as_chromium(connection: Connection2) -> int:
    """Ask as Chromium does: every HEADERS frame has a priority, exclusive and below stream 0."""
    stream: int = connection.h2.get_next_available_stream_id()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", HOST)]
    connection.h2.send_headers(
        stream,
        [*fields, (":path", "/css/app.css")],
        end_stream=True,
        priority_weight=256,
        priority_depends_on=0,
        priority_exclusive=True,
    )
    connection.flush()
    return connection.read(stream).status


def _objects() -> Counter[str]:
    gc.collect()
    kinds = (type(found) for found in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if kind in _OF_A_STREAM)


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "full"])
def test_five_hundred_requests_leave_no_more_behind_than_fifty(
    site: Path, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = []
    monkeypatch.setattr(priority.PriorityTree, "reprioritize", lambda *_, **__: moved.append(_))
    with (
        serving_inside(StaticFiles(site), direct=direct) as server,
        Connection2(server.port) as connection,
    ):
        assert {_get_as_chromium(connection) for _ in range(50)} == {200}
        young = _objects()
        assert {_get_as_chromium(connection) for _ in range(450)} == {200}
        old = _objects()
    assert all(old[kind] <= young[kind] + 3 for kind in old), (young, old)
    assert not moved


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "full"])
def test_a_page_of_requests_at_once_is_answered_in_any_order(site: Path, direct: bool) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct) as server,
        Connection2(server.port) as connection,
    ):
        streams = [connection.request("/pixels.png") for _ in range(60)]
        answers = [connection.read(stream) for stream in reversed(streams)]
        assert {answer.status for answer in answers} == {200}


def _headers(stream: int, *flags: str, path: bytes | None = b"/css/app.css") -> frames.HeadersFrame:
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"localhost")]
    fields += [(b":path", path)] if path is not None else []
    block = Encoder().encode(fields)  # its own table: no entry depends on another frame
    return frames.HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM", *flags])


def _priority(stream: int, depends_on: int, exclusive: bool) -> frames.PriorityFrame:
    return frames.PriorityFrame(stream, depends_on=depends_on, stream_weight=7, exclusive=exclusive)


def _odd(count: int) -> range:
    return range(1, 2 * count, 2)


def _priorities_of_idle_streams() -> Iterator[frames.Frame]:
    for stream in _odd(3000):
        yield _priority(stream, 0, False)


def _priorities_in_a_chain() -> Iterator[frames.Frame]:
    for stream in _odd(3000):
        yield _priority(stream + 2, stream, True)


def _priorities_in_a_circle() -> Iterator[frames.Frame]:
    for turn in range(1000):
        for stream in (1, 3, 5):
            yield _priority(stream, (stream + 2 * (turn % 2) + 2) % 6, turn % 3 == 0)


def _requests_reset_at_once() -> Iterator[frames.Frame]:
    for stream in _odd(1500):
        yield _headers(stream)
        yield frames.RstStreamFrame(stream, error_code=8)


def _malformed_requests_reset_at_once() -> Iterator[frames.Frame]:
    for stream in _odd(500):
        yield _headers(stream, path=b"/\xff")
        yield frames.RstStreamFrame(stream, error_code=8)


def _malformed_requests_without_end() -> Iterator[frames.Frame]:
    for stream in _odd(3000):
        yield _headers(stream, path=b"/\xff")


def _settings_and_pings() -> Iterator[frames.Frame]:
    for number in range(1000):
        yield frames.SettingsFrame(0, settings={frames.SettingsFrame.INITIAL_WINDOW_SIZE: number})
        yield frames.PingFrame(0, opaque_data=b"%08d" % number)


FLOODS = (
    _priorities_of_idle_streams,
    _priorities_in_a_chain,
    _priorities_in_a_circle,
    _requests_reset_at_once,
    _malformed_requests_reset_at_once,
    _malformed_requests_without_end,
    _settings_and_pings,
)


def _flood(port: int, data: bytes) -> None:
    """Send, and read until the server has answered a last PING or has ended the connection."""
    last = frames.PingFrame(0, opaque_data=b"the last").serialize()
    answer = frames.PingFrame(0, opaque_data=b"the last", flags=["ACK"]).serialize()
    with socket.create_connection((HOST, port), timeout=20) as client:
        received = bytearray()
        try:
            client.sendall(_PREFACE + data + last)
            while answer not in received and (some := client.recv(1 << 16)):
                received += some
        except ConnectionError:
            pass  # it has had enough


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_frames_ends_no_other_connection_and_leaves_no_traceback(
    server: Server, flood: object
) -> None:
    assert callable(flood)
    data = b"".join(frame.serialize() for frame in flood())
    with Connection2(server.port) as other:
        assert other.get("/css/app.css").status == 200
        _flood(server.port, data)
        assert other.get("/css/app.css").status == 200
    assert "Traceback" not in server.log, server.log[-3000:]


@pytest.mark.parametrize("target", ["/css/app.css", "/missing"])
def test_a_small_answer_costs_one_write(
    site: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    write = asyncio.StreamWriter.write

    def note(writer: asyncio.StreamWriter, data: bytes) -> None:
        writes.append(data)
        write(writer, data)

    with serving_inside(StaticFiles(site)) as server, Connection2(server.port) as connection:
        connection.get(target)  # the settings are exchanged
        monkeypatch.setattr(asyncio.StreamWriter, "write", note)
        connection.get(target)
        assert len(writes) == 1


def test_a_flood_of_frames_lets_others_go_on(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, begun = [0], []
    read = H2Connection.receive_data

    def receive_data(connection: H2Connection, data: bytes) -> list[Event]:
        begun.append(turns[0])
        return read(connection, data)

    def turn() -> None:
        turns[0] += 1
        asyncio.get_running_loop().call_soon(turn)

    data = b"".join(frame.serialize() for frame in _settings_and_pings())
    with serving_inside(StaticFiles(site)) as server:
        monkeypatch.setattr(H2Connection, "receive_data", receive_data)
        server.loop.call_soon_threadsafe(turn)
        _flood(server.port, data)
    assert len(begun) > len(data) / 4096
    assert len(set(begun)) == len(begun)


def test_a_connection_ends_after_as_many_requests_as_it_may_have(site: Path) -> None:
    with serving_inside(StaticFiles(site), keep_alive_max_requests=20) as server:
        answered = _until_ended(server)
    assert 20 <= answered <= 21


def _until_ended(server: Inside) -> int:
    with Connection2(server.port) as connection:
        for answered in range(100):
            try:
                connection.get("/css/app.css")
            except StreamError:
                return answered
    return 100


def test_the_memory_of_a_connection_is_free_at_its_end(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a collection of garbage: `asyncstatic serve` has few."""
    made: list[weakref.ref[H2Connection]] = []
    init = H2Connection.__init__

    def counted(self: H2Connection, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        if not self.config.client_side:
            made.append(weakref.ref(self))

    with serving_inside(StaticFiles(site)) as server:
        gc.collect()
        gc.disable()
        try:
            monkeypatch.setattr(H2Connection, "__init__", counted)
            with Connection2(server.port) as connection:
                assert _get_as_chromium(connection) == 200
            assert eventually(lambda: bool(made) and not any(it() for it in made))
        finally:
            gc.enable()
