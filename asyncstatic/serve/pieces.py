"""Content in pieces, for hosts that take octets: as large as is cheap, as small as must be.

A piece costs 40 us wherever it goes, so large ones are cheaper: 16 KiB at a time, 10 MiB cost four
times what they do 256 KiB at a time. But the piece a client does not take stays in memory, and no
host tells before whether it will: a client that never reads takes megabytes into its socket, as
fast as any. So the more pieces are under way, the smaller the next. A thousand clients that do not
read hold 16 KiB each, and a few MiB more together; and what the transport gathers before it says
stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from asyncstatic.files.decoding import decoder
from asyncstatic.files.handle import Handle
from asyncstatic.http.model import ByteRange, Decoded, ResponsePlan
from asyncstatic.serve.cut import TransferAborted

LARGEST = 256 * 1024
SMALLEST = 16 * 1024
HALVED_EVERY = 8  # pieces under way
_under_way: set[Pieces] = set()  # of this process, as memory is: read, and not yet taken


class Pieces:
    """The content of a plan, piece by piece.

    Args:
        plan: what is sent.
        handle: where its ranges come from; not closed here.
    """

    def __init__(self, plan: ResponsePlan, handle: Handle) -> None:
        self._plan = plan
        self._handle = handle

    async def __aiter__(self) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Yield pieces, each with whether more follow; the last only if the file is unchanged.

        The next is read only when the one before has been taken, and the loop has turned.

        Raises:
            OSError, PoolBusyError, DecodingError, TransferAborted: there is no more to send.
        """
        try:
            await self._handle.sample()
            async with aclosing(self._pieces()) as pieces:
                async for piece, more in pieces:
                    if not more and not await self._handle.is_unchanged():
                        raise TransferAborted("the file changed while it was sent")
                    yield piece, more
                    _under_way.discard(self)
                    await asyncio.sleep(0)
        finally:
            _under_way.discard(self)

    def _octets(self) -> int:
        """How large the next piece of the file shall be; it is under way from now on."""
        _under_way.add(self)
        return max(LARGEST >> len(_under_way) // HALVED_EVERY, SMALLEST)

    async def _pieces(self) -> AsyncGenerator[tuple[bytes, bool], None]:
        last = len(self._plan.content) - 1
        for index, part in enumerate(self._plan.content):
            async with aclosing(self._part(part)) as pieces:
                async for piece, ends in pieces:
                    yield piece, index < last or not ends

    async def _part(
        self, part: bytes | ByteRange | Decoded
    ) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Yield the pieces of a part, each with whether the part ends with it."""
        if isinstance(part, bytes):
            yield part, True
        elif isinstance(part, ByteRange):
            async with aclosing(self._range(part)) as pieces:
                async for piece, offset in pieces:
                    yield piece, offset > part.last
        else:
            held = b""  # where it ends is known only then
            async with aclosing(self._decoded(part)) as pieces_decoded:
                async for piece in pieces_decoded:
                    if held:
                        yield held, False
                    held = piece
            yield held, True

    async def _range(self, part: ByteRange) -> AsyncGenerator[tuple[bytes, int], None]:
        """Yield pieces of the file, each with the offset behind it."""
        offset = part.first
        while offset <= part.last:
            piece = await self._handle.read(offset, min(self._octets(), part.last + 1 - offset))
            if not piece:
                raise TransferAborted("the file became shorter while it was sent")
            offset += len(piece)
            yield piece, offset

    async def _decoded(self, part: Decoded) -> AsyncGenerator[bytes, None]:
        decoding = decoder(part.coding)
        everything = ByteRange(0, self._handle.identity.size - 1)
        async with aclosing(self._range(everything)) as pieces:
            async for stored, _ in pieces:
                for piece in decoding.feed(stored):
                    yield piece
        decoding.finish()
