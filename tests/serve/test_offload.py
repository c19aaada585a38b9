"""Offload setups: other servers send our files, and the client sees the same answers."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Iterator
from os import pread, truncate  # as they are: on a loop they are watched
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import SettingsError, StaticFiles
from asyncstatic.serve.cut import TransferAborted
from tests.asgi import Reply, ask
from tests.support.raw import Answer
from tests.support.servers import Server, running
from tests.support.site import write_site

BIG = bytes(range(256)) * 10_000  # 2.5 MB: three windows
TEXT = os.urandom(200_000)
FILES = {
    "big.bin": BIG,
    "a name?.bin": BIG[::-1],
    "small.txt": b"hello",
    "text.txt": TEXT,
    "text.txt.gz": gzip.compress(TEXT, mtime=0),
    "log.bin": BIG,
    "100%.bin": BIG,
    "end ": BIG,
}
APP = """
import os
from asyncstatic import StaticFiles
seen = []
static = StaticFiles(os.environ["ROOT"], unchanging=bool(os.environ.get("UNCHANGING")))

async def app(scope, receive, send):
    async def noted(message):
        if message["type"].startswith("http.response."):
            seen.append(message["type"].rpartition(".")[2])
        await send(message)
    if scope["type"] == "http" and scope["path"] == "/seen":
        body = " ".join(seen).encode()
        seen.clear()
        head = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})
    else:
        await static(scope, receive, noted)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("offload") / "site", FILES)


async def served(root: Path, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(StaticFiles, root, **settings)


# -- X-Accel-Redirect and X-Sendfile: what we say ------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        pytest.param(
            {"offload": "x-accel-redirect", "offload_prefix": "/_files/"},
            "x-accel-redirect",
            "/_files/a%20name%3F.bin",
            id="nginx",
        ),
        pytest.param({"offload": "x-sendfile"}, "x-sendfile", "{root}/a name?.bin", id="Apache"),
        pytest.param(
            {"offload": "x-sendfile", "offload_prefix": "/srv/site"},
            "x-sendfile",
            "/srv/site/a name?.bin",
            id="another place",
        ),
    ],
)
@pytest.mark.parametrize("range_", [None, "bytes=0-9", "bytes=0-9,50-59"])
async def test_the_server_in_front_is_told_the_file(
    root: Path, settings: dict[str, Any], field: str, value: str, range_: str | None
) -> None:
    static = await served(root, **settings)
    headers = {"range": range_} if range_ else {}
    reply = await ask(static, "/a%20name%3F.bin", headers)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers[field] == value.replace("{root}", str(root))
    assert reply.headers["content-length"] == "0"
    assert (
        reply.headers.get("content-type", "application/octet-stream") == "application/octet-stream"
    )
    assert not {"etag", "content-range", "accept-ranges"} & reply.headers.keys()


async def test_the_server_in_front_is_told_who_may_read_the_file(root: Path) -> None:
    origin = "https://a.example"
    static = await served(root, offload="x-sendfile", cors=(origin,))
    for asks, allowed in ((origin, origin), ("https://b.example", None)):
        reply = await ask(static, "/big.bin", {"origin": asks})
        assert reply.headers["x-sendfile"] == f"{root}/big.bin"
        assert reply.headers.get("access-control-allow-origin") == allowed
        assert reply.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        pytest.param("/small.txt", {}, 200, id="in memory"),
        pytest.param("/text.txt", {"accept-encoding": "gzip"}, 200, id="precompressed"),
        pytest.param(
            "/text.txt",
            {"accept-encoding": "gzip", "range": "bytes=0-9,99-99"},
            206,
            id="several ranges of it",
        ),
        pytest.param("/missing", {}, 404, id="missing"),
        pytest.param("/big.bin", {"if-none-match": "*"}, 304, id="not modified"),
        pytest.param("/big.bin", {"range": "bytes=9999999-"}, 416, id="no such range"),
    ],
)
async def test_what_the_server_in_front_cannot_answer_stays_ours(
    root: Path, target: str, headers: dict[str, str], status: int
) -> None:
    static = await served(root, offload="x-accel-redirect", offload_prefix="/_files")
    reply = await ask(static, target, headers)
    assert reply.status == status
    assert "x-accel-redirect" not in reply.headers


@pytest.mark.parametrize("target", ["/100%25.bin", "/end%20"])
async def test_a_name_that_servers_read_differently_stays_ours(root: Path, target: str) -> None:
    """lighttpd decodes X-Sendfile, Apache does not; and spaces at its end are no part of a field."""
    reply = await ask(await served(root, offload="x-sendfile"), target)
    assert (reply.status, reply.body) == (200, BIG)
    to_nginx = await served(root, offload="x-accel-redirect", offload_prefix="/_files")
    assert (await ask(to_nginx, target)).headers["x-accel-redirect"] == f"/_files{target}"


def test_nginx_needs_a_location(root: Path) -> None:
    with pytest.raises(SettingsError, match="internal location"):
        StaticFiles(root, offload="x-accel-redirect")


def test_the_direct_entry_is_told_to_leave_it(root: Path) -> None:
    assert StaticFiles(root, offload="x-sendfile").needs_scope


# -- zerocopysend and pathsend: what we say ----------------------------------------------------

ZERO_COPY: dict[str, Any] = {
    "extensions": {"http.response.zerocopysend": {}, "http.response.pathsend": {}}
}
BY_NAME: dict[str, Any] = {"extensions": {"http.response.pathsend": {}}}


def read(reply: Reply) -> bytes:
    """Do what a server does with the messages."""
    content = b""
    for position, message in enumerate(reply.messages[1:], start=2):
        assert message.get("more_body", False) == (position < len(reply.messages))
        if message["type"] == "http.response.zerocopysend":
            content += message["data"]
        else:
            content += message["body"]
    return content


async def ask_copying(
    static: StaticFiles, target: str, headers: dict[str, str] | None = None
) -> Reply:
    """Ask as a server that sends from handles: while `send` runs, and not later."""
    reply: Reply

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def copy(message: Any) -> None:
            if message["type"] == "http.response.zerocopysend":
                data = pread(message["file"].fileno(), message["count"], message["offset"])
                message = {**message, "data": data}
            await send(message)

        await static(scope, receive, copy)

    reply = await ask(app, target, headers, **ZERO_COPY)
    return reply


@pytest.mark.parametrize(
    ("target", "headers", "content"),
    [
        pytest.param("/big.bin", {}, BIG, id="whole"),
        pytest.param("/big.bin", {"range": "bytes=7-"}, BIG[7:], id="a range"),
        pytest.param("/big.bin", {"range": "bytes=0-1048575"}, BIG[:1048576], id="one window"),
        pytest.param("/big.bin", {"range": "bytes=0-1048576"}, BIG[:1048577], id="and one byte"),
    ],
)
async def test_a_handle_is_sent_window_by_window(
    root: Path, target: str, headers: dict[str, str], content: bytes
) -> None:
    reply = await ask_copying(await served(root), target, headers)
    assert read(reply) == content
    assert {message["type"] for message in reply.messages[1:]} == {"http.response.zerocopysend"}


async def test_several_ranges_mix_with_body_messages(root: Path) -> None:
    static = await served(root)
    headers = {"range": "bytes=0-99999,1000000-1000009"}
    reply = await ask_copying(static, "/big.bin", headers)
    assert len(read(reply)) == int(reply.headers["content-length"])
    assert BIG[:100_000] in read(reply)


async def test_a_file_that_changes_is_not_ended(root: Path) -> None:
    static = await served(root)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def change(message: Any) -> None:
            if message["type"] == "http.response.zerocopysend":
                truncate(root / "log.bin", 100)
            await send(message)

        await static(scope, receive, change)

    with pytest.raises(TransferAborted):
        await ask(app, "/log.bin", **ZERO_COPY)
    (root / "log.bin").write_bytes(BIG)


@pytest.mark.parametrize(
    ("target", "headers", "path"),
    [
        pytest.param("/big.bin", {}, "big.bin", id="whole"),
        pytest.param("/small.txt", {}, None, id="small"),
        pytest.param("/big.bin", {"range": "bytes=0-99999"}, None, id="a range"),
        pytest.param("/big.bin", {"range": "bytes=0-99999,200000-300000"}, None, id="ranges"),
    ],
)
async def test_a_whole_file_is_sent_by_name(
    root: Path, target: str, headers: dict[str, str], path: str | None
) -> None:
    static = await served(root, unchanging=True)
    reply = await ask(static, target, headers, **BY_NAME)
    paths = [message["path"] for message in reply.messages if "path" in message]
    assert paths == ([str(root / path)] if path else [])


async def test_a_sidecar_is_sent_by_its_own_name(root: Path) -> None:
    static = await served(root, unchanging=True)
    reply = await ask(static, "/text.txt", {"accept-encoding": "gzip"}, **BY_NAME)
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.messages[1]["path"] == str(root / "text.txt.gz")


async def test_a_root_behind_a_link_and_two_dots_is_the_one_that_the_system_opens(
    tmp_path: Path,
) -> None:
    """The path without its dot segments leads to another directory."""
    for name in ("right/site", "right/deep", "wrong/site"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "big.bin").write_bytes(name[:1].encode() * 100_000)
    (tmp_path / "wrong" / "link").symlink_to(tmp_path / "right" / "deep")
    static = await served(tmp_path / "wrong" / "link" / ".." / "site", unchanging=True)
    reply = await ask(static, "/big.bin", **BY_NAME)
    (path,) = [message["path"] for message in reply.messages if "path" in message]
    assert await asyncio.to_thread(Path(path).read_bytes) == b"r" * 100_000
    plain = await served(tmp_path / "wrong" / ".." / "right" / "site", unchanging=True)
    assert plain.root == str(tmp_path / "right" / "site")


async def test_a_tree_that_may_change_is_never_sent_by_name(root: Path) -> None:
    reply = await ask(await served(root), "/big.bin", **BY_NAME)
    assert reply.body == BIG


# -- frameworks, whose middleware does not know every message -------------------------------------


def starlette(static: StaticFiles, middleware: str, **options: Any) -> Any:
    module, _, name = middleware.rpartition(".")
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    app = applications.Starlette(routes=[routing.Mount("/static", static)])
    app.add_middleware(getattr(pytest.importorskip(module), name), **options)
    return app


async def changes_nothing(request: Any, call_next: Any) -> Any:
    return await call_next(request)


def with_base_middleware(static: StaticFiles) -> Any:
    name = "starlette.middleware.base.BaseHTTPMiddleware"
    return starlette(static, name, dispatch=changes_nothing)


def with_gzip(static: StaticFiles) -> Any:
    return starlette(static, "starlette.middleware.gzip.GZipMiddleware")


def litestar_with_gzip(static: StaticFiles) -> Any:
    litestar = pytest.importorskip("litestar")
    compression = pytest.importorskip("litestar.config.compression").CompressionConfig("gzip")

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await static(scope, receive, send)

    handler = litestar.asgi("/static", is_mount=True, copy_scope=True)(mounted)
    return litestar.Litestar([handler], compression_config=compression)


@pytest.mark.parametrize("framework", [with_base_middleware, with_gzip, litestar_with_gzip])
@pytest.mark.parametrize("unchanging", [True, False])
async def test_a_middleware_that_knows_body_messages_only_loses_no_content(
    root: Path, framework: Any, unchanging: bool
) -> None:
    app = framework(await served(root, unchanging=unchanging))
    reply = await ask(app, "/static/big.bin", {"accept-encoding": "gzip"}, **ZERO_COPY)
    content = reply.body
    for message in reply.messages:
        if message["type"] == "http.response.pathsend":
            content = await asyncio.to_thread(Path(message["path"]).read_bytes)
    if "content-encoding" in reply.headers:
        content = gzip.decompress(content)
    assert (reply.status, content) == (200, BIG)


# -- real servers that offer them ----------------------------------------------------------------

SERVERS = {
    "anycorn": (
        ("-m", "anycorn", "--bind", "127.0.0.1:{port}", "noted:app"),
        "start zerocopysend zerocopysend zerocopysend",
    ),
    "granian": (
        ("-m", "granian", "--interface", "asgi", "--port", "{port}", "noted:app"),
        "start pathsend",
    ),
}


@pytest.fixture(scope="module", params=SERVERS)
def offering(
    request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    pytest.importorskip(request.param, reason=f"pip install {request.param}")
    scratch = tmp_path_factory.mktemp("offering")
    (scratch / "noted.py").write_text(APP)
    command, messages = SERVERS[request.param]
    with running(command, {"ROOT": str(root), "UNCHANGING": "1"}, cwd=str(scratch)) as server:
        server.fetch("/seen")
        yield server, messages


def test_a_server_that_offers_it_sends_the_file(offering: tuple[Server, str]) -> None:
    server, messages = offering
    answer = server.fetch("/big.bin")
    assert (answer.status, answer.content, answer.complete) == (200, BIG, True)
    assert server.fetch("/seen").content.decode() == messages


@pytest.mark.parametrize(
    ("lines", "status", "content"),
    [
        pytest.param(("Range: bytes=10-2000009",), 206, BIG[10:2000010], id="a range"),
        pytest.param(("Range: bytes=-1",), 206, BIG[-1:], id="a suffix"),
        pytest.param(("If-None-Match: *",), 304, b"", id="not modified"),
    ],
)
def test_and_answers_as_we_would(
    offering: tuple[Server, str], lines: tuple[str, ...], status: int, content: bytes
) -> None:
    answer = offering[0].fetch("/big.bin", *lines)
    assert (answer.status, answer.content, answer.complete) == (status, content, True)


def test_ranges_and_head_are_right_on_one_connection(offering: tuple[Server, str]) -> None:
    server, _ = offering
    with server.connect() as connection:
        answers: list[Answer] = [
            connection.get("/big.bin", "Range: bytes=0-9,1000000-1000009"),
            connection.get("/big.bin", method="HEAD"),
            connection.get("/small.txt"),
            connection.get("/big.bin"),
        ]
    assert [answer.status for answer in answers] == [206, 200, 200, 200]
    assert BIG[1000000:1000010] in answers[0].content
    assert answers[1].field("content-length") == str(len(BIG))
    assert answers[3].content == BIG


def test_clients_that_leave_leave_no_handle(offering: tuple[Server, str]) -> None:
    server, _ = offering
    server.fetch("/big.bin")
    before = server.open_handles()
    for _ in range(20):
        with server.connect(receive_buffer=4096) as connection:
            connection.send(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.take(1000)
            connection.reset()
    assert server.settled_handles(before, 5.0) <= before
    assert server.fetch("/big.bin").content == BIG
