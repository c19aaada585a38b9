"""The portable entry: send a plan by ASGI messages, on any server.

Small content leaves as one message. Large content leaves in chunks (`Chunks`), and the event loop
runs once between them: `send` of common servers never raises after a disconnect, so a watcher
listens on `receive` and needs time to run. Where the server offers to send from our file itself, it
is told what to send (`offload`).

A transfer that cannot be finished - the file changed, the disk failed, the client stalls - never
ends cleanly, and is reported (`cut`). Over HTTP/1.1 an exception makes the server close the
connection inside the content. Over HTTP/2 and 3 servers would not reset the stream, so the content
ends short of its Content-Length, which clients must treat as malformed (RFC 9113 §8.1.1).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from contextvars import ContextVar

from asyncstatic.files.decoding import DecodingError
from asyncstatic.files.handle import Handle
from asyncstatic.files.pool import PoolBusyError
from asyncstatic.files.source import Opened
from asyncstatic.http.model import ByteRange, Decoded, ResponsePlan
from asyncstatic.serve.chunks import Chunks
from asyncstatic.serve.cut import TransferAborted, report_cut
from asyncstatic.serve.offload import by_name, handle_messages, takes_handles
from asyncstatic.serve.scope import Message, Receive, Scope, Send, offers

_LAST_WORD = 1.0  # seconds for the last message of an aborted transfer
ONE_MESSAGE = 64 * 1024  # bytes of a file that leave in one message, if they are in the page cache
# The errors that interrupt content.
UNFINISHED = (OSError, PoolBusyError, DecodingError, TimeoutError, TransferAborted)

#: Is set when the connection of a request is lost, where the host tells. A client that has only
#: ended its own side waits for its answer (RFC 9112 §9.6), and servers report it by the same
#: ``http.disconnect`` as one that has left.
connection_lost: ContextVar[asyncio.Event] = ContextVar("connection_lost")


class _ClientGoneError(Exception):
    """The client has disconnected."""


async def send_plan(
    plan: ResponsePlan,
    opened: Opened | None,
    scope: Scope,
    receive: Receive,
    send: Send,
    send_timeout: float,
    unchanging_root: str | None,
) -> None:
    """Send a response.

    Args:
        plan: the response.
        opened: the representation of its byte ranges; not closed here.
        scope: of the request; its HTTP version decides how a transfer is aborted.
        receive: ASGI receive; it tells of a disconnect while large content is sent.
        send: ASGI send.
        send_timeout: seconds without progress after which the client is dropped.
        unchanging_root: the root's path, where the server may open files below it by name.

    Raises:
        TransferAborted: over HTTP/1.1, when the content cannot be finished.
    """
    fields = list(plan.fields)
    start: Message = {"type": "http.response.start", "status": plan.status, "headers": fields}
    whole = in_memory(plan, opened)
    if whole is not None or opened is None or opened.handle is None:
        try:
            await _send_whole(start, whole or b"", scope, send, send_timeout)
        except TimeoutError as error:
            await _abort(scope, send, report_cut(plan, opened, 0, error))
        return
    sender = _Sender(send, send_timeout)
    watcher = asyncio.ensure_future(_until_disconnect(scope, receive, sender))
    try:
        await sender.send(start)
        if takes_handles(scope, plan):
            async for message in handle_messages(plan, opened.handle):
                await sender.send(message)
        elif (path := by_name(scope, plan, opened, unchanging_root)) is not None:
            await send({"type": "http.response.pathsend", "path": path})
        else:
            await sender.send_content(plan, opened.handle)
    except _ClientGoneError:
        return
    except UNFINISHED as error:
        await _abort(scope, send, report_cut(plan, opened, sender.sent_bytes, error))
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


async def _send_whole(
    start: Message, content: bytes, scope: Scope, send: Send, send_timeout: float
) -> None:
    """Send a response whose content is in memory.

    Raises:
        TimeoutError: over HTTP/2, where a client may open no window for the smallest content.
    """
    async with asyncio.timeout(None if may_abort(scope) else send_timeout):
        await send(start)
        await send({"type": "http.response.body", "body": content, "more_body": False})


async def send_page(
    plan: ResponsePlan, send: Send, method: str = "GET", kind: str = "http.response"
) -> None:
    """Send a response whose content is in the plan; without it for HEAD.

    Args:
        plan: the response.
        send: ASGI send.
        method: of the request.
        kind: of the messages; "websocket.http.response" denies a WebSocket.
    """
    await send({"type": f"{kind}.start", "status": plan.status, "headers": list(plan.fields)})
    content = b"" if method == "HEAD" else in_memory(plan, None)
    await send({"type": f"{kind}.body", "body": content, "more_body": False})


async def send_hints(plan: ResponsePlan, scope: Scope, send: Send) -> None:
    """Send the links of a page in advance (103, RFC 8297), where the server can."""
    if offers(scope, "early_hint"):
        links = [value for name, value in plan.fields if name == b"link"]
        if links:
            await send({"type": "http.response.early_hint", "links": links})


def in_memory(plan: ResponsePlan, opened: Opened | None) -> bytes | None:
    """Return the content if all its bytes are in memory, else None.

    Such content is literal bytes, content that the source holds, or a small range of an unchanged
    file that is in the page cache.
    """
    content, handle = (None, None) if opened is None else (opened.content, opened.handle)
    parts: list[bytes] = []
    is_read = False
    for part in plan.content:
        if isinstance(part, bytes):
            parts.append(part)
        elif isinstance(part, Decoded):
            return None
        elif content is not None:
            parts.append(content[part.first : part.last + 1])
        else:
            data = None if handle is None else _read_at_once(plan, handle, part)
            if data is None:
                return None
            parts.append(data)
            is_read = True
    if is_read and handle is not None and not handle.is_unchanged_nowait():
        return None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _read_at_once(plan: ResponsePlan, handle: Handle, part: ByteRange) -> bytes | None:
    """Read a part of a small response, if all of it is in the page cache."""
    if plan.length is None or plan.length > ONE_MESSAGE:
        return None
    data = handle.read_nowait(part.first, part.length)
    return data if data is not None and len(data) == part.length else None


def may_abort(scope: Scope) -> bool:
    """Tell whether an exception makes the server abort the response: over HTTP/1."""
    version: str = scope.get("http_version", "1.1")
    return version < "2"


async def _until_disconnect(scope: Scope, receive: Receive, sender: _Sender) -> None:
    """Wait until the client has gone.

    A middleware that has read the request's content may repeat it at each call, without waiting: it
    never tells of a disconnect, and would hold the event loop.
    """
    ended = False
    while (message := await receive())["type"] != "http.disconnect":
        if ended:
            return
        ended = not message.get("more_body", False)
    lost = connection_lost.get(None)
    if lost is not None and may_abort(scope):
        await lost.wait()
    sender.client_has_gone()


async def _abort(scope: Scope, send: Send, reason: str) -> None:
    if may_abort(scope):
        raise TransferAborted(reason)
    # The stream may be closed already, or its window may be; ending short is the intention anyway.
    with suppress(Exception):
        async with asyncio.timeout(_LAST_WORD):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Sender:
    """Sends messages to one client, each within the deadline.

    Attributes:
        sent_bytes: bytes of content that the server accepted.
    """

    def __init__(self, send: Send, timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self.sent_bytes = 0
        self._waiting: asyncio.Timeout | None = None
        self._client_gone = False

    def client_has_gone(self) -> None:
        """Stop waiting: on some servers a send to a closed connection never returns."""
        self._client_gone = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def send_content(self, plan: ResponsePlan, handle: Handle) -> None:
        """Send all parts as body messages."""
        async with aclosing(aiter(Chunks(plan, handle))) as chunks:
            async for chunk, more in chunks:
                await self.send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            _ClientGoneError: the client has disconnected.
            TimeoutError: no progress within the deadline.
        """
        try:
            async with asyncio.timeout(self._timeout) as self._waiting:
                if not self._client_gone:
                    await self._send(message)
                    self.sent_bytes += len(message.get("body", b"")) + message.get("count", 0)
        except TimeoutError:
            if not self._client_gone:
                raise
        except OSError as error:  # means that the client has gone, in ASGI 2.4 and later
            if "file" in message and not isinstance(error, ConnectionError):
                raise  # from the disk
            self._client_gone = True
        finally:
            self._waiting = None
        if self._client_gone:
            raise _ClientGoneError
