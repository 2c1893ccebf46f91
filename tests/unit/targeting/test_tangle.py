"""What takes too long to draw is refused at once, and what is within the limits is drawn soon."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from targeting.area import Area, Line, Shapes
from targeting.errors import AreaError
from targeting.outlines import Outlines
from targeting.repairs import repair
from tests.unit.targeting.test_problem_codes import comb_over_comb, teeth

NOWHERE = Outlines([], [], {})
SOON_S = 12.0
"""Of processor; six times what the worst takes on a free core: the tests share theirs."""


def at_random(count: int) -> tuple[tuple[float, float], ...]:
    steps = np.random.default_rng(5).uniform((105.3, 20.6), (106.1, 21.4), (count, 2))
    return tuple((x, y) for x, y in steps.round(6).tolist())


def small_shapes(count: int, radius: float) -> Area:
    """Return polygons of 50 points at random places, which overlap."""
    turns = np.linspace(0, 2 * np.pi, 50)
    rims = np.where(np.arange(50) % 2, radius, radius / 2)
    rings = [
        np.column_stack((x + rims * np.cos(turns), y + rims * np.sin(turns)))
        for x, y in at_random(count)
    ]
    for ring in rings:
        ring[-1] = ring[0]
    polygons = [{"type": "Polygon", "coordinates": [ring.tolist()]} for ring in rings]
    return Area.from_json({"polygons": polygons})


@pytest.mark.parametrize(
    ("draw", "code"),
    [
        pytest.param(
            lambda: Area(Shapes(lines=(Line(at_random(45_000), 30_000),))),
            "lines_too_long",
            marks=pytest.mark.slow,
        ),
        (lambda: Area(Shapes(lines=(Line(at_random(400), 100),))), "too_tangled"),
        pytest.param(lambda: small_shapes(1_000, 0.3), "too_tangled", marks=pytest.mark.slow),
        (lambda: comb_over_comb(6_000), "too_tangled"),
        pytest.param(
            lambda: Area(exclude=comb_over_comb(6_000).include),
            "too_tangled",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["random line", "narrow line", "overlapping", "combs", "excluded"],
)
def test_what_would_take_minutes_is_refused_at_once(draw: Callable[[], Area], code: str) -> None:
    area = draw()
    started = time.process_time()
    left = repair(area, None, NOWHERE)
    assert (left.area, left.applied) == (area, ())
    for ask in (area.shape, area.problems):
        try:
            found = ask(NOWHERE)
        except AreaError as error:
            found = error.problems
        assert [one.code for one in found] == [code]
    assert time.process_time() - started < SOON_S


@pytest.mark.parametrize(
    "draw",
    [
        lambda: Area(Shapes(lines=(Line(at_random(180), 100),))),
        pytest.param(
            lambda: Area(Shapes(lines=(Line(teeth(480), 30_000),))), marks=pytest.mark.slow
        ),
        pytest.param(lambda: small_shapes(1_000, 0.005), marks=pytest.mark.slow),
        lambda: comb_over_comb(125),
    ],
    ids=["random line", "zigzag", "overlapping", "combs"],
)
def test_the_worst_within_the_limits_is_drawn_soon(draw: Callable[[], Area]):
    area = draw()
    started = time.process_time()
    assert area.shape(NOWHERE).area > 0
    assert time.process_time() - started < SOON_S


def test_a_long_river_of_many_points_is_within_the_limits():
    along = np.linspace(0, 1, 40_000)
    river = np.column_stack((105.3 + along * 0.7, 20.9 + 0.1 * np.sin(along * 40))).round(6)
    line = Line(tuple((x, y) for x, y in river.tolist()), 2_000)
    assert Area(Shapes(lines=(line,))).problems(NOWHERE) == []
