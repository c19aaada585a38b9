"""The watch over the event loop that every other test runs under."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockingError

from asyncstatic.files.handle import read_fully


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(b"octets")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


async def test_a_call_of_ours_that_may_wait_is_noticed_on_the_loop(fd: int) -> None:
    with pytest.raises(BlockingError):
        read_fully(fd, 0, 6)


def test_the_same_call_is_welcome_off_the_loop(fd: int) -> None:
    assert read_fully(fd, 0, 6) == b"octets"
