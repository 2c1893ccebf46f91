"""The index against brute force: exact at every border, each person once."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from targeting.grid import UNITS_PER_DEGREE, Grid
from targeting.index import PUSH, SMS, Counts, PeopleIndex
from targeting.index_build import MOST_PLACES
from targeting.index_raster import aligned
from tests.unit.targeting.people import (
    AREAS,
    SOUTH,
    WEST,
    People,
    check,
    random_people,
    square,
)

CITIES = [random_people(np.random.default_rng(seed), n) for seed, n in ((1, 40), (2, 400))]
BUILT = [(people, people.index()) for people in CITIES]


@given(built=st.sampled_from(BUILT), shape=AREAS, units=st.sets(st.integers(1, 6)))
def test_any_area_gives_what_brute_force_gives(
    built: tuple[People, PeopleIndex], shape: BaseGeometry, units: set[int]
) -> None:
    people, index = built
    check(people, shape, units, index)


def test_a_person_is_counted_once_whatever_number_of_places_is_inside() -> None:
    people = People()
    for step in range(6):
        people.add(7, WEST + step, SOUTH, unit=1, channels=PUSH | SMS, lang=1)
    counts = check(people, square(WEST, SOUTH, WEST + 10, SOUTH + 10), set())
    assert counts == Counts(1, {"push": 1, "sms": 1, "email": 0}, {"vi": 0, "en": 1}, {1: 1}, 0)


def test_a_person_counts_under_the_unit_of_the_place_inside() -> None:
    far, near = (WEST + 900, SOUTH + 900), (WEST, SOUTH)
    people = People().add(1, *far, unit=9).add(1, *near, unit=4).add(2, *far, unit=9)
    counts = check(people, square(WEST, SOUTH, WEST + 10, SOUTH + 10), set())
    assert counts.by_unit == {4: 1}


def test_people_known_by_unit_are_in_when_the_unit_is_taken_and_counted_apart() -> None:
    here = square(WEST, SOUTH, WEST + 10, SOUTH + 10)
    people = People()
    people.add(1, unit=3)
    people.add(2, unit=4)
    people.add(3, unit=3).add(3, WEST, SOUTH, unit=8)
    people.add(4, WEST + 900, SOUTH + 900, unit=8).add(4, unit=3)
    people.add(5, unit=3).add(5, unit=3)
    assert check(people, here, set()).by_unit == {8: 1}
    counts = check(people, here, {3, 77})
    assert (counts.people, counts.by_unit_only) == (4, 3)
    assert counts.by_unit == {3: 3, 8: 1}


def test_the_border_and_its_corners_belong_to_both_neighbours() -> None:
    people = People().add(1, WEST + 10, SOUTH + 5).add(2, WEST + 10, SOUTH).add(3, WEST, SOUTH)
    left = square(WEST, SOUTH, WEST + 10, SOUTH + 10)
    right = square(WEST + 10, SOUTH, WEST + 20, SOUTH + 10)
    assert check(people, left, set()).people == 3
    assert check(people, right, set()).people == 2


def test_a_hole_excludes_and_its_border_does_not() -> None:
    hole = square(WEST + 10, SOUTH + 10, WEST + 20, SOUTH + 20)
    outer = square(WEST, SOUTH, WEST + 30, SOUTH + 30)
    people = (
        People().add(1, WEST + 15, SOUTH + 15).add(2, WEST + 10, SOUTH + 15).add(3, WEST, SOUTH)
    )
    assert check(people, outer.difference(hole), set()).people == 2


def test_a_far_place_does_not_hide_and_is_found() -> None:
    rng = np.random.default_rng(5)
    people = random_people(rng, 300).add(9999, 10_666_000, 1_077_000).add(9998, 0, 0)
    saigon = square(10_660_000, 1_070_000, 10_670_000, 1_080_000)
    assert check(people, saigon, set()).people == 1
    assert check(people, shapely.box(-180, -90, 180, 90), {1, 2, 3, 4}).people == 302
    assert check(people, MultiPolygon([saigon, square(-5, -5, 5, 5)]), set()).people == 2


def test_an_area_larger_than_everything_takes_everyone() -> None:
    people = random_people(np.random.default_rng(6), 200)
    assert check(people, shapely.box(0, 0, 179, 89), {1, 2, 3, 4}).people == 200


def test_nobody_is_in_an_empty_or_distant_area_or_an_empty_index() -> None:
    people = random_people(np.random.default_rng(7), 100)
    assert check(people, Polygon(), set()).people == 0
    assert check(people, shapely.box(-10, -10, -9, -9), set()).people == 0
    nobody = People().index()
    assert nobody.breakdown(shapely.box(0, 0, 179, 89), {1}) == Counts(
        0, {"push": 0, "sms": 0, "email": 0}, {"vi": 0, "en": 0}, {}, 0
    )
    assert len(nobody.select(shapely.box(0, 0, 179, 89))) == 0
    assert nobody.count_units([1]) == 0
    assert len(nobody.places_of([1, 2]).person_ids) == 0
    assert not nobody.density(105, 20, 106, 22, 4, 3).any()


def test_large_unit_ids_and_many_units_keep_their_counts() -> None:
    people = People()
    for person in range(10_000):
        people.add(person, WEST + person % 100, SOUTH + person // 100, unit=3_000_000_000 + person)
    index = people.index()
    counts = index.breakdown(square(WEST, SOUTH, WEST + 1, SOUTH + 1))
    assert counts.by_unit == {3_000_000_000 + n: 1 for n in (0, 1, 100, 101)}


def test_it_keeps_to_32_bytes_a_place() -> None:
    rng = np.random.default_rng(8)
    n = 200_000
    x, y = WEST + rng.integers(0, 40_000, (2, n))
    person = rng.integers(0, n, n)
    index = PeopleIndex.build(person, x, y, rng.integers(1, 127, n), np.ones(n), np.zeros(n))
    assert index.places == n
    assert index.people == len(set(person.tolist()))
    assert index.nbytes / index.places <= 32


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (([1], [1, 2], [1], [1], [1], [0]), "length"),
        (([1], [1], [1], [1], [8], [0]), "channel"),
        (([1], [1], [1], [1], [1], [2]), "language"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: tuple[list[int], ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PeopleIndex.build(*columns)


def test_a_person_who_watches_very_many_places_is_counted_once_and_too_many_are_refused() -> None:
    people = random_people(np.random.default_rng(9), 50)
    for step in range(MOST_PLACES):
        people.add(7_000_000, WEST + step * 10, SOUTH + step * 10, unit=1)
    for step in (0, 200, 900):
        check(people, square(WEST + step, SOUTH, WEST + 1000, SOUTH + 1000), {1, 2})
    people.add(7_000_000, unit=3)
    with pytest.raises(ValueError, match="more than 100 places"):
        people.index()


def test_a_person_known_by_several_candidate_units_is_counted_once() -> None:
    people = People().add(1, unit=3).add(1, unit=4).add(2, unit=4).add(2, WEST, SOUTH, unit=5)
    nowhere = shapely.box(-1, -1, 0, 0)
    for taken, number in ((set(), 0), ({3}, 1), ({4}, 2), ({3, 4}, 2), ({5}, 0)):
        counts = check(people, nowhere, taken)
        assert (counts.people, counts.by_unit_only) == (number, number)


def test_long_slices_are_counted_by_checkpoints_as_one_by_one() -> None:
    rng = np.random.default_rng(10)
    n = 60_000
    x, y = WEST + rng.integers(0, 300, n), SOUTH + rng.integers(0, 300, n)
    unit, channels, lang = rng.integers(1, 4, n), rng.integers(0, 8, n), rng.integers(0, 2, n)
    index = PeopleIndex.build(np.arange(n), x, y, unit, channels, lang)
    for edge in (0, 1, 57, 150, 299):
        shape = square(WEST, SOUTH, WEST + 299, SOUTH + edge)
        counts, inside = index.breakdown(shape), y <= SOUTH + edge
        assert counts.people == index.count(shape) == inside.sum()
        assert counts.by_unit == {u: int((inside & (unit == u)).sum()) for u in (1, 2, 3)}
        assert counts.by_lang["en"] == (inside & (lang == 1)).sum()
        assert counts.by_channel["sms"] == (inside & (channels & SMS > 0)).sum()


def test_places_of_gives_back_what_was_given() -> None:
    people = random_people(np.random.default_rng(11), 200).add(4_000_000_000, WEST, SOUTH, 2, 7, 1)
    index = people.index()
    for wanted in ({4_000_000_000}, {row[0] for row in people.rows[:30]} | {123_456_789}, set()):
        columns = index.places_of(list(wanted))
        given_rows = sorted(row for row in people.rows if row[0] in wanted)
        assert sorted(zip(*(c.tolist() for c in columns), strict=True)) == given_rows
    again = PeopleIndex.build(*index.places_of(index.person_ids))
    assert again.person_ids.tolist() == sorted({row[0] for row in people.rows})
    check(people, square(WEST, SOUTH, WEST + 500, SOUTH + 500), {1}, again)


def test_density_counts_homes_with_a_point_once_each() -> None:
    people = People().add(1, WEST, SOUTH).add(1, WEST + 999, SOUTH + 999).add(2, unit=3)
    for person in range(3, 20):
        people.add(person, WEST + 999, SOUTH)
    west, south = WEST / 100_000, SOUTH / 100_000
    drawn = people.index().density(west, south, west + 0.01, south + 0.01, 4, 2)
    assert drawn.tolist() == [[1, 0, 0, 17], [0, 0, 0, 0]]
    assert people.index().density(100, 10, 101, 11, 5, 5).tolist() == [[0] * 5] * 5
    assert people.index().density(100, 10, 110, 30, 1, 1).tolist() == [[18]]


def fastest(question: Callable[[], object]) -> float:
    spans = []
    for _ in range(5):
        start = time.process_time()
        question()
        spans.append(time.process_time() - start)
    return min(spans)


def test_the_cost_grows_with_the_border_not_with_the_people() -> None:
    rng = np.random.default_rng(12)

    def city(n: int) -> PeopleIndex:
        x, y = WEST + rng.integers(0, 40_000, n), SOUTH + rng.integers(0, 40_000, n)
        return PeopleIndex.build(np.arange(n), x, y, np.ones(n), np.ones(n), np.zeros(n))

    shape = shapely.Point(105.9, 21.1).buffer(0.1)
    small, large = city(30_000), city(600_000)
    assert large.count(shape) > 15 * small.count(shape)
    assert fastest(lambda: large.count(shape)) < 8 * fastest(lambda: small.count(shape))


def test_a_raster_is_moved_to_the_lines_that_people_are_kept_by() -> None:
    grid = Grid.over(10_500_000, 2_000_000, 10_600_000, 2_100_000, side=100)
    box, cols, rows = aligned(grid, (105.2, 20.3, 105.4, 20.5), 8, 400)
    west, south, east, north = box
    assert west <= 105.2 < 105.4 <= east
    assert south <= 20.3 < 20.5 <= north
    wide = (east - west) * UNITS_PER_DEGREE / cols
    assert wide % grid.width == pytest.approx(0, abs=1e-6)
    assert wide / UNITS_PER_DEGREE == pytest.approx(0.025, rel=0.3)
    assert (north - south) * UNITS_PER_DEGREE / rows == pytest.approx(grid.height)
