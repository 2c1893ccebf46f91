"""Who is in an area: an index over people's places, exact at the border, each person once.

Built at once, saved to one file and opened from it by any number of processes and threads, which
share its pages. What changed since is answered for by LiveIndex. Somebody counts by the first of
their places that is inside: those with a point come before those known by unit only, which are
inside when their unit is taken and are counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from shapely.geometry.base import BaseGeometry

from targeting.columns import (
    CHANNEL_SETS,
    CHANNELS,
    EMAIL,
    NO_POINT,
    PUSH,
    SMS,
    Columns,
    Ids,
)
from targeting.grid import Grid, Ints
from targeting.index_build import People, build_tables
from targeting.index_file import IndexFileError, Sections, read_sections, write_sections
from targeting.index_query import Found, Question
from targeting.index_raster import Raster
from targeting.index_table import Table
from targeting.index_tally import Checkpoints, tally_all
from targeting.index_units import UnitSets, unit_sets
from targeting.outlines import Outlines
from targeting.units import UnitKey

__all__ = [
    "CHANNELS",
    "EMAIL",
    "NO_POINT",
    "PUSH",
    "SMS",
    "Columns",
    "Counts",
    "Ids",
    "IndexFileError",
    "PeopleIndex",
    "Selection",
]


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
    by_set: Mapping[int, int] = field(default_factory=dict, compare=False)
    """People by the set of their channels: the sum of the CHANNELS they have."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The people of an area: sorted, each once."""

    person_ids: Ids

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.person_ids)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything an index knows: columns that may be views of a file, and small facts."""

    grid: Grid
    languages: tuple[str, ...]
    units: Ids
    tables: list[Table]
    people: People
    checkpoints: Checkpoints
    sets: UnitSets


class PeopleIndex:
    """An index over places. `meta` are its maker's notes, kept in the file."""

    def __init__(self, parts: _Parts, meta: dict[str, Any]) -> None:
        """Take the parts; use `build` or `open`."""
        self._parts, self.meta = parts, meta

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
        """Build from one row a place, as Columns describes them.

        Outlines with the ids of their units let `count_units` know of points on a border between
        units, which are in both; without them a point is only in the unit given for it. Raises
        ValueError when the columns do not fit.
        """
        columns = Columns.of(person_ids, lons, lats, unit_ids, channels, langs)
        if len(columns.langs) and int(columns.langs.max()) >= len(languages):
            raise ValueError("a language has no name")
        built = build_tables(columns, len(languages))
        classes = len(languages) * CHANNEL_SETS
        parts = _Parts(
            grid=built.grid,
            languages=tuple(languages),
            units=built.units,
            tables=built.tables,
            people=built.people,
            checkpoints=Checkpoints.of(built.tables[0].profiles, len(built.units), classes),
            sets=unit_sets(built.units, classes, built.tables, outlines, unit_keys or {}),
        )
        return cls(parts, {})

    def save(self, path: Path, meta: dict[str, Any] | None = None) -> None:
        """Write the index to a file, whole or not at all; `meta` must be fit for JSON."""
        parts = self._parts
        grid = parts.grid
        facts = {
            "grid": [grid.west, grid.south, grid.width, grid.height, grid.cols, grid.rows],
            "languages": parts.languages,
            "ranks": len(parts.tables),
            "step": parts.checkpoints.step,
            "located": parts.sets.located,
        }
        write_sections(path, Sections(facts, self._arrays(), self.meta if meta is None else meta))

    @classmethod
    def open(cls, path: Path) -> PeopleIndex:
        """Open a saved index without reading it: its columns are views of the file.

        Raises IndexFileError when the file is not there, not an index, damaged, or of a version
        that this program does not read.
        """
        sections = read_sections(path)
        arrays, facts = sections.arrays, sections.facts
        try:
            ranks = int(facts["ranks"])
            parts = _Parts(
                grid=Grid(*(int(number) for number in facts["grid"])),
                languages=tuple(facts["languages"]),
                units=arrays["units"],
                tables=[Table.of_arrays(arrays, rank) for rank in range(ranks)],
                people=People(arrays["persons"], arrays["ids"], arrays["directory"]),
                checkpoints=Checkpoints(int(facts["step"]), arrays["by_class"], arrays["by_unit"]),
                sets=UnitSets.of_arrays(arrays, ranks, bool(facts["located"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IndexFileError(f"{path} is damaged: it lacks {error}") from error
        return cls(parts, sections.meta)

    def _arrays(self) -> dict[str, Any]:
        parts = self._parts
        arrays: dict[str, Any] = {
            "units": parts.units,
            "persons": parts.people.persons,
            "ids": parts.people.ids,
            "directory": parts.people.directory,
            "by_class": parts.checkpoints.by_class,
            "by_unit": parts.checkpoints.by_unit,
        }
        for rank, table in enumerate(parts.tables):
            arrays |= table.arrays(rank)
        return arrays | parts.sets.arrays()

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the names of the languages, in the order of `langs`."""
        return self._parts.languages

    @property
    def people(self) -> int:
        """Return the number of people."""
        return len(self._parts.people.persons)

    @property
    def places(self) -> int:
        """Return the number of places of all people."""
        return sum(len(table) for table in self._parts.tables)

    @property
    def located(self) -> bool:
        """Tell whether outlines were given, so that `count_units` is exact at their borders."""
        return self._parts.sets.located

    @property
    def nbytes(self) -> int:
        """Return the size of all columns."""
        return sum(array.nbytes for array in self._arrays().values())

    @cached_property
    def person_ids(self) -> Ids:
        """Return everybody's id, sorted."""
        return np.sort(self._parts.people.persons)

    def count(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> int:
        """Count the people with a place that `shape` covers, or known by a taken unit only."""
        return sum(len(one) for one in self._found(shape, unit_ids_taken))

    def breakdown(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> Counts:
        """Count the same people, by channel, language and unit."""
        parts = self._parts
        found = self._found(shape, unit_ids_taken)
        tally = tally_all(found, parts.tables, parts.checkpoints)
        of_class = tally.by_class.reshape(len(parts.languages), CHANNEL_SETS)
        of_set, sets = of_class.sum(axis=0), np.arange(CHANNEL_SETS)
        of_unit = zip(parts.units.tolist(), tally.by_unit.tolist(), strict=True)
        return Counts(
            people=int(tally.by_class.sum()),
            by_channel={n: int(of_set[sets & bit > 0].sum()) for n, bit in CHANNELS.items()},
            by_lang=dict(zip(parts.languages, of_class.sum(axis=1).tolist(), strict=True)),
            by_unit={unit: number for unit, number in of_unit if number},
            by_unit_only=sum(one.by_unit_only() for one in found),
            by_set=dict(enumerate(of_set.tolist())),
        )

    def count_units(self, unit_ids: Iterable[int]) -> int:
        """Count the people of whole units, as `count` does by their outlines, when `located`."""
        return self._parts.sets.count(unit_ids)

    def select(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> Selection:
        """Return the people `count` counts."""
        persons = self._parts.people.persons
        first, *later = self._found(shape, unit_ids_taken)
        ids = [first.rows.take(persons)]
        for found, table in zip(later, self._parts.tables[1:], strict=True):
            ids.append(persons[found.rows.take(table.prior_rows[0])[found.counting]])
        person_ids = np.concatenate(ids)
        person_ids.sort()
        return Selection(person_ids)

    def places_of(self, person_ids: ArrayLike) -> Columns:
        """Return the places of those of these people who are known, in the order of their ranks."""
        parts = self._parts
        wanted = np.unique(np.asarray(person_ids, dtype=np.uint32))
        rows = parts.people.rows(wanted).astype(np.int64)
        persons = parts.people.persons[rows]
        found = []
        for table in parts.tables:
            found.append(self._columns_of(table, rows, persons))
            following = table.next[rows]
            more = following > 0
            rows, persons = following[more].astype(np.int64) - 1, persons[more]
        return Columns.joined(found)

    def _columns_of(self, table: Table, rows: Ints, persons: Ids) -> Columns:
        lons, lats = (np.full(len(rows), NO_POINT, dtype=np.int32) for _ in "xy")
        pointed = rows < len(table.x)
        lons[pointed], lats[pointed] = table.x[rows[pointed]], table.y[rows[pointed]]
        profile, channels = np.divmod(table.profiles[rows], CHANNEL_SETS)
        unit, langs = np.divmod(profile, max(1, len(self.languages)))
        return Columns.of(persons, lons, lats, self._parts.units[unit], channels, langs)

    def density(
        self, west: float, south: float, east: float, north: float, cols: int, rows: int
    ) -> Ints:
        """Count people's first points per cell of a raster over a box in degrees.

        Returns (rows, cols) numbers from the south-west. Lines are moved to those of the index's
        own fine grid; people known by unit only, and strays outside that grid, are not drawn.
        """
        raster = Raster.over(self._parts.grid, west, south, east, north, cols, rows)
        return raster.of_keys(self._parts.tables[0].keys)

    @property
    def grid(self) -> Grid:
        """The fine grid that places are kept by."""
        return self._parts.grid

    def density_of(
        self, other: PeopleIndex, west: float, south: float, east: float, north: float,
        cols: int, rows: int,
    ) -> Ints:  # fmt: skip
        """Count the people of another index on the same raster, line for line."""
        raster = Raster.over(self._parts.grid, west, south, east, north, cols, rows)
        table = other._parts.tables[0]
        return raster.of_points(table.x, table.y)

    def _found(self, shape: BaseGeometry, unit_ids: Iterable[int]) -> list[Found]:
        parts = self._parts
        first_unit = parts.grid.cells + 1
        wanted = np.fromiter(unit_ids, dtype=np.int64)
        units = first_unit + np.flatnonzero(np.isin(parts.units, wanted))
        keys = first_unit + len(parts.units)
        return Question(parts.grid, parts.tables, keys, shape, units).found()
