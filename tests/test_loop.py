"""The watch over the event loop that every other test runs under."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blockbuster import BlockingError

from asyncstatic.files import kernel


async def test_a_call_of_ours_that_may_wait_is_noticed_on_the_loop(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(BlockingError):
        kernel.statat(fd, ".")
    os.close(fd)


def test_the_same_call_is_welcome_off_the_loop(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    assert kernel.statat(fd, ".").st_ino == tmp_path.stat().st_ino
    os.close(fd)
