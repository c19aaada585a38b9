"""`asyncstatic serve --reload`: documents reload themselves when a served file changes.

For development only: an ASGI app around another. A document gets a script at its end. The script
requests the version of the tree twice a second, and reloads the document when the version has
changed. Such a request ends at once, so no tab occupies one of the six connections that browsers
open to a host, and any number of tabs works. Every other response stays the same - ranges, codings,
conditions - but a browser must revalidate it before each use.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from asyncstatic.http.model import Fields, ResponsePlan
from asyncstatic.http.navigation import is_shown
from asyncstatic.serve.portable import send_page
from asyncstatic.serve.scope import Message, Receive, Scope, Send, receive_nothing
from asyncstatic.serve.watch import Watch

# Hidden names: no root serves them by itself.
VERSION = "/.asyncstatic/version"
SCRIPT = "/.asyncstatic/reload.js"

# A document is reloaded once for each version. Otherwise a document that a service worker stores
# would reload without end, and a prompt of `beforeunload` would return.
_JAVASCRIPT = """(() => {
  const shown = new URL(document.currentScript.src).search.slice(1);
  const key = "asyncstatic " + location.pathname;
  let last = null, isBusy = false;
  try { last = sessionStorage.getItem(key); } catch {}
  const check = async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      const answer = await fetch(location.origin + "VERSION", { cache: "no-store" });
      const version = answer.ok ? await answer.text() : shown;
      if (version !== shown && version !== last) {
        last = version;
        try { sessionStorage.setItem(key, version); } catch {}
        location.reload();
      }
    } catch {}
    isBusy = false;
  };
  setInterval(check, 500);
  document.addEventListener("visibilitychange", check);
})();
""".replace("VERSION", VERSION).encode()

# Request fields that ask for other content than the whole, uncoded file.
_PARTIAL = frozenset({
    b"accept-encoding", b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since",
    b"if-unmodified-since", b"want-repr-digest", b"want-content-digest",
})  # fmt: skip
# Response fields that describe the content without the script.
_OF_CONTENT = frozenset({
    b"cache-control", b"etag", b"last-modified", b"accept-ranges", b"content-length",
    b"repr-digest", b"content-digest",
})  # fmt: skip
# A policy that names scripts by hash or nonce, as that of a listing. There a further nonce changes
# nothing for other scripts: 'unsafe-inline' is ignored already (CSP 3 §8.2).
_NAMED_SCRIPTS = re.compile(rb"script-src(?:-elem)? [^;,]*'(?:sha256|sha384|sha512|nonce)-[^;,]*")
_POLICY = b"content-security-policy"
_Fields = Iterable[tuple[bytes, bytes]]


class Reloading:
    """An app whose documents reload themselves.

    Args:
        app: serves the files.
        roots: the directories to watch, with everything below them.

    Raises:
        SettingsError: watchfiles is not installed.
    """

    def __init__(self, app: Callable[..., Any], roots: Iterable[str]) -> None:
        self._app = app
        self._watches = [Watch(root, self._count) for root in roots]
        self._watching: asyncio.Future[list[None]] | None = None
        self._start = secrets.token_hex(4)  # a restarted server has other versions
        self._changes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._watching is None:
            self._watching = asyncio.gather(*(watch.run() for watch in self._watches))
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == VERSION:
            await _answer(scope, send, b"text/plain; charset=utf-8", self._version)
        elif scope["path"] == SCRIPT:
            await _answer(scope, send, b"text/javascript; charset=utf-8", _JAVASCRIPT)
        elif _asks_for_document(scope):
            await self._serve_document(scope, receive, send)
        else:
            await self._app(scope, receive, partial(_send_revalidated, send))

    def stop(self) -> None:
        """End the watches, so that they do not delay a shutdown."""
        for watch in self._watches:
            watch.stop()

    @property
    def _version(self) -> bytes:
        return f"{self._start}-{self._changes}".encode()

    def _count(self) -> None:
        self._changes += 1

    async def _serve_document(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve HTML whole and with the script, and any other file unchanged."""
        headers = [field for field in scope["headers"] if field[0] not in _PARTIAL]
        # The script is added to body messages; no extension may send the file another way.
        whole = {**scope, "headers": headers, "extensions": {}}
        if len(headers) < len(scope["headers"]) and not await self._is_html(whole):
            await self._app(scope, receive, partial(_send_revalidated, send))
            return
        await self._app(whole, receive, _Page(send, scope["method"], self._version).send)

    async def _is_html(self, scope: Scope) -> bool:
        """Find out by a HEAD request to the app."""
        starts: list[Message] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                starts.append(message)

        await self._app({**scope, "method": "HEAD"}, receive_nothing(), send)
        return bool(starts) and _takes_script(starts[-1])


class _Page:
    """Forwards a response, with the script at its end if it is HTML."""

    def __init__(self, send: Send, method: str, version: bytes) -> None:
        self._send = send
        self._method = method
        self._version = version
        self._nonce = b""
        self._is_html = False

    @property
    def _script(self) -> bytes:
        nonce = b' nonce="%s"' % self._nonce if self._nonce else b""
        return b'<script src="%s?%s"%s async></script>\n' % (SCRIPT.encode(), self._version, nonce)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_html = _takes_script(message)
            if not self._is_html:
                await _send_revalidated(self._send, message)
                return
            message = {**message, "headers": self._fields(message["headers"])}
        elif message["type"] == "http.response.body" and self._is_last(message):
            message = {**message, "body": message.get("body", b"") + self._script}
        await self._send(message)

    def _is_last(self, message: Message) -> bool:
        return self._is_html and self._method != "HEAD" and not message.get("more_body", False)

    def _fields(self, fields: _Fields) -> list[tuple[bytes, bytes]]:
        kept = [
            (name, self._allowing(value) if name == _POLICY else value)
            for name, value in fields
            if name not in _OF_CONTENT
        ]
        if length := dict(fields).get(b"content-length"):
            kept.append((b"content-length", b"%d" % (int(length) + len(self._script))))
        return [*kept, (b"cache-control", b"no-store")]

    def _allowing(self, value: bytes) -> bytes:
        """Return a policy by which the browser loads the script."""
        if not _NAMED_SCRIPTS.search(value):
            return value
        self._nonce = self._nonce or secrets.token_urlsafe(16).encode()
        return _NAMED_SCRIPTS.sub(rb"\g<0> 'nonce-%s'" % self._nonce, value)


def _asks_for_document(scope: Scope) -> bool:
    """Tell whether the browser would show the response as a document.

    Browsers do not say it where the origin is not trustworthy, such as http://192.168.1.2. There
    fetch() and <img> send a Referer, and an Accept without text/html; curl sends no Referer.
    """
    if scope["method"] not in ("GET", "HEAD"):
        return False
    shown = is_shown(Fields.read(scope["headers"]))
    if shown is not None:
        return shown
    fields = dict(scope["headers"])
    return b"referer" not in fields or b"text/html" in fields.get(b"accept", b"text/html")


def _takes_script(start: Message) -> bool:
    """Tell whether a response is whole, uncoded HTML that a browser shows."""
    if start["status"] != 200 and start["status"] < 400:
        return False
    fields = dict(start["headers"])
    content_type = fields.get(b"content-type", b"").lower()
    is_saved = fields.get(b"content-disposition", b"").lower().startswith(b"attachment")
    is_coded = b"content-encoding" in fields
    return content_type.startswith(b"text/html") and not is_coded and not is_saved


async def _send_revalidated(send: Send, message: Message) -> None:
    """Send a message; caches must revalidate the response before each use (RFC 9111 §5.2.2.4)."""
    if message["type"] == "http.response.start":
        kept = [field for field in message["headers"] if field[0] != b"cache-control"]
        old = dict(message["headers"]).get(b"cache-control", b"")
        new = b"no-store" if b"no-store" in old else b"no-cache"
        message = {**message, "headers": [*kept, (b"cache-control", new)]}
    await send(message)


async def _answer(scope: Scope, send: Send, content_type: bytes, content: bytes) -> None:
    fields = (
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    )
    await send_page(ResponsePlan(200, fields, (content,)), send, scope["method"])
