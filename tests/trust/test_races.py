"""Names exchanged for links out of the root under a server, over the wire: no foreign byte.

A server of the usual kind - resolve the path, compare strings, open - is shown to fail first.
"""

from __future__ import annotations

import ctypes
import gzip
import http.server
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.raw import Answer, Connection, EndedError
from tests.support.servers import serving
from tests.support.site import write_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "renameat2"),
        reason="needs renameat2(2) from Linux and its libc",
    ),
]

FOREIGN = b"foreign octets" * 9
SECONDS = 0.4  # a round; ten seconds by all of them
PATIENCE = 20.0  # for the naive server to fail
GZIP = "Accept-Encoding: gzip"

SWAPPER = """
import ctypes, os, sys
AT_FDCWD, RENAME_EXCHANGE = -100, 2
renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
a, b = map(os.fsencode, sys.argv[1:])
print("ready", flush=True)
while renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0:
    pass
sys.exit(os.strerror(ctypes.get_errno()))
"""

SITE = {
    "site/page.html": b"own page",
    "site/dir/page.html": b"own page below",
    "site/dir/index.html": b"own index",
    "site/app.js": b"own script" * 12
    + b"123456",  # as long as the foreign one, for the gzip trailer
    "site/app.js.gz": b"",  # written below
    "site/big/big.bin": b"own" * 100_000,
    "outside/page.html": FOREIGN,
    "outside/index.html": FOREIGN,
    "outside/app.js": FOREIGN,
    "outside/app.js.gz": b"",
    "outside/big.bin": FOREIGN * 3000,
}

#: What is exchanged with a link to what, and what is asked for meanwhile.
RACES = [
    pytest.param("page.html", "outside/page.html", "/page.html", (), id="file"),
    pytest.param("dir", "outside", "/dir/page.html", (), id="directory"),
    pytest.param("dir/index.html", "outside/index.html", "/dir/", (), id="index"),
    pytest.param("dir", "outside", "/dir/", (), id="directory-of-an-index"),
    pytest.param("app.js.gz", "outside/app.js.gz", "/app.js", (GZIP,), id="sidecar"),
    pytest.param("big", "outside", "/big/big.bin", (), id="large"),
    pytest.param("big", "outside", "/big/big.bin", ("Range: bytes=-14",), id="range"),
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_site(tmp_path, SITE)
    (tmp_path / "site/app.js.gz").write_bytes(gzip.compress(SITE["site/app.js"], mtime=0))
    foreign = gzip.compress(FOREIGN, compresslevel=0, mtime=0)  # stored: its bytes can be seen
    (tmp_path / "outside/app.js.gz").write_bytes(foreign)
    return tmp_path


@contextmanager
def swapping(name: Path, target: Path) -> Iterator[None]:
    """Exchange a name with a link to a target, without pause, in another process."""
    bait = name.with_name("bait")
    bait.symlink_to(target)
    command = [sys.executable, "-c", SWAPPER, str(name), str(bait)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"ready\n"
        try:
            yield
            assert swapper.poll() is None, "the swapper gave up: there was no race"
        finally:
            swapper.kill()


def kind_of(answer: Answer) -> str:
    """What came: bytes of ours, of others, or a status."""
    if b"foreign" in answer.content:
        return "foreign"
    return "own" if answer.status in (200, 206) else str(answer.status)


def asked(
    port: int, target: str, lines: tuple[str, ...], seconds: float, until: str = ""
) -> Counter[str]:
    """Ask again and again, for a time or until one kind of answer came."""
    seen: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not seen[until]:
        with Connection(port) as connection:
            try:
                while time.monotonic() < end and not seen[until]:
                    seen[kind_of(connection.get(target, *lines))] += 1
            except (EndedError, ConnectionError):
                seen["ended"] += 1
    return seen


@contextmanager
def naive_server(root: Path) -> Iterator[int]:
    """Canonicalise, compare, open: right at each step, and wrong."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = os.path.realpath(f"{root}{self.path}")
            status, content = 404, b"missing"
            if path.startswith(f"{root}{os.sep}"):
                try:
                    with open(path, "rb") as file:
                        status, content = 200, file.read()
                except OSError:
                    pass
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_compares_paths_gives_foreign_bytes_away(base: Path) -> None:
    root = base / "site"
    with naive_server(root) as port, swapping(root / "dir", base / "outside"):
        assert asked(port, "/dir/page.html", (), PATIENCE, until="foreign")["foreign"]


@pytest.mark.parametrize("resolver", ["openat2", "walk"])
@pytest.mark.parametrize(("name", "target", "request_target", "lines"), RACES)
def test_no_foreign_byte_is_sent_while_names_are_exchanged(
    base: Path,
    setup: str,
    resolver: str,
    name: str,
    target: str,
    request_target: str,
    lines: tuple[str, ...],
) -> None:
    root = base / "site"
    with serving(setup, root, resolver=resolver) as server, swapping(root / name, base / target):
        seen = asked(server.port, request_target, lines, SECONDS)
    assert not seen["foreign"], seen
    assert seen["own"], "it never won"
    # A sidecar that leads out is none: then the original answers.
    assert seen["404"] or name == "app.js.gz", "it was never tempted"
    assert not {kind for kind in seen if kind[0] == "5" and kind != "503"}, seen
