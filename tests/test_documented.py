"""What Starlette and Quart document of static files holds for us: both are asked the same.

Each row is one documented behaviour. Where RFC 9110 asks for something else, the row says what we
answer, and docs/frameworks.md says why.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import quart
import starlette.staticfiles
from quart import Blueprint, Quart, Response, url_for
from starlette.applications import Starlette
from starlette.routing import Mount

import asyncstatic
from asyncstatic import AsyncStatic, SettingsError, StaticFiles
from tests.asgi import Reply, ask
from tests.support.site import write_site

PAGE = b"<h1>Custom not found page</h1>"
CSS = b"a{color:red}"
FILES = {
    "static/app.css": CSS,
    "static/404.html": PAGE,
    "static/docs/index.html": b"<h1>Hello</h1>",
    "static/bare/a.txt": b"a",
    "static/.hidden": b"hidden",
    "outside/secret.txt": b"SECRET",
    "admin/files/b.css": b"b{}",
    "own.txt": b"own",
}
OLD = 1_381_440_000  # Thu, 10 Oct 2013


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = write_site(tmp_path_factory.mktemp("documented"), FILES)
    os.utime(place / "static" / "app.css", (OLD, OLD))
    (place / "static" / "out.txt").symlink_to(place / "outside" / "secret.txt")
    (place / "static" / "outdir").symlink_to(place / "outside")
    return place


async def build(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Apps are made before the loop runs; here a thread stands for that."""
    return await asyncio.to_thread(make, *args, **options)


# -- Starlette -------------------------------------------------------------------------------------

DATE = "Thu, 10 Oct 2013 21:20:00 GMT"
STARLETTE = [
    # html, target, fields of the request -> status, content; a set: theirs, then ours
    pytest.param(False, "GET", "/app.css", {}, 200, CSS, id="a file of the directory"),
    pytest.param(False, "HEAD", "/app.css", {}, 200, b"", id="HEAD"),
    pytest.param(False, "POST", "/app.css", {}, 405, None, id="405 for other methods"),
    pytest.param(False, "GET", "/404.txt", {}, 404, None, id="404 for what does not match"),
    pytest.param(False, "GET", "/docs/", {}, 404, None, id="no index without html"),
    pytest.param(False, "GET", "/", {}, 404, None, id="a directory"),
    pytest.param(False, "GET", "/foo/app.css", {}, 404, None, id="a directory that is missing"),
    pytest.param(False, "GET", "/app.css/foo", {}, 404, None, id="a file as a directory"),
    pytest.param(False, "GET", "/" + "x" * 300, {}, 404, None, id="a name that is too long"),
    pytest.param(False, "GET", "/out.txt", {}, 404, None, id="a link out of the directory"),
    pytest.param(False, "GET", "/outdir/secret.txt", {}, 404, None, id="a link to a directory"),
    pytest.param(False, "GET", "/.hidden", {}, (200, 404), None, id="a hidden file"),
    pytest.param(False, "GET", "/%2e%2e/own.txt", {}, (404, 400), None, id="outside"),
    pytest.param(True, "GET", "/docs/", {}, 200, b"<h1>Hello</h1>", id="html: index.html"),
    pytest.param(True, "GET", "/docs/index.html", {}, 200, b"<h1>Hello</h1>", id="html: by name"),
    pytest.param(True, "GET", "/docs", {}, (307, 301), None, id="html: redirect to the slash"),
    pytest.param(True, "GET", "/missing", {}, 404, PAGE, id="html: 404.html"),
    pytest.param(True, "GET", "/bare/", {}, 404, PAGE, id="html: a directory without an index"),
    pytest.param(True, "GET", "/bare", {}, 404, PAGE, id="html: the same without its slash"),
    pytest.param(
        *(True, "GET", "/gone.html", {"if-modified-since": DATE}, 404, PAGE),
        id="html: 404.html is never 304",
    ),
    pytest.param(False, "GET", "/app.css", {"if-none-match": "{etag}"}, 304, b"", id="ETag"),
    pytest.param(False, "GET", "/app.css", {"if-none-match": "W/{etag}"}, 304, b"", id="weak ETag"),
    pytest.param(
        False, "GET", "/app.css", {"if-none-match": '"x", {etag}'}, 304, b"", id="several ETags"
    ),
    pytest.param(False, "GET", "/app.css", {"if-none-match": "*"}, 304, b"", id="any ETag"),
    pytest.param(False, "GET", "/app.css", {"if-none-match": '"x"'}, 200, CSS, id="another ETag"),
    pytest.param(
        False, "GET", "/app.css", {"if-modified-since": "{date}"}, 304, b"", id="same date"
    ),
    pytest.param(
        *(False, "GET", "/app.css", {"if-modified-since": "Mon, 20 Feb 2012 15:30:19 GMT"}),
        *(200, CSS),
        id="earlier date",
    ),
    pytest.param(False, "GET", "/app.css", {"range": "bytes=0-2"}, 206, CSS[:3], id="a range"),
    pytest.param(False, "GET", "/app.css", {"range": "bytes=-2"}, 206, CSS[-2:], id="a suffix"),
    pytest.param(False, "GET", "/app.css", {"range": "bytes=99-"}, 416, None, id="no such range"),
    pytest.param(
        False, "GET", "/app.css", {"range": "bytes=0-0,4-5"}, 206, None, id="several ranges"
    ),
    pytest.param(
        *(False, "GET", "/app.css", {"range": "bytes=0-2", "if-range": "{etag}"}),
        *(206, CSS[:3]),
        id="If-Range",
    ),
    pytest.param(
        *(False, "GET", "/app.css", {"range": "bytes=0-2", "if-range": '"x"'}, 200, CSS),
        id="If-Range of another version",
    ),
    pytest.param(
        False, "GET", "/app.css", {"range": "bytes=x"}, (400, 200), None, id="a malformed range"
    ),
]


@pytest.mark.parametrize(("html", "method", "target", "headers", "status", "content"), STARLETTE)
@pytest.mark.parametrize("whose", ["theirs", "ours"])
async def test_starlettes_static_files(
    place: Path,
    whose: str,
    html: bool,
    method: str,
    target: str,
    headers: dict[str, str],
    status: int | tuple[int, int],
    content: bytes | None,
) -> None:
    kind: Any = {"theirs": starlette.staticfiles.StaticFiles, "ours": StaticFiles}[whose]
    static = await build(kind, directory=place / "static", html=html)
    app = Starlette(routes=[Mount("/static", static)])
    first = await ask(app, "/static/app.css")
    known = {"etag": first.headers["etag"], "date": first.headers["last-modified"]}
    filled = {name: value.format(**known) for name, value in headers.items()}
    reply = await ask(app, f"/static{target}", filled, method=method)
    expected = (status, status) if isinstance(status, int) else status
    assert reply.status == expected[whose == "ours"]
    assert content is None or reply.body == content


async def test_how_long_a_file_may_be_kept_is_said(place: Path) -> None:
    """Starlette leaves it to the browser's guess, Quart says 12 hours; we: ask."""
    bare = await build(starlette.staticfiles.StaticFiles, directory=place / "static")
    assert "cache-control" not in (await ask(bare, "/app.css")).headers
    for whose, value in {"theirs": "public, max-age=43200", "ours": "no-cache"}.items():
        app = await build(static_app, place, whose)
        assert (await ask(app, "/static/app.css")).headers["cache-control"] == value


@pytest.mark.parametrize("kind", [starlette.staticfiles.StaticFiles, StaticFiles])
async def test_starlettes_follow_symlink_leads_out(place: Path, kind: Any) -> None:
    static = await build(kind, directory=place / "static", follow_symlink=True)
    assert (await ask(static, "/out.txt")).body == b"SECRET"
    assert (await ask(static, "/outdir/secret.txt")).body == b"SECRET"


@pytest.mark.parametrize("kind", [starlette.staticfiles.StaticFiles, StaticFiles])
def test_starlettes_check_dir_tells_at_once(tmp_path: Path, kind: Any) -> None:
    with pytest.raises((RuntimeError, SettingsError), match="does not exist"):
        kind(directory=tmp_path / "no_such_directory")


@pytest.mark.parametrize("kind", [starlette.staticfiles.StaticFiles, StaticFiles])
async def test_starlettes_url_path_for_a_mounted_file(place: Path, kind: Any) -> None:
    static = await build(kind, directory=place / "static")
    app = Starlette(routes=[Mount("/static", static, name="static")])
    assert app.url_path_for("static", path="/app.css") == "/static/app.css"


# -- Quart's static folder -------------------------------------------------------------------------


def static_app(place: Path, whose: str, **options: Any) -> Quart:
    """Quart's own static route, by itself or behind ours."""
    config = options.pop("config", {})
    app = Quart("app", root_path=str(place), **{"static_folder": "static", **options})
    app.config.update(config)
    blueprint = Blueprint(
        "admin", "app", root_path=str(place / "admin"), static_folder="files", url_prefix="/admin"
    )
    if "static_host" not in options:
        app.register_blueprint(blueprint)
    if whose == "ours":
        AsyncStatic(app)
    return app


both = pytest.mark.parametrize("whose", ["theirs", "ours"])
QUART = [
    pytest.param("GET", "/static/app.css", {}, 200, CSS, id="a file of static_folder"),
    pytest.param("HEAD", "/static/app.css", {}, 200, None, id="HEAD"),
    pytest.param("GET", "/static/docs/index.html", {}, 200, b"<h1>Hello</h1>", id="deeper"),
    pytest.param("GET", "/static/missing", {}, 404, None, id="missing"),
    pytest.param("GET", "/static/docs", {}, (404, 301), None, id="a directory"),
    pytest.param("GET", "/static/bare", {}, 404, None, id="a directory without an index"),
    pytest.param("GET", "/static/.hidden", {}, (200, 404), None, id="a hidden file"),
    pytest.param("GET", "/static/out.txt", {}, (200, 404), None, id="a link out of the folder"),
    pytest.param("GET", "/static/%2e%2e/own.txt", {}, (404, 400), None, id="outside"),
    pytest.param("POST", "/static/app.css", {}, 405, None, id="POST"),
    pytest.param("GET", "/admin/files/b.css", {}, 200, b"b{}", id="a blueprint's static folder"),
    pytest.param("GET", "/static/app.css", {"if-none-match": "{etag}"}, 304, b"", id="ETag"),
    pytest.param("GET", "/static/app.css", {"if-modified-since": "{date}"}, 304, b"", id="date"),
    pytest.param("GET", "/static/app.css", {"range": "bytes=0-2"}, 206, CSS[:3], id="a range"),
    pytest.param("GET", "/static/app.css", {"range": "bytes=99-"}, 416, None, id="no such range"),
]


@both
@pytest.mark.parametrize(("method", "target", "headers", "status", "content"), QUART)
async def test_quarts_static_folder(
    place: Path,
    whose: str,
    method: str,
    target: str,
    headers: dict[str, str],
    status: int | tuple[int, int],
    content: bytes | None,
) -> None:
    app = await build(static_app, place, whose)
    first = await ask(app, "/static/app.css")
    known = {"etag": first.headers["etag"], "date": first.headers["last-modified"]}
    filled = {name: value.format(**known) for name, value in headers.items()}
    reply = await ask(app, target, filled, method=method)
    expected = (status, status) if isinstance(status, int) else status
    assert reply.status == expected[whose == "ours"]
    assert content is None or reply.body == content


@both
async def test_quarts_static_url_path_says_where(place: Path, whose: str) -> None:
    app = await build(static_app, place, whose, static_url_path="/files")
    assert (await ask(app, "/files/app.css")).body == CSS
    assert (await ask(app, "/static/app.css")).status == 404


@both
async def test_quarts_url_for_names_the_file(place: Path, whose: str) -> None:
    app = await build(static_app, place, whose)
    async with app.test_request_context("/"):
        assert url_for("static", filename="a b.css") == "/static/a%20b.css"
        assert url_for("admin.static", filename="b.css") == "/admin/files/b.css"


@both
async def test_quarts_static_host_says_for_which_host(place: Path, whose: str) -> None:
    options = {"static_host": "files.example", "host_matching": True}
    app = await build(static_app, place, whose, **options)
    assert (await ask(app, "/static/app.css", {"host": "files.example"})).body == CSS
    assert (await ask(app, "/static/app.css", {"host": "app.example"})).status == 404


def test_an_app_that_matches_hosts_needs_its_route(place: Path) -> None:
    app = Quart("app", root_path=str(place), static_folder=None, host_matching=True)
    with pytest.raises(SettingsError, match="static_host"):
        AsyncStatic(app, "static")


@both
async def test_quarts_send_static_file_answers_from_the_folder(place: Path, whose: str) -> None:
    app: Quart = await build(static_app, place, whose)

    @app.route("/view")
    async def view() -> Response:
        return await app.send_static_file("app.css")

    assert (await ask(app, "/view")).body == CSS


@both
@pytest.mark.parametrize("age", [60, timedelta(minutes=1)])
async def test_quarts_default_age_is_for_all_files(place: Path, whose: str, age: Any) -> None:
    config = {"SEND_FILE_MAX_AGE_DEFAULT": age}
    app = await build(static_app, place, whose, config=config)
    assert "max-age=60" in (await ask(app, "/static/app.css")).headers["cache-control"]


@both
async def test_quarts_error_handlers_answer_for_what_is_missing(place: Path, whose: str) -> None:
    app: Quart = await build(static_app, place, whose)

    @app.errorhandler(404)
    async def own(error: object) -> tuple[str, int]:
        return "our own page", 404

    assert (await ask(app, "/static/missing")).body == b"our own page"


# -- Quart's send_file and send_from_directory -----------------------------------------------------

both_modules = pytest.mark.parametrize("module", [quart, asyncstatic])


async def sent(place: Path, module: Any, what: Any, **options: Any) -> Reply:
    app = Quart("app", root_path=str(place), static_folder=None)

    @app.route("/view")
    async def view() -> Any:
        return await module.send_file(what, **options)

    return await ask(app, "/view")


@both_modules
@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        pytest.param({}, "content-type", "text/plain; charset=utf-8", id="the type by the name"),
        pytest.param({"mimetype": "a/b"}, "content-type", "a/b", id="mimetype"),
        pytest.param({"cache_timeout": 60}, "cache-control", "public, max-age=60", id="timeout"),
        pytest.param({"add_etags": False}, "etag", None, id="add_etags"),
        pytest.param(
            {"last_modified": datetime(2001, 2, 3, tzinfo=UTC)},
            "last-modified",
            "Sat, 03 Feb 2001 00:00:00 GMT",
            id="last_modified",
        ),
    ],
)
async def test_quarts_send_file_takes_its_parameters(
    place: Path, module: Any, options: Any, field: str, value: str | None
) -> None:
    reply = await sent(place, module, place / "own.txt", **options)
    assert (reply.status, reply.body) == (200, b"own")
    assert reply.headers.get(field) == value


@both_modules
@pytest.mark.parametrize(("given", "name"), [(None, "own.txt"), ("x.pdf", "x.pdf")])
async def test_quarts_send_file_names_an_attachment(
    place: Path, module: Any, given: str | None, name: str
) -> None:
    options = {"as_attachment": True, "attachment_filename": given}
    reply = await sent(place, module, place / "own.txt", **options)
    field = reply.headers["content-disposition"].replace('"', "")
    assert field == f"attachment; filename={name}"


@both_modules
async def test_quarts_send_file_takes_bytes_in_a_file(place: Path, module: Any) -> None:
    reply = await sent(place, module, io.BytesIO(b"made"), mimetype="text/plain")
    assert (reply.body, reply.headers["content-length"]) == (b"made", "4")


@both_modules
async def test_quarts_send_file_needs_a_type(place: Path, module: Any) -> None:
    app = Quart("app", root_path=str(place), static_folder=None)
    async with app.test_request_context("/"):
        with pytest.raises(ValueError, match="mimetype"):
            await module.send_file(io.BytesIO(b"made"))


@both_modules
@pytest.mark.parametrize("name", ["missing", "../own.txt", "/etc/passwd", "docs"])
async def test_quarts_send_from_directory_finds_nothing_else(
    place: Path, module: Any, name: str
) -> None:
    app = Quart("app", root_path=str(place), static_folder=None)

    @app.route("/view")
    async def view() -> Any:
        return await module.send_from_directory(place / "static", name)

    assert (await ask(app, "/view")).status in (400, 404)


@both_modules
async def test_quarts_age_may_be_the_apps_to_say(place: Path, module: Any) -> None:
    class Aging(Quart):
        def get_send_file_max_age(self, filename: str | None) -> int | None:
            return 7

    app = Aging("app", root_path=str(place), static_folder=None)

    @app.route("/view")
    async def view() -> Any:
        return await module.send_file(place / "own.txt")

    assert "max-age=7" in (await ask(app, "/view")).headers["cache-control"]
