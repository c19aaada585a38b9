"""``--pid FILE``: the process id of the server, for scripts that send signals."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows
    flock = None  # type: ignore[assignment]


@contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """Write the process id to a file, and remove the file at the end.

    The file is complete whenever it is there. A lock (flock(2)) tells whether the process that wrote
    it still lives: the number alone could belong to another program after a reboot.

    Args:
        path: the file; None: do nothing.

    Raises:
        OSError: the file cannot be written, or belongs to a live server; the message is one line.
    """
    if path is None:
        yield
        return
    try:
        _refuse_if_in_use(path)
        descriptor = _written(path)
    except OSError as error:
        raise OSError(f"--pid {path}: {error.strerror or error}; name another file") from error
    identity = os.fstat(descriptor)
    try:
        yield
    finally:
        with suppress(OSError):
            if os.path.samestat(identity, os.stat(path)):
                os.unlink(path)
        os.close(descriptor)


def _refuse_if_in_use(path: str) -> None:
    """Refuse the file of a live server, and one that no server has written: it is never replaced."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # such as /dev/null; and a FIFO would wait
            raise OSError("what is there is not a file")
        with open(path, "rb") as file:
            number = file.read(20).decode("ascii", "replace").strip()
            if number and not number.isdigit():
                raise OSError("the file that is there holds no process id")
            try:
                _lock(file.fileno())
            except BlockingIOError:
                raise OSError(f"a running server has it (process {number})") from None


def _written(path: str) -> int:
    """Write the file under another name, rename it, and return a descriptor that holds the lock."""
    temporary = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):  # a killed server of that number left it, or it is a trap
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        _lock(descriptor)
        os.write(descriptor, b"%d\n" % os.getpid())
        os.replace(temporary, path)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return descriptor


def _lock(descriptor: int) -> None:
    if flock is not None:
        flock(descriptor, LOCK_EX | LOCK_NB)
