"""The Python contenders' applications, as their documentation shows them.

Each is a factory that reads the document root from CONFORMANCE_ROOT and imports its framework only
when called, so one missing package hides one server and no more.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from flask import Flask
    from quart import Quart
    from starlette.applications import Starlette


def _root() -> str:
    return os.environ["CONFORMANCE_ROOT"]


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


def flask_app() -> Flask:
    """Flask's send_from_directory behind a route."""
    from flask import Flask, Response, send_from_directory

    app = Flask("site", static_folder=None)

    @app.get("/<path:name>")
    def file(name: str) -> Response:
        return send_from_directory(_root(), name)

    return app


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


def run_aiohttp(port: int) -> None:
    """Run aiohttp's add_static on its own server."""
    from aiohttp import web

    app = web.Application()
    app.router.add_static("/", Path(_root()))
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    run_aiohttp(int(sys.argv[1]))
