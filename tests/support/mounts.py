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


HOSTS: dict[str, Callable[[], Any]] = {
    "quart": quart,
    "starlette": starlette,
    "fastapi": fastapi,
    "dispatcher": dispatcher,
}

app = HOSTS[os.environ["MOUNT_HOST"]]()
