"""curl beyond a plain GET; its resumed download and its ETag are among the tests of hosts."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Run, StartTap
from tests.clients.tap import Tap
from tests.support.core import parts_of
from tests.support.programs import require
from tests.support.servers import Server

SCRIPT = b"export const number = 12345;\n" * 400
BIG = random.Random(3).randbytes(3_000_000)
LONG_AGO = 1_600_000_000  # Sun, 13 Sep 2020 12:26:40 GMT


def compressed(*command: str) -> bytes:
    return subprocess.run(command, input=SCRIPT, capture_output=True, timeout=30, check=True).stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scripts of which each has one sidecar, and a big file."""
    root = tmp_path_factory.mktemp("curl")
    sidecars = {
        ".gz": gzip.compress(SCRIPT, mtime=0),
        ".br": compressed(require("brotli", apt="brotli"), "-c"),
        ".zst": compressed(require("zstd", apt="zstd"), "-q", "-c"),
    }
    for suffix, data in sidecars.items():
        script = root / f"{suffix[1:]}.js"
        script.write_bytes(SCRIPT)
        os.utime(script, (LONG_AGO, LONG_AGO))
        (root / f"{script.name}{suffix}").write_bytes(data)
    (root / "big.bin").write_bytes(BIG)
    os.utime(root / "big.bin", (LONG_AGO, LONG_AGO))
    for number in range(40):
        (root / f"part-{number}.bin").write_bytes(BIG[number * 5000 :][: number * 5000])
    return root


@pytest.fixture
def curl(run: Run) -> Run:
    program = require("curl", apt="curl")

    def curl(*words: str | Path, status: int = 0) -> str:
        return run(program, "-q", "-sS", "--max-time", "30", *words, status=status)

    return curl


@pytest.mark.parametrize(("suffix", "coding"), [("gz", "gzip"), ("br", "br"), ("zst", "zstd")])
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_decodes_every_coding(
    curl: Run, server: Server, tmp_path: Path, suffix: str, coding: str, version: str
) -> None:
    words = ("--compressed", version, "-o", "script.js", "-w", "%header{content-encoding}")
    assert curl("-f", *words, server.url(f"/{suffix}.js")) == coding
    assert (tmp_path / "script.js").read_bytes() == SCRIPT


def test_curl_resumes_what_was_cut_and_cut_again(
    curl: Run, tapped: StartTap, tmp_path: Path
) -> None:
    tap = tapped(cut=(1_000_000, 500_000))
    for status in (18, 18, 0):  # 18: CURLE_PARTIAL_FILE
        curl("-C", "-", "-o", "big.bin", tap.url("/big.bin"), status=status)
    assert (tmp_path / "big.bin").read_bytes() == BIG
    assert [status for _, _, status in tap.seen()] == [200, 206, 206]


@pytest.mark.parametrize(
    ("when", "status"),
    [
        pytest.param("Sun, 13 Sep 2020 12:26:40 GMT", "304", id="same second"),
        pytest.param("Sun, 13 Sep 2020 12:26:39 GMT", "200", id="earlier"),
        pytest.param("-Sun, 13 Sep 2020 12:26:39 GMT", "412", id="if not modified since"),
    ],
)
def test_curl_asks_under_a_time_condition(
    curl: Run, server: Server, when: str, status: str
) -> None:
    words = ("-o", "/dev/null", "-w", "%{http_code}", "-z", when)
    assert curl(*words, server.url("/big.bin")) == status


def test_curl_keeps_the_time_of_a_file_and_asks_with_it(
    curl: Run, tap: Tap, tmp_path: Path
) -> None:
    words = ("-R", "-o", "big.bin", "-z", "big.bin", "-w", "%{http_code}", tap.url("/big.bin"))
    assert [curl(*words)[-3:] for _ in range(2)] == ["200", "304"]
    assert (tmp_path / "big.bin").read_bytes() == BIG


def test_curl_gets_many_files_in_parallel(
    curl: Run, server: Server, tmp_path: Path, root: Path
) -> None:
    for version in ("--http1.1", "--http2-prior-knowledge"):
        target = tmp_path / version
        target.mkdir()
        words = (
            "-f",
            "--parallel",
            "--parallel-immediate",
            "--output-dir",
            target,
            "--remote-name-all",
        )
        curl(*words, version, server.url("/part-[0-39].bin"))
        for part in root.glob("part-*"):
            assert (target / part.name).read_bytes() == part.read_bytes()


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_asks_for_several_ranges(
    curl: Run, server: Server, tmp_path: Path, version: str
) -> None:
    words = ("-f", version, "-r", "0-9,1000000-1000004,-5", "-o", "parts", "-w", "%{content_type}")
    media_type = curl(*words, server.url("/big.bin"))
    parts = parts_of(media_type, (tmp_path / "parts").read_bytes())
    assert [data for _, _, data in parts] == [BIG[:10], BIG[1_000_000:1_000_005], BIG[-5:]]


def test_curl_saves_a_tag_and_compares_it(curl: Run, tap: Tap) -> None:
    words = ("--etag-save", "tag", "--etag-compare", "tag", "--compressed", "-o", "/dev/null")
    for _ in range(2):
        curl(*words, tap.url("/gz.js"))
    assert [status for _, _, status in tap.seen()] == [200, 304]
    first, second = tap.exchanges()
    assert second.asked["if-none-match"] == first.answered["etag"] == second.answered["etag"]
    assert second.answered["vary"] == first.answered["vary"]
