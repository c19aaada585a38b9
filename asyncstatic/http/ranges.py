"""Byte ranges: what a Range field asks for, and what of it a representation has (RFC 9110 §14).

    ranges-specifier = range-unit "=" range-set
    range-set        = 1#range-spec
    int-range        = first-pos "-" [ last-pos ]
    suffix-range     = "-" suffix-length

A field is used whole or not at all: a client that gets 200 instead of 206 copes, a client that
gets other octets than it asked for writes a broken file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from asyncstatic.http.abnf import OWS
from asyncstatic.http.model import ByteRange

# More range-specs than any client needs (zsync asks for 20); the rest is an attack (§14.2).
MAX_RANGE_SPECS: Final = 64

# More parts than zsync asks for, which takes nothing but 206; each costs a header and a read.
MAX_PARTS: Final = 32

# Stands for every position of more than 19 digits: int() of 64 KiB of digits takes quadratic
# time, and no file reaches it (2**63 has 19 digits).
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
    """From position `first` to `last`, both included, counted from 0; `last` None: to the end."""

    first: int
    last: int | None

    def within(self, complete_length: int) -> ByteRange | None:
        """Return the octets that exist of it, or None when it starts at or behind the end."""
        if self.first >= complete_length:
            return None
        last = complete_length - 1 if self.last is None else min(self.last, complete_length - 1)
        return ByteRange(self.first, last)

    def __str__(self) -> str:
        return f"{self.first}-{'' if self.last is None else self.last}"


@dataclass(frozen=True, slots=True)
class SuffixRange:
    """The last `length` octets."""

    length: int

    def within(self, complete_length: int) -> ByteRange | None:
        """Return the octets that exist of it, or None when there are none.

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
        The range-specs in the order asked, or None when the field must be ignored: a unit other
        than ``bytes``, any syntax error, a last-pos below its first-pos, or more than
        `MAX_RANGE_SPECS` of them (§14.2: a server MAY ignore the field).
    """
    match = _BYTES.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    specs = tuple(_spec(first, last) for first, last in _POSITIONS.findall(match[1]))
    return specs if all(map(_is_valid, specs)) else None


def resolve(specs: Iterable[RangeSpec], complete_length: int) -> tuple[ByteRange, ...]:
    """Return the octets a range-set selects from a representation of `complete_length` octets.

    Unsatisfiable specs are left out; the others are clipped and stay in the order asked. Ranges
    that overlap become one, at the place of the first of them, so no octet is sent twice
    (§15.3.7.2); ranges that only touch stay apart: the client asked for them apart.

    Returns:
        The ranges; none at all means 416.
    """
    asked = [found for spec in specs if (found := spec.within(complete_length)) is not None]
    return tuple(asked) if len(asked) < 2 else _merged(asked)


def select_ranges(value: str, length: int) -> tuple[ByteRange, ...] | None:
    """Decide which octets to send for a Range field value.

    Ignored is also what a client could use to make one request cost several: many parts, or
    more octets asked than the whole has (14.2 allows it, 17.15 asks for it). An empty
    representation satisfies a suffix (14.1.2), which only a 200 can say.

    Args:
        value: the field value.
        length: complete-length of the representation, in octets.

    Returns:
        The ranges in the order to send them; () when none is satisfiable, which is 416; None
        when the field is to be ignored.
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
    """Merge what overlaps: one sweep by position, then back into the order asked."""
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
