"""Both resolvers open the same files and refuse the same ones, whatever the tree holds."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.root import Segments
from tests.files.conftest import (
    DIRECTORY,
    MakeResolver,
    Outcome,
    outcome,
    plant,
    without_privileges,
)

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX trees"),
    pytest.mark.usefixtures("no_handle_leaks"),
]

PASSWD = Path("/etc/passwd").read_text(encoding="utf-8")
E = errno  # short, for the tables
ROWS: list[tuple[str, Outcome, Outcome, Outcome]] = [
    # path, then the outcome under:  deny, within_root, follow
    ("", DIRECTORY, DIRECTORY, DIRECTORY),
    ("page", "page", "page", "page"),
    ("css", DIRECTORY, DIRECTORY, DIRECTORY),
    ("css/app.css", "css", "css", "css"),
    ("deep/er/file", "deep", "deep", "deep"),
    ("ünï/☃", "snow", "snow", "snow"),
    (".dot", "dot", "dot", "dot"),  # names as asked are the caller's to vet
    ("missing", E.ENOENT, E.ENOENT, E.ENOENT),
    ("missing/page", E.ENOENT, E.ENOENT, E.ENOENT),
    ("page/page", E.ENOTDIR, E.ENOTDIR, E.ENOTDIR),
    ("n" * 256, E.ENAMETOOLONG, E.ENAMETOOLONG, E.ENAMETOOLONG),
    ("/".join(["d" * 99] * 41), E.ENAMETOOLONG, E.ENAMETOOLONG, E.ENAMETOOLONG),
    # links that stay inside
    ("to_page", E.ELOOP, "page", "page"),
    ("css/up", E.ELOOP, "page", "page"),
    ("css/top", E.ELOOP, DIRECTORY, DIRECTORY),
    ("css/top/css/top/page", E.ELOOP, "page", "page"),
    ("to_dir", E.ELOOP, DIRECTORY, DIRECTORY),
    ("to_dir/app.css", E.ELOOP, "css", "css"),
    ("to_dir_slash", E.ELOOP, DIRECTORY, DIRECTORY),
    ("to_dir_slash/app.css", E.ELOOP, "css", "css"),
    ("hop", E.ELOOP, "deep", "deep"),
    ("self", E.ELOOP, DIRECTORY, DIRECTORY),
    ("self/self/page", E.ELOOP, "page", "page"),
    ("to_ünï/☃", E.ELOOP, "snow", "snow"),
    ("chain3", E.ELOOP, "page", "page"),
    ("chain40", E.ELOOP, "page", "page"),
    ("chain41", E.ELOOP, E.ELOOP, E.ELOOP),
    # links that leave
    ("to_passwd", E.ELOOP, E.EXDEV, PASSWD),
    ("to_secret", E.ELOOP, E.EXDEV, "secret"),
    ("to_outside", E.ELOOP, E.EXDEV, DIRECTORY),
    ("to_outside/secret", E.ELOOP, E.EXDEV, "secret"),
    ("abs_outside/dir/page", E.ELOOP, E.EXDEV, "foreign"),
    ("abs_inside", E.ELOOP, "page", "page"),
    ("css/upup", E.ELOOP, E.EXDEV, "secret"),
    ("out_and_in", E.ELOOP, E.EXDEV, "page"),
    ("long_way_out", E.ELOOP, E.EXDEV, "secret"),
    ("to_escape", E.ELOOP, E.EXDEV, "secret"),
    ("proc_root", E.ELOOP, E.EXDEV, "secret"),
    # links that lead nowhere
    ("loop", E.ELOOP, E.ELOOP, E.ELOOP),
    ("ping", E.ELOOP, E.ELOOP, E.ELOOP),
    ("loop/page", E.ELOOP, E.ELOOP, E.ELOOP),
    ("dangling", E.ELOOP, E.ENOENT, E.ENOENT),
    ("file_slash", E.ELOOP, E.ENOTDIR, E.ENOTDIR),
    ("through_file", E.ELOOP, E.ENOTDIR, E.ENOTDIR),
    # links to names that are not public
    ("to_dot", E.ELOOP, E.ENOENT, "dot"),
    ("to_hidden", E.ELOOP, E.ENOENT, DIRECTORY),
    ("to_hidden/key", E.ELOOP, E.ENOENT, "hidden"),
    ("via_hidden", E.ELOOP, "page", "page"),  # only where a link ends counts
]


def ids(row: tuple[str, Outcome, Outcome, Outcome]) -> str:
    return ascii(row[0] or "(root)").strip("'")[:24]


@pytest.mark.parametrize("policy", ["deny", "within_root", "follow"])
@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_every_path_opens_or_is_refused_as_its_policy_says(
    maze: Path,
    kind: str,
    policy: str,
    row: tuple[str, Outcome, Outcome, Outcome],
    make_resolver: MakeResolver,
) -> None:
    resolver = make_resolver(maze, prefer=kind, symlinks=policy)
    segments = row[0].split("/") if row[0] else []
    expected = row[1 + ["deny", "within_root", "follow"].index(policy)]

    assert resolver.name == kind
    assert outcome(resolver, *segments) == expected
    # Answered from the cache, it is the same answer; or none.
    assert outcome(resolver, *segments, cached_only=True) in (expected, E.EAGAIN)


@pytest.mark.usefixtures("with_openat2")
def test_a_warm_path_is_answered_without_waiting(maze: Path, make_resolver: MakeResolver) -> None:
    resolver = make_resolver(maze)
    assert resolver.name == "openat2"
    for path in ("page", "css/app.css", "to_dir/app.css"):
        segments = path.split("/")
        expected = outcome(resolver, *segments)
        assert outcome(resolver, *segments, cached_only=True) == expected


@pytest.mark.usefixtures("with_openat2")
@pytest.mark.parametrize("path", ["to_outside/secret", "abs_outside/secret", "to_passwd"])
def test_the_kernel_never_opens_what_lies_outside_not_even_to_be_refused_later(
    maze: Path, path: str, monkeypatch: pytest.MonkeyPatch, make_resolver: MakeResolver
) -> None:
    resolver, opened = make_resolver(maze), []
    really = kernel.openat2

    def openat2(*args: int) -> int:
        fd = really(*args)  # type: ignore[arg-type]  # passed on as they came
        opened.append(os.readlink(f"/proc/self/fd/{fd}"))
        return fd

    (maze / path).stat()  # from now on it is cached
    monkeypatch.setattr(kernel, "openat2", openat2)
    for cached_only in (False, True):
        assert isinstance(outcome(resolver, *path.split("/"), cached_only=cached_only), int)
    assert opened == []


@pytest.mark.usefixtures("with_openat2")
@pytest.mark.parametrize("path", ["page", "missing", "to_page", "loop", "to_secret"])
def test_without_leave_to_wait_no_call_is_made_that_could(
    maze: Path, path: str, monkeypatch: pytest.MonkeyPatch, make_resolver: MakeResolver
) -> None:
    resolver, patient = make_resolver(maze, recheck=0), []
    really = kernel.openat2

    def openat2(dir_fd: int, name: bytes, flags: int, resolve: int) -> int:
        if not resolve & kernel.RESOLVE_CACHED:
            patient.append("openat2")
        return really(dir_fd, name, flags, resolve)

    for call in ("openat", "open_path", "readlinkat", "stat"):
        monkeypatch.setattr(kernel, call, lambda *_, call=call, **__: patient.append(call))
    monkeypatch.setattr(kernel, "openat2", openat2)
    outcome(resolver, path, cached_only=True)
    assert patient == []


def test_the_walk_never_answers_without_waiting(maze: Path, make_resolver: MakeResolver) -> None:
    walk = make_resolver(maze, prefer="walk")
    with pytest.raises(BlockingIOError):
        walk.open(("page",), cached_only=True)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "nul\0byte"], ids=ascii)
@pytest.mark.parametrize("before", [(), ("css",)], ids=["first", "second"])
def test_what_is_no_plain_name_is_a_bug_of_the_caller(
    maze: Path, kind: str, before: Segments, name: str, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(maze, prefer=kind)
    with pytest.raises(ValueError, match=r"segment|null"):
        resolver.open((*before, name))


@pytest.mark.skipif(sys.platform != "linux", reason="procfs")
@pytest.mark.parametrize("path", ["root/etc/passwd", "cwd", "exe", "fd/0", "ns/mnt"])
def test_magic_links_are_refused_even_on_a_procfs_root(
    path: str, kind: str, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(Path("/proc/self"), prefer=kind)
    assert outcome(resolver, *path.split("/")) in (E.ELOOP, E.EXDEV, E.ENOENT)
    assert isinstance(outcome(resolver, *path.split("/"), cached_only=True), int)


def test_a_root_of_slash_resolves_links_and_names_below_itself(
    kind: str, tmp_path: Path, make_resolver: MakeResolver
) -> None:
    plant(tmp_path, page="page", to_page="-> page", to_dot="-> .dot", **{".dot": "dot"})
    resolver = make_resolver(Path("/"), prefer=kind)
    segments = tmp_path.parts[1:]
    for _ in range(2):
        assert outcome(resolver, *segments, "to_page") == "page"
        assert outcome(resolver, *segments, "to_dot") == E.ENOENT
        assert outcome(resolver, *segments, "to_page", cached_only=True) in ("page", E.EAGAIN)


def test_the_name_policy_is_asked_where_a_followed_link_ends_and_only_then(
    maze: Path, kind: str, make_resolver: MakeResolver
) -> None:
    asked: list[Segments] = []

    def allowed(segments: Segments) -> bool:
        asked.append(segments)
        return True

    resolver = make_resolver(maze, prefer=kind, allowed=allowed)
    for path in ("page", "hop", "css/top", "to_ünï/☃"):
        outcome(resolver, *path.split("/"))
    assert asked == [("deep", "er", "file"), (), ("ünï", "☃")]


def test_a_name_policy_that_raises_leaks_no_handle(
    maze: Path, kind: str, make_resolver: MakeResolver
) -> None:
    def broken(segments: Segments) -> bool:
        raise LookupError(segments)

    resolver = make_resolver(maze, prefer=kind, allowed=broken)
    for cached_only in (False, True):
        with pytest.raises((LookupError, BlockingIOError)):
            resolver.open(("to_page",), cached_only=cached_only)


def test_a_fifo_a_socket_and_a_device_never_make_an_open_wait(
    maze: Path, kind: str, make_resolver: MakeResolver
) -> None:
    os.mkfifo(maze / "fifo")
    resolver = make_resolver(maze, prefer=kind)
    fd = resolver.open(("fifo",))  # would block without O_NONBLOCK: nobody writes
    try:
        assert stat.S_ISFIFO(os.fstat(fd).st_mode)
    finally:
        os.close(fd)
    with short_socket(maze):
        assert outcome(resolver, "socket") == E.ENXIO
    if sys.platform == "linux":
        terminal = make_resolver(Path("/dev"), prefer=kind)
        fd = terminal.open(("null",))
        try:
            assert stat.S_ISCHR(os.fstat(fd).st_mode)
        finally:
            os.close(fd)


@contextmanager
def short_socket(directory: Path) -> Iterator[None]:
    """Bind ``directory/socket``; by a relative name, as a socket's address holds 107 bytes."""
    before = os.getcwd()
    os.chdir(directory)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket")
            yield
    finally:
        os.chdir(before)


def test_a_handle_is_neither_inherited_nor_blocking(
    maze: Path, kind: str, make_resolver: MakeResolver
) -> None:
    fd = make_resolver(maze, prefer=kind).open(("page",))
    try:
        assert not os.get_inheritable(fd)
        assert not os.get_blocking(fd)
    finally:
        os.close(fd)


def test_what_the_user_may_not_read_is_refused_and_what_may_only_be_searched_is_passed(
    maze: Path, kind: str, make_resolver: MakeResolver
) -> None:
    (maze / "css").chmod(0o711)
    (maze / "page").chmod(0o600)
    (maze / "deep").chmod(0o700)
    maze.chmod(0o711)
    if os.geteuid() != 0:
        pytest.skip("needs a tree of another user: run as root")
    resolver = make_resolver(maze, prefer=kind, recheck=1e9)
    with without_privileges():
        assert outcome(resolver, "css", "app.css") == "css"
        assert outcome(resolver, "page") == E.EACCES
        assert outcome(resolver, "deep", "er", "file") == E.EACCES
        assert outcome(resolver, "css") == E.EACCES


@pytest.mark.usefixtures("with_openat2")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(E.ENOENT, id="proc-not-mounted"),
        pytest.param("/elsewhere/page", id="root-moved"),
        pytest.param("(unreachable)/page", id="other-namespace"),
        pytest.param("{maze}/page (deleted)", id="deleted"),
        pytest.param("{maze}-two/page", id="sibling"),
    ],
)
def test_a_link_whose_end_proc_does_not_tell_is_left_to_a_thread_and_the_walk(
    maze: Path, answer: str | int, monkeypatch: pytest.MonkeyPatch, make_resolver: MakeResolver
) -> None:
    resolver = make_resolver(maze)
    assert outcome(resolver, "to_page") == "page"  # from now on it is cached
    assert outcome(resolver, "to_page", cached_only=True) == "page"
    really = kernel.fd_path

    def fd_path(fd: int) -> str:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            return really(fd)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        return answer.format(maze=os.path.realpath(maze))

    monkeypatch.setattr(kernel, "fd_path", fd_path)
    assert outcome(resolver, "to_page", cached_only=True) == E.EAGAIN
    assert outcome(resolver, "to_page") == "page"


@pytest.mark.parametrize(
    ("path", "expected"), [("swap", "page"), ("swap/file", "deep")], ids=["file", "directory"]
)
def test_a_link_that_becomes_what_it_names_in_mid_walk_is_opened_all_the_same(
    maze: Path,
    path: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    make_resolver: MakeResolver,
) -> None:
    (maze / "swap").symlink_to("nowhere")
    really = kernel.readlinkat

    def readlinkat(dir_fd: int, name: bytes) -> bytes:
        (maze / "swap").unlink()
        (maze / ("page" if path == "swap" else "deep/er")).rename(maze / "swap")
        return really(dir_fd, name)

    monkeypatch.setattr(kernel, "readlinkat", readlinkat)
    walk = make_resolver(maze, prefer="walk")
    assert outcome(walk, *path.split("/")) == expected
