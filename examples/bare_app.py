"""No framework at all: static files first, an ASGI app behind.

hypercorn bare_app:app
"""

from pathlib import Path

from asyncstatic import StaticMiddleware


async def hello(scope, receive, send):
    assert scope["type"] == "http"
    found = scope["path"] == "/hello"
    body = b"hello from the app" if found else b"not found"
    head = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": head})
    await send({"type": "http.response.body", "body": body})


app = StaticMiddleware(hello, Path(__file__).with_name("site"), prefix="/static")
