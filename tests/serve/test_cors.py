"""The CORS protocol of the Fetch standard is the same from every entry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, Response

from asyncstatic import AsyncStatic, SignedURLs, StaticFiles, StaticMiddleware, send_from_directory
from asyncstatic.http.model import Request
from tests.asgi import ask
from tests.http.rows import CORS, CORS_WITHOUT_APP, EVERYBODY, OURS, access_control_of
from tests.serve.inside import serving_inside
from tests.support.core import STORED
from tests.support.raw import fetch
from tests.support.servers import serving
from tests.support.site import write_site

pytestmark = pytest.mark.grid

SITE = {"a.txt": STORED, "b.txt": STORED, "b.txt.br": STORED, "docs/index.html": b"<p>docs"}
SERVERS = ["serve", "serve-no-direct", "hypercorn"]
#: Below a mount, and in front of an app.
MOUNTS = ["starlette", "fastapi"]
FRONTS = ["middleware", "quart", "quart under serve_app"]

Found = tuple[int, dict[str, str]]
Ask = Callable[[Request], Awaitable[Found]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("cors") / "site", SITE)


def sent(request: Request) -> dict[str, str]:
    """The fields of a request, as a client sends them."""
    fields = request.fields._asdict().items()
    return {name.replace("_", "-"): value for name, value in fields if value is not None}


async def over_the_wire(port: int, request: Request, below: str = "") -> Found:
    lines = [f"{name}: {value}" for name, value in sent(request).items()]
    if request.method == "POST":
        lines.append("Content-Length: 0")
    target = below + request.target.decode("ascii")
    answer = await asyncio.to_thread(fetch, port, target, *lines, method=request.method)
    assert answer.complete
    return answer.status, dict(answer.fields)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The app behind: says that it was asked."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def starlette(root: Path, cors: tuple[str, ...]) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/static", StaticFiles(root, cors=cors))])


def fastapi(root: Path, cors: tuple[str, ...]) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/static", StaticFiles(root, cors=cors))
    return app


def middleware(root: Path, cors: tuple[str, ...]) -> Any:
    return StaticMiddleware(echo, root, "/static", cors=cors)


def quart(root: Path, cors: tuple[str, ...]) -> Quart:
    app = Quart("app", root_path=str(root), static_folder=None)
    AsyncStatic(app, ".", cors=cors)
    return app


class Entries:
    """Starts each server once, for the settings that the rows ask for."""

    def __init__(self, root: Path, running: ExitStack) -> None:
        self._root = root
        self._running = running
        self._made: dict[tuple[str, tuple[str, ...]], Any] = {}

    async def ask(self, entry: str, cors: tuple[str, ...], request: Request) -> Found:
        made: Any = self._made.get((entry, cors))
        if made is None:
            made = await asyncio.to_thread(self._make, entry, cors)
            self._made[entry, cors] = made
        if entry in SERVERS:
            return await over_the_wire(made, request)
        if entry == "quart under serve_app":
            return await over_the_wire(made, request, "/static")
        target = "/static" + request.target.decode("ascii")
        reply = await ask(made, target, sent(request), method=request.method)
        return reply.status, reply.headers

    def _make(self, entry: str, cors: tuple[str, ...]) -> Any:
        if entry in SERVERS:
            settings = {"cors": ",".join(cors)} if cors else {}
            return self._running.enter_context(serving(entry, self._root, **settings)).port
        if entry == "quart under serve_app":
            return self._running.enter_context(serving_inside(quart(self._root, cors))).port
        return globals()[entry](self._root, cors)


@pytest.fixture(scope="module")
def entries(root: Path) -> Iterator[Entries]:
    with ExitStack() as running:
        yield Entries(root, running)


def is_for_the_root(request: Request, status: int) -> bool:
    """Tell whether a root in front of an app answers, and not the app."""
    return request.method in ("GET", "HEAD", "OPTIONS") and status not in (400, 404, 414)


cases = pytest.mark.parametrize(("origins", "request_", "status", "allowed", "vary"), CORS)
others = pytest.mark.parametrize(
    ("origins", "request_", "status", "allowed", "vary"), CORS_WITHOUT_APP
)


async def check(
    entries: Entries,
    entry: str,
    origins: tuple[str, ...],
    request: Request,
    status: int,
    allowed: str | None,
    vary: str | None,
) -> None:
    found, fields = await entries.ask(entry, origins, request)
    expected = access_control_of(request, allowed, vary)
    assert (found, {name: fields.get(name) for name in expected}) == (status, expected)


@pytest.mark.parametrize("entry", [*SERVERS, *MOUNTS])
@cases
async def test_a_root_speaks_the_cors_protocol(
    entries: Entries,
    entry: str,
    origins: tuple[str, ...],
    request_: Request,
    status: int,
    allowed: str | None,
    vary: str | None,
) -> None:
    await check(entries, entry, origins, request_, status, allowed, vary)


@pytest.mark.parametrize("entry", [*SERVERS, *MOUNTS])
@others
async def test_a_root_answers_every_options(
    entries: Entries,
    entry: str,
    origins: tuple[str, ...],
    request_: Request,
    status: int,
    allowed: str | None,
    vary: str | None,
) -> None:
    await check(entries, entry, origins, request_, status, allowed, vary)


@pytest.mark.parametrize("entry", FRONTS)
@cases
async def test_a_root_in_front_of_an_app_speaks_it_as_well(
    entries: Entries,
    entry: str,
    origins: tuple[str, ...],
    request_: Request,
    status: int,
    allowed: str | None,
    vary: str | None,
) -> None:
    if is_for_the_root(request_, status):
        await check(entries, entry, origins, request_, status, allowed, vary)
        return
    found, fields = await entries.ask(entry, origins, request_)
    assert found in (299, 400, 404, 405, 414)
    assert "access-control-allow-origin" not in fields, "it is the app's own answer"


@others
async def test_every_other_options_is_for_the_app(
    entries: Entries,
    origins: tuple[str, ...],
    request_: Request,
    status: int,
    allowed: str | None,
    vary: str | None,
) -> None:
    found, _ = await entries.ask("middleware", origins, request_)
    assert found == 299


PREFLIGHT = {"origin": OURS, "access-control-request-method": "GET"}


async def test_without_cors_a_preflight_is_for_the_app(root: Path) -> None:
    app = await asyncio.to_thread(middleware, root, ())
    assert (await ask(app, "/static/a.txt", PREFLIGHT, method="OPTIONS")).status == 299


@pytest.mark.parametrize(
    ("hide_forbidden", "target", "status"),
    [
        pytest.param(False, "/static/a.txt", 204, id="a file"),
        pytest.param(False, "/static/missing", 204, id="nothing"),
        pytest.param(True, "/static/a.txt", 299, id="a file, hidden"),
        pytest.param(True, "/static/missing", 299, id="nothing, hidden"),
    ],
)
async def test_a_preflight_does_not_tell_what_a_guarded_root_has(
    root: Path, hide_forbidden: bool, target: str, status: int
) -> None:
    """A browser sends no credentials with it, so the hook refuses it, whatever is there."""
    static = await asyncio.to_thread(
        StaticFiles,
        root,
        authorize=lambda *_: False,
        cors=EVERYBODY,
        hide_forbidden=hide_forbidden,
    )
    app = StaticMiddleware(echo, static, "/static")
    assert (await ask(app, target, PREFLIGHT, method="OPTIONS")).status == status


async def test_an_expired_link_may_be_read_by_other_origins(root: Path) -> None:
    links = SignedURLs("a key of some length")
    expired = links.sign("a.txt", expires_in=-1)
    static = await asyncio.to_thread(StaticFiles, root, authorize=links, cors=EVERYBODY)
    reply = await ask(static, expired)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (410, "*")


# -- a Quart view -------------------------------------------------------------------------------


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize(
    ("cors", "origin", "allowed", "vary"),
    [
        pytest.param(EVERYBODY, None, "*", None, id="all, no Origin"),
        pytest.param((OURS,), OURS, OURS, "Origin", id="one of the list"),
        pytest.param((OURS,), "null", None, "Origin", id="null"),
        pytest.param((OURS,), None, None, "Origin", id="the list, no Origin"),
    ],
)
@pytest.mark.parametrize(
    ("method", "fields", "statuses"),
    [
        pytest.param("GET", {}, (200, 200), id="200"),
        pytest.param("GET", {"if-none-match": "*"}, (304, 200), id="304"),
        pytest.param("GET", {"if-match": '"x"'}, (412, 200), id="412"),
        pytest.param("GET", {"range": "bytes=900-"}, (416, 200), id="416"),
        pytest.param("POST", {}, (200, 200), id="POST"),
    ],
)
async def test_a_file_of_a_view_has_the_cors_of_its_root(
    root: Path,
    conditional: bool,
    cors: tuple[str, ...],
    origin: str | None,
    allowed: str | None,
    vary: str | None,
    method: str,
    fields: dict[str, str],
    statuses: tuple[int, int],
) -> None:
    app = Quart("app", static_folder=None)
    static = await asyncio.to_thread(StaticFiles, root, cors=cors)

    @app.route("/<name>", methods=["GET", "POST"])
    async def view(name: str) -> Response:
        return await send_from_directory(static, name, conditional=conditional)

    if origin is not None:
        fields = {**fields, "origin": origin}
    reply = await ask(app, "/a.txt", fields, method=method)
    assert reply.status == statuses[0 if conditional else 1]
    assert reply.headers.get("access-control-allow-origin") == allowed
    assert reply.headers.get("vary") == vary
