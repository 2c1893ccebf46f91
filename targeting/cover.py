"""Which cells of a grid a shape covers, and which of the points in the cells its border crosses.

Most points are settled without asking about the whole border. A point's cell knows the few pieces
of border that pass through it and whether its south-west corner is inside. A walk from the corner
along the cell's south edge and then north to the point changes sides at every piece it crosses.
Where a piece passes too near the walk for rounding to be ruled out, shapely decides, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from targeting.grid import UNITS_PER_DEGREE, Floats, Grid, Int32s, Ints, ranges, to_degrees

# Cells count as crossed a little before the border touches them, so that rounding in the walk
# along the border can only cause a needless test, never a missing one.
MARGIN_CELLS = 1e-4
# Rounding moves a place by less than 1e-8 cells; nearer than this to a piece, shapely decides.
DOUBT_CELLS = 1e-6
# Points in a cell with more pieces than this are left to shapely, which has a tree for them.
MOST_PIECES = 48
# Points walked at once: what they need stays in the processor's cache, twice as fast.
CHUNK = 16_384

Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Segments, each in one border cell; `line` is the row of that cell, its south edge.

    A place (u, v) is left of a segment where slope * u + offset - run * (v - line) > 0. All is
    scaled so that what is within 1 is in doubt.
    """

    u0: Floats
    u1: Floats
    slope: Floats
    offset: Floats
    run: Floats
    # Whether the segment crosses the line of the south edge, and has the corner on its left.
    crosses: Bools
    corner_left: Bools


@dataclass(frozen=True, slots=True)
class _Segments:
    """The border's segments in cells, each from west to east; none has length zero."""

    u0: Floats
    v0: Floats
    u1: Floats
    v1: Floats

    @classmethod
    def of(cls, shape: BaseGeometry, grid: Grid) -> _Segments:
        """Return the segments that reach the grid's rows, wherever they are east and west."""
        lines = shapely.get_rings(shapely.get_parts(shape))
        points, ring = shapely.get_coordinates(lines, return_index=True)
        u = (points[:, 0] * UNITS_PER_DEGREE - grid.west) / grid.width
        v = (points[:, 1] * UNITS_PER_DEGREE - grid.south) / grid.height
        kept = ring[1:] == ring[:-1]
        kept &= np.maximum(v[1:], v[:-1]) >= -1
        kept &= np.minimum(v[1:], v[:-1]) <= grid.rows + 1
        kept &= (u[1:] != u[:-1]) | (v[1:] != v[:-1])
        a = np.flatnonzero(kept)
        b = a + 1
        westward = u[a] > u[b]
        a[westward], b[westward] = b[westward], a[westward]
        return cls(u[a], v[a], u[b], v[b])

    def cells(self, grid: Grid) -> tuple[Ints, Ints]:
        """Return (segment, cell) for every cell a segment passes through or touches."""
        near = np.flatnonzero((self.u1 >= -1) & (self.u0 <= grid.cols + 1))
        left = np.clip(np.floor(self.u0[near] - MARGIN_CELLS), 0, grid.cols - 1).astype(np.int64)
        right = np.clip(np.floor(self.u1[near] + MARGIN_CELLS), 0, grid.cols - 1).astype(np.int64)
        which, col = ranges(left, right + 1)
        segment = near[which]
        u0, v0, run = self.u0[segment], self.v0[segment], (self.u1 - self.u0)[segment]
        rise = (self.v1 - self.v0)[segment]
        # The heights at which the segment enters and leaves this column.
        upright = run == 0
        run[upright] = 1.0
        enter = np.clip((col - MARGIN_CELLS - u0) / run, 0.0, 1.0)
        leave = np.clip((col + 1 + MARGIN_CELLS - u0) / run, 0.0, 1.0)
        enter[upright], leave[upright] = 0.0, 1.0
        a, b = v0 + enter * rise, v0 + leave * rise
        low = np.maximum(np.floor(np.minimum(a, b) - MARGIN_CELLS), 0)
        high = np.minimum(np.floor(np.maximum(a, b) + MARGIN_CELLS), grid.rows - 1)
        # A range that ends before it begins, outside the grid, is empty.
        which, row = ranges(low.astype(np.int64), high.astype(np.int64) + 1)
        return segment[which], row * grid.cols + col[which]

    def crossings(self, grid: Grid) -> Floats:
        """Return where the border crosses the south edges of the grid's rows, as sorted places.

        Rings are closed, so each edge is crossed an even number of times.
        """
        low, high = np.minimum(self.v0, self.v1), np.maximum(self.v0, self.v1)
        # An edge that a segment only touches with its upper end is not crossed by it.
        first = np.maximum(np.ceil(low), 0).astype(np.int64)
        last = np.minimum(np.ceil(high), grid.rows).astype(np.int64)
        which, row = ranges(first, last)
        u0, u1, v0 = self.u0[which], self.u1[which], self.v0[which]
        u = u0 + (row - v0) * (u1 - u0) / (self.v1[which] - v0)
        places = _place(grid, row, np.clip(np.clip(u, u0, u1), -1, grid.cols + 1))
        places.sort()
        return places

    def pieces(self, segment: Ints, line: Ints, corner: Ints) -> tuple[_Pieces, Floats]:
        """Return segments in cells of these rows and columns, and how far left the corners are."""
        u0, v0, u1, v1 = self.u0[segment], self.v0[segment], self.u1[segment], self.v1[segment]
        run, slope = u1 - u0, v1 - v0
        scale = 1 / (DOUBT_CELLS * (run + np.abs(slope)))
        run, slope = run * scale, slope * scale
        offset = (v0 - line) * run - u0 * slope
        at_corner = corner * slope + offset
        crosses = (np.minimum(v0, v1) <= line) & (line < np.maximum(v0, v1))
        return _Pieces(u0, u1, slope, offset, run, crosses, at_corner > 0), at_corner


def _place(grid: Grid, row: Ints, col: Floats | Ints) -> Floats:
    """Return one number for a place on a row's south edge, from one column outside on."""
    return row * (grid.cols + 4.0) + (col + 2.0)


@dataclass(frozen=True, slots=True)
class _Corners:
    """South-west corners of some border cells, and which pieces of border pass their cells."""

    inside: Bools
    uncertain: Bools
    # The pieces of the n-th cell are those from first[n] to first[n + 1].
    first: Ints
    pieces: _Pieces


@dataclass(frozen=True, slots=True)
class Cover:
    """The cells of a shape: runs [start, end) of cells wholly inside, and the cells crossed."""

    grid: Grid
    shape: BaseGeometry
    starts: Ints
    ends: Ints
    border: Ints
    _segments: _Segments
    _of_piece: Ints
    _first_piece: Ints
    _crossings: Floats

    @classmethod
    def of(cls, shape: BaseGeometry, grid: Grid) -> Cover:
        """Return the cover of a polygon or multipolygon, which may be empty."""
        segments = _Segments.of(shape, grid)
        segment, cell = segments.cells(grid)
        # Packed in one word, (cell, segment) sorts several times faster than by argsort.
        packed = cell * (len(segments.u0) + 1) + segment
        packed.sort()
        cell, segment = np.divmod(packed, len(segments.u0) + 1)
        begins = np.flatnonzero(np.diff(cell, prepend=-1))
        border = cell[begins]
        crossings = segments.crossings(grid)
        starts, ends = _gaps(border, segments, grid)
        # No border passes between two crossed cells of a row, so one corner speaks for the gap.
        inside = _parity(crossings, grid, starts)
        first = np.append(begins, len(segment))
        return cls(
            grid, shape, starts[inside], ends[inside], border, segments, segment, first, crossings
        )

    def covers(self, nth: Ints, x: Int32s, y: Int32s) -> Bools:
        """Tell of points in border cells whether the shape covers them; the border belongs to it.

        `nth` are positions in `border`, in order or not; x and y are in 1e-5 degree.
        """
        if not len(nth):
            return np.zeros(0, dtype=bool)
        nth, corners = self._asked(nth)
        inside = np.empty(len(nth), dtype=bool)
        for start in range(0, len(nth), CHUNK):
            some = slice(start, start + CHUNK)
            inside[some] = self._walk(corners, nth[some], x[some], y[some])
        return inside

    def _walk(self, corners: _Corners, nth: Ints, x: Int32s, y: Int32s) -> Bools:
        """Return what the walks from the corners say, or shapely where that is not certain."""
        u = (x - self.grid.west) / self.grid.width
        v = (y - self.grid.south) % self.grid.height / self.grid.height
        inside, uncertain = corners.inside[nth], corners.uncertain[nth]
        piece, end = corners.first[nth], corners.first[nth + 1]
        uncertain |= end - piece > MOST_PIECES
        # Every pass takes the next piece of each cell; most cells have only one.
        at = np.flatnonzero(~uncertain)
        while len(at):
            changes, near = _walk_past(corners.pieces, piece[at], u[at], v[at])
            inside[at] ^= changes
            uncertain[at] |= near
            piece[at] += 1
            at = at[piece[at] < end[at]]
        unsure = np.flatnonzero(uncertain)
        if len(unsure):
            inside[unsure] = covers_points(self.shape, x[unsure], y[unsure])
        return inside

    def _asked(self, nth: Ints) -> tuple[Ints, _Corners]:
        """Return the corners of the border cells asked about, and `nth` counting only those."""
        asked = np.zeros(len(self.border), dtype=bool)
        asked[nth] = True
        number = np.cumsum(asked) - 1
        cells = np.flatnonzero(asked)
        begin, end = self._first_piece[cells], self._first_piece[cells + 1]
        which, at = ranges(begin, end)
        row, col = np.divmod(self.border[cells], self.grid.cols)
        pieces, at_corner = self._segments.pieces(self._of_piece[at], row[which], col[which])
        uncertain = np.zeros(len(cells), dtype=bool)
        uncertain[which[np.abs(at_corner) <= 1]] = True
        return number[nth], _Corners(
            inside=_parity(self._crossings, self.grid, self.border[cells]),
            uncertain=uncertain,
            first=np.concatenate(([0], np.cumsum(end - begin))),
            pieces=pieces,
        )


def _walk_past(pieces: _Pieces, piece: Ints, u: Floats, v: Floats) -> tuple[Bools, Bools]:
    """Tell of each walk whether it changes sides at a piece, and whether it passes too near."""
    at_bend = u * pieces.slope[piece]
    at_bend += pieces.offset[piece]
    at_point = at_bend - v * pieces.run[piece]
    bend_left = at_bend > 0
    northward = bend_left != (at_point > 0)
    northward &= u >= pieces.u0[piece]
    northward &= u < pieces.u1[piece]
    eastward = bend_left != pieces.corner_left[piece]
    eastward &= pieces.crosses[piece]
    nearest = np.minimum(np.abs(at_bend), np.abs(at_point))
    return northward ^ eastward, nearest <= 1


def covers_points(shape: BaseGeometry, x: Int32s, y: Int32s) -> Bools:
    """Tell which points, in 1e-5 degree, a shape covers: exact, some tenths of a µs for each."""
    shapely.prepare(shape)
    # For a point, to intersect and to be covered are the same: the border belongs.
    return np.asarray(shapely.intersects_xy(shape, to_degrees(x), to_degrees(y)))


def _parity(crossings: Floats, grid: Grid, cells: Ints) -> Bools:
    """Tell which south-west corners of cells are inside: those with odd crossings west of them."""
    row, col = np.divmod(cells, grid.cols)
    return np.asarray(np.searchsorted(crossings, _place(grid, row, col)) & 1, dtype=bool)


def _gaps(border: Ints, segments: _Segments, grid: Grid) -> tuple[Ints, Ints]:
    """Return the runs of cells between crossed cells, in the rows the shape can reach."""
    if not len(segments.v0):
        return border[:0], border[:0]
    low = np.minimum(segments.v0, segments.v1).min()
    high = np.maximum(segments.v0, segments.v1).max()
    first, last = max(0, int(low) - 1), min(grid.rows - 1, int(high) + 1)
    edges = np.arange(first, last + 2, dtype=np.int64) * grid.cols
    # Each row is closed on both sides by walls just outside the grid.
    befores = np.sort(np.concatenate((border + 1, edges[:-1])))
    afters = np.sort(np.concatenate((border, edges[1:])))
    open_ones = afters > befores
    return befores[open_ones], afters[open_ones]
