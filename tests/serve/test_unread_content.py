"""An app may answer without reading the content of a request; nothing else waits for that."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from tests.serve.inside import serving_inside
from tests.support.http2 import Connection2
from tests.support.raw import HOST, head

_FRAMES, _FRAME = 30, b"x" * 1000
_LONG = b"no" * 100_000  # more than a client takes unasked


class _Refusing:
    """Refuses an upload, without reading it, once another request was answered."""

    def __init__(self) -> None:
        self.begun, self.goes_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["method"] == "POST":
            self.begun.set()
            await self.goes_on.wait()
            await _answer(send, 401, _LONG)
        else:
            await self.begun.wait()
            self.goes_on.set()
            await _answer(send, 200, b"go on")


class _Digesting:
    """Answers the digest of the content, which it begins to read after another request."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["method"] == "GET":
            self.goes_on.set()
            await _answer(send, 200, b"go on")
            return
        await self.goes_on.wait()
        digest, more = hashlib.sha256(), True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            digest.update(message["body"])
            more = message["more_body"]
        await _answer(send, 200, digest.hexdigest().encode("ascii"))
        assert (await receive())["type"] == "http.disconnect"


async def _answer(send: Any, status: int, content: bytes) -> None:
    fields = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": content})


def _begin_upload(connection: Connection2) -> int:
    stream: int = connection.h2.get_next_available_stream_id()
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", "/")]
    connection.h2.send_headers(stream, fields)
    connection.flush()
    return stream


def test_over_http_2_an_upload_that_is_not_read_stops_no_other_request() -> None:
    with serving_inside(_Refusing()) as server, Connection2(server.port) as connection:
        for _ in range(5):  # more together than the window of the connection
            upload = _begin_upload(connection)
            for _ in range(_FRAMES):
                connection.until_window(upload, len(_FRAME))
                connection.h2.send_data(upload, _FRAME)
            connection.h2.end_stream(upload)
            connection.flush()
            assert connection.get("/").content == b"go on"
            answer = connection.read(upload)
            assert (answer.status, answer.content) == (401, _LONG)


def test_over_http_2_a_client_may_send_no_more_than_its_window_until_the_app_reads() -> None:
    content = bytes(range(256)) * 1000
    with serving_inside(_Digesting()) as server, Connection2(server.port) as connection:
        upload = _begin_upload(connection)
        sent = _send_while_open(connection, upload, content)
        connection.h2.ping(b"--ping--")
        connection.flush()
        connection.until_pong()
        assert sent == 65_535
        assert connection.h2.local_flow_control_window(upload) == 0
        assert connection.get("/").content == b"go on"
        while sent < len(content):
            sent += _send_while_open(connection, upload, content[sent:])
            if sent < len(content):
                connection.until_window(upload)
        connection.h2.end_stream(upload)
        connection.flush()
        digest = hashlib.sha256(content).hexdigest().encode("ascii")
        assert connection.read(upload).content == digest


def _send_while_open(connection: Connection2, stream: int, content: bytes) -> int:
    sent = 0
    while size := min(connection.h2.local_flow_control_window(stream), 16_384, len(content) - sent):
        connection.h2.send_data(stream, content[sent : sent + size])
        sent += size
    connection.flush()
    return sent


@pytest.mark.parametrize("ends", [True, False], ids=["whole", "begun"])
def test_over_http_1_a_connection_ends_behind_an_upload_that_is_not_read(ends: bool) -> None:
    chunks = b"3e8\r\n%b\r\n" % _FRAME * _FRAMES + (b"0\r\n\r\n" if ends else b"")
    with (
        serving_inside(_Refusing()) as server,
        server.connect() as connection,
        server.connect() as other,
    ):
        connection.send(head("/", "Transfer-Encoding: chunked", method="POST") + chunks)
        assert other.get("/").content == b"go on"
        assert connection.read().status == 401
        assert connection.ended()
