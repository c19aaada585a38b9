"""Everything that is not available gets one answer: hidden, denied, missing, from every entry."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, Response

from asyncstatic import AsyncStatic, StaticFiles, StaticMiddleware, send_from_directory
from asyncstatic.files import kernel
from tests.asgi import Reply, ask
from tests.support.raw import Answer
from tests.support.servers import Server, serving
from tests.support.site import write_site

PAGE = b"<!doctype html><h1>Not here</h1>" * 20
MAP = b'{"version": 3}' * 50
SECRET = b"SECRET" * 100
FILES = {
    "404.html": PAGE,
    "404.html.gz": gzip.compress(PAGE, mtime=0),
    "index.html": b"<p>home",
    "app.js": b"let a = 1\n" * 100,
    "app.js.map": MAP,
    "app.js.map.gz": gzip.compress(MAP, mtime=0),
    "lone.map.gz": gzip.compress(MAP, mtime=0),
    "twice.map.gz.br": b"anything",
    "private/index.html": SECRET,
    "private/key.txt": SECRET,
    "private/a/b": SECRET,
    ".env": SECRET,
    ".git/config": SECRET,
    "docs/.hidden/index.html": SECRET,
}
LINKS = {
    "to_key": "private/key.txt",
    "to_private": "private",
    "to_env": ".env",
    "to_map": "app.js.map.gz",
    "to_outside": "../outside",
}
DENY = ("private/*", "*.map")

#: Targets that must not be told from a missing name.
UNAVAILABLE = [
    "/.env",
    "/.missing",
    "/.git/config",
    "/.git/",
    "/.git",
    "/docs/.hidden/",
    "/docs/.hidden",
    "/%2eenv",
    "/%E2%80%8B.env",
    "/private/key.txt",
    "/private/missing",
    "/private/a/b",
    "/private/",
    "/private",
    "/Private/key.txt",
    "/PRIVATE/KEY.TXT",
    "/PRIVAT~1/KEY.TXT",
    "/private%20/key.txt",
    "/app.js.map",
    "/App.JS.Map",
    "/app.js.map.gz",
    "/app.js.map.br",
    "/app.js.map.gz.br",
    "/lone.map",
    "/lone.map.gz",
    "/twice.map.gz.br",
    "/to_key",
    "/to_private/key.txt",
    "/to_private/",
    "/to_private",
    "/to_env",
    "/to_map",
    "/to_outside",
    "/to_absolute",
    "/app.js/",
    "//app.js",
    "/a//b",
    "/" + "n" * 256,
    "/missing/",
    "/deep/missing",
]
GONE = "removed-later.html"
FIELDS = [
    pytest.param({}, id="plain"),
    pytest.param({"accept-encoding": "gzip"}, id="gzip"),
    pytest.param({"range": "bytes=0-3"}, id="a range"),
    pytest.param({"if-none-match": "*"}, id="If-None-Match"),
    pytest.param({"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}, id="a date"),
    pytest.param({"if-match": '"x"'}, id="If-Match"),
    pytest.param({"accept": "text/html", "origin": "https://a.example"}, id="HTML, an origin"),
]
#: Other statuses are decided before a name is looked at.
OTHERS = [("/%00", 400), ("/..", 400), ("/a%2fb", 400), ("/" + "a" * 9000, 414), ("/./x", 308)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("unavailable")
    site = write_site(base / "site", FILES)
    (base / "outside").write_bytes(SECRET)
    for name, target in LINKS.items():
        (site / name).symlink_to(target)
    (site / "to_absolute").symlink_to(site / "private/key.txt")
    return site


async def serve(root: Path, **settings: Any) -> StaticFiles:
    chosen = {"not_found": "404.html", "deny": DENY, "cors": ("https://a.example",), **settings}
    return await asyncio.to_thread(_open, root, chosen)


def _open(root: Path, settings: dict[str, Any]) -> StaticFiles:
    """Open a root; the page `GONE` exists only until then."""
    page = root / GONE
    page.write_bytes(PAGE)
    try:
        return StaticFiles(root, **settings)
    finally:
        page.unlink()


def told(reply: Reply) -> tuple[int, bytes, dict[str, str]]:
    """All that a client sees, but for the time."""
    return reply.status, reply.body, {k: v for k, v in reply.headers.items() if k != "date"}


@pytest.mark.parametrize("page", ["404.html", GONE, ""], ids=["page", "gone", "ours"])
@pytest.mark.parametrize("settings", [{}, {"cache_bytes": 0}], ids=["cached", "no cache"])
@pytest.mark.parametrize("resolver", ["openat2", "walk"])
@pytest.mark.parametrize("headers", FIELDS)
async def test_nothing_tells_a_hidden_name_from_a_missing_one(
    site: Path, page: str, settings: dict[str, Any], resolver: str, headers: dict[str, str]
) -> None:
    static = await serve(site, not_found=page, resolver=resolver, **settings)
    for method in ("GET", "HEAD"):
        missing = told(await ask(static, "/missing", headers, method=method))
        assert missing[0] == 404
        for target in UNAVAILABLE * 2:
            assert told(await ask(static, target, headers, method=method)) == missing, target
    for target, status in OTHERS:
        assert (await ask(static, target, headers)).status == status
    static.close()


async def test_the_page_may_be_denied_itself(site: Path) -> None:
    """It is sent as the page, and never by its own name."""
    static = await serve(site, deny=(*DENY, "404.html"))
    for _ in range(3):
        for target in ("/missing", "/404.html", "/404.HTML", "/404.html.gz", "/.env"):
            reply = await ask(static, target)
            assert (reply.status, reply.body) == (404, PAGE)


@pytest.mark.parametrize("target", ["/.env", "/private/key.txt", "/app.js.map.gz", "//x"])
async def test_a_denied_name_never_reaches_the_disk(
    site: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = await serve(site, not_found="")

    def looked(*_: object, **__: object) -> int:
        raise AssertionError("the disk was asked")

    for name in ("openat", "openat2", "stat", "lstat"):
        monkeypatch.setattr(kernel, name, looked)
    assert (await ask(static, target)).status == 404


async def test_a_denied_sidecar_is_not_sent_for_its_original(site: Path) -> None:
    static = await serve(site, deny=("*.gz",))
    reply = await ask(static, "/app.js.map", {"accept-encoding": "gzip"})
    assert (reply.status, reply.body, "content-encoding" in reply.headers) == (200, MAP, False)
    assert (await ask(static, "/app.js.map.gz")).status == 404


async def test_what_is_allowed_is_still_served(site: Path) -> None:
    static = await serve(site)
    for name in ("app.js", "index.html"):
        assert (await ask(static, f"/{name}")).body == FILES[name]
    open_root = await serve(site, deny=(), dotfiles=True)
    for name in FILES:
        assert (await ask(open_root, f"/{name}")).body == FILES[name]


async def test_a_pattern_holds_in_every_root_of_an_overlay(site: Path, tmp_path: Path) -> None:
    write_site(tmp_path / "over", {"top.txt": b"top"})
    (tmp_path / "over/link").symlink_to(site / "app.js")
    package = tmp_path / "overlay_package"
    write_site(package, {"__init__.py": b"", "statics/private/key.txt": SECRET, "statics/x": b"x"})
    sys.path.insert(0, str(tmp_path))
    try:
        static = await serve(tmp_path / "over", packages=["overlay_package"], not_found="")
    finally:
        sys.path.remove(str(tmp_path))
    assert [(await ask(static, f"/{name}")).body for name in ("top.txt", "x")] == [b"top", b"x"]
    missing = told(await ask(static, "/missing"))
    for target in ("/private/key.txt", "/PRIVATE/key.txt", "/private/", "/link"):
        assert told(await ask(static, target)) == missing


# -- authorize -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "hide", "status"),
    [
        (True, False, 404),
        (False, False, 403),
        (False, True, 404),
        (404, False, 404),
        (403, True, 403),
        (410, False, 410),
    ],
)
async def test_a_hook_gives_hidden_and_missing_names_one_answer(
    site: Path, verdict: bool | int, hide: bool, status: int
) -> None:
    asked: list[str] = []

    def hook(scope: Any, path: str) -> bool | int:
        asked.append(path)
        return verdict

    static = await serve(site, authorize=hook, hide_forbidden=hide)
    missing = told(await ask(static, "/missing"))
    assert (missing[0], missing[1] == PAGE) == (status, status == 404)
    for target in ("/.env", "/private/key.txt", "/private/", "/app.js.map.gz"):
        assert told(await ask(static, target)) == missing
    assert asked == ["/missing", "/.env", "/private/key.txt", "/private/", "/app.js.map.gz"]
    if verdict is not True:
        assert told(await ask(static, "/app.js")) == missing


async def test_a_path_with_an_empty_name_is_no_question_for_a_hook(site: Path) -> None:
    def hook(scope: Any, path: str) -> bool:
        raise AssertionError(path)

    static = await serve(site, authorize=hook)
    for target in ("//app.js", "/" + "n" * 256):
        assert (await ask(static, target)).body == PAGE


# -- every entry -----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["serve", "serve-no-direct", "hypercorn"])
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[Server]:
    settings = {"not_found": "404.html", "deny": ",".join(DENY)}
    with serving(request.param, site, **settings) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("lines", [(), ("Range: bytes=0-3",), ("Accept-Encoding: gzip",)])
def test_every_server_gives_one_answer(server: Server, method: str, lines: tuple[str, ...]) -> None:
    def seen(answer: Answer) -> tuple[object, ...]:
        names = ("content-type", "content-length", "content-encoding", "cache-control", "vary")
        return answer.status, answer.content, *map(answer.field, names), answer.field("etag")

    with server.connect() as connection:
        missing = seen(connection.get("/missing", *lines, method=method))
        assert missing[0] == 404
        assert method == "HEAD" or len(PAGE) == len(FILES["404.html"])
        for target in UNAVAILABLE * 2:
            assert seen(connection.get(target, *lines, method=method)) == missing, target
        assert connection.get("/missing").content == PAGE
        assert connection.get("/app.js").status == 200


async def starlette(static: StaticFiles) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/static", static)])


async def middleware(static: StaticFiles) -> Any:
    async def app(*_: Any) -> None:
        raise AssertionError("there is no app behind")

    return StaticMiddleware(app, static, "/static", passes_on=lambda: False)


async def quart_view(static: StaticFiles) -> Any:
    app = Quart("view", static_folder=None)

    @app.route("/static/<path:name>")
    async def view(name: str) -> Response:
        return await send_from_directory(static, name)

    return app


async def quart_extension(static: StaticFiles) -> Any:
    app = Quart("extension", root_path=static.root, static_folder=None)
    await asyncio.to_thread(AsyncStatic, app, ".", not_found="404.html", deny=DENY)
    return app


@pytest.mark.parametrize(
    ("build", "own_page"),
    [(starlette, True), (middleware, True), (quart_view, False), (quart_extension, False)],
)
async def test_every_app_gives_one_answer(site: Path, build: Any, own_page: bool) -> None:
    app = await build(await serve(site))
    missing = told(await ask(app, "/static/missing"))
    assert (missing[0], missing[1] == PAGE) == (404, own_page)
    for target in UNAVAILABLE:
        if "//" in target and build in (quart_view, quart_extension):
            continue  # Quart's router merges slashes by a redirect, for every name
        if target.endswith("/") and build is quart_view:
            continue
        assert told(await ask(app, "/static" + target)) == missing, target
    assert (await ask(app, "/static/app.js")).status == 200


# -- a file system that ignores case ---------------------------------------------------------------


def present_name(directory: str, name: str) -> str:
    """The name that a directory has for another spelling of it."""
    found = [entry for entry in os.listdir(directory) if entry.casefold() == name.casefold()]
    return found[0] if found else name


def present_path(directory: str, path: str) -> str:
    names: list[str] = []
    for name in path.split("/"):
        above = os.path.join(directory, *names)
        names.append(present_name(above, name) if os.path.isdir(above) else name)
    return "/".join(names)


@pytest.fixture
def ignoring_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every directory ignores case: a stand-in for macOS, Windows, FAT and ext4's casefold."""
    openat2, openat, stat = kernel.openat2, kernel.openat, kernel.stat
    lstat_at = kernel.lstat_at

    def folded(dir_fd: int, path: bytes) -> bytes:
        return os.fsencode(present_path(os.readlink(f"/proc/self/fd/{dir_fd}"), path.decode()))

    def openat2_(dir_fd: int, path: bytes, flags: int, resolve: int) -> int:
        if resolve & kernel.RESOLVE_CACHED:
            raise BlockingIOError(errno.EAGAIN, "not in the cache")
        return openat2(dir_fd, folded(dir_fd, path), flags, resolve)

    def openat_(dir_fd: int, name: bytes, flags: int) -> int:
        return openat(dir_fd, folded(dir_fd, name), flags)

    def stat_(path: Any) -> os.stat_result:
        return stat("/" + present_path("/", os.fspath(path)[1:]) if str(path)[:1] == "/" else path)

    def lstat_at_(dir_fd: int, name: str) -> os.stat_result:
        return lstat_at(dir_fd, os.fsdecode(folded(dir_fd, os.fsencode(name))))

    monkeypatch.setattr(kernel, "lstat_at", lstat_at_)
    monkeypatch.setattr(kernel, "openat2", openat2_)
    monkeypatch.setattr(kernel, "openat", openat_)
    monkeypatch.setattr(kernel, "stat", stat_)


@pytest.mark.usefixtures("ignoring_case")
@pytest.mark.parametrize("resolver", ["openat2", "walk"])
async def test_a_file_system_that_ignores_case_does_not_open_what_is_denied(
    site: Path, resolver: str
) -> None:
    # Without a cache, every look at the disk is a thread's: the stand-in may block.
    everything = await serve(site, deny=(), resolver=resolver, cache_bytes=0)
    guarded = await serve(site, resolver=resolver, cache_bytes=0)
    for target in ("/PRIVATE/key.TXT", "/App.JS.Map", "/app.js.MAP.GZ"):
        assert (await ask(everything, target)).status == 200, "the stand-in ignores case"
        assert (await ask(guarded, target)).body == PAGE
    assert (await ask(guarded, "/APP.JS")).status == 200


async def unreachable(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the roots answer")


@pytest.mark.usefixtures("ignoring_case")
@pytest.mark.parametrize("exclusive", [True, False])
async def test_a_closed_mount_is_not_opened_by_another_spelling_of_its_prefix(
    site: Path, exclusive: bool
) -> None:
    """Where both serve the same files: the root around it does not take them for its own."""
    common = {"cache_bytes": 0, "not_found": "**/404.html", "listing": True, "listing_zip": "1MB"}
    closed = {**common, "root": site / "private", "deny_from": "*"}
    mounts = {"/private": closed, "": {**common, "root": site}}

    app = await asyncio.to_thread(
        lambda: StaticMiddleware(unreachable, mounts, passes_on=lambda: False, exclusive=exclusive)
    )
    around = await serve(site, deny=(), cache_bytes=0)
    missing = told(await ask(app, "/missing"))
    for spelled in ("Private", "PRIVATE", "%50rivate"):
        assert (await ask(around, f"/{spelled}/key.txt")).status == 200, "the stand-in ignores case"
        for rest in ("", "/", "/key.txt", "/KEY.txt", "/a/b", "/missing", "/?zip"):
            assert told(await ask(app, f"/{spelled}{rest}")) == missing, spelled + rest
    assert (await ask(app, "/private/key.txt")).status == 403
    assert (await ask(app, "/APP.JS")).status == 200


async def test_a_zip_has_nothing_of_a_closed_mount_under_another_spelling(tmp_path: Path) -> None:
    write_site(tmp_path, {"Private/key": SECRET, "a": b"a"})
    opened = {"root": tmp_path, "listing": True, "listing_zip": "1MB"}
    closed = {"root": tmp_path / "Private", "rate_limit": "1/h"}
    mounts = {"/private": closed, "": opened}
    app = await asyncio.to_thread(lambda: StaticMiddleware(unreachable, mounts))
    body = (await ask(app, "/?zip")).body
    assert b"Private" not in body
