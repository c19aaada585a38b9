"""`asyncstatic serve --reload`: pages reload themselves when a served file changes.

For development only, as an ASGI app around another. Every HTML page gets a script at its end that
listens to server-sent events; every request is answered anew and whole, and nothing is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from asyncstatic.serve.scope import Message, Receive, Scope, Send
from asyncstatic.settings import SettingsError

# A dotfile's name: no root serves it by itself.
EVENTS = "/.asyncstatic/changes"
_SCRIPT = (
    f'<script>new EventSource("{EVENTS}").onmessage = () => location.reload()</script>\n'
).encode()
_DEBOUNCE = 100  # ms without a change, before a page reloads

# What would have an answer be 304, 206 or coded: a page must come whole, to get its script.
_NOT_PASSED_ON = frozenset(
    {
        *(b"accept-encoding", b"range", b"if-range", b"if-match", b"if-none-match"),
        *(b"if-modified-since", b"if-unmodified-since"),
    }
)
_NOT_SENT = frozenset(
    {b"cache-control", b"etag", b"last-modified", b"accept-ranges", b"content-length"}
)


class Reloading:
    """An app whose pages reload themselves.

    Args:
        app: what is served.
        root: the directory that is watched, with all below it.

    Raises:
        SettingsError: watchfiles is not installed.
    """

    def __init__(self, app: Callable[..., Any], root: str) -> None:
        try:
            from watchfiles import awatch
        except ImportError:
            raise SettingsError(
                "--reload needs watchfiles: pip install 'asyncstatic[reload]'"
            ) from None
        self._app = app
        self._stop = asyncio.Event()
        self._changes = partial(awatch, root, stop_event=self._stop, debounce=_DEBOUNCE)
        self._listeners: set[asyncio.Event] = set()
        self._watching: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == EVENTS:
            await self._tell(send)
        else:
            headers = [field for field in scope["headers"] if field[0] not in _NOT_PASSED_ON]
            page = _Page(send, scope["method"])
            await self._app({**scope, "headers": headers}, receive, page.send)

    def stop(self) -> None:
        """End all event streams, so that nothing holds up a shutdown."""
        self._stop.set()
        for listener in self._listeners:
            listener.set()

    async def _tell(self, send: Send) -> None:
        """Send one event after the next change, and end: the page will be back."""
        if self._watching is None:
            self._watching = asyncio.ensure_future(self._watch())
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"retry: 500\n\n", "more_body": True})
        changed = asyncio.Event()
        self._listeners.add(changed)
        try:
            await changed.wait()
        finally:
            self._listeners.discard(changed)
        event = b"" if self._stop.is_set() else b"data: changed\n\n"
        await send({"type": "http.response.body", "body": event, "more_body": False})

    async def _watch(self) -> None:
        async for _ in self._changes():
            for listener in self._listeners:
                listener.set()


class _Page:
    """Passes a response on, with the script at its end if it is a page."""

    def __init__(self, send: Send, method: str) -> None:
        self._send = send
        self._method = method
        self._is_page = False

    async def send(self, message: Message) -> None:
        """Send one message of the response."""
        if message["type"] == "http.response.start":
            message = {**message, "headers": self._fields(message["headers"])}
        elif message["type"] == "http.response.body" and self._is_last(message):
            message = {**message, "body": message.get("body", b"") + _SCRIPT}
        await self._send(message)

    def _is_last(self, message: Message) -> bool:
        return self._is_page and self._method != "HEAD" and not message.get("more_body", False)

    def _fields(self, fields: Any) -> list[tuple[bytes, bytes]]:
        values = dict(fields)
        self._is_page = values.get(b"content-type", b"").startswith(b"text/html")
        kept = [(name, value) for name, value in fields if name not in _NOT_SENT]
        if length := values.get(b"content-length"):
            octets = int(length) + (len(_SCRIPT) if self._is_page else 0)
            kept.append((b"content-length", b"%d" % octets))
        return [*kept, (b"cache-control", b"no-store")]
