"""Sidecars: used only when proven fresh - not older than the original, gzip of the right size."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from asyncstatic.files.handle import identity_of
from asyncstatic.files.sidecar import SUFFIXES, is_fresh
from asyncstatic.http.model import Identity

SECOND = 1_000_000_000
THEN = 1_600_000_000 * SECOND + 123_456_789
TEXT = b"some text " * 20

pytestmark = pytest.mark.usefixtures("no_handle_leaks")


class Pair:
    """An original and its sidecar, with times as a test wants them."""

    def __init__(self, directory: Path) -> None:
        self.original, self.sidecar = directory / "a.txt", directory / "a.txt.gz"
        self.write(TEXT, gzip.compress(TEXT, mtime=0))

    def write(self, original: bytes, sidecar: bytes) -> None:
        self.original.write_bytes(original)
        self.sidecar.write_bytes(sidecar)
        self.date(THEN, THEN)

    def date(self, original_ns: int, sidecar_ns: int) -> None:
        os.utime(self.original, ns=(original_ns, original_ns))
        os.utime(self.sidecar, ns=(sidecar_ns, sidecar_ns))

    def fresh(self, coding: str = "gzip") -> bool:
        fd = os.open(self.sidecar, os.O_RDONLY)
        try:
            return is_fresh(coding, fd, identity_of(os.fstat(fd)), self._identity())
        finally:
            os.close(fd)

    def _identity(self) -> Identity:
        return identity_of(os.stat(self.original))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


@pytest.mark.parametrize(
    ("original_ns", "sidecar_ns", "fresh"),
    [
        pytest.param(THEN, THEN, True, id="the same time, as gzip -k and brotli copy it"),
        pytest.param(THEN, THEN + 1, True, id="a nanosecond younger"),
        pytest.param(THEN, THEN + 3600 * SECOND, True, id="an hour younger"),
        pytest.param(THEN, THEN - 1, False, id="a nanosecond older"),
        pytest.param(THEN, THEN - SECOND, False, id="a second older"),
        pytest.param(THEN, THEN // SECOND * SECOND, True, id="cut to the second"),
        pytest.param(THEN, THEN // SECOND * SECOND - SECOND, False, id="cut, the second before"),
        pytest.param(THEN // SECOND * SECOND, THEN, True, id="the original is cut"),
        pytest.param(0, 0, True, id="both from a reproducible archive"),
        pytest.param(THEN, 0, False, id="sidecar from an archive, original rewritten"),
    ],
)
@pytest.mark.parametrize("coding", SUFFIXES)
def test_a_sidecar_must_not_be_older(
    pair: Pair, original_ns: int, sidecar_ns: int, fresh: bool, coding: str
) -> None:
    pair.date(original_ns, sidecar_ns)
    assert pair.fresh(coding) is fresh


@pytest.mark.parametrize(
    ("original", "sidecar", "fresh"),
    [
        pytest.param(TEXT, gzip.compress(TEXT), True, id="of the original"),
        pytest.param(TEXT, gzip.compress(TEXT + b"x"), False, id="of a longer version"),
        pytest.param(TEXT, gzip.compress(TEXT[:-1]), False, id="of a shorter version"),
        pytest.param(b"", gzip.compress(b""), True, id="of nothing"),
        pytest.param(TEXT, b"", False, id="empty"),
        pytest.param(TEXT, gzip.compress(TEXT)[:10], False, id="cut off in its header"),
        pytest.param(TEXT, gzip.compress(TEXT)[:-3], False, id="cut off in its trailer"),
        pytest.param(TEXT, TEXT, False, id="not gzip"),
        pytest.param(
            TEXT,
            b"XX" + gzip.compress(TEXT)[2:],
            False,
            id="right size, wrong magic",
        ),
    ],
)
def test_a_gzip_sidecar_must_hold_as_much_as_the_original(
    pair: Pair, original: bytes, sidecar: bytes, fresh: bool
) -> None:
    """ISIZE (RFC 1952 §2.3.1) shows a version that times alone would not."""
    pair.write(original, sidecar)
    assert pair.fresh() is fresh


def test_isize_is_taken_modulo_4_gib(pair: Pair) -> None:
    """A file of 4 GiB and a few octets has the ISIZE of the few (RFC 1952 §2.3.1)."""
    fd = os.open(pair.sidecar, os.O_RDONLY)
    try:
        sidecar = identity_of(os.fstat(fd))
        original = identity_of(os.stat(pair.original))
        large = original._replace(size=original.size + 2**32)
        assert is_fresh("gzip", fd, sidecar, large)
        assert not is_fresh("gzip", fd, sidecar, original._replace(size=2**32))
    finally:
        os.close(fd)
