"""In Starlette and FastAPI: the app's own exception handlers, and methods of Starlette's class.

Each row is asked of Starlette's class, too: the app's handler gets the same from both.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import starlette.staticfiles
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from asyncstatic import SettingsError, StaticFiles, StaticMiddleware
from tests.asgi import ask
from tests.support.site import write_site

FILES = {"app.css": b"a{}", "docs/index.html": b"<p>docs", "with/404.html": b"<p>own page"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("starlette") / "site", FILES)


async def handler(request: Request, error: Exception) -> Response:
    """The app's own page: 299, so that nobody else's answer is taken for it."""
    assert isinstance(error, HTTPException)
    fields = {
        **(error.headers or {}),
        "x-status": str(error.status_code),
        "x-url": str(request.url),
    }
    return JSONResponse({"detail": error.detail}, 299, fields)


def sync_handler(request: Request, error: Exception) -> Response:
    return Response(b"sync", 299, {"x-status": "404"})


def app_of(static: Any, handlers: dict[Any, Any]) -> Any:
    return Starlette(routes=[Mount("/static", static)], exception_handlers=handlers)


def fastapi_of(static: Any, handlers: dict[Any, Any]) -> Any:
    app = FastAPI()
    for key, value in handlers.items():
        app.exception_handler(key)(value)
    app.mount("/static", static)
    return app


def nested_of(static: Any, handlers: dict[Any, Any]) -> Any:
    routes = [Mount("/static", routes=[Mount("/", static)])]
    return Starlette(routes=routes, exception_handlers=handlers)


def inner_of(static: Any, handlers: dict[Any, Any]) -> Any:
    """An app in an app: the inner one's handlers count."""
    return Starlette(routes=[Mount("/", app_of(static, handlers))], exception_handlers={})


CLASSES = {"theirs": starlette.staticfiles.StaticFiles, "ours": StaticFiles}
APPS = [app_of, fastapi_of, nested_of, inner_of]


async def built(whose: str, root: Path, **options: Any) -> Any:
    return await asyncio.to_thread(CLASSES[whose], directory=root, **options)


@pytest.mark.parametrize("whose", CLASSES)
@pytest.mark.parametrize("make", APPS, ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    ("handlers", "method", "target", "raised"),
    [
        pytest.param({404: handler}, "GET", "/static/missing", "404", id="404: missing"),
        pytest.param({404: handler}, "HEAD", "/static/missing", "404", id="404: HEAD"),
        pytest.param({404: handler}, "GET", "/static/docs/", "404", id="404: a directory"),
        pytest.param({404: sync_handler}, "GET", "/static/missing", "404", id="404: not async"),
        pytest.param({HTTPException: handler}, "GET", "/static/missing", "404", id="HTTPException"),
        pytest.param({HTTPException: handler}, "POST", "/static/app.css", "405", id="any: POST"),
        pytest.param({405: handler}, "POST", "/static/app.css", "405", id="405: POST"),
        pytest.param({405: handler}, "DELETE", "/static/missing", "405", id="405: missing"),
        pytest.param({404: handler}, "GET", "/static/app.css", None, id="404: there"),
        pytest.param({405: handler}, "GET", "/static/missing", None, id="405: missing, GET"),
        pytest.param({500: handler}, "GET", "/static/missing", None, id="500: missing"),
        pytest.param({}, "GET", "/static/missing", None, id="none"),
    ],
)
async def test_the_apps_own_handler_is_called(
    root: Path,
    whose: str,
    make: Callable[..., Any],
    handlers: dict[Any, Any],
    method: str,
    target: str,
    raised: str | None,
) -> None:
    static = await built(whose, root, html=False)
    reply = await ask(make(static, handlers), target, method=method)
    assert reply.headers.get("x-status") == raised
    assert (reply.status == 299) is (raised is not None)
    if raised == "405":
        assert reply.headers["allow"].startswith("GET, HEAD")
    if whose == "ours" and raised is None and reply.status == 404:
        assert b"There is nothing here" in reply.body, "our own page, as in any other framework"


@pytest.mark.parametrize("whose", CLASSES)
async def test_the_handler_of_an_app_around_is_not_called(root: Path, whose: str) -> None:
    inner = app_of(await built(whose, root), {})
    app = Starlette(routes=[Mount("/", inner)], exception_handlers={404: handler})
    assert (await ask(app, "/static/missing")).status == 404


@pytest.mark.parametrize("whose", CLASSES)
async def test_a_404_page_of_the_root_comes_before_any_handler(root: Path, whose: str) -> None:
    static = await built(whose, root / "with", html=True)
    reply = await ask(app_of(static, {404: handler, HTTPException: handler}), "/static/missing")
    assert (reply.status, reply.body) == (404, b"<p>own page")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param("/static/a%2Fb", "400", id="malformed"),
        pytest.param("/static/" + "a" * 9000, "414", id="long"),
        pytest.param("/static/.hidden", "404", id="hidden"),
        pytest.param("/static/secret", "403", id="refused by a hook"),
    ],
)
async def test_the_handler_of_all_errors_gets_ours_as_well(
    root: Path, target: str, status: str
) -> None:
    static = await asyncio.to_thread(
        StaticFiles, root, authorize=lambda scope, path: path != "/secret"
    )
    reply = await ask(app_of(static, {HTTPException: handler}), target)
    assert (reply.status, reply.headers["x-status"]) == (299, status)
    assert reply.headers["cache-control"] == "no-store"


async def test_a_handler_gets_the_fields_of_the_cors_protocol(root: Path) -> None:
    static = await asyncio.to_thread(StaticFiles, root, cors="*")
    reply = await ask(app_of(static, {404: handler}), "/static/missing")
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_a_failed_condition_is_no_error_of_the_app(root: Path) -> None:
    app = app_of(await built("ours", root), {HTTPException: handler})
    assert (await ask(app, "/static/app.css", {"if-match": '"x"'})).status == 412
    assert (await ask(app, "/static/app.css", {"range": "bytes=99-"})).status == 416


async def test_a_handler_may_read_the_content_of_the_request(root: Path) -> None:
    async def reads(request: Request, error: Exception) -> Response:
        return Response(await request.body(), 299)

    app = app_of(await built("ours", root), {405: reads})
    reply = await ask(app, "/static/app.css", {"content-length": "5"}, method="POST")
    assert reply.status == 299


@pytest.fixture
def large(tmp_path: Path) -> StaticFiles:
    return StaticFiles(write_site(tmp_path / "site", {"large.bin": b"L" * 1_000_000}))


async def test_a_middleware_may_repeat_the_content_of_the_request(large: StaticFiles) -> None:
    """The usual way to read it there: `receive` returns it at each call, and never waits."""
    calls = 0

    async def repeat() -> dict[str, Any]:
        nonlocal calls
        calls += 1
        assert calls < 1000
        return {"type": "http.request", "body": b""}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await large(scope, repeat, send)

    assert len((await ask(app, "/large.bin")).body) == 1_000_000


async def test_what_the_middleware_passes_on_gets_the_apps_handler(root: Path) -> None:
    app: Any = Starlette(exception_handlers={404: handler})
    static = await built("ours", root)
    app.add_middleware(StaticMiddleware, static=static, prefix="/static")
    assert (await ask(app, "/static/missing")).headers["x-status"] == "404"


# -- methods of Starlette's class ----------------------------------------------------------------

METHODS = [
    name
    for name, value in vars(starlette.staticfiles.StaticFiles).items()
    if callable(value) and not name.startswith("__")
]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_would_never_be_called_is_refused(name: str) -> None:
    """In one line, that says what to do instead."""
    with pytest.raises(SettingsError, match=rf"^Mine\.{name} would never be called here: .+$"):
        type("Mine", (StaticFiles,), {name: lambda self: None})


def test_a_method_of_another_base_is_refused_as_well() -> None:
    class Mixin:
        def get_response(self) -> None: ...

    with pytest.raises(SettingsError, match="get_response"):
        type("Mine", (Mixin, StaticFiles), {})
    with pytest.raises(SettingsError, match="would never be called"):
        type("Mine", (StaticFiles, starlette.staticfiles.StaticFiles), {})


async def test_a_subclass_with_methods_of_its_own_is_served(root: Path) -> None:
    class Mine(StaticFiles):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)

        def name(self) -> str:
            return "mine"

    assert (await ask(await asyncio.to_thread(Mine, root), "/app.css")).body == b"a{}"


def test_starlette_is_never_imported_for_it(root: Path) -> None:
    code = (
        "import asyncio, sys; from asyncstatic import StaticFiles; from tests.asgi import ask\n"
        f"assert asyncio.run(ask(StaticFiles({str(root)!r}), '/missing')).status == 404\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'starlette']\n"
    )
    repository = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository, timeout=60)
