"""Which resolver a root gets: by a probe at start, and again when the kernel changes its mind."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from tests.files.conftest import MakeResolver, outcome, without_privileges

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX trees"),
    pytest.mark.usefixtures("no_handle_leaks"),
]

E = errno


Patch = pytest.MonkeyPatch


def refuse(patch: Patch, code: int) -> None:
    """Make every openat2 fail, as a seccomp filter does."""

    def refused(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    patch.setattr(kernel, "openat2", refused)


@pytest.mark.parametrize("code", [E.ENOSYS, E.EPERM, E.EINVAL], ids=errno.errorcode.get)
def test_where_openat2_is_refused_the_walk_is_chosen(
    maze: Path, code: int, monkeypatch: Patch, make_resolver: MakeResolver
) -> None:
    refuse(monkeypatch, code)
    resolver = make_resolver(maze)
    assert resolver.name == "walk"
    assert outcome(resolver, "css", "app.css") == "css"
    with pytest.raises(ValueError, match='choose the resolver "auto" or "walk"'):
        make_resolver(maze, prefer="openat2")


def test_an_openat2_that_contains_nothing_is_not_trusted(
    maze: Path, monkeypatch: Patch, make_resolver: MakeResolver
) -> None:
    def lax(dir_fd: int, path: bytes, flags: int, _: int) -> int:
        return os.open(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(kernel, "openat2", lax)
    assert make_resolver(maze).name == "walk"


def test_without_resolve_cached_the_loop_is_sent_to_a_thread(
    maze: Path, monkeypatch: Patch, make_resolver: MakeResolver
) -> None:
    really = kernel.openat2

    def old(dir_fd: int, path: bytes, flags: int, resolve: int) -> int:  # Linux 5.6 to 5.11
        if resolve & kernel.RESOLVE_CACHED:
            raise OSError(E.EINVAL, os.strerror(E.EINVAL))
        return really(dir_fd, path, flags, resolve)

    monkeypatch.setattr(kernel, "openat2", old)
    resolver = make_resolver(maze)
    assert outcome(resolver, "page") == "page"
    assert outcome(resolver, "page", cached_only=True) == E.EAGAIN


@pytest.mark.parametrize("code", [E.ENOSYS, E.EPERM], ids=errno.errorcode.get)
@pytest.mark.usefixtures("with_openat2")
def test_openat2_refused_later_gives_way_to_the_walk_with_one_line(
    maze: Path,
    code: int,
    monkeypatch: Patch,
    caplog: pytest.LogCaptureFixture,
    make_resolver: MakeResolver,
) -> None:
    resolver = make_resolver(maze)
    assert resolver.name == "openat2"
    refuse(monkeypatch, code)
    with caplog.at_level(logging.WARNING, "asyncstatic"):
        assert outcome(resolver, "page", cached_only=True) == E.EAGAIN
        assert outcome(resolver, "page") == "page"
        assert outcome(resolver, "to_dot") == E.ENOENT
    assert resolver.name == "walk"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert os.strerror(code) in caplog.text


@pytest.mark.usefixtures("with_openat2")
def test_one_file_that_may_not_be_opened_does_not_end_openat2(
    maze: Path, monkeypatch: Patch, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(maze)
    assert resolver.name == "openat2"
    really = kernel.openat2

    def picky(dir_fd: int, path: bytes, flags: int, resolve: int) -> int:
        if path == b"page":
            raise PermissionError(E.EPERM, os.strerror(E.EPERM))
        return really(dir_fd, path, flags, resolve)

    monkeypatch.setattr(kernel, "openat2", picky)
    assert outcome(resolver, "page") == E.EPERM
    assert outcome(resolver, "css", "app.css") == "css"
    assert resolver.name == "openat2"


def test_a_root_that_cannot_be_served_is_the_system_s_own_error(
    maze: Path, kind: str, make_resolver: MakeResolver
) -> None:
    with pytest.raises(FileNotFoundError):
        make_resolver(maze / "missing", prefer=kind)
    with pytest.raises(NotADirectoryError):
        make_resolver(maze / "page", prefer=kind)


def test_a_root_that_cannot_be_searched_is_refused_at_start(
    kind: str, make_resolver: MakeResolver
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)
        closed = Path(directory, "closed")
        closed.mkdir(mode=0o000)
        with without_privileges(), pytest.raises(PermissionError):
            make_resolver(closed, prefer=kind)


SECCOMP = """
import ctypes, errno, os, struct, sys
from asyncstatic.files.resolver import choose_resolver
from asyncstatic.files.root import RootHandle

def forbid_openat2(code):  # seccomp(2), by a filter of four instructions
    instructions = [(0x20, 0, 0, 0), (0x15, 0, 1, 437), (0x06, 0, 0, 0x50000 | code),
                    (0x06, 0, 0, 0x7FFF0000)]
    code = b"".join(struct.pack("HBBI", *i) for i in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0, os.strerror(ctypes.get_errno())

root, code, when = sys.argv[1], getattr(errno, sys.argv[2]), sys.argv[3]
make = lambda: choose_resolver(
    RootHandle(root), symlinks="within_root", allowed=lambda names: True
)
if when == "late":
    resolver = make()
    first = resolver.name
    forbid_openat2(code)
else:
    forbid_openat2(code)
    resolver = make()
    first = resolver.name
content = os.read(resolver.open(("css", "up")), 99).decode()
try:
    resolver.open(("to_secret",))
except OSError as error:
    print(first, resolver.name, content, errno.errorcode[error.errno])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp")
@pytest.mark.parametrize("code", ["ENOSYS", "EPERM"])
@pytest.mark.parametrize("when", ["early", "late"])
def test_a_real_seccomp_filter_changes_the_resolver_and_nothing_else(
    maze: Path, code: str, when: str, make_resolver: MakeResolver
) -> None:
    chosen = make_resolver(maze).name
    child = subprocess.run(
        [sys.executable, "-c", SECCOMP, str(maze), code, when],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    first = chosen if when == "late" else "walk"
    assert child.stdout.split() == [first, "walk", "page", "EXDEV"], child.stderr
