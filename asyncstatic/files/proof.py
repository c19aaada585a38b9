"""The proof that a sidecar is fresh: it decodes to exactly the bytes of its original.

Times prove nothing: compressors create their output empty and fill it later, ``rsync -a`` and
``cp -p`` set times back, and a parallel copy makes good sidecars "older" by a millisecond.

A proof decodes the sidecar in bounded steps and compares each step with the original. It ends at
the first difference, also inside a decompression bomb. It runs in a thread, once for each pair of
file identities, and checks both identities again after the reading.

Above `DECODED` bytes the checksum in the sidecar is compared with the original's instead, and the
sidecar must not be older: gzip's ISIZE and CRC-32 (RFC 1952 §2.3.1), zstd's Frame_Content_Size and
Content_Checksum (RFC 8878 §3.1.1). Brotli has neither, so above that size `.br` is not used.
"""

from __future__ import annotations

import errno
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import zstandard

from asyncstatic.files import kernel
from asyncstatic.files.decoding import DecodingError, decoder
from asyncstatic.files.digests import ComputedOnce
from asyncstatic.files.handle import has_identity, read_content
from asyncstatic.files.source import logger
from asyncstatic.http.model import SECOND, Identity

#: Up to this size in bytes of either file a request waits for the proof; for larger files the proof
#: runs in the background.
AT_ONCE = 4 * 1024 * 1024
#: Up to this size in bytes of either file a sidecar is decoded.
DECODED = 128 * 1024 * 1024

_PAIRS = 16_384  # verdicts that are held
_WAITING = 256  # proofs that may wait for the background thread
_SECONDS = 60.0  # the longest time of one proof
_INPUT = 16 * 1024  # bytes of a sidecar that are read and decoded in one step
_STEP = 1024 * 1024
# RFC 9659 §3: a larger window must not be used in a content-coding; browsers refuse it.
_ZSTD_WINDOW = 8 * 1024 * 1024
_FASTEST = -100  # a level at which zstd does little more than compute the checksum

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_TRAILER = 8
_GZIP_SMALLEST = 10 + _GZIP_TRAILER  # header and trailer (RFC 1952 §2.3)
_ZSTD_HEADER = 18  # bytes of the longest frame header (RFC 8878 §3.1.1.1)
_ZSTD_CHECKSUM = 4


class SidecarPair(NamedTuple):
    """A sidecar and the file it must decode to; `original` is None for a lone sidecar."""

    coding: str
    sidecar: Identity
    original: Identity | None

    @property
    def largest(self) -> int:
        """Bytes of the larger file."""
        return max(self.sidecar.length, self.original.length if self.original else 0)

    def racy(self, now_ns: int) -> bool:
        """Tell whether one of them could still be written without a change of its times."""
        return self.sidecar.racy(now_ns) or (
            self.original is not None and self.original.racy(now_ns)
        )


class _RefusedError(Exception):
    """A sidecar is not used; the message completes the sentence "it ..."."""


class Proofs:
    """Verdicts about pairs of files, bounded in number, and the thread for long proofs."""

    def __init__(self) -> None:
        self._verdicts: ComputedOnce[SidecarPair, bool] = ComputedOnce(_PAIRS)
        self._waiting: set[SidecarPair] = set()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="asyncstatic-proof")
        self._closed = False

    def verdict(
        self,
        pair: SidecarPair,
        name: str,
        sidecar_fd: int,
        original_fd: int,
        prove_anew: Callable[[], object],
        *,
        nowait: bool,
    ) -> bool | None:
        """Return whether a sidecar is fresh; None while that is unknown.

        A sidecar without an original is fresh if it can be decoded to its end. A large one is
        assumed to be right.

        Args:
            pair: the identities of the files, taken from the open handles.
            name: of the sidecar, for the log.
            sidecar_fd: the sidecar, open.
            original_fd: the original, open; not used where the pair has none.
            prove_anew: opens both files and proves them, in the background.
            nowait: raise BlockingIOError rather than read the files.
        """
        known = self._verdicts.get(pair)
        if known is not None:
            return known
        is_large = pair.largest > AT_ONCE
        if pair.original is None and is_large:
            return True
        if is_large:
            if not pair.racy(time.time_ns()):
                self._prove_later(pair, prove_anew)
            return None
        if nowait:
            raise kernel.fault(errno.EAGAIN)
        return self.prove(pair, name, sidecar_fd, original_fd)

    def prove(
        self, pair: SidecarPair, name: str, sidecar_fd: int, original_fd: int = -1
    ) -> bool | None:
        """Return whether a sidecar is fresh; call it in a thread. The arguments are those of `verdict`.

        Returns:
            None when nothing is proven: a file changed meanwhile, or cannot be read. A verdict is
            not held while a file could still be written within the same tick of its clock.

        Raises:
            OSError: a sidecar without an original cannot be read.
        """
        examine = partial(self._examine, pair, name, sidecar_fd, original_fd)
        if pair.racy(time.time_ns()):
            return examine()
        return self._verdicts.compute(pair, examine)

    def close(self) -> None:
        """Start no more proofs, and end the one that runs at its next step."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _prove_later(self, pair: SidecarPair, job: Callable[[], object]) -> None:
        """Run a job that proves a pair in the background, one job at a time.

        Nothing happens while too many jobs wait already: a later request tries again.
        """
        if self._closed or pair in self._waiting or len(self._waiting) >= _WAITING:
            return
        self._waiting.add(pair)
        try:
            self._executor.submit(self._in_background, pair, job)
        except RuntimeError:  # the interpreter ends
            self._waiting.discard(pair)

    def _in_background(self, pair: SidecarPair, job: Callable[[], object]) -> None:
        try:
            job()
        except OSError as error:
            logger.warning("a sidecar could not be examined: %s", error)
        finally:
            self._waiting.discard(pair)

    def _examine(
        self, pair: SidecarPair, name: str, sidecar_fd: int, original_fd: int
    ) -> bool | None:
        reason = ""
        try:
            _find_fault(pair, sidecar_fd, original_fd, self._limit())
        except (DecodingError, _RefusedError) as error:
            reason = str(error)
        except OSError as error:
            if pair.original is None:  # without it there is nothing to send
                raise
            logger.warning("sidecar %s is not used: %s", name, error.strerror)
            return None
        if self._closed or not _are_unchanged(pair, sidecar_fd, original_fd):
            return None
        if reason and not pair.racy(time.time_ns()):
            logger.warning("sidecar %s is not used: it %s", name, reason)
        return not reason

    def _limit(self) -> Callable[[], None]:
        """Return a function that raises when the proof takes too long or the root is closed."""
        end = time.monotonic() + _SECONDS

        def check() -> None:
            if self._closed or time.monotonic() > end:
                raise _RefusedError(f"takes more than {_SECONDS:.0f} seconds to examine")

        return check


def _find_fault(
    pair: SidecarPair, sidecar_fd: int, original_fd: int, check: Callable[[], None]
) -> None:
    """Raise DecodingError or _RefusedError unless the sidecar is fresh."""
    if pair.original is None:
        _decode_alone(pair, sidecar_fd, check)
    elif pair.largest <= DECODED:
        _decode_and_compare(pair, pair.original, sidecar_fd, original_fd, check)
    else:
        _compare_checksum(pair, pair.original, sidecar_fd, original_fd, check)


def _are_unchanged(pair: SidecarPair, sidecar_fd: int, original_fd: int) -> bool:
    if not has_identity(sidecar_fd, pair.sidecar):
        return False
    return pair.original is None or has_identity(original_fd, pair.original)


def _decode_and_compare(
    pair: SidecarPair,
    original: Identity,
    sidecar_fd: int,
    original_fd: int,
    check: Callable[[], None],
) -> None:
    decoding = decoder(pair.coding, window=_ZSTD_WINDOW)
    position = 0
    for offset in range(0, pair.sidecar.length, _INPUT):
        check()
        for part in decoding.feed(read_content(sidecar_fd, pair.sidecar, offset, _INPUT)):
            if read_content(original_fd, original, position, len(part)) != part:
                raise _RefusedError("decodes to other content than its original's")
            position += len(part)
    decoding.finish()
    if position != original.length:
        raise _RefusedError("decodes to less than its original")


def _decode_alone(pair: SidecarPair, fd: int, check: Callable[[], None]) -> None:
    """Decode a sidecar without an original to its end; very long content is assumed to be right."""
    decoding = decoder(pair.coding)
    produced = 0
    for offset in range(0, pair.sidecar.length, _INPUT):
        check()
        for part in decoding.feed(read_content(fd, pair.sidecar, offset, _INPUT)):
            produced += len(part)
            if produced > DECODED:
                return
    decoding.finish()


# -- checksums, for large files ------------------------------------------------------------------


def _compare_checksum(
    pair: SidecarPair,
    original: Identity,
    sidecar_fd: int,
    original_fd: int,
    check: Callable[[], None],
) -> None:
    if not _is_not_older(pair.sidecar.mtime_ns, original.mtime_ns):
        raise _RefusedError("is older than its original")
    if pair.coding == "gzip":
        stored, length = _gzip_trailer(sidecar_fd, pair.sidecar)
        compute, expected = _crc32, original.length % 2**32
    elif pair.coding == "zstd":
        stored, length = _zstd_checksum(sidecar_fd, pair.sidecar)
        compute, expected = _xxh64, original.length
    else:
        raise _RefusedError("has no checksum, and is too large to be decoded for a proof")
    if length != expected:
        raise _RefusedError("is of content of another length")
    if stored != compute(original_fd, original, check):
        raise _RefusedError("has a checksum of other content")


def _is_not_older(sidecar_ns: int, original_ns: int) -> bool:
    """Compare times. Compressors copy the original's time, and some cut it to the second."""
    if sidecar_ns % SECOND == 0:
        return sidecar_ns >= original_ns // SECOND * SECOND
    return sidecar_ns >= original_ns


def _gzip_trailer(fd: int, sidecar: Identity) -> tuple[int, int]:
    """Return CRC-32 and ISIZE, the length modulo 2**32 (RFC 1952 §2.3.1)."""
    if sidecar.length < _GZIP_SMALLEST or read_content(fd, sidecar, 0, 2) != _GZIP_MAGIC:
        raise _RefusedError("is not gzip")
    trailer = read_content(fd, sidecar, sidecar.length - _GZIP_TRAILER, _GZIP_TRAILER)
    return int.from_bytes(trailer[:4], "little"), int.from_bytes(trailer[4:], "little")


def _zstd_checksum(fd: int, sidecar: Identity) -> tuple[int, int]:
    """Return Content_Checksum and Frame_Content_Size of a file of one frame (RFC 8878 §3.1.1)."""
    try:
        frame = zstandard.get_frame_parameters(read_content(fd, sidecar, 0, _ZSTD_HEADER))
    except zstandard.ZstdError:
        raise _RefusedError("is not zstd") from None
    if frame.window_size > _ZSTD_WINDOW:
        raise _RefusedError("has a window of more than 8 MiB (RFC 9659)")
    if not frame.has_checksum:
        raise _RefusedError("has no checksum, and is too large to be decoded for a proof")
    last = max(sidecar.length - _ZSTD_CHECKSUM, 0)
    checksum = read_content(fd, sidecar, last, _ZSTD_CHECKSUM)
    return int.from_bytes(checksum, "little"), frame.content_size


def _crc32(fd: int, original: Identity, check: Callable[[], None]) -> int:
    value = 0
    for offset in range(0, original.length, _STEP):
        check()
        value = zlib.crc32(read_content(fd, original, offset, _STEP), value)
    return value


def _xxh64(fd: int, original: Identity, check: Callable[[], None]) -> int:
    """Return the low 32 bits of XXH64: the checksum that zstd itself writes after a frame."""
    length = original.length
    compressor = zstandard.ZstdCompressor(_FASTEST, write_checksum=True).compressobj(length)
    end = b""
    for offset in range(0, length, _STEP):
        check()
        end += compressor.compress(read_content(fd, original, offset, _STEP))
        end = end[-_ZSTD_CHECKSUM:]
    return int.from_bytes((end + compressor.flush())[-_ZSTD_CHECKSUM:], "little")
