"""The floor of a Python server: an `asyncio.Protocol` on uvloop that writes what it has ready.

It parses nothing: of a request it looks only for If-None-Match. So no Python server, whatever it
serves, can cost less than this by receiving and writing. Usage: python -m bench.apps.protocol PORT
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import cast

import uvloop

CONTENT = (Path(os.environ["BENCH_ROOT"]) / "1k.js").read_bytes()
HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nETag: "floor"\r\nContent-Length: %d\r\n\r\n'
WHOLE = HEAD % len(CONTENT) + CONTENT
NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nETag: "floor"\r\n\r\n'


class Floor(asyncio.Protocol):
    """One connection; a request comes in one piece, as it does on the loopback."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(NOT_MODIFIED if b"If-None-Match" in data else WHOLE)


async def main() -> None:
    """Listen until somebody ends the process."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Floor, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
