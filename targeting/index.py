"""Who is in an area: a read-only index over people's places, exact at the border.

The first place of a person is the home; the others are watched places. Homes and other places
are two tables. A row of the home table stands for one person, so people are counted once by
flagging home rows, whatever number of their places is inside. Who has a point inside comes
first; those known only by a unit that the area takes are added after, and counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from targeting.grid import Int32s, Ints, to_units
from targeting.index_file import IndexFileError, Sections, read_sections, write_sections
from targeting.outlines import Outlines
from targeting.places_store import NO_ROWS, ByUnit, Points, Rows
from targeting.units import UnitKey

__all__ = ["IndexFileError"]

PUSH, SMS, EMAIL = 1, 2, 4
CHANNELS = {"push": PUSH, "sms": SMS, "email": EMAIL}
CHANNEL_SETS = 8
# As longitude and latitude: a place that is known by its unit only.
NO_POINT = -(2**31)

Ids: TypeAlias = NDArray[np.uint32]
Profiles: TypeAlias = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many people an area has; a person counts under the unit of the place inside.

    `by_unit_only` are those included although no point of theirs is known to be inside.
    """

    people: int
    by_channel: dict[str, int]
    by_lang: dict[str, int]
    by_unit: dict[int, int]
    by_unit_only: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The people of an area: sorted, each once."""

    person_ids: Ids

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.person_ids)


class Columns(NamedTuple):
    """Places as columns of equal length; a person's rows may stand anywhere.

    Lons and lats are in 1e-5 degree or NO_POINT.
    """

    person_ids: Ids
    lons: Int32s
    lats: Int32s
    unit_ids: Ids
    channels: NDArray[np.uint8]
    langs: NDArray[np.uint8]

    def check(self) -> None:
        """Refuse columns that do not fit together."""
        if {len(column) for column in self} != {len(self.person_ids)}:
            raise ValueError("the columns differ in length")
        if len(self.channels) and int(self.channels.max()) >= CHANNEL_SETS:
            raise ValueError("an unknown channel bit is set")

    def homes(self) -> NDArray[np.bool_]:
        """Tell of each row whether it is the first of its person."""
        rows = np.arange(len(self.person_ids), dtype=np.uint32)
        size = int(self.person_ids.max()) + 1 if len(rows) else 0
        first = np.full(size, len(rows), dtype=np.uint32)
        # Of several writes to one place the last stays: going backwards, that is the first row.
        first[self.person_ids[::-1]] = rows[::-1]
        return np.equal(first[self.person_ids], rows)


@dataclass(frozen=True, slots=True)
class _Table:
    """Places with a point, then places known by unit only; a profile for every row."""

    points: Points
    by_unit: ByUnit
    profiles: Profiles

    def near(self, shape: BaseGeometry) -> Rows:
        return self.points.inside(shape)

    def of_units(self, units: Iterable[int]) -> Rows:
        return self.by_unit.inside(units, first_row=len(self.points.x))

    @property
    def nbytes(self) -> int:
        return self.points.nbytes + self.by_unit.nbytes + self.profiles.nbytes


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows by which people came in, each person by exactly one row."""

    homes: list[Rows]
    others: list[Ints]
    by_point: int

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.homes) + sum(len(rows) for rows in self.others)


class PeopleIndex:
    """An index over places, built at once and then only read, from any number of threads."""

    def __init__(
        self, columns: Columns, unit_ids: Ids, languages: Sequence[str], profiles: Profiles
    ) -> None:
        """Sort the columns; use `build`."""
        self.columns, self.meta = columns, dict[str, Any]()
        self._unit_ids = unit_ids
        self._languages = tuple(languages)
        home = columns.homes()
        self._homes, order = _table(columns, profiles, np.flatnonzero(home))
        self._persons = columns.person_ids[order]
        home_row = np.empty(int(self._persons.max()) + 1 if len(order) else 0, dtype=np.uint32)
        home_row[self._persons] = np.arange(len(order), dtype=np.uint32)
        self._others, order = _table(columns, profiles, np.flatnonzero(~home))
        self._home_rows = home_row[columns.person_ids[order]]

    @classmethod
    def build(
        cls,
        person_ids: ArrayLike,
        lons: ArrayLike,
        lats: ArrayLike,
        unit_ids: ArrayLike,
        channels: ArrayLike,
        langs: ArrayLike,
        *,
        languages: Sequence[str] = ("vi", "en"),
        outlines: Outlines | None = None,
        unit_keys: Mapping[UnitKey, int] | None = None,
    ) -> PeopleIndex:
        """Build from one row a place.

        Person ids are dense; lons and lats are in 1e-5 degree or NO_POINT; unit ids are given for
        every place (0: none known); channels are bits; langs are positions in `languages`.
        """
        columns = Columns(
            np.asarray(person_ids, dtype=np.uint32),
            np.asarray(lons, dtype=np.int32),
            np.asarray(lats, dtype=np.int32),
            np.asarray(unit_ids, dtype=np.uint32),
            np.asarray(channels, dtype=np.uint8),
            np.asarray(langs, dtype=np.uint8),
        )
        columns.check()
        if len(columns.langs) and int(columns.langs.max()) >= len(languages):
            raise ValueError("a language has no name")
        known = np.unique(columns.unit_ids)
        return cls(columns, known, languages, _profiles(columns, known, len(languages)))

    @property
    def people(self) -> int:
        """Return the number of people."""
        return len(self._persons)

    @property
    def places(self) -> int:
        """Return the number of places of all people."""
        return len(self._persons) + len(self._home_rows)

    @property
    def nbytes(self) -> int:
        """Return the memory of all columns."""
        tables = self._homes.nbytes + self._others.nbytes
        return tables + self._persons.nbytes + self._home_rows.nbytes + self._unit_ids.nbytes

    def select(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> Selection:
        """Return the people with a place that `shape` covers, or known by a taken unit only."""
        found = self._find(shape, unit_ids_taken)
        parts = [rows.take(self._persons) for rows in found.homes]
        parts += [self._persons[self._home_rows[rows]] for rows in found.others]
        person_ids = np.concatenate(parts).astype(np.uint32, copy=False)
        person_ids.sort()
        return Selection(person_ids)

    @property
    def languages(self) -> tuple[str, ...]:
        return self._languages

    @property
    def person_ids(self) -> Ids:
        """Return everybody's id, sorted."""
        return np.sort(self._persons)

    def save(self, path: Path, meta: dict[str, Any] | None = None) -> None:
        """Write the index to a file, whole or not at all."""
        facts = {"languages": self._languages}
        write_sections(path, Sections(facts, self.columns._asdict(), meta or self.meta))

    @classmethod
    def open(cls, path: Path) -> PeopleIndex:
        """Open a saved index; raises IndexFileError."""
        sections = read_sections(path)
        index = cls.build(**sections.arrays, languages=tuple(sections.facts["languages"]))
        index.meta = sections.meta
        return index

    def count(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> int:
        """Count the same people."""
        return len(self._find(shape, unit_ids_taken))

    def count_units(self, unit_ids: Iterable[int]) -> int:
        """Count the people of whole units."""
        taken = np.isin(self.columns.unit_ids, list(unit_ids))
        return len(np.unique(self.columns.person_ids[taken]))

    def places_of(self, person_ids: ArrayLike) -> Columns:
        """Return the places of some people."""
        rows = np.isin(self.columns.person_ids, person_ids)
        return Columns(*(column[rows] for column in self.columns))

    @property
    def points(self) -> tuple[Int32s, Int32s]:
        """Return everybody's first point."""
        return self._homes.points.x, self._homes.points.y

    def density(
        self, west: float, south: float, east: float, north: float, cols: int, rows: int
    ) -> Ints:
        """Count people's first points per cell of a raster, [row, col] from the south-west."""
        return self.density_of(self.points, west, south, east, north, cols, rows)

    def density_of(
        self, points: tuple[Int32s, Int32s], west: float, south: float,
        east: float, north: float, cols: int, rows: int,
    ) -> Ints:  # fmt: skip
        """Count some points as `density` would."""
        x, y = points
        edges = [np.linspace(*to_units(np.array(ends)), n + 1) for ends, n in
                 (((south, north), rows), ((west, east), cols))]  # fmt: skip
        return np.histogram2d(y, x, bins=edges)[0].astype(np.int64)

    def breakdown(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> Counts:
        """Count the same people, by channel, language and unit."""
        found = self._find(shape, unit_ids_taken)
        parts = [rows.take(self._homes.profiles) for rows in found.homes]
        parts += [self._others.profiles[rows] for rows in found.others]
        size = len(self._unit_ids) * len(self._languages) * CHANNEL_SETS
        tally = sum((np.bincount(part, minlength=size) for part in parts), np.zeros(size, np.int64))
        return self._counts(tally, len(found) - found.by_point)

    def _counts(self, tally: Ints, by_unit_only: int) -> Counts:
        table = tally.reshape(len(self._unit_ids), len(self._languages), CHANNEL_SETS)
        of_set = table.sum(axis=(0, 1))
        sets = np.arange(CHANNEL_SETS)
        of_unit = zip(self._unit_ids.tolist(), table.sum(axis=(1, 2)).tolist(), strict=True)
        return Counts(
            people=int(tally.sum()),
            by_channel={n: int(of_set[sets & bit > 0].sum()) for n, bit in CHANNELS.items()},
            by_lang=dict(zip(self._languages, table.sum(axis=(0, 2)).tolist(), strict=True)),
            by_unit={unit: number for unit, number in of_unit if number},
            by_unit_only=by_unit_only,
        )

    def _find(self, shape: BaseGeometry, units: Iterable[int]) -> _Found:
        units = list(units)
        shapely.prepare(shape)
        near = self._homes.near(shape)
        of_units = self._homes.of_units(units)
        if not len(self._home_rows):
            return _Found([near, of_units], [], len(near))
        flags = np.zeros(len(self._persons), dtype=bool)
        near.mark(flags)
        others = [self._new(self._others.near(shape), flags)]
        by_point = len(near) + len(others[0])
        of_units = _unflagged(of_units, flags)
        of_units.mark(flags)
        others.append(self._new(self._others.of_units(units), flags))
        return _Found([near, of_units], others, by_point)

    def _new(self, rows: Rows, flags: NDArray[np.bool_]) -> Ints:
        """Flag the people of these other places; return one row for each who is new."""
        numbers = rows.numbers()
        homes = rows.take(self._home_rows)
        new = np.flatnonzero(~flags[homes])
        numbers, homes = numbers[new], homes[new]
        flags[homes] = True
        # Several places of one person: whichever is written last speaks for them.
        speaker = np.empty(len(flags), dtype=np.uint32)
        speaker[homes] = np.arange(len(homes), dtype=np.uint32)
        speaks = np.equal(speaker[homes], np.arange(len(homes), dtype=np.uint32))
        return np.asarray(numbers[speaks])


def _unflagged(rows: Rows, flags: NDArray[np.bool_]) -> Rows:
    numbers = rows.numbers()
    return Rows(NO_ROWS.starts, NO_ROWS.ends, numbers[~flags[numbers]])


def _profiles(columns: Columns, known: Ids, languages: int) -> Profiles:
    """Return one number for the unit, language and channels of each place."""
    position = np.searchsorted(known, columns.unit_ids).astype(np.uint32)
    profiles = position * np.uint32(languages)
    profiles += columns.langs
    profiles *= np.uint32(CHANNEL_SETS)
    profiles += columns.channels
    size = len(known) * languages * CHANNEL_SETS
    return profiles.astype(np.uint16 if size <= 2**16 else np.uint32)


def _table(columns: Columns, profiles: Profiles, rows: Ints) -> tuple[_Table, Ints]:
    """Return the table of some rows, and for each row of it its position in the columns."""
    unit_only = columns.lons[rows] == NO_POINT
    with_point, without = rows[~unit_only], rows[unit_only]
    points, order = Points.sort(columns.lons[with_point], columns.lats[with_point])
    by_unit, unit_order = ByUnit.sort(columns.unit_ids[without])
    positions = np.concatenate((with_point[order], without[unit_order]))
    return _Table(points, by_unit, profiles[positions]), positions
