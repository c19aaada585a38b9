"""Litestar: a mounted ASGI app.

granian --interface asgi litestar_app:app
"""

from pathlib import Path

from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send

from asyncstatic import StaticFiles

static = StaticFiles(Path(__file__).with_name("site"))


@asgi("/static", is_mount=True, copy_scope=True)
async def files(scope: Scope, receive: Receive, send: Send) -> None:
    await static(scope, receive, send)


@get("/hello", sync_to_thread=False)
def hello() -> str:
    return "hello from a route"


app = Litestar([files, hello])
