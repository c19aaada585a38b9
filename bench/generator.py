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

from bench.client import trusting_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

READ_SIZE = 1 << 18


@dataclass
class Tally:
    """What the generator has seen so far."""

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
    requests: Sequence[bytes], *, port: int, connections: int, seconds: float, tls: bool, once: bool
) -> dict[str, float]:
    """Send `requests` in turn over `connections` connections, for `seconds` or `once` through."""
    tally, begin = Tally(), time.perf_counter()
    turn = iter(requests) if once else itertools.cycle(requests)
    end = begin + seconds
    context = trusting_context() if tls else None
    await asyncio.gather(
        *(_client(turn, tally, end, port, context) for _ in range(connections)),
    )
    return tally.figures(time.perf_counter() - begin)


async def _client(
    turn: Iterator[bytes], tally: Tally, end: float, port: int, context: ssl.SSLContext | None
) -> None:
    """Send requests one after another until `end`; connect anew when the server closes."""
    reader, writer = None, None
    for request in turn:
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
