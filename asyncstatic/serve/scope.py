"""ASGI scope -> Request: which part of the path is ours, as the client spelled it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote

from asyncstatic.http.model import Fields, Request
from asyncstatic.http.target import origin_form

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Message]]
Send = Callable[[Message], Coroutine[Any, Any, None]]


def read_request(scope: Scope) -> Request:
    """Read method, target, query and fields from an ``http`` scope.

    The target is taken from ``raw_path``, because ``path`` cannot tell ``%2F`` from "/". Where
    a middleware rewrote ``path`` only, that is taken as already decoded. What ``root_path``
    names is stripped segment by segment, and never as a prefix of a string: an app mounted
    at ``/static`` does not answer for ``/staticfoo``.
    """
    fields = Fields.read(scope["headers"])
    method, query = scope["method"], scope.get("query_string", b"")
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    raw: bytes = scope.get("raw_path") or b""
    if raw[:1] not in (b"/", b""):
        raw = origin_form(raw) or raw
        path = path if path[:1] == "/" else _decoded(raw)
    spelled = _decoded(raw) if raw else None
    if spelled == path or (root and spelled == root + path):
        mount, target = split_mount(raw, root)
        return Request(method, target, query, fields, mount)
    mount, target = split_mount(path.encode("utf-8", "surrogateescape"), root)
    return Request(method, target, query, fields, mount, decoded=True)


def _decoded(raw: bytes) -> str:
    text = raw.decode("latin-1")
    return unquote(text) if "%" in text else text


def split_mount(path: bytes, root: str) -> tuple[bytes, bytes]:
    """Cut a path behind the segments of its mount point.

    A server may set ``root_path`` for a path that does not have it (a proxy stripped it);
    then all of the path is ours.
    """
    if not root:
        return b"", path
    wanted = root.count("/")
    parts = path.split(b"/", wanted + 1)
    head = b"/".join(parts[: wanted + 1])
    if _decoded(head) == root:
        return head, path[len(head) :]
    if _decoded(path).startswith(root):
        return b"", b"//"  # shares the mount's beginning, not its segments: never ours
    return b"", path


def has_content(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether the request announces content (RFC 9112 §6.3)."""
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False
