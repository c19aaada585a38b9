"""What blocks of a file's content tell: it grew, it was touched, or it was rewritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle, identity_of, open_handle
from asyncstatic.files.pool import Pool
from asyncstatic.files.samples import BLOCK_BYTES, BLOCKS, Blocks, Samples
from asyncstatic.http.model import Identity

SIZE = 1_000_003
CONTENT = os.urandom(SIZE)
GAP = SIZE // (BLOCKS - 1)


def write_at(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def append(path: Path) -> None:
    write_at(path, SIZE, b"more")


def touch(path: Path) -> None:
    os.utime(path)


def append_and_touch(path: Path) -> None:
    append(path)
    touch(path)


CHANGES = [
    pytest.param(lambda path: None, True, id="nothing"),
    pytest.param(append, True, id="append"),
    pytest.param(touch, True, id="touch"),
    pytest.param(append_and_touch, True, id="append and touch"),
    pytest.param(lambda path: path.chmod(0o600), True, id="chmod"),
    pytest.param(lambda path: path.unlink(), True, id="unlink"),
    pytest.param(lambda path: os.truncate(path, SIZE - 1), False, id="truncate"),
    pytest.param(lambda path: os.truncate(path, 0), False, id="empty"),
    pytest.param(lambda path: write_at(path, 0, b"other"), False, id="first bytes"),
    pytest.param(lambda path: write_at(path, SIZE - 1, b"\n\n"), False, id="last byte"),
    pytest.param(lambda path: write_at(path, 0, bytes(SIZE)), False, id="rewrite"),
    pytest.param(lambda path: write_at(path, 0, bytes(2 * SIZE)), False, id="rewrite and grow"),
    pytest.param(lambda path: path.write_bytes(bytes(SIZE)), False, id="truncate and rewrite"),
    pytest.param(
        lambda path: write_at(path, SIZE // 2, bytes(GAP + BLOCK_BYTES)), False, id="a gap"
    ),
    # What it misses, as docs/security.md says.
    pytest.param(lambda path: write_at(path, BLOCK_BYTES, b"other"), True, id="between blocks"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def handle(path: Path) -> Iterator[Handle]:
    pool = Pool(1, 10.0)
    handle = opened(path, pool)
    yield handle
    handle.close()
    pool.close()


def opened(path: Path, pool: Pool) -> Handle:
    fd = kernel.open_path(str(path))
    return open_handle(fd, identity_of(os.fstat(fd)), pool, nowait=True)


def nothing_is_in_the_page_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "pread_nowait", lambda *_: None)


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "on the disk"])
@pytest.mark.parametrize(("change", "unchanged"), CHANGES)
async def test_a_change_of_the_promised_content_is_noticed_and_no_other(
    handle: Handle,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    unchanged: bool,
    cached: bool,
) -> None:
    if not cached:
        nothing_is_in_the_page_cache(monkeypatch)
    await handle.sample()
    change(path)
    assert await handle.is_unchanged() is unchanged
    assert await handle.shared().is_unchanged() is unchanged
    if cached:
        assert handle.is_unchanged_nowait() is unchanged


async def test_a_file_that_grew_again_and_again_is_compared_each_time(
    handle: Handle, path: Path
) -> None:
    await handle.sample()
    for number in range(20):
        write_at(path, SIZE + number, b"+")
        assert await handle.is_unchanged()
    write_at(path, 0, b"other")
    assert not await handle.is_unchanged()


async def test_a_rewrite_right_after_an_append_is_noticed_without_a_new_time(
    handle: Handle, path: Path
) -> None:
    """Both may fall into one tick of the file system's clock, and leave the same size."""
    await handle.sample()
    append(path)
    assert await handle.is_unchanged()
    times = path.stat()
    write_at(path, 0, b"other")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not await handle.is_unchanged()


async def test_what_has_to_be_read_from_the_disk_cannot_be_told_without_waiting(
    handle: Handle, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await handle.sample()
    nothing_is_in_the_page_cache(monkeypatch)
    assert handle.is_unchanged_nowait() is True, "size and time are enough"
    append(path)
    assert handle.is_unchanged_nowait() is None
    assert await handle.is_unchanged()
    assert handle.is_unchanged_nowait() is None, "the append is young: a rewrite may follow"


async def test_of_a_file_that_changed_before_anything_is_known_nothing_is_believed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_is_in_the_page_cache(monkeypatch)
    pool = Pool(1, 10.0)
    handle = opened(path, pool)
    append(path)
    await handle.sample()
    assert not await handle.is_unchanged()
    handle.close()
    pool.close()


async def test_an_append_between_opening_and_sampling_is_an_append(
    handle: Handle, path: Path
) -> None:
    append(path)
    await handle.sample()
    assert await handle.is_unchanged()


async def test_a_rewrite_between_opening_and_sampling_is_a_rewrite(
    handle: Handle, path: Path
) -> None:
    write_at(path, 0, bytes(2 * SIZE))
    await handle.sample()
    assert not await handle.is_unchanged()


async def test_blocks_are_read_once_for_all_handles_on_a_descriptor(
    handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await handle.sample()
    reads: list[int] = []
    monkeypatch.setattr(kernel, "pread_nowait", lambda *_: reads.append(1))
    await handle.shared().sample()
    handle.shared().sample_nowait()
    assert await handle.is_unchanged()
    assert not reads


async def test_a_block_that_cannot_be_read_proves_nothing_and_breaks_nothing(
    handle: Handle, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(kernel, "pread_nowait", broken)
    monkeypatch.setattr(kernel, "pread", broken)
    await handle.sample()
    assert await handle.is_unchanged()
    append(path)
    assert not await handle.is_unchanged()


async def test_a_file_that_is_written_while_it_is_opened_is_opened_as_it_is_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread, once = kernel.pread_nowait, iter([b"+"])

    def written(fd: int, count: int, offset: int) -> bytes | None:
        content = pread(fd, count, offset)
        for more in once:
            os.truncate(path, SIZE + len(more))
        return content

    monkeypatch.setattr(kernel, "pread_nowait", written)
    pool = Pool(1, 10.0)
    handle = opened(path, pool)
    assert handle.identity.size == SIZE + 1
    assert await handle.is_unchanged()
    append(path)
    assert not await handle.is_unchanged(), "the last byte it was opened with is another"
    handle.close()
    pool.close()


# -- invariants ------------------------------------------------------------------------------


@given(st.integers(0, 2**40))
def test_blocks_cover_both_ends_and_no_gap_is_longer_than_a_fifteenth(size: int) -> None:
    samples = Samples(Identity(1, 1, size, 0, 0))
    offsets = samples.offsets()
    assert offsets[0] == 0
    assert offsets[-1] + min(BLOCK_BYTES, size) >= size
    assert len(offsets) <= BLOCKS
    gaps = [after - before for before, after in pairwise(offsets)]
    assert max(gaps, default=0) <= size // (BLOCKS - 1) + BLOCK_BYTES


@given(st.binary(max_size=40_000), st.binary(max_size=100), st.data())
def test_content_that_another_begins_with_is_unchanged_and_no_other(
    content: bytes, more: bytes, data: st.DataObject
) -> None:
    samples = Samples(Identity(1, 1, len(content), 0, 0))
    assert samples.compare(read_blocks_of(samples, content, 0))
    assert samples.compare(read_blocks_of(samples, content + more, 1))
    if content:
        index = data.draw(st.sampled_from([0, len(content) - 1]))
        other = content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :]
        assert not samples.compare(read_blocks_of(samples, other + more, 2))
        assert not samples.compare(read_blocks_of(samples, content[:-1], 3))


def read_blocks_of(samples: Samples, content: bytes, time_ns: int) -> Blocks:
    """Read from bytes instead of a file."""
    read: dict[int, bytes | None] = {
        offset: content[offset : min(offset + BLOCK_BYTES, samples.end)]
        for offset in samples.offsets()
    }
    return Blocks(len(content), time_ns, read)
