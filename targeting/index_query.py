"""One question to an index: which places of each rank are inside, and which of them count.

A place counts if no earlier place of its person is inside, so everybody counts once. Whether an
earlier place is inside is told by the state of its key alone, but in the cells that the border
crosses; there the answer is looked up among the points found inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from targeting.cover import CHUNK, Cover, covers_points
from targeting.grid import Grid, Ints, ranges
from targeting.index_table import Rows, Table

OUTSIDE, INSIDE, BORDER = 0, 1, 2

Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Found:
    """The places of one rank that are inside, and which of them count; None: all of them.

    The slices from the `by_unit`-th on are places known by unit only.
    """

    rows: Rows
    counting: Bools | None
    by_unit: int

    def __len__(self) -> int:
        """Return the number of people who count."""
        return len(self.rows) if self.counting is None else int(np.count_nonzero(self.counting))

    def by_unit_only(self) -> int:
        """Return how many of them are known by unit only."""
        lengths = self.rows.ends - self.rows.starts
        first, last = int(lengths[: self.by_unit].sum()), int(lengths.sum())
        if self.counting is None:
            return last - first
        return int(np.count_nonzero(self.counting[first:last]))


class Question:
    """An area put to the tables of an index."""

    def __init__(
        self, grid: Grid, tables: Sequence[Table], keys: int, shape: BaseGeometry, units: Ints
    ) -> None:
        """Find the keys inside; there are `keys`, `units` are the sorted ones of units taken."""
        self._tables, self._keys = tables, keys
        self._cover = Cover.of(shape, grid)
        self._strays = np.array([] if grid.holds(shape) else [grid.cells], dtype=np.int64)
        self._grid, self._shape, self._units = grid, shape, units

    def found(self) -> list[Found]:
        """Return what counts, rank by rank."""
        return [self._found(rank) for rank in range(len(self._tables))]

    def _found(self, rank: int) -> Found:
        table, cover = self._tables[rank], self._cover
        # Neighbouring units are one run.
        runs = np.flatnonzero(np.diff(self._units, prepend=-1) > 1)
        unit_starts = self._units[runs]
        unit_ends = (
            self._units[np.append(runs[1:] - 1, len(self._units) - 1)] + 1 if len(runs) else runs
        )
        starts, ends = table.keys.rows(
            np.concatenate((cover.starts, unit_starts)), np.concatenate((cover.ends, unit_ends))
        )
        filled = ends > starts
        by_unit = int(np.count_nonzero(filled[: len(cover.starts)]))
        rows = Rows(starts[filled], ends[filled], self._exact[rank])
        return Found(rows, self._counting(rank, rows) if rank else None, by_unit)

    def _counting(self, rank: int, rows: Rows) -> Bools:
        """Tell which rows have no earlier place of their person inside."""
        table = self._tables[rank]
        if len(rows) * rank <= CHUNK:
            priors = self._states[table.prior_keys[:, rows.numbers()]]
            states = np.bitwise_or.reduce(priors, axis=0)
        else:
            states = _gathered(self._states, rows.take(table.prior_keys[0]))
            for prior in range(1, rank):
                states |= _gathered(self._states, rows.take(table.prior_keys[prior]))
        counting = states == OUTSIDE
        doubtful = np.flatnonzero(states == BORDER)
        if len(doubtful):
            numbers = rows.number(doubtful)
            free = np.ones(len(doubtful), dtype=bool)
            for prior in range(rank):
                free &= ~_among(table.prior_rows[prior][numbers], self._exact[prior])
            counting[doubtful] = free
        return np.asarray(counting)

    @cached_property
    def _states(self) -> NDArray[np.uint8]:
        """Return the state of every key."""
        states = np.zeros(self._keys, dtype=np.uint8)
        for start, end in zip(self._cover.starts.tolist(), self._cover.ends.tolist(), strict=True):
            states[start:end] = INSIDE
        states[self._cover.border] = BORDER
        states[self._strays] = BORDER
        states[self._units] = INSIDE
        return states

    @cached_property
    def _exact(self) -> list[Ints]:
        """Return, of each rank, the sorted rows that are inside by an exact test."""
        border, strays = self._cover.border, self._strays
        slices = [table.keys.rows(border, border + 1) for table in self._tables]
        near = [ranges(*pair) for pair in slices]
        nth = np.concatenate([which for which, _ in near])
        x, y = (
            np.concatenate([column[rows] for column, (_, rows) in zip(columns, near, strict=True)])
            for columns in ([t.x for t in self._tables], [t.y for t in self._tables])
        )
        inside = self._cover.covers(nth, x, y)
        ends = np.cumsum([len(rows) for _, rows in near]).tolist()
        exact = []
        for table, end, (_, rows) in zip(self._tables, ends, near, strict=True):
            found = rows[inside[end - len(rows) : end]]
            if len(strays):
                far = ranges(*table.keys.rows(strays, strays + 1))[1]
                found = np.concatenate(
                    (found, far[covers_points(self._shape, table.x[far], table.y[far])])
                )
            exact.append(found)
        return exact


def _gathered(states: NDArray[np.uint8], keys: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the states of keys."""
    gathered = np.empty(len(keys), dtype=np.uint8)
    # In chunks, so that the copy of the keys that numpy makes stays in the processor's cache.
    for start in range(0, len(keys), CHUNK):
        some = slice(start, start + CHUNK)
        states.take(keys[some], out=gathered[some], mode="clip")
    return gathered


def _among(values: NDArray[np.uint32], ordered: Ints) -> Bools:
    """Tell which values are among sorted ones."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    at = np.searchsorted(ordered, values)
    at[at == len(ordered)] = 0
    return np.asarray(ordered[at] == values)
