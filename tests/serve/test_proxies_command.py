"""``--trusted-proxies`` and ``--proxy-protocol`` of the command: from socket to log, in every worker."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.http.test_proxy_protocol import BLOCK4, v2
from tests.serve.inside import eventually
from tests.support.raw import HOST, Connection, EndedError, head
from tests.support.servers import environment, free_port, running
from tests.support.tls import over_tls

_SERVE = ("-m", "asyncstatic", "serve")
_BIND = ("--bind", f"{HOST}:{{port}}", "--log-format", "common", "--access-logfile")
FIELD = "X-Forwarded-For: 192.0.2.7"


def clients(log: Path, mark: str) -> set[str]:
    """The clients of the lines with a mark, once there is one."""
    assert eventually(lambda: mark in log.read_text())
    return {line.split()[0] for line in log.read_text().splitlines() if mark in line}


@pytest.mark.parametrize("direct", ["--direct", "--no-direct"])
@pytest.mark.parametrize(("by_variable", "workers"), [(False, "1"), (True, "2")])
def test_the_command_believes_the_networks_that_it_is_given(
    site: Path, tmp_path: Path, direct: str, by_variable: bool, workers: str
) -> None:
    log = tmp_path / "log"
    command = [*_SERVE, str(site), *_BIND, str(log), direct, "--workers", workers]
    networks = "10.0.0.0/8, 127.0.0.0/8"
    variables = {"ASYNCSTATIC_TRUSTED_PROXIES": networks} if by_variable else {}
    command += [] if by_variable else ["--trusted-proxies", networks]
    with running(command, variables) as server:
        for _ in range(4):
            assert server.fetch("/css/app.css?marked", FIELD).status == 200
        assert clients(log, "marked") == {"192.0.2.7"}


@pytest.mark.parametrize("direct", ["--direct", "--no-direct"])
def test_only_the_unix_socket_is_believed_where_only_that_is_named(
    site: Path, tmp_path: Path, direct: str
) -> None:
    log, path = tmp_path / "log", tmp_path / "socket"
    command = [*_SERVE, str(site), *_BIND, str(log), direct, "--bind", f"unix:{path}"]
    with running([*command, "--trusted-proxies", "unix"], {}) as server:
        assert server.fetch("/css/app.css?tcp", FIELD).status == 200
        with server.connect() as connection:
            connection.socket.close()
            connection.socket = socket.socket(socket.AF_UNIX)
            connection.socket.connect(str(path))
            assert connection.get("/css/app.css?unix-1", FIELD).status == 200
            assert connection.get("/css/app.css?unix-2").status == 200
        assert clients(log, "tcp") == {HOST}
        assert clients(log, "unix-1") == {"192.0.2.7"}
        assert clients(log, "unix-2") == {"unix:"}


@contextmanager
def behind_balancer(site: Path, log: Path, *options: str) -> Iterator[int]:
    """A server that answers only behind PROXY headers; yields its port."""
    port = free_port()
    command = [sys.executable, *_SERVE, str(site), *_BIND, str(log), *options]
    command = [part.replace("{port}", str(port)) for part in command]
    process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL)

    def answers() -> bool:
        with suppress(OSError, EndedError), Connection(port) as connection:
            connection.send(v2(0x00, b"", command=0x20) + head("/"))
            return connection.read().status == 200
        return False

    try:
        assert eventually(answers)
        yield port
    finally:
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--no-direct",)], ids=str)
def test_the_command_reads_the_header_of_a_balancer(
    site: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    log = tmp_path / "log"
    trust = ("--trusted-proxies", HOST, "--proxy-protocol")
    with behind_balancer(site, log, *trust, *options) as port:
        for _ in range(4):
            with Connection(port) as connection:
                connection.send(v2(0x11, BLOCK4) + head("/css/app.css?marked"))
                assert connection.read().status == 200
        with Connection(port) as connection:
            connection.send(head("/"))
            assert connection.ended()
        assert clients(log, "marked") == {"192.0.2.7"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--trusted-proxies", "10.0.0.1/8"], "10.0.0.1/8 names an address in a network: say 10.0.0.0/8"),
        (["--trusted-proxies", "proxy.example"], "--trusted-proxies: 'proxy.example' is no network"),
        (["--proxy-protocol"], "--proxy-protocol needs --trusted-proxies"),
    ],
)  # fmt: skip
def test_a_wrong_option_ends_the_start_with_one_line(
    site: Path, options: list[str], says: str
) -> None:
    command = [sys.executable, *_SERVE, str(site), "--bind", f"{HOST}:{free_port()}", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert says in line


@pytest.mark.parametrize("direct", ["--direct", "--no-direct"])
def test_a_redirect_to_https_asks_for_the_scheme_of_the_client(
    site: Path, certificate: tuple[str, str], direct: str
) -> None:
    chain, key = certificate
    port = free_port()
    command = [*_SERVE, str(site), "--bind", f"{HOST}:{{port}}", "--tls-bind", f"{HOST}:{port}"]
    command += ["--certfile", chain, "--keyfile", key, "--redirect-https", direct]
    with running([*command, "--trusted-proxies", HOST], {}) as server:
        assert server.fetch("/css/app.css").status == 308
        assert server.fetch("/css/app.css", "X-Forwarded-Proto: http").status == 308
        assert server.fetch("/css/app.css", "X-Forwarded-Proto: https").status == 200
        with over_tls(Connection(port), chain) as connection:
            assert connection.get("/css/app.css").status == 200
            assert connection.get("/css/app.css", "X-Forwarded-Proto: http").status == 308
