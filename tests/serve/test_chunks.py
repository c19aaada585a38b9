"""Content in chunks: large while few are under way, small when many are, and one run of the event loop between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from asyncstatic.files.handle import Handle, identity_of
from asyncstatic.files.pool import Pool
from asyncstatic.http.model import ByteRange, ResponsePlan
from asyncstatic.serve import chunks
from asyncstatic.serve.chunks import LARGEST, SMALLEST, Chunks

SIZE = 4 * 1024 * 1024
MIB = 1024 * 1024
WHOLE = ResponsePlan(200, (), (ByteRange(0, SIZE - 1),))

Content = AsyncGenerator[tuple[bytes, bool], None]


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[Handle]:
    path = tmp_path / "large.bin"
    path.write_bytes(b"L" * SIZE)
    pool = Pool(1, 10.0)
    with path.open("rb", buffering=0) as file:
        yield Handle(file.fileno(), identity_of(path.stat()), pool)
    pool.close()


def content(handle: Handle) -> Content:
    return aiter(Chunks(WHOLE, handle))


@pytest.fixture
async def waiting() -> AsyncIterator[AsyncExitStack]:
    """Transfers whose clients do not read; closed at the end."""
    async with AsyncExitStack() as stack:
        yield stack


async def held_by(handle: Handle, clients: int, waiting: AsyncExitStack) -> list[int]:
    """The bytes that each of so many clients is given, and does not take."""
    transfers = [
        await waiting.enter_async_context(aclosing(content(handle))) for _ in range(clients)
    ]
    return [len((await anext(transfer))[0]) for transfer in transfers]


async def test_a_transfer_alone_gets_the_largest_chunks(handle: Handle) -> None:
    taken = [chunk async for chunk, _ in content(handle)]
    assert {len(chunk) for chunk in taken} == {LARGEST}
    assert sum(map(len, taken)) == SIZE


async def test_a_thousand_clients_that_take_nothing_hold_little(
    handle: Handle, waiting: AsyncExitStack
) -> None:
    held = await held_by(handle, 1000, waiting)
    assert sum(held) < 1000 * SMALLEST + 4 * MIB
    assert set(held) >= {LARGEST, SMALLEST}
    assert held == sorted(held, reverse=True)


async def test_chunks_of_one_size_would_hold_much(
    handle: Handle, waiting: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the test above would prove nothing."""
    monkeypatch.setattr(chunks, "SMALLEST", LARGEST)
    assert sum(await held_by(handle, 1000, waiting)) > 128 * MIB


async def test_a_client_that_takes_its_content_makes_no_other_chunk_small(handle: Handle) -> None:
    """A hundred transfers side by side: none waits when another's chunk is read."""

    async def take_all() -> set[int]:
        return {len(chunk) async for chunk, _ in content(handle)}

    assert await asyncio.gather(*(take_all() for _ in range(100))) == [{LARGEST}] * 100


@pytest.mark.parametrize("end", ["closed", "cancelled", "failed"])
async def test_when_a_client_goes_the_next_gets_large_chunks_again(
    handle: Handle, end: str
) -> None:
    async def send(began: asyncio.Event) -> None:
        async with aclosing(content(handle)) as transfer:
            async for _ in transfer:
                began.set()
                if end == "cancelled":
                    await asyncio.sleep(60)
                if end == "failed":
                    raise OSError
                return

    for _ in range(100):
        began = asyncio.Event()
        task = asyncio.create_task(send(began))
        await began.wait()
        if end == "cancelled":
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None or end == "failed"
    async with aclosing(content(handle)) as transfer:
        assert len((await anext(transfer))[0]) == LARGEST


async def test_the_loop_runs_between_two_chunks(handle: Handle) -> None:
    """A disconnect is heard, and nobody else waits for a whole file."""
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    turn()
    seen = [turns async for _ in content(handle)]
    assert seen == sorted(set(seen))
