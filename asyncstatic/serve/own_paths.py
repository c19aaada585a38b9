"""The paths that the server answers itself, in front of its app: health and metrics.

They come before the roots, also before a file of the same name. The direct entry hands such a request
over (`Terms.own_paths`), so that one implementation answers over HTTP/1.1 and HTTP/2. A path is
compared as it was sent: another spelling of it belongs to the app.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.answer import PLAN_OBSERVER
from asyncstatic.serve.portable import send_page
from asyncstatic.serve.scope import Receive, Scope, Send

PLAIN_TEXT = b"text/plain; charset=utf-8"


class Page(NamedTuple):
    """An answer that no cache may store."""

    status: int
    content: bytes
    media_type: bytes = PLAIN_TEXT


#: Makes the answer of a path.
View = Callable[[], Awaitable[Page]]


class OwnPaths:
    """An ASGI app that answers some paths itself, and all others by the app behind it.

    Args:
        app: the app behind; None answers 404.
        views: make the answers, by raw path.
        observe: called with each plan that a static root sends; None for nobody.

    Attributes:
        paths: the raw paths that it answers itself.
    """

    def __init__(
        self,
        app: Any,
        views: Mapping[bytes, View],
        observe: Callable[[ResponsePlan], None] | None = None,
    ) -> None:
        self._app = app
        self._views = views
        self.paths = frozenset(views)
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            view = self._views.get(scope["raw_path"])
            if view is not None or self._app is None:
                await _answer(view, scope["method"], send)
                return
            if self._observe is not None:
                scope[PLAN_OBSERVER] = self._observe
        if self._app is not None:
            await self._app(scope, receive, send)


async def _answer(view: View | None, method: str, send: Send) -> None:
    fields = [(b"cache-control", b"no-store")]
    if view is None:
        page = Page(404, b"not found\n")
    elif method in ("GET", "HEAD"):
        page = await view()
    else:
        page = Page(405, b"method not allowed\n")
        fields.append((b"allow", b"GET, HEAD"))
    fields.append((b"content-type", page.media_type))
    fields.append((b"content-length", b"%d" % len(page.content)))
    await send_page(ResponsePlan(page.status, tuple(fields), (page.content,)), send, method)
