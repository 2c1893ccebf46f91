"""Areas from CAP messages of others and of ours, and areas as CAP says them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon

from targeting.area import Area, Circle, Line, Shapes
from targeting.area_cap import area_of_cap
from targeting.cap_shapes import MAX_CAP_POINTS, cap_polygons
from targeting.errors import AreaError
from targeting.metric import area_km2
from targeting.outlines import Outlines
from targeting.outward import outward
from targeting.units import UnitKey
from tests.unit.targeting.conftest import REPOSITORY
from tests.unit.targeting.test_area import HOAN_KIEM, HOLE, LAKE, REFORM, SQUARE, codes, drawing

# CAP's decimals here are a tenth of a metre, and circles and lines do not lie on them.
NEXT_TO_NOTHING = 1e-6


def message(*areas: str, infos: int = 1) -> bytes:
    blocks = "".join(f"<info><event>x</event>{''.join(areas)}</info>" for _ in range(infos))
    return f'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">{blocks}</alert>'.encode()


def area(*shapes: str) -> str:
    return f"<area><areaDesc>here</areaDesc>{''.join(shapes)}</area>"


def polygon(ring: list[list[float]]) -> str:
    return f"<polygon>{' '.join(f'{lat},{lon}' for lon, lat in ring)}</polygon>"


def geocode(name: str, value: str) -> str:
    return f"<geocode><valueName>{name}</valueName><value>{value}</value></geocode>"


def refusals(xml: bytes) -> list[tuple[str, str]]:
    with pytest.raises(AreaError) as refused:
        area_of_cap(xml)
    return [(p.code, p.where) for p in refused.value.problems]


def cap_shape(polygons: tuple[str, ...]) -> shapely.Geometry:
    read = []
    for text in polygons:
        pairs = [pair.split(",") for pair in text.split(" ")]
        read.append(Polygon([(float(lon), float(lat)) for lat, lon in pairs]))
    return shapely.union_all(read)


def covers(outer: shapely.Geometry, inner: shapely.Geometry) -> bool:
    return bool(outer.buffer(NEXT_TO_NOTHING).covers(inner))


class TestReading:
    def test_areas_of_every_language_are_one_area(self):
        circle = f"<circle>{LAKE[1]},{LAKE[0]} 1.5</circle>"
        read = area_of_cap(message(area(polygon(SQUARE)), area(circle), infos=2))
        assert read.include.polygons == drawing(SQUARE).include.polygons
        assert read.include.circles == (Circle(LAKE[0], LAKE[1], 1500),)

    def test_geocodes_of_ours_name_units_and_others_do_not(self):
        ours, theirs = geocode("GSO-VN-2025-07-01", "00070"), geocode("SAME", "00097")
        odd = geocode("GSO-VN-yesterday", "00070")
        xml = message(area(ours, theirs, odd))
        key = UnitKey("00070", REFORM)
        assert area_of_cap(xml).include == Shapes(units=(key,))
        assert area_of_cap(xml, {key}).include.units == (key,)
        with pytest.raises(AreaError):
            area_of_cap(xml, set())

    def test_faults_of_the_geometry_are_left_to_be_told_and_repaired(self, drawn: Outlines):
        wrong = {
            "swapped": polygon([[lat, lon] for lon, lat in SQUARE]),
            "unclosed_ring": polygon(SQUARE[:-1]),
            "self_crossing": polygon([SQUARE[n] for n in (0, 2, 1, 3, 0)]),
            "nested_polygon": polygon(SQUARE) + polygon(HOLE),
            "bad_circle": f"<circle>{LAKE[1]},{LAKE[0]} 0</circle>",
        }
        for code, text in wrong.items():
            assert codes(area_of_cap(message(area(text))), drawn) == [code]

    def test_what_is_no_shape_is_refused_with_its_place(self):
        assert refusals(message(area("<polygon>21 105</polygon>"))) == [
            ("bad_cap_shape", "info[0].area[0].polygon[0]")
        ]
        assert refusals(message(area("<polygon/>", "<circle>21,105</circle>"))) == [
            ("bad_cap_shape", "info[0].area[0].polygon[0]"),
            ("bad_cap_shape", "info[0].area[0].circle[0]"),
        ]
        assert refusals(message(area("<circle>21,nan 5</circle>"))) == [
            ("bad_cap_shape", "info[0].area[0].circle[0]")
        ]
        assert refusals(message(area(polygon(SQUARE)), area(geocode("SAME", "1")))) == [
            ("cap_without_shape", "info[0].area[1]")
        ]

    def test_what_is_no_cap_message_is_refused(self):
        bomb = b'<!DOCTYPE a [<!ENTITY x "y">]><alert>&x;</alert>'
        for data in (b"", b"<alert>", b"<feed/>", bomb):
            assert refusals(data) == [("not_cap", "area")]

    def test_a_message_without_areas_is_an_empty_area(self, drawn: Outlines):
        assert codes(area_of_cap(message()), drawn) == ["empty_area"]

    def test_messages_of_real_senders_are_read_or_refused_with_a_reason(self, drawn: Outlines):
        shared = REPOSITORY.parent / "shared" / "data"
        folder = Path(os.environ.get("BOUNDARIES_DIR", shared)) / "cap"
        if not folder.exists():
            pytest.skip("the messages of real senders are not here")
        found = {}
        for line in (folder / "manifest.jsonl").read_text().splitlines():
            name = json.loads(line)["file"]
            try:
                found[name] = codes(area_of_cap((folder / name).read_bytes()), drawn)
            except AreaError as error:
                found[name] = [p.code for p in error.problems]
        assert found["oasiscap__v1dot2_appendix_adot2.xml"] == []
        assert "nested_polygon" in found["eas__invalid_area_with_hole.xml"]
        assert found["sambro__tsunami.xml"] == ["self_crossing"]
        assert found["google__xee.cap"] == ["not_cap"]
        assert found["kelvinn__australia_bom.cap"][0] == "cap_without_shape"


class TestWriting:
    def test_polygons_are_latitude_first_and_closed(self, drawn: Outlines):
        cap = drawing(SQUARE).cap(drawn)
        (text,) = cap.polygons
        assert text.split(" ")[0] == text.split(" ")[-1]
        assert set(text.split(" ")) == {"21,105.8", "21,105.9", "21.1,105.9", "21.1,105.8"}
        assert cap.circles == ()

    def test_holes_are_cut_so_that_nothing_is_lost_or_added(self, drawn: Outlines):
        second = [[x - 0.03, y + 0.01] for x, y in HOLE]
        holed = drawing(SQUARE, HOLE, second)
        cap = holed.cap(drawn)
        assert len(cap.polygons) > 1
        assert cap_shape(cap.polygons).symmetric_difference(holed.shape(drawn)).area < 1e-9

    def test_circles_stay_circles_unless_something_is_excluded(self, drawn: Outlines):
        circles = {"circles": [{"lon": LAKE[0], "lat": LAKE[1], "metres": 1500}]}
        cap = Area.from_json(circles).cap(drawn)
        assert cap.circles == ("21.0287,105.8524 1.5",)
        assert cap.polygons == ()
        cut = Area.from_json({**circles, "exclusions": {"units": [HOAN_KIEM]}})
        assert cut.cap(drawn).circles == ()
        assert covers(cap_shape(cut.cap(drawn).polygons), cut.shape(drawn))

    def test_a_line_is_the_polygon_around_it(self, drawn: Outlines):
        along = Area(Shapes(lines=(Line(((105.8, 21.0), (105.85, 21.1)), 500),)))
        shape = cap_shape(along.cap(drawn).polygons)
        assert covers(shape, along.shape(drawn))
        assert area_km2(shape) < 1.01 * area_km2(along.shape(drawn))

    def test_what_is_written_is_read_back(self, drawn: Outlines):
        cap = Area.from_json({"groups": ["002"], "circles": []}).cap(drawn)
        xml = message(area(*(f"<polygon>{text}</polygon>" for text in cap.polygons)))
        assert area_of_cap(xml).shape(drawn).equals(cap_shape(cap.polygons))

    @pytest.mark.slow
    def test_real_outlines_keep_everybody_and_take_few_more(self, real: Outlines):
        groups = [real.group(code) for code in real.groups]
        shapes = [*real.lowest_shapes[::20], *groups[::15], real.whole]
        added = []
        for shape in shapes:
            polygons = cap_polygons(shape)
            assert max(len(text.split(" ")) for text in polygons) <= MAX_CAP_POINTS
            assert covers(cap_shape(polygons), shape)
            added.append(area_km2(cap_shape(polygons)) / area_km2(shape) - 1)
        assert np.median(added) < 0.02
        assert max(added) < 0.1

    def test_many_holes_and_islands_are_written_with_few_points(self):
        holes = [
            shapely.Point(105.5 + 0.05 * n, 21 + 0.05 * m).buffer(0.01)
            for n in range(6)
            for m in range(6)
        ]
        sheet = shapely.box(105.4, 20.9, 105.9, 21.4).difference(shapely.union_all(holes))
        islands = shapely.union_all([shapely.transform(hole, lambda xy: xy + 1) for hole in holes])
        for shape in (sheet, islands, sheet.union(islands)):
            polygons = cap_polygons(shape)
            assert max(len(text.split(" ")) for text in polygons) <= MAX_CAP_POINTS
            assert covers(cap_shape(polygons), shape)

    @pytest.mark.slow
    def test_a_border_of_fifty_thousand_points_is_covered(self):
        turns = np.linspace(0, 2 * np.pi, 50_000, endpoint=False)
        reach = 0.2 + 0.01 * np.sin(40 * turns) + 1e-4 * np.sin(9_000 * turns)
        ring = np.column_stack((105.8 + reach * np.cos(turns), 21 + reach * np.sin(turns)))
        shape = shapely.set_precision(Polygon(ring), 1e-6)
        (text,) = cap_polygons(shape)
        assert len(text.split(" ")) <= MAX_CAP_POINTS
        assert covers(cap_shape((text,)), shape)
        assert cap_shape((text,)).area < 1.1 * shape.area


def spots(shape: Polygon) -> list[list[tuple[int, int]]]:
    oriented = shapely.orient_polygons(shape)
    rings = (oriented.exterior, *oriented.interiors)
    return [[(int(x), int(y)) for x, y in ring.coords] for ring in rings]


@st.composite
def blots(draw: Callable[..., int]) -> Polygon:
    """Return a polygon on whole numbers made of boxes, holes perhaps in it."""
    side = st.integers(0, 40)
    boxes = [
        shapely.box(x, y, x + draw(st.integers(1, 12)), y + draw(st.integers(1, 12)))
        for x, y in zip(*(draw(st.lists(side, min_size=9, max_size=9)) for _ in "xy"), strict=True)
    ]
    return max(shapely.get_parts(shapely.union_all(boxes)), key=lambda part: part.area)


@given(shape=blots(), most=st.integers(6, 30))
def test_moving_a_border_outwards_covers_what_was_exactly(shape: Polygon, most: int):
    rings = outward(spots(shape), most)
    if rings is not None:
        assert sum(map(len, rings)) <= max(most, 5 * len(rings))
        result = Polygon(rings[0], rings[1:])
        assert result.is_valid
        assert result.covers(shape)
