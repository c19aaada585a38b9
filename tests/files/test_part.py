"""Content that is a part of a file: positions are relative to it, and no byte beside it counts."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncstatic.files import kernel
from asyncstatic.files.digests import Digests
from asyncstatic.files.handle import (
    Handle,
    identity_of,
    open_handle,
    read_content,
    read_version,
)
from asyncstatic.files.pool import Pool
from asyncstatic.files.samples import BLOCK_BYTES, Blocks, Samples
from asyncstatic.http.model import ByteRange, Identity

CONTENT = random.Random(3).randbytes(50_000)
PARTS = st.tuples(st.integers(0, len(CONTENT)), st.integers(0, len(CONTENT))).map(
    lambda ends: ByteRange(min(ends), max(ends) - 1)
)
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    fd = kernel.open_path(str(path))
    yield fd
    os.close(fd)


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(1, 10.0)
    yield pool
    pool.close()


def bytes_of(part: ByteRange) -> bytes:
    return CONTENT[part.first : part.last + 1]


@many
@given(part=PARTS, data=st.data())
def test_each_way_to_read_reads_the_bytes_of_the_part(
    fd: int, pool: Pool, part: ByteRange, data: st.DataObject
) -> None:
    handle = Handle(fd, identity_of(os.fstat(fd), part), pool)
    offset = data.draw(st.integers(0, part.length))
    count = data.draw(st.integers(0, part.length - offset))
    expected = bytes_of(part)[offset : offset + count]
    buffer = bytearray(count)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sent = handle.send_to(ours.fileno(), offset, count) if count else 0
        assert theirs.recv(sent, socket.MSG_WAITALL) == expected[:sent]
    assert handle.read_nowait(offset, count) in (expected, None)
    assert handle.read_into_nowait(memoryview(buffer), offset) in (count, None)
    assert bytes(buffer) in (expected, bytes(count))
    assert (
        read_content(fd, handle.identity, offset, count + 100)
        == bytes_of(part)[offset:][: count + 100]
    )


@many
@given(PARTS)
def test_a_version_and_a_digest_are_of_the_part_alone(fd: int, part: ByteRange) -> None:
    identity, digests = identity_of(os.fstat(fd), part), Digests()
    assert read_version(fd, identity, nowait=False) == (identity, bytes_of(part))
    later = identity_of(os.fstat(fd), ByteRange(0, len(CONTENT) - 1))
    ours = digests.content(fd, identity, nowait=False)
    assert (ours == digests.content(fd, later, nowait=False)) is (bytes_of(part) == CONTENT)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_no_block_is_taken_from_beside_the_part(first: int, length: int) -> None:
    samples = Samples(Identity(1, 1, 2**42, 0, 0, ByteRange(first, first + length - 1)))
    offsets = samples.offsets()
    assert (offsets[0], samples.end) == (first, first + length)
    assert offsets[-1] == max(first, first + length - BLOCK_BYTES)


@given(st.binary(max_size=3000), st.binary(min_size=1, max_size=20_000), st.binary(max_size=3000))
def test_bytes_beside_the_part_may_change_and_its_own_may_not(
    before: bytes, content: bytes, behind: bytes
) -> None:
    size = len(before) + len(content) + len(behind)
    part = ByteRange(len(before), len(before) + len(content) - 1)
    samples = Samples(Identity(1, 1, size, 0, 0, part))

    def blocks(file: bytes, time_ns: int) -> Blocks:
        read: dict[int, bytes | None] = {
            offset: file[offset : min(offset + BLOCK_BYTES, samples.end)]
            for offset in samples.offsets()
        }
        return Blocks(len(file), time_ns, read)

    assert samples.compare(blocks(before + content + behind, 0))
    assert samples.compare(blocks(bytes(len(before)) + content + bytes(len(behind)) + b"more", 1))
    other = bytes([content[0] ^ 1]) + content[1:]
    assert not samples.compare(blocks(before + other + behind, 2))
    assert not samples.compare(blocks((before + content)[:-1], 3))


@pytest.mark.parametrize("cached", [True, False], ids=["page cache", "disk"])
async def test_the_disk_is_asked_for_the_bytes_of_the_part(
    path: Path, pool: Pool, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not cached:
        monkeypatch.setattr(kernel, "pread_nowait", lambda *_: None)
        monkeypatch.setattr(kernel, "is_resident", lambda *_: False)
    part, fd = ByteRange(20_000, 29_999), kernel.open_path(str(path))
    handle = open_handle(fd, identity_of(kernel.fstat(fd), part), pool, nowait=True)
    assert handle.identity.length == 10_000
    assert await handle.read(10, 100) == CONTENT[20_010:20_110]
    await handle.warm(0, 10_000)
    await handle.sample()
    assert await handle.is_unchanged()
    handle.close()
