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
from typing import Final, NamedTuple

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


class RangeSpec(NamedTuple):
    """One member of a range-set: an int-range, or a suffix-range if `first` is None.

    Attributes:
        first: position of the first byte, counted from 0.
        last: position of the last byte, None for the end; of a suffix-range the length.
    """

    first: int | None
    last: int | None

    def within(self, complete_length: int) -> ByteRange | None:
        """Return the part that exists, or None when there is none.

        §14.1.2 calls any suffix of an empty representation satisfiable, but no Content-Range could
        describe it: ``bytes 0--1/0`` does not exist.
        """
        first, last = self.first, complete_length - 1
        if first is None:
            first = max(complete_length - (self.last or 0), 0)
        elif self.last is not None:
            last = min(self.last, last)
        return ByteRange(first, last) if first <= last else None


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
    pairs = _POSITIONS.findall(match[1])
    specs = tuple(RangeSpec(_position(first), _position(last)) for first, last in pairs)
    return specs if all(map(_is_valid, specs)) else None


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
    if not length and any(spec.first is None and spec.last for spec in specs):
        return None
    asked = [part for spec in specs if (part := spec.within(length)) is not None]
    ranges = merged(asked)
    costs_more = len(ranges) > MAX_PARTS or sum(part.length for part in asked) > length
    return None if costs_more else ranges


def merged(asked: Iterable[ByteRange]) -> tuple[ByteRange, ...]:
    """Make one range of overlapping ones, so that no byte is sent twice (§15.3.7.2).

    It has the place of the first of them; otherwise the order stays as requested. Adjacent ranges
    stay apart. One sweep by position, then back into the requested order.
    """
    groups: list[tuple[int, ByteRange]] = []
    for order, found in sorted(enumerate(asked), key=lambda item: item[1].first):
        if groups and found.first <= groups[-1][1].last:
            earlier, group = groups.pop()
            order = min(order, earlier)
            found = ByteRange(group.first, max(group.last, found.last))
        groups.append((order, found))
    return tuple(found for _, found in sorted(groups, key=lambda item: item[0]))


def _position(digits: str) -> int | None:
    if not digits:
        return None
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 19 else BEYOND


def _is_valid(spec: RangeSpec) -> bool:
    """Tell whether last-pos is not below first-pos (§14.1.1: else the int-range is invalid)."""
    return spec.first is None or spec.last is None or spec.first <= spec.last
