"""Range: what is asked for, what of it exists."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstatic.http.model import ByteRange
from asyncstatic.http.ranges import (
    BEYOND,
    MAX_RANGE_SPECS,
    RangeSpec,
    merged,
    parse_ranges,
)

HEADER_BLOCK = 65_536  # bytes: the largest field value any server in front of us lets through


def int_range(first: int, last: int | None = None) -> RangeSpec:
    return RangeSpec(first, last)


def suffix_range(length: int) -> RangeSpec:
    return RangeSpec(None, length)


def written(spec: RangeSpec) -> str:
    return "-".join("" if position is None else str(position) for position in spec)


USABLE = [
    pytest.param("bytes=0-0", [int_range(0, 0)], id="first byte, as Safari asks for video"),
    pytest.param("bytes=0-499", [int_range(0, 499)], id="first 500"),
    pytest.param("bytes=9500-", [int_range(9500)], id="open end"),
    pytest.param("bytes=-500", [suffix_range(500)], id="suffix"),
    pytest.param("bytes=-0", [suffix_range(0)], id="suffix of nothing is well-formed"),
    pytest.param("bytes=0-0,-1", [int_range(0, 0), suffix_range(1)], id="first and last byte"),
    pytest.param("bytes=5-6,0-1", [int_range(5, 6), int_range(0, 1)], id="order is kept"),
    pytest.param("BYTES=0-1", [int_range(0, 1)], id="unit in capitals"),
    pytest.param("ByTeS=0-1", [int_range(0, 1)], id="unit in mixed case"),
    pytest.param("bytes=0-1, 2-3", [int_range(0, 1), int_range(2, 3)], id="space behind comma"),
    pytest.param("bytes=0-1\t ,\t2-3", [int_range(0, 1), int_range(2, 3)], id="OWS on both sides"),
    pytest.param("bytes=0-1,,2-3", [int_range(0, 1), int_range(2, 3)], id="empty member"),
    pytest.param("bytes=0-1, , ,2-3", [int_range(0, 1), int_range(2, 3)], id="blank members"),
    pytest.param("bytes=,0-1", [int_range(0, 1)], id="empty member first"),
    pytest.param("bytes= ,0-1", [int_range(0, 1)], id="blank member first"),
    pytest.param("bytes=0-1,", [int_range(0, 1)], id="empty member last"),
    pytest.param("bytes=0-1 , ", [int_range(0, 1)], id="blank member last"),
    pytest.param("  bytes=0-1\t", [int_range(0, 1)], id="OWS around the value"),
    pytest.param("bytes=007-010", [int_range(7, 10)], id="leading zeros are decimal"),
    pytest.param(f"bytes=0-{'9' * 19}", [int_range(0, 10**19 - 1)], id="19 digits are counted"),
    pytest.param(f"bytes=0-1{'0' * 19}", [int_range(0, BEYOND)], id="20 digits are beyond"),
    pytest.param(f"bytes={'9' * 30000}-", [int_range(BEYOND)], id="first far beyond"),
    pytest.param(f"bytes=-{'9' * 30000}", [suffix_range(BEYOND)], id="suffix far beyond"),
    pytest.param(f"bytes={'0' * 30000}7-", [int_range(7)], id="zeros are no digits that count"),
    pytest.param(
        "bytes=" + ",".join(["0-0"] * MAX_RANGE_SPECS),
        [int_range(0, 0)] * MAX_RANGE_SPECS,
        id="64 members",
    ),
    pytest.param("bytes=0-1" + "," * HEADER_BLOCK, [int_range(0, 1)], id="64 KiB of empty members"),
]

IGNORED = [
    pytest.param("", id="empty"),
    pytest.param("bytes", id="unit alone"),
    pytest.param("bytes=", id="no range"),
    pytest.param("bytes=,", id="only empty members"),
    pytest.param("bytes= , ,", id="only blank members"),
    pytest.param("=0-1", id="no unit"),
    pytest.param("0-1", id="range alone"),
    pytest.param("items=0-1", id="unknown unit"),
    pytest.param("seconds=1-2", id="another unknown unit"),
    pytest.param("xbytes=0-1", id="unit with a prefix"),
    pytest.param("bytes:0-1", id="colon"),
    pytest.param("bytes=-", id="dash alone"),
    pytest.param("bytes=0", id="no dash"),
    pytest.param("bytes=--1", id="two dashes"),
    pytest.param("bytes=0--1", id="negative last"),
    pytest.param("bytes=-1-2", id="negative first"),
    pytest.param("bytes=0-1-2", id="three positions"),
    pytest.param("bytes=+0-1", id="plus sign"),
    pytest.param("bytes=1_0-20", id="underscore, which int() takes"),
    pytest.param("bytes=0x0-0x9", id="hexadecimal"),
    pytest.param("bytes=a-b", id="letters"),
    pytest.param("bytes=\u0661-\u0662", id="digits that are not ASCII"),
    pytest.param("byte\u017f=0-1", id="long s, which folds to s"),
    pytest.param("bytes=2-1", id="first above last"),
    pytest.param("bytes=0-1,5-4", id="one bad member spoils the set"),
    pytest.param(f"bytes={'9' * 40}-1", id="first beyond, last not"),
    pytest.param("bytes=0-1;2-3", id="semicolon"),
    pytest.param("bytes=0-1 2-3", id="space for a comma"),
    pytest.param("bytes =0-1", id="space before ="),
    pytest.param("bytes= 0-1", id="space behind ="),
    pytest.param("bytes=0 -1", id="space before dash"),
    pytest.param("bytes=0- 1", id="space behind dash"),
    pytest.param("bytes=0-1\n", id="line end"),
    pytest.param("bytes=0-1,\r\n2-3", id="folded line"),
    pytest.param("bytes=0-1, bytes=2-3", id="two fields joined"),
    pytest.param("bytes=" + ",".join(["0-0"] * (MAX_RANGE_SPECS + 1)), id="65 members"),
    pytest.param("bytes=" + "0-," * (HEADER_BLOCK // 3), id="64 KiB of 0-,"),
    pytest.param("bytes=" + "-" * HEADER_BLOCK, id="64 KiB of dashes"),
    pytest.param("bytes=0-" + " " * HEADER_BLOCK + "x", id="64 KiB of spaces"),
]


@pytest.mark.parametrize(("value", "specs"), USABLE)
def test_a_well_formed_range_set_is_read_in_order(value: str, specs: list[RangeSpec]) -> None:
    assert parse_ranges(value) == tuple(specs)


@pytest.mark.parametrize("value", IGNORED)
def test_any_defect_makes_the_field_unusable_as_a_whole(value: str) -> None:
    assert parse_ranges(value) is None


RESOLVED = [
    pytest.param("0-0", 10, [(0, 0)], id="first byte"),
    pytest.param("0-9", 10, [(0, 9)], id="all"),
    pytest.param("5-", 10, [(5, 9)], id="open end"),
    pytest.param("9-", 10, [(9, 9)], id="last byte"),
    pytest.param("10-", 10, [], id="starts at the end"),
    pytest.param("11-20", 10, [], id="starts behind the end"),
    pytest.param("5-99", 10, [(5, 9)], id="clipped"),
    pytest.param(f"5-{'9' * 99}", 10, [(5, 9)], id="clipped from beyond"),
    pytest.param(f"{'9' * 99}-", 10, [], id="starts beyond"),
    pytest.param("-3", 10, [(7, 9)], id="suffix"),
    pytest.param("-10", 10, [(0, 9)], id="suffix of all"),
    pytest.param("-11", 10, [(0, 9)], id="suffix longer than all"),
    pytest.param(f"-{'9' * 99}", 10, [(0, 9)], id="suffix from beyond"),
    pytest.param("-0", 10, [], id="suffix of nothing"),
    pytest.param("0-", 0, [], id="nothing in an empty representation"),
    pytest.param("-5", 0, [], id="no suffix in an empty representation"),
    pytest.param("0-1,20-30,4-5", 10, [(0, 1), (4, 5)], id="unsatisfiable ones left out"),
    pytest.param("20-30,-0", 10, [], id="none satisfiable"),
    pytest.param("6-7,0-1,3-4", 10, [(6, 7), (0, 1), (3, 4)], id="in the order asked"),
    pytest.param("0-1,2-3", 10, [(0, 1), (2, 3)], id="adjacent stays apart"),
    pytest.param("2-3,0-1", 10, [(2, 3), (0, 1)], id="adjacent, backwards"),
    pytest.param("0-3,3-5", 10, [(0, 5)], id="one byte in common"),
    pytest.param("3-5,0-3", 10, [(0, 5)], id="overlap, backwards"),
    pytest.param("0-9,3-5", 10, [(0, 9)], id="contained"),
    pytest.param("3-5,0-9", 10, [(0, 9)], id="containing"),
    pytest.param("1-2,1-2", 10, [(1, 2)], id="twice the same"),
    pytest.param("0-3,6-9,2-7", 10, [(0, 9)], id="the third bridges two"),
    pytest.param("6-9,0-1,5-7", 10, [(5, 9), (0, 1)], id="merged at the place of the first"),
    pytest.param("8-9,0-1,4-5,1-2", 10, [(8, 9), (0, 2), (4, 5)], id="merged in the middle"),
    pytest.param("0-,-1", 10, [(0, 9)], id="open end and suffix overlap"),
    pytest.param("0-99,5-99", 10, [(0, 9)], id="overlap after clipping"),
]


def resolve(specs: Iterable[RangeSpec], complete_length: int) -> tuple[ByteRange, ...]:
    existing = (spec.within(complete_length) for spec in specs)
    return merged(found for found in existing if found is not None)


@pytest.mark.parametrize(("range_set", "complete_length", "expected"), RESOLVED)
def test_resolving_keeps_what_exists(
    range_set: str, complete_length: int, expected: list[tuple[int, int]]
) -> None:
    specs = parse_ranges(f"bytes={range_set}")
    assert specs is not None
    assert resolve(specs, complete_length) == tuple(ByteRange(*pair) for pair in expected)


positions = st.integers(0, BEYOND) | st.integers(0, 60)
int_ranges = st.tuples(positions, positions).map(lambda pair: RangeSpec(min(pair), max(pair)))
specs_asked = int_ranges | st.builds(int_range, positions) | st.builds(suffix_range, positions)
range_sets = st.lists(specs_asked, min_size=1, max_size=MAX_RANGE_SPECS).map(tuple)


@given(range_sets)
def test_what_is_serialized_parses_back(specs: tuple[RangeSpec, ...]) -> None:
    assert parse_ranges("bytes=" + ",".join(map(written, specs))) == specs


@given(st.text() | st.text("bytes=0123456789-, \t").map("bytes=".__add__))
def test_parsing_never_raises(value: str) -> None:
    specs = parse_ranges(value)
    assert specs is None or 1 <= len(specs) <= MAX_RANGE_SPECS


@given(range_sets, st.integers(0, 50))
def test_resolved_ranges_hold_exactly_the_bytes_asked_for_each_once(
    specs: tuple[RangeSpec, ...], complete_length: int
) -> None:
    data = range(complete_length)
    asked = {byte for spec in specs for byte in data if _selects(spec, byte, complete_length)}
    given_back = [
        byte
        for found in resolve(specs, complete_length)
        for byte in range(found.first, found.last + 1)
    ]
    assert sorted(given_back) == sorted(asked)


@given(range_sets, st.integers(0, 50))
def test_resolved_ranges_are_in_bounds_and_never_empty(
    specs: tuple[RangeSpec, ...], complete_length: int
) -> None:
    for found in resolve(specs, complete_length):
        assert 0 <= found.first <= found.last < complete_length
        assert found.length == found.last - found.first + 1


def _selects(spec: RangeSpec, byte: int, complete_length: int) -> bool:
    """Read one byte's membership off §14.1.2, the slow and obvious way."""
    if spec.first is None:
        assert spec.last is not None
        return byte >= complete_length - spec.last
    return spec.first <= byte and (spec.last is None or byte <= spec.last)
