"""Validators: equal validators, equal bytes - and where that cannot be kept, weak or none."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.entity_tag import EntityTag
from asyncstatic.http.model import ByteRange, Identity, Representation
from asyncstatic.http.validators import Validators, validators_of
from asyncstatic.settings.root import TagPolicy

SECOND = 1_000_000_000
NOW = 1_700_000_000
OLD = Identity(
    device=1, inode=2, size=3, mtime_ns=NOW * SECOND // 2 + 5, ctime_ns=NOW * SECOND // 2 + 7
)
DIGEST = hashlib.sha256(b"abc").digest()
HASHED = Representation(("a",), OLD, digest=DIGEST, modified_ns=OLD.mtime_ns)
UNHASHED = HASHED._replace(digest=None)


def tag(representation: Representation, now_ns: int = NOW * SECOND) -> EntityTag:
    found = validators_of(representation, "auto", now_ns).tag
    assert found is not None
    return found


def touched(seconds_ago: float, *, ctime_ago: float | None = None) -> Identity:
    mtime = int((NOW - seconds_ago) * SECOND) + 1
    ctime = mtime if ctime_ago is None else int((NOW - ctime_ago) * SECOND) + 1
    return OLD._replace(mtime_ns=mtime, ctime_ns=ctime)


# -- content -----------------------------------------------------------------------------------


def test_a_known_digest_makes_the_tag_whatever_the_metadata_says() -> None:
    """Equal on every replica, after a rollback, and under SOURCE_DATE_EPOCH."""
    elsewhere = Identity(device=9, inode=9, size=3, mtime_ns=9, ctime_ns=NOW * SECOND)
    assert tag(HASHED) == tag(HASHED._replace(identity=elsewhere))
    assert not tag(HASHED._replace(identity=elsewhere)).weak


def test_other_content_has_another_tag() -> None:
    other = HASHED._replace(digest=hashlib.sha256(b"abd").digest())
    assert tag(other).opaque != tag(HASHED).opaque


# -- metadata ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fact", Identity._fields)
def test_without_a_digest_every_fact_of_the_metadata_counts(fact: str) -> None:
    """Also equal size and restored mtime: ctime cannot be set back (stat(2))."""
    value: Any = ByteRange(0, 9) if fact == "part" else getattr(OLD, fact) - 1
    other = UNHASHED._replace(identity=OLD._replace(**{fact: value}))
    assert tag(other).opaque != tag(UNHASHED).opaque


def test_a_metadata_tag_is_stable() -> None:
    assert tag(UNHASHED) == tag(UNHASHED, (NOW + 1000) * SECOND)
    assert not tag(UNHASHED).weak


@pytest.mark.parametrize(
    ("identity", "weak"),
    [
        pytest.param(touched(0.5), True, id="half a second old"),
        pytest.param(touched(1.9), True, id="just below two seconds"),
        pytest.param(touched(2.1), False, id="just above two seconds"),
        pytest.param(touched(3600), False, id="an hour old"),
        pytest.param(touched(3600, ctime_ago=0.5), True, id="old mtime, restored just now"),
        pytest.param(touched(0.5, ctime_ago=3600), True, id="young mtime, old ctime"),
        pytest.param(touched(-3600, ctime_ago=10), True, id="mtime in the future"),
        pytest.param(touched(-1), True, id="clock behind the file system's"),
    ],
)
def test_a_metadata_tag_of_a_young_file_is_weak(identity: Identity, weak: bool) -> None:
    """§8.8.1: it may still change without its metadata showing it."""
    assert tag(UNHASHED._replace(identity=identity)).weak is weak


@pytest.mark.parametrize(
    ("identity", "matches"),
    [
        pytest.param(touched(0.01), False, id="10 ms: within a tick of the kernel's clock"),
        pytest.param(touched(0.1), True, id="100 ms: later ticks show"),
        pytest.param(
            OLD._replace(mtime_ns=NOW * SECOND - SECOND, ctime_ns=NOW * SECOND - SECOND),
            False,
            id="whole seconds: within a tick of FAT's clock",
        ),
        pytest.param(touched(-10), False, id="in the future"),
    ],
)
def test_a_tag_of_a_file_that_may_still_be_written_matches_nothing(
    identity: Identity, matches: bool
) -> None:
    racy = UNHASHED._replace(identity=identity)
    assert tag(racy).weak_eq(tag(racy, NOW * SECOND + 1)) is matches


# -- a summary of metadata and samples, for large files ------------------------------------------

SUMMARY = hashlib.sha256(b"size, time, samples").digest()
SUMMED = UNHASHED._replace(summary=SUMMARY)


@pytest.mark.parametrize("fact", ["device", "inode", "ctime_ns"])
def test_with_a_summary_all_replicas_have_one_tag(fact: str) -> None:
    """``cp -a``, ``cp -al``, ``chown -R`` and another machine change these; the bytes are equal."""
    other = SUMMED._replace(identity=OLD._replace(**{fact: getattr(OLD, fact) - 1}))
    assert tag(other) == tag(SUMMED)
    assert not tag(SUMMED).weak


def test_another_summary_has_another_tag() -> None:
    assert tag(SUMMED._replace(summary=DIGEST)).opaque != tag(SUMMED).opaque


def test_a_summary_never_makes_the_tag_that_metadata_made() -> None:
    """After a change that size and time do not show, the old tag must not come back."""
    assert tag(SUMMED).opaque != tag(UNHASHED).opaque


@pytest.mark.parametrize(("seconds", "weak"), [(1.9, True), (2.1, False)])
def test_a_summary_of_a_young_file_makes_a_weak_tag(seconds: float, weak: bool) -> None:
    assert tag(SUMMED._replace(identity=touched(seconds))).weak is weak
    assert tag(SUMMED._replace(identity=touched(3600, ctime_ago=seconds))).weak is weak


@pytest.mark.parametrize("mtime", [0, 1, 315_532_800, 499_162_500])
def test_under_a_placeholder_time_inode_and_ctime_count(mtime: int) -> None:
    """All versions have that time, so it is no evidence."""
    one = SUMMED._replace(identity=OLD._replace(mtime_ns=mtime * SECOND))
    other = one._replace(identity=one.identity._replace(ctime_ns=OLD.ctime_ns - 1))
    assert tag(one).opaque != tag(other).opaque


# -- codings -----------------------------------------------------------------------------------


def test_every_coding_has_its_own_tag_also_of_equal_bytes() -> None:
    """§8.8.3.3."""
    codings = [HASHED._replace(coding=coding) for coding in ("identity", "br", "zstd", "gzip")]
    decoded = [HASHED._replace(decoding=coding) for coding in ("br", "zstd", "gzip")]
    assert len({tag(found).opaque for found in (*codings, *decoded)}) == 7


# -- switched off ------------------------------------------------------------------------------


@pytest.mark.parametrize("representation", [HASHED, UNHASHED], ids=["hashed", "unhashed"])
def test_off_sends_no_tag_and_keeps_the_date(representation: Representation) -> None:
    found = validators_of(representation, "off", NOW * SECOND)
    assert found == Validators(None, OLD.mtime_ns // SECOND)


# -- Last-Modified -----------------------------------------------------------------------------

_1980 = 315_532_800
_DAY = 86_400


@pytest.mark.parametrize(
    ("modified", "sent"),
    [
        pytest.param(NOW - 3600, NOW - 3600, id="an hour ago"),
        pytest.param(NOW, NOW, id="now"),
        pytest.param(NOW + 3600, NOW, id="in the future: the time of the message (8.8.2.1)"),
        pytest.param(2**40, NOW, id="far in the future"),
        pytest.param(0, None, id="the epoch"),
        pytest.param(1, None, id="one second (Nix, OSTree, Flatpak)"),
        pytest.param(_DAY, None, id="the epoch of another time zone"),
        pytest.param(-1, None, id="before the epoch"),
        pytest.param(-(2**40), None, id="far before the epoch"),
        pytest.param(3 * _DAY, 3 * _DAY, id="days after the epoch"),
        pytest.param(_1980, None, id="1980, of zip files"),
        pytest.param(_1980 - 12 * 3600, None, id="1980 in the east"),
        pytest.param(_1980 + 12 * 3600, None, id="1980 in the west"),
        pytest.param(_1980 + 30 * _DAY, _1980 + 30 * _DAY, id="a month after"),
        pytest.param(499_162_500, None, id="1985, of npm packages"),
        pytest.param(499_162_501, 499_162_501, id="a second after"),
    ],
)
def test_last_modified_is_a_time_that_means_something(modified: int, sent: int | None) -> None:
    found = validators_of(HASHED._replace(modified_ns=modified * SECOND), "auto", NOW * SECOND)
    assert found.modified == sent


def test_parts_of_a_second_are_cut() -> None:
    late = HASHED._replace(modified_ns=(NOW - 5) * SECOND + 999_999_999)
    assert validators_of(late, "auto", NOW * SECOND).modified == NOW - 5


def test_a_date_that_stood_for_other_bytes_is_withheld() -> None:
    found = validators_of(HASHED._replace(dated=False), "auto", NOW * SECOND)
    assert found.modified is None
    assert found.tag is not None


# -- invariants --------------------------------------------------------------------------------

times = st.integers(-(10**18), 4 * 10**18)
identities = st.builds(
    Identity, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), times, times
)
representations = st.builds(
    Representation,
    st.just(("a",)),
    identities,
    coding=st.sampled_from(["identity", "br", "zstd", "gzip"]),
    decoding=st.none(),
    negotiable=st.just(False),  # all fields are named: `builds` would make up the others
    digest=st.none() | st.binary(min_size=32, max_size=32),
    modified_ns=times,
    dated=st.booleans(),
    fallback=st.just(0),
    tag=st.none(),
    summary=st.none() | st.binary(min_size=32, max_size=32),
)
policies: st.SearchStrategy[TagPolicy] = st.sampled_from(["auto", "content", "off"])
clocks = st.integers(10**18, 2 * 10**18)


@given(representations, policies, clocks)
def test_validators_can_always_be_sent(
    representation: Representation, policy: TagPolicy, now_ns: int
) -> None:
    found = validators_of(representation, policy, now_ns)
    if found.tag is not None:
        assert EntityTag.parse(str(found.tag)) == found.tag
    if found.modified is not None:
        assert 0 < found.modified <= now_ns // SECOND


@given(representations, representations, clocks, clocks)
def test_strong_tags_are_equal_only_for_equal_facts(
    one: Representation, other: Representation, now_ns: int, later_ns: int
) -> None:
    if tag(one, now_ns).strong_eq(tag(other, later_ns)):
        assert one.coding == other.coding
        assert one.digest == other.digest
        assert (
            one.digest is not None
            or one.identity == other.identity
            or (one.summary is not None and one.summary == other.summary)
        )
