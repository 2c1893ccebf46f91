"""A grid of cells over a city: tells which cells a shape covers and which its border crosses.

Coordinates are whole numbers of 1e-5 degree, cells are a whole number of those wide and high, so
a point is in exactly one cell. Only points in cells the border crosses need an exact test: the
cost of a question grows with the length of the border, not with the number of people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

UNITS_PER_DEGREE = 100_000
MAX_SIDE = 2_048
# Cells count as crossed a little before the border touches them, so that rounding in the walk
# along the border can only cause a needless exact test, never a missing one.
MARGIN_CELLS = 1e-4

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
class Cover:
    """The cells of a shape: runs [start, end) of cells wholly inside, and the cells crossed."""

    starts: Ints
    ends: Ints
    border: Ints


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

    def cover(self, shape: BaseGeometry) -> Cover:
        """Return the cells of a polygon or multipolygon; it should be prepared."""
        border = self._border(shape)
        starts, ends = self._gaps(border, shape)
        if not len(starts):
            return Cover(starts, ends, border)
        # No border passes between two crossed cells of a row, so one point speaks for the gap.
        x = self.west + (starts % self.cols + 0.5) * self.width
        y = self.south + (starts // self.cols + 0.5) * self.height
        inside = shapely.intersects_xy(shape, x / UNITS_PER_DEGREE, y / UNITS_PER_DEGREE)
        return Cover(starts[inside], ends[inside], border)

    def _gaps(self, border: Ints, shape: BaseGeometry) -> tuple[Ints, Ints]:
        """Return the runs of cells between crossed cells, in the rows the shape can reach."""
        _, south, _, north = np.array(shape.bounds) * UNITS_PER_DEGREE
        first = max(0, int((south - self.south) // self.height) - 1)
        last = min(self.rows - 1, int((north - self.south) // self.height) + 1)
        edges = np.arange(first, last + 2, dtype=np.int64) * self.cols
        # Each row is closed on both sides by walls just outside the grid.
        befores = np.sort(np.concatenate((border + 1, edges[:-1])))
        afters = np.sort(np.concatenate((border, edges[1:])))
        open_ones = afters > befores
        return befores[open_ones], afters[open_ones]

    def _border(self, shape: BaseGeometry) -> Ints:
        """Return the sorted numbers of all cells that the border passes through or touches."""
        u0, v0, u1, v1 = self._segments(shape)
        left = np.clip(np.floor(u0 - MARGIN_CELLS), 0, self.cols - 1).astype(np.int64)
        right = np.clip(np.floor(u1 + MARGIN_CELLS), 0, self.cols - 1).astype(np.int64)
        which, col = _spread(left, right)
        u0, v0, u1, v1 = u0[which], v0[which], u1[which], v1[which]
        # The heights at which the segment enters and leaves this column.
        run = np.where(u1 > u0, u1 - u0, 1.0)
        enter = np.clip((col - MARGIN_CELLS - u0) / run, 0.0, 1.0)
        leave = np.clip((col + 1 + MARGIN_CELLS - u0) / run, 0.0, 1.0)
        leave = np.where(u1 > u0, leave, 1.0)
        enter = np.where(u1 > u0, enter, 0.0)
        a, b = v0 + enter * (v1 - v0), v0 + leave * (v1 - v0)
        low = np.floor(np.minimum(a, b) - MARGIN_CELLS)
        high = np.floor(np.maximum(a, b) + MARGIN_CELLS)
        near = (high >= 0) & (low < self.rows)
        col, low, high = col[near], low[near], high[near]
        which, row = _spread(
            np.maximum(low, 0).astype(np.int64),
            np.minimum(high, self.rows - 1).astype(np.int64),
        )
        crossed = np.zeros(self.cells, dtype=bool)
        crossed[row * self.cols + col[which]] = True
        return np.flatnonzero(crossed)

    def _segments(self, shape: BaseGeometry) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the border's segments near the grid, in cells, each from west to east."""
        lines = shapely.get_rings(shapely.get_parts(shape))
        points, ring = shapely.get_coordinates(lines, return_index=True)
        scale = np.array([self.width, self.height])
        cells = (points * UNITS_PER_DEGREE - (self.west, self.south)) / scale
        same_ring = ring[1:] == ring[:-1]
        a, b = cells[:-1][same_ring], cells[1:][same_ring]
        eastward = (a[:, 0] <= b[:, 0])[:, None]
        a, b = np.where(eastward, a, b), np.where(eastward, b, a)
        near = (b[:, 0] >= -1) & (a[:, 0] <= self.cols + 1)
        near &= np.maximum(a[:, 1], b[:, 1]) >= -1
        near &= np.minimum(a[:, 1], b[:, 1]) <= self.rows + 1
        a, b = a[near], b[near]
        return a[:, 0], a[:, 1], b[:, 0], b[:, 1]


def _spread(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Return, for ranges first..last, the number of the range and the value, for every value."""
    return ranges(first, last + 1)


def ranges(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Return, for ranges [start, end), the number of the range and the value, for every value."""
    lengths = np.maximum(ends - starts, 0)
    which = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(lengths) - lengths
    return which, np.arange(len(which)) + np.repeat(starts - before, lengths)
