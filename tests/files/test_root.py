"""The root of a tree may be swapped, vanish and return; nobody reads a mixture, no handle is lost."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.root import RootHandle
from tests.files.conftest import Clock, MakeResolver, Outcome, outcome, plant

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX trees"),
    pytest.mark.usefixtures("no_handle_leaks"),
]

E = errno


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """``current -> a``, ready to be deployed anew."""
    plant(tmp_path, **{"a/version": "a", "b/version": "b", "current": "-> a"})
    return tmp_path


def deploy(releases: Path, release: str) -> None:
    (releases / "next").symlink_to(release)
    os.replace(releases / "next", releases / "current")


@pytest.mark.parametrize(
    ("kind", "cached_only"),
    [("openat2", False), ("openat2", True), ("walk", False)],
    ids=["openat2", "openat2-cached", "walk"],
    indirect=["kind"],
)
def test_a_swapped_root_is_seen_after_the_recheck_period_and_not_before(
    releases: Path, kind: str, clock: Clock, cached_only: bool, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(releases / "current", prefer=kind, recheck=0.25, monotonic=clock)
    plant(releases, touch="-> b")  # both versions are in the directory cache
    assert (releases / "touch" / "version").read_text(encoding="utf-8") == "b"
    assert outcome(resolver, "version") == "a"

    deploy(releases, "b")
    (releases / "current" / "version").stat()
    clock.advance(0.24)
    assert outcome(resolver, "version", cached_only=cached_only) == "a"
    clock.advance(0.02)
    assert outcome(resolver, "version", cached_only=cached_only) == "b"


def test_a_root_replaced_by_two_renames_is_served_throughout(
    releases: Path, kind: str, clock: Clock, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(releases / "a", prefer=kind, monotonic=clock)
    (releases / "a").rename(releases / "old")
    clock.advance(0.3)
    assert outcome(resolver, "version") == "a"  # the moment with no root
    (releases / "b").rename(releases / "a")
    clock.advance(0.3)
    assert outcome(resolver, "version") == "b"


def test_a_vanished_root_is_missing_and_is_back_at_once_when_it_returns(
    releases: Path, kind: str, clock: Clock, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(releases / "a", prefer=kind, monotonic=clock)
    (releases / "a").rename(releases / "away")
    for expected in ("a", E.ENOENT, E.ENOENT):
        clock.advance(0.3)
        assert outcome(resolver, "version") == expected
    (releases / "away").rename(releases / "a")
    assert outcome(resolver, "version") == "a"
    assert outcome(resolver, "version") == "a"


def test_a_root_that_became_a_file_is_no_directory(
    releases: Path, kind: str, clock: Clock, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(releases / "a", prefer=kind, monotonic=clock)
    (releases / "a").rename(releases / "away")
    (releases / "a").write_text("a file", encoding="utf-8")
    for expected in ("a", E.ENOTDIR):
        clock.advance(0.3)
        assert outcome(resolver, "version") == expected


@pytest.mark.usefixtures("with_openat2")
def test_only_a_thread_that_may_wait_decides_that_a_root_is_gone(
    releases: Path, clock: Clock, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(releases / "a", monotonic=clock)
    assert resolver.name == "openat2"
    (releases / "a").rename(releases / "away")
    clock.advance(0.3)
    for _ in range(3):
        assert outcome(resolver, "version", cached_only=True) == E.EAGAIN
    assert outcome(resolver, "version") == "a"  # the first miss


def test_a_lookup_in_flight_keeps_the_tree_it_began_with(
    releases: Path, clock: Clock, open_handles: Callable[[], int]
) -> None:
    root = RootHandle(str(releases / "current"), monotonic=clock)
    before = open_handles()
    tree = root.tree()
    deploy(releases, "b")
    clock.advance(1)
    assert root.tree().fd != tree.fd
    assert open_handles() == before + 1
    assert os.stat("version", dir_fd=tree.fd).st_ino == (releases / "a/version").stat().st_ino
    del tree
    assert open_handles() == before
    root.close()


def test_a_root_that_did_not_change_keeps_its_handle(
    releases: Path, clock: Clock, open_handles: Callable[[], int]
) -> None:
    root = RootHandle(str(releases / "current"), monotonic=clock)
    before, tree = open_handles(), root.tree()
    for _ in range(3):
        clock.advance(1)
        assert root.tree() is tree
        assert open_handles() == before
    root.close()


def test_a_closed_root_lets_lookups_finish_and_refuses_new_ones(
    releases: Path, open_handles: Callable[[], int]
) -> None:
    before = open_handles()
    root = RootHandle(str(releases / "a"))
    tree = root.tree()
    root.close()
    root.close()
    assert kernel.fstat(tree.fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        root.tree()
    del tree
    assert open_handles() == before


def test_a_root_closed_during_its_check_stays_closed(
    releases: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = RootHandle(str(releases / "a"), monotonic=clock)
    really = kernel.open_path

    def open_and_close(path: str, *, directory: bool = False) -> int:
        root.close()
        return really(path, directory=directory)

    monkeypatch.setattr(kernel, "open_path", open_and_close)
    clock.advance(1)
    for _ in range(2):
        with pytest.raises(OSError, match="Bad file descriptor"):
            root.tree()


def test_an_absolute_root_needs_no_working_directory(
    releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = releases / "removed"
    removed.mkdir()
    monkeypatch.chdir(removed)
    removed.rmdir()
    with closing(RootHandle(str(releases / "current"))) as root:
        assert root.path == str(releases / "current")


def test_a_relative_root_does_not_move_with_the_working_directory(
    releases: Path, kind: str, monkeypatch: pytest.MonkeyPatch, make_resolver: MakeResolver
) -> None:
    monkeypatch.chdir(releases)
    resolver = make_resolver(Path("a"), prefer=kind, recheck=0)
    monkeypatch.chdir("/")
    assert outcome(resolver, "version") == "a"


def test_roots_swapped_under_many_threads_are_always_wholly_one_or_the_other(
    releases: Path, kind: str, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(releases / "current", prefer=kind, recheck=0)
    seen: set[Outcome] = set()
    swapping = threading.Event()
    swapping.set()

    def read() -> None:
        while swapping.is_set():
            seen.add(outcome(resolver, "version"))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for n in range(300):
        deploy(releases, "ba"[n % 2])
    swapping.clear()
    for reader in readers:
        reader.join()
    assert seen <= {"a", "b"}
    assert outcome(resolver, "version") == "a"
