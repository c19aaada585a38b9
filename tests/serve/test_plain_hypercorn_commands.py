"""The command ``hypercorn`` with the direct entry: its loops, workers, sockets, TLS and releases."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncstatic.serve.hypercorn_seam import KNOWN
from tests.serve.inside import eventually
from tests.support.programs import require
from tests.support.raw import HOST, head
from tests.support.servers import environment, free_port

pytestmark = pytest.mark.grid

_APP = """
import os
from quart import Quart, request
from asyncstatic import AsyncStatic

app = Quart(__name__, static_folder=None)
AsyncStatic(app, os.environ["SITE"], "/static")


@app.post("/upload")
async def upload():
    return await request.get_data()


@app.websocket("/echo")
async def echo():
    pass
"""
_REQUEST = head("/static/css/app.css", "Connection: close")


class Command:
    """A running ``hypercorn``."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def hypercorn(
    folder: Path,
    site: Path,
    *options: str,
    python: str = sys.executable,
    variables: Mapping[str, str] | None = None,
    fds: tuple[int, ...] = (),
) -> Iterator[Command]:
    """Run the command until it says where it listens."""
    (folder / "mysite.py").write_text(_APP)
    env = environment(SITE=str(site), ASYNCSTATIC_ROOT=str(site), **(variables or {}))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "hypercorn", *options],
            cwd=folder,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=fds,
            start_new_session=True,
        )
    command = Command(process, log)
    try:
        assert eventually(lambda: "Running on" in command.log, 40), command.log
        yield command
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def ask(address: tuple[str, int] | str, request: bytes = _REQUEST) -> bytes:
    """Return all that comes back for a request, over TCP or a Unix socket."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(20)
        client.connect(address)
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def assert_direct(answer: bytes) -> None:
    """h11 sends no reason phrase, the direct entry does."""
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    assert answer.endswith(b"body { color: #123 }\n")


#: How Hypercorn is started, besides its address.
OPTIONS = {
    "asyncio": (),
    "uvloop": ("-k", "uvloop"),
    "two workers": ("-w", "2"),
    "two workers, uvloop": ("-w", "2", "-k", "uvloop"),
    "reload": ("--reload",),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_static_files_are_direct_and_the_rest_is_the_apps(
    options: tuple[str, ...], site: Path, tmp_path: Path
) -> None:
    port = free_port()
    with hypercorn(tmp_path, site, "-b", f"{HOST}:{port}", *options, "mysite:app") as command:
        for _ in range(3):
            assert_direct(ask((HOST, port)))
        upload = head("/upload", "Content-Length: 3", "Connection: close", method="POST") + b"abc"
        assert ask((HOST, port), upload).endswith(b"\r\n\r\nabc")
        assert b"404" in ask((HOST, port), head("/static/missing", "Connection: close"))
        assert "asyncstatic: direct: /static/" in command.log
    assert command.process.returncode == 0
    assert "Traceback" not in command.log


def test_the_first_sentence_of_the_readme_is_direct(site: Path, tmp_path: Path) -> None:
    port = free_port()
    with hypercorn(tmp_path, site, "-b", f"{HOST}:{port}", "asyncstatic:app") as command:
        assert_direct(ask((HOST, port), head("/css/app.css", "Connection: close")))
    assert re.search(r"\[INFO\] asyncstatic: direct: /\n.*Running on", command.log)


def test_the_variable_switches_it_off(site: Path, tmp_path: Path) -> None:
    port, off = free_port(), {"ASYNCSTATIC_DIRECT": "0"}
    with hypercorn(
        tmp_path, site, "-b", f"{HOST}:{port}", "asyncstatic:app", variables=off
    ) as command:
        answer = ask((HOST, port), head("/css/app.css", "Connection: close"))
        assert answer.startswith(b"HTTP/1.1 200 \r\n")
    assert "asyncstatic: not direct: ASYNCSTATIC_DIRECT=0" in command.log


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_unix_socket_and_an_inherited_one_are_direct(
    loop: str, site: Path, tmp_path: Path
) -> None:
    with socket.create_server((HOST, 0)) as inherited:
        binds = ("-b", "unix:s", "-b", f"fd://{inherited.fileno()}")
        fds = (inherited.fileno(),)
        with hypercorn(tmp_path, site, *binds, "-k", loop, "mysite:app", fds=fds) as command:
            assert eventually(lambda: command.log.count("Running on") == 2)
            assert_direct(ask(os.path.relpath(tmp_path / "s")))
            assert_direct(ask(inherited.getsockname()))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_over_tls_http_1_is_direct_and_http_2_is_hypercorns(
    loop: str, site: Path, tmp_path: Path, certificate: tuple[str, str]
) -> None:
    port, (chain, key) = free_port(), certificate
    tls = ("--certfile", chain, "--keyfile", key, "-k", loop)
    curl = [require("curl", apt="curl"), "--silent", "--http2", "--cacert", chain]
    with hypercorn(tmp_path, site, "-b", f"{HOST}:{port}", *tls, "mysite:app"):
        context = ssl.create_default_context(cafile=chain)
        with (
            socket.create_connection((HOST, port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as client,
        ):
            client.sendall(_REQUEST)
            assert_direct(b"".join(iter(lambda: client.recv(65_536), b"")))
        url = f"https://{HOST}:{port}/static/big.bin"
        done = subprocess.run(
            [*curl, "--write-out", "%{stderr}%{http_version}", url], capture_output=True, timeout=60
        )
    assert done.stderr == b"2"
    assert done.stdout == (site / "big.bin").read_bytes()


@pytest.mark.parametrize("variables", [{}, {"ASYNCSTATIC_DIRECT": "0"}], ids=["on", "off"])
def test_statsd_counts_every_request_once(
    variables: dict[str, str], site: Path, tmp_path: Path
) -> None:
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind((HOST, 0))
        statsd.settimeout(20)
        options = ("-b", f"{HOST}:{port}", "--statsd-host", f"{HOST}:{statsd.getsockname()[1]}")
        with hypercorn(tmp_path, site, *options, "mysite:app", variables=variables):
            ask((HOST, port))
            counted = [statsd.recv(500).partition(b"|")[0].partition(b":")[0] for _ in range(3)]
    assert counted == [
        b"hypercorn.request.duration",
        b"hypercorn.requests",
        b"hypercorn.request.status.200",
    ]


# -- releases of Hypercorn ------------------------------------------------------------------------

_PACKAGES = ("quart", "uvloop", "aiofiles", "brotli", "zstandard", "h2")
_FIRST = "hypercorn=={}.{}.0".format(*KNOWN[0])
_LAST = "hypercorn[h3]<{}.{}".format(*KNOWN[1])


@pytest.fixture(scope="module", params=[_FIRST, _LAST])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment that has this release and what we need."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    python = str(folder / "bin" / "python")
    command = [python, "-m", "pip", "install", "--quiet", request.param, *_PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    if done.returncode:
        pytest.skip(f"cannot install {request.param}: {done.stderr[-300:]}")
    return python


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_oldest_and_the_newest_release_have_the_seam(
    python: str, loop: str, workers: str, site: Path, tmp_path: Path
) -> None:
    port, options = free_port(), ("-k", loop, "-w", workers)
    bind = f"{HOST}:{port}"
    with hypercorn(tmp_path, site, "-b", bind, *options, "mysite:app", python=python) as command:
        for _ in range(4):
            assert_direct(ask((HOST, port)))
        upload = head("/upload", "Content-Length: 3", "Connection: close", method="POST") + b"abc"
        assert ask((HOST, port), upload).endswith(b"\r\n\r\nabc")
    assert "asyncstatic: direct: /static/" in command.log
    assert "Traceback" not in command.log


_QUIC = """
import asyncio, ssl, sys
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Client(QuicConnectionProtocol):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.http, self.content, self.done = H3Connection(self._quic), b"", asyncio.Event()

    def quic_event_received(self, event):
        for it in self.http.handle_event(event):
            if isinstance(it, HeadersReceived):
                print(dict(it.headers)[b":status"].decode())
            if isinstance(it, DataReceived):
                self.content += it.data
            if getattr(it, "stream_ended", False):
                self.done.set()


async def main(port, chain):
    configuration = QuicConfiguration(alpn_protocols=["h3"], cafile=chain)
    async with connect(
        "127.0.0.1", port, configuration=configuration, create_protocol=Client
    ) as client:
        stream = client._quic.get_next_available_stream_id()
        client.http.send_headers(stream, [
            (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"127.0.0.1"),
            (b":path", b"/static/css/app.css")], end_stream=True)
        client.transmit()
        await asyncio.wait_for(client.done.wait(), 20)
        print(len(client.content))


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_quic_stays_beside_it(
    python: str, site: Path, tmp_path: Path, certificate: tuple[str, str]
) -> None:
    """Hypercorn's own extra brings aioquic, for the newest release."""
    has_quic = [python, "-c", "import aioquic"]
    if subprocess.run(has_quic, capture_output=True, timeout=60).returncode:
        pytest.skip("aioquic is not in this environment")
    port, (chain, key) = free_port(), certificate
    bind = f"{HOST}:{port}"
    options = ("-b", bind, "--quic-bind", bind, "--certfile", chain, "--keyfile", key)
    with hypercorn(tmp_path, site, *options, "mysite:app", python=python) as command:
        assert eventually(lambda: "(QUIC)" in command.log)
        context = ssl.create_default_context(cafile=chain)
        with (
            socket.create_connection((HOST, port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as client,
        ):
            client.sendall(_REQUEST)
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        assert_direct(answer)
        assert b"alt-svc: h3=" in answer.lower()
        asked = subprocess.run(
            [python, "-c", _QUIC, str(port), chain], capture_output=True, text=True, timeout=60
        )
        assert asked.stdout.split() == ["200", "21"], asked.stderr
