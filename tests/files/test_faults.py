"""Every system call of a lookup fails once, in every way: nothing leaks, nothing wrong is read."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.resolver import choose_resolver
from asyncstatic.files.root import RootHandle
from tests.files.conftest import Outcome, is_visible, outcome

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX trees"),
    pytest.mark.usefixtures("no_handle_leaks"),
    pytest.mark.grid,
]

E = errno


CALLS = ("openat2", "openat", "open_path", "readlinkat", "fstat", "fd_path", "close")
FAULTS = [
    *(E.EIO, E.ESTALE, E.ENOMEM, E.EINTR, E.EAGAIN, E.EACCES, E.ETIMEDOUT),
    *(E.EMFILE, E.ENFILE, E.ENOSYS, E.EPERM, E.ENOENT),
]


class FaultyKernel:
    """Counts the system calls and fails the n-th, or all from the n-th on."""

    def __init__(
        self, patch: pytest.MonkeyPatch, fail_at: int, code: int, *, persistent: bool
    ) -> None:
        self.calls = 0
        self._fail_at, self._code, self._persistent = fail_at, code, persistent
        for name in CALLS:
            patch.setattr(kernel, name, self._wrap(name, getattr(kernel, name)))

    @property
    def struck(self) -> bool:
        return self.calls >= self._fail_at

    def _wrap(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            self.calls += 1
            due = self.calls >= self._fail_at if self._persistent else self.calls == self._fail_at
            if due and name == "close":
                call(*args, **kwargs)  # a failed close(2) has closed all the same
            if due:
                raise OSError(self._code, os.strerror(self._code))
            return call(*args, **kwargs)

        return wrapped


@pytest.mark.parametrize("code", FAULTS, ids=errno.errorcode.get)
@pytest.mark.parametrize("persistent", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("cached_only", [False, True], ids=["waiting", "cached"])
@pytest.mark.parametrize("path", ["css/app.css", "hop", "to_dir/top/css/up", "to_secret"])
def test_a_fault_at_any_system_call_leaks_nothing_and_reads_nothing_wrong(
    maze: Path,
    kind: str,
    code: int,
    persistent: bool,
    cached_only: bool,
    path: str,
    open_handles: Callable[[], int],
) -> None:
    def attempt() -> Outcome:
        root = RootHandle(str(maze), recheck=0)
        try:
            resolver = choose_resolver(
                root, symlinks="within_root", allowed=is_visible, prefer=prefer
            )
            return outcome(resolver, *path.split("/"), cached_only=cached_only)
        finally:
            root.close()

    prefer: Literal["auto", "walk"] = "walk" if kind == "walk" else "auto"
    right = attempt()
    before = open_handles()
    for n in range(1, 200):
        with pytest.MonkeyPatch.context() as patch:
            faulty = FaultyKernel(patch, n, code, persistent=persistent)
            try:
                result = attempt()
            except OSError as error:
                result = error.errno or 0
        assert open_handles() == before, n
        assert result == right or isinstance(result, int), n
        assert attempt() == right, n
        if not faulty.struck:
            break
    else:
        pytest.fail("the lookup never completed")
