"""Offload: another program sends the content.

There are three ways. A server that offers ``http.response.zerocopysend`` sends from our open file:
same bytes, same checks, no copy. A server that offers ``http.response.pathsend`` opens the file
again by its name, so the tree must not change. A server in front of ours opens the file by the name
in X-Accel-Redirect or X-Sendfile.

The first two are detected in each request's ``scope["extensions"]``, never by server name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

from asyncstatic.files.handle import Handle
from asyncstatic.files.source import Opened
from asyncstatic.files.spelling import for_os
from asyncstatic.http.model import (
    SUFFIXES,
    ByteRange,
    Representation,
    Request,
    ResponsePlan,
)
from asyncstatic.http.policy import KEPT_BY_FRONT_SERVER, ResponsePolicy
from asyncstatic.serve.cut import TransferAborted
from asyncstatic.serve.scope import Message, Scope, offers
from asyncstatic.settings import Settings

# Bytes per message. Each message must be sent within the send timeout.
_WINDOW = 1024 * 1024


# -- zerocopysend: from our handle ---------------------------------------------------------------


def takes_handles(scope: Scope, plan: ResponsePlan) -> bool:
    """Tell whether the server can send this plan from an open file.

    Not below a framework that names itself in the scope (Starlette, FastAPI, Litestar): its
    middleware (BaseHTTPMiddleware, GZipMiddleware) fails at this message, or drops it.
    """
    return offers(scope, "zerocopysend") and "app" not in scope and plan.length is not None


async def handle_messages(plan: ResponsePlan, handle: Handle) -> AsyncIterator[Message]:
    """Yield the messages that send a plan from a handle, window by window.

    Each window is loaded into the page cache first; otherwise sendfile(2) would make the server's
    event loop wait for the disk.

    Raises:
        OSError, PoolBusyError: the disk failed.
        TransferAborted: the file changed while it was sent.
    """
    await handle.sample()
    parts = list(plan.content)
    for position, part in enumerate(parts):
        more_parts = position + 1 < len(parts)
        if isinstance(part, bytes):
            if not more_parts:
                await _refuse_changed(handle)
            yield {"type": "http.response.body", "body": part, "more_body": more_parts}
        elif isinstance(part, ByteRange):
            for offset, count in _windows(part):
                await handle.warm(offset, count)
                await _refuse_changed(handle)
                yield {
                    "type": "http.response.zerocopysend",
                    "file": handle,
                    "offset": handle.offset + offset,
                    "count": count,
                    "more_body": more_parts or offset + count <= part.last,
                }


def _windows(part: ByteRange) -> Iterator[tuple[int, int]]:
    for offset in range(part.first, part.last + 1, _WINDOW):
        yield offset, min(_WINDOW, part.last + 1 - offset)


async def _refuse_changed(handle: Handle) -> None:
    if not await handle.is_unchanged():
        raise TransferAborted("the file changed while it was sent")


# -- pathsend: by name ---------------------------------------------------------------------------


def by_name(scope: Scope, plan: ResponsePlan, opened: Opened, root: str | None) -> str | None:
    """Return the path of the file, if the plan is its whole content and the server may open it.

    Not below Litestar, whose compression drops this message. Starlette's middleware passes it on.

    Args:
        scope: of the request.
        plan: the response.
        opened: the representation.
        root: the path of the root; None if the root may change.
    """
    if root is None or not offers(scope, "pathsend") or "litestar_app" in scope:
        return None
    facts = opened.representation
    if facts.identity.part is not None or plan.content != (ByteRange(0, facts.length - 1),):
        return None
    below = for_os("/".join(facts.segments))
    return f"{root}/{below}{SUFFIXES.get(facts.coding, '')}"


# -- X-Accel-Redirect, X-Sendfile: the server in front -------------------------------------------


def location_in_front(
    opened: Opened, settings: Settings, root: str, policy: ResponsePolicy
) -> bytes | None:
    """Return the name by which the server in front sends a file; None if we send it ourselves.

    That server sends whole, uncoded files. We send the others: content in memory, precompressed
    files, members of archives, and names that servers read differently.

    Args:
        opened: the representation.
        settings: `offload` and `offload_prefix` are used.
        root: the path of the root.
        policy: of the root.
    """
    facts = opened.representation
    if settings.offload == "off" or opened.handle is None or policy.is_coded(facts):
        return None
    if facts.decoding is not None or facts.identity.part is not None:
        return None
    return _location(facts, settings, root)


def without_tag_of_front(request: Request) -> Request:
    """Return a request for a file that the server in front sends: it evaluates If-Match.

    The client has the entity-tag of that server, which is never ours.
    """
    return request._replace(fields=request.fields._replace(if_match=None))


def handed_over(
    plan: ResponsePlan, location: bytes, settings: Settings, policy: ResponsePolicy
) -> ResponsePlan:
    """Return the plan that makes the server in front send a file.

    It answers ranges and conditions itself, with its own validators. An error and a 304 stay ours.

    Args:
        plan: our own answer.
        location: the name of the file, from `location_in_front`.
        settings: `offload` is used.
        policy: of the root; the fields that its rules name are kept.
    """
    if plan.status not in (200, 206):
        return plan
    kept = KEPT_BY_FRONT_SERVER | policy.rulebook.names
    fields = [field for field in plan.fields if field[0] in kept]
    if plan.status == 206:  # of several ranges the type is multipart: the whole has its own
        fields = [field for field in fields if not field[1].startswith(b"multipart/byteranges")]
    named = (settings.offload.encode("ascii"), location)
    return ResponsePlan(200, (named, (b"content-length", b"0"), *fields))


def _location(facts: Representation, settings: Settings, root: str) -> bytes | None:
    """Return the name of the file in the syntax of the server in front; None if there is none.

    nginx decodes percent-encoding (since 1.5.9). With X-Sendfile, lighttpd decodes it and Apache's
    mod_xsendfile 0.12 does not; a name without "%" means the same to both.
    """
    prefix = settings.offload_prefix or root
    path = "/".join((prefix.rstrip("/"), *facts.segments))
    if settings.offload == "x-accel-redirect":
        return quote(path).encode("ascii")
    if "%" in path or not path.isprintable() or path.endswith(" "):
        return None
    return path.encode()
