"""Which unit a point is in: exactly one, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from targeting.grid import Grid, to_degrees, to_units
from targeting.outlines import Outlines
from targeting.units import UnitKey

OUTSIDE = -1
_SIDE = 1_024
_DOUBTFUL = -2


class UnitLocator:
    """Finds the unit of points; cells of a grid that lie within one unit answer at once."""

    def __init__(self, outlines: Outlines) -> None:
        """Prepare the outlines of the lowest units: some tenths of a second for real ones."""
        self.keys: Sequence[UnitKey] = outlines.lowest
        self._shapes = outlines.lowest_shapes
        shapely.prepare(self._shapes)
        west, south, east, north = to_units(np.array(outlines.whole.bounds)).tolist()
        self._grid = Grid.over(west - 1, south - 1, east + 1, north + 1, _SIDE)
        # One more, for what is outside the grid.
        self._of_cell = np.full(self._grid.cells + 1, OUTSIDE, dtype=np.int16)
        borders = []
        for number, shape in enumerate(self._shapes):
            cover = self._grid.cover(shape)
            for start, end in zip(cover.starts.tolist(), cover.ends.tolist(), strict=True):
                self._of_cell[start:end] = number
            borders.append(cover.border)
        for border in borders:
            self._of_cell[border] = _DOUBTFUL

    def positions(self, lons: ArrayLike, lats: ArrayLike) -> NDArray[np.int16]:
        """Return the position in `keys` of the unit of each point, OUTSIDE for none.

        Points are taken at the precision they are stored with, 1e-5 degree. A point on a border
        between units belongs to the one with the lowest code.
        """
        x, y = to_units(np.asarray(lons, float)), to_units(np.asarray(lats, float))
        found = self._of_cell[self._grid.cell_of(x, y)]
        doubtful = np.flatnonzero(found == _DOUBTFUL)
        if not len(doubtful):
            return found
        degrees = np.column_stack((to_degrees(x[doubtful]), to_degrees(y[doubtful])))
        tree = shapely.STRtree(cast("NDArray[np.object_]", shapely.points(degrees)))
        shape, point = tree.query(self._shapes, predicate="intersects")
        exact = np.full(len(doubtful), OUTSIDE, dtype=np.int16)
        # Keys are in order of code: written from the last to the first, the lowest stays.
        order = np.argsort(-shape, kind="stable")
        exact[point[order]] = shape[order]
        found[doubtful] = exact
        return found

    def units_of(self, lons: ArrayLike, lats: ArrayLike) -> list[UnitKey | None]:
        """Return the unit of each point, None for those outside every unit."""
        found = self.positions(lons, lats).tolist()
        return [None if number == OUTSIDE else self.keys[number] for number in found]

    def unit_of(self, lon: float, lat: float) -> UnitKey | None:
        """Return the unit of one point, None when it is outside every unit."""
        return self.units_of([lon], [lat])[0]
