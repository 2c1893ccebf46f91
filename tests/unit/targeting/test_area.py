"""Areas: their JSON, their shape, what can be wrong with them, and how CAP says them."""

import json
import math
import re
from datetime import date
from string import Formatter

import pytest
import shapely
from shapely import Point, Polygon

from targeting.area import Area, Circle, Shapes
from targeting.errors import MESSAGES, AreaError
from targeting.metric import area_km2, metres_per_degree, said_km2
from targeting.outlines import Outlines
from targeting.repairs import repair
from targeting.units import UnitKey

REFORM = date(2025, 7, 1)
HOAN_KIEM = {"code": "00070", "vintage": "2025-07-01"}
LAKE = [105.8524, 21.0287]
SQUARE = [[105.8, 21.0], [105.9, 21.0], [105.9, 21.1], [105.8, 21.1], [105.8, 21.0]]
HOLE = [[105.84, 21.04], [105.86, 21.04], [105.86, 21.06], [105.84, 21.06], [105.84, 21.04]]


def polygon(*rings: list[list[float]]) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": list(rings)}


def drawing(*rings: list[list[float]]) -> Area:
    return Area.from_json({"polygons": [polygon(*rings)]})


def codes(area: Area, outlines: Outlines, jurisdiction: Polygon | None = None) -> list[str]:
    return [p.code for p in area.problems(outlines, jurisdiction)]


def test_json_goes_round_and_names_are_put_in_order():
    value = {
        "units": [{"code": "00097", "vintage": "2025-07-01"}, HOAN_KIEM, HOAN_KIEM],
        "groups": ["003", "001"],
        "polygons": [{"type": "MultiPolygon", "coordinates": [[SQUARE], [HOLE]]}],
        "circles": [{"lon": 105.85, "lat": 21.03, "metres": 500}],
        "exclusions": {"polygons": [polygon(HOLE)]},
    }
    area = Area.from_json(value)
    stored = area.to_json()
    assert Area.from_json(json.loads(json.dumps(stored))) == area
    assert Area.from_json(stored).to_json() == stored
    assert stored["units"] == [HOAN_KIEM, {"code": "00097", "vintage": "2025-07-01"}]
    assert stored["groups"] == ["001", "003"]
    assert [p["type"] for p in stored["polygons"]] == ["Polygon", "Polygon"]
    assert set(stored["exclusions"]) == {"units", "groups", "polygons", "circles", "lines"}


def test_coordinates_are_kept_to_a_tenth_of_a_metre():
    exact = [[x + 1.23456e-7, y, 12.0] for x, y in SQUARE]
    assert drawing(exact) == drawing(SQUARE)


def test_the_shape_is_the_union_minus_exclusions(drawn: Outlines):
    area = Area.from_json(
        {
            "units": [HOAN_KIEM],
            "polygons": [polygon(SQUARE)],
            "exclusions": {"polygons": [polygon(HOLE)]},
        }
    )
    shape = area.shape(drawn)
    unit = drawn.unit(UnitKey("00070", REFORM))
    expected = unit.union(Polygon(SQUARE)).difference(Polygon(HOLE))
    assert shape.equals(expected)
    assert not shape.covers(Point(105.85, 21.05))


def test_the_border_belongs_to_the_area(drawn: Outlines):
    area = Area.from_json(
        {"polygons": [polygon(SQUARE)], "exclusions": {"polygons": [polygon(HOLE)]}}
    )
    shape = area.shape(drawn)
    assert shape.covers(Point(105.8, 21.05))
    assert shape.covers(Point(105.84, 21.05))


def test_a_circle_holds_everyone_within_its_metres_and_hardly_more(drawn: Outlines):
    area = Area(Shapes(circles=(Circle(*LAKE, 1000),)))
    shape = area.shape(drawn)
    east, north = metres_per_degree(LAKE[1])
    for turn in range(0, 360, 7):
        dx, dy = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        for metres, inside in ((999.9, True), (1001, False)):
            at = Point(LAKE[0] + dx * metres / east, LAKE[1] + dy * metres / north)
            assert shape.covers(at) is inside
    assert area_km2(shape) == pytest.approx(math.pi, rel=0.001)


def test_a_degree_is_as_long_as_on_the_ellipsoid():
    east, north = metres_per_degree(21.0)
    assert east == pytest.approx(103_969, abs=60)
    assert north == pytest.approx(110_716, abs=60)


def test_groups_and_the_city_can_be_named(drawn: Outlines):
    area = Area.from_json({"groups": ["002"], "units": [{"code": "01", "vintage": "2025-07-01"}]})
    assert area.problems(drawn) == []
    assert area.shape(drawn).equals(drawn.whole)


# Every code that `Area.problems` can give, with an area that has it.
WRONG = {
    "too_few_points": (polygon(SQUARE[:2]), "polygons[0].rings[0]"),
    "unclosed_ring": (polygon(SQUARE[:-1]), "polygons[0].rings[0]"),
    "self_crossing": (
        polygon([SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]]),
        "polygons[0].rings[0][0]",
    ),
    "bad_hole": (polygon(SQUARE, [[x + 1, y] for x, y in HOLE[::-1]]), "polygons[0].rings[1]"),
    "out_of_range": (polygon([[x + 100, y] for x, y in SQUARE]), "polygons[0].rings[0][0]"),
    "swapped": (polygon([[y, x] for x, y in SQUARE]), "polygons[0].rings[0][0]"),
}


@pytest.mark.parametrize("code", WRONG)
def test_a_wrong_polygon_is_told_with_its_place_in_both_languages(code: str, drawn: Outlines):
    shape, where = WRONG[code]
    area = Area.from_json({"polygons": [shape]})
    (found,) = area.problems(drawn)
    assert (found.code, found.where) == (code, where)
    assert found.message_vi != found.message_en
    assert "{" not in found.message_vi + found.message_en
    with pytest.raises(AreaError):
        area.shape(drawn)


def test_points_in_one_line_are_too_few(drawn: Outlines):
    line = [[105.8, 21.0], [105.85, 21.0], [105.9, 21.0], [105.8, 21.0]]
    assert codes(drawing(line), drawn) in (["too_few_points"], ["self_crossing"])


def test_a_crossing_is_told_with_its_coordinates(drawn: Outlines):
    area = drawing([SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]])
    assert "105.85000, 21.05000" in area.problems(drawn)[0].message_en


def test_holes_that_overlap_are_told(drawn: Outlines):
    moved = [[x + 0.01, y + 0.01] for x, y in HOLE]
    nested = [[105.845, 21.045], [105.85, 21.045], [105.85, 21.05], [105.845, 21.045]]
    assert codes(drawing(SQUARE, HOLE, nested), drawn) == ["bad_hole"]
    assert codes(drawing(SQUARE, HOLE, moved), drawn) == ["self_crossing"]


@pytest.mark.parametrize("metres", [0, -5, 200_001])
def test_an_impossible_radius_is_told(metres: float, drawn: Outlines):
    area = Area(Shapes(circles=(Circle(*LAKE, metres),)))
    assert codes(area, drawn) == ["bad_circle"]


def test_a_circle_may_have_its_coordinates_swapped(drawn: Outlines):
    area = Area(Shapes(circles=(Circle(LAKE[1], LAKE[0], 100),)))
    assert codes(area, drawn) == ["swapped"]


def test_unknown_units_and_groups_are_told(drawn: Outlines):
    area = Area.from_json(
        {
            "units": [{"code": "00070", "vintage": "2024-01-01"}],
            "groups": ["999"],
            "exclusions": {"groups": ["998"]},
        }
    )
    found = area.problems(drawn)
    assert [(p.code, p.where) for p in found] == [
        ("unknown_unit", "units[0]"),
        ("unknown_group", "groups[0]"),
        ("unknown_group", "exclusions.groups[0]"),
    ]


def test_nothing_chosen_or_nothing_left_is_empty(drawn: Outlines):
    assert codes(Area(), drawn) == ["empty_area"]
    erased = Area.from_json({"units": [HOAN_KIEM], "exclusions": {"units": [HOAN_KIEM]}})
    assert codes(erased, drawn) == ["empty_area"]
    assert erased.shape(drawn).is_empty


def test_too_many_polygons_and_points_are_told(drawn: Outlines):
    corners = ((0, 0), (1, 0), (0, 1), (0, 0))
    side_by_side = [
        polygon([[(x + 2 * n) / 10_000 + 105.7, y / 10_000 + 21] for x, y in corners])
        for n in range(1001)
    ]
    many = Area.from_json({"polygons": side_by_side})
    assert codes(many, drawn) == ["too_many_polygons"]
    ring = list(Point(105.8, 21).buffer(0.1, quad_segs=12_501).exterior.coords)
    assert codes(drawing(ring), drawn) == ["too_many_points", "wrong_winding"]


def test_what_lies_outside_the_jurisdiction_is_told_with_its_size(drawn: Outlines):
    jurisdiction = drawn.unit(UnitKey("00070", REFORM))
    assert codes(Area.from_json({"units": [HOAN_KIEM]}), drawn, jurisdiction) == []
    (found,) = drawing(SQUARE).problems(drawn, jurisdiction)
    assert found.code == "outside_jurisdiction"
    size = re.search(r"\(([\d,]+) km²\)", found.message_vi)
    assert size
    assert f"({size[1].replace(',', '.')} km²)" in found.message_en


def test_what_does_not_touch_the_jurisdiction_is_told_and_cannot_be_cut(drawn: Outlines):
    jurisdiction = drawn.unit(UnitKey("00070", REFORM))
    far = drawing([[x - 2, y] for x, y in SQUARE])
    (found,) = far.problems(drawn, jurisdiction)
    assert (found.code, found.repair, found.blocking) == ("beyond_jurisdiction", None, True)
    assert repair(far, None, drawn, jurisdiction).area == far
    # A neighbour shares its border and no ground.
    neighbours = [key for key in drawn.groups["002"].keys if key.code != "00070"]
    units = [{"code": k.code, "vintage": k.vintage.isoformat()} for k in neighbours]
    assert codes(Area.from_json({"units": units}), drawn, jurisdiction) == ["beyond_jurisdiction"]


@pytest.mark.parametrize(
    ("km2", "vietnamese", "english"),
    [(0.0214, "0,021", "0.021"), (2.0, "2", "2"), (9.51, "9,51", "9.51"), (61.25, "61,2", "61.2"),
     (1234.4, "1.234", "1,234"), (100, "100", "100")],
)  # fmt: skip
def test_ground_is_written_as_each_language_writes_it(km2: float, vietnamese: str, english: str):
    assert (said_km2(km2, "vi"), said_km2(km2, "en")) == (vietnamese, english)


def test_neighbours_of_the_jurisdiction_share_a_border_without_a_problem(drawn: Outlines):
    district = drawn.groups["002"]
    units = [{"code": k.code, "vintage": k.vintage.isoformat()} for k in district.keys]
    assert codes(Area.from_json({"units": units}), drawn, drawn.group("002")) == []


def test_swapped_coordinates_that_are_on_the_map_are_caught_by_the_jurisdiction(drawn: Outlines):
    lagos = shapely.box(3.0, 6.3, 3.6, 6.7)
    swapped = drawing([[6.4, 3.2], [6.5, 3.2], [6.5, 3.3], [6.4, 3.3], [6.4, 3.2]])
    assert codes(swapped, drawn, lagos) == ["swapped"]


MALFORMED = [
    (None, "area"),
    ([], "area"),
    ({"polygon": []}, "polygon"),
    ({"units": "00070"}, "units"),
    ({"units": ["00070"]}, "units[0]"),
    ({"units": [{"code": "00070"}]}, "units[0]"),
    ({"units": [{"code": "00070", "vintage": "today"}]}, "units[0]"),
    ({"groups": [1]}, "groups[0]"),
    ({"circles": [{"lon": 105.8, "lat": 21.0}]}, "circles[0]"),
    ({"circles": [{"lon": 105.8, "lat": True, "metres": 5}]}, "circles[0]"),
    ({"circles": [5]}, "circles[0]"),
    ({"polygons": [{"type": "Point", "coordinates": LAKE}]}, "polygons[0]"),
    ({"polygons": [{"type": "Polygon", "coordinates": []}]}, "polygons[0]"),
    ({"polygons": [{"type": "Polygon", "coordinates": [5]}]}, "polygons[0]"),
    ({"polygons": [{"type": "Polygon", "coordinates": [[[1]]]}]}, "polygons[0]"),
    ({"polygons": [{"type": "Polygon", "coordinates": [[[1, float("nan")]]]}]}, "polygons[0]"),
    ({"polygons": ["x"]}, "polygons[0]"),
    ({"exclusions": 5}, "exclusions"),
    ({"exclusions": {"groups": [1]}}, "exclusions.groups[0]"),
]


@pytest.mark.parametrize(("value", "where"), MALFORMED)
def test_json_of_another_form_is_refused(value: object, where: str):
    with pytest.raises(AreaError) as refused:
        Area.from_json(value)
    assert [(p.code, p.where) for p in refused.value.problems] == [("malformed", where)]


def test_geojson_of_any_kind_is_read():
    document = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": None, "geometry": polygon(SQUARE)},
            {
                "type": "Feature",
                "properties": {"radius": 250},
                "geometry": {"type": "Point", "coordinates": LAKE},
            },
            {
                "type": "Feature",
                "properties": {},
                "geometry": {"type": "GeometryCollection", "geometries": [polygon(HOLE)]},
            },
        ],
    }
    area = Area.from_geojson(json.dumps(document))
    assert len(area.include.polygons) == 2
    assert area.include.circles == (Circle(*LAKE, 250),)
    assert Area.from_geojson(json.dumps(polygon(SQUARE))) == drawing(SQUARE)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "not_geojson"),
        ('"x"', "not_geojson"),
        ('{"type": "Feature", "properties": {}, "geometry": "x"}', "not_geojson"),
        ('{"type": "Feature", "properties": "x", "geometry": {"type": "Polygon"}}', "malformed"),
        ('{"type": "GeometryCollection", "geometries": [[]]}', "malformed"),
        ('{"type": "GeometryCollection", "geometries": {"a": 1}}', "malformed"),
        ('{"type": "Feature", "geometry": {"type": ["Polygon"]}}', "not_geojson"),
        ('{"type": 5}', "bad_geometry"),
        ('{"type": "Point", "coordinates": [105.8, 21.0]}', "needs_distance"),
        ('{"type": "Feature", "properties": {}, "geometry": null}', "bad_geometry"),
        ('{"type": "Topology"}', "bad_geometry"),
        (
            json.dumps(
                {
                    "type": "Feature",
                    "properties": {"radius": 5},
                    "geometry": {"type": "Point", "coordinates": [105.8]},
                }
            ),
            "malformed",
        ),
    ],
)
def test_geojson_without_usable_shapes_is_refused(text: str, code: str):
    with pytest.raises(AreaError) as refused:
        Area.from_geojson(text)
    assert [p.code for p in refused.value.problems] == [code]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"units": [{"code": "0\0", "vintage": "2025-07-01"}]}, "units[0]"),
        ({"groups": ["\0"]}, "groups[0]"),
        ({"circles": [{"lon": 10**400, "lat": 21, "metres": 5}]}, "circles[0]"),
        ({"polygons": [polygon([[10**400, 21], [105, 21], [105, 22]])]}, "polygons[0]"),
        (
            {"lines": [{"type": "LineString", "coordinates": [[10**400, 21]], "metres": 5}]},
            "lines[0]",
        ),
    ],
)
def test_what_no_database_and_no_number_can_hold_is_malformed(value: object, where: str):
    with pytest.raises(AreaError) as refused:
        Area.from_json(value)
    assert [(p.code, p.where) for p in refused.value.problems] == [("malformed", where)]


def blanks(sentence: str) -> set[str]:
    return {
        name.removesuffix("_vi").removesuffix("_en")
        for _, name, _, _ in Formatter().parse(sentence)
        if name
    }


@pytest.mark.parametrize("code", MESSAGES)
def test_both_languages_say_the_same_facts(code: str):
    vietnamese, english = MESSAGES[code]
    assert blanks(vietnamese) == blanks(english)
