"""Decoding while sending: the right bytes, bounded steps, and no clean end of a wrong body."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]  # it has no types
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstatic.files.decoding import STEP, DecodingError, decoder

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "br": brotli.compress,
}
TEXT = b"The quick brown fox jumps over the lazy dog. " * 200
codings = pytest.mark.parametrize("coding", COMPRESS)


def decoded(coding: str, data: bytes, step: int = 1 << 20) -> bytes:
    """Decode as the sender does: feed piece by piece, then ask whether the end was reached."""
    decoding_ = decoder(coding)
    parts = []
    for start in range(0, len(data), step):
        for part in decoding_.feed(data[start : start + step]):
            assert 0 < len(part) <= STEP
            parts.append(part)
    decoding_.finish()
    return b"".join(parts)


@codings
@pytest.mark.parametrize("step", [1, 7, 1024, 1 << 20])
def test_what_was_compressed_comes_back(coding: str, step: int) -> None:
    assert decoded(coding, COMPRESS[coding](TEXT), step) == TEXT


@codings
def test_nothing_comes_back_as_nothing(coding: str) -> None:
    assert decoded(coding, COMPRESS[coding](b"")) == b""


@codings
def test_a_bomb_comes_out_in_small_steps(coding: str) -> None:
    """20 MiB in a few KiB: `decoded` checks that no step is larger than `STEP`."""
    size = 20 * 1024 * 1024
    assert len(decoded(coding, COMPRESS[coding](bytes(size)), 256 * 1024)) == size


@codings
@pytest.mark.parametrize("cut", [1, 4, 9])
def test_an_early_end_is_an_error(coding: str, cut: int) -> None:
    with pytest.raises(DecodingError):
        decoded(coding, COMPRESS[coding](TEXT)[:-cut])


@codings
def test_an_empty_file_is_an_early_end(coding: str) -> None:
    with pytest.raises(DecodingError):
        decoded(coding, b"")


@codings
def test_other_bytes_are_an_error(coding: str) -> None:
    with pytest.raises(DecodingError):
        decoded(coding, b"\x00not compressed at all\xff" * 10)


@codings
@pytest.mark.parametrize("step", [5, 1 << 20])
def test_garbage_behind_the_end_is_an_error(coding: str, step: int) -> None:
    """Whatever it is, it was meant to be content: a clean end without it would be a lie."""
    with pytest.raises(DecodingError):
        decoded(coding, COMPRESS[coding](TEXT) + b"garbage behind the end", step)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_several_members_are_one_content(coding: str, step: int) -> None:
    """RFC 1952 §2.2, RFC 8878 §3: as ``cat a.gz b.gz`` and parallel compressors make them."""
    stored = COMPRESS[coding](TEXT) + COMPRESS[coding](b"second") + COMPRESS[coding](b"third")
    assert decoded(coding, stored, step) == TEXT + b"secondthird"


@given(st.sampled_from(sorted(COMPRESS)), st.binary(max_size=3000), st.integers(1, 500))
@example("br", TEXT, 1)
def test_any_content_in_any_parts(coding: str, content: bytes, step: int) -> None:
    assert decoded(coding, COMPRESS[coding](content), step) == content


@given(st.sampled_from(sorted(COMPRESS)), st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_decode_or_are_an_error(coding: str, data: bytes, step: int) -> None:
    try:
        decoded(coding, data, step)
    except DecodingError:
        return
