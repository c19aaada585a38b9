"""Small memories with a bound."""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

from asyncstatic.http.model import Identity

Key = TypeVar("Key")
Value = TypeVar("Value")

_SECOND = 1_000_000_000


class BoundedDict(dict[Key, Value]):
    """A dict that forgets the older half of its entries once it would hold more than `capacity`.

    Entries are added by `put`. Reading is a plain dict's: nothing is reordered on a hit. (To
    forget one entry at a time costs more: a dict looks for its first among all that have gone.)
    """

    __slots__ = ("_capacity",)

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def put(self, key: Key, value: Value) -> None:
        """Remember a value, and forget the older half when there are too many."""
        self[key] = value
        if len(self) > self._capacity:
            for old in tuple(islice(self, len(self) // 2)):
                self.pop(old, None)


class Dating:
    """Remembers which bytes a modification time stood for.

    Tools restore times (``touch -r``, SOURCE_DATE_EPOCH), and two writes may share a second.
    Once other bytes have been seen under the same second, that second tells nothing.
    """

    def __init__(self, capacity: int = 16_384) -> None:
        self._seen: BoundedDict[tuple[str, ...], tuple[Identity, bool]] = BoundedDict(capacity)

    def tells(self, segments: tuple[str, ...], identity: Identity) -> bool:
        """Tell whether the modification time tells these bytes from all seen before."""
        seen = self._seen.get(segments)
        if seen is not None and seen[0] == identity:
            return seen[1]
        same_second = seen is not None and seen[0].mtime_ns // _SECOND == (
            identity.mtime_ns // _SECOND
        )
        self._seen.put(segments, (identity, not same_second))
        return not same_second
