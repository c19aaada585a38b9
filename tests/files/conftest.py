"""What the tests of this room share: a handle count, a clock to set, resolvers that are closed."""

from __future__ import annotations

import errno
import gc
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.resolver import Resolver, choose_resolver
from asyncstatic.files.root import RootHandle, Segments
from asyncstatic.files.source import Found
from asyncstatic.http.model import Lookup


def _open_handles() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


@pytest.fixture
def open_handles() -> Callable[[], int]:
    """Count this process's open handles."""
    return _open_handles


@pytest.fixture(scope="module")
def _nothing_left_of_other_modules() -> None:
    """What their tests dropped, with its handles, waits for the collector no longer."""
    gc.collect()


@pytest.fixture
def no_handle_leaks(_nothing_left_of_other_modules: None) -> Iterator[None]:
    """Whatever the test does, as many handles are open after it as before."""
    before = _open_handles()
    yield
    deadline = time.monotonic() + 1  # a thread may be about to let go of what it looked at
    while _open_handles() != before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert _open_handles() == before


class Silent:
    """A source that never answers at once: in front of it, a cache answers alone."""

    def open_nowait(self, lookup: Lookup) -> Found | None:
        return None

    async def open(self, lookup: Lookup) -> Found:
        raise AssertionError("only a cache is asked here")

    def close(self) -> None:
        pass


class Clock:
    """A monotonic clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def is_visible(segments: Segments) -> bool:
    """The name policy of these tests: no segment begins with a dot."""
    return not any(name.startswith(".") for name in segments)


MakeResolver = Callable[..., Resolver]
Outcome = str | int  # what was read, or the errno of the refusal
DIRECTORY = "<directory>"


@pytest.fixture
def make_resolver() -> Iterator[MakeResolver]:
    """Build resolvers as the product does; all are closed after the test."""
    with ExitStack() as closing:

        def make(root: Path, **options: object) -> Resolver:
            settings = {"symlinks": "within_root", "allowed": is_visible, **options}
            of_root = {
                name: settings.pop(name) for name in ("recheck", "monotonic") if name in options
            }
            handle = RootHandle(str(root), **of_root)  # type: ignore[arg-type]  # a table's row
            closing.callback(handle.close)
            return choose_resolver(handle, **settings)  # type: ignore[arg-type]  # a table's row

        yield make


def _kernel_has_openat2(root: Path) -> bool:
    """Ask the kernel, not the product: a wrong choice must fail, not skip."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(kernel.openat2(fd, b".", kernel.OPEN_FLAGS, kernel.RESOLVE_BENEATH))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return False
    finally:
        os.close(fd)
    return True


@pytest.fixture
def with_openat2(tmp_path: Path) -> None:
    """Skip where this kernel refuses openat2(2)."""
    if not _kernel_has_openat2(tmp_path):
        pytest.skip("this kernel refuses openat2(2)")


@pytest.fixture(params=["openat2", "walk"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each resolver in turn."""
    if request.param == "openat2" and not _kernel_has_openat2(tmp_path):
        pytest.skip("this kernel refuses openat2(2)")
    return str(request.param)


def outcome(resolver: Resolver, *segments: str, cached_only: bool = False) -> Outcome:
    try:
        fd = resolver.open(segments, cached_only=cached_only)
    except OSError as error:
        return error.errno or 0
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            return DIRECTORY
        return os.read(fd, 65536).decode()
    finally:
        os.close(fd)


def plant(root: Path, **entries: str) -> None:
    """Fill a tree: ``path="content"`` is a file, ``path="-> target"`` a link."""
    for name, content in entries.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content, encoding="utf-8")


@pytest.fixture
def maze(tmp_path: Path) -> Path:
    """A root with every kind of link, beside a directory nobody may read through it."""
    plant(tmp_path / "outside", **{"secret": "secret", "dir/page": "foreign"})
    site = tmp_path / "site"
    chain = {f"chain{n}": f"-> chain{n - 1}" for n in range(2, 42)}
    plant(
        site,
        **{
            "page": "page",
            "css/app.css": "css",
            "deep/er/file": "deep",
            "ünï/☃": "snow",
            ".hidden/key": "hidden",
            ".dot": "dot",
            "to_page": "-> page",
            "css/up": "-> ../page",
            "css/top": "-> ..",
            "to_dir": "-> css",
            "to_dir_slash": "-> css/",
            "hop": "-> css/../deep/./er//file",
            "self": "-> .",
            "to_ünï": "-> ünï",
            "chain1": "-> page",
            **chain,
            "to_passwd": "-> /etc/passwd",
            "to_secret": "-> ../outside/secret",
            "to_outside": "-> ../outside",
            "abs_outside": f"-> {tmp_path}/outside",
            "abs_inside": f"-> {site}/page",
            "css/upup": "-> ../../outside/secret",
            "out_and_in": "-> ../site/page",
            "long_way_out": "-> css/../deep/er/../../../outside/secret",
            "to_escape": "-> to_secret",
            "proc_root": f"-> /proc/self/root{tmp_path}/outside/secret",
            "loop": "-> loop",
            "ping": "-> pong",
            "pong": "-> ping",
            "dangling": "-> nowhere",
            "file_slash": "-> page/",
            "through_file": "-> page/../css/app.css",
            "to_dot": "-> .dot",
            "to_hidden": "-> .hidden",
            "via_hidden": "-> .hidden/../page",
        },
    )
    return site


@contextmanager
def without_privileges() -> Iterator[None]:
    """Be nobody for a while, if we are root: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
