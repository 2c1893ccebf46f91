"""Drawn shapes in metres, GeoJSON both ways, simplification, and the area against brute force."""

import json
import math
from itertools import pairwise

import geojson
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import Point, Polygon

from targeting.area import Area, Circle, Line, Shapes
from targeting.errors import AreaError
from targeting.metric import SEMI_MAJOR_M, area_km2, buffered_line, circle
from targeting.outlines import Outlines
from targeting.rings import rings_of
from targeting.simplify import simplify
from targeting.units import UnitKey
from tests.unit.targeting.test_area import (
    HOAN_KIEM,
    HOLE,
    LAKE,
    REFORM,
    SQUARE,
    codes,
    drawing,
    polygon,
)

FLATTENING = 1 / 298.257_223_563
RIVER = ((105.42, 21.22), (105.6, 21.13), (105.78, 21.12), (105.86, 21.04), (105.9, 20.8))


def metres_between(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the distance on the ellipsoid, by Vincenty's inverse formula."""
    u1, u2 = (math.atan((1 - FLATTENING) * math.tan(math.radians(p[1]))) for p in (a, b))
    span = turn = math.radians(b[0] - a[0])
    for _ in range(50):
        sine = math.hypot(
            math.cos(u2) * math.sin(turn),
            math.cos(u1) * math.sin(u2) - math.sin(u1) * math.cos(u2) * math.cos(turn),
        )
        if sine == 0:
            return 0.0
        cosine = math.sin(u1) * math.sin(u2) + math.cos(u1) * math.cos(u2) * math.cos(turn)
        sigma = math.atan2(sine, cosine)
        alpha = math.cos(u1) * math.cos(u2) * math.sin(turn) / sine
        rest = 1 - alpha**2
        middle = cosine - 2 * math.sin(u1) * math.sin(u2) / rest if rest else 0.0
        c = FLATTENING / 16 * rest * (4 + FLATTENING * (4 - 3 * rest))
        inner = middle + c * cosine * (2 * middle**2 - 1)
        turn = span + (1 - c) * FLATTENING * alpha * (sigma + c * sine * inner)
    b_axis = SEMI_MAJOR_M * (1 - FLATTENING)
    u = rest * (SEMI_MAJOR_M**2 / b_axis**2 - 1)
    big = 1 + u / 16384 * (4096 + u * (-768 + u * (320 - 175 * u)))
    small = u / 1024 * (256 + u * (-128 + u * (74 - 47 * u)))
    third = small / 6 * middle * (4 * sine**2 - 3) * (4 * middle**2 - 3)
    bend = small * sine * (middle + small / 4 * (cosine * (2 * middle**2 - 1) - third))
    return b_axis * big * (sigma - bend)


def border(shape: shapely.Geometry) -> list[tuple[float, float]]:
    """Return corners of a shape's border and the middles of its edges."""
    corners = list(shape.exterior.coords)
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(corners)]
    return corners + middles


@pytest.mark.parametrize("metres", [50, 1_500, 40_000, 200_000])
def test_no_circle_is_smaller_than_asked_and_none_much_larger(metres: float):
    reached = [metres_between((LAKE[0], LAKE[1]), at) for at in border(circle(*LAKE, metres))]
    assert min(reached) >= metres * 0.99999
    assert max(reached) <= metres * 1.002


@pytest.mark.parametrize("metres", [pytest.param(20, marks=pytest.mark.slow), 2_000, 20_000])
def test_no_line_is_narrower_than_asked_and_none_much_wider(metres: float):
    densely = shapely.segmentize(shapely.LineString(RIVER), metres / 111_000 / 20)
    points = [(x, y) for x, y in densely.coords]
    tree = shapely.STRtree([Point(p) for p in points])
    shape = buffered_line(RIVER, metres)
    for at in border(shape)[::7]:
        # The nearest by degrees is nearly the nearest by metres; look around it.
        near = tree.query(Point(at), predicate="dwithin", distance=1.3 * metres / 100_000)
        reached = min(metres_between(at, points[n]) for n in near)
        assert metres * 0.99999 <= reached <= metres * 1.008


def test_a_line_has_round_ends():
    shape = buffered_line(((105.8, 21.0), (105.9, 21.0)), 1_000)
    assert shape.covers(Point(105.8 - 0.0096, 21.0))
    assert not shape.covers(Point(105.8 - 0.0096, 21.0 + 0.008))


def test_a_tangled_line_of_many_points_is_no_trouble():
    steps = [(math.cos(n * n) / 900, math.sin(n * n * 1.7) / 900) for n in range(2_000)]
    points = [(105.8 + x, 21 + y) for x, y in steps]
    assert area_km2(buffered_line(points, 300)) < 1


def test_lines_are_read_kept_and_taken_off(drawn: Outlines):
    lines = [{"type": "LineString", "coordinates": [list(p) for p in RIVER], "metres": 2000}]
    area = Area.from_json({"polygons": [polygon(SQUARE)], "exclusions": {"lines": lines}})
    assert area.to_json()["exclusions"]["lines"] == lines
    assert Area.from_json(area.to_json()) == area
    expected = Polygon(SQUARE).difference(buffered_line(RIVER, 2000))
    assert area.shape(drawn).equals(expected)
    both = {**lines[0], "type": "MultiLineString", "coordinates": [lines[0]["coordinates"]] * 2}
    assert Area.from_json({"lines": [both]}).include.lines == (Line(RIVER, 2000),) * 2


@pytest.mark.parametrize(
    "value",
    [5, {}, {"type": "LineString", "coordinates": [[1, 2]]}, {"metres": 5, "type": "Point"}],
)
def test_what_is_no_line_is_refused(value: object):
    with pytest.raises(AreaError) as refused:
        Area.from_json({"lines": [value]})
    assert [(p.code, p.where) for p in refused.value.problems] == [("malformed", "lines[0]")]


def test_parts_are_named_by_their_place(drawn: Outlines):
    area = Area(
        Shapes(
            groups=("002",),
            polygons=drawing(SQUARE).include.polygons,
            circles=(Circle(*LAKE, 500),),
            lines=(Line(RIVER, 500),),
        ),
        drawing(HOLE).include,
    )
    parts = dict(area.parts(drawn))
    assert list(parts) == ["groups[0]", "polygons[0]", "circles[0]", "lines[0]"]
    assert parts["polygons[0]"].equals(Polygon(SQUARE))
    assert parts["lines[0]"].equals(buffered_line(RIVER, 500))


class TestGeoJson:
    value = {  # noqa: RUF012 - it is never changed
        "units": [{"code": "00070", "vintage": "2025-07-01"}],
        "groups": ["002"],
        "polygons": [polygon(SQUARE, HOLE[::-1])],
        "circles": [{"lon": LAKE[0], "lat": LAKE[1], "metres": 1500.5}],
        "lines": [{"type": "LineString", "coordinates": [list(p) for p in RIVER], "metres": 2}],
    }

    def test_what_is_written_reads_back_as_the_same_area(self, drawn: Outlines):
        exclusions = {**self.value, "groups": ["003"], "polygons": [polygon(HOLE)]}
        area = Area.from_json({**self.value, "exclusions": exclusions})
        assert Area.from_geojson(area.to_geojson(drawn)) == area

    def test_it_is_valid_and_says_what_each_part_is(self, drawn: Outlines):
        document = geojson.loads(Area.from_json(self.value).to_geojson(drawn))
        assert document.is_valid
        kinds = [feature["properties"]["part"] for feature in document["features"]]
        assert kinds == ["unit", "group", "polygon", "circle", "line"]
        unit = document["features"][0]["properties"]
        assert unit == {
            "part": "unit", "role": "include", "code": "00070",
            "vintage": "2025-07-01", "name": "Phường Hoàn Kiếm",
        }  # fmt: skip

    def test_rings_are_wound_as_the_standard_wants_them(self, drawn: Outlines):
        area = drawing(SQUARE[::-1], HOLE)
        (feature,) = geojson.loads(area.to_geojson(drawn))["features"]
        outer, hole = feature["geometry"]["coordinates"]
        assert shapely.LinearRing(outer).is_ccw
        assert not shapely.LinearRing(hole).is_ccw
        assert codes(Area.from_geojson(area.to_geojson(drawn)), drawn) == []

    def test_an_area_that_cannot_be_used_is_not_written(self, drawn: Outlines):
        with pytest.raises(AreaError):
            drawing(SQUARE[:-1]).to_geojson(drawn)

    @pytest.mark.parametrize("name", ["metres", "radius", "buffer"])
    def test_distances_of_points_and_lines_have_several_names(self, name: str):
        def feature(kind: str, coordinates: object) -> str:
            geometry = {"type": kind, "coordinates": coordinates}
            return json.dumps({"type": "Feature", "properties": {name: 5}, "geometry": geometry})

        assert Area.from_geojson(feature("Point", LAKE)).include.circles == (Circle(*LAKE, 5),)
        line = Line(RIVER, 5)
        assert Area.from_geojson(feature("LineString", RIVER)).include.lines == (line,)
        twice = Area.from_geojson(feature("MultiLineString", [RIVER, RIVER]))
        assert twice.include.lines == (line, line)

    def test_a_line_without_a_distance_is_refused(self):
        text = json.dumps({"type": "LineString", "coordinates": RIVER})
        with pytest.raises(AreaError) as refused:
            Area.from_geojson(text)
        assert [p.code for p in refused.value.problems] == ["needs_distance"]


class TestSimplify:
    rough = drawing(
        [
            [105.8 + r * math.cos(t), 21 + r * math.sin(t)]
            for n in range(2_000)
            for t, r in [(2 * math.pi * (n % 1_999) / 1_999, 0.1 + 0.003 * (n % 1_999 % 3))]
        ],
        [[105.79, 20.99], [105.79, 21.01], [105.81, 21.01], [105.81, 20.99], [105.79, 20.99]],
    )

    def test_an_area_of_few_points_stays_as_it_is(self, drawn: Outlines):
        result = simplify(drawing(SQUARE), drawn, 100)
        assert (result.area, result.added_km2, result.dropped_km2) == (drawing(SQUARE), 0, 0)

    @pytest.mark.parametrize("most", [1_000, 100, 20])
    def test_points_are_few_enough_and_the_change_is_told(self, drawn: Outlines, most: int):
        result = simplify(self.rough, drawn, most)
        assert result.points_before == 2_005
        assert result.points_after <= most
        assert result.problems == ()
        assert codes(result.area, drawn) == []
        assert len(result.area.include.polygons[0]) == 2
        before, after = self.rough.shape(drawn), result.area.shape(drawn)
        assert result.added_km2 == pytest.approx(area_km2(after.difference(before)), rel=0.01)
        assert result.dropped_km2 == pytest.approx(area_km2(before.difference(after)), rel=0.01)

    def test_nothing_is_ever_lost_altogether(self, drawn: Outlines):
        result = simplify(self.rough, drawn, 1)
        assert 4 <= result.points_after <= 10
        (one,) = result.problems
        assert (one.code, one.blocking) == ("fewest_points", False)
        assert f"{result.points_after} at least" in one.message_en
        assert codes(result.area, drawn) == []

    def test_what_is_not_drawn_stays_and_lines_are_thinned(self, drawn: Outlines):
        points = tuple((105.5 + n / 1000, 21 + n % 2 / 1e5) for n in range(300))
        area = Area(
            Shapes(groups=("002",), circles=(Circle(*LAKE, 9),), lines=(Line(points, 500),)),
            self.rough.include,
        )
        result = simplify(area, drawn, 60)
        assert result.points_after <= 60
        assert (result.area.include.groups, result.area.include.circles) == (
            area.include.groups,
            area.include.circles,
        )
        assert result.area.include.lines[0].metres == 500

    def test_neighbours_go_on_sharing_their_border(self, drawn: Outlines):
        cut = shapely.LineString([(105.8 + math.sin(y) / 99, 20.5 + y / 100) for y in range(100)])
        frame = shapely.box(105.7, 20.8, 105.9, 21.2).boundary
        halves = shapely.polygonize(shapely.get_parts(shapely.union_all([frame, cut])))
        area = Area.of_polygons(shapely.get_parts(halves))
        result = simplify(area, drawn, 20)
        left, right = (Polygon(rings[0]) for rings in result.area.include.polygons)
        assert left.intersection(right).area == 0
        assert left.touches(right)
        assert left.union(right).geom_type == "Polygon"

    def test_the_whole_area_can_be_drawn_with_few_points(self, drawn: Outlines):
        area = Area.from_json(
            {"groups": ["002"], "circles": [{"lon": 106, "lat": 21, "metres": 9}]}
        )
        result = simplify(area, drawn, 20, whole=True)
        assert result.points_after <= 20
        assert not result.area.include.groups
        assert len(result.area.include.polygons) == 2

    def test_an_area_that_cannot_be_drawn_is_refused(self, drawn: Outlines):
        with pytest.raises(AreaError):
            simplify(drawing(SQUARE[:-1]), drawn, 10)


def test_shapes_are_the_callers_own(drawn: Outlines):
    key = UnitKey("00070", REFORM)
    # A map of its own: who draws people prepares the outlines of the one all tests share.
    alone = Outlines([drawn.units[key]], [], {key: shapely.from_wkb(drawn.unit(key).wkb)})
    area = Area.from_json({"units": [HOAN_KIEM]})
    assert area.shape(alone).equals(area.shape(alone))
    ((_, part),) = area.parts(alone)
    for own in (area.shape(alone), part):
        shapely.prepare(own)
    assert not shapely.is_prepared(alone.unit(key))
    assert not shapely.is_prepared(area.shape(alone))


lon = st.integers(0, 40).map(lambda n: round(105.6 + n / 100, 6))
lat = st.integers(0, 40).map(lambda n: round(20.8 + n / 100, 6))
spot = st.tuples(lon, lat)
boxes = st.builds(lambda at, w, h: shapely.box(*at, at[0] + w, at[1] + h), spot, *(
    st.integers(1, 12).map(lambda n: n / 100) for _ in "wh"
))  # fmt: skip
with_holes = st.builds(lambda box: box.difference(box.centroid.buffer(0.004, quad_segs=2)), boxes)
drawn_shapes = st.lists(st.one_of(boxes, with_holes), max_size=4)
circles = st.lists(st.builds(lambda at, m: Circle(*at, m), spot, st.integers(1, 9_000)), max_size=2)
lines = st.lists(
    st.builds(
        Line,
        st.lists(spot, min_size=2, max_size=5, unique=True).map(tuple),
        st.integers(1, 5_000).map(float),
    ),
    max_size=2,
)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[Shapes, list[shapely.Geometry]]:
    """Return shapes, and the same as shapely geometries made by hand."""
    polygons, rounds, ways = draw(drawn_shapes), draw(circles), draw(lines)
    made = Shapes(polygons=tuple(map(rings_of, polygons)), circles=tuple(rounds), lines=tuple(ways))
    exact = [Polygon(rings[0], rings[1:]) for rings in made.polygons]
    exact += [circle(*one) for one in rounds]
    return made, [*exact, *(buffered_line(*one) for one in ways)]


@given(included=shapes(), excluded=shapes(), asked=st.lists(spot, min_size=1, max_size=20))
def test_an_area_is_what_its_parts_say_point_by_point(
    drawn: Outlines,
    included: tuple[Shapes, list[shapely.Geometry]],
    excluded: tuple[Shapes, list[shapely.Geometry]],
    asked: list[tuple[float, float]],
):
    area = Area(included[0], excluded[0])
    if not included[0]:
        assert codes(area, drawn) == ["empty_area"]
        return
    shape = area.shape(drawn)
    expected = shapely.union_all(included[1]).difference(shapely.union_all(excluded[1]))
    assert shape.symmetric_difference(expected).area < 1e-12
    for at in map(Point, asked):
        inside = any(part.covers(at) for part in included[1])
        taken_off = any(part.covers(at) for part in excluded[1])
        on_border = [part.boundary.distance(at) < 1e-9 for part in included[1]]
        if any(part.boundary.distance(at) < 1e-9 for part in excluded[1]):
            # Where an exclusion ends, the border belongs to what is left: `expected` tells.
            continue
        if any(on_border) and inside and not taken_off:
            assert shape.distance(at) < 1e-9
        elif not any(on_border):
            assert shape.covers(at) is (inside and not taken_off)
    written = Area.from_json(json.loads(json.dumps(area.to_json())))
    assert written == Area.from_json(written.to_json())
