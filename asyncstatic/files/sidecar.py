"""Sidecars: a precompressed copy beside its original, and the proof that it is fresh."""

from __future__ import annotations

from asyncstatic.files.handle import read_fully
from asyncstatic.http.model import Identity

#: Suffix of a file by its content-coding, in the order in which equals are preferred.
SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}

_SECOND = 1_000_000_000
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_SMALLEST = 18  # header and trailer (RFC 1952 §2.3)


def is_fresh(coding: str, fd: int, sidecar: Identity, original: Identity) -> bool:
    """Tell whether a sidecar was made from this original, as far as can be proven.

    Args:
        coding: of the sidecar.
        fd: the sidecar, open.
        sidecar: its identity.
        original: identity of the file beside it.

    Raises:
        OSError: the sidecar could not be read.
    """
    if not _not_older(sidecar.mtime_ns, original.mtime_ns):
        return False
    return coding != "gzip" or _gzip_holds(fd, sidecar.size, original.size)


def _not_older(sidecar_ns: int, original_ns: int) -> bool:
    """Compressors copy the original's time; some cut it to the second."""
    if sidecar_ns % _SECOND == 0:
        return sidecar_ns >= original_ns // _SECOND * _SECOND
    return sidecar_ns >= original_ns


def _gzip_holds(fd: int, size: int, original_size: int) -> bool:
    """Compare ISIZE, the size before compression modulo 2**32 (RFC 1952 §2.3.1)."""
    if size < _GZIP_SMALLEST or read_fully(fd, 0, 2) != _GZIP_MAGIC:
        return False
    isize = int.from_bytes(read_fully(fd, size - 4, 4), "little")
    return isize == original_size % 2**32
