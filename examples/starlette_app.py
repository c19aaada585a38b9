"""Starlette: a mount, and middleware in front of all routes.

uvicorn starlette_app:app
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asyncstatic import StaticFiles, StaticMiddleware

SITE = Path(__file__).with_name("site")


async def hello(request):
    return PlainTextResponse("hello from a route")


app = Starlette(
    routes=[Route("/hello", hello), Mount("/static", StaticFiles(directory=SITE))],
    middleware=[Middleware(StaticMiddleware, root=SITE, prefix="/site")],
)
