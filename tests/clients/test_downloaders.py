"""Programs that download in pieces, resume, mirror, or fetch only what changed."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Run, StartTap
from tests.clients.tap import Tap
from tests.support.programs import require

BIG = random.Random(5).randbytes(8_000_000)
NAME = "image.iso"
LONG_AGO = 1_600_000_000
BROKEN_LINK = 8  # wget's exit status after an answer that is an error
#: Pages that link to each other in ways that a mirroring program follows.
PAGES = {
    "index.html": '<link rel=stylesheet href="style/a.css"><a href="docs">docs</a> <a href="m%20n.html">m n</a>',
    "style/a.css": "body { background: url(b.png) }",
    "style/b.png": "not really a picture",
    "docs/index.html": '<a href="../">up</a> <a href="deep/">deep</a> <a href="gone.html">gone</a>',
    "docs/deep/index.html": '<a href="../../index.html">home</a> <a href="#part">part</a>',
    "m n.html": '<a href="docs/">docs</a>',
}


def edited(data: bytes) -> bytes:
    """Return the bytes with twenty small changes: what a new release does to an image."""
    changed = bytearray(data)
    for at in range(100_000, len(data), 400_000):
        changed[at : at + 100] = b"x" * 100
    return bytes(changed)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("downloads")
    (root / NAME).write_bytes(BIG)
    for name, text in PAGES.items():
        path = root / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in root.rglob("*.*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return root


# -- wget ----------------------------------------------------------------------------------


@pytest.fixture
def wget(run: Run) -> Run:
    program = require("wget", apt="wget")

    def wget(*words: str | Path, status: int = 0) -> str:
        return run(program, "--no-config", "-nv", "-T", "20", *words, status=status)

    return wget


@pytest.mark.slow
def test_wget_continues_a_partial_file(wget: Run, tap: Tap, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(BIG[:1234])
    wget("-c", tap.url(f"/{NAME}"))
    assert (tmp_path / NAME).read_bytes() == BIG
    assert [exchange.received for exchange in tap.exchanges()] == [len(BIG) - 1234]


def test_wget_retries_by_itself_where_the_line_was_cut(
    wget: Run, tapped: StartTap, tmp_path: Path
) -> None:
    tap = tapped(cut=(3_000_000, 2_000_000))
    wget("--tries", "5", "--waitretry", "0", tap.url(f"/{NAME}"))
    assert (tmp_path / NAME).read_bytes() == BIG
    assert [status for _, _, status in tap.seen()] == [200, 206, 206]


def test_wget_fetches_again_only_what_is_newer(
    wget: Run, tap: Tap, tmp_path: Path, root: Path, setup: str
) -> None:
    changing = root / f"{setup}.txt"
    for text, seconds in (("old", LONG_AGO), ("new!", LONG_AGO + 60)):
        changing.write_text(text)
        os.utime(changing, (seconds, seconds))
        for _ in range(2):
            wget("-N", tap.url(f"/{changing.name}"))
            assert (tmp_path / changing.name).read_text() == text
    assert [status for _, _, status in tap.seen()] == [200, 304, 200, 304]


def test_wget_mirrors_a_site_and_finds_it_unchanged(wget: Run, tap: Tap, tmp_path: Path) -> None:
    # Answered 304, wget would not follow the links of the copy it has: it has to ask by HEAD.
    mirror = ("-r", "-l", "inf", "-N", "--no-if-modified-since", "--trust-server-names")
    for _ in range(2):
        tap.forget()
        wget(*mirror, "-nH", "-e", "robots=off", tap.url("/site/"), status=BROKEN_LINK)
        assert ("GET", "/site/docs/gone.html", 404) in tap.seen()
    files = (path for path in (tmp_path / "site").rglob("*") if path.is_file())
    assert {str(path.relative_to(tmp_path / "site")): path.read_text() for path in files} == PAGES
    assert not [seen for seen in tap.seen() if seen[::2] == ("GET", 200)]


# -- in pieces -----------------------------------------------------------------------------


def test_aria2_downloads_in_four_parts(run: Run, tapped: StartTap, tmp_path: Path) -> None:
    tap = tapped(together=4)
    aria2 = require("aria2c", apt="aria2")
    pieces = ("-x4", "-s4", "-k1M", "--file-allocation=none")
    run(aria2, "--no-conf", "-q", *pieces, tap.url(f"/{NAME}"))
    assert (tmp_path / NAME).read_bytes() == BIG
    assert [status for _, _, status in tap.seen()].count(206) >= 3


def test_aria2_resumes_and_keeps_the_time(run: Run, tapped: StartTap, tmp_path: Path) -> None:
    aria2 = require("aria2c", apt="aria2")
    tap = tapped(cut=(2_000_000,))
    run(aria2, "--no-conf", "-q", "-c", "-R", "--max-tries=3", "--retry-wait=0",
        "--file-allocation=none", tap.url(f"/{NAME}"))  # fmt: skip
    assert (tmp_path / NAME).read_bytes() == BIG
    assert (tmp_path / NAME).stat().st_mtime == LONG_AGO
    assert tap.seen()[-1] == ("GET", f"/{NAME}", 206)


def test_axel_downloads_in_four_parts(run: Run, tapped: StartTap, tmp_path: Path) -> None:
    tap = tapped(together=4)
    run(require("axel", apt="axel"), "-q", "-n", "4", tap.url(f"/{NAME}"))
    assert (tmp_path / NAME).read_bytes() == BIG
    assert [status for _, _, status in tap.seen()].count(206) >= 3


def test_lftp_downloads_in_four_parts(run: Run, tapped: StartTap, tmp_path: Path) -> None:
    tap = tapped(together=4)
    script = f"set cmd:fail-exit true; pget -n 4 {tap.url(f'/{NAME}')}; exit"
    run(require("lftp", apt="lftp"), "--norc", "-c", script)
    assert (tmp_path / NAME).read_bytes() == BIG
    assert [status for _, _, status in tap.seen()].count(206) >= 3


def test_zsync_fetches_only_what_changed(run: Run, tap: Tap, tmp_path: Path, root: Path) -> None:
    make = require("zsyncmake", apt="zsync")
    control = root / f"{NAME}.zsync"
    command = (make, "-b", "2048", "-u", NAME, "-o", control, root / NAME)
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    (tmp_path / "seed").write_bytes(edited(BIG))
    run(require("zsync", apt="zsync"), "-q", "-i", "seed", "-o", "new", tap.url(f"/{control.name}"))
    assert (tmp_path / "new").read_bytes() == BIG
    pieces = [exchange for exchange in tap.exchanges() if exchange.target == f"/{NAME}"]
    assert {exchange.status for exchange in pieces} == {206}
    assert any(exchange.asked["range"].count(",") >= 10 for exchange in pieces)
    assert sum(exchange.received for exchange in pieces) < len(BIG) / 20
