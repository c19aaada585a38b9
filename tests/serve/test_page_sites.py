"""Pages of whole sites: several roots, redirects of the site, and proxies in front."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asyncstatic import Redirect, Settings, StaticFiles, StaticMiddleware
from tests.asgi import ask
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


async def test_a_redirect_knows_the_path_that_a_proxy_removed(tmp_path: Path) -> None:
    static = await asyncio.to_thread(
        lambda: StaticFiles(tmp_path, redirects=[Redirect("/a", "/b")])
    )
    reply = await ask(static, "/a", root_path="/prefix")
    assert reply.headers["location"] == "/prefix/b"
