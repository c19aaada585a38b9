"""Memory has a bound in bytes, whatever clients ask for: of the content, and of their own values."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncstatic import StaticFiles
from tests.serve.inside import Inside, serving_inside
from tests.support.raw import head

pytestmark = pytest.mark.grid

MIB = 1024 * 1024
_FILES = 40
_SMALL_FILES = 260  # as many as fit into 1 MiB, with what each takes besides
_FILE_BYTES = 60 * 1024
# Of a direct connection's caches beside the content: requests a fourth, memory files an eighth.
_BESIDE = 1.375
_BOOKKEEPING = MIB  # of tables with a bound in number: names, directories, field values


@contextmanager
def _holds_at_most(most: float) -> Iterator[None]:
    """Measure what Python still holds of what it allocated inside."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held <= most, f"{held / MIB:.2f} MiB held, of at most {most / MIB:.2f}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("root")
    for number in range(_FILES):
        (directory / f"{number}.bin").write_bytes(number.to_bytes(2) * (_FILE_BYTES // 2))
    for number in range(_SMALL_FILES):
        (directory / f"small-{number}.txt").write_bytes(b"%d" % number)
    (directory / "folder").mkdir()
    (directory / "folder" / "index.html").write_bytes(b"<!doctype html>")
    return directory


@pytest.fixture(params=[True, False], ids=["direct", "full"])
def server(request: pytest.FixtureRequest, root: Path) -> Iterator[Inside]:
    app = StaticFiles(root, cache_bytes=MIB)
    with serving_inside(app, direct=request.param, keep_alive_max_requests=10**6) as server:
        yield server


def _exchange(server: Inside, requests: Iterator[bytes], statuses: set[int]) -> None:
    with server.connect() as connection:
        for data in requests:
            connection.send(data)
            assert connection.read().status in statuses


def _ranges(kind: str) -> Iterator[bytes]:
    for number in range(_FILES):
        for part in range(4):
            first, last = part * 15_000, part * 15_000 + 14_999
            for _ in range(2):  # what is asked for again is what is kept
                if kind == "large":
                    yield head(f"/{number}.bin", f"Range: bytes={first}-{last}")
                else:
                    yield head(f"/small-{number}.txt", f"Range: bytes={part}-{part + 9}")


@pytest.mark.parametrize("kind", ["large", "small"])
def test_ranges_of_a_file_take_no_more_than_the_cache_may_hold(server: Inside, kind: str) -> None:
    with _holds_at_most(MIB * _BESIDE + _BOOKKEEPING):
        _exchange(server, _ranges(kind), {206, 416})


@pytest.mark.slow
def test_many_conditions_about_small_files_take_no_more_than_the_cache_may_hold(
    server: Inside,
) -> None:
    with server.connect() as connection:
        assert connection.get("/small-0.txt").status == 200  # buffers of the process are there
    with _holds_at_most(MIB * 1.5):
        requests = (
            head(f"/small-{number}.txt", f'If-None-Match: "{variant:0480}"')
            for number in range(_SMALL_FILES)
            for variant in range(6)
        )
        _exchange(server, requests, {200})


def _long(number: int) -> str:
    return f"{number:06}" + "a" * (3700 if number % 2 else 8000)


#: What a client can vary in a request, and what is answered.
VALUES: dict[str, Callable[[int], bytes]] = {
    "host": lambda number: head("/0.bin", f"Host: {_long(number)}"),
    "user agent": lambda number: head("/0.bin", f"User-Agent: {_long(number)}"),
    "accept": lambda number: head("/missing", f"Accept: text/{_long(number)}"),
    "accept-encoding": lambda number: head("/0.bin", f"Accept-Encoding: {_long(number)}"),
    "origin": lambda number: head("/0.bin", f"Origin: http://{_long(number)}"),
    "if-none-match": lambda number: head("/0.bin", f'If-None-Match: "{_long(number)}"'),
    "if-match": lambda number: head("/0.bin", f'If-Match: "{_long(number)}"'),
    "if-range": lambda number: head("/0.bin", f'If-Range: "{_long(number)}"', "Range: bytes=0-9"),
    "range": lambda number: head("/0.bin", f"Range: bytes=0-{number:03000}"),
    "query": lambda number: head(f"/0.bin?{_long(number)}"),
    "query of a redirect": lambda number: head(f"/folder?{_long(number)}"),
    "missing name": lambda number: head(f"/{_long(number)[:200]}"),
    "missing names": lambda number: head("/" + "/".join(["a" * 100 + str(number)] * 35)),
    "short values": lambda number: head("/0.bin", f"X: {number}", f'If-None-Match: "{number}"'),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES)
def test_values_of_clients_are_not_kept_beyond_a_bound(server: Inside, name: str) -> None:
    make = VALUES[name]
    with _holds_at_most(2 * MIB):
        requests = (make(number) for number in range(400))
        _exchange(server, requests, {200, 206, 301, 304, 308, 400, 404, 412, 414, 416})
