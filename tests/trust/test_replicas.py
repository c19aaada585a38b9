"""Entity-tags that all replicas share: equal bytes have equal tags on every machine."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.raw import Answer
from tests.support.servers import Server, serving

pytestmark = pytest.mark.grid

THEN = 1_600_000_000 * 10**9 + 123_456_789
#: Held in memory; hashed from the file; hashed, of some MiB; too large to be hashed.
SIZES = {"1 KiB": 1 << 10, "100 KiB": 100 << 10, "5 MiB": 5 << 20, "9 MiB": 9 << 20}
YOUNG = 2.1  # seconds after which times are certain

sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def by_cp_a(source: Path, copy: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(copy)], check=True)


def by_hard_links(source: Path, copy: Path) -> None:
    subprocess.run(["cp", "-al", str(source), str(copy)], check=True)


def file_by_file(source: Path, copy: Path) -> None:
    """As rsync -a: written under another name, time set, renamed, in another order."""
    copy.mkdir()
    for path in sorted(source.iterdir(), reverse=True):
        beside = copy / f".{path.name}"
        beside.write_bytes(path.read_bytes())
        os.utime(beside, ns=(THEN, THEN))
        beside.rename(copy / path.name)


def then_chowned(source: Path, copy: Path) -> None:
    """As an entrypoint does with ``chown -R``: that changes ctime."""
    shutil.copytree(source, copy, copy_function=shutil.copy2)
    for path in copy.iterdir():
        os.chown(path, os.geteuid(), os.getegid())


WAYS = [by_cp_a, by_hard_links, file_by_file, then_chowned]
Place = tuple[Server, str]  # and what its targets begin with


def fill(directory: Path) -> Path:
    directory.mkdir()
    for size in SIZES.values():
        path = directory / f"{size}.bin"
        path.write_bytes(random.Random(size).randbytes(size))
        os.utime(path, ns=(THEN, THEN))
    return directory


@pytest.fixture(scope="module")
def places(setup: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Place]]:
    """A tree and its copies; the tree has a server of its own."""
    top = tmp_path_factory.mktemp("replicas")
    original = fill(top / "original")
    for way in WAYS:
        way(original, top / way.__name__)
    time.sleep(YOUNG)
    with serving(setup, original) as one, serving(setup, top) as other:
        yield [(one, "/"), *((other, f"/{way.__name__}/") for way in WAYS)]


def tags(answers: list[Answer]) -> set[str | None]:
    return {answer.field("etag") for answer in answers}


@pytest.mark.slow
@sizes
def test_all_replicas_have_the_same_strong_tag(places: list[Place], size: int) -> None:
    """Whichever request is the first: HEAD, a range, or the whole."""
    found = [
        answer
        for server, prefix in places
        for answer in (
            server.fetch(f"{prefix}{size}.bin", method="HEAD"),
            server.fetch(f"{prefix}{size}.bin", "Range: bytes=0-9"),
            server.fetch(f"{prefix}{size}.bin"),
            server.fetch(f"{prefix}{size}.bin"),
        )
    ]
    (tag,) = tags(found)
    assert tag is not None
    assert tag.startswith('"')


@pytest.mark.slow
@sizes
def test_a_download_is_resumed_and_validated_at_another_replica(
    places: list[Place], size: int
) -> None:
    for (one, prefix), (other, elsewhere) in zip(places, places[1:] + places[:1], strict=True):
        tag = one.fetch(f"{prefix}{size}.bin", method="HEAD").field("etag")
        target = f"{elsewhere}{size}.bin"
        assert other.fetch(target, f"If-None-Match: {tag}").status == 304
        rest = other.fetch(target, f"Range: bytes={size // 2}-", f"If-Range: {tag}")
        assert rest.status == 206
        assert rest.content == random.Random(size).randbytes(size)[size // 2 :]


def overwritten(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


def replaced(path: Path, content: bytes) -> None:
    fresh = path.with_name(".fresh")
    fresh.write_bytes(content)
    fresh.replace(path)


@sizes
@pytest.mark.parametrize("position", [0, 0.5, 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("change", [overwritten, replaced])
def test_changed_bytes_never_have_the_old_tag(
    changing: tuple[Server, Path],
    size: int,
    position: float,
    change: Callable[[Path, bytes], None],
) -> None:
    """Also with equal size and a time that was set back, and after the file has become old."""
    server, root = changing
    target, path = f"/{size}.bin", root / f"{size}.bin"
    tag = server.fetch(target).field("etag")
    content = bytearray(path.read_bytes())
    content[int(position * (size - 1))] ^= 1
    change(path, bytes(content))
    os.utime(path, ns=(THEN, THEN))
    for lines in ((f"If-None-Match: {tag}",), ("Range: bytes=0-9", f"If-Range: {tag}")):
        answer = server.fetch(target, *lines)
        assert (answer.status, answer.content) == (200, bytes(content))
        assert answer.field("etag") != tag


@pytest.fixture(scope="module")
def changing(setup: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    root = fill(tmp_path_factory.mktemp("changing") / "site")
    time.sleep(YOUNG)
    with serving(setup, root) as server:
        yield server, root
