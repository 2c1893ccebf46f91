"""From places as columns to the tables of an index: ranks, keys, sorting, and who was where."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from targeting.columns import CHANNEL_SETS, NO_POINT, Columns, Ids
from targeting.grid import MAX_SIDE, Grid, Int32s, Ints
from targeting.index_table import Keys, Profiles, Table, Uint32s

# As many cells as half the points keep the grid small beside what it orders.
POINTS_PER_CELL = 2
# A few places far away (a mother's house in another city) must not stretch the cells.
STRAY_SHARE = 0.0005
# Numbers up to this many times as many as there are rows are looked up in an array.
SPARSE = 8
# Of one person: every rank costs 8 bytes for each rank before it.
MOST_PLACES = 100
THREADS = 2
NO_ROW = np.uint32(2**32 - 1)


@dataclass(frozen=True, slots=True)
class People:
    """Who is in an index: the person of each row of rank 0, and the row of each person.

    Row n of `directory` is for person n or, where ids are sparse, for the n-th of `ids`.
    """

    persons: Ids
    ids: Ids
    directory: Uint32s

    def rows(self, person_ids: Ids) -> Uint32s:
        """Return the rows of rank 0 of those people who are known."""
        if len(self.ids):
            at = np.searchsorted(self.ids, person_ids)
            at[at == len(self.ids)] = 0
            rows = self.directory[at[self.ids[at] == person_ids]]
        else:
            rows = self.directory[person_ids[person_ids < len(self.directory)]]
        return np.asarray(rows[rows != NO_ROW])


@dataclass(frozen=True, slots=True)
class Built:
    """The parts of an index; `grid` is common to all ranks."""

    grid: Grid
    units: Ids
    tables: list[Table]
    people: People


def build_tables(columns: Columns, languages: int) -> Built:
    """Sort places into the tables of their ranks.

    Raises ValueError when a person has more than MOST_PLACES.
    """
    units, positions = _positions(columns.unit_ids)
    profiles = _profiles(columns, positions, len(units), languages)
    with_point = columns.lons != NO_POINT
    pointed, unpointed = np.flatnonzero(with_point), np.flatnonzero(~with_point)
    grid = _grid_of(columns.lons[pointed], columns.lats[pointed])
    ids, slots, size = _slots(columns.person_ids)
    with ThreadPoolExecutor(THREADS) as pool:
        ranking = _Ranking(columns, profiles, slots, grid, len(units), size, pool)
        for rows in _ranks(slots, np.concatenate((pointed, unpointed)), size):
            points = int(np.count_nonzero(with_point[rows]))
            ranking.add(rows[:points], rows[points:], positions)
    persons = ids[ranking.slots] if len(ids) else ranking.slots
    return Built(grid, units, ranking.tables, People(persons, ids, ranking.row_of[0]))


class _Ranking:
    """The tables made so far, and where in each of them a person is."""

    def __init__(
        self,
        columns: Columns,
        profiles: Profiles,
        slots: Uint32s,
        grid: Grid,
        units: int,
        size: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._columns, self._profiles, self._slots = columns, profiles, slots
        self._grid, self._keys, self._size = grid, grid.cells + 1 + units, size
        self._pool = pool
        self._sorted_keys: list[Uint32s] = []
        self.tables: list[Table] = []
        self.row_of: list[Uint32s] = []
        # Who is in each row of rank 0.
        self.slots = slots[:0]

    def add(self, pointed: Ints, unpointed: Ints, positions: Uint32s) -> None:
        """Make the table of the next rank from its places with a point, and those without."""
        x, y = self._columns.lons[pointed], self._columns.lats[pointed]
        keys, order = _sorted(self._grid.cell_of(x, y))
        unit_keys, unit_order = _sorted(positions[unpointed] + np.uint32(self._grid.cells + 1))
        source = np.concatenate((pointed[order], unpointed[unit_order]))
        keys = np.concatenate((keys, unit_keys))
        # NumPy lets go of the interpreter while it gathers.
        columns = (x, order), (y, order), (self._profiles, source), (self._slots, source)
        x, y, profiles, slots = self._pool.map(np.take, *zip(*columns, strict=True))
        prior_keys, prior_rows = self._priors(slots)
        numbers = np.arange(len(source), dtype=np.uint32)
        if self.tables:
            self.tables[-1].next[prior_rows[-1]] = numbers + np.uint32(1)
        self.tables.append(
            Table(
                keys=Keys.of(keys, self._keys),
                x=x,
                y=y,
                profiles=profiles,
                next=np.zeros(len(source), dtype=np.uint32),
                prior_keys=prior_keys,
                prior_rows=prior_rows,
            )
        )
        row_of = np.full(self._size, NO_ROW, dtype=np.uint32)
        row_of[slots] = numbers
        self.slots = self.slots if self.row_of else slots
        self.row_of.append(row_of)
        self._sorted_keys.append(keys)

    def _priors(self, slots: Uint32s) -> tuple[Uint32s, Uint32s]:
        """Return the keys and the rows of these people's places of earlier ranks."""
        rows = np.empty((len(self.tables), len(slots)), dtype=np.uint32)
        keys = np.empty_like(rows)
        for rank, (row_of, sorted_keys) in enumerate(
            zip(self.row_of, self._sorted_keys, strict=True)
        ):
            row_of.take(slots, out=rows[rank], mode="clip")
            sorted_keys.take(rows[rank], out=keys[rank], mode="clip")
        return keys, rows


def _ranks(slots: Uint32s, rows: Ints, size: int) -> Iterator[Ints]:
    """Yield the rows that are the first of their people, then the second ones, and so on."""
    speaker = np.empty(size, dtype=np.uint32)
    for _ in range(MOST_PLACES):
        slot, numbers = slots[rows], np.arange(len(rows), dtype=np.uint32)
        # Of several writes to one place the last stays: going backwards, that is the first row.
        speaker[slot[::-1]] = numbers[::-1]
        first = speaker[slot] == numbers
        yield rows[first]
        rows = rows[~first]
        if not len(rows):
            return
    raise ValueError(f"a person has more than {MOST_PLACES} places")


def _sorted(keys: Uint32s) -> tuple[Uint32s, Ints]:
    """Return the keys sorted, and the position each had."""
    # Sorting (key, position) packed in one word is several times faster than argsort.
    packed = keys.astype(np.uint64) << np.uint64(32)
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    ordered = (packed >> np.uint64(32)).astype(np.uint32)
    packed &= np.uint64(2**32 - 1)
    return ordered, packed.view(np.int64)


def _slots(person_ids: Ids) -> tuple[Ids, Uint32s, int]:
    """Return the sorted ids if they are sparse, a number below `size` for each row, and `size`."""
    size = int(person_ids.max()) + 1 if len(person_ids) else 0
    if size <= SPARSE * len(person_ids):
        return person_ids[:0], person_ids, size
    ids, slots = np.unique(person_ids, return_inverse=True)
    return ids, slots.astype(np.uint32), len(ids)


def _positions(unit_ids: Ids) -> tuple[Ids, Uint32s]:
    """Return the sorted units, and for each row the position of its unit among them."""
    size = int(unit_ids.max()) + 1 if len(unit_ids) else 0
    if size > SPARSE * len(unit_ids):
        units, positions = np.unique(unit_ids, return_inverse=True)
        return units, positions.astype(np.uint32)
    named = np.zeros(size, dtype=bool)
    named[unit_ids] = True
    position = np.cumsum(named, dtype=np.uint32) - np.uint32(1)
    return np.flatnonzero(named).astype(np.uint32), position[unit_ids]


def _profiles(columns: Columns, positions: Uint32s, units: int, languages: int) -> Profiles:
    """Return one number for the unit, language and channels of each place."""
    profiles = positions * np.uint32(languages)
    profiles += columns.langs
    profiles *= np.uint32(CHANNEL_SETS)
    profiles += columns.channels
    size = units * languages * CHANNEL_SETS
    return profiles.astype(np.uint16 if size <= 2**16 else np.uint32)


def _grid_of(x: Int32s, y: Int32s) -> Grid:
    if not len(x):
        return Grid(0, 0, 1, 1, 1, 1)
    side = int(np.clip(np.sqrt(len(x) / POINTS_PER_CELL), 1, MAX_SIDE))
    west, east = _most(x)
    south, north = _most(y)
    return Grid.over(west, south, east, north, side)


def _most(values: Int32s) -> tuple[int, int]:
    """Return a range that holds all values but strays."""
    sample = values[:: max(1, len(values) // 100_000)]
    low, high = np.quantile(sample, (STRAY_SHARE, 1 - STRAY_SHARE))
    margin = (high - low) * 0.05 + 1
    return (
        max(int(values.min()), int(low - margin)),
        min(int(values.max()), int(high + margin)),
    )
