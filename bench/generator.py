"""The built-in load generator, on asyncio: for machines without wrk, and for cold files.

Run as a program it takes its settings as JSON and a file of requests, separated by NUL.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.client import numbered, trusting_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

READ_SIZE = 1 << 18


@dataclass
class Tally:
    """The answers so far."""

    latencies: list[float] = field(default_factory=list)
    octets: int = 0
    broken: int = 0
    statuses_from_400: int = 0

    def answer(self, head: bytes, seconds: float) -> None:
        """Count one complete answer, by its head in lower case."""
        self.latencies.append(seconds)
        self.statuses_from_400 += head[9:10] in b"45"

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.latencies + other.latencies,
            self.octets + other.octets,
            self.broken + other.broken,
            self.statuses_from_400 + other.statuses_from_400,
        )

    def figures(self, seconds: float) -> dict[str, float]:
        """Return the tally in the shape of `bench.load.Figures`."""
        ordered = sorted(self.latencies) or [0.0]
        return {
            "requests": len(self.latencies),
            "bytes": self.octets,
            "seconds": seconds,
            "p50_us": ordered[len(ordered) // 2] * 1e6,
            "p99_us": ordered[len(ordered) * 99 // 100] * 1e6,
            "broken": self.broken,
            "statuses_from_400": self.statuses_from_400,
        }


async def generate(
    requests: Sequence[bytes], *, port: int, connections: int, seconds: float, tls: bool,
    most: int | None, rate: float | None, number: int,
) -> dict[str, float]:  # fmt: skip
    """Send `requests` as `bench.load.Job` says."""
    tally, begin = Tally(), time.perf_counter()
    turn = Turn(requests, most, rate, number)
    end = begin + seconds
    context = trusting_context() if tls else None
    await asyncio.gather(
        *(_client(turn, tally, end, port, context) for _ in range(connections)),
    )
    return tally.figures(time.perf_counter() - begin)


class Turn:
    """The requests that all connections take their next one from, when it is time for it.

    It polls the clock, because a selector waits for whole milliseconds.
    """

    def __init__(
        self, requests: Sequence[bytes], most: int | None, rate: float | None, number: int
    ) -> None:
        self.requests = itertools.islice(itertools.cycle(requests), most)
        self.numbers = itertools.count(number)
        self.interval = 1 / rate if rate else 0
        self.slot = 0.0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for request in self.requests:
            self.slot = slot = max(self.slot + self.interval, time.perf_counter())
            while self.interval and time.perf_counter() < slot:  # noqa: ASYNC110 - see Turn
                await asyncio.sleep(0)
            yield numbered(request.decode(), next(self.numbers)).encode()


async def _client(
    turn: Turn, tally: Tally, end: float, port: int, context: ssl.SSLContext | None
) -> None:
    """Send requests one after another until `end`; connect anew when the server closes."""
    reader, writer = None, None
    async for request in turn:
        try:
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            if not await _exchange(request, tally, reader, writer):
                writer.close()
                reader = None
        except (OSError, asyncio.IncompleteReadError, ValueError):
            tally.broken += 1
            reader = None
        if time.perf_counter() > end:
            break
    if writer:
        writer.close()


async def _exchange(
    request: bytes, tally: Tally, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Send one request and read its answer; return whether the connection can be used again."""
    begin = time.perf_counter()
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = await _skip_content(head, reader)
    tally.answer(head, time.perf_counter() - begin)
    tally.octets += len(head) + length
    return head.startswith(b"http/1.1") and b"\r\nconnection: close" not in head


async def _skip_content(head: bytes, reader: asyncio.StreamReader) -> int:
    """Read the content that belongs to `head` and return its length."""
    if head[9:12] == b"304":
        return 0
    if b"\r\ntransfer-encoding: chunked" in head:
        return await _skip_chunks(reader)
    length = int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])
    await _skip(reader, length)
    return length


async def _skip_chunks(reader: asyncio.StreamReader) -> int:
    total = 0
    while size := int(await reader.readline(), 16):
        await _skip(reader, size + len(b"\r\n"))
        total += size
    await reader.readline()
    return total


async def _skip(reader: asyncio.StreamReader, size: int) -> None:
    """Read `size` octets without keeping them."""
    while size:
        data = await reader.read(min(size, READ_SIZE))
        if not data:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(data)


def main() -> None:
    """Run the generator as its arguments say: settings as JSON, a file of requests."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    requests = Path(sys.argv[2]).read_bytes().split(b"\0")
    print("FIGURES", json.dumps(asyncio.run(generate(requests, **settings))))


if __name__ == "__main__":
    main()
