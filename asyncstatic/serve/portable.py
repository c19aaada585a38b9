"""The portable lane: carry a plan out with ASGI messages, on any server.

What is small leaves as one message. What is large leaves in pieces that grow while the client
keeps up, with one turn of the loop between them: `send` of common servers never raises
after a disconnect, so a watcher listens on `receive` and needs its turn to be heard.

A transfer that cannot be finished - the file changed, the disk failed, the client stalls -
is never ended cleanly. Over HTTP/1.1 the exception lets the server close the connection inside
the content; over HTTP/2 and 3, where servers would not reset the stream, it ends short of
its Content-Length, which clients must treat as malformed (RFC 9113 §8.1.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from asyncstatic.files.decoding import DecodingError, decoder
from asyncstatic.files.handle import Handle
from asyncstatic.files.pool import PoolBusyError
from asyncstatic.files.source import Opened, logger
from asyncstatic.http.model import ByteRange, Decoded, ResponsePlan
from asyncstatic.serve.scope import Message, Receive, Scope, Send

FIRST_CHUNK = 32 * 1024
LARGEST_CHUNK = 256 * 1024
ONE_MESSAGE = 64 * 1024
# A send that took longer than this waited for the client: keep what it holds small.
_AT_ONCE = 0.001


class TransferAborted(Exception):  # noqa: N818 - it names what happened, and is no error of ours
    """The content cannot be finished; the connection must not end cleanly."""


class _ClientGoneError(Exception):
    """Nobody is listening any more."""


async def send_plan(
    plan: ResponsePlan,
    opened: Opened | None,
    scope: Scope,
    receive: Receive,
    send: Send,
    send_timeout: float,
) -> None:
    """Send a response.

    Args:
        plan: what to send.
        opened: where its byte ranges come from; not closed here.
        scope: of the request; its HTTP version decides how a transfer is aborted.
        receive: listened on for a disconnect, while large content is sent.
        send: ASGI send.
        send_timeout: seconds without progress after which the client is dropped.

    Raises:
        TransferAborted: over HTTP/1.1, when the content could not be finished.
    """
    start: Message = {
        "type": "http.response.start",
        "status": plan.status,
        "headers": list(plan.fields),
    }
    whole = in_memory(plan, opened)
    if whole is not None or opened is None or opened.handle is None:
        await send(start)
        await send({"type": "http.response.body", "body": whole or b"", "more_body": False})
        return
    sender = _Sender(send, send_timeout)
    watcher = asyncio.ensure_future(_until_disconnect(receive, sender))
    try:
        await send(start)
        await sender.send_content(plan, opened.handle)
    except _ClientGoneError:
        return
    except (OSError, PoolBusyError, DecodingError, TimeoutError, TransferAborted) as error:
        logger.info("transfer aborted: %r", error)
        await _abort(scope, send, error)
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


def in_memory(plan: ResponsePlan, opened: Opened | None) -> bytes | None:
    """Return the content if all its octets are in memory, else None."""
    content = opened.content if opened is not None else None
    parts = []
    for part in plan.content:
        if isinstance(part, bytes):
            parts.append(part)
        elif content is None or isinstance(part, Decoded):
            return None
        else:
            parts.append(content[part.first : part.last + 1])
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _until_disconnect(receive: Receive, sender: _Sender) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    sender.client_gone = True


async def _abort(scope: Scope, send: Send, error: Exception) -> None:
    if scope.get("http_version", "1.1") < "2":
        raise TransferAborted(str(error) or type(error).__name__) from error
    with suppress(Exception):  # the stream may be gone already; short is what we want
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Sender:
    """Sends content piece by piece, with pieces as large as the client keeps up with."""

    def __init__(self, send: Send, timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self._chunk = FIRST_CHUNK
        self.client_gone = False

    async def send_content(self, plan: ResponsePlan, handle: Handle) -> None:
        """Send all parts; the last piece only when the file is still what it was.

        The last piece carries ``more_body=False``, so one piece is always held back.
        """
        held: bytes | None = None
        async for piece in self._pieces(plan, handle):
            if held is not None:
                await self._send_piece(held, more=True)
            held = piece
        if handle.changed():
            raise TransferAborted("the file changed while it was sent")
        await self._send_piece(held or b"", more=False)

    async def _pieces(self, plan: ResponsePlan, handle: Handle) -> AsyncIterator[bytes]:
        for part in plan.content:
            if isinstance(part, bytes):
                yield part
            elif isinstance(part, Decoded):
                async for piece in self._decoded(part, handle):
                    yield piece
            else:
                async for piece in self._range(part, handle):
                    yield piece

    async def _range(self, part: ByteRange, handle: Handle) -> AsyncIterator[bytes]:
        offset = part.first
        while offset <= part.last:
            piece = await handle.read(offset, min(self._chunk, part.last + 1 - offset))
            if not piece:
                raise TransferAborted("the file became shorter while it was sent")
            yield piece
            offset += len(piece)

    async def _decoded(self, part: Decoded, handle: Handle) -> AsyncIterator[bytes]:
        decoding = decoder(part.coding)
        everything = ByteRange(0, handle.identity.size - 1)
        async for stored in self._range(everything, handle):
            for piece in decoding.feed(stored):
                yield piece
        decoding.finish()

    async def _send_piece(self, piece: bytes, *, more: bool) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(self._timeout):
            await self._send({"type": "http.response.body", "body": piece, "more_body": more})
            await asyncio.sleep(0)
        if self.client_gone:
            raise _ClientGoneError
        at_once = loop.time() - began < _AT_ONCE
        self._chunk = min(self._chunk * 2, LARGEST_CHUNK) if at_once else FIRST_CHUNK
