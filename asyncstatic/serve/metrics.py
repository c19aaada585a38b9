"""Metrics for Prometheus: each worker counts in files of its own, and any of them adds all up.

The files are those of prometheus_client's multiprocess mode, in a directory that the workers of one
service share. They are named by the slot of a worker, not by its process id: the lowest number that no
living worker has. A worker that takes a dead one's place goes on counting in its files, so neither
files nor series grow with each replacement. The lock of a slot (flock(2)) ends with its worker, also
with one that was killed. The gauges of a slot without a lock are left out.

prometheus_client's own `Counter` and `Gauge` are not used: they find the directory by an environment
variable, which would also catch the metrics of the app in the same process.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any
from weakref import WeakKeyDictionary

from prometheus_client import Metric, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

from asyncstatic.files.cache import Cache
from asyncstatic.http.model import ResponsePlan
from asyncstatic.serve.asgi import StaticFiles
from asyncstatic.serve.direct.registry import Registry
from asyncstatic.serve.own_paths import Page

_ENTRIES = ("direct", "portable", "handed_over")  # the part that answered
# Clients choose methods, so any other one has the same label (RFC 9110 §9, RFC 5789).
_METHODS = frozenset(b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH".split())
_MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SAMPLE_SECONDS = 1.0
_LAGS = 15  # samples: at least one common scrape interval

Series = tuple[str | int, ...]  # the name, and the values of its labels

_HITS = ("asyncstatic_cache_hits",)
_LABELS = {
    "asyncstatic_requests": ("status", "method", "entry"),
    "asyncstatic_sent_bytes": ("entry",),
    "asyncstatic_saved_bytes": ("by",),
}
_HELP = {
    "asyncstatic_requests": "Requests that were answered or cut short.",
    "asyncstatic_sent_bytes": "Bytes of content sent.",
    "asyncstatic_saved_bytes": "Bytes of content that a coding or a 304 saved.",
    "asyncstatic_cache_hits": "Lookups of a file that the cache answered.",
    "asyncstatic_cache_misses": "Lookups of a file that the disk answered.",
    "asyncstatic_cache_bytes": "Memory in use by the cache.",
    "asyncstatic_open_files": "Files that the cache holds open.",
    "asyncstatic_pool_waiting_calls": "Calls to the disk that wait for a thread.",
    "asyncstatic_connections": "Open connections.",
    "asyncstatic_workers": "Living worker processes.",
    "asyncstatic_event_loop_lag_seconds": "Largest delay of a timer in the last 15 s, in any worker.",
}


class Metrics:
    """The metrics of one worker, and the page with those of all.

    Args:
        directory: of `Exposition`.

    Raises:
        OSError: the directory cannot be used.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock, slot = _claim(directory)
        self._counters = _Values(os.path.join(directory, f"counter_{slot}.db"))
        self._sums = _Values(os.path.join(directory, f"gauge_livesum_{slot}.db"))
        self._maxima = _Values(os.path.join(directory, f"gauge_livemax_{slot}.db"))
        self._lags: deque[float] = deque([0.0], maxlen=_LAGS)
        self._watched: dict[Registry, tuple[StaticFiles, ...]] = {}
        # Hits and misses that are counted already.
        self._seen: WeakKeyDictionary[Cache, tuple[int, int]] = WeakKeyDictionary()
        self._sampling: asyncio.Task[None] | None = None
        self._count_nothing()

    def _count_nothing(self) -> None:
        """Begin the series whose labels are known, so that their first increase is seen."""
        for entry in _ENTRIES:
            self._counters.add(("asyncstatic_sent_bytes", entry), 0)
        for reason in ("coding", "not_modified"):
            self._counters.add(("asyncstatic_saved_bytes", reason), 0)
        self._count_lookups(0, 0)

    # -- requests ------------------------------------------------------------------------------

    def count(self, line: bytes, status: int, sent: int, entry: str) -> None:
        """Count a request.

        Args:
            line: the request line as it was sent; only a known method is used.
            status: the status that was sent; 499 or 444 (`access_log`) when none was.
            sent: bytes of content that left.
            entry: the part that answered: "direct", "portable" or "handed_over".
        """
        method = line.partition(b" ")[0]
        name = method.decode() if method in _METHODS else "other"
        self._counters.add(("asyncstatic_requests", status, name, entry), 1)
        self._counters.add(("asyncstatic_sent_bytes", entry), sent)

    def count_saved(self, plan: ResponsePlan) -> None:
        """Count the bytes that a response of a static root did not need."""
        if plan.saved:
            reason = "not_modified" if plan.status == 304 else "coding"
            self._counters.add(("asyncstatic_saved_bytes", reason), plan.saved)

    def count_prepared(self) -> None:
        """Count a request that the direct entry has answered from the cache alone."""
        self._counters.add(_HITS, 1)

    def _count_lookups(self, hits: int, misses: int) -> None:
        self._counters.add(_HITS, hits)
        self._counters.add(("asyncstatic_cache_misses",), misses)

    # -- gauges --------------------------------------------------------------------------------

    def watch(self, roots: Iterable[StaticFiles], registry: Registry) -> None:
        """Sample the gauges of a server every second.

        Args:
            roots: the static roots of its app.
            registry: its open connections.
        """
        self._watched[registry] = tuple(roots)
        if self._sampling is None:
            self._sampling = asyncio.get_running_loop().create_task(self._sample_on())

    def leave(self, registry: Registry) -> None:
        """Do not sample a server any more, because it ends.

        Requests are counted all the same: a connection that was accepted at the last moment is
        answered after the shutdown.
        """
        self._watched.pop(registry, None)
        if not self._watched and self._sampling is not None:
            self._sampling.cancel()
            self._sampling = None

    async def _sample_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._sample()
            due = loop.time() + _SAMPLE_SECONDS
            await asyncio.sleep(_SAMPLE_SECONDS)
            self._lags.append(max(loop.time() - due, 0.0))

    def _sample(self) -> None:
        roots = [root for roots in self._watched.values() for root in roots]
        caches = {root.cache for root in roots}
        for cache in caches:
            hits, misses = self._seen.get(cache, (0, 0))
            self._count_lookups(cache.hits - hits, cache.misses - misses)
            self._seen[cache] = cache.hits, cache.misses
        sums = {
            "asyncstatic_cache_bytes": sum(cache.size for cache in caches),
            "asyncstatic_open_files": sum(len(cache.open_files) for cache in caches),
            "asyncstatic_pool_waiting_calls": sum(root.waiting_calls for root in roots),
            "asyncstatic_connections": sum(len(registry.connections) for registry in self._watched),
            "asyncstatic_workers": 1,
        }
        for name, value in sums.items():
            self._sums.set((name,), value)
        self._maxima.set(("asyncstatic_event_loop_lag_seconds",), max(self._lags))

    # -- the page ------------------------------------------------------------------------------

    async def page(self) -> Page:
        """Return the metrics of all workers; the files are read in a thread."""
        self._sample()
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(None, generate_latest, self)
        return Page(200, text, _MEDIA_TYPE)

    def collect(self) -> Iterable[Metric]:
        """Add up the files of all slots, for prometheus_client."""
        names = sorted(name for name in os.listdir(self._directory) if name.endswith(".db"))
        paths = [os.path.join(self._directory, name) for name in names]
        # A worker that has just started creates its files empty.
        files = [path for path in paths if os.path.getsize(path) and _is_shown(path)]
        merge: Any = MultiProcessCollector.merge  # has no types
        metrics: Iterable[Metric] = merge(files)
        return metrics

    def __del__(self) -> None:
        for name in ("_counters", "_sums", "_maxima", "_lock"):
            if name in vars(self):
                getattr(self, name).close()


class _Values:
    """The values of one file, by series: the name and its labels. Others may read it at any time."""

    def __init__(self, path: str) -> None:
        make: Any = MmapedDict  # has no types
        self._file = make(path)
        self._suffix = "_total" if "counter_" in os.path.basename(path) else ""
        self._values: dict[Series, tuple[str, float]] = {}

    def add(self, series: Series, amount: float) -> None:
        """Add to a value, which may be that of the worker that had the slot before."""
        key, value = self._values.get(series) or self._read(series)
        value += amount
        self._values[series] = key, value
        self._file.write_value(key, value, 0.0)

    def set(self, series: Series, value: float) -> None:
        if series not in self._values:
            self._values[series] = self._read(series)
        self._file.write_value(self._values[series][0], value, 0.0)

    def _read(self, series: Series) -> tuple[str, float]:
        name, *labels = map(str, series)
        key = mmap_key(name, name + self._suffix, [*_LABELS.get(name, ())], labels, _HELP[name])
        return key, self._file.read_value(key)[0]

    def close(self) -> None:
        """Close the file; its values stay."""
        self._file.close()


@functools.cache
def metrics_of(directory: str) -> Metrics:
    """Return the metrics of this process, which all its servers share."""
    return Metrics(directory)


# -- slots -------------------------------------------------------------------------------------


def _claim(directory: str) -> tuple[IO[bytes], int]:
    """Lock the lowest free slot until the process ends."""
    slot = 0
    while True:
        lock = open(_lock_of(directory, slot), "ab")  # noqa: SIM115 - open means alive
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock, slot
        lock.close()
        slot += 1


def _is_shown(path: str) -> bool:
    """Tell whether the values of a file count: always for counters, else while its worker lives."""
    directory, name = os.path.split(path)
    if name.startswith("counter_"):
        return True
    slot = int(name.rpartition("_")[2].removesuffix(".db"))
    with open(_lock_of(directory, slot), "rb") as lock:
        try:
            # Shared: two workers may ask at the same time. A worker that starts in this moment
            # takes the next slot.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lock_of(directory: str, slot: int) -> str:
    return os.path.join(directory, f"{slot}.lock")
