"""Every way out of a connection: afterwards there is room for others, and the server ends promptly."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from contextvars import Context
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from asyncstatic import StaticFiles
from asyncstatic.serve.scope import Receive, Scope, Send
from tests.serve.inside import LOOPS, eventually, open_handles, serving_inside
from tests.support.http2 import Connection2
from tests.support.raw import HOST, Connection, EndedError, head
from tests.support.servers import Server, running

_BIND = ("--bind", f"{HOST}:{{port}}", "--limit-concurrency", "2")
_UVICORN = (
    *("-m", "uvicorn", "--no-access-log", "--port", "{port}", "--limit-concurrency", "2"),
    *("--http", "asyncstatic.serve.uvicorn:DirectHttpProtocol", "asyncstatic:app"),
)
_SERVE = ("-m", "asyncstatic", "serve", "{root}", *_BIND)
#: Every server that refuses connections by itself, with a limit of two.
SERVERS = {
    "uvicorn": (*_UVICORN, "--loop", "asyncio"),
    "uvicorn, uvloop": (*_UVICORN, "--loop", "uvloop"),
    "serve": (*_SERVE, "--no-uvloop"),
    "serve, uvloop": _SERVE,
    "serve --no-direct": (*_SERVE, "--no-direct"),
}
_REQUEST = head("/css/app.css")
_UPLOAD = head("/css/app.css", "Content-Length: 3", method="POST") + b"abc"
_ENDLESS = b"GET /" + b"a" * 70_000
_OF_SERVER = 10  # handles of a server without connections, at most


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[Server]:
    command = [part.replace("{root}", str(site)) for part in SERVERS[request.param]]
    with running(command, {"ASYNCSTATIC_ROOT": str(site)}) as started:
        yield started


def _served(server: Server) -> Connection:
    """Connect, as often as it takes: a connection that has just ended may still count."""
    clients: list[Connection] = []

    def connects() -> bool:
        client = server.connect()
        clients.append(client)
        try:
            if client.get("/css/app.css").status == 200:
                return True
        except (EndedError, ConnectionError):
            pass  # refused before its request came
        client.socket.close()
        return False

    assert eventually(connects), "nobody is served any more"
    return clients[-1]


def _overload(server: Server) -> None:
    """Open five connections, three more than there may be."""
    with _served(server), _served(server), ExitStack() as stack:
        for client in [stack.enter_context(server.connect()) for _ in range(3)]:
            assert client.read().status == 503
            assert client.ended()


def _reset_while_refused(server: Server) -> None:
    """Refused clients go without a word, some with bytes that nobody has read."""
    with _served(server), _served(server):
        for data in (b"", _REQUEST, _ENDLESS):
            refused = server.connect()
            refused.send(data)
            assert refused.read().status == 503
            refused.reset()


def _endless_target(server: Server) -> None:
    """A request target that never ends is refused."""
    with _served(server) as client:
        client.send(_ENDLESS)
        assert client.read().status in (400, 414, 431)


def _reset_after_endless_target(server: Server) -> None:
    client = _served(server)
    client.send(_ENDLESS)
    assert client.read().status in (400, 414, 431)
    client.reset()


def _hand_over(server: Server) -> None:
    """An upload goes to the full server, and so does the rest of its connection."""
    with _served(server) as client:
        client.send(_UPLOAD)
        assert client.read("POST").status == 405


def _reset_after_hand_over(server: Server) -> None:
    client = _served(server)
    client.send(_UPLOAD)
    assert client.read("POST").status == 405
    client.reset()


EXITS = (
    _overload,
    _reset_while_refused,
    _endless_target,
    _reset_after_endless_target,
    _hand_over,
    _reset_after_hand_over,
)


def test_after_every_exit_a_lone_client_is_served_and_the_server_ends(server: Server) -> None:
    for leave in EXITS:
        for _ in range(2):
            leave(server)
        with _served(server):
            pass  # and it leaves, too
    assert server.interrupt(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log, server.log[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("data", [b"", _ENDLESS], ids=["one too many", "endless target"])
def test_a_refused_client_that_stays_does_not_keep_the_server_from_ending(
    server: Server, data: bytes
) -> None:
    with ExitStack() as stack:
        if not data:
            stack.enter_context(_served(server))
            stack.enter_context(_served(server))
        refused = stack.enter_context(server.connect())
        refused.send(data)
        assert refused.read().status >= 400
        assert server.interrupt(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log, server.log[-3000:]


@pytest.mark.slow
def test_a_refused_client_that_goes_on_sending_is_dropped(server: Server) -> None:
    with _served(server) as first, _served(server):
        refused = server.connect()
        assert refused.read().status == 503
        with refused:
            assert eventually(lambda: _is_gone(refused))
        assert first.get("/css/app.css").status == 200


@pytest.mark.parametrize("loop", LOOPS)
def test_an_app_that_goes_on_without_its_client_fills_no_log(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio logs each write to a connection that is lost. The app may write in any task."""
    ended = threading.Event()

    async def go_on(send: Send) -> None:
        for _ in range(20):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        ended.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        await asyncio.get_running_loop().create_task(go_on(send), context=Context())

    with serving_inside(app, loop=loop, accesslog=logging.getLogger("requests")) as server:
        client = server.connect()
        client.send(_REQUEST)
        assert client.take(1)
        client.reset()
        assert ended.wait(10)
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("leave", ["resets", "ends both sides", "resets its stream"])
def test_a_middleware_may_end_the_content_of_a_client_that_has_left(
    site: Path, leave: str, caplog: pytest.LogCaptureFixture
) -> None:
    """BaseHTTPMiddleware does: it ends all content that the app behind leaves unfinished."""

    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    mount = Mount("/", StaticFiles(site))
    app = Starlette(routes=[mount], middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])
    open_before = open_handles()
    with serving_inside(app, errorlog=logging.getLogger("errors")) as server:
        for _ in range(3):
            if leave == "resets its stream":
                with Connection2(server.port) as connection:
                    connection.reset(connection.request("/big.bin"))
                    assert connection.get("/missing").status == 404
                continue
            client = server.connect(receive_buffer=4096)
            client.send(head("/big.bin"))
            assert client.take(1)
            if leave == "resets":
                client.reset()
            else:
                client.socket.close()
        assert eventually(lambda: open_handles() <= open_before + _OF_SERVER)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def _is_gone(client: Connection) -> bool:
    try:
        client.send(_REQUEST)
    except ConnectionError:
        return True
    return False
