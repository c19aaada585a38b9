"""Anonymous files: a copy that nobody can change, bounded in number."""

from __future__ import annotations

import os

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.memfd import MemoryFile

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has anonymous files"),
    pytest.mark.usefixtures("no_handle_leaks"),
]


def test_a_memory_file_holds_what_it_was_given() -> None:
    file = MemoryFile(b"content")
    assert (file.length, file.read(0), file.read(3)) == (7, b"content", b"tent")
    file.close()
    file.close()


def test_a_memory_file_that_nobody_holds_is_closed() -> None:
    for _ in range(100):
        MemoryFile(b"content")


def test_there_is_room_for_a_share_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "handle_limit", lambda: 24)
    files = []
    while MemoryFile.has_room():
        files.append(MemoryFile(b"content"))
    assert len(files) == 3
    files.pop().close()
    assert MemoryFile.has_room()
    for file in files:
        file.close()
