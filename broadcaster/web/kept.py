"""A bounded memory for what is costly to work out and never changes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Keeps the values asked for last, so many of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def find(self, key: Key) -> Value | None:
        """Return what is kept under a key."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def keep(self, key: Key, value: Value) -> Value:
        """Keep a value, forget what nobody asked for longest, and return the value."""
        self._values[key] = value
        while len(self._values) > self._most:
            self._values.popitem(last=False)
        return value
