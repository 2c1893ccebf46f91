"""Repairs: each mends what it is offered for, changes no more than needed, and never fails."""

import math
import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon

from targeting.area import Area, Circle, Line, Shapes
from targeting.errors import MESSAGES, REPAIRS, AreaError
from targeting.outlines import Outlines
from targeting.repairs import Repaired, repair
from targeting.ring_repairs import as_drawn, is_tangled
from targeting.rings import MAX_POINTS, MAX_POLYGONS, Rings, encloses_nothing
from targeting.units import UnitKey
from tests.unit.targeting.test_area import HOLE, LAKE, REFORM, SQUARE, codes, drawing, polygon

HOAN_KIEM = UnitKey("00070", REFORM)
BOW_TIE = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]]


def repaired(area: Area, outlines: Outlines, *names: str) -> Repaired:
    return repair(area, names or None, outlines)


def test_every_repair_mends_a_problem_that_exists():
    assert set(REPAIRS) <= set(MESSAGES)


def test_nothing_is_done_to_an_area_without_problems(drawn: Outlines):
    area = drawing(SQUARE, HOLE[::-1])
    assert repaired(area, drawn) == Repaired(area, (), 0.0, 0.0)


def test_an_unknown_repair_is_refused(drawn: Outlines):
    with pytest.raises(AreaError) as refused:
        repair(drawing(SQUARE), ["close_ring", "magic"], drawn)
    assert [(p.code, p.where) for p in refused.value.problems] == [("unknown_repair", "repairs[1]")]


def test_only_what_was_asked_for_is_repaired(drawn: Outlines):
    area = drawing(SQUARE[:2] + SQUARE[1:-1])
    closed = repaired(area, drawn, "close_ring")
    assert closed.applied == ("close_ring",)
    assert codes(closed.area, drawn) == ["duplicate_points"]
    assert repaired(area, drawn).applied == ("close_ring", "drop_duplicates")
    assert repaired(area, drawn).area == drawing(SQUARE)
    assert repaired(area, drawn, "uncross") == Repaired(area, (), 0.0, 0.0)


@pytest.mark.parametrize(
    ("rings", "applied"),
    [
        ([[y, x] for x, y in SQUARE], "swap"),
        ([*SQUARE[:2], [500.0, 500.0], *SQUARE[2:]], "drop_points"),
        (SQUARE[:-1], "close_ring"),
        ([SQUARE[0], *SQUARE], "drop_duplicates"),
        (SQUARE[::-1], "rewind"),
    ],
)
def test_a_slip_of_the_hand_is_mended_to_what_was_meant(
    rings: list[list[float]], applied: str, drawn: Outlines
):
    result = repaired(drawing(rings), drawn)
    assert result.applied == (applied,)
    assert result.area == drawing(SQUARE)


def test_one_swapped_point_is_swapped_alone(drawn: Outlines):
    slip = [SQUARE[0], SQUARE[1][::-1], *SQUARE[2:]]
    assert repaired(drawing(slip), drawn).area == drawing(SQUARE)


def test_metres_of_a_projection_are_not_dropped_point_by_point(drawn: Outlines):
    area = drawing([[x * 5e3, y * 1e5] for x, y in SQUARE])
    (one,) = area.problems(drawn)
    assert (one.code, one.repair) == ("metres", None)
    assert repaired(area, drawn) == Repaired(area, (), 0.0, 0.0)
    (far,) = drawing([[1e308, 1.0], *SQUARE, [1e308, 1.0]]).problems(drawn)
    assert "such as 1e+308, 1.00000 are" in far.message_en


WHOLE = st.integers(-9, 9).map(float)


@given(st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=6), st.integers(-1000, 1020))
def test_what_encloses_nothing_does_so_at_any_size(ring: list[tuple[float, float]], size: int):
    large = tuple((math.ldexp(x, size), math.ldexp(y, size)) for x, y in ring)
    assert encloses_nothing(large) == encloses_nothing(tuple(ring))


def test_circles_and_lines_are_swapped_and_thinned_too(drawn: Outlines):
    lon, lat = LAKE
    area = Area(
        Shapes(
            circles=(Circle(lat, lon, 100),),
            lines=(Line(((lat, lon), (lat, lon), (lat + 0.1, lon)), 200),),
        )
    )
    result = repaired(area, drawn)
    assert result.applied == ("swap", "drop_duplicates")
    assert result.area.include.circles == (Circle(lon, lat, 100),)
    assert result.area.include.lines == (Line(((lon, lat), (lon, lat + 0.1)), 200),)


def test_positions_nowhere_on_earth_are_dropped_from_circles_and_lines(drawn: Outlines):
    nowhere = (500.0, 500.0)
    area = Area(
        Shapes(
            polygons=drawing(SQUARE).include.polygons,
            circles=(Circle(*nowhere, 100),),
            lines=(Line((nowhere, *((x, y) for x, y in SQUARE[:2])), 200),),
        )
    )
    result = repaired(area, drawn)
    assert result.applied == ("drop_points",)
    assert not result.area.include.circles
    assert len(result.area.include.lines[0].points) == 2


def test_a_crossing_is_cut_and_all_that_was_inside_stays(drawn: Outlines):
    result = repaired(drawing(BOW_TIE), drawn, "uncross")
    assert codes(result.area, drawn) == []
    assert len(result.area.include.polygons) == 2
    assert result.area.shape(drawn).equals(as_drawn(drawing(BOW_TIE).include.polygons[0]))
    assert (result.added_km2, result.dropped_km2) == (0, 0)


def test_inside_is_what_the_map_fills(drawn: Outlines):
    turns = [2 * math.pi * 2 * n / 5 for n in range(5)]
    star = [[105.8 + 0.1 * math.sin(t), 21 + 0.1 * math.cos(t)] for t in turns]
    result = repaired(drawing([*star, star[0]]), drawn)
    assert not result.area.shape(drawn).covers(shapely.Point(105.8, 21))
    assert len(result.area.include.polygons) == 5


def test_holes_that_overlap_take_what_either_takes(drawn: Outlines):
    moved = [[x + 0.01, y + 0.01] for x, y in HOLE]
    result = repaired(drawing(SQUARE, HOLE, moved), drawn)
    expected = Polygon(SQUARE).difference(Polygon(HOLE).union(Polygon(moved)))
    assert result.area.shape(drawn).symmetric_difference(expected).area < 1e-12


def test_a_hole_outside_or_in_a_hole_is_dropped(drawn: Outlines):
    outside = [[x + 1, y] for x, y in HOLE[::-1]]
    nested = [[105.845, 21.045], [105.85, 21.05], [105.85, 21.045], [105.845, 21.045]]
    result = repaired(drawing(SQUARE, outside, HOLE[::-1], nested), drawn)
    assert result.applied == ("drop_hole",)
    assert result.area == drawing(SQUARE, HOLE[::-1])


def test_a_shape_without_area_is_dropped(drawn: Outlines):
    line = [SQUARE[0], SQUARE[1], SQUARE[0]]
    both = Area.from_json({"polygons": [polygon(line), polygon(SQUARE, line)]})
    result = repaired(both, drawn)
    assert result.applied == ("drop_empty",)
    assert result.area == drawing(SQUARE)
    alone = repaired(drawing(line), drawn)
    assert codes(alone.area, drawn) == ["empty_area"]


def small_squares(count: int) -> list[dict[str, object]]:
    squares = []
    for number in range(count):
        x, y = 105.5 + number % 50 * 0.01, 20.8 + number // 50 * 0.01
        ring = [[x, y], [x + 0.002, y], [x + 0.002, y + 0.002], [x, y + 0.002], [x, y]]
        squares.append(polygon(ring))
    return squares


@pytest.mark.slow
def test_too_many_shapes_are_joined_across_the_narrowest_gaps_and_nobody_is_dropped(
    drawn: Outlines,
):
    near = [[105.502, 20.8], [105.5021, 20.8], [105.5021, 20.802], [105.502, 20.8]]
    value = {
        "polygons": small_squares(990),
        "circles": [{"lon": 107.0, "lat": 21.0, "metres": 500 + n} for n in range(20)],
        "exclusions": {"polygons": [polygon(near)]},
    }
    area = Area.from_json(value)
    result = repaired(area, drawn)
    assert result.applied == ("merge_polygons",)
    assert codes(result.area, drawn) == []
    # Twenty circles around one place are one shape: no gap had to be filled.
    assert len(result.area.include.polygons) == 991
    assert result.added_km2 < 0.001
    assert result.dropped_km2 < 0.001
    many = Area.from_json({"polygons": small_squares(1_200)})
    joined = repaired(many, drawn)
    assert codes(joined.area, drawn) == []
    assert len(joined.area.include.polygons) == MAX_POLYGONS
    assert joined.dropped_km2 == 0
    # Two hundred gaps of 840 metres, each crossed by a strip ten metres wide.
    assert joined.added_km2 == pytest.approx(200 * 0.0084, rel=0.05)


@pytest.mark.slow
def test_only_the_nearest_of_too_many_shapes_are_joined(drawn: Outlines):
    pairs = [polygon([[x + 0.0025 for x in p[:1]] + p[1:] for p in one["coordinates"][0]])
             for one in small_squares(100)]  # fmt: skip
    many = Area.from_json({"polygons": [*small_squares(1_000), *pairs]})
    joined = repaired(many, drawn)
    assert codes(joined.area, drawn) == []
    assert joined.added_km2 < 100 * 0.001
    assert joined.dropped_km2 == 0
    apart = shapely.area([shapely.Polygon(rings[0]) for rings in joined.area.include.polygons])
    assert (apart > 6e-6).sum() == 100


@pytest.mark.slow
def test_too_many_points_are_simplified(drawn: Outlines):
    ring = list(shapely.Point(105.8, 21).buffer(0.1, quad_segs=12_501).exterior.coords)
    result = repaired(drawing([list(p) for p in ring]), drawn)
    assert result.applied == ("rewind", "simplify")
    assert codes(result.area, drawn) == []
    assert result.area.include.points <= MAX_POINTS
    assert result.dropped_km2 < 0.01


class TestClip:
    def clip(self, value: dict[str, object], drawn: Outlines) -> Repaired:
        jurisdiction = drawn.unit(HOAN_KIEM)
        result = repair(Area.from_json(value), None, drawn, jurisdiction)
        assert [p.code for p in result.area.problems(drawn, jurisdiction)] == []
        return result

    def test_what_the_border_cuts_becomes_a_polygon(self, drawn: Outlines):
        for value in (
            {"polygons": [polygon(SQUARE)]},
            {"circles": [{"lon": LAKE[0], "lat": LAKE[1], "metres": 5_000}]},
            {"lines": [{"type": "LineString", "coordinates": [*SQUARE[:3], LAKE], "metres": 900}]},
        ):
            result = self.clip(value, drawn)
            assert result.applied == ("clip",)
            left = Area.from_json(value).shape(drawn).intersection(drawn.unit(HOAN_KIEM))
            assert result.area.shape(drawn).symmetric_difference(left).area < 1e-7
            assert not result.area.include.circles + result.area.include.lines

    def test_what_lies_inside_stays_what_it_is(self, drawn: Outlines):
        inside = Circle(*drawn.unit(HOAN_KIEM).representative_point().coords[0], 10)
        line = {"type": "LineString", "coordinates": [[inside.lon, inside.lat]] * 2, "metres": 5}
        line["coordinates"] = [[inside.lon, inside.lat], [inside.lon + 1e-4, inside.lat]]
        value = {
            "units": [
                {"code": "00070", "vintage": "2025-07-01"},
                {"code": "09616", "vintage": "2025-07-01"},
            ],
            "circles": [inside._asdict()],
            "lines": [line],
        }
        result = self.clip(value, drawn)
        assert result.area.include.units == (HOAN_KIEM,)
        assert len(result.area.include.circles) == len(result.area.include.lines) == 1
        assert not result.area.include.polygons

    def test_of_the_city_and_of_a_group_the_units_inside_are_left(self, drawn: Outlines):
        for value in (
            {"units": [{"code": "01", "vintage": "2025-07-01"}]},
            {"groups": ["002"]},
        ):
            assert self.clip(value, drawn).area.include == Shapes(units=(HOAN_KIEM,))

    def test_what_has_nothing_inside_is_not_cut_to_nothing(self, drawn: Outlines):
        far = drawing([[x - 2, y] for x, y in SQUARE])
        result = repair(far, None, drawn, drawn.unit(HOAN_KIEM))
        assert (result.area, result.applied, result.dropped_km2) == (far, (), 0)

    def test_coordinates_that_only_the_jurisdiction_shows_swapped_are_swapped(
        self, drawn: Outlines
    ):
        lagos = shapely.box(3.0, 6.3, 3.6, 6.7)
        ring = [[3.2, 6.4], [3.3, 6.4], [3.3, 6.5], [3.2, 6.5], [3.2, 6.4]]
        result = repair(drawing([p[::-1] for p in ring]), None, drawn, lagos)
        assert result.applied == ("swap",)
        assert result.area.shape(drawn).equals(Polygon(ring))


coordinate = st.integers(0, 8).map(lambda n: n / 100)
near_hanoi = st.tuples(coordinate.map(lambda x: 105.8 + x), coordinate.map(lambda y: 21 + y))
anywhere = st.one_of(
    near_hanoi,
    near_hanoi,
    near_hanoi,
    near_hanoi.map(lambda point: point[::-1]),
    st.sampled_from([(0.0, 0.0), (500.0, 500.0), (-181.0, 3.0)]),
)
broken_ring = st.lists(anywhere, max_size=9).flatmap(
    lambda ring: st.sampled_from([ring, ring + ring[:1]])
)
broken_polygon = st.lists(broken_ring, min_size=1, max_size=3).map(
    lambda rings: tuple(tuple(ring) for ring in rings)
)
broken_line = st.builds(
    Line, st.lists(anywhere, max_size=4).map(tuple), st.sampled_from([0.0, 300.0, 9e9])
)
broken_circle = st.builds(
    lambda at, metres: Circle(*at, metres), anywhere, st.sampled_from([0.0, 300.0, 9e9])
)


@given(
    polygons=st.lists(broken_polygon, max_size=3),
    excluded=st.lists(broken_polygon, max_size=2),
    lines=st.lists(broken_line, max_size=2),
    circles=st.lists(broken_circle, max_size=2),
    bounded=st.booleans(),
)
def test_whatever_is_broken_nothing_is_left_that_a_repair_would_mend(
    drawn: Outlines,
    polygons: list[Rings],
    excluded: list[Rings],
    lines: list[Line],
    circles: list[Circle],
    bounded: bool,
):
    area = Area(
        Shapes(polygons=tuple(polygons), lines=tuple(lines), circles=tuple(circles)),
        Shapes(polygons=tuple(excluded)),
    )
    jurisdiction = shapely.box(105.8, 21.0, 105.86, 21.05) if bounded else None
    result = repair(area, None, drawn, jurisdiction)
    left = result.area.problems(drawn, jurisdiction)
    assert [one for one in left if one.repair is not None] == []
    assert result.added_km2 >= 0
    assert result.dropped_km2 >= 0
    assert repair(result.area, None, drawn, jurisdiction).applied == ()


@given(rings=broken_polygon)
def test_uncrossing_keeps_the_picture(drawn: Outlines, rings: Rings):
    area = Area(Shapes(polygons=(rings,)))
    before = as_drawn(rings)
    result = repair(area, ["close_ring", "drop_empty", "drop_duplicates", "uncross"], drawn)
    if codes(result.area, drawn) in ([], ["wrong_winding"]):
        # A crossing lands on the nearest sixth decimal and takes its two lines along.
        moved = 1e-6 * before.length
        assert result.area.shape(drawn).symmetric_difference(before).area <= moved


def test_a_tangle_is_left_alone_and_soon(drawn: Outlines):
    rng = np.random.default_rng(3)
    points = rng.uniform((105.7, 20.95), (105.95, 21.1), (3_000, 2)).round(5).tolist()
    ring = tuple(map(tuple, [*points, points[0]]))
    assert is_tangled(ring)
    area = Area(Shapes(polygons=((ring,),)))
    started = time.process_time()
    left = repair(area, None, drawn)
    assert (left.area, left.applied) == (area, ())
    # Cut apart, its four million crossings would take minutes and gigabytes.
    assert time.process_time() - started < 30
