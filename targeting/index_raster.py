"""Where people are, roughly: their first points on a coarse raster, read off the fine grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targeting.grid import UNITS_PER_DEGREE, Grid, Int32s, Ints
from targeting.index_table import Keys


@dataclass(frozen=True, slots=True)
class Raster:
    """A box cut into cols × rows, its lines moved to those of the fine grid."""

    grid: Grid
    edges: Ints
    lines: Ints

    @classmethod
    def over(
        cls, grid: Grid, west: float, south: float, east: float, north: float, cols: int, rows: int
    ) -> Raster:
        """Lay a raster over a box in degrees."""
        u = (np.linspace(west, east, cols + 1) * UNITS_PER_DEGREE - grid.west) / grid.width
        v = (np.linspace(south, north, rows + 1) * UNITS_PER_DEGREE - grid.south) / grid.height
        return cls(grid, _within(u, grid.cols), _within(v, grid.rows))

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, cols)."""
        return len(self.lines) - 1, len(self.edges) - 1

    def of_keys(self, keys: Keys) -> Ints:
        """Return the number of places per cell of the raster, from the south-west."""
        fine = np.arange(self.lines[0], self.lines[-1])
        starts = fine[:, None] * self.grid.cols + self.edges
        before = keys.rows(starts.reshape(-1), starts[:0, 0])[0].reshape(starts.shape)
        running = np.zeros((len(fine) + 1, self.shape[1]), dtype=np.int64)
        np.cumsum(np.diff(before, axis=1), axis=0, out=running[1:])
        return np.asarray(np.diff(running[self.lines - self.lines[0]], axis=0))

    def of_points(self, x: Int32s, y: Int32s) -> Ints:
        """Return the same for points in 1e-5 degree, as if the fine grid held them."""
        cell = self.grid.cell_of(x, y)
        row, col = np.divmod(cell[cell < self.grid.cells].astype(np.int64), self.grid.cols)
        at_row, at_col = _band(self.lines, row), _band(self.edges, col)
        here = (at_row >= 0) & (at_row < self.shape[0]) & (at_col >= 0) & (at_col < self.shape[1])
        number = at_row[here] * self.shape[1] + at_col[here]
        cells = self.shape[0] * self.shape[1]
        return np.bincount(number, minlength=cells).reshape(self.shape)


def aligned(
    grid: Grid, box: tuple[float, float, float, float], cols: int, rows: int
) -> tuple[tuple[float, float, float, float], int, int]:
    """Return the raster nearest to the one asked for that the grid can fill evenly.

    Its cells are whole cells of the grid, all alike and never finer than those; the box grows to
    hold them. A finer raster would show people on some of its lines and nobody between.
    """
    west, south, east, north = box
    west, east, cols = _aligned(west, east, cols, grid.west, grid.width)
    south, north, rows = _aligned(south, north, rows, grid.south, grid.height)
    return (west, south, east, north), cols, rows


def _aligned(
    low: float, high: float, cells: int, first: int, size: int
) -> tuple[float, float, int]:
    step = max(1, round((high - low) * UNITS_PER_DEGREE / cells / size)) * size
    start = math.floor((low * UNITS_PER_DEGREE - first) / step)
    end = math.ceil((high * UNITS_PER_DEGREE - first) / step)
    low, high = ((first + line * step) / UNITS_PER_DEGREE for line in (start, end))
    return low, high, end - start


def _within(lines: NDArray[np.float64], last: int) -> Ints:
    return np.clip(np.rint(lines), 0, last).astype(np.int64)


def _band(lines: Ints, values: Ints) -> Ints:
    """Return the band between lines that each value is in; of empty bands, the last."""
    return np.searchsorted(lines, values, side="right") - 1
