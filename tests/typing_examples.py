"""What mypy says of keywords. Nothing here runs: `mypy` itself is the test.

mypy reports an ignored error that is none (`warn_unused_ignores`), so each ignored line below is
proof that a mistake is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

from quart import Quart

from asyncstatic import AsyncStatic, Limits, Settings, StaticFiles, StaticMiddleware, create_app


def what_is_right(app: Any, quart: Quart) -> None:
    """Every form that is taken at run time is one for mypy as well."""
    limits = Limits(cache_bytes="64MiB", pool_threads=2, pool_timeout=5)
    Settings("site", index=["a.html"], deny={"*.bak"}, cors="*", max_target="8KiB", limits=limits)
    Settings(Path("site"), media_types={".foo": "text/x-foo"}, cache_bytes=0)
    StaticFiles(
        "site", dotfiles=True, cache_bytes="64MiB", symlinks="deny", authorize=lambda *_: True
    )
    StaticFiles(directory="site", packages=["pkg", ("other", "folder")], html=True, check_dir=True)
    StaticFiles(Settings(root="site"))
    StaticMiddleware(app, "site", prefix="/static", etag="off", authorize=lambda *_: 404)
    StaticMiddleware(app, root={"/static": "site", "/media": StaticFiles("media")}, dotfiles=True)
    StaticMiddleware(app, static="site", prefix="/static")
    AsyncStatic(quart, "site", prefix="/static", manifest=".vite/manifest.json", limits=limits)
    AsyncStatic(quart, {"/static": "site", "/media": Path("media")}, send_timeout=10)
    AsyncStatic(quart, static_folder="site", static_url_path="/static")
    theme: list[Path] = [Path("theme"), Path("base")]
    AsyncStatic(quart, theme)
    StaticFiles(theme)
    StaticMiddleware(app, {"/": theme})
    create_app(theme)
    assert_type(create_app("site", dotfiles=True), Quart)
    create_app(root="site", resolver="walk")
    assert_type(Settings().limits.pool_timeout, float)
    assert_type(Settings().index, tuple[str, ...])


def what_is_wrong(app: Any, quart: Quart) -> None:
    """A misspelled keyword and a value of another type are errors."""
    StaticFiles("site", dotfile=True)  # type: ignore[call-arg]
    StaticFiles("site", dotfiles="yes")  # type: ignore[arg-type]
    StaticFiles("site", symlinks="never")  # type: ignore[arg-type]
    StaticFiles("site", static_folder="site")  # type: ignore[call-arg]
    StaticMiddleware(app, "site", cache_byte=1)  # type: ignore[call-arg]
    StaticMiddleware(app, "site", etag=None)  # type: ignore[arg-type]
    AsyncStatic(quart, "site", indx="a.html")  # type: ignore[call-arg]
    AsyncStatic(quart, "site", pool_threads="2")  # type: ignore[arg-type]
    create_app("site", html=True)  # type: ignore[call-arg]
    Settings("site", indx=())  # type: ignore[call-arg]
    Settings("site", index=5)  # type: ignore[arg-type]
    Limits(dotfiles=True)  # type: ignore[call-arg]
    Limits(pool_timeout="5")  # type: ignore[arg-type]
