"""The watch over the event loop that every other test runs under."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockingError

from asyncstatic.files import kernel


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(b"octets")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


async def test_a_call_of_ours_that_may_wait_is_noticed_on_the_loop(fd: int) -> None:
    with pytest.raises(BlockingError):
        kernel.pread(fd, 6, 0)


def test_the_same_call_is_welcome_off_the_loop(fd: int) -> None:
    assert kernel.pread(fd, 6, 0) == b"octets"
