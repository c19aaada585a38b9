"""A whole server process: an openat2 that is refused, the turns of its loop, and its end."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import cast

import pytest

from tests.support.raw import Connection, head
from tests.support.servers import Server, running, serving
from tests.support.site import write_site

SITE = {
    "page.html": b"page",
    "dir/index.html": b"index",
    "big.bin": b"B" * 500_000,
    ".hidden": b"foreign",
    "huge.bin": b"H" * 16 * 1024 * 1024,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = write_site(tmp_path_factory.mktemp("processes"), {"secret": b"foreign"})
    root = write_site(base / "site", SITE)
    (root / "link").symlink_to("page.html")
    (root / "out").symlink_to("../secret")
    (root / "to_hidden").symlink_to(".hidden")
    return root


# -- openat2 is refused ----------------------------------------------------------------------

ANSWERS = {
    "/page.html": (200, b"page"),
    "/dir/": (200, b"index"),
    "/link": (200, b"page"),
    "/big.bin": (200, SITE["big.bin"]),
    "/out": (404, None),
    "/to_hidden": (404, None),
    "/missing": (404, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("code", ["ENOSYS", "EPERM"])
@pytest.mark.parametrize("when", ["at-start", "later"])
def test_where_openat2_is_refused_the_answers_are_the_same(
    setup: str, root: Path, code: str, when: str
) -> None:
    arguments = ("-m", "tests.trust.child", f"{code}-{when}", setup, "127.0.0.1:{port}", str(root))
    with running(arguments, {"ASYNCSTATIC_CACHE_BYTES": "0"}) as server:
        for _ in range(5):
            for target, (status, content) in ANSWERS.items():
                answer = server.fetch(target, "Connection: close")
                assert (answer.status, answer.complete) == (status, True), target
                assert content in (None, answer.content), target
        lines = server.log.count("openat2 is refused")
    assert lines == (when == "later")


# -- the loop turns --------------------------------------------------------------------------

#: Seconds, of all turns. Time in which the machine ran others is not counted, so it may be strict.
WORST_LAG = 0.05
ATTEMPTS = 3  # what a machine does once is not the server's habit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disk", "clients"),
    [pytest.param("lag", 20, id="cold-pages"), pytest.param("slow-disk", 3, id="slow-disk")],
)
def test_the_loop_keeps_turning_whatever_is_asked(
    setup: str, root: Path, disk: str, clients: int
) -> None:
    lags = (lag_of(disk, setup, root, clients) for _ in range(ATTEMPTS))
    assert any(lag < WORST_LAG for lag in lags)


@pytest.mark.slow
def test_a_loop_that_waits_for_a_disk_is_noticed(setup: str, root: Path) -> None:
    """Or the test above would prove nothing."""
    assert lag_of("slow-disk-on-the-loop", setup, root, 1) > WORST_LAG


def lag_of(disk: str, setup: str, root: Path, clients: int) -> float:
    """The longest that a server's loop was kept from turning, in seconds, by all kinds of requests."""
    arguments = ("-m", "tests.trust.child", disk, setup, "127.0.0.1:{port}", str(root))
    with running(arguments, {"ASYNCSTATIC_CACHE_BYTES": "0"}) as server:
        ask_everything(server, root, clients)
        server.interrupt(signal.SIGTERM)
        sampled = re.search(r"lag (\d+\.\d+)", server.log)
        assert sampled is not None, server.log
    return float(sampled[1])


def ask_everything(server: Server, root: Path, clients: int) -> None:
    forget_pages(root)
    with ExitStack() as connected:
        connections = [connected.enter_context(server.connect()) for _ in range(clients)]
        for connection in connections:
            connection.send(head("/huge.bin"))
        for target in (*ANSWERS, "/../x", "/%00", "/" + "a/" * 2000):
            server.fetch(target, "Connection: close")
        for connection in connections:
            assert len(connection.read().content) == len(SITE["huge.bin"])


def forget_pages(root: Path) -> None:
    """Ask the kernel to drop the files from the page cache."""
    for path in root.rglob("*.bin"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# -- the end ---------------------------------------------------------------------------------

TRANSFERS = 500
GRACE = 3.0  # the graceful timeout of all servers, in seconds; Hypercorn's own
IN_TIME = GRACE + 2.0  # and what the machine needs to close 500 connections
# Hypercorn writes a traceback of two kilobytes for each of them, whatever the app.
LOGGED_IN_TIME = IN_TIME + 10.0

Meanwhile = Callable[[Server, list[Connection]], None]


def silent(server: Server, clients: list[Connection]) -> None:
    """Do nothing more: the transfers stand still."""


def taking(server: Server, clients: list[Connection]) -> None:
    """Go on taking what comes, until the last transfer has ended somehow."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(30):
                ended = True
                with suppress(OSError):
                    ended = not cast("socket.socket", key.fileobj).recv(65_536)
                if ended:
                    selector.unregister(key.fileobj)


def asking(server: Server, clients: list[Connection]) -> None:
    """Go on asking while it ends."""
    for _ in range(20):
        try:
            server.fetch("/page.html")
        except Exception:
            return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("served", "meanwhile"),
    [
        pytest.param("serve", silent, id="direct-silent"),
        pytest.param("serve", asking, id="direct-while-asked"),
        pytest.param("serve", taking, id="direct-taking"),
        pytest.param("serve-no-direct", silent, id="portable-silent"),
        pytest.param("serve-no-direct", taking, id="portable-taking"),
        # Behind clients that take nothing Hypercorn by itself does not end: docs/security.md.
        pytest.param("hypercorn-no-direct", taking, id="hypercorn-taking"),
        pytest.param("hypercorn", silent, id="hypercorn-direct-silent"),
        pytest.param("hypercorn", taking, id="hypercorn-direct-taking"),
    ],
)
def test_under_five_hundred_transfers_it_ends_in_time_and_cleanly(
    served: str, root: Path, meanwhile: Meanwhile
) -> None:
    with serving(served, root, graceful_timeout=str(GRACE)) as server, ExitStack() as stack:
        clients = [
            stack.enter_context(server.connect(receive_buffer=4096)) for _ in range(TRANSFERS)
        ]
        for client in clients:
            client.send(head("/huge.bin"))
        others = threading.Thread(target=meanwhile, args=(server, clients))
        others.start()
        began = time.monotonic()
        code = server.interrupt(signal.SIGTERM, seconds=LOGGED_IN_TIME + 5.0)
        took = time.monotonic() - began
        others.join()
        log = server.log
    assert code == 0, log[-2000:]
    assert took < (LOGGED_IN_TIME if served == "hypercorn-no-direct" else IN_TIME)
    # Hypercorn says by itself, with a traceback, that it cut connections off.
    assert served == "hypercorn-no-direct" or "Traceback" not in log, log[-2000:]
