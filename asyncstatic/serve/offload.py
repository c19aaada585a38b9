"""Offload lanes: let somebody else send the octets.

Three ways, from near to far. A server that offers ``http.response.zerocopysend`` sends from
our open handle: same bytes, same checks, no copy. One that offers ``http.response.pathsend``
opens the file once more by its name, so only a tree that does not change may be sent like
this. And a server in front of ours, told by X-Accel-Redirect or X-Sendfile, opens it too.

The first two are detected in each request's ``scope["extensions"]``, never by server name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from asyncstatic.files.handle import Handle
from asyncstatic.files.sidecar import SUFFIXES
from asyncstatic.files.source import Opened
from asyncstatic.http.model import ByteRange, Decoded, Representation, ResponsePlan
from asyncstatic.http.policy import KEPT_BY_FRONT_SERVER
from asyncstatic.serve.cut import TransferAborted
from asyncstatic.serve.scope import Message
from asyncstatic.settings import Settings

# What one message asks the server to send, in octets: the clock of the send timeout.
_WINDOW = 1024 * 1024


# -- zerocopysend: from our handle ---------------------------------------------------------------


class _File:
    """What ASGI calls a file: something with a `fileno`."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def fileno(self) -> int:
        """Return the descriptor; it is the handle's, and closed by its owner."""
        return self._handle.fd


def takes_handles(extensions: Mapping[str, Any], plan: ResponsePlan) -> bool:
    """Tell whether the server sends this plan from an open handle."""
    return "http.response.zerocopysend" in extensions and plan.length is not None


async def handle_messages(plan: ResponsePlan, handle: Handle) -> AsyncIterator[Message]:
    """Yield the messages that send a plan from a handle, window by window.

    Each window is in the page cache before it is asked for, since sendfile(2) would make the
    server's loop wait for the disk.

    Raises:
        OSError, PoolBusyError: the disk failed.
        TransferAborted: the file changed while it was sent.
    """
    await handle.sample()
    file = _File(handle)
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
                    "file": file,
                    "offset": offset,
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


def by_name(
    extensions: Mapping[str, Any], plan: ResponsePlan, opened: Opened, root: str | None
) -> str | None:
    """Return the path of the file whose whole content the plan is, if the server may open it.

    Args:
        extensions: of the request.
        plan: what is to be sent.
        opened: what its content comes from.
        root: the path of a root that does not change; None: of one that may.
    """
    if root is None or "http.response.pathsend" not in extensions:
        return None
    facts = opened.representation
    if plan.content != (ByteRange(0, facts.length - 1),):
        return None
    return "/".join((root, *facts.segments)) + SUFFIXES.get(facts.coding, "")


# -- X-Accel-Redirect, X-Sendfile: the server in front -------------------------------------------


def handed_over(
    plan: ResponsePlan, opened: Opened | None, settings: Settings, root: str
) -> ResponsePlan:
    """Return the plan that makes the server in front send a file, where it can.

    It answers ranges and conditions itself, with validators of its own, and drops our
    Content-Encoding. So it is given whole files as they are; all else stays with us: what is
    in memory, precompressed, an error or a 304, or has a name that servers read differently.

    Args:
        plan: our own answer.
        opened: what its content comes from.
        settings: `offload` and `offload_prefix` are used.
        root: the path of the root.
    """
    if opened is None or opened.handle is None or plan.status not in (200, 206):
        return plan
    facts = opened.representation
    if facts.coding != "identity" or any(isinstance(part, Decoded) for part in plan.content):
        return plan
    location = _location(facts, settings, root)
    if location is None:
        return plan
    fields = [field for field in plan.fields if field[0] in KEPT_BY_FRONT_SERVER]
    if plan.status == 206:  # of several ranges the type is multipart: the whole has its own
        fields = [field for field in fields if not field[1].startswith(b"multipart/byteranges")]
    named = (settings.offload.encode("ascii"), location)
    return ResponsePlan(200, (named, (b"content-length", b"0"), *fields))


def _location(facts: Representation, settings: Settings, root: str) -> bytes | None:
    """Name the file as the server in front reads names; None where that cannot be said.

    nginx decodes percent-encoding (since 1.5.9). Of the two that take X-Sendfile, lighttpd does
    and Apache's mod_xsendfile 0.12 does not: to both, octets without "%" mean the same.
    """
    prefix = settings.offload_prefix or root
    path = "/".join((prefix.rstrip("/"), *facts.segments))
    if settings.offload == "x-accel-redirect":
        return quote(path).encode("ascii")
    if "%" in path or not path.isprintable() or path.endswith(" "):
        return None
    return path.encode()
