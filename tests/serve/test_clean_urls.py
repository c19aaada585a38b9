"""`clean_urls` and `trailing_slash`: each page has one URL, and the others lead there."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from quart import Quart, Response

from asyncstatic import (
    AsyncStatic,
    SettingsError,
    StaticFiles,
    StaticMiddleware,
    send_from_directory,
)
from tests.asgi import Reply, ask
from tests.support.servers import Server, serving
from tests.support.site import write_site

FILES = {
    "index.html": b"root",
    "about.html": b"about",
    "about.html.gz": gzip.compress(b"about" * 1, mtime=0),
    "both.html": b"both, the file",
    "both/index.html": b"both, the directory",
    "taken": b"a file without a suffix",
    "taken.html": b"taken",
    "x/index.html": b"x",
    "x/page.html": b"page of x",
    "x/a b.html": b"a space",
    "bare/a.txt": b"a",
    "packed.html.gz": gzip.compress(b"packed", mtime=0),
    "large.html": b"l" * 200_000,
    "..html": b"a dot",
    "app.js": b"js",
    "404.html": b"missing",
}
OLD = 1_600_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = write_site(tmp_path_factory.mktemp("clean") / "site", FILES)
    for path in (*site.rglob("*"), site):
        os.utime(path, (OLD, OLD))
    return site


async def serve(root: Path, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(lambda: StaticFiles(root, **{"clean_urls": True, **settings}))


# target -> status and content or Location, by the policy: auto, always, never.
TABLE: list[tuple[str, Any, Any, Any]] = [
    ("/", b"root", b"root", b"root"),
    ("/index.html", "./", "./", "./"),
    ("/index", "./", "./", "./"),
    ("/index/", "../", "../", "../"),
    ("/about", b"about", "./about/", b"about"),
    ("/about/", "../about", b"about", "../about"),
    ("/about.html", "./about", "./about/", "./about"),
    ("/about.html/", 404, 404, 404),
    ("/about?a=1", b"about", "./about/?a=1", b"about"),
    ("/about.html?a=1", "./about?a=1", "./about/?a=1", "./about?a=1"),
    ("/both", b"both, the file", "./both/", b"both, the file"),
    ("/both/", b"both, the directory", b"both, the directory", "../both"),
    ("/both.html", "./both", b"both, the file", "./both"),
    ("/both/index.html", "./", "./", b"both, the directory"),
    ("/taken", b"a file without a suffix", b"a file without a suffix", b"a file without a suffix"),
    ("/taken.html", b"taken", "./taken/", b"taken"),
    ("/taken/", "../taken", b"taken", "../taken"),
    ("/x", "./x/", "./x/", b"x"),
    ("/x/", b"x", b"x", "../x"),
    ("/x/index.html", "./", "./", "../x"),
    ("/x/index", "./", "./", "../x"),
    ("/x/index/", "../", "../", "../../x"),
    ("/both/index/", "../", "../", "../index"),
    ("/x/page", b"page of x", "./page/", b"page of x"),
    ("/x/page.html", "./page", "./page/", "./page"),
    ("/x/a%20b.html", "./a%20b", "./a%20b/", "./a%20b"),
    ("/x/a%20b", b"a space", "./a%20b/", b"a space"),
    ("/packed", b"packed", "./packed/", b"packed"),
    ("/packed.html", "./packed", "./packed/", "./packed"),
    ("/large", b"l" * 200_000, "./large/", b"l" * 200_000),
    ("/..html", 404, 404, 404),
    ("/app.js", b"js", b"js", b"js"),
    ("/app.js/", 404, 404, 404),
    ("/bare", 404, 404, 404),
    ("/bare/", 404, 404, 404),
    ("/nothing", 404, 404, 404),
    ("/nothing.html", 404, 404, 404),
    ("/nothing/", 404, 404, 404),
]
POLICIES = ("auto", "always", "never")


def outcome(reply: Reply) -> Any:
    """The content of a 200, the Location of a 301, else the status."""
    if reply.status == 200:
        return reply.body
    return reply.headers["location"] if reply.status == 301 else reply.status


@pytest.mark.parametrize("cache_bytes", [0, 1_000_000], ids=["no cache", "cached"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_each_page_has_one_url(site: Path, policy: str, cache_bytes: int) -> None:
    static = await serve(site, trailing_slash=policy, cache_bytes=cache_bytes)
    column = POLICIES.index(policy) + 1
    for row in TABLE:
        for _ in range(2):
            reply = await ask(static, row[0])
            assert outcome(reply) == row[column], (row[0], outcome(reply))


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_redirect_leads_to_a_page_at_once(site: Path, policy: str) -> None:
    static = await serve(site, trailing_slash=policy)
    for target, *_ in TABLE:
        reply = await ask(static, target)
        if reply.status == 301:
            location = urljoin(f"http://a.example{target}", reply.headers["location"])
            assert urlsplit(location).netloc == "a.example"
            path = urlsplit(location).path
            assert (await ask(static, path)).status == 200, (target, path)


@pytest.mark.parametrize("policy", ["always", "never"])
async def test_without_clean_urls_only_directories_follow_the_policy(
    site: Path, policy: str
) -> None:
    static = await serve(site, trailing_slash=policy, clean_urls=False)
    for target, always, never in (
        ("/x", "./x/", b"x"),
        ("/x/", b"x", "../x"),
        ("/x/index.html", b"x", b"x"),
        ("/about", 404, 404),
        ("/about.html", b"about", b"about"),
    ):
        expected = always if policy == "always" else never
        assert outcome(await ask(static, target)) == expected, target


@pytest.mark.parametrize(
    ("settings", "redirects"),
    [
        ({}, [("/x/", "/x")]),
        ({"clean_urls": False}, [("/x/", "/x")]),
        ({"trailing_slash": "never"}, [("/x", "/x/")]),
        ({"trailing_slash": "always"}, [("/about/", "/about")]),
        ({}, [("/about", "/about.html?a#b")]),
        ({}, [("/x/", "/x/index.html")]),
        ({}, [("/", "/index.html")]),
        ({}, [("/x/a%20b", "/x/a%20b.html")]),
        ({}, [("/other", "/none"), ("/x/", "/y"), ("/y", "/x")]),
    ],
)
def test_a_redirect_that_the_policy_leads_back_is_refused(
    site: Path, settings: dict[str, Any], redirects: list[tuple[str, str]]
) -> None:
    settings = {"clean_urls": True, **settings, "redirects": redirects}
    with pytest.raises(SettingsError, match=r"^redirects: .* into a loop with trailing"):
        StaticFiles(site, **settings)


@pytest.mark.parametrize(
    ("settings", "source", "target"),
    [
        ({}, "/about/", "/about"),
        ({}, "/both/", "/both"),
        ({}, "/taken", "/taken.html"),
        ({}, "/none/", "/none"),
        ({}, "/about.html", "/about"),
        ({"deny": "x"}, "/x/", "/x"),
        ({"trailing_slash": "never"}, "/x/", "/x"),
        ({"trailing_slash": "always"}, "/about", "/about/"),
        ({"clean_urls": False}, "/about", "/about.html"),
        ({"clean_urls": False}, "/", "/index.html"),
    ],
)
async def test_a_redirect_that_says_what_the_policy_says_is_followed(
    site: Path, settings: dict[str, Any], source: str, target: str
) -> None:
    app = await serve(site, **settings, redirects=[(source, target)])
    reply = await ask(app, source)
    assert (reply.status, reply.headers["location"]) == (301, target)
    reply = await ask(app, target)
    assert reply.status == (404 if source == "/none/" or "deny" in settings else 200)


async def test_a_denied_or_hidden_name_is_no_clean_url(tmp_path: Path) -> None:
    write_site(tmp_path, {"a.html": b"a", "b.html": b"b", ".c.html": b"c", "d.html": b"d"})
    static = await serve(tmp_path, deny=("a.html", "b"))
    assert [(await ask(static, path)).status for path in ("/a", "/a.html", "/b", "/.c")] == [
        404
    ] * 4
    assert (await ask(static, "/b.html")).body == b"b"
    assert (await ask(static, "/d")).body == b"d"


async def test_other_index_names_have_the_same_rules(tmp_path: Path) -> None:
    write_site(tmp_path, {"x/index.htm": b"first", "x/index.html": b"second"})
    static = await serve(tmp_path, index=("index.htm", "index.html"))
    assert outcome(await ask(static, "/x/index.htm")) == "./"
    assert outcome(await ask(static, "/x/index.html")) == b"second"
    assert outcome(await ask(static, "/x/index")) == b"second"


async def test_fallbacks_are_not_redirected(site: Path) -> None:
    static = await serve(site, not_found="404.html", spa="about.html")
    for _ in range(2):
        missing = await ask(static, "/nothing.js")
        assert (missing.status, missing.body) == (404, b"missing")
        shell = await ask(static, "/deep/link", {"accept": "text/html"})
        assert (shell.status, shell.body) == (200, b"about")
        assert outcome(await ask(static, "/about.html")) == "./about"
        assert outcome(await ask(static, "/404.html")) == "./404"


async def test_conditions_ranges_and_codings_hold_for_a_clean_url(site: Path) -> None:
    static = await serve(site)
    page = await ask(static, "/about")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    again = await ask(static, "/about", {"if-none-match": page.headers["etag"]})
    assert again.status == 304
    assert (await ask(static, "/about", {"range": "bytes=0-1"})).body == b"ab"
    assert (await ask(static, "/packed", {"accept-encoding": "gzip"})).headers[
        "content-encoding"
    ] == "gzip"
    head = await ask(static, "/about.html", method="HEAD")
    assert (head.status, head.body, head.headers["location"]) == (301, b"", "./about")


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_cached_page_follows_every_change(tmp_path: Path, policy: str) -> None:
    """What is added or removed counts at once, as without a cache."""
    targets = ["/a", "/a/", "/a.html", "/a/index.html"]
    root = tmp_path / "site"
    write_site(root, {"z.txt": b"z"})
    cached = await serve(root, trailing_slash=policy)
    fresh = await serve(root, trailing_slash=policy, cache_bytes=0)
    for names in itertools.chain.from_iterable(changes()):
        await asyncio.to_thread(change_to, root, names)
        for target in targets * 2:
            ours, theirs = await ask(cached, target), await ask(fresh, target)
            assert outcome(ours) == outcome(theirs), (names, target)


def changes() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Each set of names, and each with one more; there and back."""
    names = ["a", "a.html", "a/index.html", "a/other.txt"]
    for size in range(len(names)):
        for some in itertools.combinations(names, size):
            for name in names:
                more = (*some, name)
                is_possible = "a" not in more or "/" not in "".join(more)
                if name not in some and is_possible:
                    yield some, more
                    yield more, some


def change_to(root: Path, names: tuple[str, ...]) -> None:
    """Remove and add files until there are these; leave the others as they are."""
    for path in root.rglob("*"):
        if path.is_file() and str(path.relative_to(root)) not in (*names, "z.txt"):
            path.unlink()
    if (root / "a").is_dir() and not any(name.startswith("a/") for name in names):
        (root / "a").rmdir()
    for name in names:
        if not (root / name).exists():
            content = gzip.compress(b"a.html", mtime=0) if name.endswith(".gz") else name.encode()
            write_site(root, {name: content})
    time.sleep(0.025)  # a tick of the file system's clock


async def test_views_and_middleware_know_pages(site: Path) -> None:
    app = Quart("app", static_folder=None)
    static = await asyncio.to_thread(AsyncStatic, app, str(site), "/static", clean_urls=True)

    @app.route("/view/<path:name>")
    async def view(name: str) -> Response:
        return await send_from_directory(static.static, name)

    assert outcome(await ask(app, "/static/about")) == b"about"
    assert outcome(await ask(app, "/static/about.html")) == "./about"
    assert outcome(await ask(app, "/view/about")) == b"about"
    assert outcome(await ask(app, "/view/about.html")) == b"about"
    behind = await asyncio.to_thread(lambda: StaticMiddleware(app, site, "/docs", clean_urls=True))
    assert outcome(await ask(behind, "/docs/x/page.html")) == "./page"
    assert outcome(await ask(behind, "/docs/nothing")) == 404


# -- on real servers -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["serve", "serve-no-direct", "hypercorn"])
def server(request: pytest.FixtureRequest, site: Path) -> Iterator[Server]:
    redirects = "/old/* /x/:splat 308, /away https://b.example/ 302"
    with serving(request.param, site, clean_urls="1", redirects=redirects) as running:
        yield running


def test_every_entry_redirects(server: Server) -> None:
    with server.connect() as connection:
        for _ in range(3):
            assert connection.get("/about").content == b"about"
            page = connection.get("/about.html?q=1")
            assert (page.status, page.field("location")) == (301, "./about?q=1")
            moved = connection.get("/old/page?q=1")
            assert (moved.status, moved.field("location")) == (308, "/x/page?q=1")
            away = connection.get("/away", method="HEAD")
            assert (away.status, away.field("location")) == (302, "https://b.example/")
            assert connection.get("/large").content == b"l" * 200_000
