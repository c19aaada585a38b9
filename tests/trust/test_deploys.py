"""Releases swapped 500 times under clients: each answer is wholly of one release, and none fails."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw import Answer
from tests.support.servers import Server, serving
from tests.support.site import write_site

pytestmark = pytest.mark.slow

DEPLOYS, CLIENTS = 500, 32
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
#: A page held in memory, one with a sidecar's directory, and one that is sent from its file.
SIZES = {"index.html": 300, "css/app.css": 30_000, "big.bin": 200_000}


def release(path: Path, number: int) -> Path:
    """Write a release: each octet of its files says which it is."""
    octet = bytes([number % 256])
    return write_site(path, {name: octet * size for name, size in SIZES.items()})


def by_symlink(base: Path, number: int) -> None:
    """Point the link to a new release, as ``ln -sfn`` or a rename of a link does."""
    release(base / f"releases/{number}", number)
    link = base / "next"
    link.symlink_to(f"releases/{number}")
    link.replace(base / "site")
    if number > 2:
        shutil.rmtree(base / f"releases/{number - 3}")


def by_symlink_deleting_at_once(base: Path, number: int) -> None:
    """The same, and the old release is gone at once."""
    release(base / f"releases/{number}", number)
    link = base / "next"
    link.symlink_to(f"releases/{number}")
    link.replace(base / "site")
    shutil.rmtree(base / f"releases/{number - 1}")


def by_directory(base: Path, number: int) -> None:
    """Exchange the directory for a new one, then remove what was there."""
    release(base / "next", number)
    exchange(base / "next", base / "site")
    shutil.rmtree(base / "next")


def exchange(one: Path, other: Path) -> None:
    names = os.fsencode(one), os.fsencode(other)
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    assert done == 0, os.strerror(ctypes.get_errno())


class Clients(threading.Thread):
    """Some of the clients: each asks, then asks again with the tag it got."""

    def __init__(self, server: Server, stop: threading.Event) -> None:
        super().__init__()
        self._server, self._stop_asking = server, stop
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._tags: dict[tuple[str, str], bytes] = {}

    def run(self) -> None:
        with self._server.connect(timeout=30) as connection:
            while not self._stop_asking.is_set():
                for name in SIZES:
                    answer = connection.get(f"/{name}")
                    self._check(name, answer)
                    tag = answer.field("etag")
                    self._check(name, connection.get(f"/{name}", f"If-None-Match: {tag}"))

    def _check(self, name: str, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        tag = answer.field("etag") or ""
        if answer.status == 304:
            return
        if answer.content != answer.content[:1] * SIZES[name] or not answer.complete:
            self.wrong.append(f"{name}: {answer.status}, {len(answer.content)} octets")
        elif self._tags.setdefault((name, tag), answer.content[:1]) != answer.content[:1]:
            self.wrong.append(f"{name}: {tag} is the tag of another release, too")


DEPLOYMENTS = [
    pytest.param(by_symlink, id="symlink"),
    pytest.param(by_symlink_deleting_at_once, id="symlink-old-one-deleted"),
    pytest.param(
        by_directory,
        id="directory",
        marks=pytest.mark.skipif(sys.platform != "linux", reason="renameat2(2)"),
    ),
]


@pytest.mark.parametrize("deploy", DEPLOYMENTS)
def test_no_client_notices_a_deploy(
    lane: str, tmp_path: Path, deploy: Callable[[Path, int], None]
) -> None:
    if deploy is by_directory:
        release(tmp_path / "site", 0)
    else:
        release(tmp_path / "releases/0", 0)
        (tmp_path / "site").symlink_to("releases/0")
    with serving(lane, tmp_path / "site") as server:
        stop = threading.Event()
        clients = [Clients(server, stop) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            for number in range(1, DEPLOYS + 1):
                deploy(tmp_path, number)
        finally:
            stop.set()
            for client in clients:
                client.join(60)
    statuses = sum((client.statuses for client in clients), Counter())
    assert set(statuses) <= {200, 304}, statuses
    assert [wrong for client in clients for wrong in client.wrong] == []
    assert statuses[200] > CLIENTS
