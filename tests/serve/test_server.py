"""`asyncstatic serve` as a process: addresses, TLS, logs, workers, signals, and what it says."""

from __future__ import annotations

import asyncio
import errno
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from asyncstatic import StaticFiles
from tests.serve.inside import eventually, serving_inside
from tests.support.programs import require
from tests.support.raw import HOST, Connection, EndedError, head
from tests.support.servers import Server, environment, free_port, running
from tests.support.tls import over_tls

pytestmark = pytest.mark.grid

LARGE = 24 * 1024 * 1024
MIDDLE = 700 * 1024  # sent by one write
_HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"  # RFC 9113 §3.4
_COMMAND = ("-m", "asyncstatic", "serve")
SETUPS = pytest.mark.parametrize("setup", ["--direct", "--no-direct"])
UVLOOP = pytest.mark.parametrize("loop", ["--uvloop", "--no-uvloop"])


@contextmanager
def serve(root: Path, *options: str) -> Iterator[Server]:
    """Run ``asyncstatic serve`` on a free port."""
    with running([*_COMMAND, str(root), "--bind", f"{HOST}:{{port}}", *options], {}) as server:
        yield server


@pytest.fixture(scope="module")
def large_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that no socket's buffer takes at once."""
    root = tmp_path_factory.mktemp("large")
    (root / "large.bin").write_bytes(bytes(LARGE))
    (root / "middle.bin").write_bytes(bytes(MIDDLE))
    (root / "index.html").write_bytes(b"<!doctype html><title>large</title>")
    return root


def refused(*arguments: str) -> str:
    """What a command that must not start says; its last line, and one line it is."""
    done = subprocess.run(
        [sys.executable, *_COMMAND, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert len(said) == 1
    assert "Traceback" not in done.stderr
    return said[0]


# -- addresses -------------------------------------------------------------------------------


def test_a_port_in_use_is_said_in_one_line(site: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"
        assert f"cannot listen on {address}" in refused(str(site), "--bind", address)


@UVLOOP
def test_a_unix_socket_is_served(site: Path, tmp_path: Path, loop: str) -> None:
    """Small and large: what belongs to TCP alone is left out."""
    path = tmp_path / "socket"
    with serve(site, "--bind", f"unix:{path}", loop):
        for target, length in (("/css/app.css", 21), ("/pixels.png", 300_000)):
            with closing(http.client.HTTPConnection("localhost", timeout=10)) as client:
                client.sock = socket.socket(socket.AF_UNIX)
                client.sock.connect(str(path))
                client.request("GET", target)
                assert len(client.getresponse().read()) == length
                client.request("POST", target, b"abc")
                assert client.getresponse().status == 405


@UVLOOP
def test_the_loopback_of_version_6_is_served(site: Path, loop: str) -> None:
    port = free_port()
    with (
        serve(site, "--bind", f"[::1]:{port}", loop),
        closing(http.client.HTTPConnection("::1", port, timeout=10)) as client,
    ):
        client.request("GET", "/big.bin")
        assert len(client.getresponse().read()) == 1_200_000


# -- TLS -------------------------------------------------------------------------------------


@contextmanager
def serve_tls(root: Path, certificate: tuple[str, str], *options: str) -> Iterator[Server]:
    """Run with TLS."""
    port = free_port()
    chain, key = certificate
    command = [*_COMMAND, str(root), "--bind", f"{HOST}:{port}"]
    command += ["--certfile", chain, "--keyfile", key, *options]
    process = subprocess.Popen([sys.executable, *command], env=environment())
    try:
        assert eventually(lambda: _listens(port), seconds=30)
        yield Server(process, port, Path(os.devnull))
    finally:
        process.terminate()
        assert process.wait(20) == 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@UVLOOP
def test_files_are_served_over_tls(site: Path, certificate: tuple[str, str], loop: str) -> None:
    context = ssl.create_default_context(cafile=certificate[0])
    with (
        serve_tls(site, certificate, loop) as server,
        closing(
            http.client.HTTPSConnection(HOST, server.port, context=context, timeout=10)
        ) as client,
    ):
        for target in ("/css/app.css", "/pixels.png", "/big.bin", "/app.js"):
            client.request("GET", target)
            assert client.getresponse().read() == (site / target[1:]).read_bytes()
        client.request("POST", "/css/app.css", b"abc")
        assert client.getresponse().read().startswith(b"405")
        client.request("GET", "/big.bin")
        assert client.getresponse().read() == (site / "big.bin").read_bytes()


@UVLOOP
def test_http_2_is_negotiated_over_tls(site: Path, certificate: tuple[str, str], loop: str) -> None:
    curl = require("curl", apt="curl")
    command = [curl, "--silent", "--http2", "--cacert", certificate[0]]
    with serve_tls(site, certificate, loop) as server:
        url = f"https://{HOST}:{server.port}/big.bin"
        done = subprocess.run(
            [*command, "--write-out", "%{stderr}%{http_version} %{http_code}", url],
            capture_output=True,
            timeout=60,
        )
    assert done.stderr == b"2 200"
    assert done.stdout == (site / "big.bin").read_bytes()


@pytest.mark.slow
@SETUPS
def test_clients_that_never_read_hold_little_over_tls(
    large_site: Path, certificate: tuple[str, str], setup: str
) -> None:
    """Keys, records, and one piece; with the buffers TLS has by itself it is 860 KiB for each."""
    clients = 250
    context = ssl.create_default_context(cafile=certificate[0])
    with serve_tls(large_site, certificate, setup) as server, ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(silent_client(server, context)).sendall(head("/"))
        time.sleep(0.3)
        idle = server.resident_bytes()
        for _ in range(clients):
            stack.enter_context(silent_client(server, context)).sendall(head("/large.bin"))
        time.sleep(1.0)
        assert server.resident_bytes() - idle < clients * 320 * 1024


def silent_client(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = server.connect(timeout=20, receive_buffer=4096).socket
    return context.wrap_socket(plain, server_hostname=HOST)


def test_a_certificate_without_its_key_is_refused(site: Path, certificate: tuple[str, str]) -> None:
    chain, key = certificate
    assert "there is no private key" in refused(str(site), "--certfile", chain)
    assert "not in PEM form" in refused(str(site), "--certfile", key, "--keyfile", chain)


@pytest.mark.slow
@UVLOOP
@pytest.mark.parametrize(
    ("first", "alpn"),
    [
        pytest.param(b"", "http/1.1", id="no request"),
        pytest.param(head("/"), "http/1.1", id="idle"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", "http/1.1", id="answered"),
        pytest.param(_HTTP_2, "h2", id="HTTP/2"),
    ],
)
def test_a_stop_does_not_wait_for_a_client_that_does_not_end_tls(
    large_site: Path, certificate: tuple[str, str], loop: str, first: bytes, alpn: str
) -> None:
    """Such as one with a pool of connections. Event loops wait for 30 seconds."""
    chain, key = certificate
    options = ("--certfile", chain, "--keyfile", key, "--graceful-timeout", "60", loop)
    with serve(large_site, *options) as server, server.connect() as connection:
        client = over_tls(connection, chain, alpn)
        if first:
            client.send(first)
            assert client.socket.recv(10)
        assert server.interrupt(signal.SIGTERM, 20) == 0


@pytest.mark.slow
@UVLOOP
def test_a_stop_waits_for_a_slow_client_over_tls(
    large_site: Path, certificate: tuple[str, str], loop: str
) -> None:
    """It reads nothing for longer than a server waits for a client that has everything."""
    chain, key = certificate
    options = ("--certfile", chain, "--keyfile", key, "--graceful-timeout", "60", loop)
    with serve(large_site, *options) as server, server.connect(receive_buffer=4096) as connection:
        client = over_tls(connection, chain)
        client.send(head("/middle.bin"))
        taken = client.take(1000)
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(2.5)
        taken += client.take(2 * MIDDLE)
        assert len(taken) == taken.index(b"\r\n\r\n") + 4 + MIDDLE
        assert eventually(lambda: not server.alive(), 20)


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("SSL shutdown timed out"),
        OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)),
    ],
)
def test_a_client_that_is_gone_when_hypercorn_closes_is_no_error(
    large_site: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: OSError,
) -> None:
    async def wait_closed(_writer: asyncio.StreamWriter) -> None:
        raise error

    monkeypatch.setattr(asyncio.StreamWriter, "wait_closed", wait_closed)
    with serving_inside(StaticFiles(large_site)) as server, server.connect() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        assert client.read().status == 200
        assert client.ended()
    assert not caplog.records


# -- the access log --------------------------------------------------------------------------

_LINE = re.compile(
    r"127\.0\.0\.1 - - \[[^]]+\] \"GET /docs\?query HTTP/1\.1\" 301 [0-9]+ \"http://a/\" \"b\""
)


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["ours", "handed over"])
@SETUPS
def test_the_access_log_has_the_combined_format(
    site: Path, setup: str, expect: tuple[str, ...]
) -> None:
    with serve(site, setup, "--access-logfile", "-") as server:
        with server.connect() as connection:
            connection.get("/docs?query", "Referer: http://a/", "User-Agent: b", *expect)
        assert eventually(lambda: _LINE.search(server.log) is not None)


_ATOMS = """
import asyncio, re, socket
from hypercorn.config import Config, Sockets
from asyncstatic import StaticFiles, serve_app

config = Config()
config.accesslog = "-"
config.access_log_format = "%(r)s %(s)s %(b)s %(T)s %(L)s %(U)s %(q)s %(S)s {x-a}i=%({x-a}i)s"
config.bind = ["127.0.0.1:PORT"]
asyncio.run(serve_app(StaticFiles(ROOT), config, direct=DIRECT))
"""


def test_a_format_of_hypercorns_own_atoms_is_honoured(large_site: Path) -> None:
    """Equal but for the request time, which is there, and not nothing for a large file."""
    lines = []
    for direct in ("True", "False"):
        program = _ATOMS.replace("ROOT", repr(str(large_site))).replace("DIRECT", direct)
        arguments = ["-c", program.replace("127.0.0.1:PORT", "127.0.0.1:{port}")]
        with running(arguments, {}) as server, server.connect(receive_buffer=4096) as connection:
            connection.send(head("/large.bin?a=b", "X-A: c"))
            connection.take(1000)
            time.sleep(0.2)
            connection.take(LARGE - 1000)  # the rest is less than its buffers hold
            assert eventually(lambda: " /large.bin" in server.log)
            lines += re.findall("GET /large.bin.*", server.log)
    times = [line.split()[-6:-4] for line in lines]
    assert [re.sub(r" [0-9]+ [0-9]+\.[0-9]+ ", " ", line) for line in lines] == [
        f"GET /large.bin 1.1 200 {LARGE} /large.bin a=b http {{x-a}}i=c"
    ] * 2
    assert all(float(exact) > 0.1 and int(float(exact)) == int(whole) for whole, exact in times)


# -- signals and workers ---------------------------------------------------------------------


@UVLOOP
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_cleanly_when_it_is_asked_to(
    site: Path, loop: str, number: signal.Signals, workers: str
) -> None:
    with serve(site, loop, "--workers", workers) as server:
        with server.connect() as idle:
            assert idle.get("/css/app.css").status == 200
            assert server.interrupt(number) == 0
            assert idle.ended()
        assert "Traceback" not in server.log


def test_a_ctrl_c_of_the_terminal_reaches_the_workers_once(large_site: Path) -> None:
    """All processes get it at once; a transfer is finished nevertheless."""
    with serve(large_site, "--workers", "2", "--graceful-timeout", "20") as server:
        with server.connect(receive_buffer=65_536) as busy:
            busy.send(head("/large.bin"))
            taken = busy.take(1000)
            os.killpg(server.pid, signal.SIGINT)
            taken += busy.take(2 * LARGE)
            assert len(taken) == taken.index(b"\r\n\r\n") + 4 + LARGE
        assert eventually(lambda: not server.alive())
        assert "Traceback" not in server.log


def test_a_second_signal_ends_it_at_once(large_site: Path) -> None:
    with (
        serve(large_site, "--graceful-timeout", "60") as server,
        server.connect(receive_buffer=4096) as busy,
    ):
        busy.send(head("/large.bin"))
        assert busy.take(1000)
        os.kill(server.pid, signal.SIGTERM)
        assert eventually(lambda: not _listens(server.port))
        assert server.alive()
        assert server.interrupt(signal.SIGTERM) == -signal.SIGTERM


def _answers(port: int) -> bool:
    try:
        with Connection(port, timeout=0.5) as connection:
            return connection.get("/css/app.css").status == 200
    except (OSError, EndedError):  # accepted by a worker that just ended
        return False


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_that_served_its_requests_is_replaced(site: Path, workers: str) -> None:
    with serve(site, "--workers", workers, "--max-requests", "5") as server:
        for _ in range(30):
            assert eventually(lambda: _answers(server.port))
        assert server.interrupt() == 0


# -- reload ----------------------------------------------------------------------------------


def test_pages_reload_when_a_file_changes(tmp_path: Path) -> None:
    page, style = tmp_path / "index.html", tmp_path / "style.css"
    page.write_text("<!doctype html><title>one</title>")
    style.write_text("body {}")
    with serve(tmp_path, "--reload") as server:
        first = server.fetch("/", "If-None-Match: *", "Accept-Encoding: gzip")
        assert (first.status, first.field("cache-control")) == (200, "no-store")
        assert first.field("etag") is None
        assert first.content.startswith(page.read_bytes())
        assert b"/.asyncstatic/reload.js?" in first.content
        assert len(server.fetch("/", method="HEAD").fields) == len(first.fields)
        assert server.fetch("/style.css").content == b"body {}"
        version = server.fetch("/.asyncstatic/version").content
        style.write_text("body { color: red }")
        assert eventually(lambda: server.fetch("/.asyncstatic/version").content != version)
        began = time.monotonic()
        assert server.interrupt() == 0
        assert time.monotonic() - began < 15


def test_reload_without_watchfiles_says_what_to_install(site: Path, tmp_path: Path) -> None:
    (tmp_path / "watchfiles.py").write_text("raise ImportError('not here')")
    done = subprocess.run(
        [sys.executable, *_COMMAND, str(site), "--bind", f"{HOST}:{free_port()}", "--reload"],
        env=environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "pip install 'asyncstatic[reload]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_reload_and_workers_do_not_go_together(site: Path) -> None:
    assert "leave --workers out" in refused(str(site), "--reload", "--workers", "2")
