"""The end of an HTTP/2 connection loses no request: whoever wants it, and whatever is under way."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hyperframe.frame as frames
import pytest
from hpack import Encoder

from asyncstatic import Limits, StaticFiles
from tests.serve.inside import serving_inside
from tests.support.http2 import Connection2, StreamError
from tests.support.raw import HOST
from tests.support.site import SMALL_SITE

pytestmark = pytest.mark.parametrize("direct", [True, False], ids=["direct", "full"])

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LENGTH = len(SMALL_SITE["pixels.png"])
_WINDOWS = 1 << 30
_NO_MORE = 2**31 - 1  # the last stream of a GOAWAY that ends no stream (RFC 9113 §6.8)


def _settings(window: int) -> frames.Frame:
    return frames.SettingsFrame(0, settings={frames.SettingsFrame.INITIAL_WINDOW_SIZE: window})


def _get(stream: int, path: bytes = b"/pixels.png") -> frames.Frame:
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"localhost")]
    block = Encoder().encode([*fields, (b":path", path)])
    return frames.HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"])


def _all_until_the_end(port: int, *sent: frames.Frame) -> list[frames.Frame]:
    """Send frames at once, and return all that the server answers until it closes."""
    with socket.create_connection((HOST, port), timeout=20) as client:
        client.sendall(_PREFACE + b"".join(frame.serialize() for frame in sent))
        rest = memoryview(b"".join(iter(lambda: client.recv(1 << 18), b"")))
    found = []
    while rest:
        frame, length = frames.Frame.parse_frame_header(rest[:9])
        frame.parse_body(rest[9 : 9 + length])
        found.append(frame)
        rest = rest[9 + length :]
    return found


def _lengths(received: Iterable[frames.Frame]) -> Counter[int]:
    """Return the length of the content of each stream that was ended."""
    lengths: Counter[int] = Counter()
    ended = set()
    for frame in received:
        if isinstance(frame, frames.DataFrame):
            lengths[frame.stream_id] += len(frame.data)
        if "END_STREAM" in frame.flags:
            ended.add(frame.stream_id)
    return Counter({stream: lengths[stream] for stream in ended})


def _goodbyes(received: Iterable[frames.Frame]) -> list[tuple[int, int]]:
    return [
        (frame.last_stream_id, frame.error_code)
        for frame in received
        if isinstance(frame, frames.GoAwayFrame)
    ]


def _get_for_ever(connection: Connection2) -> None:
    while True:
        assert connection.get("/app.js").status == 200


def test_requests_that_were_under_way_at_the_last_one_are_answered(
    site: Path, direct: bool
) -> None:
    streams = range(1, 21, 2)
    opened = frames.WindowUpdateFrame(0, window_increment=_WINDOWS)
    with serving_inside(StaticFiles(site), direct=direct, keep_alive_max_requests=5) as server:
        received = _all_until_the_end(server.port, _settings(_WINDOWS), opened, *map(_get, streams))
    assert _lengths(received) == dict.fromkeys(streams, _LENGTH)
    assert _goodbyes(received) == [(_NO_MORE, 0), (19, 0)]


def test_streams_that_end_at_once_lose_nothing_to_a_client_that_reads_slowly(
    site: Path, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write waits, so the end of the last streams waits behind others."""

    async def drain(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)

    monkeypatch.setattr(asyncio.StreamWriter, "drain", drain)
    streams = range(1, 21, 2)
    with serving_inside(StaticFiles(site), direct=direct, keep_alive_max_requests=5) as server:
        received = _all_until_the_end(server.port, *(_get(it, b"/app.js") for it in streams))
    assert _lengths(received) == dict.fromkeys(streams, len(SMALL_SITE["app.js"]))
    assert _goodbyes(received)[-1:] == [(19, 0)]


def test_a_client_that_makes_no_more_requests_gets_all_it_has_asked_for(
    site: Path, direct: bool
) -> None:
    """Its windows are closed when it says so, and are opened later."""
    goodbye = frames.GoAwayFrame(0, last_stream_id=0, error_code=0)
    opened = frames.WindowUpdateFrame(0, window_increment=_WINDOWS)
    with serving_inside(StaticFiles(site), direct=direct) as server:
        received = _all_until_the_end(
            server.port, _settings(0), _get(1), _get(3), goodbye, _settings(_WINDOWS), opened
        )
    assert _lengths(received) == {1: _LENGTH, 3: _LENGTH}
    acknowledged = [f for f in received if isinstance(f, frames.SettingsFrame) and "ACK" in f.flags]
    assert len(acknowledged) == 2
    assert _goodbyes(received) == [(3, 0)]


def test_a_client_that_reports_an_error_gets_nothing_more(site: Path, direct: bool) -> None:
    error = frames.GoAwayFrame(0, last_stream_id=0, error_code=1)
    with serving_inside(StaticFiles(site), direct=direct) as server:
        received = _all_until_the_end(server.port, _settings(0), _get(1), error)
    assert not _lengths(received)


def test_the_server_says_so_when_it_ends_an_idle_connection(site: Path, direct: bool) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct, keep_alive_timeout=0.2) as server,
        Connection2(server.port) as connection,
    ):
        assert connection.get("/app.js").status == 200
        goodbye = connection.goodbye()
        assert (goodbye.error_code, goodbye.last_stream_id) == (0, 1)


def test_a_server_that_drains_asks_for_no_more_requests_while_a_download_goes_on(
    site: Path, direct: bool
) -> None:
    with (
        serving_inside(StaticFiles(site), direct=direct, drain_seconds=1.0) as server,
        Connection2(server.port, window=16) as connection,
    ):
        connection.until_content(connection.request("/big.bin"))
        server.stop()
        with pytest.raises(StreamError, match="the connection ended"):
            _get_for_ever(connection)
        assert connection.goodbye().last_stream_id == _NO_MORE


def test_a_server_that_ends_refuses_a_request_after_it_has_asked_for_no_more(
    site: Path, direct: bool
) -> None:
    """A client repeats a refused request: here, if nothing tells it that the connection ends."""
    with (
        serving_inside(StaticFiles(site), direct=direct, graceful_timeout=2.0) as server,
        Connection2(server.port, window=16) as connection,
    ):
        connection.until_content(connection.request("/big.bin"))
        server.stop()
        with pytest.raises(StreamError):
            _get_for_ever(connection)
        assert connection.goodbye().last_stream_id == _NO_MORE


# -- a response that is not finished ----------------------------------------------------------


@pytest.mark.parametrize("target", ["/app.js", "/missing", "/big.bin"])
def test_a_client_that_opens_no_window_has_as_long_as_one_that_does_not_read(
    site: Path, direct: bool, target: str
) -> None:
    app = StaticFiles(site, limits=Limits(send_timeout=0.3))
    with (
        serving_inside(app, direct=direct) as server,
        Connection2(server.port, window=0) as connection,
    ):
        with pytest.raises(StreamError, match="reset: 2"):  # INTERNAL_ERROR
            connection.get(target)
        assert connection.get("/app.js", method="HEAD").status == 200


@pytest.mark.parametrize("content", [b"", b"begin"], ids=["empty", "begun"])
def test_a_response_that_its_app_does_not_finish_is_a_stream_error(
    direct: bool, content: bytes
) -> None:
    async def app(scope: Any, _: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": content, "more_body": True})

    with (
        serving_inside(app, direct=direct) as server,
        Connection2(server.port) as connection,
        pytest.raises(StreamError, match="reset: 2"),
    ):
        connection.get("/")
