"""Decoders for gzip, zstd and br: in steps, with bounded memory.

They prove that a sidecar is fresh. They also decode a sidecar while it is sent, where it has no
original and the client does not accept its coding.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # it has no types
import zstandard

#: The most bytes that one step yields, however much a small input decodes to.
STEP = 64 * 1024

_ZSTD_INPUT = 256


class DecodingError(Exception):
    """The stored bytes are not what their name says; the message completes "it ..."."""


class Decoder(Protocol):
    """Takes stored bytes, yields decoded bytes, at most `STEP` at a time."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what these bytes complete."""

    def finish(self) -> None:
        """Check that the coding has ended; raises DecodingError if it has not."""


def decoder(coding: str, window: int = 0) -> Decoder:
    """Make a decoder for "gzip", "zstd" or "br".

    Args:
        coding: the content-coding.
        window: bytes of the largest window that zstd content may need; 0 for the library's own
            limit. Those of gzip and br are bounded by their formats.
    """
    if coding == "gzip":
        return _Gzip()
    return _Zstd(window) if coding == "zstd" else _Brotli()


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner.eof:  # a file may hold several members (RFC 1952 §2.2)
                self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                decoded = self._inner.decompress(data, STEP)
            except zlib.error as error:
                raise DecodingError(f"is not gzip: {error}") from error
            data = self._inner.unconsumed_tail or self._inner.unused_data
            if decoded:
                yield decoded

    def finish(self) -> None:
        if not self._inner.eof:
            raise DecodingError("ends early")


class _Zstd:
    def __init__(self, window: int) -> None:
        self._new = zstandard.ZstdDecompressor(max_window_size=window).decompressobj
        self._inner = self._new(write_size=STEP)

    def feed(self, data: bytes) -> Iterator[bytes]:
        # The library decodes its whole input at once, so the input is kept small: a block of four
        # bytes may stand for many, but for 128 KiB at most (RFC 8878 §3.1.1.2.4).
        for start in range(0, len(data), _ZSTD_INPUT):
            yield from _in_steps(self._decode(data[start : start + _ZSTD_INPUT]))

    def _decode(self, data: bytes) -> bytes:
        decoded = []
        while data:
            if self._inner.eof:  # a file may hold several frames (RFC 8878 §3.1)
                self._inner = self._new(write_size=STEP)
            try:
                decoded.append(self._inner.decompress(data))
            except zstandard.ZstdError as error:
                raise DecodingError(f"is not zstd: {error}") from error
            data = self._inner.unused_data if self._inner.eof else b""
        return b"".join(decoded)

    def finish(self) -> None:
        if not self._inner.eof:
            raise DecodingError("ends early")


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner.is_finished() and data:
            raise DecodingError("goes on behind its end")
        while True:
            try:
                decoded = self._inner.process(data, output_buffer_limit=STEP)
            except brotli.error as error:
                raise DecodingError("is not br") from error
            yield from _in_steps(decoded)
            # The library asks for input while it still holds output: ask until it is empty.
            if self._inner.is_finished() or not decoded:
                return
            data = b""

    def finish(self) -> None:
        if not self._inner.is_finished():
            raise DecodingError("ends early")


def _in_steps(decoded: bytes) -> Iterator[bytes]:
    for start in range(0, len(decoded), STEP):
        yield decoded[start : start + STEP]
