"""The tables of an index: one for each rank, its rows sorted by key.

A person's places have ranks: those with a point come first, then those known by unit only, each
in the order they were given. The table of rank 0 has everybody once. A key is the grid cell of a
place; the number of cells, for a stray outside the grid; or a number above, for a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from targeting.grid import Int32s, Ints, ranges

T = TypeVar("T", bound=np.generic)

Uint32s: TypeAlias = NDArray[np.uint32]
Profiles: TypeAlias = NDArray[np.unsignedinteger[Any]]

# Slices shorter than this on average are gathered row by row: that is faster than many slices.
_SHORT = 24


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a table's rows: where each key begins or, for a sparse table, every row's."""

    offsets: Uint32s
    keys: Uint32s

    @classmethod
    def of(cls, keys: Uint32s, number: int) -> Keys:
        """Keep sorted keys below `number`: looking one up is slower, but a table may be small."""
        if 2 * len(keys) < number:
            return cls(np.empty(0, dtype=np.uint32), keys)
        offsets = np.zeros(number + 1, dtype=np.uint32)
        np.cumsum(np.bincount(keys, minlength=number), out=offsets[1:])
        return cls(offsets, np.empty(0, dtype=np.uint32))

    def rows(self, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
        """Return the slices of rows that have keys start to end, of each range of keys."""
        return self._first(starts), self._first(ends)

    def _first(self, keys: Ints) -> Ints:
        if len(self.offsets):
            return self.offsets[keys].astype(np.int64)
        return np.searchsorted(self.keys, keys.astype(np.uint32))


@dataclass(frozen=True, slots=True)
class Table:
    """The places of one rank. Rows known by unit only come last and have no x and y.

    `prior_keys[j]` and `prior_rows[j]` say where the same person's place of rank j is; `next` is
    one more than the row of the next rank, 0 if there is none.
    """

    keys: Keys
    x: Int32s
    y: Int32s
    profiles: Profiles
    next: Uint32s
    prior_keys: Uint32s
    prior_rows: Uint32s

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self.profiles)

    def arrays(self, rank: int) -> dict[str, NDArray[Any]]:
        """Return the columns under their names in a file."""
        named = {"offsets": self.keys.offsets, "keys": self.keys.keys}
        named |= {name: getattr(self, name) for name in self.__slots__ if name != "keys"}
        return {f"rank{rank}.{name}": column for name, column in named.items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], rank: int) -> Table:
        """Return the table from its columns in a file; raise KeyError when one is missing."""
        names = (name for name in cls.__slots__ if name != "keys")
        columns = {name: arrays[f"rank{rank}.{name}"] for name in names}
        keys = Keys(arrays[f"rank{rank}.offsets"], arrays[f"rank{rank}.keys"])
        return cls(keys=keys, **columns)


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table: slices of it, and single rows beside them."""

    starts: Ints
    ends: Ints
    single: Ints

    def __len__(self) -> int:
        """Return the number of rows."""
        return int((self.ends - self.starts).sum()) + len(self.single)

    def take(self, column: NDArray[T]) -> NDArray[T]:
        """Return the column's values in these rows; long slices are copied, not gathered."""
        if len(self) < _SHORT * len(self.starts):
            return column[self.numbers()]
        pairs = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return np.concatenate([column[:0], *(column[a:b] for a, b in pairs), column[self.single]])

    def numbers(self) -> Ints:
        """Return the row numbers, in the order `take` returns values."""
        return np.concatenate((ranges(self.starts, self.ends)[1], self.single))

    def number(self, positions: Ints) -> Ints:
        """Return the row numbers at some positions of what `take` returns."""
        last = np.cumsum(self.ends - self.starts)
        sliced = int(last[-1]) if len(last) else 0
        found = np.empty(len(positions), dtype=np.int64)
        alone = positions >= sliced
        found[alone] = self.single[positions[alone] - sliced]
        which = np.searchsorted(last, positions[~alone], side="right")
        found[~alone] = positions[~alone] - last[which] + self.ends[which]
        return found
