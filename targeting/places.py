"""Which unit a point is in: exactly one, or none; and all of them, on a border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from weakref import finalize

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from targeting.cover import Cover
from targeting.grid import UNITS_PER_DEGREE, Floats, Grid, Int32s, Ints, ranges, to_units
from targeting.outlines import Outlines
from targeting.units import UnitKey

OUTSIDE = -1
_SIDE = 1_024
_DOUBTFUL = -2
# In place of a border cell's number: the unit covers the whole cell.
_WHOLE = -1


@dataclass(frozen=True, slots=True)
class Located:
    """Where points are: the position of the lowest unit of each, OUTSIDE for none.

    Each point in a cell with a border also stands in `points` with every unit that covers it.
    """

    positions: NDArray[np.int16]
    points: Ints
    units: NDArray[np.int16]

    def several(self) -> tuple[Ints, NDArray[np.int16]]:
        """Return the points in more than one unit, and a row of units for each, ended by -1."""
        shared = np.bincount(self.points, minlength=1) > 1
        chosen = np.flatnonzero(shared[self.points]) if len(self.points) else self.points
        points, units = self.points[chosen], self.units[chosen]
        order = np.argsort(points, kind="stable")
        points, units = points[order], units[order]
        found, begins, numbers = np.unique(points, return_index=True, return_counts=True)
        rows = np.full((len(found), int(numbers.max(initial=1))), -1, dtype=np.int16)
        which = np.repeat(np.arange(len(found)), numbers)
        rows[which, np.arange(len(points)) - begins[which]] = units
        return found, rows


class UnitLocator:
    """Finds the unit of points; cells of a grid that lie within one unit answer at once."""

    def __init__(self, outlines: Outlines) -> None:
        """Prepare the outlines of the lowest units: some tenths of a second for real ones."""
        self.keys: Sequence[UnitKey] = outlines.lowest
        west, south, east, north = to_units(np.array(outlines.whole.bounds)).tolist()
        self._grid = Grid.over(west - 1, south - 1, east + 1, north + 1, _SIDE)
        self._covers = [Cover.of(shape, self._grid) for shape in outlines.lowest_shapes]
        # One more, for what is outside the grid.
        self._of_cell = np.full(self._grid.cells + 1, OUTSIDE, dtype=np.int16)
        within = [ranges(cover.starts, cover.ends)[1] for cover in self._covers]
        for number, cells in enumerate(within):
            # Outlines that overlap: both units may cover a point.
            twice = cells[self._of_cell[cells] != OUTSIDE]
            self._of_cell[cells] = number
            self._of_cell[twice] = _DOUBTFUL
        for cover in self._covers:
            self._of_cell[cover.border] = _DOUBTFUL
        self._cells, self._units, self._nth = self._candidates(within)

    def _candidates(self, within: list[Ints]) -> tuple[Ints, NDArray[np.int16], Ints]:
        """Return the doubtful cells with each unit that may cover points of them, sorted.

        The third column is the cell's number in the border of the unit's cover, or _WHOLE.
        """
        cells, units, nth = [], [], []
        for number, (cover, whole) in enumerate(zip(self._covers, within, strict=True)):
            sure = whole[self._of_cell[whole] == _DOUBTFUL]
            cells += [cover.border, sure]
            nth += [np.arange(len(cover.border)), np.full(len(sure), _WHOLE)]
            units.append(np.full(len(cover.border) + len(sure), number, dtype=np.int16))
        cell = np.concatenate(cells)
        order = np.argsort(cell, kind="stable")
        return cell[order], np.concatenate(units)[order], np.concatenate(nth)[order]

    def locate(self, x: Int32s, y: Int32s) -> Located:
        """Return the units of points in 1e-5 degree.

        A point on a border belongs to every unit it bounds; its position is the one with the
        lowest code.
        """
        cell = self._grid.cell_of(x, y)
        found = self._of_cell[cell]
        doubtful = np.flatnonzero(found == _DOUBTFUL)
        found[doubtful] = OUTSIDE
        first, last = (
            np.searchsorted(self._cells, cell[doubtful].astype(np.int64), side=side)
            for side in ("left", "right")
        )
        which, at = ranges(first, last)
        point, unit, nth = doubtful[which], self._units[at], self._nth[at]
        # Small numbers sort stably in linear time.
        order = np.argsort(unit, kind="stable")
        point, unit, nth = point[order], unit[order], nth[order]
        covered = nth == _WHOLE
        begins = np.flatnonzero(np.diff(unit, prepend=np.int16(-1)))
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(unit)], strict=False):
            asked = begin + np.flatnonzero(~covered[begin:end])
            its = point[asked]
            covered[asked] = self._covers[unit[begin]].covers(nth[asked], x[its], y[its])
        point, unit = point[covered], unit[covered]
        # Keys are in order of code: written from the last to the first, the lowest stays.
        found[point[::-1]] = unit[::-1]
        return Located(found, point, unit)

    def least_areas(self, shape: BaseGeometry) -> Floats:
        """Return, in square degrees, how much of each unit a shape takes at the very least.

        Counts cells that lie wholly in both, which is much quicker than to overlay them.
        """
        cover = Cover.of(shape, self._grid)
        units = self._of_cell[ranges(cover.starts, cover.ends)[1]]
        cells = np.bincount(units[units >= 0], minlength=len(self.keys))
        return np.asarray(cells * (self._grid.width * self._grid.height / UNITS_PER_DEGREE**2))

    def positions(self, lons: ArrayLike, lats: ArrayLike) -> NDArray[np.int16]:
        """Return the position in `keys` of the unit of each point, OUTSIDE for none.

        Points are taken at the precision they are stored with, 1e-5 degree. A point on a border
        between units belongs to the one with the lowest code.
        """
        return self.locate(
            to_units(np.asarray(lons, float)), to_units(np.asarray(lats, float))
        ).positions

    def units_of(self, lons: ArrayLike, lats: ArrayLike) -> list[UnitKey | None]:
        """Return the unit of each point, None for those outside every unit."""
        found = self.positions(lons, lats).tolist()
        return [None if number == OUTSIDE else self.keys[number] for number in found]

    def unit_of(self, lon: float, lat: float) -> UnitKey | None:
        """Return the unit of one point, None when it is outside every unit."""
        return self.units_of([lon], [lat])[0]


_LOCATORS: dict[int, UnitLocator] = {}
_BY_CONTENT: dict[bytes, UnitLocator] = {}
_KEPT = 3
"""Maps whose locators are kept when the same outlines are loaded anew."""


def locator_of(outlines: Outlines) -> UnitLocator:
    """Return the locator of these lowest units, made once for as long as their shapes are kept."""
    shapes = outlines.lowest_shapes
    # By the shapes, not the outlines: those that can draw more units have the same lowest ones.
    locator = _LOCATORS.get(id(shapes))
    if locator is None:
        locator = _LOCATORS[id(shapes)] = _of_content(outlines)
        finalize(shapes, _LOCATORS.pop, id(shapes), None)
    return locator


def _of_content(outlines: Outlines) -> UnitLocator:
    digest = sha256(repr(outlines.lowest).encode())
    for wkb in shapely.to_wkb(outlines.lowest_shapes):
        digest.update(wkb)
    key = digest.digest()
    if key not in _BY_CONTENT:
        _BY_CONTENT[key] = UnitLocator(outlines)
        while len(_BY_CONTENT) > _KEPT:
            del _BY_CONTENT[next(iter(_BY_CONTENT))]
    return _BY_CONTENT[key]
