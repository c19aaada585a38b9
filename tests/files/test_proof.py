"""A sidecar is fresh if, and only if, it decodes to exactly the bytes of its original."""

from __future__ import annotations

import gzip
import logging
import os
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncstatic.files import kernel, proof
from asyncstatic.files.decoding import decoder
from asyncstatic.files.handle import identity_of
from asyncstatic.files.proof import Proofs, SidecarPair
from asyncstatic.files.tree import File
from asyncstatic.http.model import Identity

pytestmark = pytest.mark.usefixtures("no_handle_leaks")

SECOND = 1_000_000_000
THEN = 1_600_000_000 * SECOND + 123_456_789
TEXT = b"The quick brown fox jumps over the lazy dog. " * 200
A_TICK = 0.05  # seconds; longer than any clock tick of the kernel


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zst(content: bytes, **options: bool) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)  # type: ignore[arg-type]


def skippable(content: bytes) -> bytes:
    """A skippable frame (RFC 8878 §3.1.2)."""
    return b"\x50\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


def streamed(content: bytes) -> bytes:
    """A zstd frame without a content size, as from a pipe."""
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return compressor.compress(content) + compressor.flush()


def wide(content: bytes) -> bytes:
    """A zstd frame that needs a window of 32 MiB, as from ``zstd --long`` at a pipe."""
    parameters = zstandard.ZstdCompressionParameters(window_log=25, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(content) + compressor.flush()


class Files:
    """An original and a sidecar on disk, and the question whether that is fresh."""

    def __init__(self, directory: Path) -> None:
        self.original, self.sidecar = directory / "a.txt", directory / "a.txt.coded"
        self.proofs = Proofs()

    def write(self, original: bytes, sidecar: bytes) -> None:
        self.original.write_bytes(original)
        self.sidecar.write_bytes(sidecar)

    def pair(self, coding: str) -> SidecarPair:
        """Return the pair of the present files, which are not open yet."""
        sidecar, original = (identity_of(os.stat(f)) for f in (self.sidecar, self.original))
        files = File(-1, sidecar, coding), File(-1, original, "identity")
        return SidecarPair("a.txt.coded", *files)

    def prove(self, coding: str, pair: SidecarPair | None = None) -> bool | None:
        pair = pair or self.pair(coding)
        sidecar_fd = os.open(self.sidecar, os.O_RDONLY)
        original_fd = os.open(self.original, os.O_RDONLY)
        try:
            assert pair.original is not None
            sidecar = pair.sidecar._replace(fd=sidecar_fd)
            original = pair.original._replace(fd=original_fd)
            return self.proofs.prove(SidecarPair(pair.name, sidecar, original))
        finally:
            os.close(sidecar_fd)
            os.close(original_fd)

    def verdict_later(self, coding: str, job: Callable[[], object]) -> bool | None:
        """Ask for the verdict about two large old files, which `job` would prove."""
        large = Identity(1, 1, 2 * proof.AT_ONCE, 1, 1)
        files = File(-1, large, coding), File(-1, large, "identity")
        return self.proofs.verdict(SidecarPair("a.txt.coded", *files), job, nowait=True)

    def remembers(self, coding: str, pair: SidecarPair | None = None) -> bool:
        """Tell whether a verdict comes without reading the files."""
        read, calls = kernel.pread, 0

        def counted(fd: int, count: int, offset: int) -> bytes:
            nonlocal calls
            calls += 1
            return read(fd, count, offset)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernel, "pread", counted)
            self.prove(coding, pair)
        return calls == 0


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    files = Files(tmp_path)
    yield files
    files.proofs.close()


FLIPPED = TEXT[:-2] + b"! "
#: coding, original, sidecar, fresh
TABLE = [
    pytest.param("br", TEXT, brotli.compress(TEXT), True, id="br"),
    pytest.param("zstd", TEXT, zst(TEXT), True, id="zstd"),
    pytest.param("gzip", TEXT, gz(TEXT), True, id="gzip"),
    pytest.param("br", b"", brotli.compress(b""), True, id="br of an empty file"),
    pytest.param("zstd", b"", zst(b""), True, id="zstd of an empty file"),
    pytest.param("gzip", b"", gz(b""), True, id="gzip of an empty file"),
    *(pytest.param(c, TEXT, b"", False, id=f"{c}, empty") for c in ("br", "zstd", "gzip")),
    *(
        pytest.param(c, b"", b"", False, id=f"{c}, empty beside an empty file")
        for c in ("br", "zstd", "gzip")
    ),
    pytest.param("br", TEXT, brotli.compress(FLIPPED), False, id="br of other content"),
    pytest.param("zstd", TEXT, zst(FLIPPED), False, id="zstd of other content"),
    pytest.param("gzip", TEXT, gz(FLIPPED), False, id="gzip of other content of equal length"),
    pytest.param("br", TEXT, brotli.compress(TEXT[:-1]), False, id="br of a shorter version"),
    pytest.param("gzip", TEXT, gz(TEXT + b"x"), False, id="gzip of a longer version"),
    pytest.param("zstd", TEXT, zst(TEXT + b"x"), False, id="zstd of a longer version"),
    *(
        pytest.param("br", TEXT, brotli.compress(TEXT)[:-cut], False, id=f"br, cut by {cut}")
        for cut in (1, 2, 20)
    ),
    *(
        pytest.param("gzip", TEXT, gz(TEXT)[:-cut], False, id=f"gzip, cut by {cut}")
        for cut in (1, 8, 9, 40)
    ),
    *(
        pytest.param("zstd", TEXT, zst(TEXT, write_checksum=True)[:-cut], False, id=f"zstd, cut by {cut}")
        for cut in (1, 4, 9)
    ),
    pytest.param("gzip", TEXT, gz(TEXT) + b"garbage", False, id="gzip, garbage behind its end"),
    pytest.param("br", TEXT, brotli.compress(TEXT) + b"garbage", False, id="br, garbage behind"),
    pytest.param("zstd", TEXT, zst(TEXT) + b"garbage", False, id="zstd, garbage behind its end"),
    pytest.param("gzip", TEXT, gz(TEXT[:50]) + gz(TEXT[50:]), True, id="gzip, two members"),
    pytest.param("gzip", TEXT, gz(b"") + gz(TEXT) + gz(b""), True, id="gzip, empty members"),
    pytest.param("gzip", TEXT, gz(TEXT) + gz(TEXT), False, id="gzip, its content twice"),
    pytest.param("zstd", TEXT, zst(TEXT[:50]) + zst(TEXT[50:]), True, id="zstd, two frames"),
    pytest.param("zstd", TEXT, skippable(b"pad" * 99) + zst(TEXT), True, id="zstd, skippable frame"),
    pytest.param("zstd", TEXT, zst(TEXT) + skippable(b""), True, id="zstd, skippable frame behind"),
    pytest.param("zstd", TEXT, streamed(TEXT), True, id="zstd without a content size"),
    pytest.param("zstd", TEXT, wide(TEXT), False, id="zstd, window above 8 MiB (RFC 9659)"),
    pytest.param("gzip", TEXT, zlib.compress(TEXT), False, id="zlib instead of gzip"),
    pytest.param("gzip", TEXT, TEXT, False, id="gzip in name only"),
    pytest.param("br", TEXT, gz(TEXT), False, id="gzip named br"),
    pytest.param("br", gz(TEXT), brotli.compress(gz(TEXT)), True, id="of content that is coded itself"),
]  # fmt: skip


@pytest.mark.parametrize(("coding", "original", "sidecar", "fresh"), TABLE)
def test_a_sidecar_is_fresh_when_it_decodes_to_its_original(
    files: Files, coding: str, original: bytes, sidecar: bytes, fresh: bool
) -> None:
    files.write(original, sidecar)
    assert files.prove(coding) is fresh


@pytest.mark.parametrize("shift", [-3600 * SECOND, -SECOND, -1, 0, 1, 3600 * SECOND])
@pytest.mark.parametrize("fresh", [True, False])
def test_times_prove_nothing(files: Files, shift: int, fresh: bool) -> None:
    files.write(TEXT, brotli.compress(TEXT if fresh else FLIPPED))
    os.utime(files.original, ns=(THEN, THEN))
    os.utime(files.sidecar, ns=(THEN + shift, THEN + shift))
    assert files.prove("br") is fresh


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["br", "zstd", "gzip"]), st.binary(max_size=300), st.binary(max_size=300)
)  # fmt: skip
def test_only_equal_content_is_fresh(
    files: Files, coding: str, original: bytes, content: bytes
) -> None:
    compress = {"br": brotli.compress, "zstd": zst, "gzip": gz}[coding]
    files.write(original, compress(content))
    assert files.prove(coding) is (original == content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["br", "zstd", "gzip"]), st.binary(max_size=200))
def test_any_bytes_have_a_verdict(files: Files, coding: str, data: bytes) -> None:
    files.write(TEXT, data)
    assert files.prove(coding) is False


# -- bounds --------------------------------------------------------------------------------------

ZEROS = bytes(64 * 1024 * 1024)


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", gz(ZEROS)),
        ("br", brotli.compress(ZEROS, quality=1)),
        ("zstd", zst(ZEROS)),
        ("zstd", streamed(ZEROS)),
    ],
)
def test_a_bomb_ends_at_once_and_takes_little_memory(
    files: Files, coding: str, bomb: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read of the original shows how far the decoding went."""
    files.write(bytes(1000), bomb)
    files.pair(coding)
    read = 0
    pread = kernel.pread

    def counted(fd: int, count: int, offset: int) -> bytes:
        nonlocal read
        data = pread(fd, count, offset)
        read += len(data)
        return data

    monkeypatch.setattr(kernel, "pread", counted)
    tracemalloc.start()
    try:
        assert files.prove(coding) is False
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read <= proof._INPUT + 1000
    assert peak < 16 * 1024 * 1024


def test_a_proof_that_takes_too_long_is_given_up(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(TEXT, gz(TEXT))
    time.sleep(A_TICK)
    monkeypatch.setattr(proof, "_SECONDS", -1.0)
    assert files.prove("gzip") is False
    assert "takes more than" in caplog.text


# -- once ----------------------------------------------------------------------------------------


def test_a_pair_is_decoded_once(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(TEXT, gz(TEXT))
    time.sleep(A_TICK)
    assert files.prove("gzip") is True
    assert files.remembers("gzip")
    assert files.prove("gzip") is True


def test_threads_that_ask_together_share_one_proof(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(TEXT, gz(TEXT))
    time.sleep(A_TICK)
    together, decoded = Barrier(4), []

    def counted(*args: Any, **options: Any) -> Any:
        decoded.append(1)
        time.sleep(0.01)
        return decoder(*args, **options)

    monkeypatch.setattr("asyncstatic.files.proof.decoder", counted)

    def ask(_: int) -> bool | None:
        together.wait(10)
        return files.prove("gzip")

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(4))) == [True] * 4
    assert len(decoded) == 1


def test_each_refused_pair_is_logged_once_by_its_name(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    files.write(TEXT, gz(FLIPPED))
    time.sleep(A_TICK)
    for _ in range(3):
        assert files.prove("gzip") is False
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("asyncstatic", logging.WARNING)
    assert record.getMessage() == (
        "sidecar a.txt.coded is not used: it decodes to other content than its original's"
    )


@pytest.mark.parametrize("content", [TEXT, FLIPPED])
def test_what_is_proven_within_a_tick_of_the_clock_is_neither_remembered_nor_logged(
    files: Files,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The next write may leave the same times; a compressor may be about to write it."""
    files.write(TEXT, gz(content))
    pair = files.pair("gzip")
    monkeypatch.setattr(time, "time_ns", lambda: pair.sidecar.identity.ctime_ns + 1)
    assert files.prove("gzip") is (content == TEXT)
    assert not caplog.records
    assert not files.remembers("gzip")


# -- files that change meanwhile -----------------------------------------------------------------

Change = Callable[[Files], object]


def _swap(path: Path, data: bytes) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(data)
    os.replace(beside, path)


CHANGES: list[object] = [
    pytest.param(lambda f: f.original.write_bytes(FLIPPED), id="original rewritten"),
    pytest.param(lambda f: _swap(f.original, FLIPPED), id="original replaced"),
    pytest.param(lambda f: f.sidecar.write_bytes(gz(FLIPPED)), id="sidecar rewritten"),
    pytest.param(lambda f: _swap(f.sidecar, gz(FLIPPED)), id="sidecar replaced"),
    pytest.param(lambda f: os.truncate(f.sidecar, 0), id="sidecar emptied"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_during_the_proof_leaves_nothing_proven(
    files: Files, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(TEXT, gz(TEXT))
    time.sleep(A_TICK)
    pair = files.pair("gzip")

    def overtaken(*args: Any, **options: Any) -> Any:
        decoding: Any = decoder(*args, **options)
        finish = decoding.finish

        def finish_late() -> None:
            finish()
            change(files)

        decoding.finish = finish_late
        return decoding

    monkeypatch.setattr("asyncstatic.files.proof.decoder", overtaken)
    assert files.prove("gzip", pair) is None
    monkeypatch.undo()
    assert not files.remembers("gzip", pair)


# -- large files: checksums and times ------------------------------------------------------------

OLDER, NEWER = THEN - 3600 * SECOND, THEN + 3600 * SECOND
LARGE = [
    pytest.param("gzip", gz(TEXT), NEWER, True, id="gzip"),
    pytest.param("gzip", gz(TEXT), THEN, True, id="gzip of the same time"),
    pytest.param("gzip", gz(TEXT), THEN // SECOND * SECOND, True, id="gzip, time cut to the second"),
    pytest.param("gzip", gz(TEXT), OLDER, False, id="gzip, older"),
    pytest.param("gzip", gz(FLIPPED), NEWER, False, id="gzip, CRC of other content"),
    pytest.param("gzip", gz(TEXT + b"x"), NEWER, False, id="gzip, another length"),
    pytest.param("gzip", gz(TEXT)[:-1], NEWER, False, id="gzip, cut"),
    pytest.param("gzip", b"", NEWER, False, id="gzip, empty"),
    pytest.param("zstd", zst(TEXT, write_checksum=True), NEWER, True, id="zstd"),
    pytest.param("zstd", zst(TEXT, write_checksum=True), OLDER, False, id="zstd, older"),
    pytest.param("zstd", zst(FLIPPED, write_checksum=True), NEWER, False, id="zstd, other content"),
    pytest.param("zstd", zst(TEXT + b"x", write_checksum=True), NEWER, False, id="zstd, another length"),
    pytest.param("zstd", zst(TEXT, write_checksum=True)[:-1], NEWER, False, id="zstd, cut"),
    pytest.param("zstd", zst(TEXT), NEWER, False, id="zstd without a checksum"),
    pytest.param("zstd", b"", NEWER, False, id="zstd, empty"),
    pytest.param("br", brotli.compress(TEXT), NEWER, False, id="br has no checksum"),
]  # fmt: skip


@pytest.mark.parametrize(("coding", "sidecar", "mtime_ns", "used"), LARGE)
def test_above_a_size_checksum_and_times_decide(
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    coding: str,
    sidecar: bytes,
    mtime_ns: int,
    used: bool,
) -> None:
    monkeypatch.setattr(proof, "DECODED", 1000)
    files.write(TEXT, sidecar)
    os.utime(files.original, ns=(THEN, THEN))
    os.utime(files.sidecar, ns=(mtime_ns, mtime_ns))
    assert files.prove(coding) is used


def test_a_large_sparse_file_is_examined_by_its_checksum(files: Files) -> None:
    size = proof.DECODED + 1
    files.write(b"", b"")
    os.truncate(files.original, size)
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    step = bytes(1 << 20)
    parts = [compressor.compress(step) for _ in range(size >> 20)]
    files.sidecar.write_bytes(b"".join(parts) + compressor.compress(b"\0") + compressor.flush())
    assert files.prove("gzip") is True


# -- in the background ---------------------------------------------------------------------------


def test_only_so_many_proofs_wait(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_WAITING", 2)
    go, end, done = Event(), Event(), []

    def job() -> None:
        go.wait(10)
        done.append(1)

    for coding in ("gzip", "gzip", "br", "zstd"):
        assert files.verdict_later(coding, job) is None
    go.set()
    while not end.wait(0.01):  # behind all that wait
        files.verdict_later("end", end.set)
    assert len(done) == 2


def test_after_closing_no_proof_begins(files: Files) -> None:
    ran = Event()
    files.proofs.close()
    assert files.verdict_later("gzip", ran.set) is None
    assert not ran.wait(0.1)
