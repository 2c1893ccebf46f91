"""The index against brute force: exact at every border, each person once."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from targeting.cover import Cover, covers_points
from targeting.grid import Grid, ranges
from targeting.index import EMAIL, NO_POINT, PUSH, SMS, Counts, PeopleIndex

WEST, SOUTH = 10_570_000, 2_090_000
LANGUAGES = ("vi", "en")


@dataclass
class People:
    """Places as plain rows, and what the index should answer, worked out one by one."""

    rows: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)

    def add(
        self,
        person: int,
        x: int = NO_POINT,
        y: int = NO_POINT,
        unit: int = 0,
        channels: int = PUSH,
        lang: int = 0,
    ) -> "People":
        self.rows.append((person, x, y, unit, channels, lang))
        return self

    def index(self) -> PeopleIndex:
        columns = np.array(self.rows, dtype=np.int64).reshape(-1, 6).T
        return PeopleIndex.build(*columns, languages=LANGUAGES)

    def inside(self, shape: BaseGeometry, units: set[int]) -> tuple[set[int], set[int]]:
        columns = np.array(self.rows, dtype=np.int64).reshape(-1, 6).T
        person, x, y, unit = columns[:4]
        points = shapely.points(x / 100_000, y / 100_000)
        covered = shapely.covers(shape, points) & (x != NO_POINT)
        by_point = set(person[covered].tolist())
        by_unit = set(person[np.isin(unit, list(units)) & (x == NO_POINT)].tolist())
        return by_point, by_unit - by_point


def check(people: People, shape: BaseGeometry, units: set[int]) -> Counts:
    index = people.index()
    by_point, by_unit = people.inside(shape, units)
    selection = index.select(shape, units)
    assert selection.person_ids.dtype == np.uint32
    assert selection.person_ids.tolist() == sorted(by_point | by_unit)
    counts = index.breakdown(shape, units)
    assert counts.people == len(selection) == len(by_point | by_unit)
    assert counts.by_unit_only == len(by_unit)
    chosen = {row[0]: row for row in people.rows if row[0] in by_point | by_unit}
    for name, bit in (("push", PUSH), ("sms", SMS), ("email", EMAIL)):
        assert counts.by_channel[name] == sum(1 for row in chosen.values() if row[4] & bit)
    langs = Counter(LANGUAGES[row[5]] for row in chosen.values())
    assert counts.by_lang == {lang: langs[lang] for lang in LANGUAGES}
    assert sum(counts.by_unit.values()) == counts.people
    return counts


def random_people(rng: np.random.Generator, n: int) -> People:
    """People around one kilometre: a third with more places, a fifth known by unit only."""
    people = People()
    for person in rng.permutation(n * 2)[:n].tolist():
        channels, lang = int(rng.integers(0, 8)), int(rng.integers(0, 2))
        for _ in range(int(rng.choice([1, 1, 1, 2, 3, 6]))):
            unit = int(rng.integers(1, 5))
            if rng.random() < 0.2:
                people.add(person, unit=unit, channels=channels, lang=lang)
            else:
                x, y = rng.integers(0, 1000, 2).tolist()
                people.add(person, WEST + x, SOUTH + y, unit, channels, lang)
    return people


# Corners on a coarse lattice make points on the border, shared corners and slivers common.
CORNER = st.tuples(st.integers(-3, 23), st.integers(-3, 23))


def ring(corners: list[tuple[int, int]]) -> NDArray[np.float64]:
    units = np.array(corners) * 50 + (WEST, SOUTH)
    return units / 100_000


@st.composite
def shapes(draw: st.DrawFn) -> BaseGeometry:
    """Draw any polygons, repaired, minus others: holes, slivers, several parts, shared borders."""
    rings = st.lists(CORNER, min_size=3, max_size=12, unique=True)
    added = draw(st.lists(rings, min_size=1, max_size=4))
    removed = draw(st.lists(rings, max_size=3))
    made = [shapely.make_valid(Polygon(ring(corners))) for corners in added]
    cut = [shapely.make_valid(Polygon(ring(corners))) for corners in removed]
    shape = shapely.union_all(made).difference(shapely.union_all(cut))
    parts = shapely.get_parts(shape)
    return shapely.union_all([p for p in parts if p.geom_type in ("Polygon", "MultiPolygon")])


def polygonal(shape: BaseGeometry) -> bool:
    return shape.geom_type in ("Polygon", "MultiPolygon") and not shape.is_empty


PEOPLE = [random_people(np.random.default_rng(seed), n) for seed, n in ((1, 40), (2, 400))]


@given(
    people=st.sampled_from(PEOPLE),
    shape=shapes().filter(polygonal),
    units=st.sets(st.integers(1, 6)),
)
def test_any_area_gives_what_brute_force_gives(
    people: People, shape: BaseGeometry, units: set[int]
):
    check(people, shape, units)


@given(shape=shapes().filter(polygonal), seed=st.integers(0, 1000))
def test_many_points_over_a_fine_grid_give_what_brute_force_gives(shape: BaseGeometry, seed: int):
    rng = np.random.default_rng(seed)
    x = (WEST + rng.integers(-50, 1050, 20_000)).astype(np.int32)
    y = (SOUTH + rng.integers(-50, 1050, 20_000)).astype(np.int32)
    grid = Grid.over(WEST, SOUTH, WEST + 999, SOUTH + 999, 100)
    cell = grid.cell_of(x, y)
    cover = Cover.of(shape, grid)
    inside = np.isin(cell, ranges(cover.starts, cover.ends)[1])
    bordering = np.flatnonzero(np.isin(cell, cover.border))
    nth = np.searchsorted(cover.border, cell[bordering])
    inside[bordering] = cover.covers(nth, x[bordering], y[bordering])
    held = cell < grid.cells
    assert np.array_equal(inside[held], covers_points(shape, x[held], y[held]))


def square(west: int, south: int, east: int, north: int) -> Polygon:
    corners = [(west, south), (east, south), (east, north), (west, north)]
    return Polygon(np.array(corners) / 100_000)


def test_a_person_is_counted_once_whatever_number_of_places_is_inside():
    people = People()
    for step in range(6):
        people.add(7, WEST + step, SOUTH, unit=1, channels=PUSH | SMS, lang=1)
    counts = check(people, square(WEST, SOUTH, WEST + 10, SOUTH + 10), set())
    assert counts == Counts(1, {"push": 1, "sms": 1, "email": 0}, {"vi": 0, "en": 1}, {1: 1}, 0)


def test_a_person_counts_under_the_unit_of_the_place_inside():
    far, near = (WEST + 900, SOUTH + 900), (WEST, SOUTH)
    people = People().add(1, *far, unit=9).add(1, *near, unit=4).add(2, *far, unit=9)
    counts = check(people, square(WEST, SOUTH, WEST + 10, SOUTH + 10), set())
    assert counts.by_unit == {4: 1}


def test_people_known_by_unit_are_in_when_the_unit_is_taken_and_counted_apart():
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


def test_the_border_and_its_corners_belong_to_both_neighbours():
    people = People().add(1, WEST + 10, SOUTH + 5).add(2, WEST + 10, SOUTH).add(3, WEST, SOUTH)
    left = square(WEST, SOUTH, WEST + 10, SOUTH + 10)
    right = square(WEST + 10, SOUTH, WEST + 20, SOUTH + 10)
    assert check(people, left, set()).people == 3
    assert check(people, right, set()).people == 2


def test_a_hole_excludes_and_its_border_does_not():
    hole = square(WEST + 10, SOUTH + 10, WEST + 20, SOUTH + 20)
    outer = square(WEST, SOUTH, WEST + 30, SOUTH + 30)
    people = (
        People().add(1, WEST + 15, SOUTH + 15).add(2, WEST + 10, SOUTH + 15).add(3, WEST, SOUTH)
    )
    assert check(people, outer.difference(hole), set()).people == 2


def test_a_far_place_does_not_hide_and_is_found():
    rng = np.random.default_rng(5)
    people = random_people(rng, 300).add(9999, 10_666_000, 1_077_000).add(9998, 0, 0)
    saigon = square(10_660_000, 1_070_000, 10_670_000, 1_080_000)
    assert check(people, saigon, set()).people == 1
    assert check(people, shapely.box(-180, -90, 180, 90), {1, 2, 3, 4}).people == 302
    assert check(people, MultiPolygon([saigon, square(-5, -5, 5, 5)]), set()).people == 2


def test_an_area_larger_than_everything_takes_everyone():
    people = random_people(np.random.default_rng(6), 200)
    assert check(people, shapely.box(0, 0, 179, 89), {1, 2, 3, 4}).people == 200


def test_nobody_is_in_an_empty_or_distant_area_or_an_empty_index():
    people = random_people(np.random.default_rng(7), 100)
    assert check(people, Polygon(), set()).people == 0
    assert check(people, shapely.box(-10, -10, -9, -9), set()).people == 0
    nobody = People().index()
    assert nobody.breakdown(shapely.box(0, 0, 179, 89), {1}) == Counts(
        0, {"push": 0, "sms": 0, "email": 0}, {"vi": 0, "en": 0}, {}, 0
    )
    assert len(nobody.select(shapely.box(0, 0, 179, 89))) == 0


def test_large_unit_ids_and_many_units_keep_their_counts():
    people = People()
    for person in range(10_000):
        people.add(person, WEST + person % 100, SOUTH + person // 100, unit=3_000_000_000 + person)
    index = people.index()
    counts = index.breakdown(square(WEST, SOUTH, WEST + 1, SOUTH + 1))
    assert counts.by_unit == {3_000_000_000 + n: 1 for n in (0, 1, 100, 101)}


def test_it_keeps_to_32_bytes_a_place():
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
def test_columns_that_do_not_fit_are_refused(columns: tuple[list[int], ...], reason: str):
    with pytest.raises(ValueError, match=reason):
        PeopleIndex.build(*columns)
