"""The nouns: reading fields, ages of files, lengths of plans; and that nobody can change them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.model import (
    Absence,
    ByteRange,
    Decoded,
    Fields,
    Identity,
    Representation,
    Request,
    ResponsePlan,
)

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
FILE = Identity(1, 2, 3, NOW - SECOND, NOW - SECOND + 5)


# -- fields ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([], Fields(), id="none"),
        pytest.param([(b"user-agent", b"a"), (b"x", b"y")], Fields(), id="none that matters"),
        pytest.param([(b"range", b"bytes=0-0")], Fields(range="bytes=0-0"), id="one"),
        pytest.param([(b"range", b" \tbytes=0-0\t ")], Fields(range="bytes=0-0"), id="OWS"),
        pytest.param([(b"accept", b"")], Fields(accept=""), id="empty is not absent"),
        pytest.param(
            [(b"if-none-match", b'"a"'), (b"if-none-match", b'"b"')],
            Fields(if_none_match='"a", "b"'),
            id="several lines of a list",
        ),
        pytest.param(
            [(b"range", b"bytes=0-0"), (b"range", b"bytes=1-1")],
            Fields(range="bytes=0-0, bytes=1-1"),
            id="several lines of a single field are unusable",
        ),
        pytest.param([(b"origin", b"\xe9")], Fields(origin="\xe9"), id="latin-1"),
        pytest.param([(b"if_match", b"*")], Fields(), id="an underscore is another name"),
        pytest.param(
            [(b"access-control-request-method", b"GET"), (b"want-repr-digest", b"sha-256=1")],
            Fields(access_control_request_method="GET", want_repr_digest="sha-256=1"),
            id="long names",
        ),
    ],
)
def test_fields_are_picked_out_of_raw_pairs(
    headers: list[tuple[bytes, bytes]], expected: Fields
) -> None:
    assert Fields.read(headers) == expected


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20))))
def test_reading_fields_never_raises(headers: list[tuple[bytes, bytes]]) -> None:
    assert hash(Fields.read(headers)) == hash(Fields.read(headers))


@pytest.mark.parametrize("name", Fields._fields)
def test_every_field_can_be_read_by_its_name(name: str) -> None:
    headers = [(name.replace("_", "-").encode(), b"x")]
    assert Fields.read(headers) == Fields(**{name: "x"})


# -- identity ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "age"),
    [
        pytest.param(FILE._replace(mtime_ns=NOW - 5, ctime_ns=NOW - 5), 5, id="both"),
        pytest.param(FILE._replace(mtime_ns=NOW - 9, ctime_ns=NOW - 5), 5, id="renamed later"),
        pytest.param(FILE._replace(mtime_ns=NOW - 5, ctime_ns=NOW - 9), 5, id="odd, but safe"),
        pytest.param(FILE._replace(mtime_ns=NOW + 5, ctime_ns=NOW - 9), -5, id="in the future"),
    ],
)
def test_the_age_of_a_file_is_that_of_its_last_touch(identity: Identity, age: int) -> None:
    assert identity.age(NOW) == age


@pytest.mark.parametrize(
    ("ctime_ns", "racy"),
    [
        pytest.param(NOW - 1, True, id="just now"),
        pytest.param(NOW - 19_999_999, True, id="within 20 ms"),
        pytest.param(NOW - 20_000_001, False, id="beyond 20 ms"),
        pytest.param(NOW - SECOND, True, id="whole second: a coarse clock, one second ago"),
        pytest.param(NOW - 2 * SECOND, False, id="whole second, two seconds ago"),
        pytest.param(NOW + 1, True, id="in the future"),
    ],
)
def test_a_file_is_racy_within_one_tick_of_its_clock(ctime_ns: int, racy: bool) -> None:
    assert FILE._replace(ctime_ns=ctime_ns).racy(NOW) is racy


# -- plans -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "length"),
    [
        pytest.param((), 0, id="none"),
        pytest.param((b"abc",), 3, id="data"),
        pytest.param((ByteRange(0, 0),), 1, id="one byte"),
        pytest.param((ByteRange(10, 19),), 10, id="range"),
        pytest.param((b"a", ByteRange(0, 9), b"bc"), 13, id="mixed"),
        pytest.param((Decoded("gzip"),), None, id="only the end will tell"),
        pytest.param((b"a", Decoded("br")), None, id="bytes and an unknown rest"),
    ],
)
def test_the_length_of_a_plan_is_that_of_its_parts(
    content: tuple[bytes | ByteRange | Decoded, ...], length: int | None
) -> None:
    assert ResponsePlan(200, (), content).length == length


def test_the_length_of_a_representation_is_that_of_its_file() -> None:
    assert Representation(("a",), FILE).length == 3


@pytest.mark.parametrize("absence", Absence)
def test_an_absence_is_named_after_its_status(absence: Absence) -> None:
    assert 400 <= absence.value < 600


@pytest.mark.parametrize(
    ("noun", "name"),
    [(Representation(("a",), FILE), "coding"), (ResponsePlan(200, ()), "status"), (FILE, "size")],
    ids=["Representation", "ResponsePlan", "Identity"],
)
def test_nouns_cannot_be_changed(noun: object, name: str) -> None:
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(noun, name, 0)


def test_requests_are_equal_by_value() -> None:
    assert Request("GET", b"/") == Request("GET", b"/")
    assert hash(Request("GET", b"/")) == hash(Request("GET", b"/"))
