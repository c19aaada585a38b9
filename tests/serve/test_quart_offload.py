"""Files of views leave through the server's own means, where it has some and `AsyncStatic` is on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from os import pread, truncate  # as they are: on a loop they are watched
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, Response, session
from quart.asgi import ASGIHTTPConnection

from asyncstatic import AsyncStatic, StaticFiles, send_file, send_from_directory
from asyncstatic.serve.cut import TransferAborted
from tests.asgi import Reply, ask
from tests.support.servers import Server, running
from tests.support.site import write_site

BIG = bytes(range(256)) * 10_000  # 2.5 MB: three windows
FILES = {"big.bin": BIG, "small.txt": b"hello"}

ZERO_COPY: dict[str, Any] = {
    "extensions": {"http.response.zerocopysend": {}, "http.response.pathsend": {}}
}
BY_NAME: dict[str, Any] = {"extensions": {"http.response.pathsend": {}}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_site(tmp_path / "files", FILES)


@pytest.fixture
def app(root: Path) -> Quart:
    app = Quart("app", root_path=str(root), static_folder=None)
    app.secret_key = "not a secret, this is a test"
    AsyncStatic(app, ".", "/static")
    unchanging = StaticFiles(root, unchanging=True)

    @app.route("/view/<name>")
    async def view(name: str) -> Response:
        return await send_from_directory(root, name, as_attachment=True)

    @app.route("/unchanging/<name>")
    async def by_name(name: str) -> Response:
        return await send_from_directory(unchanging, name)

    @app.route("/file")
    async def file() -> Response:
        return await send_file("big.bin", max_age=60)

    return app


async def ask_copying(
    app: Any, target: str, headers: dict[str, str] | None = None, **options: Any
) -> Reply:
    """Ask as a server that sends from handles: while `send` runs, and not later."""

    async def copying(scope: Any, receive: Any, send: Any) -> None:
        async def copy(message: Any) -> None:
            if message["type"] == "http.response.zerocopysend":
                data = pread(message["file"].fileno(), message["count"], message["offset"])
                message = {**message, "data": data}
            await send(message)

        await app(scope, receive, copy)

    return await ask(copying, target, headers, **{**ZERO_COPY, **options})


def read(reply: Reply) -> bytes:
    """Do what a server does with the messages."""
    content = b""
    for position, message in enumerate(reply.messages[1:], start=2):
        assert message.get("more_body", False) == (position < len(reply.messages))
        content += message["data"] if "data" in message else message["body"]
    return content


def kinds(reply: Reply) -> set[str]:
    return {message["type"].rpartition(".")[2] for message in reply.messages[1:]}


@pytest.mark.parametrize(
    ("target", "headers", "status", "content", "sent"),
    [
        pytest.param("/view/big.bin", {}, 200, BIG, "zerocopysend", id="of a directory"),
        pytest.param("/file", {}, 200, BIG, "zerocopysend", id="of a path"),
        pytest.param(
            "/file", {"range": "bytes=7-2000000"}, 206, BIG[7:2_000_001], "zerocopysend", id="range"
        ),
        pytest.param("/view/small.txt", {}, 200, b"hello", "body", id="in memory"),
        pytest.param("/file", {"if-none-match": "*"}, 304, b"", "body", id="not modified"),
        pytest.param("/file", {"if-match": '"x"'}, 412, None, "body", id="failed"),
        pytest.param("/file", {"range": "bytes=9999999-"}, 416, None, "body", id="no such range"),
        pytest.param("/view/missing", {}, 404, None, "body", id="missing"),
    ],
)
async def test_a_view_sends_from_the_handle_where_the_server_can(
    app: Quart,
    target: str,
    headers: dict[str, str],
    status: int,
    content: bytes | None,
    sent: str,
) -> None:
    reply = await ask_copying(app, target, headers)
    assert reply.status == status
    assert kinds(reply) == {sent}
    assert content is None or read_any(reply) == content
    if status in (200, 206):
        assert reply.headers["content-length"] == str(len(content or b""))


def read_any(reply: Reply) -> bytes:
    """What was sent, whoever sent it: Quart itself ends with an empty message."""
    return b"".join(
        message["data"] if "data" in message else message["body"] for message in reply.messages[1:]
    )


async def test_several_ranges_mix_with_body_messages(app: Quart) -> None:
    reply = await ask_copying(app, "/file", {"range": "bytes=0-99999,1000000-1000009"})
    assert kinds(reply) == {"zerocopysend", "body"}
    assert len(read(reply)) == int(reply.headers["content-length"])
    assert BIG[1_000_000:1_000_010] in read(reply)


async def test_head_has_the_fields_and_nothing_is_sent(app: Quart) -> None:
    get = await ask_copying(app, "/file")
    head = await ask_copying(app, "/file", method="HEAD")
    assert (head.status, read_any(head), kinds(head)) == (200, b"", {"body"})
    assert {**head.headers, "etag": ""} == {**get.headers, "etag": ""}  # of a file just written


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        pytest.param("/unchanging/big.bin", {"pathsend"}, id="of a root that does not change"),
        pytest.param("/view/big.bin", {"body"}, id="of one that may"),
        pytest.param("/file", {"body"}, id="of no root"),
        pytest.param("/unchanging/small.txt", {"body"}, id="in memory"),
    ],
)
async def test_only_what_does_not_change_is_sent_by_name(
    app: Quart, root: Path, target: str, sent: set[str]
) -> None:
    reply = await ask(app, target, **BY_NAME)
    assert kinds(reply) == sent
    if sent == {"pathsend"}:
        assert reply.messages[1:] == [
            {"type": "http.response.pathsend", "path": str(root / "big.bin")}
        ]
    else:
        assert read_any(reply) in (BIG, b"hello")


async def test_without_an_offer_it_is_the_portable_entry(app: Quart) -> None:
    reply = await ask(app, "/file")
    assert reply.body == BIG
    assert read(reply) == BIG, "and the last piece ends it"


async def test_without_the_extension_it_goes_through_quart(root: Path) -> None:
    app = Quart("app", root_path=str(root), static_folder=None)

    @app.route("/file")
    async def file() -> Response:
        return await send_file("big.bin")

    reply = await ask_copying(app, "/file")
    assert (kinds(reply), read_any(reply)) == ({"body"}, BIG)


async def test_a_connection_class_of_the_app_is_left_alone(root: Path) -> None:
    class Own(ASGIHTTPConnection):
        pass

    app = Quart("app", root_path=str(root), static_folder=None)
    app.asgi_http_class = Own
    await asyncio.to_thread(AsyncStatic, app, ".")
    assert app.asgi_http_class is Own


# -- what the app does to a response ---------------------------------------------------------------


async def test_the_app_has_its_say_in_status_and_fields(app: Quart) -> None:
    @app.after_request
    async def sign(response: Response) -> Response:
        session["seen"] = True
        response.headers["X-Served-By"] = "me"
        response.headers.pop("Accept-Ranges")
        return response

    reply = await ask_copying(app, "/file")
    assert reply.headers["x-served-by"] == "me"
    assert reply.headers["set-cookie"].startswith("session=")
    assert reply.headers["cache-control"] == "public, max-age=60"
    assert "accept-ranges" not in reply.headers
    assert read(reply) == BIG


async def test_a_body_the_app_put_around_ours_is_sent_as_it_is(app: Quart) -> None:
    @app.after_request
    async def shout(response: Response) -> Response:
        inner = response.response

        async def upper() -> AsyncGenerator[bytes, None]:
            async with inner as body:
                async for piece in body:
                    yield bytes(piece).upper()

        response.response = response.iterable_body_class(upper())
        return response

    reply = await ask_copying(app, "/file")
    assert (kinds(reply), read_any(reply)) == ({"body"}, BIG.upper())


async def test_an_app_may_look_at_the_content_first(app: Quart) -> None:
    @app.after_request
    async def look(response: Response) -> Response:
        if response.status_code == 206:
            assert await response.get_data(as_text=False) == b"\1\2"
        return response

    assert read_any(await ask_copying(app, "/file", {"range": "bytes=1-2"})) == b"\1\2"


# -- the transfer --------------------------------------------------------------------------------


def open_handles() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("version", "aborts"), [("1.1", True), ("2", False)])
async def test_a_file_that_changes_is_not_ended(
    app: Quart, root: Path, version: str, aborts: bool
) -> None:
    before = open_handles()

    async def changing(scope: Any, receive: Any, send: Any) -> None:
        async def change(message: Any) -> None:
            if message["type"] == "http.response.zerocopysend":
                truncate(root / "big.bin", 100)
            await send(message)

        await app(scope, receive, change)

    asked = ask(changing, "/file", http_version=version, **ZERO_COPY)
    if aborts:
        with pytest.raises(TransferAborted):
            await asked
    else:
        last = (await asked).messages[-1]
        assert (last["body"], last["more_body"]) == (b"", False), "short of its Content-Length"
    assert open_handles() <= before


async def test_a_client_that_leaves_takes_the_transfer_with_it(app: Quart) -> None:
    before = open_handles()
    leave = asyncio.Event()
    requested = False

    async def receive() -> Any:
        nonlocal requested
        if requested:
            await leave.wait()
            return {"type": "http.disconnect"}
        requested = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def leaving(scope: Any, _: Any, send: Any) -> None:
        async def stall(message: Any) -> None:
            if message["type"] == "http.response.zerocopysend":
                leave.set()
                await asyncio.sleep(3600)
            await send(message)

        await app(scope, receive, stall)

    await asyncio.wait_for(ask(leaving, "/file", **ZERO_COPY), 5)
    await asyncio.sleep(0)
    assert open_handles() <= before


# -- real servers ----------------------------------------------------------------------------------

APP = """
import os
from quart import Quart, request
from asyncstatic import AsyncStatic, StaticFiles, send_file, send_from_directory

ROOT = os.environ["ROOT"]
app = Quart(__name__, static_folder=None)
AsyncStatic(app, ROOT, "/static")
unchanging = StaticFiles(ROOT, unchanging=True)
seen = {}  # what was sent, by the query of the request

@app.route("/view/<name>")
async def view(name):
    return await send_from_directory(unchanging, name)

@app.route("/file")
async def file():
    return await send_file(ROOT + "/big.bin")

@app.route("/seen")
async def what_was_sent():
    return " ".join(seen[request.query_string])

async def noted(scope, receive, send):
    async def note(message):
        if message["type"].startswith("http.response.") and scope["path"] != "/seen":
            sent = seen.setdefault(scope["query_string"], [])
            sent.append(message["type"].rpartition(".")[2])
        await send(message)
    await app(scope, receive, note)
"""
SERVERS = {
    "anycorn": ("-m", "anycorn", "--bind", "127.0.0.1:{port}", "noted:noted"),
    "granian": ("-m", "granian", "--interface", "asgi", "--port", "{port}", "noted:noted"),
}
WHOLE = {"anycorn": "start zerocopysend zerocopysend zerocopysend", "granian": "start pathsend"}


@pytest.fixture(scope="module", params=SERVERS)
def offering(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server]]:
    pytest.importorskip(request.param, reason=f"pip install {request.param}")
    scratch = tmp_path_factory.mktemp("views")
    (scratch / "noted.py").write_text(APP)
    root = write_site(scratch / "files", FILES)
    with running(SERVERS[request.param], {"ROOT": str(root)}, cwd=str(scratch)) as server:
        yield request.param, server


def test_a_server_that_offers_it_sends_the_file_of_a_view(offering: tuple[str, Server]) -> None:
    name, server = offering
    answer = server.fetch("/view/big.bin?once")
    assert (answer.status, answer.content, answer.complete) == (200, BIG, True)
    assert server.fetch("/seen?once").content.decode() == WHOLE[name]


@pytest.mark.parametrize("target", ["/view/big.bin", "/file"])
@pytest.mark.parametrize(
    ("lines", "status", "content"),
    [
        pytest.param((), 200, BIG, id="whole"),
        pytest.param(("Range: bytes=10-2000009",), 206, BIG[10:2_000_010], id="a range"),
        pytest.param(("Range: bytes=-1",), 206, BIG[-1:], id="a suffix"),
        pytest.param(("If-None-Match: *",), 304, b"", id="not modified"),
    ],
)
def test_and_the_answers_are_the_same(
    offering: tuple[str, Server], target: str, lines: tuple[str, ...], status: int, content: bytes
) -> None:
    answer = offering[1].fetch(target, *lines)
    assert (answer.status, answer.content, answer.complete) == (status, content, True)


def test_head_and_the_next_request_on_the_same_connection(offering: tuple[str, Server]) -> None:
    with offering[1].connect() as connection:
        head = connection.get("/file", method="HEAD")
        whole = connection.get("/file")
        small = connection.get("/view/small.txt")
    assert (head.status, head.content, head.field("content-length")) == (200, b"", str(len(BIG)))
    assert (whole.content, small.content) == (BIG, b"hello")


def test_clients_that_leave_take_their_handles_with_them(offering: tuple[str, Server]) -> None:
    server = offering[1]
    before = server.open_handles()
    for _ in range(20):
        with server.connect(receive_buffer=4096) as connection:
            connection.send(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.take(1000)
            connection.reset()
    assert server.settled_handles(before, 20.0) <= before
    assert server.fetch("/file").content == BIG
