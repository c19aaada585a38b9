"""A thousand readers that do not read: what each costs, who still answers, what is left behind."""

from __future__ import annotations

import http.client
import selectors
import socket
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, cast

from bench.client import fetch, request_bytes
from bench.measure import TreeChangedError, pinned
from bench.results import Held

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.run import Field, Tick
    from bench.servers import Server

READERS = 1000
CONNECT_SECONDS, HOLD_SECONDS, PROBE_SECONDS, LEAVE_SECONDS = 4.0, 1.0, 2.0, 0.5
RECEIVE_BUFFER = 4096
PROBES = 100
LARGE_FILE, PROBED_FILE = "/10m.bin", "/1k.js"


def run_slow(field: Field, tick: Tick) -> Iterator[Held]:
    """Hold slow readers on one server after another."""
    for server in field.servers:
        if not server.tls and not server.contender.only:
            tick("slow", server.contender.name)
            try:
                with pinned(field.cores.load):
                    held = hold(server)
            except TreeChangedError as error:
                field.notes.append(f"{server.contender.name}, slow readers: void, {error}")
            else:
                yield held


def hold(server: Server) -> Held:
    """Open the connections, ask each for the large file, read nothing, look, and leave."""
    before, handles = server.tree.proportional_bytes(), server.tree.handles()
    with ExitStack() as stack:
        asked = _ask_all(server, [_reader(stack, server.port) for _ in range(READERS)])
        time.sleep(HOLD_SECONDS)
        growth = server.tree.proportional_bytes() - before
        answer_ms = _probe(server)
    time.sleep(LEAVE_SECONDS)
    left = server.tree.handles() - handles
    return Held(server.contender.name, asked, growth, answer_ms, left)


def _reader(stack: ExitStack, port: int) -> socket.socket:
    """Return a socket that is connecting and has hardly any room for an answer."""
    reader = stack.enter_context(socket.socket())
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    reader.setblocking(False)
    reader.connect_ex(("127.0.0.1", port))
    return reader


def _ask_all(server: Server, readers: Sequence[socket.socket]) -> int:
    """Send a request on each connection as it comes up; return how many did in time."""
    request = request_bytes(server.port, server.contender.prefix + LARGE_FILE, ())
    asked, end = 0, time.monotonic() + CONNECT_SECONDS
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_WRITE)
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                selector.unregister(key.fileobj)
                with suppress(OSError):
                    asked += cast("socket.socket", key.fileobj).send(request) == len(request)
    return asked


def _probe(server: Server) -> float | None:
    """Return how long a small file takes meanwhile, in milliseconds; None when it does not come.

    It is the time that 99 of 100 requests do not exceed.
    """
    seconds = []
    for _ in range(PROBES):
        begin = time.perf_counter()
        try:
            fetch(server.port, server.contender.prefix + PROBED_FILE, patience=PROBE_SECONDS)
        except (OSError, http.client.HTTPException):
            return None
        seconds.append(time.perf_counter() - begin)
    return sorted(seconds)[PROBES * 99 // 100 - 1] * 1e3
