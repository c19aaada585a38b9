"""`Limits`: how much memory, how many threads and how much time the roots of a process may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypedDict, Unpack

from asyncstatic.settings.fields import assign, fields_of, refuse_unknown

#: A number of bytes, or a text such as "64MiB".
Size: TypeAlias = int | str


class LimitOptions(TypedDict, total=False):
    """Keyword arguments of `Limits`."""

    cache_bytes: Size
    cache_file_bytes: Size
    pool_threads: int
    pool_timeout: float
    send_timeout: float


@dataclass(frozen=True, slots=True, init=False)
class Limits:
    """The limits of all roots of a process: memory, threads and time.

    Args:
        **options: the fields, in the forms that `Settings` takes.

    Raises:
        SettingsError: an unknown name or an unusable value.

    Attributes:
        cache_bytes: memory for small files and prepared answers, in bytes
            or as "64MiB"; 0 switches the cache off. Roots with the same number share one cache of
            this size; a root with another number has its own.
        cache_file_bytes: the largest file held in memory, in bytes.
        pool_threads: threads that wait for the disk, for each root: a disk that does not answer
            must not stop the roots on other disks. A thread is started when it is needed.
        pool_timeout: seconds a request waits for the disk before it is answered 503.
        send_timeout: seconds without progress after which a client is dropped. A server with the
            direct entry uses the largest of all roots.
    """

    cache_bytes: int = 128 * 1024 * 1024
    cache_file_bytes: int = 64 * 1024
    pool_threads: int = 8
    pool_timeout: float = 30.0
    send_timeout: float = 60.0

    def __init__(self, **options: Unpack[LimitOptions]) -> None:
        refuse_unknown(options, fields_of(Limits))
        assign(self, options)
