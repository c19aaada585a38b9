"""Apps with a static root mounted at ``/static``, to be run by a server: ``mounts:app``.

``MOUNT_HOST`` names the framework, ``MOUNT_ROOT`` the root.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from asyncstatic import StaticFiles, StaticMiddleware

ROOT = os.environ["MOUNT_ROOT"]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An app of somebody else: says hello to everything."""
    if scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


def static(below: str = "") -> Any:
    """The root; Any, because every framework spells the types of ASGI in its own way."""
    return StaticFiles(os.path.join(ROOT, below))


def quart() -> Any:
    """Quart, with the root in front of its routes."""
    from quart import Quart

    app = Quart("mounted", static_folder=None)

    @app.get("/static/from-a-view")
    @app.get("/hello/there")
    async def view() -> str:
        return "hello"

    wrapped: Any = StaticMiddleware(app.asgi_app, ROOT, prefix="/static")
    app.asgi_app = wrapped  # type: ignore[method-assign] # Quart's way to wrap an app
    return app


def starlette() -> Any:
    """Starlette's Mount."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/static", static()), Mount("/hello", hello)])


def fastapi() -> Any:
    """FastAPI's mount."""
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/static", static())
    app.mount("/hello", hello)
    return app


def dispatcher() -> Any:
    """Hypercorn's dispatcher, which compares prefixes as strings."""
    from hypercorn.middleware import DispatcherMiddleware

    mounts = {"/staticfoo": static("docs"), "/static": static(), "/hello": hello}
    return DispatcherMiddleware(mounts)


def litestar() -> Any:
    """Litestar's mounted ASGI app."""
    from litestar import Litestar, asgi
    from litestar.types import Receive, Scope, Send

    def mounted(path: str, app: Any) -> Any:
        async def handler(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

        types = {"scope": Scope, "receive": Receive, "send": Send, "return": None}
        handler.__annotations__ = types
        return asgi(path, is_mount=True, copy_scope=True)(handler)

    return Litestar([mounted("/static", static()), mounted("/hello", hello)])


def blacksheep() -> Any:
    """BlackSheep's mount, which compares prefixes as strings."""
    from blacksheep import Application

    app = Application()
    app.mount("/static", static())
    app.mount("/hello", hello)
    return app


def django() -> Any:
    """Django over ASGI, with the root in front of its views."""
    from django.conf import settings  # type: ignore[import-untyped]  # Django has no types
    from django.core.asgi import get_asgi_application  # type: ignore[import-untyped]  # Django has no types
    from django.http import HttpResponse  # type: ignore[import-untyped]  # Django has no types
    from django.urls import path  # type: ignore[import-untyped]  # Django has no types

    async def view(request: Any) -> Any:
        return HttpResponse("hello")

    urls = type("urls", (), {"urlpatterns": [path("hello/there", view)]})
    settings.configure(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], SECRET_KEY="a test")
    return StaticMiddleware(get_asgi_application(), ROOT, prefix="/static")


HOSTS: dict[str, Callable[[], Any]] = {
    "quart": quart,
    "starlette": starlette,
    "fastapi": fastapi,
    "dispatcher": dispatcher,
    "litestar": litestar,
    "blacksheep": blacksheep,
    "django": django,
}

app = HOSTS[os.environ["MOUNT_HOST"]]()
