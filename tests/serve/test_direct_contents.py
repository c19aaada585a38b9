"""Content that is sent again: kept within bounds, and never a part in place of the whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncstatic.files import kernel
from asyncstatic.files.handle import Handle, identity_of
from asyncstatic.files.pool import Pool
from asyncstatic.files.snapshot import LEAST, Snapshot
from asyncstatic.files.source import Opened
from asyncstatic.http.model import ByteRange, Representation, ResponsePlan
from asyncstatic.serve.direct.response import TAIL, Contents, KnownResponse
from tests.serve.inside import open_handles

KIB, MIB = 1024, 1024 * 1024
SIZE = 2 * MIB
OCTETS = os.urandom(SIZE)

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has anonymous files")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A file of 2 MiB."""
    path = tmp_path / "large.bin"
    path.write_bytes(OCTETS)
    identity, pool = identity_of(path.stat()), Pool(1, 10.0)
    facts = Representation(
        ("large.bin",), identity, "identity", None, negotiable=False, modified_ns=0, dated=True
    )
    with path.open("rb", buffering=0) as file:
        yield Opened(facts, handle=Handle(file.fileno(), identity, pool))
    pool.close()


def _of_file(first: int, last: int) -> KnownResponse:
    return KnownResponse(b"head", None, ResponsePlan(206, (), (ByteRange(first, last),)))


def _in_memory(count: int) -> KnownResponse:
    return KnownResponse(b"head", OCTETS[:count], ResponsePlan(200, (), (b"",)))


def test_little_content_is_sent_as_it_is() -> None:
    known = _in_memory(LEAST - 1)
    assert Contents(16 * MIB).of(known) is known.content


def test_more_is_copied_once() -> None:
    contents, known = Contents(16 * MIB), _in_memory(LEAST)
    snapshot = contents.of(known)
    assert isinstance(snapshot, Snapshot)
    assert snapshot.read() == known.content
    assert contents.of(known) is snapshot


def test_an_excerpt_is_kept_when_it_is_asked_for_again(opened: Opened) -> None:
    contents, known = Contents(16 * MIB), _of_file(5, 1004)
    for again in (False, True):
        octets = contents.excerpt(known, opened, again=again, past=True)
        assert octets == OCTETS[5:1005]
        kept = contents.excerpt(known, opened, again=True, past=True) is octets
        assert kept is again


@pytest.mark.parametrize("past", [True, False])
def test_a_long_excerpt_is_a_snapshot_where_one_can_be_sent(opened: Opened, past: bool) -> None:
    known = _of_file(7, 7 + 40_000)
    content = Contents(16 * MIB).excerpt(known, opened, again=True, past=past)
    assert isinstance(content, Snapshot if past else bytes)
    octets = content.read() if isinstance(content, Snapshot) else content
    assert octets == OCTETS[7 : 8 + 40_000]


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        pytest.param(0, SIZE - 1, TAIL, id="of much"),
        pytest.param(10, 10 + MIB, TAIL, id="of one octet more than is all copied"),
        pytest.param(10, 9 + MIB, MIB, id="all"),
        pytest.param(10, 100_009, 100_000, id="all of less"),
    ],
)
def test_a_tail_is_the_last_octets_of_its_range(
    opened: Opened, first: int, last: int, count: int
) -> None:
    tail = Contents(16 * MIB).tail(_of_file(first, last), opened)
    assert tail is not None
    assert tail.read() == OCTETS[last + 1 - count : last + 1]


def test_a_tail_is_never_taken_for_the_whole(opened: Opened) -> None:
    """Over TLS the same response is read as a whole, if there is little of it."""
    contents, known = Contents(16 * MIB), _of_file(0, SIZE - 1)
    assert contents.tail(known, opened) is not None
    assert contents.excerpt(known, opened, again=True, past=False) is None


def test_several_ranges_have_no_tail(opened: Opened) -> None:
    plan = ResponsePlan(206, (), (ByteRange(0, 9), b"--", ByteRange(0, MIB - 1)))
    assert Contents(16 * MIB).tail(KnownResponse(b"head", None, plan), opened) is None


def test_of_a_file_that_changed_there_is_no_tail(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(b"new" + OCTETS[3:])
    os.utime(tmp_path / "large.bin", ns=(0, 0))
    assert Contents(16 * MIB).tail(_of_file(0, SIZE - 1), opened) is None


@pytest.mark.parametrize(
    ("capacity", "handles", "most"),
    [
        pytest.param(64 * MIB, 256, 256 // 8, id="handles"),
        pytest.param(2 * MIB, 20_000, 32, id="octets"),
    ],
)
def test_they_take_bounded_memory_and_few_handles(
    capacity: int, handles: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "handle_limit", lambda: handles)
    contents, before = Contents(capacity), open_handles()
    for _ in range(60):
        contents.of(_in_memory(64 * KIB))
        assert open_handles() - before <= most
    assert open_handles() - before == len(contents) > 0


def test_what_nobody_asks_for_goes(opened: Opened) -> None:
    contents, before = Contents(16 * MIB), open_handles()
    hot, idle, large = _in_memory(LEAST), _in_memory(LEAST), _of_file(0, SIZE - 1)
    contents.of(idle)
    contents.tail(large, opened)
    for _ in range(2):
        contents.of(hot)
        contents.turn()
    assert open_handles() - before == len(contents) == 1
    contents.turn()
    assert open_handles() - before == len(contents) == 0


def test_where_too_much_is_hot_most_is_sent_as_it_is() -> None:
    """To copy each of a thousand files whenever it is asked for would cost more than it saves."""
    contents = Contents(64 * MIB)
    sent = [contents.of(_in_memory(LEAST)) for _ in range(1000)]
    assert sum(isinstance(content, Snapshot) for content in sent) == 4 * MIB // LEAST
    contents.turn()
    assert isinstance(contents.of(_in_memory(LEAST)), Snapshot)


def test_without_memory_or_handles_all_is_sent_as_ever(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: bytes) -> int:
        raise OSError(errno.EMFILE, "no more handles")

    monkeypatch.setattr(kernel, "anonymous_file", none)
    contents, known = Contents(16 * MIB), _in_memory(LEAST)
    assert contents.of(known) is known.content
    assert contents.tail(_of_file(0, SIZE - 1), opened) is None
    excerpt = contents.excerpt(_of_file(0, 49_999), opened, again=True, past=True)
    assert excerpt == OCTETS[:50_000]
