"""An index with changes answers as one built anew."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from targeting.index import PeopleIndex
from targeting.live_index import LiveIndex
from tests.unit.targeting.people import (
    AREAS,
    LANGUAGES,
    SOUTH,
    WEST,
    People,
    check,
    random_people,
    square,
)

BASE = random_people(np.random.default_rng(1), 300)
BUILT = BASE.index()
KNOWN = sorted({row[0] for row in BASE.rows})


def changed(seed: int, number: int) -> tuple[LiveIndex, People]:
    """Let some people leave, move and join; return the live index and who is there now."""
    rng = np.random.default_rng(seed)
    named = set(rng.choice(KNOWN, number, replace=False).tolist())
    leaving = set(list(named)[: number // 3])
    fresh = random_people(rng, 60).rows
    # Those who move get new places; those who are new get ids the base has never seen.
    joining = People([row for row in fresh if row[0] in named - leaving])
    joining.rows += [(row[0] + 1_000_000, *row[1:]) for row in fresh]
    ids = named | {row[0] for row in joining.rows}
    live = LiveIndex.changed(BUILT, sorted(ids), joining.columns)
    return live, People(BASE.without(ids).rows + joining.rows)


@given(
    seed=st.integers(0, 1000),
    number=st.sampled_from([0, 1, 5, 150, 300]),
    shape=AREAS,
    units=st.sets(st.integers(1, 6)),
)
def test_it_answers_as_a_fresh_index_does(
    seed: int, number: int, shape: BaseGeometry, units: set[int]
) -> None:
    live, people = changed(seed, number)
    check(people, shape, units, live)
    fresh = people.index()
    assert (live.people, live.places) == (fresh.people, fresh.places)
    assert live.count_units(units) == fresh.count_units(units)


def test_places_of_changed_and_unchanged_people_are_those_of_now() -> None:
    live, people = changed(3, 100)
    ids = {row[0] for row in people.rows} | set(KNOWN)
    columns = live.places_of(sorted(ids))
    assert sorted(zip(*(c.tolist() for c in columns), strict=True)) == sorted(people.rows)


def test_density_moves_with_the_people_and_is_never_negative() -> None:
    live, people = changed(4, 200)
    west, south = WEST / 100_000, SOUTH / 100_000
    for size in (1, 3, 10):
        drawn = live.density(west - 0.01, south - 0.01, west + 0.02, south + 0.02, size, size)
        assert drawn.min() >= 0
        pointed = {row[0] for row in people.rows if row[1] >= 0}
        assert drawn.sum() == len(pointed)


def test_nothing_changed_is_the_base() -> None:
    live = LiveIndex.changed(BUILT, [], People().columns)
    check(BASE, square(WEST, SOUTH, WEST + 400, SOUTH + 700), {2}, live)
    assert live.languages == LANGUAGES
    assert not live.located


def test_a_base_with_nobody_takes_changes() -> None:
    base = PeopleIndex.build(*People().columns)
    people = random_people(np.random.default_rng(5), 40)
    live = LiveIndex.changed(base, [row[0] for row in people.rows], people.columns)
    check(people, shapely.box(105, 20, 106, 21.5), {1, 2}, live)


@pytest.mark.parametrize("far", [True, False])
def test_people_who_move_out_of_the_base_grid_are_still_counted(far: bool) -> None:
    person = KNOWN[0]
    moved = People().add(person, 10_666_000 if far else WEST - 5_000, 1_077_000 if far else SOUTH)
    live = LiveIndex.changed(BUILT, [person], moved.columns)
    people = People(BASE.without({person}).rows + moved.rows)
    check(people, shapely.box(100, 10, 110, 11), set(), live)
    check(people, shapely.box(100, 10, 110, 30), set(), live)
