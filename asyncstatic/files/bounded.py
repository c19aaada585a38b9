"""A dictionary that is bounded in the number of its entries."""

from __future__ import annotations

from itertools import islice
from typing import TypeVar

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
