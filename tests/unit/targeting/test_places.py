"""Points in units, synthetic points, and areas to people."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import shapely
from shapely import Polygon

from targeting.area import Area
from targeting.index import NO_POINT, PeopleIndex
from targeting.outlines import Outlines
from targeting.places import OUTSIDE, UnitLocator
from targeting.select import count_people, select_people, taken_units
from targeting.shapes import Circle, Shapes
from targeting.synth import random_points
from targeting.units import Unit, UnitKey

REFORM = date(2025, 7, 1)
LANDMARKS = {
    "Hồ Gươm": (105.8524, 21.0287, "Phường Hoàn Kiếm"),
    "Lăng Chủ tịch Hồ Chí Minh": (105.8346, 21.0368, "Phường Ba Đình"),
    "Văn Miếu": (105.8355, 21.0277, "Phường Văn Miếu - Quốc Tử Giám"),
    "Nhà hát Lớn": (105.8577, 21.0242, "Phường Cửa Nam"),
    "Sân vận động Mỹ Đình": (105.7639, 21.0204, "Phường Từ Liêm"),
    "Sân bay Nội Bài": (105.8040, 21.2187, "Xã Nội Bài"),
    "Thành Cổ Loa": (105.8722, 21.1137, "Xã Đông Anh"),
    "Làng gốm Bát Tràng": (105.9128, 20.9756, "Xã Bát Tràng"),
    "Chùa Hương": (105.7467, 20.6180, "Xã Hương Sơn"),
    "Thành cổ Sơn Tây": (105.5047, 21.1380, "Phường Sơn Tây"),
}


@pytest.fixture(scope="module", params=["drawn", "real"])
def outlines(request: pytest.FixtureRequest) -> Outlines:
    return request.getfixturevalue(request.param)


def test_ten_landmarks_are_in_their_unit(real: Outlines):
    locator = UnitLocator(real)
    found = {}
    for landmark, (lon, lat, _) in LANDMARKS.items():
        key = locator.unit_of(lon, lat)
        found[landmark] = real.units[key].name if key else None
    assert found == {landmark: name for landmark, (_, _, name) in LANDMARKS.items()}


def test_every_synthetic_point_is_in_exactly_one_unit_and_is_located_there(outlines: Outlines):
    rng = np.random.default_rng(11)
    locator = UnitLocator(outlines)
    for number, shape in enumerate(outlines.lowest_shapes):
        x, y = random_points(shape, 300, rng)
        lons, lats = x / 100_000, y / 100_000
        points = shapely.points(lons, lats)
        which, _ = shapely.STRtree(points).query(outlines.lowest_shapes, predicate="intersects")
        assert which.tolist() == [number] * 300
        assert (locator.positions(lons, lats) == number).all()


def test_points_anywhere_are_located_as_brute_force_does(outlines: Outlines):
    rng = np.random.default_rng(12)
    west, south, east, north = outlines.whole.bounds
    lons = np.round(rng.uniform(west - 0.2, east + 0.2, 20_000), 5)
    lats = np.round(rng.uniform(south - 0.2, north + 0.2, 20_000), 5)
    found = UnitLocator(outlines).positions(lons, lats)
    tree = shapely.STRtree(shapely.points(lons, lats))
    unit, point = tree.query(outlines.lowest_shapes, predicate="intersects")
    expected = np.full(len(lons), OUTSIDE)
    for number, where in sorted(zip(unit.tolist(), point.tolist(), strict=True), reverse=True):
        expected[where] = number
    assert np.array_equal(found, expected)
    assert (found == OUTSIDE).any()


def test_a_point_on_a_shared_border_belongs_to_the_lowest_code(drawn: Outlines):
    corners = shapely.get_coordinates(drawn.lowest_shapes)
    found = UnitLocator(drawn).positions(corners[:, 0], corners[:, 1])
    tree = shapely.STRtree(shapely.points(corners))
    unit, point = tree.query(drawn.lowest_shapes, predicate="intersects")
    lowest = np.full(len(corners), len(drawn.lowest))
    np.minimum.at(lowest, point, unit)
    assert np.array_equal(found, lowest)
    assert len(unit) > 1.5 * len(corners)


def test_outside_every_unit_is_told(drawn: Outlines):
    locator = UnitLocator(drawn)
    assert locator.unit_of(106.66, 10.77) is None
    assert locator.unit_of(-180, -90) is None
    assert locator.units_of([105.8524, 0.0], [21.0287, 0.0]) == [UnitKey("00070", REFORM), None]
    assert locator.units_of([], []) == []


def test_synthetic_points_keep_inside_a_hole_and_a_gap():
    outer = shapely.box(105.0, 21.0, 105.1, 21.1).difference(
        shapely.box(105.02, 21.02, 105.09, 21.09)
    )
    shape = shapely.union_all([outer, shapely.box(105.5, 21.5, 105.51, 21.51)])
    x, y = random_points(shape, 5_000, np.random.default_rng(1))
    assert shapely.contains_xy(shape, x / 100_000, y / 100_000).all()
    assert 0 < (x > 10_540_000).mean() < 0.1


def test_an_outline_with_no_room_for_points_is_refused():
    sliver = Polygon([(105.000001, 21.0), (105.000002, 21.5), (105.000003, 21.0)])
    with pytest.raises(ValueError, match="too thin"):
        random_points(sliver, 1, np.random.default_rng(1))


def quarters() -> Outlines:
    """Return two units of 10 × 10 km or so, side by side."""
    west = Unit("1", REFORM, "Xã Tây", "Tây", "West", "commune", "", 1, 115, 105.05, 21.05)
    east = replace(west, code="2", lon=105.15)
    boxes = shapely.box(105.0, 21.0, 105.1, 21.1), shapely.box(105.1, 21.0, 105.2, 21.1)
    return Outlines([west, east], [], dict(zip((west.key, east.key), boxes, strict=True)))


def test_a_unit_is_taken_from_more_than_the_share_on():
    outlines = quarters()
    assert taken_units(shapely.box(105.0, 21.0, 105.1019, 21.1), outlines) == {
        UnitKey("1", REFORM): 1.0
    }
    taken = taken_units(shapely.box(105.0, 21.0, 105.103, 21.1), outlines)
    assert taken[UnitKey("2", REFORM)] == pytest.approx(0.03)
    assert set(taken_units(shapely.box(105.0, 21.0, 105.103, 21.1), outlines, 0.05)) == {
        UnitKey("1", REFORM)
    }
    assert taken_units(Polygon(), outlines) == {}
    assert taken_units(shapely.box(0, 0, 1, 1), outlines) == {}


def test_shares_are_what_an_overlay_gives(outlines: Outlines):
    shape = shapely.Point(105.83, 21.02).buffer(0.07, quad_segs=500)
    taken = taken_units(shape, outlines, share=0)
    for key, unit in zip(outlines.lowest, outlines.lowest_shapes, strict=True):
        expected = shape.intersection(unit).area / unit.area
        assert taken.get(key, 0) == pytest.approx(expected, abs=1e-9)


def test_an_area_selects_its_people_by_point_and_by_taken_unit():
    outlines = quarters()
    ids = {UnitKey("1", REFORM): 11, UnitKey("2", REFORM): 12}
    index = PeopleIndex.build(
        [1, 2, 3, 4],
        [10_505_000, 10_515_000, NO_POINT, NO_POINT],
        [2_105_000, 2_105_000, NO_POINT, NO_POINT],
        [11, 12, 11, 12],
        [1, 1, 2, 4],
        [0, 0, 0, 1],
    )
    west = Area(Shapes(units=(UnitKey("1", REFORM),)))
    assert select_people(west, outlines, index, ids).person_ids.tolist() == [1, 3]
    counts = count_people(west, outlines, index, ids)
    assert (counts.people, counts.by_unit_only, counts.by_unit) == (2, 1, {11: 2})
    wider = Area.of_polygons([shapely.box(105.0, 21.0, 105.103, 21.1)])
    assert select_people(wider, outlines, index, ids).person_ids.tolist() == [1, 3, 4]
    assert select_people(wider, outlines, index, ids, share=0.5).person_ids.tolist() == [1, 3]


def test_people_by_unit_come_with_the_units_that_an_overlay_says_are_taken(
    outlines: Outlines,
) -> None:
    ids = {key: number for number, key in enumerate(outlines.lowest, 11)}
    nobody = np.full(len(ids), NO_POINT)
    ones = np.ones(len(ids))
    index = PeopleIndex.build(list(ids.values()), nobody, nobody, list(ids.values()), ones, ones)
    for centre, metres in ((105.83, 9_000), (105.7, 14_000), (105.9, 2_500), (105.83, 90_000)):
        area = Area(Shapes(circles=(Circle(centre, 21.02, metres),)))
        for share in (0.0, 0.02, 0.6, 0.97):
            taken = taken_units(area.shape(outlines), outlines, share)
            selected = select_people(area, outlines, index, ids, share).person_ids.tolist()
            assert selected == sorted(ids[key] for key in taken)
