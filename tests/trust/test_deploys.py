"""Releases swapped 500 times under clients: each answer is wholly of one release, and none fails."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw import Answer, Connection
from tests.support.servers import Server, serving
from tests.support.site import write_site

pytestmark = pytest.mark.slow

DEPLOYS, CLIENTS = 500, 32
PAUSE = 0.01  # seconds between two of them: a server looks at its root every quarter of a second
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
#: A page held in memory, one with a sidecar's directory, and one that is sent from its file.
SIZES = {"index.html": 300, "css/app.css": 30_000, "big.bin": 200_000}


def release(path: Path, number: int) -> Path:
    """Write a release: each byte of its files says which it is."""
    byte = bytes([number % 256])
    return write_site(path, {name: byte * size for name, size in SIZES.items()})


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


def by_two_renames(base: Path, number: int) -> None:
    """Move the directory away and a new one to its place: for a moment there is no root."""
    release(base / "next", number)
    (base / "site").rename(base / "away")
    time.sleep(0.05)
    (base / "next").rename(base / "site")
    shutil.rmtree(base / "away")
    time.sleep(0.3)  # within the time between two looks one of the two trees must be there


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
        self.releases: set[bytes] = set()
        self._tags: dict[tuple[str, str], bytes] = {}

    def run(self) -> None:
        while not self._stop_asking.is_set():
            with self._server.connect(timeout=30) as connection:
                for _ in range(100):  # a connection is not kept for ever
                    self._ask(connection)

    def _ask(self, connection: Connection) -> None:
        for name in SIZES:
            if self._stop_asking.is_set():
                return
            answer = connection.get(f"/{name}")
            self._check(name, answer)
            tag = answer.field("etag")
            self._check(name, connection.get(f"/{name}", f"If-None-Match: {tag}"))

    def _check(self, name: str, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        tag = answer.field("etag") or ""
        if answer.status == 304:
            return
        self.releases.add(answer.content[:1])
        if answer.content != answer.content[:1] * SIZES[name] or not answer.complete:
            self.wrong.append(f"{name}: {answer.status}, {len(answer.content)} bytes")
        elif self._tags.setdefault((name, tag), answer.content[:1]) != answer.content[:1]:
            self.wrong.append(f"{name}: {tag} is the tag of another release, too")


DEPLOYMENTS = [
    pytest.param(by_symlink, DEPLOYS, id="symlink"),
    pytest.param(by_symlink_deleting_at_once, DEPLOYS, id="symlink-old-one-deleted"),
    pytest.param(by_two_renames, 50, id="two-renames"),
    pytest.param(
        by_directory,
        DEPLOYS,
        id="directory",
        marks=pytest.mark.skipif(sys.platform != "linux", reason="renameat2(2)"),
    ),
]


@pytest.mark.parametrize("resolver", ["openat2", "walk"])
@pytest.mark.parametrize(("deploy", "times"), DEPLOYMENTS)
def test_no_client_notices_a_deploy(
    setup: str, tmp_path: Path, deploy: Callable[[Path, int], None], times: int, resolver: str
) -> None:
    if deploy in (by_directory, by_two_renames):
        release(tmp_path / "site", 0)
    else:
        release(tmp_path / "releases/0", 0)
        (tmp_path / "site").symlink_to("releases/0")
    with serving(setup, tmp_path / "site", resolver=resolver) as server:
        stop = threading.Event()
        clients = [Clients(server, stop) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            for number in range(1, times + 1):
                deploy(tmp_path, number)
                time.sleep(PAUSE)
        finally:
            stop.set()
            for client in clients:
                client.join(60)
    statuses = sum((client.statuses for client in clients), Counter())
    assert set(statuses) <= {200, 304}, statuses
    assert [wrong for client in clients for wrong in client.wrong] == []
    releases = set[bytes]().union(*(client.releases for client in clients))
    assert len(releases) > 5, "the deploys were too fast for anybody to see one"


# -- a page from before the swap, its assets after it ----------------------------------------

LATE = 10.0  # seconds of previous_root_grace
SWAPS, VISITORS = 10, 8
LOOK = 0.25  # seconds between two looks of the server at where its root leads
PAGE = "<script src=app.{0}.js></script><img src=big.{0}.png>"


def bundle(path: Path, number: int) -> Path:
    """Write a release as bundlers do: a page, and names that no other release has."""
    return write_site(
        path,
        {
            "index.html": PAGE.format(number).encode(),
            f"app.{number}.js": b"script %d" % number,
            f"big.{number}.png": b"%06d" % number * 50_000,
        },
    )


def point_to(base: Path, number: int) -> None:
    """Swap the link for one to another release."""
    (base / "next").symlink_to(f"releases/{number}")
    (base / "next").replace(base / "site")


class Visitor(threading.Thread):
    """Loads a page; and what it names only after the releases were swapped meanwhile."""

    def __init__(self, server: Server, number: int, swap: threading.Barrier) -> None:
        super().__init__()
        self._server, self._number, self._swap = server, number, swap
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        for _ in range(SWAPS):
            with self._server.connect(timeout=30) as connection:
                self._visit(connection)

    def _visit(self, connection: Connection) -> None:
        page = connection.get("/").content.decode()
        self._swap.wait(30)  # all have their page
        self._swap.wait(30)  # the next release is in place
        number = int(page.partition("app.")[2].partition(".js")[0])
        time.sleep(self._number * LOOK / 5)  # before the server's next look, and after
        script, image = connection.get(f"/app.{number}.js"), connection.get(f"/big.{number}.png")
        if script.status == 200:
            assert script.content == b"script %d" % number
        if image.status == 200:
            assert image.content == b"%06d" % number * 50_000
        self.seen.update((f"script {script.status}", f"image {image.status}"))
        time.sleep((VISITORS - self._number) * LOOK / 5)  # the next page is of the new release


@pytest.mark.parametrize(
    ("grace", "resolver"),
    [
        pytest.param(LATE, "openat2", id="with-grace-openat2"),
        pytest.param(LATE, "walk", id="with-grace-walk"),
        pytest.param(0.0, "auto", id="without"),
    ],
)
def test_a_page_loaded_before_a_swap_gets_its_old_assets_after_it(
    setup: str, tmp_path: Path, resolver: str, grace: float
) -> None:
    """Without the grace some are missed: or the test would prove nothing."""
    for number in range(SWAPS + 1):
        bundle(tmp_path / f"releases/{number}", number)
    point_to(tmp_path, 0)
    settings = {"resolver": resolver, "previous_root_grace": str(grace)}
    with serving(setup, tmp_path / "site", **settings) as server:
        swap = threading.Barrier(VISITORS + 1)
        visitors = [Visitor(server, number, swap) for number in range(VISITORS)]
        for visitor in visitors:
            visitor.start()
        for number in range(1, SWAPS + 1):
            swap.wait(30)
            point_to(tmp_path, number)
            swap.wait(30)
        for visitor in visitors:
            visitor.join(60)
        seen = sum((visitor.seen for visitor in visitors), Counter())
        trees = 1 + bool(grace)  # the present one, and the one before
        assert server.settled_handles(trees, 5.0, below=str(tmp_path / "releases")) <= trees
    if grace:
        assert seen == {"script 200": SWAPS * VISITORS, "image 200": SWAPS * VISITORS}
    else:
        assert seen["script 404"]
        assert seen["image 404"]
