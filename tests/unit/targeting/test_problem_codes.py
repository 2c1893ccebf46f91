"""Every problem code has an example: a thing wrong that is really told with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from shapely import Point

from targeting.area import Area, Circle, Line, Shapes
from targeting.area_cap import area_of_cap
from targeting.errors import ADVISORY, MESSAGES, REPAIRS, AreaError, AreaProblem
from targeting.outlines import Outlines
from targeting.repairs import repair
from targeting.rings import MAX_POINTS, MAX_POLYGONS
from targeting.tangle import MAX_STRETCHES
from targeting.units import UnitKey
from tests.unit.targeting.test_area import HOLE, LAKE, REFORM, SQUARE, drawing, polygon
from tests.unit.targeting.test_repairs import small_squares


def cap(area: str) -> bytes:
    return f"<alert><info><area>{area}</area></info></alert>".encode()


def raised(read: Callable[[Any], Area], value: object) -> AreaError:
    with pytest.raises(AreaError) as refused:
        read(value)
    return refused.value


def teeth(count: int) -> tuple[tuple[float, float], ...]:
    """Return a line that goes up and down across the city."""
    xs = np.linspace(105.4, 106.0, count).round(6).tolist()
    return tuple((x, 20.7 + 0.5 * (number % 2)) for number, x in enumerate(xs))


def comb_over_comb(count: int) -> Area:
    """Return two polygons with `count` teeth each that cross all of one another's."""
    upright = [*teeth(2 * count), (106.0, 20.6), (105.4, 20.6), (105.4, 20.7)]
    lying = [(y + 85, x - 84.9) for x, y in upright]
    return Area.from_json({"polygons": [polygon(upright), polygon(lying)]})


def drawn_wrong() -> dict[str, Area]:
    """Return an area for every code of `Area.problems`."""
    circle = Circle(*LAKE, 500)
    many = Point(105.8, 21).buffer(0.1, quad_segs=MAX_POINTS // 4 + 1)
    return {
        "too_few_points": drawing([SQUARE[0], SQUARE[1], SQUARE[0]]),
        "unclosed_ring": drawing(SQUARE[:-1]),
        "self_crossing": drawing([SQUARE[n] for n in (0, 2, 1, 3, 0)]),
        "duplicate_points": drawing([SQUARE[0], *SQUARE]),
        "wrong_winding": drawing(SQUARE[::-1]),
        "bad_hole": drawing(SQUARE, [[x + 1, y] for x, y in HOLE[::-1]]),
        "nested_polygon": Area.from_json({"polygons": [polygon(SQUARE), polygon(HOLE)]}),
        "out_of_range": drawing([[x + 100, y] for x, y in SQUARE]),
        "metres": drawing([[x * 5e3, y * 1e5] for x, y in SQUARE]),
        "swapped": drawing([[y, x] for x, y in SQUARE]),
        "bad_circle": Area(Shapes(circles=(circle._replace(metres=0),))),
        "bad_line": Area(Shapes(lines=(Line(((105.8, 21.0),), 5),))),
        "bad_distance": Area(Shapes(lines=(Line(((105.8, 21.0), (105.9, 21.0)), -1),))),
        "empty_area": Area(),
        "lines_too_long": Area(Shapes(lines=(Line(teeth(2 * MAX_STRETCHES), 50),))),
        "too_tangled": comb_over_comb(300),
        "unknown_unit": Area(Shapes(units=(UnitKey("0", REFORM),))),
        "unknown_group": Area(Shapes(groups=("0",))),
        "outside_jurisdiction": drawing([[x + 0.35, y] for x, y in SQUARE]),
        "beyond_jurisdiction": drawing([[x + 0.5, y] for x, y in SQUARE]),
        "too_many_polygons": Area.from_json({"polygons": small_squares(MAX_POLYGONS + 1)}),
        "too_many_points": Area.of_polygons([many]),
    }


def read_wrong() -> dict[str, AreaError]:
    """Return what is raised for every code of the readers and of repairs."""
    line = json.dumps({"type": "LineString", "coordinates": SQUARE})
    with pytest.raises(AreaError) as unknown:
        repair(drawing(SQUARE), ["magic"], Outlines([], [], {}))
    return {
        "malformed": raised(Area.from_json, 5),
        "not_geojson": raised(Area.from_geojson, "{"),
        "needs_distance": raised(Area.from_geojson, line),
        "bad_geometry": raised(Area.from_geojson, '{"type": "Topology"}'),
        "not_cap": raised(area_of_cap, b"<rss/>"),
        "bad_cap_shape": raised(area_of_cap, cap("<polygon>x</polygon>")),
        "cap_without_shape": raised(area_of_cap, cap("<areaDesc>Hanoi</areaDesc>")),
        "unknown_repair": unknown.value,
    }


JURISDICTION = shapely.box(105.0, 20.5, 106.2, 21.5)
DRAWN_WRONG = drawn_wrong()
READ_WRONG = read_wrong()
LARGE = {"too_many_points", "too_many_polygons"}
"""Seconds each to repair, which test_repairs tries as well."""


@pytest.mark.parametrize("code", DRAWN_WRONG)
def test_what_is_drawn_wrong_is_told(code: str, drawn: Outlines):
    found = DRAWN_WRONG[code].problems(drawn, JURISDICTION)
    one = next(problem for problem in found if problem.code == code)
    check(one)
    assert one.repair == REPAIRS.get(code)
    assert one.blocking is (code not in ADVISORY)
    if one.at is not None:
        assert JURISDICTION.buffer(1).covers(Point(one.at))


@pytest.mark.parametrize("code", READ_WRONG)
def test_what_cannot_be_read_is_told(code: str):
    (one,) = READ_WRONG[code].problems
    assert one.code == code
    check(one)


def check(one: AreaProblem) -> None:
    assert one.where
    assert one.message_vi != one.message_en
    assert "{" not in one.message_vi + one.message_en
    assert one.message_vi.endswith(".")
    assert one.message_en.endswith(".")


def test_every_code_has_an_example_here_or_in_another_test():
    elsewhere = "".join(
        path.read_text(encoding="utf-8")
        for path in Path(__file__).parents[1].rglob("test_*.py")
        if path != Path(__file__)
    )
    told = {code for code in MESSAGES if f'"{code}"' in elsewhere}
    assert set(MESSAGES) - set(DRAWN_WRONG) - set(READ_WRONG) - told == set()


@pytest.mark.parametrize(
    "code",
    [pytest.param(code, marks=pytest.mark.slow if code in LARGE else ()) for code in REPAIRS],
)
def test_a_repair_leaves_nothing_of_what_it_mends(code: str, drawn: Outlines):
    result = repair(DRAWN_WRONG[code], None, drawn, JURISDICTION)
    assert REPAIRS[code] in result.applied
    assert code not in [one.code for one in result.area.problems(drawn, JURISDICTION)]


def test_of_one_fault_ten_thousand_times_some_are_told(drawn: Outlines):
    squares = [polygon(one["coordinates"][0][::-1]) for one in small_squares(400)]  # type: ignore[index]
    found = Area.from_json({"polygons": squares}).problems(drawn)
    assert len(found) == 50
