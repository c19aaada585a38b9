"""A dictionary with a bound, and `Dating`, which judges modification times."""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

from asyncstatic.http.model import SECOND, Identity

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(dict[Key, Value]):
    """A dict that drops the older half of its entries once there are more than `capacity`.

    Add entries by `put`. Reading is a plain dict's: a hit reorders nothing. (Dropping one entry at
    a time costs more: a dict searches for its first entry among all that were deleted.)
    """

    __slots__ = ("_capacity",)

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def put(self, key: Key, value: Value) -> None:
        """Add a value, and drop the older half when there are too many."""
        self[key] = value
        if len(self) > self._capacity:
            for old in tuple(islice(self, len(self) // 2)):
                self.pop(old, None)


class Dating:
    """Tells whether a modification time identifies the content of a file.

    Tools restore times (``touch -r``, SOURCE_DATE_EPOCH), and two writes may share a second. Once
    two versions of a file have had the same second, that second proves nothing.
    """

    def __init__(self, capacity: int = 16_384) -> None:
        self._seen: BoundedDict[tuple[str, ...], tuple[Identity, bool]] = BoundedDict(capacity)

    def tells(self, segments: tuple[str, ...], identity: Identity) -> bool:
        """Tell whether no other version of this file had the same modification time."""
        seen = self._seen.get(segments)
        if seen is not None and seen[0] == identity:
            return seen[1]
        is_alone = seen is None or seen[0].mtime_ns // SECOND != identity.mtime_ns // SECOND
        self._seen.put(segments, (identity, is_alone))
        return is_alone
