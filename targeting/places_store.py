"""Places in columns: those with a point sorted by grid cell, those known by unit sorted by unit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from targeting.grid import MAX_SIDE, Grid, Int32s, Ints, ranges, to_degrees

T = TypeVar("T", bound=np.generic)

# As many cells as half the points keep the grid small beside what it orders.
POINTS_PER_CELL = 2
# A few places far away (a mother's house in another city) must not stretch the cells.
STRAY_SHARE = 0.0005


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
        """Return the column's values in these rows; slices are copied, not gathered."""
        pairs = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return np.concatenate([column[:0], *(column[a:b] for a, b in pairs), column[self.single]])

    def mark(self, flags: NDArray[np.bool_]) -> None:
        """Set the flags of these rows."""
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            flags[start:end] = True
        flags[self.single] = True

    def numbers(self) -> Ints:
        """Return the row numbers, in the order `take` returns values."""
        return np.concatenate((ranges(self.starts, self.ends)[1], self.single))


NO_ROWS = Rows(*(np.empty(0, dtype=np.int64) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class Points:
    """Points sorted by cell; `offsets[c]` is the first row of cell c, strays come last."""

    grid: Grid
    offsets: NDArray[np.uint32]
    x: Int32s
    y: Int32s

    @classmethod
    def sort(cls, x: Int32s, y: Int32s) -> tuple[Points, NDArray[np.uint32]]:
        """Return the points in order, and for each row its position in the input."""
        grid = _grid_of(x, y)
        cell = grid.cell_of(x, y)
        counts = np.bincount(cell, minlength=grid.cells + 1)
        offsets = np.zeros(grid.cells + 2, dtype=np.uint32)
        np.cumsum(counts, out=offsets[1:])
        # Sorting (cell, position) packed in one word is several times faster than argsort.
        packed = cell.astype(np.uint64) << np.uint64(32)
        packed |= np.arange(len(x), dtype=np.uint64)
        packed.sort()
        order = packed.astype(np.uint32)
        return cls(grid, offsets, x[order], y[order]), order

    @property
    def nbytes(self) -> int:
        """Return the memory of the columns."""
        return self.offsets.nbytes + self.x.nbytes + self.y.nbytes

    def inside(self, shape: BaseGeometry) -> Rows:
        """Return the rows covered by a prepared polygon or multipolygon."""
        if not len(self.x) or shape.is_empty:
            return NO_ROWS
        cover = self.grid.cover(shape)
        starts = self.offsets[cover.starts].astype(np.int64)
        ends = self.offsets[cover.ends].astype(np.int64)
        filled = ends > starts
        first, last = _joined(self.offsets, cover.border)
        _, doubtful = ranges(first, last)
        if not self.grid.holds(shape):
            strays = np.arange(self.offsets[-2], self.offsets[-1], dtype=np.int64)
            doubtful = np.concatenate((doubtful, strays))
        x, y = to_degrees(self.x[doubtful]), to_degrees(self.y[doubtful])
        # For a point, to intersect and to be covered are the same: the border belongs.
        return Rows(starts[filled], ends[filled], doubtful[shapely.intersects_xy(shape, x, y)])


def _joined(offsets: NDArray[np.uint32], cells: Ints) -> tuple[Ints, Ints]:
    return offsets[cells].astype(np.int64), offsets[cells + 1].astype(np.int64)


def _grid_of(x: Int32s, y: Int32s) -> Grid:
    if not len(x):
        return Grid(0, 0, 1, 1, 1, 1)
    side = int(np.clip(np.sqrt(len(x) / POINTS_PER_CELL), 1, MAX_SIDE))
    west, east = _most(x)
    south, north = _most(y)
    return Grid.over(west, south, east, north, side)


def _most(values: Int32s) -> tuple[int, int]:
    """Return a range that holds all values but strays."""
    sample = values[:: max(1, len(values) // 100_000)]
    low, high = np.quantile(sample, (STRAY_SHARE, 1 - STRAY_SHARE))
    margin = (high - low) * 0.05 + 1
    return (
        max(int(values.min()), int(low - margin)),
        min(int(values.max()), int(high + margin)),
    )


@dataclass(frozen=True, slots=True)
class ByUnit:
    """Places known only by their unit, sorted by it; a unit's rows begin at `first_row`."""

    units: NDArray[np.uint32]
    offsets: Ints

    @classmethod
    def sort(cls, units: NDArray[np.uint32]) -> tuple[ByUnit, Ints]:
        """Return the places in order, and for each row its position in the input."""
        order = np.argsort(units, kind="stable")
        known, counts = np.unique(units, return_counts=True)
        return cls(known, np.concatenate(([0], np.cumsum(counts)))), order

    @property
    def nbytes(self) -> int:
        """Return the memory of the columns."""
        return self.units.nbytes + self.offsets.nbytes

    def inside(self, units: Iterable[int], first_row: int) -> Rows:
        """Return the rows of some units, when the places stand from `first_row` on in a table."""
        wanted = np.flatnonzero(np.isin(self.units, np.fromiter(units, dtype=np.uint32)))
        starts, ends = self.offsets[wanted] + first_row, self.offsets[wanted + 1] + first_row
        return Rows(starts, ends, np.empty(0, dtype=np.int64))
