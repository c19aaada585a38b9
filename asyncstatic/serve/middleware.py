"""`StaticMiddleware`: serve what exists, pass everything else on to an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.portable import send_plan
from asyncstatic.serve.scope import Receive, Scope, Send, has_content, read_request


class StaticMiddleware:
    """Put static roots in front of an ASGI app.

    A GET or HEAD for which a root has an answer other than 404 is answered from there. All
    else - other methods, other paths, WebSockets, lifespan - reaches the app untouched.

    Args:
        app: the app behind.
        static: the root in front; a directory, or a `StaticFiles`.
        prefix: the path the root is mounted at, such as "/static"; "" for all paths.
        passes_on: whether the app could answer what the root cannot; asked each time.
        **settings: fields of `Settings`, when `static` is a directory.

    Raises:
        SettingsError: the root cannot be served or a setting is wrong.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        static: StaticFiles | str,
        prefix: str = "",
        *,
        passes_on: Callable[[], bool] = lambda: True,
        **settings: Any,
    ) -> None:
        self.app = app
        self.static = static if isinstance(static, StaticFiles) else StaticFiles(static, **settings)
        self.prefix = prefix.rstrip("/")
        self.passes_on = passes_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and await self._serve(scope, receive, send):
            return
        await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer from the root, if it has an answer."""
        mounted = self._mounted(scope)
        if mounted is None:
            return False
        if not self.passes_on():
            await self.static(mounted, receive, send)
            return True
        if scope["method"] not in ("GET", "HEAD") or has_content(scope["headers"]):
            return False
        plan, opened = await self.static.find(read_request(mounted))
        try:
            if plan.status == 404:
                return False
            timeout = self.static.settings.send_timeout
            await send_plan(plan, opened, mounted, receive, send, timeout)
        finally:
            if opened is not None:
                opened.close()
        return True

    def _mounted(self, scope: Scope) -> Scope | None:
        """The scope as the root sees it; None when the path is not below the prefix."""
        if not self.prefix:
            return scope
        root = scope.get("root_path", "") + self.prefix
        path = scope["path"]
        if path != root and not path.startswith(root + "/"):
            return None
        return {**scope, "root_path": root}
