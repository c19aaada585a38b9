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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeAlias

import zstandard

from asyncstatic.files import kernel
from asyncstatic.files.decoding import DecodingError, decoder
from asyncstatic.files.digests import ComputedOnce
from asyncstatic.files.handle import has_identity
from asyncstatic.files.source import logger
from asyncstatic.files.tree import File
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

_Key: TypeAlias = tuple[str | Identity, ...]  # the coding, and the identities of a pair


class SidecarPair(NamedTuple):
    """A sidecar and the file it must decode to, both open.

    Attributes:
        name: of the sidecar, for the log.
        sidecar: the coded file.
        original: None for a lone sidecar.
    """

    name: str
    sidecar: File
    original: File | None

    @property
    def files(self) -> tuple[File, ...]:
        """The files that there are."""
        return (self.sidecar,) if self.original is None else (self.sidecar, self.original)

    @property
    def key(self) -> _Key:
        """What a verdict is about: another version of either file makes another pair."""
        return (self.sidecar.coding, *(file.identity for file in self.files))

    @property
    def largest(self) -> int:
        """Bytes of the larger file."""
        return max(file.identity.length for file in self.files)

    def is_racy(self) -> bool:
        """Tell whether one of them could still be written without a change of its times."""
        now_ns = time.time_ns()
        return any(file.identity.racy(now_ns) for file in self.files)

    def is_unchanged(self) -> bool:
        """Tell whether both files still have their identities."""
        return all(has_identity(file.fd, file.identity) for file in self.files)


class _RefusedError(Exception):
    """A sidecar is not used; the message completes the sentence "it ..."."""


class Proofs:
    """Verdicts about pairs of files, bounded in number, and the thread for long proofs."""

    def __init__(self) -> None:
        self._verdicts: ComputedOnce[_Key, bool] = ComputedOnce(_PAIRS)
        self._waiting: set[_Key] = set()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="asyncstatic-proof")
        self._closed = False

    def verdict(
        self, pair: SidecarPair, prove_anew: Callable[[], object], *, nowait: bool
    ) -> bool | None:
        """Return whether a sidecar is fresh; None while that is unknown.

        A sidecar without an original is fresh if it can be decoded to its end. A large one is
        assumed to be right.

        Args:
            pair: the files.
            prove_anew: opens both files and proves them, in the background.
            nowait: raise BlockingIOError rather than read the files.
        """
        known = self._verdicts.get(pair.key)
        if known is not None:
            return known
        if pair.largest > AT_ONCE:
            if pair.original is None:
                return True
            if not pair.is_racy():
                self._prove_later(pair.key, prove_anew)
            return None
        if nowait:
            raise kernel.fault(errno.EAGAIN)
        return self.prove(pair)

    def prove(self, pair: SidecarPair) -> bool | None:
        """Return whether a sidecar is fresh; call it in a thread.

        Returns:
            None when nothing is proven: a file changed meanwhile, or cannot be read. A verdict is
            not held while a file could still be written within the same tick of its clock.

        Raises:
            OSError: a sidecar without an original cannot be read.
        """
        if pair.is_racy():
            return self._examine(pair)
        return self._verdicts.compute(pair.key, partial(self._examine, pair))

    def close(self) -> None:
        """Start no more proofs, and end the one that runs at its next step."""
        self._closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _prove_later(self, key: _Key, job: Callable[[], object]) -> None:
        """Run a job that proves a pair in the background, one job at a time.

        Nothing happens while too many jobs wait already: a later request tries again.
        """
        if self._closed or key in self._waiting or len(self._waiting) >= _WAITING:
            return
        self._waiting.add(key)
        try:
            self._executor.submit(self._in_background, key, job)
        except RuntimeError:  # the interpreter ends
            self._waiting.discard(key)

    def _in_background(self, key: _Key, job: Callable[[], object]) -> None:
        try:
            job()
        except OSError as error:
            logger.warning("a sidecar could not be examined: %s", error)
        finally:
            self._waiting.discard(key)

    def _examine(self, pair: SidecarPair) -> bool | None:
        reason = ""
        try:
            _Proof(pair, self._limit()).run()
        except (DecodingError, _RefusedError) as error:
            reason = str(error)
        except OSError as error:
            if pair.original is None:  # without it there is nothing to send
                raise
            logger.warning("sidecar %s is not used: %s", pair.name, error.strerror)
            return None
        if self._closed or not pair.is_unchanged():
            return None
        if reason and not pair.is_racy():
            logger.warning("sidecar %s is not used: it %s", pair.name, reason)
        return not reason

    def _limit(self) -> Callable[[], None]:
        """Return a function that raises when the proof takes too long or the root is closed."""
        end = time.monotonic() + _SECONDS

        def check() -> None:
            if self._closed or time.monotonic() > end:
                raise _RefusedError(f"takes more than {_SECONDS:.0f} seconds to examine")

        return check


class _Proof:
    """One proof. Its methods raise DecodingError or _RefusedError unless the sidecar is fresh.

    Args:
        pair: the files.
        check: called before each step; raises when the proof must end.
    """

    def __init__(self, pair: SidecarPair, check: Callable[[], None]) -> None:
        self._pair = pair
        self._sidecar = pair.sidecar
        self._check = check

    def run(self) -> None:
        original = self._pair.original
        if original is None:
            self._decode_alone()
        elif self._pair.largest <= DECODED:
            self._decode_and_compare(original)
        else:
            self._compare_checksum(original)

    def _steps(self, file: File, step: int) -> Iterator[bytes]:
        for offset in range(0, file.identity.length, step):
            self._check()
            yield file.read(offset, step)

    def _decoded(self, window: int = 0) -> Iterator[bytes]:
        decoding = decoder(self._sidecar.coding, window)
        for data in self._steps(self._sidecar, _INPUT):
            yield from decoding.feed(data)
        decoding.finish()

    def _decode_alone(self) -> None:
        """Decode to the end; very long content is assumed to be right."""
        produced = 0
        for part in self._decoded():
            produced += len(part)
            if produced > DECODED:
                return

    def _decode_and_compare(self, original: File) -> None:
        position = 0
        for part in self._decoded(_ZSTD_WINDOW):
            if original.read(position, len(part)) != part:
                raise _RefusedError("decodes to other content than its original's")
            position += len(part)
        if position != original.identity.length:
            raise _RefusedError("decodes to less than its original")

    def _compare_checksum(self, original: File) -> None:
        length = original.identity.length
        if not _is_not_older(self._sidecar.identity.mtime_ns, original.identity.mtime_ns):
            raise _RefusedError("is older than its original")
        if self._sidecar.coding == "gzip":
            stored, stored_length = _gzip_trailer(self._sidecar)
            compute, length = _crc32, length % 2**32
        elif self._sidecar.coding == "zstd":
            stored, stored_length = _zstd_checksum(self._sidecar)
            compute = partial(_xxh64, length)
        else:
            raise _RefusedError("has no checksum, and is too large to be decoded for a proof")
        if stored_length != length:
            raise _RefusedError("is of content of another length")
        if stored != compute(self._steps(original, _STEP)):
            raise _RefusedError("has a checksum of other content")


def _is_not_older(sidecar_ns: int, original_ns: int) -> bool:
    """Compare times. Compressors copy the original's time, and some cut it to the second."""
    if sidecar_ns % SECOND == 0:
        return sidecar_ns >= original_ns // SECOND * SECOND
    return sidecar_ns >= original_ns


def _gzip_trailer(sidecar: File) -> tuple[int, int]:
    """Return CRC-32 and ISIZE, the length modulo 2**32 (RFC 1952 §2.3.1)."""
    length = sidecar.identity.length
    if length < _GZIP_SMALLEST or sidecar.read(0, 2) != _GZIP_MAGIC:
        raise _RefusedError("is not gzip")
    trailer = sidecar.read(length - _GZIP_TRAILER, _GZIP_TRAILER)
    return int.from_bytes(trailer[:4], "little"), int.from_bytes(trailer[4:], "little")


def _zstd_checksum(sidecar: File) -> tuple[int, int]:
    """Return Content_Checksum and Frame_Content_Size of a file of one frame (RFC 8878 §3.1.1)."""
    try:
        frame = zstandard.get_frame_parameters(sidecar.read(0, _ZSTD_HEADER))
    except zstandard.ZstdError:
        raise _RefusedError("is not zstd") from None
    if frame.window_size > _ZSTD_WINDOW:
        raise _RefusedError("has a window of more than 8 MiB (RFC 9659)")
    if not frame.has_checksum:
        raise _RefusedError("has no checksum, and is too large to be decoded for a proof")
    last = max(sidecar.identity.length - _ZSTD_CHECKSUM, 0)
    return int.from_bytes(sidecar.read(last, _ZSTD_CHECKSUM), "little"), frame.content_size


def _crc32(content: Iterable[bytes]) -> int:
    value = 0
    for data in content:
        value = zlib.crc32(data, value)
    return value


def _xxh64(length: int, content: Iterable[bytes]) -> int:
    """Return the low 32 bits of XXH64: the checksum that zstd itself writes after a frame."""
    compressor = zstandard.ZstdCompressor(_FASTEST, write_checksum=True).compressobj(length)
    end = b""
    for data in content:
        end = (end + compressor.compress(data))[-_ZSTD_CHECKSUM:]
    return int.from_bytes((end + compressor.flush())[-_ZSTD_CHECKSUM:], "little")
