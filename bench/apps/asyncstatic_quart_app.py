"""A Quart app with `AsyncStatic` in front of its views."""

import os

from quart import Quart

from asyncstatic import AsyncStatic

app = Quart(__name__, static_folder=None)
AsyncStatic(app, os.environ["BENCH_ROOT"], "/static")


@app.get("/hello")
async def hello() -> str:
    """Answer a request that no root has."""
    return "hello"
