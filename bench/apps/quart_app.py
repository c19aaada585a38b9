"""Quart's `send_from_directory`."""

import os

from quart import Quart, Response, send_from_directory

app = Quart(__name__, static_folder=None)


@app.get("/<path:name>")
async def serve(name: str) -> Response:
    """Serve one file."""
    return await send_from_directory(os.environ["BENCH_ROOT"], name)
