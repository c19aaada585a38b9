"""The document root every contender serves: the same bytes and times, made from a seed."""

from __future__ import annotations

import gzip
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

KIB = 1024
MIB = 1024 * KIB

SINGLE_FILES = {
    "index.html": 1 * KIB,  # the shell of a single-page app
    "1k.js": 1 * KIB,
    "64k.js": 64 * KIB,
    "10m.bin": 10 * MIB,
    "100m.bin": 100 * MIB,
}
COMPRESSED_NAME = "app.js"
SEED = 9110

# Servers may distrust a file written a moment ago (its next write can leave the same times), so
# every file is an hour old.
AGE_SECONDS = 3600


@dataclass(frozen=True)
class Site:
    """A generated document root."""

    root: Path
    many: tuple[str, ...]
    cold: tuple[str, ...]
    flat: tuple[str, ...] = ()

    def read(self, target: str) -> bytes:
        """Return the bytes of the file that `target` names, with or without a query."""
        return _file(self.root, target).read_bytes()


def build_site(root: Path, many: int, cold: int, flat: int = 0) -> Site:
    """Write the document root below `root`.

    Args:
        root: an empty directory.
        many: how many distinct files of 1 KiB to write, 1,000 to a directory.
        cold: how many more of them to write, of which each will be asked for only once.
        flat: how many more of them to write, all in one directory.
    """
    rng = random.Random(SEED)  # noqa: S311 - reproducible content, not a secret
    for name, size in SINGLE_FILES.items():
        (root / name).write_bytes(_content(rng, size))
    _write_compressed(root)
    site = Site(
        root,
        tuple(write_many(root, "many", many, rng)),
        tuple(write_many(root, "cold", cold, rng)),
        tuple(write_many(root, "flat", flat, rng, to_a_directory=flat)),
    )
    make_old(root)
    return site


def write_many(
    root: Path, name: str, count: int, rng: random.Random, *, to_a_directory: int = 1000
) -> Iterator[str]:
    """Write `count` files of 1 KiB below `name`; yield their targets."""
    for number in range(count):
        folder = root / name / f"{number // to_a_directory:03d}"
        if number % to_a_directory == 0:
            folder.mkdir(parents=True)
        path = folder / f"{number:06d}.js"
        path.write_bytes(_content(rng, KIB))
        yield f"/{path.relative_to(root)}"


def make_old(root: Path) -> None:
    """Give every file below `root` the same time, an hour ago; write it all out to the disk."""
    then = time.time() - AGE_SECONDS
    for folder, _, names in os.walk(root):
        for name in names:
            os.utime(os.path.join(folder, name), (then, then))
    os.sync()


def drop_from_cache(root: Path, paths: Iterable[str]) -> None:
    """Ask the kernel to forget the content of files (posix_fadvise(2)); their names stay known."""
    for path in paths:
        handle = os.open(_file(root, path), os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _file(root: Path, target: str) -> Path:
    return root / target.partition("?")[0].lstrip("/")


def _content(rng: random.Random, size: int) -> bytes:
    """Return `size` bytes that do not repeat from file to file."""
    block = rng.randbytes(min(size, MIB) // 2).hex().encode()
    return (block * (size // len(block) + 1))[:size]


def _write_compressed(root: Path) -> None:
    """Write one compressible script of 64 KiB with its `.gz` and, where possible, `.br` sidecar."""
    lines = (f"export const value{n} = compute({n}, 'label {n % 17}');\n" for n in range(2000))
    script = "".join(lines).encode()[: 64 * KIB]
    (root / COMPRESSED_NAME).write_bytes(script)
    (root / f"{COMPRESSED_NAME}.gz").write_bytes(gzip.compress(script, 9, mtime=0))
    try:
        import brotli  # type: ignore[import-untyped]  # it has no types
    except ImportError:
        return
    (root / f"{COMPRESSED_NAME}.br").write_bytes(brotli.compress(script))
