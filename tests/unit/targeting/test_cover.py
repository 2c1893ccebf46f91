"""The cells and points a shape covers, against shapely."""

import math

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from targeting.cover import MOST_PIECES, Cover, covers_points
from targeting.grid import Grid, ranges
from tests.unit.targeting.people import AREAS, SOUTH, WEST, square


def agree(shape: BaseGeometry, grid: Grid, x: NDArray[np.int32], y: NDArray[np.int32]) -> Cover:
    """Ask for every point in the grid by its cell, as an index does."""
    cell = grid.cell_of(x, y)
    x, y, cell = x[cell < grid.cells], y[cell < grid.cells], cell[cell < grid.cells]
    cover = Cover.of(shape, grid)
    inside = np.isin(cell, ranges(cover.starts, cover.ends)[1])
    bordering = np.flatnonzero(np.isin(cell, cover.border))
    nth = np.searchsorted(cover.border, cell[bordering])
    inside[bordering] = cover.covers(nth, x[bordering], y[bordering])
    assert np.array_equal(inside, covers_points(shape, x, y))
    return cover


def lattice(step: int = 1, margin: int = 60) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return points all over the square kilometre areas are drawn on, on vertices and edges."""
    across = np.arange(-margin, 1000 + margin, step, dtype=np.int32)
    x, y = np.meshgrid(across + np.int32(WEST), across + np.int32(SOUTH))
    return x.ravel(), y.ravel()


X, Y = lattice(step=10)


@given(shape=AREAS, side=st.sampled_from([1, 7, 20, 100, 999]), shift=st.integers(-30, 30))
def test_every_point_of_a_lattice_is_told_as_shapely_does(
    shape: BaseGeometry, side: int, shift: int
) -> None:
    grid = Grid.over(WEST + shift, SOUTH - shift, WEST + 999, SOUTH + 999, side)
    agree(shape, grid, X, Y)


@given(
    seed=st.integers(0, 10_000),
    vertices=st.integers(3, 300),
    side=st.sampled_from([3, 40, 250]),
    exponent=st.sampled_from([-7, -5, -3, -1]),
)
def test_vertices_that_are_on_no_lattice_are_told_too(
    seed: int, vertices: int, side: int, exponent: int
) -> None:
    rng = np.random.default_rng(seed)
    turns = np.sort(rng.random(vertices)) * 2 * math.pi
    radius = 0.004 * np.exp(rng.normal(0, 0.4, vertices))
    points = np.column_stack((np.cos(turns), np.sin(turns))) * radius[:, None]
    # Some corners lie a hair beside the whole numbers that people's places are.
    points = np.round(points, 5) + rng.integers(-1, 2, points.shape) * 10.0 ** (exponent - 5)
    centre = np.array([WEST, SOUTH]) / 100_000 + 0.005
    shape = shapely.make_valid(Polygon(points + centre))
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    agree(shapely.union_all(parts), Grid.over(WEST, SOUTH, WEST + 999, SOUTH + 999, side), X, Y)


def test_a_cell_with_very_many_pieces_is_left_to_shapely() -> None:
    teeth = 2 * MOST_PIECES
    low = [(WEST + 10 * n, SOUTH + 100) for n in range(teeth)]
    high = [(WEST + 10 * n + 5, SOUTH + 200) for n in range(teeth)]
    comb = [point for pair in zip(low, high, strict=True) for point in pair]
    shape = Polygon(np.array([(WEST, SOUTH), *comb, (WEST + 10 * teeth, SOUTH)]) / 100_000)
    assert shape.is_valid
    agree(shape, Grid.over(WEST, SOUTH, WEST + 999, SOUTH + 999, 2), X, Y)


def test_holes_parts_and_areas_far_larger_than_the_grid() -> None:
    grid = Grid.over(WEST, SOUTH, WEST + 999, SOUTH + 999, 50)
    outer, hole = (
        square(WEST, SOUTH, WEST + 900, SOUTH + 900),
        square(WEST + 100, SOUTH + 100, WEST + 800, SOUTH + 800),
    )
    island = square(WEST + 300, SOUTH + 300, WEST + 500, SOUTH + 500)
    agree(outer.difference(hole).union(island), grid, X, Y)
    world = shapely.box(-180, -90, 180, 90)
    cover = agree(world, grid, X, Y)
    assert (cover.ends - cover.starts).sum() == grid.cells
    agree(world.difference(hole), grid, X, Y)
    agree(MultiPolygon([shapely.box(-180, -90, 105.703, 90), island]), grid, X, Y)
    assert not len(agree(shapely.box(0, 0, 1, 1), grid, X, Y).border)
    assert not len(agree(Polygon(), grid, X, Y).border)


def test_repeated_vertices_change_nothing() -> None:
    corners = [(0, 0), (0, 0), (500, 0), (500, 500), (500, 500), (0, 500)]
    shape = Polygon((np.array(corners) + np.array([WEST, SOUTH])) / 100_000)
    agree(shape, Grid.over(WEST, SOUTH, WEST + 999, SOUTH + 999, 30), X, Y)
