"""Pages of whole sites: several roots, redirects of the site, and proxies in front."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from quart import Quart

from asyncstatic import AsyncStatic, Redirect, Settings, StaticFiles, StaticMiddleware
from tests.asgi import ask
from tests.http.test_redirects import HOSTILE
from tests.serve.inside import serving_inside
from tests.support.raw import Connection
from tests.support.servers import running
from tests.support.site import write_site

TOML = """\
redirects = [
    { from = "/old/*", to = "/new/:splat" },
    { from = "/app/old", to = "/elsewhere", status = 302 },
    { from = "/app", to = "/app/start", status = 302 },
]

[mounts]
"/" = { root = "site", preset = "docs" }
"/app" = { root = "dist", preset = "spa" }
"""
FILES = {
    "site/index.html": b"home",
    "site/about.html": b"about",
    "site/404.html": b"missing",
    "site/sub/404.html": b"missing below",
    "dist/index.html": b"shell",
    "dist/_headers": b"/deep/*\n  X-A: 1\n",
    "asyncstatic.toml": TOML.encode(),
}
PAGE = ("Accept: text/html", "Sec-Fetch-Dest: document")


@pytest.mark.parametrize("direct", [(), ("--no-direct",)], ids=["direct", "portable"])
def test_a_site_from_a_file(tmp_path: Path, direct: tuple[str, ...]) -> None:
    write_site(tmp_path, FILES)
    command = ["-m", "asyncstatic", "serve", "--bind", "127.0.0.1:{port}", *direct]
    with running(command, {}, cwd=str(tmp_path)) as server, server.connect() as connection:
        for _ in range(2):
            assert location(connection, "/old/a?b=1") == (301, "/new/a?b=1")
            assert location(connection, "/app/old") == (302, "/elsewhere")
            assert location(connection, "/app/old/a") == (404, None)
            assert location(connection, "/app") == (302, "/app/start")
            assert location(connection, "/about.html") == (301, "./about")
            assert connection.get("/about").content == b"about"
            assert connection.get("/sub/x").content == b"missing below"
            assert connection.get("/sub/x", *PAGE).status == 404
            assert connection.get("/app/deep/link", *PAGE).content == b"shell"
            assert connection.get("/app/assets/x-12345678.js", *PAGE).status == 404


def location(connection: Connection, target: str) -> tuple[int, str | None]:
    answer = connection.get(target)
    return answer.status, answer.field("location")


async def test_files_of_a_root_have_paths_below_it(tmp_path: Path) -> None:
    files = {"_redirects": b"/a /b\n", "_headers": b"/x\n  X-A: 1\n", "x.txt": b"x", "x": b"x"}
    write_site(tmp_path, files)
    for at in ("", "/app"):
        settings = Settings(tmp_path, netlify_files=True, at=at)
        static = await asyncio.to_thread(StaticFiles, settings)
        app = StaticMiddleware(static, static, "/app")
        assert (await ask(app, "/app/a")).headers["location"] == "/app/b"
        assert (await ask(app, "/app/x")).headers["x-a"] == "1"


def test_both_entries_redirect_hostile_targets_alike(tmp_path: Path) -> None:
    """And never to another host; `tests/http/test_redirects.py` judges the locations."""
    write_site(tmp_path, {"a.txt": b"a"})
    redirects = [Redirect("/old/*", "/:splat"), Redirect("/:a/:b", "https://b.example/:a/:b")]

    def root() -> StaticFiles:
        return StaticFiles(tmp_path, redirects=redirects)

    with (
        serving_inside(root()) as direct,
        serving_inside(root(), direct=False) as portable,
        direct.connect() as ours,
        portable.connect() as theirs,
    ):
        for target in HOSTILE:
            if target.isascii() and b"\t" not in target:
                one, other = ours.get(target.decode()), theirs.get(target.decode())
                assert one.status == other.status, target
                assert one.field("location") == other.field("location")
                assert one.content == other.content


async def test_an_app_behind_a_root_is_redirected_before_it_is_asked(tmp_path: Path) -> None:
    app = Quart("app", static_folder=None)

    @app.route("/static/old/<name>")
    async def old(name: str) -> str:
        return name

    redirects = [Redirect("/old/*", "/new/:splat", 302), Redirect("/away", "https://b.example/")]
    await asyncio.to_thread(AsyncStatic, app, str(tmp_path), "/static", redirects=redirects)
    moved = await ask(app, "/static/old/a?b")
    assert (moved.status, moved.headers["location"]) == (302, "/static/new/a?b")
    assert (await ask(app, "/static/away")).headers["location"] == "https://b.example/"
    assert (await ask(app, "/static/other")).status == 404
    posted = await ask(app, "/static/old/a", method="POST")
    assert posted.status == 405


async def test_a_redirect_knows_the_path_that_a_proxy_removed(tmp_path: Path) -> None:
    static = await asyncio.to_thread(
        lambda: StaticFiles(tmp_path, redirects=[Redirect("/a", "/b")])
    )
    reply = await ask(static, "/a", root_path="/prefix")
    assert reply.headers["location"] == "/prefix/b"
