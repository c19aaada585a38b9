"""After a deploy the tree before is asked for what is missing: files only, for a while, and safely."""

from __future__ import annotations

import errno
import gzip
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.cache import Cache
from asyncstatic.files.cached import CachedSource
from asyncstatic.files.source import Found, Opened, Source
from asyncstatic.files.tree_source import TreeSource
from asyncstatic.http.model import Absence, DirectoryRedirect, Lookup
from asyncstatic.settings import Settings
from tests.files.conftest import Clock, is_visible
from tests.support.site import write_site
from tests.support.trees import directory_source

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX trees"),
    pytest.mark.usefixtures("no_handle_leaks"),
]

GRACE = 10.0
SCRIPT = b"export const one = 1\n" * 99
LARGE = os.urandom(100_000)
PACKED = gzip.compress(SCRIPT, mtime=0)
#: What both releases have, and what only the old one has.
COMMON = {"index.html": b"old page", "both.txt": b"old", "docs/new.html": b""}
OLD = {
    **COMMON,
    "app.111.js": SCRIPT,
    "app.111.js.gz": PACKED,
    "large.111.bin": LARGE,
    "deep/er/empty.111": b"",
    "gone/index.html": b"an index",
    ".secret/key": b"hidden",
    "unread.111": b"nobody may read this",
}
NEW = {"index.html": b"new page", "both.txt": b"new", "app.222.js": b"new script", "docs/x": b""}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """``current -> old``, with a new release beside it, and a file outside both."""
    old = write_site(tmp_path / "old", OLD)
    write_site(tmp_path / "new", NEW)
    write_site(tmp_path / "newer", {"index.html": b"newer page"})
    (tmp_path / "outside").write_bytes(b"foreign")
    (old / "out").symlink_to("../outside")
    (old / "absolute").symlink_to(tmp_path / "outside")
    (old / "to_hidden").symlink_to(".secret/key")
    (old / "link.111.js").symlink_to("app.111.js")
    (old / "into_new").symlink_to("../new/app.222.js")
    os.mkfifo(old / "fifo")
    (old / "unread.111").chmod(0)
    (tmp_path / "current").symlink_to("old")
    return tmp_path


Deploy = Callable[[str], None]


@pytest.fixture
def deploy(base: Path, clock: Clock) -> Deploy:
    """Point the root to a release, and let the time between two looks at it pass."""

    def deploy(release: str) -> None:
        (base / "next").symlink_to(release)
        (base / "next").replace(base / "current")
        clock.advance(0.5)

    return deploy


def started(base: Path, clock: Clock, **options: Any) -> TreeSource:
    settings = Settings(base / "current", **{"previous_root_grace": GRACE, **options})
    return directory_source(settings, is_visible, monotonic=clock)


@pytest.fixture
def directory(base: Path, clock: Clock, kind: str) -> Iterator[TreeSource]:
    directory = started(base, clock, resolver=kind)
    yield directory
    directory.close()


@pytest.fixture
def source(directory: TreeSource) -> Source:
    return directory


@pytest.fixture
def cached(source: Source, base: Path) -> Iterator[Source]:
    cached = CachedSource(source, Cache(1 << 20))
    yield cached
    cached.close()


@pytest.fixture
def exchangeable(base: Path, clock: Clock, kind: str) -> Iterator[Source]:
    """The root is a directory, no link."""
    (base / "current").unlink()
    (base / "old").rename(base / "current")
    directory = started(base, clock, resolver=kind)
    yield directory
    directory.close()


@pytest.fixture
def keeping_nothing(base: Path, clock: Clock, kind: str) -> Iterator[Source]:
    directory = started(base, clock, resolver=kind, previous_root_grace=0)
    yield directory
    directory.close()


def lookup(path: str, *codings: str) -> Lookup:
    names = tuple(name for name in path.split("/") if name)
    tiers = (codings, ("identity",)) if codings else (("identity",),)
    return Lookup(names, directory=path.endswith("/"), codings=tiers)


async def asked(source: Source, path: str, *codings: str) -> Found:
    """Ask as a host does: on the loop, and in the pool if that would wait."""
    what = lookup(path, *codings)
    found = source.open_nowait(what)
    return await source.open(what) if found is None else found


async def came(source: Source, path: str, *codings: str) -> bytes | Absence | str:
    """What is found: its bytes, why there are none, or that it is a folder."""
    found = await asked(source, path, *codings)
    if isinstance(found, DirectoryRedirect):
        return "folder"
    if not isinstance(found, Opened):
        return found
    data = found.content
    if data is None:
        assert found.handle is not None
        data = await found.handle.read(0, found.representation.identity.size)
    found.close()
    return data


MISSING, FORBIDDEN = Absence.MISSING, Absence.FORBIDDEN

AFTER = [
    pytest.param("/app.111.js", (), SCRIPT, id="only the old release has it"),
    pytest.param("/app.111.js", ("gzip",), PACKED, id="its sidecar"),
    pytest.param("/large.111.bin", (), LARGE, id="a large one"),
    pytest.param("/deep/er/empty.111", (), b"", id="in a directory the new one has not"),
    pytest.param("/link.111.js", (), SCRIPT, id="by a link within the old release"),
    pytest.param("/both.txt", (), b"new", id="both have it"),
    pytest.param("/app.222.js", (), b"new script", id="only the new release has it"),
    pytest.param("/", (), b"new page", id="the index"),
    pytest.param("/none", (), MISSING, id="neither has it"),
    pytest.param("/gone/", (), MISSING, id="an index only the old one has"),
    pytest.param("/gone", (), MISSING, id="no redirect to a directory that is gone"),
    pytest.param("/app.111.js/", (), MISSING, id="with a slash behind"),
    pytest.param("/out", (), MISSING, id="a link out of the old release"),
    pytest.param("/absolute", (), MISSING, id="an absolute link"),
    pytest.param("/into_new", (), MISSING, id="a link into another release"),
    pytest.param("/to_hidden", (), MISSING, id="a link to a hidden name"),
    pytest.param("/fifo", (), MISSING, id="a FIFO"),
    pytest.param("/unread.111", (), FORBIDDEN, id="what nobody may read"),
]


@pytest.mark.parametrize(("path", "codings", "expected"), AFTER)
async def test_what_is_missing_after_a_deploy_comes_from_the_tree_before(
    source: Source,
    deploy: Deploy,
    path: str,
    codings: tuple[str, ...],
    expected: bytes | Absence,
) -> None:
    assert await came(source, "/") == b"old page"
    deploy("new")
    for _ in range(2):
        assert await came(source, path, *codings) == expected


async def test_the_tree_before_is_let_go_after_its_time(
    source: Source, deploy: Deploy, clock: Clock, open_handles: Callable[[], int]
) -> None:
    assert await came(source, "/") == b"old page"
    before = open_handles()
    deploy("new")
    assert await came(source, "/app.111.js") == SCRIPT
    assert open_handles() == before + 1
    clock.advance(GRACE - 0.01)
    assert await came(source, "/app.111.js") == SCRIPT
    clock.advance(0.02)
    assert await came(source, "/app.111.js") is MISSING
    clock.advance(0.3)
    assert await came(source, "/") == b"new page"
    assert open_handles() == before


async def test_only_one_tree_before_is_kept(
    source: Source, deploy: Deploy, open_handles: Callable[[], int]
) -> None:
    assert await came(source, "/") == b"old page"
    before = open_handles()
    for release in ("new", "newer"):
        deploy(release)
        assert await came(source, "/none") is MISSING
        assert open_handles() == before + 1
    assert await came(source, "/app.222.js") == b"new script"
    assert await came(source, "/app.111.js") is MISSING


async def test_a_rollback_answers_from_the_tree_that_is_back(
    source: Source, deploy: Deploy
) -> None:
    assert await came(source, "/") == b"old page"
    deploy("new")
    assert await came(source, "/") == b"new page"
    deploy("old")
    assert await came(source, "/both.txt") == b"old"
    assert await came(source, "/app.222.js") == b"new script"


async def test_files_of_the_tree_before_that_were_deleted_are_missing(
    source: Source, deploy: Deploy, base: Path
) -> None:
    assert await came(source, "/") == b"old page"
    deploy("new")
    (base / "old/app.111.js").unlink()
    (base / "old/app.111.js.gz").unlink()
    assert await came(source, "/app.111.js") is MISSING
    assert await came(source, "/large.111.bin") == LARGE


async def test_a_root_exchanged_for_another_directory_is_kept_as_well(
    exchangeable: Source, base: Path, clock: Clock
) -> None:
    """``mv current away; mv new current``: what is held is the tree, not a name."""
    source = exchangeable
    assert await came(source, "/") == b"old page"
    (base / "current").rename(base / "away")
    (base / "new").rename(base / "current")
    clock.advance(0.5)
    assert await came(source, "/") == b"new page"
    assert await came(source, "/app.111.js") == SCRIPT


async def test_while_the_root_is_gone_its_files_are_served_for_the_same_time(
    source: Source, base: Path, clock: Clock
) -> None:
    assert await came(source, "/") == b"old page"
    (base / "current").unlink()
    for _ in range(3):
        clock.advance(0.5)
        assert await came(source, "/app.111.js") == SCRIPT
    clock.advance(GRACE)
    assert await came(source, "/app.111.js") is MISSING


async def test_an_answer_from_the_tree_before_is_never_kept_in_memory(
    cached: Source, deploy: Deploy, clock: Clock
) -> None:
    assert await came(cached, "/") == b"old page"
    deploy("new")
    found = await asked(cached, "/app.111.js")
    assert isinstance(found, Opened)
    assert found.dependencies == ()
    clock.advance(GRACE)
    assert await came(cached, "/app.111.js") is MISSING


async def test_a_name_that_the_new_release_gets_later_is_answered_by_it(
    cached: Source, deploy: Deploy, base: Path
) -> None:
    assert await came(cached, "/") == b"old page"
    deploy("new")
    assert await came(cached, "/app.111.js") == SCRIPT
    (base / "new/app.111.js").write_bytes(b"rewritten")
    assert await came(cached, "/app.111.js") == b"rewritten"


async def test_a_lookup_in_flight_keeps_the_tree_before(
    source: Source, deploy: Deploy, clock: Clock
) -> None:
    assert await came(source, "/") == b"old page"
    deploy("new")
    found = await asked(source, "/large.111.bin")
    assert isinstance(found, Opened)
    assert found.handle is not None
    clock.advance(GRACE)
    deploy("newer")
    assert await came(source, "/") == b"newer page"
    assert await found.handle.read(0, len(LARGE)) == LARGE
    found.close()


async def test_a_fault_in_the_tree_before_is_no_false_absence(
    source: Source, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of our own limits a client is told to come again, not that the file is gone."""
    assert await came(source, "/") == b"old page"
    deploy("new")
    assert await came(source, "/none") is MISSING
    really = kernel.fstat

    def exhausted(fd: int) -> os.stat_result:
        status = really(fd)
        if status.st_size == len(LARGE):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return status

    monkeypatch.setattr(kernel, "fstat", exhausted)
    assert await came(source, "/large.111.bin") is Absence.OVERLOADED


async def test_without_the_setting_nothing_is_kept(
    keeping_nothing: Source, deploy: Deploy, open_handles: Callable[[], int]
) -> None:
    source = keeping_nothing
    assert await came(source, "/") == b"old page"
    before = open_handles()
    deploy("new")
    assert await came(source, "/app.111.js") is MISSING
    assert open_handles() == before
