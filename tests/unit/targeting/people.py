"""Places as plain rows, areas of every awkward kind, and what an index should answer."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import shapely
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from targeting.index import EMAIL, NO_POINT, PUSH, SMS, Columns, Counts, PeopleIndex
from targeting.live_index import LiveIndex

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

    @property
    def columns(self) -> Columns:
        return Columns.of(*np.array(self.rows, dtype=np.int64).reshape(-1, 6).T)

    def index(self) -> PeopleIndex:
        return PeopleIndex.build(*self.columns, languages=LANGUAGES)

    def without(self, persons: set[int]) -> "People":
        return People([row for row in self.rows if row[0] not in persons])

    def ways_in(self, shape: BaseGeometry, units: set[int]) -> dict[int, tuple[bool, int]]:
        """Return, of everyone inside, whether by a point, and the unit of the place that counts."""
        person, x, y, unit = (np.array(self.rows, dtype=np.int64).reshape(-1, 6).T)[:4]
        covered = shapely.covers(shape, shapely.points(x / 100_000, y / 100_000))
        covered &= x != NO_POINT
        taken = np.isin(unit, list(units)) & (x == NO_POINT)
        found: dict[int, tuple[bool, int]] = {}
        for by_point, inside in ((True, covered), (False, taken)):
            for row in np.flatnonzero(inside).tolist():
                found.setdefault(int(person[row]), (by_point, int(unit[row])))
        return found


def check(
    people: People,
    shape: BaseGeometry,
    units: set[int],
    index: PeopleIndex | LiveIndex | None = None,
) -> Counts:
    """Put an area to the index, in every way there is, and to brute force."""
    index = index or people.index()
    expected = people.ways_in(shape, units)
    selection = index.select(shape, units)
    assert selection.person_ids.dtype == np.uint32
    assert selection.person_ids.tolist() == sorted(expected)
    assert index.count(shape, units) == len(selection) == len(expected)
    counts = index.breakdown(shape, units)
    assert counts.people == len(expected)
    assert counts.by_unit_only == sum(1 for by_point, _ in expected.values() if not by_point)
    assert counts.by_unit == Counter(unit for _, unit in expected.values())
    chosen = {row[0]: row for row in people.rows if row[0] in expected}
    for name, bit in (("push", PUSH), ("sms", SMS), ("email", EMAIL)):
        assert counts.by_channel[name] == sum(1 for row in chosen.values() if row[4] & bit)
    langs = Counter(LANGUAGES[row[5]] for row in chosen.values())
    assert counts.by_lang == {lang: langs[lang] for lang in LANGUAGES}
    return counts


def random_people(rng: np.random.Generator, n: int, units: int = 4) -> People:
    """People around one kilometre: half with more places, a fifth of all known by unit only."""
    people = People()
    for person in rng.permutation(n * 2)[:n].tolist():
        channels, lang = int(rng.integers(0, 8)), int(rng.integers(0, 2))
        for _ in range(int(rng.choice([1, 1, 1, 2, 3, 6]))):
            unit = int(rng.integers(1, units + 1))
            if rng.random() < 0.2:
                people.add(person, unit=unit, channels=channels, lang=lang)
            else:
                # Half stand where borders are drawn: on the lattice of corners.
                x, y = (
                    rng.integers(0, 1000, 2) if rng.random() < 0.5 else rng.integers(0, 20, 2) * 50
                )
                people.add(person, WEST + int(x), SOUTH + int(y), unit, channels, lang)
    # Nobody's rows need stand together.
    return People([people.rows[row] for row in rng.permutation(len(people.rows)).tolist()])


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


AREAS = shapes().filter(polygonal)


def square(west: int, south: int, east: int, north: int) -> Polygon:
    corners = [(west, south), (east, south), (east, north), (west, north)]
    return Polygon(np.array(corners) / 100_000)
