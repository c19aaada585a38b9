"""The cost of a process tree: CPU time to the nanosecond, memory to the page.

CPU time comes from each process's CPU-time clock (clock_getcpuclockid(3)), which counts every
thread, finished ones too, in nanoseconds; /proc/<pid>/stat counts the same in ticks of 10 ms.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil  # type: ignore[import-untyped]  # its types are a package of their own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

# include/uapi/linux/posix-timers.h: a process's clock id is (~pid << 3) | CPUCLOCK_SCHED
CPUCLOCK_SCHED = 2
LINUX = sys.platform == "linux"


class TreeChangedError(Exception):
    """A process of the tree came or went during a measurement, taking its CPU time with it."""


@dataclass(frozen=True)
class Cost:
    """The cost of a stretch of work for a process tree."""

    cpu_seconds: float
    peak_bytes: int


class ProcessTree:
    """A server's processes: the one that was started and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)

    def each(self, look: Callable[[int], T]) -> dict[int, T]:
        """Return what `look` finds at every living process of the tree, by process id.

        Raises:
            TreeChangedError: one of them went away meanwhile.
        """
        try:
            pids = [self.root.pid, *(child.pid for child in self.root.children(recursive=True))]
            return {pid: look(pid) for pid in pids}
        except (OSError, psutil.Error) as error:
            raise TreeChangedError(f"a process of the server ended: {error}") from error

    def cpu_seconds(self) -> dict[int, float]:
        """Return the CPU time used so far by each process, in seconds."""
        return self.each(process_cpu_seconds)

    def peak_bytes(self) -> int:
        """Return the sum of the peak resident sizes (shared pages count once per process)."""
        return sum(self.each(_peak_resident_bytes).values())

    def resident_bytes(self) -> int:
        """Return the sum of the resident sizes (shared pages count once per process)."""
        return sum(self.each(lambda pid: int(psutil.Process(pid).memory_info().rss)).values())

    def proportional_bytes(self) -> int:
        """Return the memory now in use, each shared page divided among its users (PSS)."""
        return sum(self.each(_proportional_bytes).values())

    def handles(self) -> int:
        """Return the number of open descriptors of the whole tree."""
        return sum(self.each(lambda pid: int(psutil.Process(pid).num_fds())).values())

    def threads(self) -> int:
        """Return the number of threads of the whole tree."""
        return sum(self.each(lambda pid: int(psutil.Process(pid).num_threads())).values())

    def forget_peak(self) -> None:
        """Start a new peak."""
        self.each(_forget_peak)


class Meter:
    """Measures one stretch of work of a tree; read `cost` afterwards."""

    def __init__(self, tree: ProcessTree) -> None:
        self.tree = tree
        tree.forget_peak()
        self.before = tree.cpu_seconds()

    def cost(self) -> Cost:
        """Return what the tree has used since the meter was made.

        Raises:
            TreeChangedError: a process came or went; its share of the work cannot be known.
        """
        after = self.tree.cpu_seconds()
        if after.keys() != self.before.keys():
            raise TreeChangedError("a process of the server came or went during the run")
        return Cost(sum(after.values()) - sum(self.before.values()), self.tree.peak_bytes())


def process_cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, of all threads of one process, in seconds."""
    if LINUX:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Run the block, and the processes started in it, on one core; `None` pins nothing."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _forget_peak(pid: int) -> None:
    """Reset the peak resident size (proc_pid_clear_refs(5))."""
    if LINUX:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak_resident_bytes(pid: int) -> int:
    if not LINUX:
        return int(psutil.Process(pid).memory_info().rss)
    with open(f"/proc/{pid}/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


def _proportional_bytes(pid: int) -> int:
    if not LINUX:
        return int(psutil.Process(pid).memory_info().rss)
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        pss = next(line for line in rollup if line.startswith("Pss:"))
    return int(pss.split()[1]) * 1024
