"""The Python contenders' applications, as their documentation shows them.

Each is a factory that reads the document root from BENCH_ROOT and imports its framework only
when called, so one missing package hides one server and no more.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from quart import Quart
    from starlette.applications import Starlette


def _root() -> str:
    return os.environ["BENCH_ROOT"]


def starlette_app() -> Starlette:
    """Starlette's StaticFiles mounted at the root, with index documents."""
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    return Starlette(routes=[Mount("/", StaticFiles(directory=_root(), html=True))])


def quart_app() -> Quart:
    """Quart's own static route."""
    from quart import Quart

    return Quart("site", static_folder=_root(), static_url_path="/")


def whitenoise_app() -> Any:
    """WhiteNoise around an application that finds nothing."""

    def nothing(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found", [("Content-Length", "0"), ("Content-Type", "text/plain")])
        return [b""]

    return import_module("whitenoise").WhiteNoise(nothing, root=_root(), index_file=True)


def servestatic_app() -> Any:
    """ServeStatic without an application behind it."""
    return import_module("servestatic").ServeStaticASGI(None, root=_root(), index_file=True)


async def nothing(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer 404 to what a server's own static mount passes on."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})
