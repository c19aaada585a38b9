"""`RedirectToHTTPS`: requests without TLS are redirected to the same URL with ``https``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from asyncstatic.http.pages import page
from asyncstatic.http.target import is_target_text, origin_form
from asyncstatic.serve.portable import send_page
from asyncstatic.serve.scope import Receive, Scope, Send

# A host name or an IP address, with or without a port (RFC 3986 §3.2.2). Stricter than the grammar
# of Host: nothing in it can end the authority of a URL or be taken for a user name.
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
# The authority of an absolute-form target counts more than Host (RFC 9112 §3.2.2).
_AUTHORITY = re.compile(rb"https?://([^/?]*)", re.I)
# The token of an http-01 challenge is base64url (RFC 8555 §8.3).
_CHALLENGE = re.compile(r"/\.well-known/acme-challenge/[A-Za-z0-9_-]+")


class RedirectToHTTPS:
    """An ASGI app that answers requests without TLS by a permanent redirect, and passes on others.

    The status is 308, so that the method and the content stay the same (RFC 9110 §15.4.9).
    Challenges by which a certificate is renewed are passed on. A request without a usable Host is
    answered 400.

    Args:
        app: gets the requests over TLS.
        port: of the HTTPS server.
    """

    def __init__(self, app: Callable[..., Any], port: int) -> None:
        self._app = app
        self._port = b"" if port == 443 else b":%d" % port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("scheme") not in ("http", "ws") or _CHALLENGE.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        location = self._location(scope)
        plan = page(308, None, ((b"location", location),)) if location else page(400, None)
        kind = "http.response" if scope["type"] == "http" else "websocket.http.response"
        await send_page(plan, send, scope.get("method", "GET"), kind)

    def _location(self, scope: Scope) -> bytes | None:
        """Return the URL; None if the request does not say which."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        absolute = _AUTHORITY.match(scope["raw_path"])
        host = _HOST.fullmatch(absolute[1] if absolute else hosts[0]) if len(hosts) == 1 else None
        target = origin_form(scope["raw_path"])
        if host is None or target is None or not is_target_text(target):
            return None
        query = scope["query_string"]
        if not is_target_text(query):
            return None
        return b"https://" + host[1] + self._port + target + (b"?" + query if query else b"")
