"""A name is proven missing as long as nothing can have appeared under it, and no longer."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest.mock import patch

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest

from asyncstatic.files import directory_names, kernel
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Absence, Lookup
from asyncstatic.http.target import is_public
from asyncstatic.settings import Settings
from tests.support.trees import directory_source

pytestmark = pytest.mark.usefixtures("no_handle_leaks")

A_TICK = 0.05  # seconds; longer than any clock tick of the kernel, so that nothing is racy
CODINGS = (("br", "identity"),)
Change = Callable[[Path], object]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """``root -> one``: a file, directories and links; a second tree that has more; things beside."""
    for name in ("one/dir/deep", "one/other", "two/dir", "beside/new"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        "one/a.txt",
        "two/late.txt",
        "two/dir/late.txt",
        "beside/new/late.txt",
        "beside/late.txt",
    ):
        (tmp_path / name).write_bytes(b"content")
    os.symlink("one", tmp_path / "root")
    os.symlink("other/late.txt", tmp_path / "one/dangling")
    os.symlink("other", tmp_path / "one/linked")
    time.sleep(A_TICK)
    return tmp_path


@pytest.fixture
def directory(top: Path) -> Iterator[TreeSource]:
    """The root as it is served."""
    directory = opened(top)
    yield directory
    directory.close()


def opened(top: Path) -> TreeSource:
    settings = Settings(top / "root", resolver="walk")
    return directory_source(settings, partial(is_public, settings=settings))


def find(source: Source, *segments: str) -> Found:
    """One request, in a loop of its own, and so in a turn of its own."""
    return asyncio.run(_find(source, Lookup(segments, directory=False, codings=CODINGS)))


async def _find(source: Source, lookup: Lookup) -> Found:
    found = source.open_nowait(lookup) or await source.open(lookup)
    if isinstance(found, Opened):
        found.close()
    return found


def is_known_to_be_missing(directory: TreeSource, *segments: str) -> bool:
    """Tell whether the directory says so without opening anything."""
    lookup = Lookup(segments, directory=False, codings=CODINGS)
    with patch.object(kernel, "openat", side_effect=BlockingIOError(errno.EAGAIN, "")):
        return directory.open_nowait(lookup) is Absence.MISSING


def write(path: Path) -> None:
    path.write_bytes(b"content")


def write_and_restore(path: Path) -> None:
    """Create a file, and set the directory's time back, as an archiver may."""
    before = os.stat(path.parent)
    write(path)
    os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))


def make_and_write(path: Path) -> None:
    path.parent.mkdir(parents=True)
    write(path)


def exchange(old: Path, new: Path) -> None:
    """Put a directory in another's place, its times included."""
    times = os.stat(old)
    os.rename(old, old.with_name("gone"))
    os.rename(new, old)
    os.utime(old, ns=(times.st_atime_ns, times.st_mtime_ns))


def retarget(link: Path, target: str) -> None:
    os.symlink(target, link.with_name("new link"))
    os.replace(link.with_name("new link"), link)


def link_to_directory(top: Path) -> None:
    write(top / "one/dir/late.txt")
    os.symlink("dir", top / "one/new")


def put_link_in_place(top: Path) -> None:
    os.rename(top / "one/dir", top / "gone")
    os.symlink("../two/dir", top / "one/dir")


LINKED = ("linked", "late.txt")
LATE, IN_DIR, DEEP = ("late.txt",), ("dir", "late.txt"), ("dir", "deep", "late.txt")
NEW_DIR = ("new", "late.txt")

#: How something may appear under a name that was missing.
APPEARANCES = [
    pytest.param(LATE, lambda t: write(t / "one/late.txt"), id="it is created"),
    pytest.param(IN_DIR, lambda t: write(t / "one/dir/late.txt"), id="it is created in a directory"),
    pytest.param(DEEP, lambda t: write(t / "one/dir/deep/late.txt"), id="it is created further down"),
    pytest.param(LATE, lambda t: write_and_restore(t / "one/late.txt"), id="the directory's time is set back"),
    pytest.param(LATE, lambda t: os.rename(t / "beside/late.txt", t / "one/late.txt"), id="it is moved in"),
    pytest.param(LATE, lambda t: os.link(t / "beside/late.txt", t / "one/late.txt"), id="it is linked in"),
    pytest.param(LATE, lambda t: os.symlink("a.txt", t / "one/late.txt"), id="a link appears"),
    pytest.param(LATE, lambda t: (t / "one/late.txt.br").write_bytes(brotli.compress(b"x")), id="a lone sidecar appears"),
    pytest.param(NEW_DIR, lambda t: make_and_write(t / "one/new/late.txt"), id="its directory is made"),
    pytest.param(NEW_DIR, lambda t: os.rename(t / "beside/new", t / "one/new"), id="its directory is moved in"),
    pytest.param(NEW_DIR, lambda t: os.symlink("../beside/../two/dir", t / "one/new"), id="its directory is a link out"),
    pytest.param(NEW_DIR, link_to_directory, id="its directory is a link"),
    pytest.param(LATE, lambda t: retarget(t / "root", "two"), id="the root is switched"),
    pytest.param(IN_DIR, lambda t: retarget(t / "root", "two"), id="the root is switched, with a directory"),
    pytest.param(IN_DIR, lambda t: exchange(t / "one/dir", t / "beside/new"), id="its directory is exchanged"),
    pytest.param(IN_DIR, put_link_in_place, id="its directory becomes a link out"),
    pytest.param(LINKED, lambda t: write(t / "one/other/late.txt"), id="it is created behind a link"),
    pytest.param(LINKED, lambda t: retarget(t / "one/linked", "../two/dir"), id="a linked directory leads elsewhere"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("segments", "change"), APPEARANCES)
def test_what_appears_is_found_at_once(
    top: Path, directory: TreeSource, segments: tuple[str, ...], change: Change
) -> None:
    assert find(directory, *segments) is Absence.MISSING
    assert is_known_to_be_missing(directory, *segments), (
        "nothing was proven: the test would prove nothing"
    )
    change(top)
    assert not is_known_to_be_missing(directory, *segments)
    time.sleep(0.3)  # how long the resolver may hold on to a root that was switched
    found = find(directory, *segments)
    fresh = opened(top)
    assert type(find(fresh, *segments)) is type(found)
    fresh.close()


@pytest.mark.parametrize(
    "segments",
    [
        pytest.param(("dangling",), id="a link that leads nowhere"),
        pytest.param(("a.txt", "late.txt"), id="below a file"),
    ],
)
def test_a_name_that_no_directory_can_prove_missing_is_looked_up(
    directory: TreeSource, segments: tuple[str, ...]
) -> None:
    assert find(directory, *segments) is Absence.MISSING
    assert not is_known_to_be_missing(directory, *segments)


def test_what_a_link_leads_to_is_found_when_it_appears(top: Path, directory: TreeSource) -> None:
    """No directory on the way to the link's name changes by that."""
    assert find(directory, "dangling") is Absence.MISSING
    assert find(directory, "linked", "late.txt") is Absence.MISSING
    write(top / "one/other/late.txt")
    assert isinstance(find(directory, "dangling"), Opened)
    assert isinstance(find(directory, "linked", "late.txt"), Opened)


def test_a_directory_that_just_changed_is_no_witness(
    top: Path, directory: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may yet appear in it without its times showing it."""
    write(top / "one/neighbour")
    moment = os.stat(top / "one").st_ctime_ns + 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: moment)
    assert find(directory, *LATE) is Absence.MISSING
    assert not is_known_to_be_missing(directory, *LATE)


def test_an_old_proof_is_not_used_while_a_directory_changes(
    top: Path, directory: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory has just changed, so its names are not held anew."""
    assert find(directory, *LATE) is Absence.MISSING
    assert is_known_to_be_missing(directory, *LATE)
    write(top / "one/neighbour")
    moment = os.stat(top / "one").st_ctime_ns + 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: moment)
    assert find(directory, *LATE) is Absence.MISSING
    assert not is_known_to_be_missing(directory, *LATE)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that stat(2) is asked about."""
    names: list[str] = []
    real = kernel.stat

    def look(path: str) -> os.stat_result:
        names.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(kernel, "stat", look)
    return names


def test_a_missing_name_costs_one_stat_for_each_directory_on_the_way(
    directory: TreeSource, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find(directory, *DEEP)
    looks.clear()
    monkeypatch.delattr(kernel, "openat")  # whoever opened something would fail
    assert find(directory, *DEEP) is Absence.MISSING
    assert looks == ["root", "dir", "deep"]


def test_a_name_that_the_kernel_knows_to_be_missing_is_proven_as_well(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may have asked for it before, so that no thread has to ask."""
    settings = Settings(top / "root")
    directory = directory_source(settings, partial(is_public, settings=settings))
    assert not (top / "one/new/late.txt").exists()
    assert find(directory, *NEW_DIR) is Absence.MISSING
    monkeypatch.setattr(kernel, "openat2", None)  # whoever opened something would fail
    monkeypatch.setattr(kernel, "openat", None)
    assert find(directory, "later.txt") is Absence.MISSING
    directory.close()


def test_a_directory_that_may_not_be_listed_is_asked_name_by_name(
    directory: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[int] = []

    def refused(fd: int) -> None:
        listings.append(fd)
        raise PermissionError(errno.EACCES, "")

    monkeypatch.setattr(kernel, "scandir_fd", refused)
    assert find(directory, *LATE) is Absence.MISSING
    assert isinstance(find(directory, "a.txt"), Opened)
    assert find(directory, *LATE) is Absence.MISSING
    assert len(listings) == 1


def test_names_take_bounded_memory(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of the directory that was read first are dropped first."""
    monkeypatch.setattr(directory_names, "_MOST", 100)
    for number in range(20):
        (top / f"one/dir{number}").mkdir()
    time.sleep(A_TICK)
    directory = opened(top)
    for number in range(20):
        find(directory, f"dir{number}", "missing")
    known = [is_known_to_be_missing(directory, f"dir{n}", "missing") for n in range(20)]
    find(directory, "missing")
    assert not known[0]
    assert is_known_to_be_missing(directory, "missing")
    directory.close()


def test_a_directory_that_is_too_large_is_not_held(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_names, "_LARGEST", 3)
    directory = opened(top)
    assert find(directory, *LATE) is Absence.MISSING
    assert not is_known_to_be_missing(directory, *LATE)
    directory.close()


def test_names_prove_nothing_where_the_file_system_ignores_case(
    directory: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "lstat_at", lambda fd, name: os.stat(fd))
    assert find(directory, *LATE) is Absence.MISSING
    assert not is_known_to_be_missing(directory, *LATE)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_history_memory_and_disk_agree(top: Path, seed: int) -> None:
    """Names come and go in any order, and every one is asked for after each change."""
    chance = random.Random(seed)
    names = [("f",), ("d", "f"), ("d", "e", "f"), ("l", "f"), ("f.br",)]
    directory, root = opened(top), top / "one"
    for _ in range(40):
        _change_something(chance, root)
        time.sleep(A_TICK if chance.random() < 0.3 else 0)
        fresh = opened(top)
        for name in names:
            assert type(find(directory, *name)) is type(find(fresh, *name)), name
        fresh.close()
    directory.close()


def _change_something(chance: random.Random, root: Path) -> None:
    """Make, remove, link or move something, if that is possible now."""
    some = [root / name for name in ("f", "d", "d/f", "d/e", "d/e/f", "l", "f.br", "aside")]
    one, other = chance.sample(some, 2)
    acts: list[Callable[[], object]] = [
        lambda: one.write_bytes(brotli.compress(b"x")),
        one.mkdir,
        one.unlink,
        one.rmdir,
        lambda: os.rename(one, other),
        lambda: os.symlink(other.name, one),
    ]
    with suppress(OSError):
        chance.choice(acts)()
