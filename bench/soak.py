"""A soak: millions of mixed requests and rude clients, after which nothing may have grown."""

from __future__ import annotations

import random
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from bench import contenders
from bench.client import fetch, request_bytes
from bench.load import Job, choose_generator
from bench.machine import describe, in_a_sentence
from bench.native import Stage
from bench.run import choose_cores
from bench.servers import free_port, running
from bench.site import COMPRESSED_NAME, SEED, build_site
from bench.tables import MIB, Table, markdown
from bench.workloads import BROWSER_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from bench.client import Fields
    from bench.servers import Server
    from bench.site import Site

SLICE_SECONDS = 5.0
CONNECTIONS = 32
FILES = 2_000
LEAVERS = 200
SETTLE_SECONDS = 1.0

# The first fifth fills the caches; growth is counted from there.
WARM_UP_SHARE = 0.2
TOLERATED_GROWTH = 0.03


@dataclass(frozen=True)
class Look:
    """The server after so many requests, at rest."""

    requests: int
    memory_bytes: int
    handles: int
    threads: int


def soak(name: str, requests: int, folder: Path, say: Callable[[str], None]) -> list[Look]:
    """Send at least `requests` requests to one contender and look at it after every slice.

    Raises:
        RuntimeError: a transfer broke under the load.
    """
    root = folder / "root"
    root.mkdir()
    site, cores = build_site(root, FILES, 1), choose_cores()
    stage = Stage(root, free_port(), folder / "server")
    with running(contenders.BY_NAME[name], stage, cores.server) as server:
        looks = [_look(server, 0)]
        mixture = _mixture(server, site)
        while looks[-1].requests < requests:
            done = _load(server, mixture, cores.load)
            _leave_early(server)
            looks.append(_look(server, looks[-1].requests + done))
            say(f"{looks[-1].requests:,} of {requests:,} requests")
    return looks


def _load(server: Server, mixture: tuple[bytes, ...], core: int | None) -> int:
    """Run one slice of load and return how many requests were answered."""
    _, generate = choose_generator()
    figures = generate(Job(server.port, mixture, CONNECTIONS, SLICE_SECONDS, core))
    if figures.broken:
        raise RuntimeError(f"{figures.broken} broken transfers during the soak")
    return figures.requests


def _mixture(server: Server, site: Site) -> tuple[bytes, ...]:
    """Return requests of every kind, from well-behaved clients and from others, shuffled."""
    tag = fetch(server.port, "/1k.js").fields["etag"]
    special: tuple[tuple[str, Fields], ...] = (
        ("/1k.js", ()),
        ("/64k.js", BROWSER_FIELDS),
        ("/1k.js", (*BROWSER_FIELDS, ("If-None-Match", tag))),
        ("/10m.bin", (("Range", "bytes=5000000-5065535"),)),
        ("/64k.js", (("Range", "bytes=0-99,200-299,-5"),)),
        ("/64k.js", (("Range", "bytes=99999999-"),)),
        (f"/{COMPRESSED_NAME}", BROWSER_FIELDS),
        ("/no/such/file.js", BROWSER_FIELDS),
        ("/..%2f..%2fetc/passwd", ()),
        ("/%zz", ()),
        ("/1k.js", (("Cookie", "x" * 3000),)),
    )
    plain = ((path, ()) for path in site.many)
    repeated = ((path, fields) for path, fields in special for _ in range(len(site.many) // 10))
    requests = [request_bytes(server.port, path, fields) for path, fields in (*plain, *repeated)]
    random.Random(SEED).shuffle(requests)  # noqa: S311 - reproducible order, not a secret
    return tuple(requests)


def _leave_early(server: Server) -> None:
    """Ask for a large file many times over, and hang up in the middle of each answer."""
    for _ in range(LEAVERS):
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port), timeout=5) as client,
        ):
            client.sendall(request_bytes(server.port, "/10m.bin", ()))
            client.recv(1000)


def _look(server: Server, requests: int) -> Look:
    time.sleep(SETTLE_SECONDS)
    tree = server.tree
    return Look(requests, tree.proportional_bytes(), tree.handles(), tree.threads())


def growth(looks: Sequence[Look]) -> float:
    """Return by what share the memory of the last third exceeds that of the first after warm-up."""
    steady = looks[max(1, int(len(looks) * WARM_UP_SHARE)) :]
    third = max(1, len(steady) // 3)
    early = mean(look.memory_bytes for look in steady[:third])
    return mean(look.memory_bytes for look in steady[-third:]) / early - 1


def verdict(looks: Sequence[Look]) -> str:
    """Return what the looks mean, in a sentence."""
    grown = growth(looks)
    memory = "flat" if grown <= TOLERATED_GROWTH else "GROWING"
    handles = "flat" if looks[-1].handles <= looks[1].handles else "GROWING"
    return (
        f"Memory is {memory} ({grown:+.1%} from the first third after warm-up to the last), "
        f"handles are {handles} ({looks[1].handles} after the first slice, "
        f"{looks[-1].handles} after the last)."
    )


def page(name: str, looks: Sequence[Look]) -> str:
    """Return the report as a Markdown page."""
    machine = describe()
    lines = tuple(
        (f"{k.requests:,}", f"{k.memory_bytes / MIB:.1f}", str(k.handles), str(k.threads))
        for k in _spread(looks)
    )
    note = (
        f"`{contenders.BY_NAME[name].title}`, one worker. Requests of every kind: whole files, "
        f"browser fields, 304, single and several ranges, 416, precompressed, 404, 400; "
        f"after each slice {LEAVERS} clients hang up in mid-transfer. "
        f"Memory is the proportional set size of the process tree at rest."
    )
    table = Table(
        "Result", verdict(looks), ("requests", "memory, MiB", "handles", "threads"), lines
    )
    where = f"{in_a_sentence(machine)}; {machine['date']}."
    return f"# Soak\n\n{note}\n\n{where}\n\nMade by `python -m bench soak`.\n\n{markdown(table)}"


def _spread(looks: Sequence[Look]) -> Iterator[Look]:
    """Yield about twenty looks, the first and the last among them."""
    step = max(1, len(looks) // 20)
    yield from looks[:-1:step]
    yield looks[-1]
