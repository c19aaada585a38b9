"""Large content in chunks, for hosts that send bytes.

A chunk costs 40 us on every host, so large chunks are cheaper: in chunks of 16 KiB, 10 MiB cost
four times as much as in chunks of 256 KiB. But a chunk that the client does not read stays in
memory. No host can tell a slow client early, because its socket accepts megabytes as fast as any
other. So the more chunks wait, the smaller is the next. A thousand clients that do not read hold
16 KiB each and a few MiB more together, and the bytes in the transports' own buffers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from asyncstatic.files.decoding import decoder
from asyncstatic.files.handle import Handle
from asyncstatic.files.zipped import ZippedFolder
from asyncstatic.http.model import ByteRange, Decoded, ResponsePlan
from asyncstatic.serve.cut import TransferAborted

LARGEST = 256 * 1024
SMALLEST = 16 * 1024
HALVED_EVERY = 8  # waiting chunks, after which the size of the next is halved
_under_way: set[Chunks] = set()  # of this process: a chunk was read and not yet sent


class Chunks:
    """The content of a plan, chunk by chunk.

    Args:
        plan: the response.
        handle: the file that its ranges are read from; not closed here.
    """

    def __init__(self, plan: ResponsePlan, handle: Handle) -> None:
        self._plan = plan
        self._handle = handle

    async def __aiter__(self) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Yield chunks, each with whether more follow; the last only if the file is unchanged.

        The next chunk is read only after the host took the one before, and the event loop ran
        other work.

        Raises:
            OSError, PoolBusyError, DecodingError, TransferAborted: the content cannot be finished.
        """
        try:
            await self._handle.sample()
            async with aclosing(self._chunks()) as chunks:
                async for chunk, more in chunks:
                    if not more and not await self._handle.is_unchanged():
                        raise TransferAborted("the file changed while it was sent")
                    yield chunk, more
                    _under_way.discard(self)
                    await asyncio.sleep(0)
        finally:
            _under_way.discard(self)

    def _next_size(self) -> int:
        """Return the size of the next chunk in bytes, which counts as waiting from now on."""
        _under_way.add(self)
        return max(LARGEST >> len(_under_way) // HALVED_EVERY, SMALLEST)

    async def _chunks(self) -> AsyncGenerator[tuple[bytes, bool], None]:
        last = len(self._plan.content) - 1
        for index, part in enumerate(self._plan.content):
            async with aclosing(self._part(part)) as chunks:
                async for chunk, ends in chunks:
                    yield chunk, index < last or not ends

    async def _part(
        self, part: bytes | ByteRange | Decoded
    ) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Yield the chunks of a part, each with whether the part ends with it."""
        if isinstance(part, bytes):
            yield part, True
        elif isinstance(part, ByteRange):
            async with aclosing(self._range(part)) as chunks:
                async for chunk, offset in chunks:
                    yield chunk, offset > part.last
        else:
            held = b""  # the last chunk is known only when the next is not there
            async with aclosing(self._decoded(part)) as decoded:
                async for chunk in decoded:
                    if held:
                        yield held, False
                    held = chunk
            yield held, True

    async def _range(self, part: ByteRange) -> AsyncGenerator[tuple[bytes, int], None]:
        """Yield chunks of the file, each with the offset of its end."""
        offset = part.first
        while offset <= part.last:
            chunk = await self._handle.read(offset, min(self._next_size(), part.last + 1 - offset))
            if not chunk:
                raise TransferAborted("the file became shorter while it was sent")
            offset += len(chunk)
            yield chunk, offset

    async def _decoded(self, part: Decoded) -> AsyncGenerator[bytes, None]:
        if isinstance(self._handle, ZippedFolder):
            async with aclosing(self._handle.chunks()) as made:
                async for chunk in made:
                    yield chunk
            return
        decoding = decoder(part.coding)
        everything = ByteRange(0, self._handle.identity.length - 1)
        async with aclosing(self._range(everything)) as chunks:
            async for stored, _ in chunks:
                for chunk in decoding.feed(stored):
                    yield chunk
        decoding.finish()
