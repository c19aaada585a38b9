"""Byte ranges: the value of a Range field, and its part in a representation (RFC 9110 §14).

    ranges-specifier = range-unit "=" range-set
    range-set        = 1#range-spec
    int-range        = first-pos "-" [ last-pos ]
    suffix-range     = "-" suffix-length

A field is used as a whole or not at all. A client can use a 200 in place of a 206, but wrong bytes
in a 206 break its file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from asyncstatic.http.abnf import OWS
from asyncstatic.http.model import ByteRange

# More range-specs than any client needs (zsync sends 20); a longer list is an attack (§14.2).
MAX_RANGE_SPECS: Final = 64

# zsync sends 20 and accepts no answer but 206. Each part costs a header and a read.
MAX_PARTS: Final = 32

# Replaces every position of more than 19 digits: int() of 64 KiB of digits takes quadratic time,
# and no file is that long (2**63 has 19 digits).
BEYOND: Final = 10**19

_SPEC = r"(?:[0-9]++-[0-9]*+|-[0-9]++)"
_COMMAS = rf"{OWS},[ \t,]*+"  # with the empty members of §5.6.1.2, consumed in one go
_SPECS = rf"{_SPEC}(?:{_COMMAS}{_SPEC}){{0,{MAX_RANGE_SPECS - 1}}}+"
_BYTES = re.compile(
    rf"bytes=(?:{_COMMAS})?+({_SPECS})(?:{_COMMAS})?+",
    re.IGNORECASE | re.ASCII,
)
_POSITIONS = re.compile(r"([0-9]*+)-([0-9]*+)")


@dataclass(frozen=True, slots=True)
class IntRange:
    """From `first` to `last`, both included, counted from 0; to the end if `last` is None."""

    first: int
    last: int | None

    def within(self, complete_length: int) -> ByteRange | None:
        """Return the part that exists, or None when the range starts at or behind the end."""
        if self.first >= complete_length:
            return None
        last = complete_length - 1 if self.last is None else min(self.last, complete_length - 1)
        return ByteRange(self.first, last)

    def __str__(self) -> str:
        return f"{self.first}-{'' if self.last is None else self.last}"


@dataclass(frozen=True, slots=True)
class SuffixRange:
    """The last `length` bytes."""

    length: int

    def within(self, complete_length: int) -> ByteRange | None:
        """Return the part that exists, or None when there is none.

        §14.1.2 calls any suffix of an empty representation satisfiable, but no
        Content-Range could describe it: ``bytes 0--1/0`` does not exist.
        """
        length = min(self.length, complete_length)
        return ByteRange(complete_length - length, complete_length - 1) if length else None

    def __str__(self) -> str:
        return f"-{self.length}"


RangeSpec: TypeAlias = IntRange | SuffixRange


def parse_ranges(value: str) -> tuple[RangeSpec, ...] | None:
    """Parse a Range field value.

    Returns:
        The range-specs in the requested order, or None when the field must be ignored: a unit
        other than ``bytes``, a syntax error, a last-pos below its first-pos, or more than
        `MAX_RANGE_SPECS` specs (§14.2: a server MAY ignore the field).
    """
    match = _BYTES.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    specs = tuple(_spec(first, last) for first, last in _POSITIONS.findall(match[1]))
    return specs if all(map(_is_valid, specs)) else None


def resolve(specs: Iterable[RangeSpec], complete_length: int) -> tuple[ByteRange, ...]:
    """Return the ranges that a range-set selects from a representation of `complete_length` bytes.

    Unsatisfiable specs are left out; the others are clipped and stay in the requested order.
    Overlapping ranges become one, at the place of the first of them, so no byte is sent twice
    (§15.3.7.2). Adjacent ranges stay apart, as the client requested them.

    Returns:
        The ranges; an empty tuple means 416.
    """
    asked = [found for spec in specs if (found := spec.within(complete_length)) is not None]
    return tuple(asked) if len(asked) < 2 else _merged(asked)


def select_ranges(value: str, length: int) -> tuple[ByteRange, ...] | None:
    """Decide which ranges to send for a Range field value.

    A field is ignored, too, if it would make one request as expensive as several: with many parts,
    or with more bytes than the whole (§14.2 allows it, §17.15 advises it). An empty representation
    satisfies a suffix (§14.1.2), and only a 200 can express that.

    Args:
        value: the field value.
        length: length of the whole representation, in bytes.

    Returns:
        The ranges in the order to send them; () when none is satisfiable, which means 416; None
        when the field must be ignored.
    """
    specs = parse_ranges(value)
    if specs is None:
        return None
    if not length and any(isinstance(spec, SuffixRange) and spec.length for spec in specs):
        return None
    asked = sum(part.length for spec in specs if (part := spec.within(length)))
    ranges = resolve(specs, length)
    return None if len(ranges) > MAX_PARTS or asked > length else ranges


def _merged(asked: list[ByteRange]) -> tuple[ByteRange, ...]:
    """Merge overlapping ranges: one sweep by position, then back into the requested order."""
    groups: list[tuple[int, ByteRange]] = []
    for order, found in sorted(enumerate(asked), key=lambda item: item[1].first):
        if groups and found.first <= groups[-1][1].last:
            earlier, group = groups.pop()
            order = min(order, earlier)
            found = ByteRange(group.first, max(group.last, found.last))
        groups.append((order, found))
    return tuple(found for _, found in sorted(groups, key=lambda item: item[0]))


def _spec(first: str, last: str) -> RangeSpec:
    if not first:
        return SuffixRange(_position(last))
    return IntRange(_position(first), _position(last) if last else None)


def _position(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 19 else BEYOND


def _is_valid(spec: RangeSpec) -> bool:
    """Tell whether last-pos is not below first-pos (§14.1.1: else the int-range is invalid)."""
    return isinstance(spec, SuffixRange) or spec.last is None or spec.first <= spec.last
