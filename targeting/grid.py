"""A grid of cells over a city.

Coordinates are whole numbers of 1e-5 degree, cells are a whole number of those wide and high, so
a point is in exactly one cell. Only points in cells that a border crosses need an exact test: the
cost of a question grows with the length of the border, not with the number of people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

UNITS_PER_DEGREE = 100_000
MAX_SIDE = 2_048

Ints: TypeAlias = NDArray[np.int64]
Int32s: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float64]


def to_units(degrees: Floats) -> Int32s:
    """Return degrees as whole numbers of 1e-5 degree."""
    return np.rint(np.asarray(degrees) * UNITS_PER_DEGREE).astype(np.int32)


def to_degrees(units: Int32s) -> Floats:
    """Return the doubles nearest to the decimals, the same that parsing the decimals gives."""
    return units / UNITS_PER_DEGREE


@dataclass(frozen=True, slots=True)
class Grid:
    """`cols` × `rows` cells from (west, south); cell number = row * cols + column."""

    west: int
    south: int
    width: int
    height: int
    cols: int
    rows: int

    @classmethod
    def over(cls, west: int, south: int, east: int, north: int, side: int = MAX_SIDE) -> Grid:
        """Return a grid of at most `side` × `side` cells over a box that includes its edges."""
        width = -(-(east - west + 1) // side)
        height = -(-(north - south + 1) // side)
        cols = -(-(east - west + 1) // width)
        rows = -(-(north - south + 1) // height)
        return cls(west, south, width, height, cols, rows)

    @property
    def cells(self) -> int:
        """Return the number of cells; it also stands for "outside the grid"."""
        return self.cols * self.rows

    def cell_of(self, x: Int32s, y: Int32s) -> NDArray[np.uint32]:
        """Return the cell of each point, `cells` for those outside the grid."""
        # A point west or south of the grid wraps to a huge unsigned number: one test does both.
        col = (x - np.int32(self.west)).view(np.uint32) // np.uint32(self.width)
        row = (y - np.int32(self.south)).view(np.uint32) // np.uint32(self.height)
        outside = (col >= self.cols) | (row >= self.rows)
        row *= np.uint32(self.cols)
        row += col
        row[outside] = self.cells
        return row

    def holds(self, shape: BaseGeometry) -> bool:
        """Tell whether the shape stays within the grid."""
        west, south, east, north = np.array(shape.bounds) * UNITS_PER_DEGREE
        return bool(
            west >= self.west
            and south >= self.south
            and east < self.west + self.width * self.cols
            and north < self.south + self.height * self.rows
        )


def ranges(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Return, for ranges [start, end), the number of the range and the value, for every value."""
    lengths = np.maximum(ends - starts, 0)
    which = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(lengths) - lengths
    return which, np.arange(len(which)) + np.repeat(starts - before, lengths)
