"""Under the mounts of real frameworks, each with its own idea of `path` and `root_path`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from asyncstatic import SettingsError, StaticFiles, StaticMiddleware
from asyncstatic.serve.direct.mounts import find_mounts
from tests.asgi import ask
from tests.support.site import write_site

FILES = {
    "a b/é.txt": b"accents",
    "100%.txt": b"percent",
    "docs/index.html": b"<p>docs",
    "index.html": b"<p>home",
    "app.css": b"a{}",
    "big.bin": bytes(300_000),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("frameworks") / "site", FILES)


@pytest.fixture(scope="module")
def static(root: Path) -> StaticFiles:
    return StaticFiles(root)


def starlette(static: StaticFiles) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/static", static)])


def fastapi(static: StaticFiles) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/static", static)
    return app


def nested(static: StaticFiles) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = Mount("/in", routes=[Mount("/deep", static)])
    return StaticMiddleware(Starlette(routes=[inner]), static, "/static")


def litestar(static: StaticFiles, path: str = "/static") -> Any:
    from litestar import Litestar, asgi
    from litestar.types import Receive, Scope, Send

    any_app: Any = static  # its types are Litestar's own

    async def files(scope: Scope, receive: Receive, send: Send) -> None:
        await any_app(scope, receive, send)

    files.__annotations__ = {"scope": Scope, "receive": Receive, "send": Send, "return": None}
    return Litestar([asgi(path, is_mount=True, copy_scope=True)(files)])


def blacksheep(static: StaticFiles) -> Any:
    from blacksheep import Application

    app = Application()
    app.mount("/static", static)
    return app


def dispatcher(static: Any) -> Any:
    from hypercorn.middleware.dispatcher import AsyncioDispatcherMiddleware

    return AsyncioDispatcherMiddleware({"/static": static})


FRAMEWORKS = (starlette, fastapi, nested, litestar, blacksheep, dispatcher)


@pytest.fixture(scope="module", params=FRAMEWORKS, ids=lambda make: make.__name__)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param.__name__)


@pytest.fixture
async def app(framework: str, static: StaticFiles) -> Any:
    made = globals()[framework](static)
    if framework == "blacksheep":
        await made.start()
    return made


@pytest.mark.parametrize(
    ("target", "content"),
    [
        pytest.param("/static/app.css", b"a{}", id="plain"),
        pytest.param("/static/a%20b/%C3%A9.txt", b"accents", id="escapes"),
        pytest.param("/static/100%25.txt", b"percent", id="a percent sign"),
        pytest.param("/static/docs/", b"<p>docs", id="a directory"),
        pytest.param("/static/", b"<p>home", id="the mount"),
    ],
)
async def test_what_is_there_is_found(app: Any, target: str, content: bytes) -> None:
    reply = await ask(app, target)
    assert (reply.status, reply.body) == (200, content)


@pytest.mark.parametrize(
    ("target", "statuses"),
    [
        pytest.param("/static/app%2ecss%2f", {400, 404}, id="an escaped slash"),
        pytest.param("/static/a%2520b/%C3%A9.txt", {404}, id="escaped twice"),
        pytest.param("/static//app.css", {404, 308}, id="two slashes"),
        pytest.param("/static/docs%2findex.html", {400, 404}, id="an escaped slash inside"),
        pytest.param("/static/%2e%2e/site/app.css", {400, 404}, id="dots"),
        pytest.param("/static/app.css/", {404}, id="a file with a slash"),
        pytest.param("/staticapp.css", {400, 404}, id="a prefix of a name"),
        pytest.param("/staticfoo/app.css", {400, 404}, id="a prefix of a directory"),
    ],
)
async def test_there_is_one_spelling(app: Any, target: str, statuses: set[int]) -> None:
    assert (await ask(app, target)).status in statuses


async def test_a_directory_is_redirected_to_its_slash(app: Any) -> None:
    reply = await ask(app, "/static/docs?x=1")
    assert (reply.status, reply.headers["location"]) == (301, "./docs/?x=1")


async def test_a_deep_mount_strips_all_of_its_path(static: StaticFiles) -> None:
    reply = await ask(nested(static), "/in/deep/a%20b/%C3%A9.txt")
    assert reply.body == b"accents"


async def test_litestar_may_mount_a_root_at_all_paths(static: StaticFiles) -> None:
    app = litestar(static, "/")
    for target, content in {
        "/": b"<p>home",
        "/app.css": b"a{}",
        "/a%20b/%C3%A9.txt": b"accents",
        "/docs/": b"<p>docs",
    }.items():
        assert (await ask(app, target)).body == content, target
    assert (await ask(app, "/docs")).headers["location"] == "./docs/"
    assert (await ask(app, "/app.css/")).status == 404


# -- Starlette's own static files --------------------------------------------------------------


async def starlettes(root: Path, **options: Any) -> StaticFiles:
    return await asyncio.to_thread(StaticFiles, **{"directory": root, **options})


async def test_starlettes_names_mean_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_index = await starlettes(root, html=True)
    without = await starlettes(root, html=False, check_dir=True, follow_symlink=False)
    assert (await ask(with_index, "/docs/")).status == 200
    assert (await ask(without, "/docs/")).status == 404
    assert (await starlettes(root, follow_symlink=True)).settings.symlinks == "follow"
    assert without.settings.symlinks == "within_root"


def test_a_folder_of_a_package_is_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_site(tmp_path / "shop", {"__init__.py": b"", "statics/a": b"1", "ui/b": b"2"})
    monkeypatch.syspath_prepend(tmp_path)
    assert StaticFiles(packages=["shop"]).root == str(tmp_path / "shop" / "statics")
    assert StaticFiles(packages=[("shop", "ui")]).root == str(tmp_path / "shop" / "ui")


@pytest.mark.parametrize("cache_bytes", [0, 1_000_000], ids=["no cache", "cached"])
async def test_packages_stand_behind_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_bytes: int
) -> None:
    """As Starlette documents it: the directory, then the packages in their order."""
    write_site(tmp_path / "site", {"both.txt": b"site", "docs/a.txt": b"a"})
    package = {"__init__.py": b"", "statics/both.txt": b"one", "statics/one.txt": b"one"}
    write_site(tmp_path / "one", {**package, "statics/docs/index.html": b"docs of one"})
    write_site(tmp_path / "two", {"__init__.py": b"", "ui/one.txt": b"two", "ui/two.txt": b"two"})
    monkeypatch.syspath_prepend(tmp_path)
    options: dict[str, Any] = {
        "packages": ["one", ("two", "ui")],
        "html": True,
        "cache_bytes": cache_bytes,
    }
    static = await asyncio.to_thread(StaticFiles, tmp_path / "site", **options)
    for _ in range(2):
        for target, content in {
            "/both.txt": b"site",
            "/one.txt": b"one",
            "/two.txt": b"two",
            "/docs/a.txt": b"a",
            "/docs/": b"docs of one",
        }.items():
            assert (await ask(static, target)).body == content
        assert (await ask(static, "/docs")).status == 301
        assert (await ask(static, "/__init__.py")).status == 404
    write_site(tmp_path / "site", {"one.txt": b"on top"})
    assert (await ask(static, "/one.txt")).body == b"on top"


@pytest.mark.parametrize(
    ("options", "help_"),
    [
        pytest.param(
            {"packages": [("asyncstatic", "http")], "unchanging": True}, "of one root", id="by name"
        ),
        pytest.param({"directory": "gone", "check_dir": False}, "does not exist", id="gone"),
        pytest.param({"directory": None, "packages": ["no.such"]}, "no.such is not", id="package"),
        pytest.param({"directory": None}, "no root", id="nothing"),
        pytest.param({"packages": "shop"}, r"a list is needed, \['shop'\]", id="one package"),
        pytest.param({"prefix": "/static"}, "the framework that mounts", id="a prefix"),
        pytest.param({"max_age": 60}, "did you mean cache_control", id="an option of others"),
    ],
)
async def test_what_would_mean_something_else_is_refused(
    root: Path, options: dict[str, Any], help_: str
) -> None:
    with pytest.raises(SettingsError, match=help_):
        await starlettes(root, **options)


def test_a_traceback_names_the_directory_that_a_relative_root_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as raised:
        StaticFiles("gone")
    assert str(raised.value) == "root gone: does not exist; create it or name another"
    assert raised.value.__notes__ == [f"The working directory is {tmp_path}."]


def test_a_root_has_one_name(root: Path) -> None:
    with pytest.raises(SettingsError, match="leave one of them out"):
        StaticFiles(root, directory=root)


# -- the middleware ----------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An app that says what it was asked, in two messages."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 299, "headers": []})
    text = f"{scope['method']} {scope['path']} {scope['root_path']}"
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("make", ["starlette", "fastapi"])
async def test_add_middleware_takes_it(root: Path, make: str, static: StaticFiles) -> None:
    app = globals()[make](static)
    app.add_middleware(StaticMiddleware, static=static, prefix="/files")
    assert (await ask(app, "/files/app.css")).body == b"a{}"
    assert (await ask(app, "/static/app.css")).body == b"a{}"
    assert (await ask(app, "/files/missing")).status == 404


async def test_several_roots_are_looked_at_in_their_order(
    static: StaticFiles, tmp_path: Path
) -> None:
    other = await asyncio.to_thread(
        StaticFiles, write_site(tmp_path / "other", {"app.css": b"other", "x": b"x"})
    )
    app = StaticMiddleware(echo, {"/s": static, "/s/in": other, "": other})
    assert (await ask(app, "/s/app.css")).body == b"a{}"
    assert (await ask(app, "/s/in/app.css")).body == b"other"
    assert (await ask(app, "/x")).body == b"x"
    assert (await ask(app, "/s/x")).status == 299
    assert [mount.prefix for mount in find_mounts(app)] == ["/s", "/s/in", ""]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        pytest.param("GET", "/missing", id="missing"),
        pytest.param("GET", "/s/missing", id="missing below the prefix"),
        pytest.param("GET", "/sfoo", id="a prefix of a name"),
        pytest.param("GET", "/s/a%2Fb", id="a name no file can have"),
        pytest.param("GET", "/s/" + "x" * 5000, id="a long name"),
        pytest.param("POST", "/s/app.css", id="POST"),
        pytest.param("OPTIONS", "/s/app.css", id="OPTIONS"),
    ],
)
async def test_the_app_gets_all_else_untouched(
    static: StaticFiles, method: str, target: str
) -> None:
    reply = await ask(StaticMiddleware(echo, static, "/s"), target, method=method)
    assert (reply.status, reply.body) == (299, f"{method} {unquote(target)} ".encode())
    assert len(reply.messages) == 3, "nothing is held back or joined"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("framing", [{"content-length": "2"}, {"transfer-encoding": "chunked"}])
async def test_content_of_a_request_for_a_file_does_not_matter(
    static: StaticFiles, method: str, framing: dict[str, str]
) -> None:
    """It has no meaning (RFC 9110 §9.3.1), and no app behind the root sees the request."""
    app = StaticMiddleware(echo, static, "/s")
    plain = await ask(app, "/s/app.css", method=method)
    assert (await ask(app, "/s/app.css", framing, method=method)).messages == plain.messages
    missing = await ask(app, "/s/missing", framing, method=method)
    assert (missing.status, missing.body) == (299, f"{method} /s/missing ".encode())


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        pytest.param("/app/s/app.css", "/app", id="the path has the root_path"),
        pytest.param("/s/app.css", "/app", id="a proxy cut it off"),
        pytest.param("/s/app.css", "", id="there is none"),
    ],
)
async def test_a_prefix_is_below_the_root_path(
    static: StaticFiles, path: str, root_path: str
) -> None:
    reply = await ask(StaticMiddleware(echo, static, "/s/"), path, root_path=root_path)
    assert reply.body == b"a{}"


@pytest.mark.parametrize("prefix", ["static", "/a//b", "/a?b", "/a#b"])
def test_a_prefix_that_is_no_path_is_refused(static: StaticFiles, prefix: str) -> None:
    with pytest.raises(SettingsError, match="a path such as /static"):
        StaticMiddleware(echo, static, prefix)


def test_a_wsgi_app_is_refused(root: Path) -> None:
    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        raise NotImplementedError

    with pytest.raises(SettingsError, match="AsyncioWSGIMiddleware"):
        StaticMiddleware(wsgi, root)


def test_no_roots_at_all_are_refused() -> None:
    with pytest.raises(SettingsError, match="at least one"):
        StaticMiddleware(echo, {})
