"""A root is found, and redirects lead back to it, whatever a proxy and a mount do to the path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from quart import Quart

from asyncstatic import AsyncStatic, StaticFiles, StaticMiddleware
from asyncstatic.serve.scope import read_request
from tests.asgi import Reply, ask
from tests.serve.inside import serving_inside
from tests.support.raw import fetch
from tests.support.servers import running
from tests.support.site import write_site

FILES = {
    "a b/é.txt": b"accents",
    "static/app.css": b"inner{}",
    "docs/index.html": b"<p>docs",
    "app.css": b"a{}",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("root-path") / "site", FILES)


@pytest.fixture(scope="module")
def static(root: Path) -> StaticFiles:
    return StaticFiles(root)


# -- scopes, as frameworks make them -------------------------------------------------------------


def shape(path: str, raw: str, root_path: str, app_root_path: str | None = None) -> dict[str, Any]:
    made = {"type": "http", "method": "GET", "path": path, "raw_path": raw.encode(), "headers": []}
    made["root_path"] = root_path
    if app_root_path is not None:
        made["app_root_path"] = app_root_path
    return made


SCOPES = [
    # scope -> stripped by the proxy, mount, target
    pytest.param(shape("/s/a", "/s/a", "/s", ""), "", "/s", "/a", id="Starlette"),
    pytest.param(
        shape("/s/a", "/s/a", "/v1/s", "/v1"), "/v1", "/s", "/a", id="Starlette, stripped"
    ),
    pytest.param(
        shape("/v1/s/a", "/v1/s/a", "/v1/s", "/v1"), "", "/v1/s", "/a", id="Starlette, whole"
    ),
    pytest.param(
        shape("/s/a", "/s/a", "/v1//s", "/v1/"), "/v1", "/s", "/a", id="Starlette, with a slash"
    ),
    pytest.param(
        shape("/s/n/a", "/s/n/a", "/v1/s/n", "/v1"), "/v1", "/s/n", "/a", id="nested, stripped"
    ),
    pytest.param(
        shape("/s/s/a", "/s/s/a", "/s/s", "/s"), "", "/s/s", "/a", id="a prefix like the mount"
    ),
    pytest.param(
        shape("/t é/s/a", "/t%20%C3%A9/s/a", "/v 1/t é/s", "/v 1"),
        *("/v%201", "/t%20%C3%A9/s", "/a"),
        id="a path parameter, and a prefix with a space, stripped",
    ),
    pytest.param(
        shape("/v 1/s/a", "/v%201/s/a", "/v 1/s", "/v 1"), "", "/v%201/s", "/a", id="spelled"
    ),
    pytest.param(shape("/s", "/s", "/v1/s", "/v1"), "/v1", "/s", "", id="the mount, stripped"),
    pytest.param(
        shape("/sfoo", "/sfoo", "/v1/s", "/v1"), "/v1", "", "//", id="a prefix of a name, stripped"
    ),
    pytest.param(shape("/a", "/s/a", "/s", ""), "", "/s", "/a", id="old Starlette"),
    pytest.param(
        shape("/a", "/s/a", "/v1/s", "/v1"), "/v1", "/s", "/a", id="old Starlette, stripped"
    ),
    pytest.param(
        shape("/a", "/s/n/a", "/v1/s/n", "/v1"), "/v1", "/s/n", "/a", id="old Starlette, nested"
    ),
    pytest.param(
        shape("/a b", "/s/a%20b", "/v1/s"), "/v1", "/s", "/a%20b", id="the same without its name"
    ),
    pytest.param(shape("/s/a", "/s/a", "/v1"), "/v1", "", "/s/a", id="a server, stripped"),
    pytest.param(shape("/v1/s/a", "/v1/s/a", "/v1"), "", "/v1", "/s/a", id="a server, whole"),
    pytest.param(
        shape("/s/a", "/s/a", "/x/s"), "/x/s", "", "/s/a", id="a folder like the end of root_path"
    ),
    pytest.param(
        shape("/a%2Fb", "/s/a%252Fb", "/v1/s", "/v1"), "/v1", "/s", "/a%252Fb", id="escaped twice"
    ),
]


@pytest.mark.parametrize(("scope", "stripped", "mount", "target"), SCOPES)
def test_a_scope_is_read(scope: dict[str, Any], stripped: str, mount: str, target: str) -> None:
    request = read_request(scope)
    found = (request.stripped, request.mount, request.target)
    assert found == (stripped.encode(), mount.encode(), target.encode())
    assert not request.decoded


def test_a_name_without_its_raw_path_is_read_as_decoded() -> None:
    scope = {**shape("/s/a%20b", "", "/v1/s", "/v1"), "raw_path": None}
    request = read_request(scope)
    assert (request.stripped, request.mount, request.target) == (b"/v1", b"/s", b"/a%20b")
    assert request.decoded


# -- real frameworks -----------------------------------------------------------------------------


def starlette(static: StaticFiles) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/static", static)])


def parameter(static: StaticFiles) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/{tenant}/files/{number:int}", static)])


def nested(static: StaticFiles) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/in", routes=[Mount("/deep", static)])])


def sub_app(static: StaticFiles) -> Any:
    from fastapi import FastAPI

    outer, inner = FastAPI(), FastAPI()
    inner.mount("/deep", static)
    outer.mount("/in", inner)
    return outer


def fastapi(static: StaticFiles) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/static", static)
    return app


def litestar(static: StaticFiles) -> Any:
    from tests.test_frameworks import litestar

    return litestar(static)


def middleware(static: StaticFiles) -> Any:
    async def missing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return StaticMiddleware(missing, static, "/static")


def middleware_in_starlette(static: StaticFiles) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/in", middleware(static))])


def quart(static: StaticFiles) -> Any:
    app = Quart("app", static_folder=None)
    wrapped: Any = StaticMiddleware(app.asgi_app, static, "/static")
    app.asgi_app = wrapped  # type: ignore[method-assign] # Quart's way to wrap an app
    return app


def alone(static: StaticFiles) -> Any:
    return static


#: Framework, the mount as a client writes it.
MOUNTS = [
    (starlette, "/static"),
    (fastapi, "/static"),
    (parameter, "/a%20b%25/files/7"),
    (nested, "/in/deep"),
    (sub_app, "/in/deep"),
    (litestar, "/static"),
    (middleware, "/static"),
    (middleware_in_starlette, "/in/static"),
    (quart, "/static"),
    (alone, ""),
]
#: Starlette's own router does not find a mount in a mount when a proxy stripped root_path.
WHOLE_ONLY = {nested, sub_app}
PREFIXES = [
    pytest.param("", True, id="no root_path"),
    pytest.param("/api/v1", True, id="stripped"),
    pytest.param("/api/v1", False, id="whole"),
    pytest.param("/v 1/é", True, id="escaped, stripped"),
    pytest.param("/v 1/é", False, id="escaped, whole"),
]


async def asked(app: Any, prefix: str, target: str, *, stripped: bool, **options: Any) -> Reply:
    """Ask as a proxy in front does, which strips the prefix or does not."""
    sent = target if stripped else quote(prefix) + target
    return await ask(app, sent, root_path=prefix, **options)


@pytest.mark.parametrize(("prefix", "stripped"), PREFIXES)
@pytest.mark.parametrize(
    ("make", "mount"), MOUNTS, ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_root_is_found_and_redirects_are_right_for_the_clients_url(
    static: StaticFiles, make: Callable[..., Any], mount: str, prefix: str, stripped: bool
) -> None:
    app = make(static)
    if stripped and prefix and make in WHOLE_ONLY:
        assert (await asked(app, prefix, f"{mount}/app.css", stripped=True)).status == 404
        return
    for target, content in {
        f"{mount}/app.css": b"a{}",
        f"{mount}/static/app.css": b"inner{}",
        f"{mount}/a%20b/%C3%A9.txt": b"accents",
        f"{mount}/docs/": b"<p>docs",
    }.items():
        reply = await asked(app, prefix, target, stripped=stripped)
        assert (reply.status, reply.body) == (200, content), target
    refused = await asked(app, prefix, f"{mount}/static%2fapp.css", stripped=stripped)
    assert refused.status in (400, 404)
    for target, status, leads_to in (
        (f"{mount}/docs?q=1", 301, f"{mount}/docs/?q=1"),
        (f"{mount}/./a%20b/%C3%A9.txt", 308, f"{mount}/a%20b/%C3%A9.txt"),
    ):
        reply = await asked(app, prefix, target, stripped=stripped)
        url = f"http://localhost{quote(prefix)}"
        assert reply.status == status
        assert urljoin(url + target, reply.headers["location"]) == url + leads_to


@pytest.mark.parametrize("stripped", [True, False])
async def test_fastapi_has_a_root_path_of_its_own(static: StaticFiles, stripped: bool) -> None:
    from fastapi import FastAPI

    app = FastAPI()
    app.root_path = "/api/v1"  # as the parameter, which is deprecated
    app.mount("/static", static)
    prefix = "" if stripped else "/api/v1"
    assert (await ask(app, f"{prefix}/static/app.css")).body == b"a{}"
    reply = await ask(app, f"{prefix}/static/./app.css")
    assert reply.headers["location"] == "/api/v1/static/app.css"
    missing = await ask(app, f"{prefix}/static/missing.css")
    assert missing.status == 404


# -- servers -------------------------------------------------------------------------------------

TARGETS = [
    *("/static/app.css", "/static/static/app.css", "/static/docs?q=1", "/static/docs/", "/static"),
    *("/static/./docs/", "/static/a%20b/%C3%A9.txt", "/staticfoo", "/missing", "/static/missing"),
    *("/./static/app.css", "/app.css", "/docs", "/"),
]


@pytest.fixture(scope="module")
def answers(root: Path) -> Iterator[Callable[[str, bool, str], int]]:
    """Start servers with ``root_path="/api"``: by app, and with or without the direct entry."""
    started: dict[tuple[str, bool, str], int] = {}
    with ExitStack() as servers:

        def port(app: str, direct: bool, root_path: str) -> int:
            key = (app, direct, root_path)
            if key not in started:
                made = quart_app(root) if app == "quart" else StaticFiles(root)
                serving = serving_inside(made, direct=direct, root_path=root_path)
                started[key] = servers.enter_context(serving).port
            return started[key]

        yield port


def quart_app(root: Path) -> Quart:
    app = Quart("app", root_path=str(root), static_folder=None)
    AsyncStatic(app, ".")
    return app


@pytest.mark.parametrize("app", ["quart", "root"])
@pytest.mark.parametrize("root_path", ["/api", "/api/", ""])
@pytest.mark.parametrize("sent", ["/api", ""], ids=["whole", "stripped"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_direct_entry_answers_as_hypercorn(
    answers: Callable[[str, bool, str], int], app: str, root_path: str, sent: str, target: str
) -> None:
    first, second = (
        fetch(answers(app, direct, root_path), sent + target) for direct in (True, False)
    )
    assert first.status == second.status
    assert first.content == second.content
    for name in ("location", "etag", "content-type"):
        assert first.field(name) == second.field(name)


@pytest.mark.parametrize("sent", ["/api", ""], ids=["whole", "stripped"])
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "not direct"])
def test_serve_app_with_a_root_path_finds_the_root_of_a_quart_app(
    answers: Callable[[str, bool, str], int], direct: bool, sent: str
) -> None:
    port = answers("quart", direct, "/api")
    assert fetch(port, f"{sent}/static/app.css").content == b"a{}"
    dot = fetch(port, f"{sent}/static/./app.css")
    assert (dot.status, dot.field("location")) == (308, "/api/static/app.css")


APP = """
import os
from quart import Quart
from asyncstatic import AsyncStatic, StaticFiles
from starlette.applications import Starlette
from starlette.routing import Mount

quart = Quart("app", root_path=os.environ["ROOT"], static_folder=None)
AsyncStatic(quart, ".")
starlette = Starlette(routes=[Mount("/static", StaticFiles(os.environ["ROOT"]))])
"""


@pytest.mark.parametrize("app", ["quart", "starlette"])
def test_hypercorn_with_a_root_path_serves_what_a_proxy_stripped(
    root: Path, tmp_path: Path, app: str
) -> None:
    (tmp_path / "served.py").write_text(APP)
    command = ("-m", "hypercorn", "--root-path", "/api", "--bind", "127.0.0.1:{port}")
    with running((*command, f"served:{app}"), {"ROOT": str(root)}, cwd=str(tmp_path)) as server:
        for sent in ("", "/api"):
            assert server.fetch(f"{sent}/static/app.css").content == b"a{}"
            dot = server.fetch(f"{sent}/static/./app.css")
            assert dot.field("location") == "/api/static/app.css"
