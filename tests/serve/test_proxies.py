"""Behind proxies: scope, redirects and log name the same client, and believe nobody else."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypercorn.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from quart import Quart, request, url_for

from asyncstatic import AsyncStatic, Redirect, StaticFiles, StaticMiddleware, serve_app
from tests.serve.inside import LOOPS, Inside, eventually, serving_inside
from tests.support.http2 import Connection2
from tests.support.raw import HOST, head
from tests.support.tls import over_tls

LOOPBACK = "127.0.0.0/8"
_WEBSOCKET = (
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def tell_scope(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the scope that it gets, as JSON."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    told = {name: scope[name] for name in ("client", "scheme", "path", "root_path")}
    told["raw_path"] = scope["raw_path"].decode("ascii")
    told["host"] = [value.decode() for name, value in scope["headers"] if name == b"host"]
    text = json.dumps(told)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


class Served(NamedTuple):
    """A running server and the lines of its log."""

    server: Inside
    log: list[dict[str, Any]]

    def line(self, target: str) -> dict[str, Any]:
        """The one line of a target."""
        assert eventually(lambda: any(target in line["request"] for line in self.log))
        (line,) = (line for line in self.log if target in line["request"])
        return line


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[Served]:
    handler = _Lines()
    logger = logging.Logger("access", logging.INFO)
    logger.addHandler(handler)
    with serving_inside(app, accesslog=logger, access_log_format="json", **options) as server:
        yield Served(server, handler.lines)


def app_of(site: Path) -> StaticMiddleware:
    moved = [Redirect("/moved", "/new")]
    return StaticMiddleware(tell_scope, site, prefix="/static", redirects=moved)


def websocket(server: Inside, target: str, *lines: str, before: bytes = b"") -> dict[str, Any]:
    """The scope of a WebSocket, from the one frame that the app sends (RFC 6455 section 5.2)."""
    with server.connect() as connection:
        connection.send(before)
        assert connection.get(target, *_WEBSOCKET, *lines).status == 101
        length = connection.take(2)[1]
        if length == 126:
            length = int.from_bytes(connection.take(2), "big")
        told: dict[str, Any] = json.loads(connection.take(length))
        return told


# -- one table, every entry ----------------------------------------------------------------------

CASES = [
    # fields -> client, scheme, host, prefix
    pytest.param((), HOST, "http", "localhost", "", id="no proxy"),
    pytest.param(
        ("X-Forwarded-For: 192.0.2.7",), "192.0.2.7", "http", "localhost", "", id="address"
    ),
    pytest.param(
        ("X-Forwarded-For: 203.0.113.9, 192.0.2.7, 127.0.0.2", "X-Forwarded-Proto: https"),
        *("192.0.2.7", "https", "localhost", ""),
        id="two proxies",
    ),
    pytest.param(
        ("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.example",
         "X-Forwarded-Prefix: /app%20one"),
        *("192.0.2.7", "https", "a.example", "/app one"),
        id="everything",
    ),
    pytest.param(
        ('Forwarded: for="[2001:db8::7]:99";proto=https;host="a.example:8443"',),
        *("2001:db8::7", "https", "a.example:8443", ""),
        id="Forwarded",
    ),
    pytest.param(
        ("X-Forwarded-For: nonsense", "X-Forwarded-Host: a/b", "X-Forwarded-Prefix: //evil"),
        *(HOST, "http", "localhost", ""),
        id="malformed",
    ),
]  # fmt: skip


@pytest.fixture(scope="module", params=LOOPS)
def served(request: pytest.FixtureRequest, site: Path) -> Iterator[Served]:
    with serving(app_of(site), loop=request.param, trusted_proxies=LOOPBACK) as served:
        yield served


@pytest.fixture(scope="module")
def untrusting(site: Path) -> Iterator[Served]:
    with serving(app_of(site), trusted_proxies="10.0.0.0/8") as served:
        yield served


def check_scope(
    told: dict[str, Any], target: str, client: str, scheme: str, host: str, prefix: str
) -> None:
    assert (told["client"][0], told["scheme"], told["host"]) == (client, scheme, [host])
    assert (told["root_path"], told["path"]) == (prefix, prefix + target)
    assert told["raw_path"] == prefix.replace(" ", "%20") + target


@pytest.mark.parametrize(("fields", "client", "scheme", "host", "prefix"), CASES)
def test_scope_and_log_name_the_client(
    served: Served, request: pytest.FixtureRequest, fields: tuple[str, ...], client: str,
    scheme: str, host: str, prefix: str,
) -> None:  # fmt: skip
    target = "/" + re.sub(r"\W+", "-", request.node.name)
    with served.server.connect() as connection:
        told = json.loads(connection.get(target, *fields).content)
    check_scope(told, target, client, scheme, host, prefix)
    line = served.line(target)
    assert (line["client"], line["entry"]) == (client, "hypercorn")


@pytest.mark.parametrize(("fields", "client", "scheme", "host", "prefix"), CASES)
def test_a_websocket_and_its_log_name_the_client(
    served: Served, request: pytest.FixtureRequest, fields: tuple[str, ...], client: str,
    scheme: str, host: str, prefix: str,
) -> None:  # fmt: skip
    target = "/" + re.sub(r"\W+", "-", request.node.name)
    told = websocket(served.server, target, *fields)
    scheme = {"http": "ws", "https": "wss"}[scheme]
    check_scope(told, target, client, scheme, host, prefix)
    assert served.line(target)["client"] == client


@pytest.mark.parametrize(("fields", "client", "scheme", "host", "prefix"), CASES)
def test_http_2_and_its_log_name_the_client(
    served: Served, request: pytest.FixtureRequest, fields: tuple[str, ...], client: str,
    scheme: str, host: str, prefix: str,
) -> None:  # fmt: skip
    target = "/" + re.sub(r"\W+", "-", request.node.name)
    pairs = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in fields)]
    with Connection2(served.server.port) as connection:
        told = json.loads(connection.get(target, *pairs).content)
    check_scope(told, target, client, scheme, HOST if host == "localhost" else host, prefix)
    assert served.line(target)["client"] == client


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
def test_every_answer_of_a_root_is_logged_with_its_own_client(site: Path, direct: bool) -> None:
    """The same connection, and the same prepared answer, for several clients of one proxy."""
    with (
        serving(app_of(site), direct=direct, trusted_proxies=LOOPBACK) as served,
        served.server.connect() as connection,
    ):
        for number in range(5):
            forwarded = f"X-Forwarded-For: 203.0.113.9, 192.0.2.{number}"
            assert connection.get("/static/css/app.css", forwarded).status == 200
        assert eventually(lambda: len(served.log) == 5)
    assert [line["client"] for line in served.log] == [f"192.0.2.{n}" for n in range(5)]
    assert {line["entry"] for line in served.log} == {"direct" if direct else "hypercorn"}


# -- redirects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
@pytest.mark.parametrize(
    ("trusted", "prefix"), [(LOOPBACK, "/app%20one"), ("10.0.0.0/8", "")], ids=["yes", "no"]
)
@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/static/css/./app.css?q", "{}/static/css/app.css?q"),
        ("/static/./css/.", "{}/static/css/"),
        ("/static/docs", "./docs/"),
        ("/static", "./static/"),
        ("/static/moved?q", "{}/static/new?q"),
    ],
)
def test_redirects_lead_back_through_the_proxy(
    site: Path, direct: bool, trusted: str, prefix: str, target: str, location: str
) -> None:
    with (
        serving(app_of(site), direct=direct, trusted_proxies=trusted) as served,
        served.server.connect() as connection,
    ):
        answer = connection.get(target, "X-Forwarded-Prefix: /app%20one")
    assert answer.status in (301, 308)
    assert answer.field("location") == location.format(prefix)


def test_a_quart_app_finds_its_routes_and_its_urls_below_a_prefix(site: Path) -> None:
    app = Quart(__name__, static_folder=None)
    AsyncStatic(app, str(site), prefix="/static")

    @app.route("/view")
    async def view() -> str:
        return f"{request.remote_addr} {url_for('view', _external=True)}"

    fields = (
        *("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"),
        *("X-Forwarded-Host: a.example", "X-Forwarded-Prefix: /app"),
    )
    with serving(app, trusted_proxies=LOOPBACK) as served, served.server.connect() as connection:
        assert connection.get("/static/css/app.css", *fields).status == 200
        answer = connection.get("/view", *fields)
    assert answer.content == b"192.0.2.7 https://a.example/app/view"


# -- belief --------------------------------------------------------------------------------------

EVERYTHING = (
    *("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"),
    *("X-Forwarded-Host: evil.example", "X-Forwarded-Prefix: /evil"),
)


@pytest.mark.parametrize("fields", [EVERYTHING, ("Forwarded: for=192.0.2.7;host=evil.example",)])
def test_a_client_that_is_no_proxy_changes_nothing(
    untrusting: Served, request: pytest.FixtureRequest, fields: tuple[str, ...]
) -> None:
    target = "/" + re.sub(r"\W+", "-", request.node.name)
    with untrusting.server.connect() as connection:
        told = json.loads(connection.get(target, *fields).content)
        assert connection.get(f"/static/css/app.css?{target}", *fields).status == 200
    check_scope(told, target, HOST, "http", "localhost", "")
    assert eventually(lambda: len([1 for line in untrusting.log if target in line["request"]]) == 2)
    assert {line["client"] for line in untrusting.log} == {HOST}


_names = st.sampled_from(["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"])
_names |= st.sampled_from(["X-Forwarded-Prefix", "Forwarded"])
_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
_values |= st.sampled_from(["192.0.2.7", "https", "/evil", "for=192.0.2.7;proto=https"])


@settings(max_examples=60)
@given(st.lists(st.tuples(_names, _values), max_size=4))
def test_no_field_of_a_client_that_is_no_proxy_changes_anything(
    untrusting: Served, fields: list[tuple[str, str]]
) -> None:
    with untrusting.server.connect() as connection:
        told = json.loads(connection.get("/x", *(f"{n}: {v}" for n, v in fields)).content)
    check_scope(told, "/x", HOST, "http", "localhost", "")


def test_without_the_option_nobody_is_believed(site: Path) -> None:
    with serving(app_of(site)) as served, served.server.connect() as connection:
        told = json.loads(connection.get("/x", *EVERYTHING).content)
    check_scope(told, "/x", HOST, "http", "localhost", "")
    assert served.line("/x")["client"] == HOST


@pytest.mark.parametrize("value", ["10.0.0.1/8", "nonsense", "10.0.0.0/8,nonsense"])
def test_a_network_that_is_none_is_refused(site: Path, value: str) -> None:
    with pytest.raises(ValueError, match="network"):
        asyncio.run(serve_app(StaticFiles(site), Config(), trusted_proxies=value))


# -- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "handed over"])
def test_over_tls_the_scheme_is_the_connections_unless_the_proxy_states_one(
    site: Path, certificate: tuple[str, str], loop: str, direct: bool
) -> None:
    chain, key = certificate
    with (
        serving(app_of(site), loop=loop, direct=direct, certfile=chain, keyfile=key,
                trusted_proxies=LOOPBACK) as served,
        over_tls(served.server.connect(), chain) as connection,
    ):  # fmt: skip
        assert connection.get("/static/css/app.css", "X-Forwarded-For: 192.0.2.7").status == 200
        assert json.loads(connection.get("/x").content)["scheme"] == "https"
        told = json.loads(connection.get("/y", "X-Forwarded-Proto: http").content)
        assert told["scheme"] == "http"
    assert served.line("/static")["client"] == "192.0.2.7"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_download_over_tls_that_the_client_gives_up_is_logged_with_its_address(
    tmp_path: Path, certificate: tuple[str, str], loop: str
) -> None:
    """The transport has forgotten the address by then."""
    (tmp_path / "large.bin").write_bytes(bytes(24 << 20))
    chain, key = certificate
    with serving(StaticFiles(tmp_path), loop=loop, certfile=chain, keyfile=key) as served:
        with over_tls(served.server.connect(receive_buffer=4096), chain) as connection:
            connection.send(head("/large.bin"))
            connection.take(10_000)
        assert served.line("/large.bin")["client"] == HOST
