"""Small memories with a bound."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, starmap
from typing import Generic, TypeVar

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


class BoundedOctets(dict[Key, Value]):
    """A dict that forgets the older half of its entries once they take more than `capacity`.

    Entries are added by `put`, each once. Reading is a plain dict's.

    Args:
        capacity: octets that all may take.
        cost: how many one takes.
    """

    __slots__ = ("_capacity", "_cost", "_used")

    def __init__(self, capacity: int, cost: Callable[[Key, Value], int]) -> None:
        super().__init__()
        self._capacity = capacity
        self._cost = cost
        self._used = 0

    def put(self, key: Key, value: Value) -> None:
        """Remember what is not there yet, and forget the older half when all take too much."""
        self[key] = value
        self._used += self._cost(key, value)
        if self._used > self._capacity:
            for old in tuple(islice(self, (len(self) + 1) // 2)):
                del self[old]
            self._used = sum(starmap(self._cost, self.items()))


class RecentOctets(Generic[Key, Value]):
    """Remembers what was asked for lately, within a bound in octets and one in number.

    `turn` is called from time to time: what was not asked for between two turns is forgotten, or
    earlier where all would take too much.

    Args:
        capacity: octets that all may take.
        most: how many there may be.
        cost: octets that a value takes.
    """

    __slots__ = ("_capacity", "_cost", "_most", "_new", "_old", "_used")

    def __init__(self, capacity: int, most: int, cost: Callable[[Value], int]) -> None:
        # Of the new; the old were no more.
        self._capacity, self._most = capacity // 2, most // 2
        self._cost = cost
        self._new: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._used = 0

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def get(self, key: Key) -> Value | None:
        """Return a value that is remembered, and remember it longer."""
        value = self._new.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remember what is not there yet, if it may be."""
        cost = self._cost(value)
        if cost > self._capacity or not self._most:
            return
        if self._used + cost > self._capacity or len(self._new) >= self._most:
            self.turn()
        self._new[key] = value
        self._used += cost

    def turn(self) -> None:
        """Forget what was not asked for since the last turn."""
        self._old, self._new, self._used = self._new, {}, 0


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
