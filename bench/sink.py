"""A load generator for large contents: it discards them in the kernel, faster than anyone can send.

With a reader that is slower than the server, the sender's work is done when acknowledgements
arrive, on the reader's core and at the reader's cost: a server would look cheaper the slower its
client is. recv(2) with MSG_TRUNC takes octets off a TCP socket without copying them.

Run as a program it takes its settings as JSON and a file of requests.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.generator import Tally

DISCARD_SIZE = 1 << 20
HEAD_SIZE = 1 << 16
CHUNK_LINE_SIZE = 18  # sixteen hexadecimal digits and CRLF
PATIENCE_SECONDS = 30


class Sink:
    """One connection that asks for the same thing again and again."""

    def __init__(self, port: int, request: bytes, tally: Tally, end: float) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.request = request
        self.tally = tally
        self.end = end
        self.rubbish = bytearray(DISCARD_SIZE)

    def run(self) -> None:
        """Exchange until the time is up; the last answer may stay incomplete."""
        with self.connection:
            while time.perf_counter() < self.end and self.exchange():
                pass

    def exchange(self) -> bool:
        """Send the request, discard the answer, and return whether more may be asked."""
        begin = time.perf_counter()
        self.connection.sendall(self.request)
        head = self.read_head()
        if b"\r\ntransfer-encoding: chunked" in head:
            complete = self.discard_chunks()
        else:
            length = head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0]
            complete = self.discard(int(length))
        if complete:
            self.tally.answer(head, time.perf_counter() - begin)
        return complete and head.startswith(b"http/1.1") and b"\r\nconnection: close" not in head

    def read_head(self) -> bytes:
        """Read up to the empty line and no further."""
        while True:
            seen = self.peek(HEAD_SIZE)
            end = seen.find(b"\r\n\r\n") + 4
            if end > 3:
                self.tally.octets += end
                return self.connection.recv(end, socket.MSG_WAITALL).lower()

    def discard(self, size: int) -> bool:
        """Drop `size` octets; return whether all came before the time was up."""
        while size and time.perf_counter() < self.end:
            wanted = min(size, DISCARD_SIZE)
            dropped = self.connection.recv_into(self.rubbish, wanted, socket.MSG_TRUNC)
            if not dropped:
                raise ConnectionError("the server closed in mid-content")
            size -= dropped
            self.tally.octets += dropped
        return not size

    def discard_chunks(self) -> bool:
        """Drop a chunked content (RFC 9112 section 7.1); return whether all of it came in time."""
        while time.perf_counter() < self.end:
            line, found, _ = self.peek(CHUNK_LINE_SIZE).partition(b"\r\n")
            if found:
                self.connection.recv(len(line) + 2, socket.MSG_WAITALL)
                size = int(line, 16)
                if not self.discard(size + 2):
                    return False
                if not size:
                    return True
        return False

    def peek(self, size: int) -> bytes:
        """Return what has arrived, at least one octet, and leave it there."""
        seen = self.connection.recv(size, socket.MSG_PEEK)
        if not seen:
            raise ConnectionError("the server closed before its answer")
        return seen


def drain(requests: list[bytes], *, port: int, connections: int, seconds: float) -> Tally:
    """Keep `connections` connections busy for `seconds`."""
    end = time.perf_counter() + seconds
    tallies = [Tally() for _ in range(connections)]
    with ThreadPoolExecutor(connections) as pool:
        for number, tally in enumerate(tallies):
            request = requests[number % len(requests)]
            pool.submit(_drain_one, port, request, tally, end)
    return sum(tallies, Tally())


def _drain_one(port: int, request: bytes, tally: Tally, end: float) -> None:
    """Open connection after connection, for servers that close each."""
    while time.perf_counter() < end:
        try:
            Sink(port, request, tally, end).run()
        except (OSError, ValueError, IndexError):
            tally.broken += 1
            return


def main() -> None:
    """Run the generator as its arguments say."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    requests = Path(sys.argv[2]).read_bytes().split(b"\0")
    begin = time.perf_counter()
    print("FIGURES", json.dumps(drain(requests, **settings).figures(time.perf_counter() - begin)))


if __name__ == "__main__":
    main()
