"""Root, prefix and settings are spelled alike, and as the users of Starlette and Quart know them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, url_for

from asyncstatic import (
    AsyncStatic,
    Settings,
    SettingsError,
    StaticFiles,
    StaticMiddleware,
    create_app,
    static_url,
)
from tests.asgi import ask
from tests.support.site import write_site


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_site(tmp_path, {"site/a.txt": b"site", "media/a.txt": b"media", "site/.b": b"b"})


async def behind(scope: Any, receive: Any, send: Any) -> None:
    """An app that has nothing."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"app"})


def quart_app(place: Path, *args: Any, **options: Any) -> Quart:
    app = Quart("app", root_path=str(place), static_folder=None)
    AsyncStatic(app, *args, **options)
    return app


def mounted(*args: Any, **options: Any) -> StaticMiddleware:
    return StaticMiddleware(behind, *args, **options)


#: How a root is named, and where its a.txt is then.
SPELLINGS: list[Any] = [
    pytest.param(lambda p: StaticFiles(p / "site"), "/a.txt", id="StaticFiles"),
    pytest.param(lambda p: StaticFiles(root=p / "site"), "/a.txt", id="StaticFiles, root="),
    pytest.param(lambda p: StaticFiles(directory=p / "site"), "/a.txt", id="directory="),
    pytest.param(lambda p: create_app(p / "site"), "/a.txt", id="create_app"),
    pytest.param(lambda p: create_app(str(p / "site")), "/a.txt", id="create_app, text"),
    pytest.param(lambda p: create_app(root=p / "site"), "/a.txt", id="create_app, root="),
    pytest.param(
        lambda p: create_app(Settings(p / "site")), "/a.txt", id="create_app, Settings"
    ),
    pytest.param(lambda p: mounted(p / "site"), "/a.txt", id="StaticMiddleware"),
    pytest.param(
        lambda p: mounted(p / "site", prefix="/m"), "/m/a.txt", id="StaticMiddleware, prefix="
    ),
    pytest.param(
        lambda p: mounted(root=p / "site", prefix="/m"), "/m/a.txt", id="StaticMiddleware, root="
    ),
    pytest.param(
        lambda p: mounted(static=p / "site", prefix="/m"), "/m/a.txt", id="StaticMiddleware, static="
    ),
    pytest.param(
        lambda p: mounted(directory=p / "site", prefix="/m", html=True),
        "/m/a.txt",
        id="StaticMiddleware, as in Starlette",
    ),
    pytest.param(
        lambda p: mounted(Settings(p / "site"), prefix="/m"), "/m/a.txt", id="StaticMiddleware, Settings"
    ),
    pytest.param(
        lambda p: mounted({"/media": p / "media", "/m": p / "site"}),
        "/m/a.txt",
        id="StaticMiddleware, a mapping",
    ),
    pytest.param(lambda p: quart_app(p, "site"), "/static/a.txt", id="AsyncStatic"),
    pytest.param(lambda p: quart_app(p, root="site"), "/static/a.txt", id="AsyncStatic, root="),
    pytest.param(
        lambda p: quart_app(p, "site", prefix="/m"), "/m/a.txt", id="AsyncStatic, prefix="
    ),
    pytest.param(
        lambda p: quart_app(p, static_folder="site", static_url_path="/m"),
        "/m/a.txt",
        id="AsyncStatic, as in Quart",
    ),
    pytest.param(
        lambda p: quart_app(p, directory=p / "site", html=True),
        "/static/a.txt",
        id="AsyncStatic, as in Starlette",
    ),
    pytest.param(
        lambda p: quart_app(p, {"/media": "media", "/m": "site"}),
        "/m/a.txt",
        id="AsyncStatic, a mapping",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "target"), SPELLINGS)
async def test_a_root_may_be_named_in_each_of_these_ways(
    place: Path, make: Callable[[Path], Any], target: str
) -> None:
    app = await asyncio.to_thread(make, place)
    assert (await ask(app, target)).body == b"site"


TWICE: list[Any] = [
    pytest.param(lambda p: mounted(p, static=p), "static= is another name", id="static="),
    pytest.param(lambda p: mounted(p, directory=p), "directory= is Starlette's", id="directory="),
    pytest.param(lambda p: create_app(p, root=p), "the root is named twice", id="create_app"),
    pytest.param(lambda p: quart_app(p, "site", static_folder="site"), "static_folder=", id="Quart"),
    pytest.param(
        lambda p: quart_app(p, "site", "/m", static_url_path="/m"), "static_url_path=", id="prefix"
    ),
    pytest.param(
        lambda p: quart_app(p, {"/m": "site"}, "/m"), "prefix='/m': not beside a mapping", id="mapping"
    ),
    pytest.param(
        lambda p: quart_app(p, {"/m": "site"}, endpoint="m"), "endpoint='m': not", id="endpoint"
    ),
    pytest.param(lambda p: quart_app(p, {}), "name at least one", id="no root at all"),
    pytest.param(lambda p: mounted(), "no root: name the directory", id="nothing"),
    pytest.param(lambda p: mounted(p, frobnicate=1), "unknown setting frobnicate", id="unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "says"), TWICE)
def test_what_is_named_twice_or_not_at_all_is_refused(
    place: Path, make: Callable[[Path], Any], says: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        make(place)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_each_root_of_a_quart_mapping_has_its_endpoint_and_the_settings(place: Path) -> None:
    roots = {"/static": "site", "/up/media": "media", "": "site"}
    app = await asyncio.to_thread(quart_app, place, roots, dotfiles=True)
    async with app.test_request_context("/"):
        assert url_for("static", filename="a.txt") == "/static/a.txt"
        assert url_for("up_media", filename="a.txt") == "/up/media/a.txt"
        assert static_url("a.txt", endpoint="root") == "/a.txt"
    assert (await ask(app, "/static/.b")).body == b"b"
    assert (await ask(app, "/up/media/a.txt")).body == b"media"
    assert (await ask(app, "/a.txt")).body == b"site"


async def test_a_limit_is_a_key_of_a_quart_apps_config_like_any_setting(place: Path) -> None:
    app = Quart("app", root_path=str(place), static_folder=None)
    app.config.update(ASYNCSTATIC_ROOT="site", ASYNCSTATIC_CACHE_BYTES="1MiB")
    extension = await asyncio.to_thread(AsyncStatic, app, pool_threads=2)
    limits = extension.static.settings.limits
    assert (limits.cache_bytes, limits.pool_threads) == (1 << 20, 2)


async def test_a_quart_mapping_is_looked_at_in_its_order(place: Path) -> None:
    app = await asyncio.to_thread(quart_app, place, {"/s/in": "media", "/s": "site"})
    assert (await ask(app, "/s/in/a.txt")).body == b"media"
    assert (await ask(app, "/s/a.txt")).body == b"site"


def test_a_subclass_with_keywords_of_its_own_still_works(place: Path) -> None:
    class Own(StaticFiles):
        def __init__(self, *args: Any, label: str, **settings: Any) -> None:
            super().__init__(*args, **settings)
            self.label = label

    assert Own(place / "site", label="x", dotfiles=True).settings.dotfiles
