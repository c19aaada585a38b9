"""Workers are killed, and the server is reloaded, while clients download.

Only a connection that belonged to a killed worker may break. ``ASYNCSTATIC_TEST_MURDER=600`` makes the
test last ten minutes; the plain run is short.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.raw import HOST
from tests.support.servers import Server, running
from tests.support.site import write_site
from tests.support.tls import make_certificate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("ASYNCSTATIC_TEST_MURDER", "20"))
CLIENTS = 6
WORKERS = 2
NAMES = {"a.txt": 400, "b.js": 30_000, "c.bin": 3_000_000}  # bytes
GROWTH = 30 * 2**20  # bytes of memory, for everything that the first seconds did not reach


@dataclass
class Record:
    """What happened: filled by several threads."""

    requests: int = 0
    killed_ports: set[int] = field(default_factory=set)
    failures: list[tuple[int, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def release(folder: Path, number: int) -> Path:
    """Write a release: every byte of its files is its number."""
    byte = bytes([number % 256])
    return write_site(
        folder / f"release-{number}", {name: byte * size for name, size in NAMES.items()}
    )


def deploy(folder: Path, number: int) -> None:
    """Replace the link to the release, as deploys do."""
    (folder / "next").symlink_to(release(folder, number))
    (folder / "next").replace(folder / "current")


def client(port: int, ended: threading.Event, record: Record, seed: int) -> None:
    """Download until the end, on connections that last for some requests."""
    chance = random.Random(seed)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it changes
    while not ended.is_set():
        connection = http.client.HTTPSConnection(HOST, port, timeout=60, context=context)
        local_port = 0
        try:
            local_port = connect(connection)
            for _ in range(chance.randint(1, 20)):
                download(connection, chance.choice([*NAMES]))
                with record.lock:
                    record.requests += 1
                if connection.sock is None:  # closed by the server, as announced
                    break
        except (OSError, http.client.HTTPException, AssertionError) as error:
            with record.lock:
                record.failures.append((local_port, repr(error)))
        finally:
            connection.close()


def connect(connection: http.client.HTTPSConnection) -> int:
    """Connect, and return our port. Its number is needed where the handshake breaks, too."""
    plain = socket.create_connection((HOST, connection.port), timeout=60)
    port: int = plain.getsockname()[1]
    try:
        connection.sock = connection._context.wrap_socket(plain)  # type: ignore[attr-defined] # not in the stubs
    except OSError as error:
        raise ConnectionError(f"{error!r} in the handshake of port {port}") from error
    return port


def download(connection: http.client.HTTPSConnection, name: str) -> None:
    connection.request("GET", f"/{name}")
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, f"{answer.status} for {name}"
    assert content == content[:1] * NAMES[name], f"{name}: {len(content)} bytes of several releases"


def children(pid: int) -> list[int]:
    found = []
    with suppress(FileNotFoundError):
        for task in os.listdir(f"/proc/{pid}/task"):
            text = Path(f"/proc/{pid}/task/{task}/children").read_text()
            found += [int(child) for child in text.split()]
    return found


def is_worker(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def client_ports(pid: int) -> set[int]:
    """Return the ports of the clients that are connected to a process (proc(5), net/tcp)."""
    sockets = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            sockets.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in sockets}


def kill_one(server: Server, record: Record) -> None:
    """Kill a worker. It is stopped before, so that it cannot accept another connection."""
    workers = [pid for pid in children(server.pid) if is_worker(pid)]
    if not workers:
        return
    victim = random.choice(workers)
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(victim, signal.SIGSTOP)
        wait_until_stopped(victim)
        with record.lock:
            record.killed_ports |= client_ports(victim)
        os.kill(victim, signal.SIGKILL)


def wait_until_stopped(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TZ":
        time.sleep(0.001)


def renew(folder: Path) -> None:
    """Replace certificate and key by new ones."""
    (folder / "new").mkdir(exist_ok=True)
    for path in make_certificate(folder / "new"):
        os.replace(path, folder / Path(path).name)


def test_only_connections_of_killed_workers_break(tmp_path: Path) -> None:
    deploy(tmp_path, 0)
    chain, key = make_certificate(tmp_path)
    arguments = ["-m", "asyncstatic", "serve", str(tmp_path / "current"), "--workers", str(WORKERS)]
    arguments += ["--tls-bind", f"{HOST}:{{port}}", "--certfile", chain, "--keyfile", key]
    record, ended = Record(), threading.Event()
    with running(arguments, {}, answers=False) as server:
        wait_until_it_listens(server)
        threads = [
            threading.Thread(target=client, args=(server.port, ended, record, seed))
            for seed in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            wait_for_requests(record, 500)  # the workers are there, and their caches are filled
            before = at_rest(server)
            disturb(server, tmp_path, record)
            time.sleep(2.0)
            after = at_rest(server)
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        assert server.alive(), server.log
        assert server.interrupt(signal.SIGTERM) == 0, server.log
        log = server.log
    ours = [(port, why) for port, why in record.failures if port not in record.killed_ports]
    assert ours == [], log
    assert record.requests > 20 * SECONDS
    assert record.killed_ports
    assert after[0] < before[0] + GROWTH
    assert after[1] < before[1] + 30


def disturb(server: Server, folder: Path, record: Record) -> None:
    """Deploy, renew, reload and kill, by turns."""
    number, deadline = 0, time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        number += 1
        deploy(folder, number)
        if number % 3 == 0:
            renew(folder)
        if number % 2:
            os.kill(server.pid, signal.SIGHUP)
        else:
            kill_one(server, record)
        time.sleep(random.uniform(1.0, 3.0))


def at_rest(server: Server) -> tuple[int, int]:
    """Return memory and open handles, when the workers of earlier reloads have ended."""
    deadline = time.monotonic() + 60
    while sum(map(is_worker, children(server.pid))) != WORKERS and time.monotonic() < deadline:
        time.sleep(0.1)
    return server.resident_bytes(), server.open_handles()


def wait_for_requests(record: Record, count: int) -> None:
    deadline = time.monotonic() + 60
    while record.requests < count and time.monotonic() < deadline:
        time.sleep(0.1)


def wait_until_it_listens(server: Server) -> None:
    for _ in range(1_500):
        with suppress(OSError), socket.create_connection((HOST, server.port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(server.log)
