"""Read a `Request` from an ASGI scope: the target below the mount, as the client spelled it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import quote, unquote

from asyncstatic.http.model import Fields, Request
from asyncstatic.http.target import origin_form

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Bounds, in bytes and seconds, of an upload that is read so that its client can read the answer.
_DRAIN_BYTES = 16 * 1024 * 1024
_DRAIN_SECONDS = 10.0


# A well-formed target that names no file (an empty segment): answered 404.
_NOT_OURS = b"//"
_SLASHES = re.compile("//+")


def read_request(scope: Scope) -> Request:
    """Read method, target, query and fields from an ``http`` scope.

    The target is taken from ``raw_path``, because ``path`` cannot tell ``%2F`` from "/". Where a
    middleware rewrote only ``path``, that counts, as already decoded. ``root_path`` is stripped
    segment by segment, never as a prefix of a string: an app mounted at ``/static`` does not answer
    for ``/staticfoo``. The mount point without its slash has an empty target.

    A proxy may strip the beginning of ``root_path`` from the path. Starlette leaves that beginning
    in ``app_root_path``; without it, all of ``root_path`` may have been stripped. Old Starlette
    (before 0.33) cuts a mount off ``path``, but not off ``raw_path``.
    """
    fields = Fields.read(scope["headers"])
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    above: str = scope.get("app_root_path", root)
    raw: bytes = scope.get("raw_path") or b""
    if raw[:1] not in (b"/", b""):
        raw = origin_form(raw) or raw
        path = path if path[:1] == "/" else _decoded(raw)
    request = Request(scope["method"], raw, scope.get("query_string", b""), fields)
    spelled = _decoded(raw) if raw else None
    if spelled == path:
        return below_root(request, root, above)
    if spelled is not None and root and spelled.endswith(path):
        cut = spelled.removesuffix(path)
        if root.endswith(cut):  # the end of root_path is in raw_path alone
            return below_root(request, root, root.removesuffix(cut))
    return _rewritten(request, path, root, above)


def offers(scope: Scope, extension: str) -> bool:
    """Tell whether the server takes messages of an ASGI extension: ``pathsend`` and the like."""
    return f"http.response.{extension}" in (scope.get("extensions") or {})


def below_root(request: Request, root: str, above: str) -> Request:
    """Cut the mount point off a request's target.

    Args:
        request: its target is the whole path.
        root: the path of the mount point, as in ``root_path``.
        above: the beginning of `root` that a proxy may have stripped from the target.
    """
    path = request.target
    if not root:
        return request
    if not root.startswith(above):
        above = root
    for stripped in ("", above):
        mount, target = split_mount(path, root[len(stripped) :], decoded=request.decoded)
        if mount or target != path or root == stripped:
            before = _quoted(stripped.rstrip("/").encode("utf-8", "surrogatepass"))
            return _mounted(request, mount, target)._replace(stripped=before)
    return request


def below_prefix(request: Request, prefix: str) -> Request | None:
    """Cut a prefix off a request's target as well; None when it is not below the prefix."""
    if not prefix:
        return request
    mount, target = split_mount(request.target, prefix, decoded=request.decoded)
    if target and not mount:
        return None
    inner = _mounted(request, mount, target)
    return inner._replace(mount=request.mount + inner.mount)


def read_by_app(scope: Scope, prefix: str) -> Request | None:
    """Read a request that names no file of a root, but that an app may take for one below the prefix.

    Apps get a path with its slashes decoded, and Quart merges slashes: to a view, ``/v%2Fa`` and
    ``//v/a`` are ``/v/a``.

    Returns:
        The request, with a target that is answered 404; None if no app would take it for one.
    """
    path: str = scope["path"]
    if path[:1] != "/":
        path = _decoded(origin_form(scope.get("raw_path") or b"") or b"")
    path = _SLASHES.sub("/", f"{path}/")
    paths = (path, path.removeprefix(scope.get("root_path", "").rstrip("/")))
    if not any(each.startswith(f"{prefix}/") for each in paths):
        return None
    return read_request(scope)._replace(target=_NOT_OURS)


def _mounted(request: Request, mount: bytes, target: bytes) -> Request:
    """Return the request below a mount; the mount point itself, without slash, stays the mount."""
    if not target:
        return request._replace(target=b"", mount=request.target)
    return request._replace(target=target, mount=_quoted(mount) if request.decoded else mount)


def _rewritten(request: Request, path: str, root: str, above: str) -> Request:
    """Read a ``path`` that the client did not send: a mount cut it, or a middleware made it.

    Litestar cuts its mount point off ``path`` without naming it in ``root_path``, at any character,
    and adds a slash. Then the client's spelling is the end of ``raw_path``. With the mount point "/"
    goes the first slash; elsewhere a ``path`` without one begins inside a name.
    """
    raw = request.target
    without_slash = path[:1] != "/"
    path = f"/{path}" if without_slash else path
    made = request._replace(target=path.encode("utf-8", "surrogatepass"), decoded=True)
    wanted = path.rstrip("/") if raw[-1:] != b"/" else path
    is_cut = split_mount(made.target, root, decoded=True) == (b"", made.target)
    if wanted and is_cut and _decoded(raw).endswith(wanted):
        behind = _behind(request, wanted)
        return behind._replace(stripped=below_root(request, root, root).stripped)
    return request._replace(target=_NOT_OURS) if without_slash else below_root(made, root, above)


def _behind(request: Request, wanted: str) -> Request:
    """Return the request for the last segments of the raw target, which decode to `wanted`."""
    mount, *names = request.target.rsplit(b"/", wanted.count("/"))
    target = b"".join(b"/" + name for name in names)
    if mount[-1:] == b"/":
        return request._replace(target=_NOT_OURS)
    if _decoded(target) != wanted:
        return request  # an encoded slash: it is refused later, as everywhere
    return request._replace(target=target, mount=mount)


def _quoted(data: bytes) -> bytes:
    return quote(data).encode("ascii")


def _decoded(raw: bytes) -> str:
    text = raw.decode("latin-1")
    return unquote(text) if "%" in text else text


def _as_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def split_mount(path: bytes, root: str, *, decoded: bool) -> tuple[bytes, bytes]:
    """Split a path after the segments of its mount point.

    A path that does not begin with the mount point is returned whole, with an empty mount. For the
    mount point itself, without a slash, both parts are empty: only a relative redirect can answer.
    """
    if not root:
        return b"", path
    wanted = root.count("/")
    parts = path.split(b"/", wanted + 1)
    head = b"/".join(parts[: wanted + 1])
    reading = _as_text if decoded else _decoded
    if reading(head) == root:
        return (head, path[len(head) :]) if len(head) < len(path) else (b"", b"")
    if reading(path).startswith(root):
        return b"", _NOT_OURS  # begins with the characters of the mount, not with its segments
    return b"", path


def has_content(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether the request announces content (RFC 9112 §6.3)."""
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


def is_ambiguous(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether content is framed in two ways, so that two servers may disagree on its end.

    Such a request is answered 400, and its connection is closed (RFC 9112 §6.1).
    """
    names = {name for name, _ in headers}
    return b"transfer-encoding" in names and b"content-length" in names


async def drain(scope: Scope, receive: Receive) -> None:
    """Read a request's content, within bounds: a client cannot read while it still sends."""
    if not has_content(scope["headers"]):
        return
    left = _DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def receive_nothing() -> Receive:
    """Return a `receive` for a request without content, whose client never disconnects."""
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    return receive
