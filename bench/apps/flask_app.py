"""Flask's `send_file`, through the helper that keeps it inside a directory."""

import os

from flask import Flask, Response, send_from_directory

app = Flask(__name__, static_folder=None)


@app.get("/<path:name>")
def serve(name: str) -> Response:
    """Serve one file."""
    return send_from_directory(os.environ["BENCH_ROOT"], name)
