"""One process serves several roots, each below its prefix."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncstatic import Settings, SettingsError, StaticMiddleware, create_app
from asyncstatic.serve.process.sandbox import version as landlock_version
from tests.asgi import ask
from tests.support.servers import Server, running
from tests.support.site import write_site

RUN = """
import json, sys
from asyncstatic import Settings, create_app
from asyncstatic.serve.process.options import Options
from asyncstatic.serve.process.run import run
from asyncstatic.serve.process.target import Folders

port, options, mounts = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
mounts = {prefix: Settings(root) for prefix, root in mounts.items()}
run(Folders(create_app, mounts), Options(bind=("127.0.0.1:" + port,), **options), print)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_site(tmp_path, {"site/a.txt": b"site", "media/b.txt": b"media"})


ORDERS = [["", "/media"], ["/media", ""]]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("kind", [Settings, str])
async def test_an_app_serves_each_root_below_its_prefix(
    place: Path, order: list[str], kind: Callable[[str], Any]
) -> None:
    roots = {"": str(place / "site"), "/media": str(place / "media")}
    mounts = {prefix: kind(roots[prefix]) for prefix in order}
    app = await asyncio.to_thread(create_app, mounts)
    assert (await ask(app, "/a.txt")).body == b"site"
    assert (await ask(app, "/media/b.txt")).body == b"media"
    assert (await ask(app, "/media/a.txt")).status == 404


async def app_behind(scope: Any, receive: Any, send: Any) -> None:
    status = 200 if scope["path"].endswith("/view") else 404
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"app"})


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("target", ["file", "old", "page", "view", "a.txt"])
async def test_an_exclusive_root_passes_on_to_the_app_and_to_no_other_root(
    place: Path, order: list[str], target: str
) -> None:
    """Not to its files, its redirects or its shell."""
    write_site(place, {"site/index.html": b"shell", "site/media/file": b"hidden"})
    around = {"root": place / "site", "spa": True, "redirects": [("/media/old", "/a.txt")]}
    roots: dict[str, Any] = {"": around, "/media": place / "media"}
    mounts = {prefix: roots[prefix] for prefix in order}
    app = await asyncio.to_thread(lambda: StaticMiddleware(app_behind, mounts, exclusive=True))
    reply = await ask(app, f"/media/{target}", {"accept": "text/html"})
    assert reply.body == b"app"
    assert (await ask(app, "/media/b.txt")).body == b"media"
    assert (await ask(app, "/a.txt")).body == b"site"
    assert (await ask(app, "/other", {"accept": "text/html"})).body == b"shell"


async def test_a_closed_root_protects_the_app_below_an_exclusive_one_too(place: Path) -> None:
    mounts: dict[str, Any] = {
        "": {"root": place / "site", "deny_from": "*"},
        "/media": place / "media",
    }
    app = await asyncio.to_thread(lambda: StaticMiddleware(app_behind, mounts, exclusive=True))
    assert (await ask(app, "/media/view")).status == 403
    assert (await ask(app, "/media/b.txt")).body == b"media"


@contextmanager
def process(place: Path, order: list[str], **options: bool) -> Iterator[Server]:
    roots = {"": str(place / "site"), "/media": str(place / "media")}
    mounts = {prefix: roots[prefix] for prefix in order}
    with running(["-c", RUN, "{port}", json.dumps(options), json.dumps(mounts)], {}) as server:
        yield server


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_the_process_serves_each_root_below_its_prefix(place: Path, order: list[str]) -> None:
    with process(place, order) as server:
        assert server.fetch("/a.txt").content == b"site"
        assert server.fetch("/media/b.txt").content == b"media"
        assert server.fetch("/media/a.txt").status == 404
        assert f"/media={place}/media" in server.log


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_a_sandbox_holds_every_root(place: Path) -> None:
    with process(place, ["/media", ""], sandbox=True) as server:
        assert server.fetch("/a.txt").content == b"site"
        assert server.fetch("/media/b.txt").content == b"media"


def test_a_change_in_any_root_reloads_the_documents(place: Path) -> None:
    pytest.importorskip("watchfiles")
    with process(place, ["/media", ""], reload=True) as server:
        for changed in ("site/new.txt", "media/new.txt"):
            before = server.fetch("/.asyncstatic/version").content
            deadline = time.monotonic() + 30
            while server.fetch("/.asyncstatic/version").content == before:
                assert time.monotonic() < deadline, changed
                (place / changed).write_text("new")
                time.sleep(0.1)


@pytest.mark.parametrize(
    ("mounts", "options", "says"),
    [
        ({}, {}, "name at least one directory"),
        ({"media": "."}, {}, "a path such as /static"),
        ({"": "."}, {"dotfiles": True}, "dotfiles= is ignored beside a mapping object"),
        ({"": "."}, {"root": "."}, "root= is ignored beside a mapping object"),
    ],
)
def test_a_wrong_mapping_is_refused(
    mounts: dict[str, str], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        create_app(mounts, **options)


# -- requests that belong to no root ---------------------------------------------------------------


@pytest.mark.parametrize("views", [False, True], ids=["no view", "a view"])
async def test_a_view_that_is_added_answers_what_belongs_to_no_root(
    place: Path, views: bool
) -> None:
    app = await asyncio.to_thread(create_app, {"/media": str(place / "media")})
    if views:
        app.add_url_rule("/hello", "hello", lambda: "hello")
    reply = await ask(app, "/hello")
    assert (reply.status, reply.body == b"hello") == ((200, True) if views else (404, False))
    assert reply.headers.get("cache-control") == (None if views else "no-store")
    assert (await ask(app, "/media/b.txt")).body == b"media"


OUTSIDE: dict[str, tuple[bytes, int]] = {
    "a missing name": (b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "HEAD": (b"HEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "the path in front of a prefix": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "another spelling of a prefix": (b"GET //media/b.txt HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "no path": (b"GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "no slash": (b"GET media HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an invalid host": (b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "a post to an invalid host": (b"POST /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "a target without a meaning": (b"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "options of the server": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204),
    "a post": (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", 405),
    "an unknown method": (b"BREW /a HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "two lengths": (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
}


@pytest.fixture(scope="module")
def below_media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = write_site(tmp_path_factory.mktemp("media"), {"b.txt": b"media"})
    arguments = ["serve", f"/media={root}", "--bind", "127.0.0.1:{port}"]
    with running(["-m", "asyncstatic", *arguments], {}) as server:
        yield server


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_belongs_to_no_root_is_answered_as_a_root_would(
    below_media: Server, name: str
) -> None:
    """RFC 9110 §9.1, RFC 9112 §3.2, §6.1; and no cache may store it."""
    sent, status = OUTSIDE[name]
    method = sent.split(b" ")[0].decode()
    with below_media.connect() as connection:
        connection.send(sent)
        answer = connection.read(method)
        assert (answer.status, answer.complete) == (status, True)
        assert answer.field("cache-control") == (None if status == 204 else "no-store")
        assert (answer.field("allow") is not None) == (status in (204, 405))
        if answer.field("connection") != "close":
            assert connection.get("/media/b.txt").content == b"media"
    assert "Traceback" not in below_media.log
