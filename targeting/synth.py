"""Random points inside an outline, for synthetic people."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from targeting.grid import UNITS_PER_DEGREE, Int32s, to_degrees

# An outline that fills less than one in this many of its bounding box is refused, not waited for.
MOST_TRIES_PER_POINT = 10_000


def random_points(outline: BaseGeometry, n: int, rng: np.random.Generator) -> tuple[Int32s, Int32s]:
    """Return `n` lons and lats in 1e-5 degree, evenly spread strictly inside the outline.

    Points are drawn on the whole numbers they are stored as: rounding never moves one over a
    border, and none is on a border, so each is in exactly one unit.
    """
    shapely.prepare(outline)
    west, south, east, north = np.array(outline.bounds) * UNITS_PER_DEGREE
    x, y = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    have, tried, hit_rate = 0, 0, 0.5
    while have < n:
        if tried > MOST_TRIES_PER_POINT * (have + 1):
            raise ValueError("the outline is too thin to draw points in")
        batch = int((n - have) / hit_rate * 1.1) + 16
        some_x = rng.integers(int(west), int(east) + 2, batch, dtype=np.int32)
        some_y = rng.integers(int(south), int(north) + 2, batch, dtype=np.int32)
        inside = shapely.contains_xy(outline, to_degrees(some_x), to_degrees(some_y))
        hits = np.flatnonzero(inside)[: n - have]
        x[have : have + len(hits)] = some_x[hits]
        y[have : have + len(hits)] = some_y[hits]
        have, tried = have + len(hits), tried + batch
        hit_rate = max(inside.mean(), 0.05)
    return x, y
