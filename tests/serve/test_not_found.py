"""`not_found`: a site's own page for what is missing, in every setup."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, Response

from asyncstatic import AsyncStatic, SettingsError, StaticFiles, send_from_directory
from tests.asgi import Reply, ask
from tests.support.servers import Server, serving
from tests.support.site import write_site

PAGE = b"<!doctype html><h1>Not here</h1>" * 20
FILES = {
    "404.html": PAGE,
    "404.html.gz": gzip.compress(PAGE, mtime=0),
    "index.html": b"<p>home",
    "docs/index.html": b"<p>docs",
    "empty/a.txt": b"a",
    "a.txt": b"a",
    "large/404.html": b"x" * 200_000,
    "large/a.txt": b"a",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("missing") / "site", FILES)


async def serve(root: Path, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(
        lambda: StaticFiles(root, **{"not_found": "404.html", **settings})
    )


@pytest.mark.parametrize("cache_bytes", [0, 1_000_000], ids=["no cache", "cached"])
@pytest.mark.parametrize(
    ("target", "status", "content"),
    [
        pytest.param("/missing", 404, PAGE, id="a name"),
        pytest.param("/missing/", 404, PAGE, id="a directory"),
        pytest.param("/a.txt/", 404, PAGE, id="a file as a directory"),
        pytest.param("/docs/missing/deep", 404, PAGE, id="deep"),
        pytest.param("/empty/", 404, PAGE, id="a directory without an index"),
        pytest.param("/404.html", 200, PAGE, id="the page itself"),
        pytest.param("/a.txt", 200, b"a", id="a file"),
        pytest.param("/docs", 301, None, id="a redirect"),
        pytest.param("/%00", 400, None, id="malformed"),
    ],
)
async def test_the_page_is_sent_for_what_is_missing(
    site: Path, cache_bytes: int, target: str, status: int, content: bytes | None
) -> None:
    static = await serve(site, cache_bytes=cache_bytes)
    for _ in range(3):
        reply = await ask(static, target)
        assert reply.status == status
        assert content is None or reply.body == content


def fields(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name != "date"}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"range": "bytes=0-3"}, id="a range"),
        pytest.param({"range": "bytes=999999-"}, id="no such range"),
        pytest.param({"if-none-match": "*"}, id="If-None-Match"),
        pytest.param({"if-match": '"x"'}, id="If-Match"),
        pytest.param({"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}, id="a date"),
    ],
)
async def test_conditions_and_ranges_are_not_about_it(site: Path, headers: dict[str, str]) -> None:
    static = await serve(site)
    plain = await ask(static, "/missing")
    asked = await ask(static, "/missing", headers)
    assert (asked.status, asked.body, fields(asked)) == (404, PAGE, fields(plain))


async def test_its_fields_are_those_of_an_error_page(site: Path) -> None:
    reply = await ask(await serve(site), "/missing")
    assert fields(reply) == {
        "content-length": str(len(PAGE)),
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "vary": "Accept-Encoding",
    }


async def test_scripts_of_other_origins_may_read_it_where_they_may(site: Path) -> None:
    static = await serve(site, cors=("https://a.example",))
    reply = await ask(static, "/missing", {"origin": "https://a.example"})
    assert reply.headers["access-control-allow-origin"] == "https://a.example"
    assert reply.headers["vary"] == "Accept-Encoding, Origin"


async def test_it_is_negotiated_like_any_file(site: Path) -> None:
    reply = await ask(await serve(site), "/missing", {"accept-encoding": "gzip"})
    assert (reply.status, reply.headers["content-encoding"]) == (404, "gzip")
    assert gzip.decompress(reply.body) == PAGE


async def test_head_has_the_same_fields_and_no_content(site: Path) -> None:
    static = await serve(site)
    head = await ask(static, "/missing", method="HEAD")
    assert (head.status, head.body) == (404, b"")
    assert fields(head) == fields(await ask(static, "/missing"))


async def test_a_large_page_is_streamed_and_leaves_no_handle(site: Path) -> None:
    static = await serve(site, not_found="large/404.html", cache_bytes=0)
    assert len((await ask(static, "/missing")).body) == 200_000
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await ask(static, "/missing")
        await ask(static, "/missing", method="HEAD")
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_page_that_is_removed_later_is_replaced_by_ours(tmp_path: Path) -> None:
    write_site(tmp_path, {"404.html": PAGE})
    static = await serve(tmp_path)
    (tmp_path / "404.html").unlink()
    reply = await ask(static, "/missing")
    assert (reply.status, reply.headers["content-type"]) == (404, "text/plain; charset=utf-8")


async def test_the_page_follows_a_change(site: Path, tmp_path: Path) -> None:
    write_site(tmp_path, {"404.html": b"old"})
    static = await serve(tmp_path)
    for content in (b"old", b"new one", b"old"):
        write_site(tmp_path, {"404.html": content})
        for _ in range(3):
            assert (await ask(static, "/missing")).body == content
            assert (await ask(static, "/404.html")).status == 200


@pytest.mark.parametrize("hide", [True, False])
async def test_what_is_hidden_looks_like_what_is_missing(
    tmp_path: Path, hide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_site(tmp_path, {"404.html": PAGE, "closed.txt": b"SECRET"})
    (tmp_path / "closed.txt").chmod(0)
    static = await serve(tmp_path, hide_forbidden=hide)
    closed, missing = await ask(static, "/closed.txt"), await ask(static, "/missing")
    assert closed.status == (404 if hide else 403)
    assert ((closed.body, fields(closed)) == (missing.body, fields(missing))) is hide


async def test_an_app_behind_answers_first(site: Path) -> None:
    app = Quart("app", root_path=str(site), static_folder=None)
    static = await asyncio.to_thread(AsyncStatic, app, ".", not_found="404.html")

    @app.route("/view/<name>")
    async def view(name: str) -> Response:
        return await send_from_directory(static.static, name)

    @app.errorhandler(404)
    async def own(error: object) -> tuple[str, int]:
        return "the app's own", 404

    for target in ("/static/missing", "/view/missing"):
        reply = await ask(app, target)
        assert (reply.status, reply.body) == (404, b"the app's own")


async def test_the_mount_point_without_an_index_gets_the_page(tmp_path: Path) -> None:
    write_site(tmp_path, {"404.html": PAGE})
    static = await serve(tmp_path)
    reply = await ask(static, "/static", root_path="/static")
    assert (reply.status, reply.body) == (404, PAGE)


@pytest.mark.parametrize("name", ["/404.html", "../404.html", "a//b.html", ".hidden", "a\0"])
def test_a_name_outside_is_refused(site: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="a page below the root"):
        StaticFiles(site, not_found=name)


# -- on real servers -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["serve", "serve-no-direct", "hypercorn"])
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[Server]:
    with serving(request.param, site, not_found="404.html") as running:
        yield running


@pytest.mark.parametrize("lines", [(), ("Range: bytes=0-3",), ("If-None-Match: *",)])
def test_every_setup_sends_it(server: Server, lines: tuple[str, ...]) -> None:
    with server.connect() as connection:
        for _ in range(3):
            answer = connection.get("/missing/page", *lines)
            assert (answer.status, answer.content, answer.complete) == (404, PAGE, True)
            assert answer.field("cache-control") == "no-store"
            assert answer.field("etag") is None
        assert connection.get("/missing", method="HEAD").field("content-length") == str(len(PAGE))
        assert connection.get("/404.html").status == 200
