"""The thin layer over the system calls keeps what it says about each of them."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncstatic.files import kernel

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX calls"),
    pytest.mark.usefixtures("no_handle_leaks"),
]

PAGE = os.sysconf("SC_PAGE_SIZE")
CONTENT = bytes(n * n % 251 for n in range(20 * PAGE + 77))
PAGES = range(0, len(CONTENT), PAGE)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(CONTENT)
    (tmp_path / "link").symlink_to("file")
    fd = os.open(tmp_path, kernel.DIRECTORY_FLAGS)
    yield fd
    os.close(fd)


@pytest.fixture
def file(directory: int) -> Iterator[int]:
    """A handle of a file all of whose pages are in the cache: it was just written."""
    fd = kernel.openat(directory, "file", kernel.OPEN_FLAGS)
    yield fd
    os.close(fd)


@pytest.fixture
def openat2(directory: int) -> Callable[[bytes, int], int]:
    """Try openat2 in `directory`; the handle is closed at once."""

    def opened(path: bytes, resolve: int = kernel.RESOLVE_BENEATH) -> int:
        fd = kernel.openat2(directory, path, kernel.OPEN_FLAGS, resolve)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    try:
        opened(b"file")
    except OSError as error:
        pytest.skip(f"openat2: {error.strerror}")
    return opened


# -- openat2 -------------------------------------------------------------------------------


def test_openat2_opens_what_is_beneath(openat2: Callable[..., int]) -> None:
    assert openat2(b"file") == len(CONTENT)
    assert openat2(b"link") == len(CONTENT)


@pytest.mark.parametrize(
    ("path", "resolve", "code"),
    [
        pytest.param(b"missing", kernel.RESOLVE_BENEATH, errno.ENOENT, id="missing"),
        pytest.param(b"file/x", kernel.RESOLVE_BENEATH, errno.ENOTDIR, id="through-a-file"),
        pytest.param(b"..", kernel.RESOLVE_BENEATH, errno.EXDEV, id="up"),
        pytest.param(b"/etc/passwd", kernel.RESOLVE_BENEATH, errno.EXDEV, id="absolute"),
        pytest.param(b"link", kernel.RESOLVE_NO_SYMLINKS, errno.ELOOP, id="link"),
        pytest.param(b"file", 1 << 40, errno.EINVAL, id="unknown-rule"),
    ],
)
def test_openat2_raises_the_system_s_errno(
    path: bytes, resolve: int, code: int, openat2: Callable[..., int]
) -> None:
    with pytest.raises(OSError, match=r"^\[Errno") as refused:
        openat2(path, resolve)
    assert refused.value.errno == code
    assert refused.value.strerror == os.strerror(code)


def test_openat2_does_not_end_a_path_at_a_nul(openat2: Callable[..., int]) -> None:
    with pytest.raises(ValueError, match="null byte"):
        openat2(b"file\0.txt")


def test_openat2_is_retried_when_a_signal_interrupts_it(
    openat2: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    really, interruptions = kernel.syscall, [1, 2, 3]

    def interrupted(*args: object) -> int:
        if interruptions:
            interruptions.pop()
            ctypes.set_errno(errno.EINTR)
            return -1
        return really(*args)

    monkeypatch.setattr(kernel, "syscall", interrupted)
    assert openat2(b"file") == len(CONTENT)
    assert not interruptions


def test_where_there_is_no_openat2_it_says_so(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "syscall", kernel.no_syscall)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSYS)):
        kernel.openat2(directory, b"file", kernel.OPEN_FLAGS, 0)


def test_openat2_keeps_its_rules_apart_in_many_threads(openat2: Callable[..., int]) -> None:
    wrong: list[object] = []

    def refused() -> None:
        for _ in range(500):
            try:
                wrong.append(openat2(b"link", kernel.RESOLVE_NO_SYMLINKS))
            except OSError as error:
                if error.errno != errno.ELOOP:
                    wrong.append(error)

    def allowed() -> None:
        wrong.extend(size for _ in range(500) if (size := openat2(b"link")) != len(CONTENT))

    threads = [threading.Thread(target=target) for target in (refused, allowed) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


AUDITED = """
import os, sys
from asyncstatic.files import kernel
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(args[0]))
fd = os.open(".", kernel.DIRECTORY_FLAGS)
for open_ in (lambda: kernel.openat2(fd, b"README", kernel.OPEN_FLAGS, 0),):
    try:
        open_()
    except OSError:
        pass
print(opened)
"""


def test_every_open_raises_the_audit_event_of_open(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    child = subprocess.run(
        [sys.executable, "-c", AUDITED],
        env={**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert child.stdout == "['.', b'README']\n"


# -- reading -------------------------------------------------------------------------------


def nowait(fd: int, count: int, offset: int) -> bytes:
    """Read from the cache; skip the test on a file system that cannot."""
    data = kernel.pread_nowait(fd, count, offset)
    if data is None:
        pytest.skip("no RWF_NOWAIT on this file system")
    return data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(CONTENT) + 9), st.integers(0, len(CONTENT) + 9))
def test_a_cached_file_reads_without_waiting_as_it_reads_with(
    file: int, count: int, offset: int
) -> None:
    expected = CONTENT[offset : offset + count]
    assert kernel.pread(file, count, offset) == expected
    assert nowait(file, count, offset) == expected


def test_a_read_larger_than_the_shared_buffer_is_complete(tmp_path: Path) -> None:
    content = os.urandom(kernel.SCRATCH + 5)
    (tmp_path / "large").write_bytes(content)
    with open(tmp_path / "large", "rb") as large:
        assert nowait(large.fileno(), len(content), 0) == content


@pytest.mark.parametrize("count", [1, 5000, kernel.SCRATCH])
def test_a_buffer_begins_with_a_page(count: int) -> None:
    """Behind a page's beginning some processors copy ten times as slowly (see kernel.py)."""
    buffer = kernel.aligned(count)
    assert len(buffer) == count
    assert ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % mmap.PAGESIZE == 0


Answer = int | bytes  # an errno to raise, or the bytes that arrive


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([b"abcd"], b"abcd", id="complete"),
        pytest.param([b"ab", b"cd"], b"abcd", id="in-two"),
        pytest.param([errno.EAGAIN], None, id="nothing-cached"),
        pytest.param([b"ab", errno.EAGAIN], None, id="half-cached"),
        pytest.param([errno.EOPNOTSUPP], None, id="file-system-cannot"),
        pytest.param([errno.ENOSYS], None, id="kernel-cannot"),
        pytest.param([errno.EPERM], None, id="seccomp-forbids"),
        pytest.param([b""], None, id="zero-before-the-end"),
        pytest.param([b"ab", b""], None, id="zero-after-some"),
    ],
)
def test_a_read_that_would_wait_returns_nothing_rather_than_less(
    file: int, answers: list[Answer], expected: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "preadv_nowait", scripted(answers))
    assert kernel.pread_nowait(file, 4, 0) == expected
    assert not answers


def scripted(answers: list[Answer]) -> Callable[[int, memoryview, int], int]:
    def preadv_nowait(_: int, view: memoryview, offset: int) -> int:
        answer = answers.pop(0)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        view[: len(answer)] = answer
        return len(answer)

    return preadv_nowait


def test_a_disk_error_is_not_taken_for_a_wait(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "preadv_nowait", scripted([errno.EIO]))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        kernel.pread_nowait(file, 4, 0)


def test_reads_in_many_threads_do_not_mix_their_bytes(file: int) -> None:
    nowait(file, 1, 0)
    wrong: list[int] = []

    def read(offset: int) -> None:
        expected = CONTENT[offset : offset + PAGE]
        wrong.extend(n for n in range(500) if kernel.pread_nowait(file, PAGE, offset) != expected)

    threads = [threading.Thread(target=read, args=(n * PAGE + n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- the page cache ------------------------------------------------------------------------


def pages_by_mincore(fd: int) -> list[bool]:
    """Ask another system call which pages of the file are in the page cache."""
    with mmap.mmap(fd, len(CONTENT), access=mmap.ACCESS_COPY) as mapped:
        start = ctypes.c_char.from_buffer(mapped)
        told = (ctypes.c_ubyte * len(PAGES))()
        address, length = ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(CONTENT))
        assert ctypes.CDLL(None).mincore(address, length, told) == 0
        del start
    return [bool(page & 1) for page in told]


@pytest.fixture
def cold(file: int) -> int:
    """The same file, not one of whose pages is in the cache."""
    nowait(file, 1, 0)
    if sys.platform != "linux":
        pytest.skip("needs posix_fadvise(2) to empty the cache")
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    if any(pages_by_mincore(file)):
        pytest.skip("this file system keeps its pages")
    return file


def test_what_is_in_the_page_cache_is_known_to_be(file: int) -> None:
    nowait(file, 1, 0)
    last = len(CONTENT) - 1
    assert all(pages_by_mincore(file))
    assert all(kernel.is_resident(file, page) for page in (*PAGES, last))
    assert not kernel.is_resident(file, last + 1)


def test_what_is_not_in_the_page_cache_is_not_said_to_be(cold: int) -> None:
    """Asking starts the reading: a fast disk may overtake the questions, not always."""
    answers = []
    for _ in range(20):
        os.posix_fadvise(cold, 0, 0, os.POSIX_FADV_DONTNEED)
        answers.append(all(kernel.is_resident(cold, page) for page in PAGES))
    assert False in answers
    kernel.pread(cold, len(CONTENT), 0)
    assert all(kernel.is_resident(cold, page) for page in PAGES)


def test_a_cold_file_is_not_read_without_waiting(cold: int) -> None:
    """Asking starts the reading: a fast disk may be done in time, not always."""
    answers = []
    for _ in range(20):
        os.posix_fadvise(cold, 0, 0, os.POSIX_FADV_DONTNEED)
        answers.append(kernel.pread_nowait(cold, len(CONTENT), 0))
    assert None in answers
    assert set(answers) <= {None, CONTENT}
    assert kernel.pread(cold, len(CONTENT), 0) == CONTENT
    assert kernel.pread_nowait(cold, len(CONTENT), 0) == CONTENT


# -- the rest ------------------------------------------------------------------------------


def test_names_are_taken_relative_to_the_directory_and_links_for_themselves(
    directory: int,
) -> None:
    assert kernel.readlinkat(directory, b"link") == b"file"
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        kernel.readlinkat(directory, b"file")
    with pytest.raises(OSError, match=r"^\[Errno"):
        kernel.openat(directory, "link", kernel.OPEN_FLAGS | kernel.NOFOLLOW)


def test_a_handle_knows_its_present_path(tmp_path: Path, file: int) -> None:
    real = os.path.realpath(tmp_path)
    assert kernel.fd_path(file) == f"{real}/file"
    (tmp_path / "file").rename(tmp_path / "moved")
    assert kernel.fd_path(file) == f"{real}/moved"


def test_a_directory_is_listed_by_its_handle_which_stays_open(tmp_path: Path) -> None:
    (tmp_path / "name").touch()
    fd = kernel.open_path(str(tmp_path))
    for _ in range(2):
        with kernel.scandir_fd(fd) as entries:
            assert [entry.name for entry in entries] == ["name"]
    kernel.close(fd)


def test_handles_are_not_inherited(tmp_path: Path) -> None:
    for fd in (kernel.open_path(str(tmp_path), directory=True), kernel.open_path(str(tmp_path))):
        copy = kernel.dup(fd)
        assert not os.get_inheritable(fd)
        assert not os.get_inheritable(copy)
        kernel.close(copy)
        kernel.close(fd)


@pytest.mark.skipif(not kernel.HAS_SENDFILE, reason="no sendfile(2)")
def test_sendfile_sends_the_bytes_it_is_asked_for(file: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sent = kernel.sendfile(ours.fileno(), file, 7, 1000)
        assert theirs.recv(4096) == CONTENT[7 : 7 + sent]
        assert sent == 1000
