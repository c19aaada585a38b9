"""An application that answers with all that its server tells it of a request, in the field Told.

No Told in an answer: the server answered by itself, and never asked the application.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer by ASGI."""
    if scope["type"] != "http":
        return
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    target = (scope["raw_path"] + query).decode("latin-1")
    fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
    told = _told(scope["method"], target, fields).encode("ascii")
    headers = [(b"content-length", b"0"), (b"told", told)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer by WSGI; Gunicorn has the target as it came in RAW_URI."""
    fields = [
        (name.removeprefix("HTTP_").replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    told = _told(environ["REQUEST_METHOD"], environ["RAW_URI"], fields)
    start_response("200 OK", [("Content-Length", "0"), ("Told", told)])
    return []


def _told(method: str, target: str, fields: list[tuple[str, str]]) -> str:
    return b64encode(json.dumps([method, target, fields]).encode()).decode("ascii")
