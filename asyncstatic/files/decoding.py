"""Decode a content-coding while it is sent, with bounded memory.

Only for a sidecar without an original, and a client that does not accept its coding.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Protocol

#: The most octets one step yields, whatever a small input decodes to.
STEP = 64 * 1024

_ZSTD_INPUT = 256
_MODULES = {"gzip": "zlib", "zstd": "zstandard", "br": "brotli"}


class DecodingError(Exception):
    """The stored octets are not what their name says."""


class Decoder(Protocol):
    """Takes stored octets, yields decoded ones, at most `STEP` at a time."""

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """Decode what can be decoded now."""

    def finish(self) -> None:
        """Check that the end was reached; raises DecodingError when it was not."""


def can_decode(coding: str) -> bool:
    """Tell whether the module for a coding is there (extra ``build``)."""
    module = _MODULES.get(coding)
    return module is not None and find_spec(module) is not None


def decoder(coding: str) -> Decoder:
    """Make a decoder for a coding that `can_decode` said yes to."""
    if coding == "gzip":
        return _Gzip()
    module = importlib.import_module(_MODULES[coding])
    return _Zstd(module) if coding == "zstd" else _Brotli(module)


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def feed(self, octets: bytes) -> Iterator[bytes]:
        while octets:
            if self._inner.eof:  # a file may hold several members (RFC 1952 §2.2)
                self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                decoded = self._inner.decompress(octets, STEP)
            except zlib.error as error:
                raise DecodingError("gzip") from error
            octets = self._inner.unconsumed_tail or self._inner.unused_data
            if decoded:
                yield decoded

    def finish(self) -> None:
        if not self._inner.eof:
            raise DecodingError("gzip ends early")


class _Zstd:
    def __init__(self, module: Any) -> None:
        self._error = module.ZstdError
        self._new = module.ZstdDecompressor().decompressobj
        self._inner = self._new(write_size=STEP)

    def feed(self, octets: bytes) -> Iterator[bytes]:
        # It decodes all it is given, so it is given little: a block, of which four octets may
        # stand for many, decodes to 128 KiB at most (RFC 8878 §3.1.1.2.4).
        for start in range(0, len(octets), _ZSTD_INPUT):
            yield from _in_steps(self._decode(octets[start : start + _ZSTD_INPUT]))

    def _decode(self, octets: bytes) -> bytes:
        decoded = []
        while octets:
            if self._inner.eof:  # a file may hold several frames (RFC 8878 §3.1)
                self._inner = self._new(write_size=STEP)
            try:
                decoded.append(self._inner.decompress(octets))
            except self._error as error:
                raise DecodingError("zstd") from error
            octets = self._inner.unused_data if self._inner.eof else b""
        return b"".join(decoded)

    def finish(self) -> None:
        if not self._inner.eof:
            raise DecodingError("zstd ends early")


class _Brotli:
    def __init__(self, module: Any) -> None:
        self._error = module.error
        self._inner = module.Decompressor()

    def feed(self, octets: bytes) -> Iterator[bytes]:
        if self._inner.is_finished() and octets:
            raise DecodingError("br goes on behind its end")
        while True:
            try:
                decoded = self._inner.process(octets, output_buffer_limit=STEP)
            except self._error as error:
                raise DecodingError("br") from error
            yield from _in_steps(decoded)
            # It says that it takes more while it still holds output back: ask until it is empty.
            if self._inner.is_finished() or not decoded:
                return
            octets = b""

    def finish(self) -> None:
        if not self._inner.is_finished():
            raise DecodingError("br ends early")


def _in_steps(decoded: bytes) -> Iterator[bytes]:
    for start in range(0, len(decoded), STEP):
        yield decoded[start : start + STEP]
