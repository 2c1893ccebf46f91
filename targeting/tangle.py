"""How tangled what is drawn is: shapes that cross too often take minutes to draw."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from targeting.errors import AreaProblem, problem
from targeting.metric import line_stretches
from targeting.ring_repairs import in_range
from targeting.shapes import MAX_DISTANCE_M, Shapes

# A crossing of two borders takes about 15 microseconds to draw.
MAX_CROSSINGS = 80_000
# Where a line crosses, it does so with both its borders and through its round corners.
LINE_CROSSING = 15
# Pairs of edges whose boxes meet: beyond it even looking for crossings takes a second.
MAX_PAIRS = 3_000_000
# Points of all lines, once thinned as far as their width allows, and cut to be widened.
MAX_STRETCHES = 4_000
# Edges looked at together: few enough that their pairs fit into memory, whatever they meet.
_CHUNK = 256


def tangle_problems(include: Shapes, exclude: Shapes) -> list[AreaProblem]:
    """Return what makes an area take too long to draw; found in bounded time itself."""
    lines = [
        line
        for line in include.lines + exclude.lines
        if len(set(line.points)) > 1
        and 0 < line.metres <= MAX_DISTANCE_M
        # Off the Earth it is not drawn, and swapped it is long only until it is mended.
        and in_range(line.points).all()
    ]
    stretches = sum(line_stretches(*line) for line in lines)
    if stretches > MAX_STRETCHES:
        return [problem("lines_too_long", "lines", count=stretches, limit=MAX_STRETCHES)]
    rings = [ring for rings in include.polygons + exclude.polygons for ring in rings]
    if not lines and len(rings) == 1 and len(rings[0]) ** 2 < 2 * MAX_PAIRS:
        # The most usual area: it cannot be worse than the limits.
        return []
    widened = [line.points for line in lines]
    edges = [_edges(np.array(points)) for points in rings + widened if len(points) > 1]
    if not edges:
        return []
    from_line = np.arange(sum(map(len, edges))) >= sum(max(len(ring) - 1, 0) for ring in rings)
    return _crossing_problems(np.vstack(edges), from_line)


def _edges(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack((xy[:-1], xy[1:]))


def _crossing_problems(
    edges: NDArray[np.float64], from_line: NDArray[np.bool_]
) -> list[AreaProblem]:
    """Count crossings of edges [x0, y0, x1, y1] until there are too many."""
    segments = np.asarray(shapely.linestrings(edges.reshape(-1, 2, 2)))
    tree = shapely.STRtree(segments)
    pairs = 0
    crossings = 0.0
    for start in range(0, len(edges), _CHUNK):
        first, second = tree.query(segments[start : start + _CHUNK])
        first = first + start
        later = second > first
        first, second = first[later], second[later]
        pairs += len(first)
        weight = np.where(from_line[first] | from_line[second], LINE_CROSSING, 1)
        crossings += float(weight[_cross(edges[first], edges[second])].sum())
        if pairs > MAX_PAIRS or crossings > MAX_CROSSINGS:
            at = (float(edges[start, 0]), float(edges[start, 1]))
            return [problem("too_tangled", "area", at, at=f"{at[0]:.5f}, {at[1]:.5f}")]
    return []


def _cross(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which edges cross the other in the same row, not only touch it."""
    apart = _side(one, other[:, :2]) * _side(one, other[:, 2:]) < 0
    return np.asarray(apart & (_side(other, one[:, :2]) * _side(other, one[:, 2:]) < 0))


def _side(edges: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return on which side of its edge each point lies, by the sign."""
    x0, y0, x1, y1 = edges.T
    x, y = points.T
    return np.asarray((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0))
