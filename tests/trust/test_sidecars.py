"""Never a stale sidecar and never a part of one, from real servers, while real tools write them."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest
import zstandard

from tests.support.programs import require
from tests.support.raw import Answer
from tests.support.servers import Server, serving

ACCEPT = "Accept-Encoding: gzip, deflate, br, zstd"
THEN = 1_600_000_000 * 10**9
A_TICK = 0.05  # seconds; longer than any clock tick of the kernel

_WORDS = [b"%d" % number for number in range(3000)]
SCRIPT = b" ".join(random.Random(3).choice(_WORDS) for _ in range(200_000))  # about 1 MB


def unpacked(answer: Answer) -> bytes:
    """Decode an answer's content as a browser does."""
    coding = answer.field("content-encoding")
    if coding == "br":
        return bytes(brotli.decompress(answer.content))
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(answer.content)
    return gzip.decompress(answer.content) if coding == "gzip" else answer.content


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sidecars")


@pytest.fixture(scope="module")
def server(setup: str, root: Path) -> Iterator[Server]:
    with serving(setup, root) as server:
        yield server


@pytest.mark.parametrize(
    "command", [("brotli", "-k", "-q", "11"), ("zstd", "-k", "-q", "-19"), ("gzip", "-k", "-9")]
)
def test_while_a_compressor_runs_every_answer_is_whole(
    server: Server, setup: str, root: Path, command: tuple[str, ...]
) -> None:
    """Compressors create their output at once, empty, and fill it later."""
    require(command[0], apt=command[0])
    name = f"{setup}-{command[0]}.js"
    (root / name).write_bytes(SCRIPT)
    with server.connect() as connection:
        connection.get(f"/{name}", ACCEPT)
        with subprocess.Popen([*command, str(root / name)]) as running:
            while running.poll() is None:
                answer = connection.get(f"/{name}", ACCEPT)
                assert (answer.status, unpacked(answer)) == (200, SCRIPT)
        time.sleep(A_TICK)
        answer = connection.get(f"/{name}", ACCEPT)
    assert running.returncode == 0
    assert (answer.field("content-encoding") is not None, unpacked(answer)) == (True, SCRIPT)
    assert answer.field("vary") == "Accept-Encoding"


def test_a_page_whose_time_was_set_back_is_not_sent_as_yesterdays_sidecar(
    server: Server, root: Path
) -> None:
    today, yesterday = b"<p>today " * 99, b"<p>never " * 99
    (root / "page.html.br").write_bytes(brotli.compress(yesterday))
    (root / "page.html").write_bytes(today)
    os.utime(root / "page.html", ns=(THEN, THEN))
    time.sleep(A_TICK)
    for _ in range(3):
        answer = server.fetch("/page.html", ACCEPT)
        assert (answer.field("content-encoding"), answer.content) == (None, today)
        assert answer.field("vary") == "Accept-Encoding"
    (root / "page.html.br").write_bytes(brotli.compress(today))
    assert unpacked(server.fetch("/page.html", ACCEPT)) == today
    time.sleep(A_TICK)
    assert server.fetch("/page.html", ACCEPT).field("content-encoding") == "br"


@pytest.mark.parametrize("older_ns", [1, 10**6, 3600 * 10**9])
@pytest.mark.parametrize("size", [3000, 300_000])
def test_good_sidecars_are_sent_however_old_they_look(
    server: Server, root: Path, size: int, older_ns: int
) -> None:
    content = SCRIPT[:size]
    name = f"older-{size}-{older_ns}.js"
    (root / name).write_bytes(content)
    for suffix, compress in COMPRESSORS.items():
        path = root / f"{name}{suffix}"
        path.write_bytes(compress(content))
        os.utime(path, ns=(THEN - older_ns, THEN - older_ns))
    os.utime(root / name, ns=(THEN, THEN))
    for coding in ("br", "zstd", "gzip"):
        answer = server.fetch(f"/{name}", f"Accept-Encoding: {coding}")
        assert (answer.field("content-encoding"), unpacked(answer)) == (coding, content)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".br": lambda content: bytes(brotli.compress(content, quality=3)),
    ".zst": zstandard.ZstdCompressor().compress,
    ".gz": gzip.compress,
}


def test_a_refused_sidecar_is_named_once_in_the_log(setup: str, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_bytes(SCRIPT)
    (tmp_path / "a.js.gz").write_bytes(gzip.compress(SCRIPT[:-1], 1))
    time.sleep(A_TICK)
    with serving(setup, tmp_path) as server:
        for _ in range(5):
            assert server.fetch("/a.js", ACCEPT).content == SCRIPT
        assert server.log.count("sidecar a.js.gz is not used: it decodes to less") == 1


def test_an_original_that_is_rewritten_again_and_again_is_never_answered_by_an_old_sidecar(
    server: Server, root: Path
) -> None:
    """Each version of the sidecar is right for one version of the page, in one order or the other."""
    page, sidecar = root / "often.html", root / "often.html.br"
    with server.connect() as connection:
        for number in range(60):
            content = b"<p>version %03d " % number * 50
            for path, data in ((page, content), (sidecar, brotli.compress(content)))[
                :: 1 - 2 * (number % 2)
            ]:
                path.write_bytes(data)
                answer = connection.get("/often.html", ACCEPT)
                assert unpacked(answer) == page.read_bytes()
