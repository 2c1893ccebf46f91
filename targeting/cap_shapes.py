"""Shapes as CAP 1.2 writes them: polygons without holes, latitude first, of few points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.metric import metres_per_degree, polygonal
from targeting.outward import Spot, outward
from targeting.rings import DECIMALS, rings_of, to_polygon

# Cell broadcast takes at most 100 points a polygon, and aggregators have asked senders of
# thousands for fewer. The units' codes beside the polygons say their borders exactly.
MAX_CAP_POINTS = 100
GRID = 10**-DECIMALS
# More points than these are thinned fast before they are thinned well.
MANY_POINTS = 2_000
POINTS_A_HOLE = 10
# The corners of what is widened are rounded to the grid: a tenth of a metre each way.
ROUNDING_M = 0.3
# A part is cut at its holes, which adds points; it is simplified further until all pieces pass.
_TARGETS = (MAX_CAP_POINTS, 70, 50, 30, 20)


@dataclass(frozen=True, slots=True)
class CapArea:
    """The contents of the polygon and circle elements of one CAP area."""

    polygons: tuple[str, ...]
    circles: tuple[str, ...]


def cap_polygons(shape: BaseGeometry) -> tuple[str, ...]:
    """Return CAP polygons of at most MAX_CAP_POINTS points that cover a shape.

    What has few enough points is written as it is; the rest with a little around it, so that
    nobody inside is left out. CAP has no holes, and a receiver that ignored one would warn the
    wrong people, so a part with holes is cut into pieces without.
    """
    exact = polygonal(shapely.set_precision(shape, GRID))
    pieces = [piece for part in _apart(shapely.get_parts(exact)) for piece in _pieces(part)]
    return tuple(
        " ".join(f"{_decimal(lat)},{_decimal(lon)}" for lon, lat in piece.exterior.coords)
        for piece in pieces
    )


def cap_circle(lon: float, lat: float, metres: float) -> str:
    """Return a CAP circle; its radius is in kilometres."""
    return f"{_decimal(lat)},{_decimal(lon)} {_decimal(metres / 1000)}"


def _decimal(value: float) -> str:
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def covering(shape: Polygon, most: int) -> Polygon:
    """Return a polygon of at most `most` points that covers a shape on the grid.

    The border moves outwards only, where that adds least.
    """
    if shapely.get_num_coordinates(shape) <= most:
        return shape
    fewer = _spots(_widened_to(_without_many_holes(shape, most), MANY_POINTS))
    rings = outward(fewer, most)
    # Judged on the grid, where a point on an edge is on it and not next to it by rounding.
    on_grid = _polygon(rings) if rings else Polygon()
    if rings and on_grid.is_valid and on_grid.covers(_polygon(_spots(shape))):
        return _polygon(rings, GRID)
    # Something has no way out but through itself. A frame has room for everybody.
    return Polygon(shapely.box(*shape.bounds).exterior)


def _without_many_holes(shape: Polygon, most: int) -> Polygon:
    """Fill the smallest holes: there are points for so many only."""
    largest = sorted(shape.interiors, key=lambda ring: -Polygon(ring).area)
    return Polygon(shape.exterior, largest[: most // POINTS_A_HOLE])


def _polygon(rings: Sequence[Sequence[Spot]], grid: float = 1.0) -> Polygon:
    shell, *holes = [np.array(ring, dtype=np.float64) * grid for ring in rings]
    shape = Polygon(shell, holes)
    return shape if grid == 1.0 else to_polygon(rings_of(shape))


def _spots(shape: Polygon) -> list[list[Spot]]:
    """Return the rings in whole steps of the grid, what they surround to the left of each."""
    oriented = shapely.orient_polygons(shape)
    rings = (oriented.exterior, *oriented.interiors)
    return [[(round(x / GRID), round(y / GRID)) for x, y in ring.coords] for ring in rings]


def _widened_to(shape: Polygon, most: int) -> Polygon:
    """Return a shape a few metres wider, by as much as it takes to leave `most` points."""
    scale = np.array(metres_per_degree(shape.centroid.y))
    wide: BaseGeometry = shapely.transform(shape, lambda xy: xy * scale)
    margin = 1.0
    while shapely.get_num_coordinates(wide) > most:
        # GEOS itself leaves out points of up to a hundredth of the distance before it widens.
        wide = wide.buffer(1.02 * margin + ROUNDING_M, join_style="mitre", mitre_limit=2)
        wide = shapely.simplify(wide, margin)
        margin *= 2
    if margin == 1.0:
        return shape
    on_grid = shapely.set_precision(shapely.transform(wide, lambda xy: xy / scale), GRID)
    parts: list[Polygon] = list(shapely.get_parts(on_grid))
    return max(parts, key=lambda part: part.area)


def _apart(parts: Iterable[Polygon]) -> list[Polygon]:
    """Return covering polygons that do not overlap where it can be helped."""
    covers = [covering(part, MAX_CAP_POINTS) for part in parts if not part.is_empty]
    united = list(shapely.get_parts(shapely.union_all(covers, grid_size=GRID)))
    if len(united) == len(covers):
        return covers
    return [covering(part, MAX_CAP_POINTS) for part in united]


def _pieces(part: Polygon) -> list[Polygon]:
    for most in _TARGETS:
        pieces = _without_holes(covering(part, most))
        if all(len(piece.exterior.coords) <= MAX_CAP_POINTS for piece in pieces):
            return pieces
    return [covering(Polygon(part.exterior), MAX_CAP_POINTS)]


def _without_holes(part: Polygon) -> list[Polygon]:
    done = []
    waiting = [part]
    while waiting:
        piece = waiting.pop()
        if not piece.interiors:
            done.append(piece)
            continue
        cut = round(Polygon(piece.interiors[0]).representative_point().x, DECIMALS)
        west, south, east, north = piece.bounds
        for half in (
            shapely.box(west, south, cut, north),
            shapely.box(cut, south, east, north),
        ):
            cut_off = polygonal(shapely.intersection(piece, half, grid_size=GRID))
            waiting += [p for p in shapely.get_parts(cut_off) if not p.is_empty]
    return done
