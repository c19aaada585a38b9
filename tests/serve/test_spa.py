"""`spa` and `error_pages`: the pages of a site for names that are missing, through every entry."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from asyncstatic import AsyncStatic, SettingsError, StaticFiles, StaticMiddleware
from tests.asgi import Reply, ask
from tests.serve.inside import Inside, serving_inside
from tests.support.servers import Server, serving
from tests.support.site import write_site

SHELL = b"<!doctype html><div id=app></div>" * 20
FILES = {
    "index.html": SHELL,
    "index.html.gz": gzip.compress(SHELL, mtime=0),
    "404.html": b"<p>not here",
    "403.html": b"<p>closed",
    "docs/404.html": b"<p>no such chapter",
    "docs/deep/a.txt": b"a",
    "docs/index.html": b"<p>docs",
    "assets/app-3f9c2a71.js": b"app()",
    "a.txt": b"a",
    ".env": b"SECRET",
    ".git/404.html": b"SECRET",
}
PAGE = {"accept": "text/html,*/*;q=0.8", "sec-fetch-dest": "document"}
SCRIPT = {"accept": "*/*", "sec-fetch-dest": "script"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("spa") / "site", FILES)


async def serve(root: Path, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(lambda: StaticFiles(root, **{"spa": True, **settings}))


def fields(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name != "date"}


# -- the shell ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache_bytes", [0, 1_000_000], ids=["no cache", "cached"])
@pytest.mark.parametrize(
    ("target", "headers", "status", "content"),
    [
        pytest.param("/users/7", PAGE, 200, SHELL, id="a deep link"),
        pytest.param("/users/7/", PAGE, 200, SHELL, id="with a slash"),
        pytest.param("/users?tab=1", PAGE, 200, SHELL, id="with a query"),
        pytest.param("/assets/", PAGE, 200, SHELL, id="a directory without an index"),
        pytest.param("/users/7", {}, 404, None, id="a program"),
        pytest.param("/users/7", SCRIPT, 404, None, id="a script"),
        pytest.param("/assets/app-00000000.js", PAGE, 404, None, id="an old asset"),
        pytest.param("/assets/app-3f9c2a71.js", PAGE, 200, b"app()", id="an asset"),
        pytest.param("/docs/", PAGE, 200, b"<p>docs", id="a page of its own"),
        pytest.param("/docs", PAGE, 301, None, id="a directory without its slash"),
        pytest.param("/a.txt", PAGE, 200, b"a", id="a file"),
        pytest.param("/", {}, 200, SHELL, id="the shell's own URL"),
        pytest.param("/packages/a%2Fb", PAGE, 200, SHELL, id="a slash in a parameter"),
        pytest.param("/packages/a%2Fb", SCRIPT, 400, None, id="a script with an encoded slash"),
        pytest.param("/assets%2Fapp-3f9c2a71.js", PAGE, 400, None, id="an asset, encoded"),
        pytest.param("/%00", PAGE, 400, None, id="malformed"),
    ],
)
async def test_the_shell_answers_navigations_to_missing_names(
    site: Path,
    cache_bytes: int,
    target: str,
    headers: dict[str, str],
    status: int,
    content: bytes | None,
) -> None:
    static = await serve(site, cache_bytes=cache_bytes)
    for _ in range(3):
        reply = await ask(static, target, headers)
        assert reply.status == status
        assert content is None or reply.body == content


async def test_hidden_and_denied_names_look_like_missing_ones(site: Path) -> None:
    static = await serve(site, deny="private")
    for missing, hidden in (
        ("/nothing", "/private"),
        ("/nothing/x", "/.git/x"),
        ("/.nothing", "/.env"),
        ("/nothing.txt", "/private/a.txt"),
    ):
        one, other = await ask(static, missing, PAGE), await ask(static, hidden, PAGE)
        assert (one.status, one.body, fields(one)) == (other.status, other.body, fields(other))


async def test_the_shell_has_its_own_tag_and_is_asked_about_each_time(site: Path) -> None:
    static = await serve(site, cache_control="public, max-age=3600")
    shell, own = await ask(static, "/deep/link", PAGE), await ask(static, "/")
    assert shell.headers["etag"] == own.headers["etag"]
    assert shell.headers["cache-control"] == own.headers["cache-control"] == "no-cache"
    assert shell.headers["vary"] == "Accept-Encoding, Sec-Fetch-Dest, Sec-Fetch-Mode, Accept"
    again = await ask(static, "/deep/link", {**PAGE, "if-none-match": shell.headers["etag"]})
    assert (again.status, again.headers["vary"]) == (304, shell.headers["vary"])
    head = await ask(static, "/deep/link", PAGE, method="HEAD")
    assert (head.status, head.body, fields(head)) == (200, b"", fields(shell))
    small = await ask(static, "/deep/link", {**PAGE, "accept-encoding": "gzip"})
    assert gzip.decompress(small.body) == SHELL


async def test_the_shell_follows_a_deploy(tmp_path: Path) -> None:
    write_site(tmp_path, {"shell.html": b"old"})
    static = await serve(tmp_path, spa="shell.html")
    assert (await ask(static, "/x", PAGE)).body == b"old"
    write_site(tmp_path, {"shell.html": b"new", "y": b"a file"})
    assert (await ask(static, "/x", PAGE)).body == b"new"
    assert (await ask(static, "/y", PAGE)).body == b"a file"
    (tmp_path / "shell.html").unlink()
    assert (await ask(static, "/x", PAGE)).status == 404


async def test_the_mount_point_leads_to_the_shell(tmp_path: Path) -> None:
    write_site(tmp_path, {"shell.html": b"shell"})
    static = await serve(tmp_path, spa="shell.html")
    reply = await ask(static, "/app", PAGE, root_path="/app")
    assert (reply.status, reply.headers["location"]) == (301, "./app/")
    assert (await ask(static, "/app/", PAGE, root_path="/app")).body == b"shell"
    assert (await ask(static, "/app/x", PAGE, root_path="/app")).body == b"shell"
    assert (await ask(static, "/apple", PAGE, root_path="/app")).status == 404


async def test_a_refused_request_never_gets_the_shell(site: Path) -> None:
    static = await asyncio.to_thread(
        lambda: StaticFiles(site, spa=True, authorize=lambda scope, path: path == "/open" or 404)
    )
    assert (await ask(static, "/closed", PAGE)).status == 404
    assert (await ask(static, "/open", PAGE)).body == SHELL
    assert (await ask(static, "/" + "x" * 300, PAGE)).status == 404
    assert (await ask(static, "/closed%2Fopen", PAGE)).status == 404


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"spa": "shell.html"}, "spa='shell.html': .* has no such page"),
        ({"error_pages": {503: "busy.html"}}, "error_pages=.*has no such page busy.html"),
    ],
)
def test_a_page_that_is_missing_is_refused_at_the_start(
    site: Path, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        StaticFiles(site, **settings)


# -- in front of an app --------------------------------------------------------------------------------


def app_behind() -> Quart:
    app = Quart("app", static_folder=None)

    @app.route("/login")
    async def login() -> str:
        return "the app's own page"

    @app.errorhandler(404)
    async def missing(error: object) -> tuple[str, int]:
        return "the app's own 404", 404

    return app


async def test_the_app_answers_before_the_shell(site: Path) -> None:
    app = app_behind()
    await asyncio.to_thread(AsyncStatic, app, str(site), "", spa=True)
    for target, headers, status, content in (
        ("/login", PAGE, 200, b"the app's own page"),
        ("/users/7", PAGE, 200, SHELL),
        ("/packages/a%2Fb", PAGE, 200, SHELL),
        ("/users/7", SCRIPT, 404, b"the app's own 404"),
        ("/old.js", PAGE, 404, b"the app's own 404"),
        ("/a.txt", PAGE, 200, b"a"),
    ):
        reply = await ask(app, target, headers)
        assert (reply.status, reply.body) == (status, content)
        starts = [one for one in reply.messages if one["type"] == "http.response.start"]
        assert len(starts) == 1


async def test_a_shell_does_not_hide_the_root_behind_it(site: Path, tmp_path: Path) -> None:
    write_site(tmp_path, {"manual/page": b"manual"})
    app = await asyncio.to_thread(
        lambda: StaticMiddleware(app_behind(), {"": StaticFiles(site, spa=True), "/more": tmp_path})
    )
    assert (await ask(app, "/more/manual/page", PAGE)).body == b"manual"
    assert (await ask(app, "/more/nothing", PAGE)).body == SHELL


# -- error pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("/nothing", b"<p>not here"),
        ("/docs/nothing", b"<p>no such chapter"),
        ("/docs/nothing/", b"<p>no such chapter"),
        ("/docs/deep/nothing", b"<p>no such chapter"),
        ("/docs/not/there/at/all", b"<p>no such chapter"),
        ("/a.txt/x", b"<p>not here"),
        ("/.git/x", b"<p>not here"),
        ("/docs/" + "x/" * 100, b"<p>no such chapter"),
        ("/" + "x" * 300, b"<p>not here"),
    ],
)
async def test_the_nearest_page_is_sent(site: Path, target: str, content: bytes) -> None:
    static = await serve(site, spa=False, not_found="**/404.html")
    for _ in range(2):
        reply = await ask(static, target)
        assert (reply.status, reply.body) == (404, content)


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_who_is_refused_by_the_hook_sees_no_page_of_a_directory(
    tmp_path: Path, status: int
) -> None:
    """It would tell what is below a directory that the hook protects."""
    write_site(tmp_path, {"e.html": b"the root's", "closed/e.html": b"SECRET", "closed/a": b"a"})
    pages = {status: "**/e.html"}
    static = await serve(tmp_path, spa=False, error_pages=pages, authorize=lambda *_: status)
    for target in ("/closed/a", "/closed/", "/closed/e.html", "/closed/missing", "/.env"):
        reply = await ask(static, target)
        assert (reply.status, reply.body) == (status, b"the root's")


async def test_a_page_by_its_status_counts_more_than_that_of_a_preset(site: Path) -> None:
    static = await serve(site, spa=False, preset="docs", error_pages={404: "a.txt"})
    assert (await ask(static, "/docs/nothing")).body == b"a"


async def test_each_status_has_its_page(tmp_path: Path) -> None:
    pages = {status: f"{status}.html" for status in (403, 404, 410)}
    write_site(tmp_path, {f"{status}.html": b"page %d" % status for status in pages})
    verdicts: dict[str, bool | int] = {"/a": False, "/b": 403, "/c": 404, "/d": 410, "/e": True}
    for hide in (False, True):
        static = await serve(
            tmp_path,
            spa=False,
            error_pages=pages,
            hide_forbidden=hide,
            authorize=lambda scope, name: verdicts[name],
        )
        for path, status in (("/a", 404 if hide else 403), ("/c", 404), ("/d", 410), ("/e", 404)):
            reply = await ask(static, path)
            assert (reply.status, reply.body) == (status, b"page %d" % status)
            assert reply.headers["cache-control"] == "no-store"
        assert (await ask(static, "/b")).status == 403


async def test_a_file_that_may_not_be_read_has_its_page(site: Path, tmp_path: Path) -> None:
    write_site(tmp_path, {"403.html": b"closed", "404.html": b"missing", "a.txt": b"a"})
    (tmp_path / "a.txt").chmod(0)
    pages = {403: "403.html", 404: "404.html"}
    for hide, status, content in ((False, 403, b"closed"), (True, 404, b"missing")):
        static = await serve(tmp_path, spa=False, error_pages=pages, hide_forbidden=hide)
        reply = await ask(static, "/a.txt")
        assert (reply.status, reply.body) == (status, content)


# -- on real servers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["serve", "serve-no-direct", "hypercorn"])
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[Server]:
    with serving(request.param, site, spa="1", error_pages="404=**/404.html") as running:
        yield running


def test_every_entry_sends_shell_and_error_pages(server: Server) -> None:
    page = ("Accept: text/html,*/*;q=0.8", "Sec-Fetch-Dest: document")
    with server.connect() as connection:
        for _ in range(3):
            shell = connection.get("/users/7", *page)
            assert (shell.status, shell.content) == (200, SHELL)
            assert connection.get("/users/7", "Sec-Fetch-Dest: empty", page[0]).status == 404
            assert connection.get("/users/7").content == b"<p>not here"
            assert connection.get("/docs/old.js", *page).content == b"<p>no such chapter"
            tag = f"If-None-Match: {shell.field('etag')}"
            assert connection.get("/users/7", *page, tag).status == 304
            assert connection.get("/", *page).content == SHELL


# -- the direct entry decides as the portable one ----------------------------------------------------------


@pytest.fixture(scope="module")
def pair(site: Path) -> Iterator[tuple[Inside, Inside]]:
    """The same root with the direct entry and without, at an age at which its tags stay."""
    time.sleep(2.5)
    with (
        serving_inside(StaticFiles(site, spa=True, not_found="404.html")) as direct,
        serving_inside(StaticFiles(site, spa=True, not_found="404.html"), direct=False) as portable,
    ):
        yield direct, portable


def test_both_entries_answer_navigations_alike(pair: tuple[Inside, Inside]) -> None:
    targets = (
        "/",
        "/users/7",
        "/users/7/?x",
        "/a.txt",
        "/old.js",
        "/.env",
        "/docs",
        "/docs/x",
        "/a%2Fb",
        "/a%2F..",
    )
    lines = (
        (),
        ("Accept: */*",),
        ("Accept: text/html",),
        ("Sec-Fetch-Dest: document",),
        ("sec-fetch-dest: script", "Accept: text/html"),
        ("SEC-FETCH-DEST:document", "Accept-Encoding: gzip"),
        ("Sec-Fetch-Dest: document", "Sec-Fetch-Dest: script"),
        ("Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: navigate"),
        ("Sec-Fetch-Dest: empty", "sec-fetch-mode:cors"),
        ("Sec-Fetch-Dest: document", "If-None-Match: *"),
        ("Sec-Fetch-Dest: document", "Range: bytes=0-3"),
    )
    with pair[0].connect() as direct, pair[1].connect() as portable:
        for target, extra, method in itertools.product(targets, lines, ("GET", "HEAD")):
            for _ in range(2):  # the second one may be prepared
                ours = direct.get(target, *extra, method=method)
                theirs = portable.get(target, *extra, method=method)
                assert ours.status == theirs.status, (target, extra)
                assert ours.content == theirs.content
                assert {f for f in ours.fields if f[0] != "date"} == {
                    f for f in theirs.fields if f[0] != "date"
                }
