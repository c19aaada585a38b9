"""Who may read: `authorize=` hooks, and URLs that expire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic import SettingsError, SignedURLs, StaticFiles, StaticMiddleware, sign_url
from asyncstatic.files import kernel
from asyncstatic.http.model import Lookup, Request
from tests.asgi import ask
from tests.support.site import write_site

KEY = "correct horse battery staple"
FILES = {"a.txt": b"hello", "é è.txt": b"accents", "docs/index.html": b"<p>"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("media") / "files", FILES)


@pytest.fixture(scope="module")
def links() -> SignedURLs:
    return SignedURLs(KEY)


@pytest.fixture(scope="module")
def signed(root: Path, links: SignedURLs) -> Iterator[StaticFiles]:
    static = StaticFiles(root, authorize=links)
    yield static
    static.close()


# -- hooks -------------------------------------------------------------------------------------


async def guarded(root: Path, hook: Any, **settings: Any) -> StaticFiles:
    return await asyncio.to_thread(StaticFiles, root, authorize=hook, **settings)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_hook_gets_the_scope_and_the_one_spelling_of_the_path(
    root: Path, is_async: bool
) -> None:
    seen: list[tuple[str, str]] = []

    def hook(scope: Any, path: str) -> bool:
        seen.append((scope["method"], path))
        return True

    async def async_hook(scope: Any, path: str) -> bool:
        return hook(scope, path)

    static = await guarded(root, async_hook if is_async else hook)
    for target in ("/%C3%A9%20%c3%a8.txt", "/docs/", "/docs", "/", "/missing"):
        await ask(static, target)
    assert seen == [("GET", path) for path in ("/é è.txt", "/docs/", "/docs", "/", "/missing")]


async def test_a_hook_gets_the_path_of_the_request_whatever_file_it_opens(tmp_path: Path) -> None:
    write_site(tmp_path, {"about.html": b"a", "docs/index.html": b"d", "a.js.gz": b"z"})
    seen: list[str] = []

    def hook(scope: Any, path: str) -> bool:
        seen.append(path)
        return True

    static = await guarded(tmp_path, hook, clean_urls=True)
    targets = ["/about", "/about.html", "/docs/", "/docs/index.html", "/a.js.gz"]
    statuses = [(await ask(static, target)).status for target in targets]
    assert statuses == [200, 301, 200, 301, 200]
    assert seen == targets


@pytest.mark.parametrize(
    ("verdict", "settings", "status"),
    [
        pytest.param(True, {}, 200, id="True"),
        pytest.param(False, {}, 403, id="False"),
        pytest.param(False, {"hide_forbidden": True}, 404, id="False, hidden"),
        pytest.param(403, {"hide_forbidden": True}, 403, id="403 is said"),
        pytest.param(404, {}, 404, id="404"),
        pytest.param(410, {}, 410, id="410"),
    ],
)
async def test_a_verdict_is_a_status(
    root: Path, verdict: Any, settings: dict[str, Any], status: int
) -> None:
    static = await guarded(root, lambda *_: verdict, **settings)
    for method in ("GET", "HEAD"):
        reply = await ask(static, "/a.txt", method=method)
        assert reply.status == status
        assert (reply.body == b"hello") == (status == 200 and method == "GET")
        wanted = "private, no-cache" if status == 200 else "no-store"
        assert reply.headers["cache-control"] == wanted


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_refusal_is_a_page_like_any_other(root: Path, status: int) -> None:
    static = await guarded(root, lambda *_: status, cors="https://a.example")
    browser = {"accept": "text/html", "origin": "https://a.example"}
    reply = await ask(static, "/a.txt", browser)
    assert reply.status == status
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["access-control-allow-origin"] == "https://a.example"
    assert (await ask(static, "/a.txt")).body.startswith(str(status).encode())


@pytest.mark.parametrize("verdict", [None, 1, 0, "yes", 200, 500], ids=repr)
async def test_what_is_no_verdict_serves_nothing(root: Path, verdict: Any) -> None:
    static = await guarded(root, lambda *_: verdict)
    with pytest.raises(TypeError, match="authorize returned"):
        await ask(static, "/a.txt")


async def test_who_is_refused_learns_nothing_of_the_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = await guarded(root, lambda *_: False)

    def looked(*_: object, **__: object) -> int:
        raise AssertionError("the disk was asked")

    for name in ("openat", "openat2", "stat"):
        monkeypatch.setattr(kernel, name, looked)
    replies = [await ask(static, path) for path in ("/a.txt", "/missing", "/docs")]
    assert {(reply.status, reply.body) for reply in replies} == {(403, replies[0].body)}


@pytest.mark.parametrize(
    ("configured", "sent"),
    [
        ("no-cache", "private, no-cache"),
        ("public, max-age=60, s-maxage=90", "private, max-age=60"),
        ("no-store", "private, no-store"),
        ("max-age=60, immutable", "private, max-age=60, immutable"),
    ],
)
async def test_no_shared_cache_keeps_what_was_let_through(
    root: Path, configured: str, sent: str
) -> None:
    static = await guarded(root, lambda *_: True, cache_control=configured, immutable="*")
    first = await ask(static, "/a.txt")
    again = await ask(static, "/a.txt", {"if-none-match": first.headers["etag"]})
    assert (first.status, again.status) == (200, 304)
    assert {reply.headers["cache-control"] for reply in (first, again)} == {sent}


async def test_a_hook_that_fails_serves_nothing(root: Path) -> None:
    def fail(scope: Any, path: str) -> bool:
        raise LookupError(path)

    with pytest.raises(LookupError):
        await ask(await guarded(root, fail), "/a.txt")


async def test_no_entry_can_forget_to_ask(root: Path) -> None:
    static = await guarded(root, lambda *_: True)
    lookup = Lookup(("a.txt",), directory=False, codings=(("identity",),))
    with pytest.raises(TypeError, match="authorize"):
        static.source.open_nowait(lookup)
    with pytest.raises(TypeError, match="authorize"):
        await static.source.open(lookup)
    with pytest.raises(TypeError, match="authorize"):
        await static.find(Request("GET", b"/a.txt"))


async def test_the_middleware_asks_the_hook_too(root: Path) -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body"})

    def hook(scope: Any, path: str) -> Any:
        return {"/a.txt": True, "/docs/": False}.get(path, 404)

    app = StaticMiddleware(behind, await guarded(root, hook), "/m")
    statuses = [(await ask(app, path)).status for path in ("/m/a.txt", "/m/docs/", "/m/x", "/y")]
    assert statuses == [200, 403, 299, 299]


# -- signed URLs -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a.txt", "/a.txt", "é è.txt", "docs/"])
async def test_a_signed_url_reads_its_file(
    signed: StaticFiles, links: SignedURLs, path: str
) -> None:
    url = links.sign(path, expires_in=60)
    assert url.isascii()
    assert (await ask(signed, url)).status == 200
    assert (await ask(signed, url, {"range": "bytes=0-0"})).status == 206
    assert (await ask(signed, url + "&utm=1")).status == 200


async def test_the_function_and_the_class_sign_alike(signed: StaticFiles) -> None:
    url = sign_url("a.txt", KEY, expires_in=timedelta(minutes=1), prefix="/media")
    assert url.startswith("/media/a.txt?expires=")
    assert (await ask(signed, url, root_path="/media")).status == 200


def changed(url: str) -> list[Any]:
    path, query = url.split("?")
    expires, signature = query.split("&")
    later = f"expires={int(expires.partition('=')[2]) + 1}"
    return [
        pytest.param(path, id="no query"),
        pytest.param(f"{path}?{expires}", id="no signature"),
        pytest.param(f"{path}?{signature}", id="no time"),
        pytest.param(f"{path}?{later}&{signature}", id="a later time"),
        pytest.param(f"/docs/?{query}", id="another path"),
        pytest.param(f"{path}?{expires}&signature=", id="an empty signature"),
        pytest.param(f"{path}?{expires}&signature=%C3%A9", id="no ASCII"),
        pytest.param(f"{path}?{query}x", id="a longer signature"),
        pytest.param(f"{path}?{query[:-1]}", id="a shorter signature"),
        pytest.param(f"{path}?{query}&{signature}", id="two signatures"),
        pytest.param(f"{path}?{query}&{expires}", id="two times"),
        pytest.param(f"{path}?{'a=1&' * 1000}{query}", id="a thousand fields"),
        pytest.param(f"{path}?expires=inf&{signature}", id="for ever"),
        pytest.param(f"{path}?expires={'9' * 5000}&{signature}", id="a number of 5000 digits"),
        pytest.param(f"{path}?expires=%D9%A3&{signature}", id="an Arabic digit"),
    ]


@pytest.mark.parametrize("url", changed(sign_url("a.txt", KEY, expires_in=3600)))
async def test_a_changed_url_is_forbidden(signed: StaticFiles, url: str) -> None:
    assert (await ask(signed, url)).status == 403


@pytest.mark.parametrize(
    ("key", "salt"), [("another key of enough length", "asyncstatic"), (KEY, "another root")]
)
async def test_a_url_of_another_key_or_root_is_forbidden(
    signed: StaticFiles, key: str, salt: str
) -> None:
    assert (await ask(signed, sign_url("a.txt", key, salt=salt, expires_in=60))).status == 403


async def test_an_expired_url_is_gone_and_an_invalid_one_is_not_told(
    signed: StaticFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = sign_url("a.txt", KEY, expires_in=10)
    now = time.time()
    monkeypatch.setattr("asyncstatic.serve.signing.time.time", lambda: now + 11)
    reply = await ask(signed, url)
    assert (reply.status, reply.headers["cache-control"]) == (410, "no-store")
    assert (await ask(signed, f"{url}x")).status == 403


async def test_keys_are_rotated(root: Path) -> None:
    old, new = "an old key of enough length", "a new key of enough length"
    static = await guarded(root, SignedURLs([old, new]))
    for key in (old, new):
        assert (await ask(static, sign_url("a.txt", key, expires_in=60))).status == 200
    newer = SignedURLs([old, new]).sign("a.txt", expires_in=60)
    assert (await ask(await guarded(root, SignedURLs(new)), newer)).status == 200


@pytest.mark.parametrize("key", ["", "short", [], [KEY, "short"]], ids=repr)
def test_a_key_that_can_be_guessed_is_refused(key: Any) -> None:
    with pytest.raises(SettingsError, match="random characters"):
        SignedURLs(key)


@given(query=st.text(max_size=60) | st.binary(max_size=60))
def test_no_query_is_a_traceback_or_a_pass(links: SignedURLs, query: str | bytes) -> None:
    data = query.encode("utf-8", "replace") if isinstance(query, str) else query
    assert links({"query_string": data}, "/a.txt") == 403


@given(path=st.text(max_size=40))
def test_what_is_signed_is_verified_and_nothing_else(links: SignedURLs, path: str) -> None:
    try:
        query = urlsplit(links.sign(path, expires_in=60)).query.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate has no URL
    canonical = "/" + path.lstrip("/")
    assert links({"query_string": query}, canonical) is True
    assert links({"query_string": query}, canonical + "x") == 403
