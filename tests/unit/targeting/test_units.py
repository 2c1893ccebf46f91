"""The facts that ship, and the outlines drawn from them."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import shapely
from shapely import Point

from targeting.errors import AreaError
from targeting.outlines import Outlines, draw_outlines
from targeting.units import Group, Unit, UnitKey, leaves, read_groups, read_units

REFORM = date(2025, 7, 1)


def unit(code: str, lon: float, lat: float, parent: str = "") -> Unit:
    return Unit(code, REFORM, f"Xã {code}", code, code, "commune", parent, 100, 10.0, lon, lat)


def test_the_city_has_126_units_of_two_kinds_that_add_up_to_it():
    units = read_units()
    city = next(u for u in units if u.kind == "city")
    below = leaves(units)
    assert city.key == UnitKey("01", REFORM)
    assert Counter(u.kind for u in below) == {"ward": 51, "commune": 75}
    assert {u.parent_code for u in below} == {"01"}
    assert sum(u.population for u in below) == city.population == 8_807_523
    assert len({u.key for u in units}) == 127
    assert all(u.name.endswith(u.short_name) and u.name_en.isascii() for u in below)
    assert sum(u.area_km2 for u in below) == pytest.approx(city.area_km2, rel=0.001)


def test_thirty_former_districts_share_out_every_unit_and_24_units_straddle():
    shares = defaultdict(list)
    groups = read_groups()
    for group in groups:
        for code, share in group.members.items():
            shares[code].append(share)
    assert len(groups) == 30
    assert set(shares) == {u.code for u in leaves(read_units())}
    assert all(sum(parts) == pytest.approx(1, abs=1e-9) for parts in shares.values())
    assert all(share >= 0.02 for parts in shares.values() for share in parts)
    assert sum(len(parts) > 1 for parts in shares.values()) == 24


def test_drawn_outlines_cover_the_city_without_overlap(drawn: Outlines):
    shapes = drawn.lowest_shapes
    assert len(shapes) == 126
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    assert shapely.area(shapes).sum() == pytest.approx(drawn.whole.area, rel=1e-9)
    assert drawn.whole.geom_type == "Polygon"
    assert not drawn.whole.interiors


def test_every_centroid_is_inside_its_own_outline(drawn: Outlines):
    for key, shape in zip(drawn.lowest, drawn.lowest_shapes, strict=True):
        facts = drawn.units[key]
        assert shape.contains(Point(facts.lon, facts.lat)), facts.name


def test_drawn_coordinates_have_five_decimals(drawn: Outlines):
    points = shapely.get_coordinates(drawn.lowest_shapes) * 1e5
    assert np.abs(points - np.rint(points)).max() < 1e-6


@pytest.mark.slow
def test_drawn_outlines_resemble_the_real_city(drawn: Outlines, real: Outlines):
    both = drawn.whole.intersection(real.whole).area
    assert both / real.whole.area > 0.98
    assert both / drawn.whole.area > 0.88


def test_one_unit_alone_has_an_outline_of_about_its_reach():
    only = unit("00001", 105.8, 21.0)
    shape = draw_outlines([only])[only.key]
    assert shape.contains(Point(105.8, 21.0))
    assert 10 < shape.area * 104 * 110.7 < 20
    assert draw_outlines([]) == {}


def test_a_parent_and_a_group_are_the_union_of_what_they_hold(drawn: Outlines):
    city = drawn.unit(UnitKey("01", REFORM))
    assert city.equals(drawn.whole)
    hoan_kiem = next(g for g in drawn.groups.values() if g.short_name == "Hoàn Kiếm")
    shape = drawn.group(hoan_kiem.code)
    for key in hoan_kiem.keys:
        assert shape.covers(drawn.unit(key))
    assert shape.area == pytest.approx(sum(drawn.unit(k).area for k in hoan_kiem.keys))


def test_the_same_code_in_two_vintages_is_two_units():
    old = replace(unit("00004", 105.8, 21.0), vintage=date(2024, 1, 1))
    new = unit("00004", 105.9, 21.0)
    outlines = Outlines([old, new], [], {**draw_outlines([old]), **draw_outlines([new])})
    assert not outlines.unit(old.key).intersects(outlines.unit(new.key))


def test_unknown_units_and_groups_and_missing_outlines_are_refused(drawn: Outlines):
    with pytest.raises(AreaError, match="99999"):
        drawn.unit(UnitKey("99999", REFORM))
    with pytest.raises(AreaError, match="no group"):
        drawn.group("no-such")
    with pytest.raises(AreaError) as refused:
        Outlines([unit("00001", 105.8, 21.0)], [], {})
    assert [p.code for p in refused.value.problems] == ["unknown_unit"]


def test_a_group_with_an_unknown_member_cannot_be_drawn():
    known = unit("00001", 105.8, 21.0)
    group = Group("g", "G", "G", "G", "basin", REFORM, {"00001": 1.0, "00002": 1.0})
    outlines = Outlines([known], [group], draw_outlines([known]))
    with pytest.raises(AreaError, match="00002"):
        outlines.group("g")
