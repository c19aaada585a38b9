"""How long a client waits, beside how long this machine makes anybody wait at the same time.

A bound on time alone says as much about a busy machine as about a server. So the same measurement
is made, in turn with the server's, of a control that does nothing: another process that only
answers. What the control was made to wait for is not the server's doing.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.meanwhile import meanwhile

_ECHO = """
import os
while octet := os.read(0, 1):
    os.write(0, octet)
"""
_PAUSE = 0.002  # seconds between two questions


class Control:
    """A process that answers an octet with an octet."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def answer(self) -> None:
        """Ask, and wait for the answer."""
        self._end.sendall(b"?")
        assert self._end.recv(1)


@contextmanager
def answering_child() -> Iterator[Control]:
    """Start the control."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with (
        ours,
        theirs,
        subprocess.Popen([sys.executable, "-S", "-c", _ECHO], stdin=theirs.fileno()) as child,
    ):
        try:
            control = Control(ours)
            control.answer()  # it has started
            yield control
        finally:  # the child ends when nobody can ask any more
            theirs.close()
            ours.close()
            child.wait(20)


@dataclass
class Latencies:
    """Seconds that each question took.

    Attributes:
        ask: one question to the server, and its answer.
        ask_control: one to the control.

    """

    ask: Callable[[], object]
    ask_control: Callable[[], object]
    served: list[float] = field(default_factory=list)
    control: list[float] = field(default_factory=list)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Ask both, again and again, in a thread of their own until the block ends."""
        with meanwhile(self._ask):
            yield
        assert len(self.served) >= 20, "too few to say anything"

    def _ask(self, ended: threading.Event) -> None:
        while not ended.wait(_PAUSE):
            self.served.append(_seconds(self.ask))
            self.control.append(_seconds(self.ask_control))


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def quantile(seconds: list[float], share: float) -> float:
    """The time that this share of them does not exceed."""
    return sorted(seconds)[int(len(seconds) * share)]


def p99(seconds: list[float]) -> float:
    """The time that 99 of 100 do not exceed."""
    return quantile(seconds, 0.99)


def slower(now: Latencies, before: Latencies) -> float:
    """How many times as long as before the server's p99 is, but for what held up the control.

    What was less than 5 ms before counts as 5: below that it is the machine that is measured.
    """
    machine = max(0.0, p99(now.control) - p99(before.control))
    return (p99(now.served) - machine) / max(p99(before.served), 0.005)


def held_up(latencies: Latencies, share: float = 0.99) -> float:
    """By how many seconds the server's p99, or another quantile, exceeds that of the control."""
    return quantile(latencies.served, share) - quantile(latencies.control, share)
