"""Signals while a server starts: they wait until it obeys them, and its child processes ignore them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache


def _known(*names: str) -> frozenset[signal.Signals]:
    return frozenset(getattr(signal, name) for name in names if hasattr(signal, name))


#: Signals that a server which has not started yet cannot obey.
RELOADS = _known("SIGHUP", "SIGUSR1")
#: Signals that reach a whole terminal, or are for the supervisor: workers ignore them.
FOR_THE_SUPERVISOR = RELOADS | _known("SIGINT", "SIGQUIT")
#: All signals that a server obeys.
OBEYED = FOR_THE_SUPERVISOR | _known("SIGTERM")


@contextmanager
def held(numbers: Iterable[int]) -> Iterator[Callable[[], object]]:
    """Let signals wait; yield a function that delivers them.

    Those that nobody has delivered at the end are dropped: the start has failed, and the process ends.
    """
    _mask("SIG_BLOCK", numbers)
    try:
        yield lambda: _mask("SIG_UNBLOCK", numbers)
    finally:
        handlers = {number: signal.getsignal(number) for number in _pending() & set(numbers)}
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)  # this drops it (signal(7))
        _mask("SIG_UNBLOCK", numbers)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def ignored_by_children() -> Iterator[None]:
    """Let children ignore signals that reach the whole terminal, or are for the supervisor.

    Children inherit an ignored signal, and a blocked one: they call `unblock`. A signal that arrives
    here meanwhile is not lost: a blocked signal stays pending, also while it is ignored (signal(7), Linux).
    """
    before = _mask("SIG_BLOCK", FOR_THE_SUPERVISOR)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in FOR_THE_SUPERVISOR}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _mask("SIG_SETMASK", before)


def unblock() -> None:
    """Take back, in a child that ignores them, that signals are blocked."""
    _mask("SIG_UNBLOCK", FOR_THE_SUPERVISOR)


def _mask(how: str, numbers: Iterable[int]) -> Iterable[int]:
    """Change the signals that are blocked; return those before."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return ()
    return signal.pthread_sigmask(getattr(signal, how), numbers)


def _pending() -> set[int]:
    return set(signal.sigpending()) if hasattr(signal, "sigpending") else set()


def ending(exit_status: int) -> str:
    """Say how a process ended: its exit status, or less than 0 for a signal."""
    if exit_status >= 0:
        return f"ended with status {exit_status}"
    try:
        return f"was ended by {signal.Signals(-exit_status).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {-exit_status}"


def has_terminal() -> bool:
    """Tell whether this process has a controlling terminal (tty(4))."""
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
        return True
    return False


@lru_cache(maxsize=1)
def had_terminal() -> bool:
    """Tell whether this process had a controlling terminal when this was called first."""
    return has_terminal()
