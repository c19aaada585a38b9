"""A snapshot holds octets as they were, as long as somebody needs them and no longer."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.snapshot import Snapshot

OCTETS = os.urandom(100_000)

pytestmark = [
    pytest.mark.usefixtures("no_handle_leaks"),
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has anonymous files"),
]


def test_it_holds_the_octets() -> None:
    snapshot = Snapshot(OCTETS)
    assert len(snapshot) == len(OCTETS)
    assert snapshot.read() == OCTETS
    assert snapshot.read(99_990) == OCTETS[-10:]


def test_what_a_socket_was_given_is_there_when_the_snapshot_is_gone() -> None:
    """Its pages are the socket's too; nobody gets them for something else."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        snapshot = Snapshot(OCTETS)
        assert kernel.sendfile(ours.fileno(), snapshot.fd, 0, len(OCTETS)) == len(OCTETS)
        del snapshot
        others = [Snapshot(b"x" * len(OCTETS)) for _ in range(20)]
        received = b""
        while len(received) < len(OCTETS):
            received += theirs.recv(1 << 20)
    assert received == OCTETS
    del others


def test_one_that_does_not_fit_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(kernel, "_write", full)
    with pytest.raises(OSError, match="full"):
        Snapshot(OCTETS)
