"""The floor of an ASGI server: content from memory, one event for the head and one for the content.

No app on that server can cost less than this one, whatever it serves.
"""

import os
from pathlib import Path
from typing import Any

ROOT = Path(os.environ["BENCH_ROOT"])
CONTENTS = {f"/{name}": (ROOT / name).read_bytes() for name in ("1k.js", "64k.js")}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer the two paths of the floor; an ASGI scope is whatever the server makes it."""
    if scope["type"] != "http":
        raise RuntimeError("the floor has no lifespan and no websockets")
    content = CONTENTS[scope["path"]]
    length = b"%d" % len(content)
    fields = [(b"content-type", b"text/javascript"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": content})
