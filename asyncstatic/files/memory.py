"""Small memories with a bound."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from asyncstatic.http.model import Identity

Key = TypeVar("Key")
Value = TypeVar("Value")

_SECOND = 1_000_000_000


class BoundedDict(Generic[Key, Value]):
    """The most recently used entries, at most `capacity` of them."""

    __slots__ = ("_capacity", "_entries")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Return what is remembered, and remember it longer."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remember, and forget what was longest unused."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


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
