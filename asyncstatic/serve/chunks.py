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
        other work. Content of unknown length ends with an empty chunk.

        Raises:
            OSError, PoolBusyError, DecodingError, TransferAborted: the content cannot be finished.
        """
        left = self._plan.length
        try:
            await self._handle.sample()
            async with aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    if left is not None:
                        left -= len(chunk)
                    if left == 0:
                        await self._refuse_changed()
                    yield chunk, left != 0
                    _under_way.discard(self)
                    await asyncio.sleep(0)
            if left is None:
                await self._refuse_changed()
                yield b"", False
        finally:
            _under_way.discard(self)

    async def _refuse_changed(self) -> None:
        if not await self._handle.is_unchanged():
            raise TransferAborted("the file changed while it was sent")

    def _next_size(self) -> int:
        """Return the size of the next chunk in bytes, which counts as waiting from now on."""
        _under_way.add(self)
        return max(LARGEST >> len(_under_way) // HALVED_EVERY, SMALLEST)

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        for part in self._plan.content:
            if isinstance(part, bytes):
                yield part
                continue
            made = self._range(part) if isinstance(part, ByteRange) else self._decoded(part)
            async with aclosing(made) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _range(self, part: ByteRange) -> AsyncGenerator[bytes, None]:
        offset = part.first
        while offset <= part.last:
            chunk = await self._handle.read(offset, min(self._next_size(), part.last + 1 - offset))
            if not chunk:
                raise TransferAborted("the file became shorter while it was sent")
            offset += len(chunk)
            yield chunk

    async def _decoded(self, part: Decoded) -> AsyncGenerator[bytes, None]:
        if isinstance(self._handle, ZippedFolder):
            async with aclosing(self._handle.chunks()) as made:
                async for chunk in made:
                    yield chunk
            return
        decoding = decoder(part.coding)
        everything = ByteRange(0, self._handle.identity.length - 1)
        async with aclosing(self._range(everything)) as chunks:
            async for stored in chunks:
                for chunk in decoding.feed(stored):
                    yield chunk
        decoding.finish()
