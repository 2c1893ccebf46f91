"""Whole units counted from groups of people, against the shape of the same units."""

from collections.abc import Mapping

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from targeting.area import Area
from targeting.index import NO_POINT, PeopleIndex
from targeting.live_index import LiveIndex
from targeting.outlines import Outlines
from targeting.places import locator_of
from targeting.select import count_only, count_people
from targeting.shapes import Circle, Shapes
from targeting.synth import random_points
from targeting.units import Unit, UnitKey
from tests.unit.targeting.people import SOUTH, WEST, People, random_people
from tests.unit.targeting.test_places import REFORM

SIDE = 250


def quilt() -> tuple[Outlines, dict[UnitKey, int]]:
    """Return sixteen squares of a quarter kilometre whose corners people stand on."""
    shapes, ids = {}, {}
    units = []
    for number in range(16):
        west, south = WEST + number % 4 * SIDE, SOUTH + number // 4 * SIDE
        box = np.array([west, south, west + SIDE, south + SIDE]) / 100_000
        unit = Unit(f"{number:02}", REFORM, f"Xã {number}", f"{number}", f"Commune {number}",
                    "commune", "", 1, 1, *box[:2])  # fmt: skip
        units.append(unit)
        shapes[unit.key], ids[unit.key] = shapely.box(*box), number + 1
    return Outlines(units, [], shapes), ids


QUILT, QUILT_IDS = quilt()
STANDING = random_people(np.random.default_rng(1), 400, units=16)
INDEX = PeopleIndex.build(*STANDING.columns, outlines=QUILT, unit_keys=QUILT_IDS)


def by_shape(
    index: PeopleIndex | LiveIndex, outlines: Outlines, ids: Mapping[UnitKey, int], taken: set[int]
) -> int:
    chosen = [key for key in outlines.lowest if ids[key] in taken]
    shape = shapely.union_all([outlines.unit(key) for key in chosen])
    return index.count(shape, taken)


@given(taken=st.sets(st.integers(1, 16)))
def test_any_units_hold_who_their_shape_holds_on_borders_and_corners_too(taken: set[int]) -> None:
    assert INDEX.count_units(taken) == by_shape(INDEX, QUILT, QUILT_IDS, taken)


def test_a_corner_belongs_to_four_units_and_its_person_counts_once() -> None:
    people = (
        People().add(1, WEST + SIDE, SOUTH + SIDE, unit=1).add(2, WEST + SIDE, SOUTH + 5, unit=1)
    )
    people.add(3, WEST + 5, SOUTH + 5, unit=1).add(3, WEST + SIDE, SOUTH + SIDE, unit=1)
    people.add(4, WEST - 500, SOUTH, unit=16).add(5, unit=6).add(5, unit=2)
    index = PeopleIndex.build(*people.columns, outlines=QUILT, unit_keys=QUILT_IDS)
    for taken, number in (
        ({1}, 3),
        ({2}, 4),
        ({6}, 3),
        ({2, 6}, 4),
        ({16}, 0),
        (set(), 0),
        ({99}, 0),
    ):
        assert index.count_units(taken) == number, taken
        assert by_shape(index, QUILT, QUILT_IDS, taken - {99}) == number


def test_without_outlines_a_point_is_in_the_unit_given_for_it() -> None:
    people = People().add(1, WEST, SOUTH, unit=7).add(1, unit=8).add(2, unit=8).add(3, WEST, SOUTH)
    index = people.index()
    assert not index.located
    assert [index.count_units(some) for some in ([7], [8], [7, 8], [0], [9])] == [1, 2, 2, 1, 0]


def test_changes_count_by_whole_units_too() -> None:
    rng = np.random.default_rng(2)
    moved = random_people(rng, 200, units=16)
    live = LiveIndex.changed(
        INDEX, [row[0] for row in moved.rows], moved.columns, outlines=QUILT, unit_keys=QUILT_IDS
    )
    assert live.located
    for _ in range(20):
        taken = set(rng.integers(1, 17, 5).tolist())
        assert live.count_units(taken) == by_shape(live, QUILT, QUILT_IDS, taken)


@pytest.fixture(scope="module", params=["drawn", pytest.param("real", marks=pytest.mark.slow)])
def outlines(request: pytest.FixtureRequest) -> Outlines:
    found: Outlines = request.getfixturevalue(request.param)
    return found


def planted(outlines: Outlines, ids: Mapping[UnitKey, int], n: int) -> PeopleIndex:
    """Put people into units and, as exactly as coordinates allow, onto their corners and edges."""
    rng = np.random.default_rng(7)
    x, y = (np.concatenate(axis) for axis in zip(
        *(random_points(shape, n, rng) for shape in outlines.lowest_shapes), strict=True
    ))  # fmt: skip
    corners = np.rint(shapely.get_coordinates(outlines.lowest_shapes) * 100_000).astype(np.int32)
    corners = corners[rng.permutation(len(corners))[: len(x) // 2]]
    middles = (corners[1:] + corners[:-1]) // 2
    x = np.concatenate((x, corners[:, 0], middles[:, 0], np.full(n, NO_POINT)))
    y = np.concatenate((y, corners[:, 1], middles[:, 1], np.full(n, NO_POINT)))
    unit = rng.choice(list(ids.values()), len(x))
    person = rng.integers(0, len(x) // 2, len(x))
    ones = np.ones(len(x))
    return PeopleIndex.build(person, x, y, unit, ones, ones, outlines=outlines, unit_keys=ids)


def test_the_city_units_hold_who_their_shapes_hold(outlines: Outlines) -> None:
    ids = {key: number for number, key in enumerate(outlines.lowest, 11)}
    index = planted(outlines, ids, 60)
    rng = np.random.default_rng(8)
    for size in (1, 1, 1, 5, 40, len(ids)):
        taken = set(rng.choice(list(ids.values()), size, replace=False).tolist())
        assert index.count_units(taken) == by_shape(index, outlines, ids, taken), taken


def test_an_area_of_units_and_groups_alone_is_counted_from_the_groups_of_people(
    drawn: Outlines,
) -> None:
    ids = {key: number for number, key in enumerate(drawn.lowest, 11)}
    index = planted(drawn, ids, 30)
    units, group = drawn.lowest[3:9], sorted(drawn.groups)[0]
    circle = (Circle(105.85, 21.02, 3_000),)
    for include, exclude in (
        (Shapes(units=units), Shapes()),
        (Shapes(groups=(group,)), Shapes()),
        (Shapes(units=units, groups=(group,)), Shapes()),
        (Shapes(units=units, circles=circle), Shapes()),
        (Shapes(units=units), Shapes(units=units[:2])),
    ):
        area = Area(include, exclude)
        assert count_only(area, drawn, index, ids) == count_people(area, drawn, index, ids).people


def test_a_locator_is_made_once_for_outlines() -> None:
    assert locator_of(QUILT) is locator_of(QUILT)
