"""Requests behind trusted proxies, as their clients made them: in ASGI's scope, and for Hypercorn.

A proxy names the client, the scheme, the host, and the prefix that it removed from the path
(`http.forwarded`). Scope, redirects and log take them from here, so they agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from asyncstatic.http.addresses import Networks
from asyncstatic.http.forwarded import NOTHING_STATED, read_forwarded
from asyncstatic.serve.scope import Receive, Scope, Send

_SECURE = {"http": "https", "ws": "wss"}
_PLAIN = {secure: plain for plain, secure in _SECURE.items()}


def behind_proxies(app: Any, trusted: Networks) -> Any:
    """Wrap an ASGI app, so that its scopes are those of the clients."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = client_scope(scope, trusted)
        await app(scope, receive, send)

    return wrapped


def client_scope(scope: Scope, trusted: Networks) -> Scope:
    """Return an ASGI scope with the client, scheme, Host and path that trusted proxies state.

    `root_path` and `path` get the prefix that a proxy removed: an ASGI path begins with root_path.

    Args:
        scope: of type "http" or "websocket"; not changed.
        trusted: the networks of the proxies.
    """
    stated = read_forwarded(scope.get("client"), scope["headers"], trusted)
    if stated == NOTHING_STATED:
        return scope
    made = dict(scope)
    if stated.client is not None:
        made["client"] = stated.client
    if stated.scheme is not None:
        made["scheme"] = same_kind(scope["scheme"], stated.scheme)
    if stated.host is not None:
        made["headers"] = with_host(scope["headers"], stated.host)
    if stated.prefix and scope["path"][:1] == "/":
        prefix = unquote(stated.prefix)
        made["root_path"] = prefix + scope.get("root_path", "")
        made["path"] = prefix + scope["path"]
        if scope.get("raw_path"):
            made["raw_path"] = stated.prefix.encode("ascii") + scope["raw_path"]
    return made


def same_kind(scheme: str, stated: str) -> str:
    """Return the scheme of a request, encrypted or not as stated; "wss" for a WebSocket."""
    return (_SECURE if stated == "https" else _PLAIN).get(scheme, scheme)


def with_host(headers: Iterable[tuple[bytes, bytes]], host: str) -> list[tuple[bytes, bytes]]:
    """Return fields with another Host."""
    others = [field for field in headers if field[0].lower() != b"host"]
    return [(b"host", host.encode("ascii")), *others]
