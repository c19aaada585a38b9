"""Names swapped under the resolver, as fast as a process can: no foreign byte is ever read.

First a resolver of the usual kind (resolve the path, compare strings, open) is shown to fail the
same test; a race that nobody can lose would prove nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncstatic.files.resolver import Resolver
from asyncstatic.files.root import Segments

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(ctypes.CDLL(None), "renameat2") if sys.platform == "linux" else True,
        reason="needs renameat2(2) from Linux and its libc",
    ),
    pytest.mark.usefixtures("no_handle_leaks"),
]

OWN, FOREIGN = b"own octets", b"foreign octets"
SECONDS = 0.3  # a round: ten thousand opens and more
PATIENCE = 10.0  # for the naive resolver to fail, which takes milliseconds
REFUSALS = (errno.ELOOP, errno.EXDEV, errno.ENOENT, errno.ENOTDIR)
Open = Callable[[Segments], int]

SWAPPER = """
import ctypes, os, sys
AT_FDCWD, RENAME_EXCHANGE = -100, 2
renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
a, b = map(os.fsencode, sys.argv[1:])
print("ready", flush=True)
while renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0:
    pass
sys.exit(os.strerror(ctypes.get_errno()))
"""


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Exchange two names atomically and without pause, in another process."""
    command = [sys.executable, "-c", SWAPPER, str(one), str(other)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"ready\n"
        try:
            yield
            assert swapper.poll() is None, "the swapper gave up: there was no race"
        finally:
            swapper.kill()


class Race:
    """A tree with a name that is own bytes at one moment and a way out at the next."""

    def __init__(self, site: Path, request: Segments, swapped: str, bait: str) -> None:
        self.site, self.request = site, request
        self.swapped, self.bait = site / swapped, site / bait

    def run(self, opened: Open, seconds: float, until: bytes | None = None) -> Counter[bytes | int]:
        """Count what `opened` gives, bytes or errno, for a time or until some were read."""
        seen: Counter[bytes | int] = Counter()
        with swapping(self.swapped, self.bait):
            end = time.monotonic() + seconds
            while time.monotonic() < end and (until is None or not seen[until]):
                seen[content(opened, self.request)] += 1
        return seen


def content(opened: Open, request: Segments) -> bytes | int:
    try:
        fd = opened(request)
    except OSError as error:
        return error.errno or 0
    try:
        return os.read(fd, 64)
    finally:
        os.close(fd)


@pytest.fixture(params=["file", "directory", "directory-up", "hidden"])
def race(request: pytest.FixtureRequest, tmp_path: Path) -> Race:
    site, outside = tmp_path / "site", tmp_path / "outside"
    for directory in (site / "dir/sub", site / "aside", outside / "sub", site / ".hidden"):
        directory.mkdir(parents=True)
    for own in (site / "page", site / "dir/sub/page"):
        own.write_bytes(OWN)
    for foreign in (outside / "page", outside / "sub/page", site / ".hidden/page"):
        foreign.write_bytes(FOREIGN)
    bait = site / "bait"
    match request.param:
        case "file":
            bait.symlink_to("../outside/page")
            return Race(site, ("page",), "page", "bait")
        case "directory":
            bait.symlink_to(outside)
            return Race(site, ("dir", "sub", "page"), "dir", "bait")
        case "directory-up":
            bait.symlink_to("aside/../../outside")
            return Race(site, ("dir", "sub", "page"), "dir", "bait")
        case _:
            bait.symlink_to(".hidden/page")
            return Race(site, ("page",), "page", "bait")


def naive(root: Path) -> Open:
    """The usual way: canonicalise, compare, open. Right at each step, and wrong."""
    real_root = os.path.realpath(root)

    def opened(segments: Segments) -> int:
        path = os.path.realpath(os.path.join(real_root, *segments))
        if not path.startswith(real_root + os.sep) or "/." in path.removeprefix(real_root):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return os.open(path, os.O_RDONLY)

    return opened


def alternating(resolver: Resolver) -> Open:
    """Ask as an event loop does, then as a thread does, in turn."""
    turn = 0

    def opened(segments: Segments) -> int:
        nonlocal turn
        turn += 1
        return resolver.open(segments, cached_only=turn % 2 == 0)

    return opened


def test_resolving_a_path_and_opening_it_later_reads_foreign_bytes(race: Race) -> None:
    seen = race.run(naive(race.site), PATIENCE, until=FOREIGN)
    assert seen[FOREIGN]


@pytest.mark.parametrize("symlinks", ["within_root", "deny"])
def test_no_foreign_byte_is_read_while_names_are_swapped(
    race: Race, kind: str, symlinks: str, make_resolver: Callable[..., Resolver]
) -> None:
    resolver = make_resolver(race.site, prefer=kind, symlinks=symlinks)
    seen = race.run(alternating(resolver) if kind == "openat2" else resolver.open, SECONDS)

    assert seen[FOREIGN] == 0
    assert seen[OWN], "it never won"
    assert sum(seen[code] for code in REFUSALS), "it was never tempted"
    assert set(seen) <= {OWN, errno.EAGAIN, *REFUSALS}
