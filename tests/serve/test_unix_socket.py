"""A unix socket: slow readers get all of the content, and clients that take nothing are dropped."""

from __future__ import annotations

import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.inside import eventually
from tests.support.programs import require
from tests.support.raw import HOST, head
from tests.support.servers import running

_OCTETS = 6_000_000
_SERVE = ("-m", "asyncstatic", "serve", "{root}", "--bind", f"{HOST}:{{port}}")
_HYPERCORN = ("-m", "hypercorn", "--bind", f"{HOST}:{{port}}", "--bind", "unix:{path}")
_SCRIPT = """
import asyncio, socket, sys
port, path, direct, *tls = sys.argv[1:]
tcp, unix = socket.create_server(("127.0.0.1", int(port))), socket.socket(socket.AF_UNIX)
unix.bind(path)
unix.listen()
"""
_UVICORN = f"""{_SCRIPT}
import uvicorn
protocol = "asyncstatic.serve.uvicorn:DirectHttpProtocol"
server = uvicorn.Server(uvicorn.Config("asyncstatic:app", http=protocol, log_level="warning"))
asyncio.run(server.serve(sockets=[tcp, unix]))
"""
_SERVE_APP = f"""{_SCRIPT}
import asyncstatic
from hypercorn.config import Config, Sockets
config, sockets = Config(), Sockets([], [tcp, unix], [])
if tls:
    config.certfile, config.keyfile = tls
    sockets = Sockets([unix], [tcp], [])
for listener in (tcp, unix):
    listener.setblocking(False)
app = asyncstatic.app
asyncio.run(asyncstatic.serve_app(app, config, direct=direct == "direct", sockets=sockets))
"""
_PORT_AND_PATH = ("{port}", "{path}")
_CERTIFICATE = ("{chain}", "{key}")
#: Every server that listens on a unix socket itself; and its TCP port, which tells when it does.
SERVERS = {
    "serve": (*_SERVE, "--bind", "unix:{path}", "--no-uvloop"),
    "serve, uvloop": (*_SERVE, "--bind", "unix:{path}"),
    "serve --no-direct": (*_SERVE, "--bind", "unix:{path}", "--no-direct", "--no-uvloop"),
    "serve --no-direct, uvloop": (*_SERVE, "--bind", "unix:{path}", "--no-direct"),
    "serve_app": ("-c", _SERVE_APP, *_PORT_AND_PATH, "full"),
    "serve_app, TLS": ("-c", _SERVE_APP, *_PORT_AND_PATH, "full", *_CERTIFICATE),
    "serve_app, direct, TLS": ("-c", _SERVE_APP, *_PORT_AND_PATH, "direct", *_CERTIFICATE),
    "hypercorn": (*_HYPERCORN, "-k", "asyncio", "asyncstatic:app"),
    "hypercorn, uvloop": (*_HYPERCORN, "-k", "uvloop", "asyncstatic:app"),
    "uvicorn": ("-c", _UVICORN, *_PORT_AND_PATH, "direct"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("root")
    (directory / "big.bin").write_bytes(bytes(range(250)) * (_OCTETS // 250))
    return directory


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, root: Path, certificate: tuple[str, str]
) -> Iterator[tuple[str, str]]:
    """Start one of the `SERVERS` with a `send_timeout` of 2 s: its scheme, and its socket's path."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/s"
        values = {"root": str(root), "path": path, "chain": certificate[0], "key": certificate[1]}
        command = list(SERVERS[request.param])
        for word, value in values.items():
            command = [part.replace(f"{{{word}}}", value) for part in command]
        variables = {"ASYNCSTATIC_ROOT": str(root), "ASYNCSTATIC_SEND_TIMEOUT": "2"}
        with running(command, variables):
            yield "https" if "TLS" in request.param else "http", path


def servers(*names: str) -> pytest.MarkDecorator:
    """Run a test with these servers; by default with one of each kind."""
    kinds = ("serve", "serve --no-direct", "uvicorn")
    values = [
        pytest.param(name, marks=[] if name in kinds else [pytest.mark.slow]) for name in names
    ]
    return pytest.mark.parametrize("served", values, indirect=True, scope="module")


@pytest.mark.slow
@servers(*SERVERS)
def test_curl_gets_all_of_a_file_at_any_rate(served: tuple[str, str], root: Path) -> None:
    """The slower of the two transfers takes longer than `send_timeout`."""
    (scheme, path), curl = served, require("curl", apt="curl")
    for rate in ("12M", "2500k"):
        command = [curl, "--silent", "--insecure", "--http1.1", "--limit-rate", rate]
        command += ["--unix-socket", path, f"{scheme}://localhost/big.bin"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert (done.returncode, len(done.stdout)) == (0, _OCTETS), rate
        assert done.stdout == (root / "big.bin").read_bytes()


@pytest.mark.slow
@servers("serve", "uvicorn")
def test_reading_less_than_the_socket_holds_is_progress(served: tuple[str, str]) -> None:
    """Linux reports room in a unix socket only when three quarters of it are empty."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(served[1])
        client.settimeout(10)
        client.sendall(head("/big.bin", "Range: bytes=0-399999", "Connection: close"))
        received = bytearray()
        while data := client.recv(4096):
            received += data
            time.sleep(0.04)
        assert len(received) == received.index(b"\r\n\r\n") + 4 + 400_000


@pytest.mark.slow
@servers(*(name for name in SERVERS if "TLS" not in name))
def test_a_client_that_takes_nothing_is_dropped(served: tuple[str, str]) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(served[1])
        client.sendall(head("/big.bin"))
        poll = select.poll()
        poll.register(client, 0)  # only POLLHUP: the other end is closed
        assert eventually(lambda: bool(poll.poll(0)))
