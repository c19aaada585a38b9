"""A file that only grows is sent whole, from every entry; one that is rewritten ends visibly short."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serve.inside import eventually
from tests.support.core import parts_of
from tests.support.http2 import Connection2, StreamError
from tests.support.meanwhile import meanwhile
from tests.support.programs import require
from tests.support.raw import HOST, Answer, Connection, head
from tests.support.servers import Server, environment, free_port, running
from tests.support.tls import over_tls

pytestmark = pytest.mark.grid

SIZE = 8 * 1024 * 1024 + 5  # more than the socket buffers of both ends hold
OLD = random.Random(1).randbytes(SIZE)
NEW = random.Random(2).randbytes(SIZE)
TAKEN = 100_000  # bytes that a client has taken when the file changes

_QUART = """
from quart import Quart
from asyncstatic import AsyncStatic, send_file, send_from_directory

app = Quart("growing", static_folder=None)
if EXTENDED:
    AsyncStatic(app, ROOT)


@app.get("/sent/<name>")
async def sent(name):
    return await send_from_directory(ROOT, name)


@app.get("/file/<name>")
async def file(name):
    return await send_file(f"{ROOT}/{name}")
"""

_BIND = f"{HOST}:{{port}}"
_SERVE = ("-m", "asyncstatic", "serve", "{root}", "--bind", _BIND)
_HYPERCORN = ("-m", "hypercorn", "--bind", _BIND)
_UVICORN = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--port", "{port}")
_MOUNTS = "tests.support.mounts:app"
_DIRECT = "asyncstatic.serve.uvicorn:DirectHttpProtocol"
_TLS = ("--certfile", "{chain}", "--keyfile", "{key}")


@dataclass(frozen=True)
class Entry:
    """A way to run a root: the command, what precedes the name of a file, the environment."""

    command: tuple[str, ...]
    prefix: str = "/"
    mount: str = ""
    tls: bool = False
    direct: bool = True


ENTRIES = {
    "serve": Entry(_SERVE),
    "serve over TLS": Entry((*_SERVE, *_TLS), tls=True),
    "serve --no-direct": Entry((*_SERVE, "--no-direct")),
    "serve --no-direct over TLS": Entry((*_SERVE, "--no-direct", *_TLS), tls=True),
    "hypercorn": Entry((*_HYPERCORN, "asyncstatic:app")),
    "hypercorn, portable": Entry((*_HYPERCORN, "asyncstatic:app"), direct=False),
    "uvicorn": Entry((*_UVICORN, "asyncstatic:app")),
    "Uvicorn protocol": Entry((*_UVICORN, "--http", _DIRECT, "asyncstatic:app")),
    "Starlette": Entry((*_HYPERCORN, _MOUNTS), "/static/", "starlette"),
    "StaticMiddleware": Entry((*_HYPERCORN, _MOUNTS), "/static/", "quart"),
    "AsyncStatic": Entry((*_HYPERCORN, "extended:app"), "/static/"),
    "send_from_directory": Entry((*_HYPERCORN, "plain:app"), "/sent/"),
    "send_file with AsyncStatic": Entry((*_HYPERCORN, "extended:app"), "/file/"),
}


class Running:
    """A server of one entry, and its root."""

    def __init__(self, server: Server, entry: Entry, root: Path, chain: str) -> None:
        self.server = server
        self.root = root
        self._entry = entry
        self._chain = chain

    @property
    def speaks_no_http_2(self) -> bool:
        return self._entry.tls or "uvicorn" in self._entry.command

    def url(self, name: str) -> str:
        scheme = "https" if self._entry.tls else "http"
        return f"{scheme}://{HOST}:{self.server.port}{self.target(name)}"

    def target(self, name: str) -> str:
        return f"{self._entry.prefix}{name}"

    def connect(self, receive_buffer: int | None = None) -> Connection:
        connection = self.server.connect(receive_buffer=receive_buffer)
        return over_tls(connection, self._chain) if self._entry.tls else connection

    def get(self, name: str, *lines: str) -> Answer:
        with self.connect() as connection:
            return connection.get(self.target(name), *lines)

    def get_while(self, name: str, change: Callable[[], object], *lines: str) -> Answer:
        """Get a file with a client that reads on when it has changed."""
        with self.connect(receive_buffer=16_384) as connection:
            connection.send(head(self.target(name), *lines))
            connection.receive(TAKEN)
            change()
            return connection.read()


@pytest.fixture(scope="module", params=ENTRIES)
def entry(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    certificate: tuple[str, str],
) -> Iterator[Running]:
    entry, (chain, key) = ENTRIES[request.param], certificate
    home = tmp_path_factory.mktemp("growing")
    root = home / "site"
    root.mkdir()
    for name, extended in (("plain", False), ("extended", True)):
        (home / f"{name}.py").write_text(f"ROOT, EXTENDED = {str(root)!r}, {extended}\n{_QUART}")
    command = [
        part.replace("{root}", str(root)).replace("{chain}", chain).replace("{key}", key)
        for part in entry.command
    ]
    variables = {"ASYNCSTATIC_DIRECT": str(int(entry.direct))}
    variables |= {"ASYNCSTATIC_ROOT": str(root), "MOUNT_ROOT": str(root), "MOUNT_HOST": entry.mount}
    start = over_tls_running if entry.tls else running
    with start(command, variables, str(home)) as server:
        yield Running(server, entry, root, chain)


@contextmanager
def over_tls_running(
    command: Sequence[str], variables: Mapping[str, str], home: str
) -> Iterator[Server]:
    """Run a server that a plain client cannot ask whether it is there."""
    port, log = free_port(), Path(home, "log")
    arguments = [sys.executable, *(part.replace("{port}", str(port)) for part in command)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            cwd=home,
            env=environment(**variables),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        assert eventually(lambda: listens(port), seconds=30), server.log
        yield server
    finally:
        server.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


# -- what happens to a file while it is sent -------------------------------------------------


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(NEW[:100_000])


def touch(path: Path) -> None:
    os.utime(path)


def set_time_back(path: Path) -> None:
    os.utime(path, (1_500_000_000, 1_500_000_000))


def change_mode(path: Path) -> None:
    path.chmod(0o640)


def append_and_touch(path: Path) -> None:
    append(path)
    touch(path)


def replace(path: Path) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(NEW)
    fresh.replace(path)


def rotate(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.1"))
    path.write_bytes(NEW[:1000])


def unlink(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, SIZE // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def copy_and_truncate(path: Path) -> None:
    """As logrotate's copytruncate does, with a writer that goes on."""
    empty(path)
    with path.open("ab") as file:
        file.write(NEW + NEW)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(NEW)


def rewrite_and_grow(path: Path) -> None:
    rewrite(path)
    append(path)


def rewrite_the_end(path: Path) -> None:
    """As a writer does that keeps an index at the end of what it has written."""
    with path.open("r+b") as file:
        file.seek(SIZE - 100)
        file.write(NEW[:100_000])


WHOLE = [append, touch, set_time_back, change_mode, append_and_touch, replace, rotate, unlink]
SHORT = [
    *(truncate, empty, copy_and_truncate),
    *(rewrite, rewrite_and_grow, rewrite_the_end),
]


@pytest.fixture
def path(entry: Running) -> Iterator[Path]:
    path = entry.root / "large.bin"
    path.write_bytes(OLD)
    yield path
    for left in entry.root.iterdir():
        left.unlink()


@pytest.mark.parametrize("change", WHOLE)
def test_a_file_whose_promised_content_stays_is_sent_whole(
    entry: Running, path: Path, change: Callable[[Path], None]
) -> None:
    reported = reports(entry)
    answer = entry.get_while(path.name, lambda: change(path))
    assert (answer.status, answer.complete) == (200, True)
    assert answer.content == OLD
    assert reports(entry) == reported


@pytest.mark.parametrize("change", SHORT)
def test_a_file_whose_promised_content_changes_ends_short_with_one_line_in_the_log(
    entry: Running, path: Path, change: Callable[[Path], None]
) -> None:
    before = len(reports(entry))
    answer = entry.get_while(path.name, lambda: change(path))
    assert (answer.status, answer.complete) == (200, False)
    assert TAKEN < len(answer.content) < SIZE
    assert eventually(lambda: len(reports(entry)) == before + 1), entry.server.log
    report = reports(entry)[-1]
    assert re.fullmatch(rf"cut '/large.bin' after \d+ of {SIZE} bytes: the file .*", report)
    assert "Traceback" not in entry.server.log
    assert entry.get(path.name, "Range: bytes=0-0").status in (206, 416)


def reports(entry: Running) -> list[str]:
    """The lines of our log that report a transfer."""
    return [line for line in entry.server.log.splitlines() if line.startswith("cut ")]


RANGES = {
    "first": ("bytes=0-7000000", [(0, 7_000_001)]),
    "middle": ("bytes=1000000-7999999", [(1_000_000, 8_000_000)]),
    "suffix": ("bytes=-7000000", [(SIZE - 7_000_000, SIZE)]),
    "open": ("bytes=500000-", [(500_000, SIZE)]),
    "several": ("bytes=0-2999999,4000000-7999999", [(0, 3_000_000), (4_000_000, 8_000_000)]),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("change", [append, touch, rewrite])
def test_a_range_of_a_file_that_grows_is_sent_whole_and_of_one_that_is_rewritten_is_not(
    entry: Running, path: Path, name: str, change: Callable[[Path], None]
) -> None:
    asked, expected = RANGES[name]
    answer = entry.get_while(path.name, lambda: change(path), f"Range: {asked}")
    assert answer.status == 206
    assert answer.complete is (change is not rewrite)
    if answer.complete:
        contents = [answer.content]
        if len(expected) > 1:
            parts = parts_of(answer.field("content-type") or "", answer.content)
            contents = [content for *_, content in parts]
        assert contents == [OLD[first:end] for first, end in expected]


# -- files that are written all the time -----------------------------------------------------


def writer(path: Path, pause: float) -> Callable[[threading.Event], None]:
    """Append a line again and again."""

    def work(ended: threading.Event) -> None:
        with path.open("ab", buffering=0) as file:
            while not ended.wait(pause):
                file.write(b"one more line\n")

    return work


@pytest.mark.parametrize("pause", [0.02, 0.0005], ids=["50 times a second", "always"])
@pytest.mark.parametrize("size", [20_000, 60_000, 300_000, 3_000_000])
def test_a_log_that_is_appended_to_is_always_served(
    entry: Running, size: int, pause: float
) -> None:
    path = entry.root / f"app-{size}.log"
    path.write_bytes(OLD[:size])
    lines = [(), (f"Range: bytes={size // 2}-{size - 1}",), ("Range: bytes=-500",)]
    with meanwhile(writer(path, pause)):
        answers = [(number % 3, entry.get(path.name, *lines[number % 3])) for number in range(30)]
    content = path.read_bytes()
    assert [answer.status for _, answer in answers] == [200, 206, 206] * 10
    for kind, answer in answers:
        assert answer.complete
        if kind == 0:
            assert content.startswith(answer.content)
        elif kind == 1:
            assert answer.content == OLD[size // 2 : size]
        else:
            assert answer.content in content


def test_curl_downloads_a_log_that_is_appended_to(entry: Running) -> None:
    """The foreign witness: exit status 18 is a transfer that was cut."""
    path = entry.root / "curl.log"
    path.write_bytes(OLD[: 3 * 1024 * 1024])
    command = [require("curl", apt="curl"), "-sS", "-k", "--limit-rate", "8M", "-o", os.devnull]
    with meanwhile(writer(path, 0.02)), ThreadPoolExecutor(8) as clients:
        ranges = [[], ["-r", "0-2000000"], ["-r", "-2500000"], ["-r", "100-"]] * 2
        runs = [
            clients.submit(
                subprocess.run, [*command, *options, entry.url(path.name)], capture_output=True
            )
            for options in ranges
        ]
        ended = [run.result() for run in runs]
    assert [(run.returncode, run.stderr) for run in ended] == [(0, b"")] * len(ended)


@pytest.mark.parametrize("change", [append, touch, rewrite, truncate])
def test_over_http_2(entry: Running, path: Path, change: Callable[[Path], None]) -> None:
    """Short of its Content-Length: malformed (RFC 9113 section 8.1.1), and still reported once."""
    if entry.speaks_no_http_2:
        pytest.skip("speaks no HTTP/2 without TLS")
    before = len(reports(entry))
    with Connection2(entry.server.port) as connection:
        stream = connection.request(entry.target(path.name))
        connection.until_content(stream)
        change(path)
        try:
            content = connection.read(stream).content
        except StreamError:
            assert change not in WHOLE
            assert eventually(lambda: len(reports(entry)) == before + 1), entry.server.log
        else:  # of a file that is rewritten only if all of it had left before
            assert content == OLD
            assert len(reports(entry)) == before
    assert "Traceback" not in entry.server.log
