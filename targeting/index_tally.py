"""How many people of what kind: by profile, with running counts so that long slices cost little.

A profile is one number for a place's unit and its person's class: language and channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from targeting.grid import Ints
from targeting.index_query import Found
from targeting.index_table import Profiles, Rows, Table, Uint32s

LEAST_STEP = 256
# Running counts take at most this many bytes for each row.
BYTES_PER_ROW = 2


@dataclass(frozen=True, slots=True)
class Tally:
    """People by class and by unit, in the order of the index."""

    by_class: Ints
    by_unit: Ints


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What stands before every `step`-th row of a table: people by class and by unit."""

    step: int
    by_class: Uint32s
    by_unit: Uint32s

    @classmethod
    def of(cls, profiles: Profiles, units: int, classes: int) -> Checkpoints:
        """Count along a table."""
        step = max(LEAST_STEP, -(-4 * (units + classes) // BYTES_PER_ROW))
        unit, one_class = np.divmod(profiles, profiles.dtype.type(max(classes, 1)))
        return cls(step, _running(one_class, step, classes), _running(unit, step, units))

    def tally(self, rows: Rows, profiles: Profiles) -> Tally:
        """Count some rows of the table."""
        first, last = -(-rows.starts // self.step), rows.ends // self.step
        whole = last > first
        first, last = first[whole], last[whole]
        # What is left of a slice that holds checkpoints are its two ends.
        starts = np.concatenate((rows.starts, last * self.step))
        ends = np.concatenate(
            (np.where(whole, -(-rows.starts // self.step) * self.step, rows.ends), rows.ends[whole])
        )
        rest = tally(Rows(starts, ends, rows.single).take(profiles), self.units, self.classes)
        return Tally(
            rest.by_class + _between(self.by_class, first, last),
            rest.by_unit + _between(self.by_unit, first, last),
        )

    @property
    def units(self) -> int:
        """Return the number of units."""
        return int(self.by_unit.shape[1])

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return int(self.by_class.shape[1])


def tally(profiles: Profiles, units: int, classes: int) -> Tally:
    """Count profiles one by one."""
    table = np.bincount(profiles, minlength=units * classes).reshape(units, classes)
    return Tally(table.sum(axis=0), table.sum(axis=1))


def tally_all(found: Sequence[Found], tables: Sequence[Table], checkpoints: Checkpoints) -> Tally:
    """Count what was found in all ranks; the checkpoints are those of rank 0."""
    first = checkpoints.tally(found[0].rows, tables[0].profiles)
    parts = [
        one.rows.take(table.profiles)[one.counting]
        for one, table in zip(found[1:], tables[1:], strict=True)
    ]
    if not parts:
        return first
    rest = tally(np.concatenate(parts), checkpoints.units, checkpoints.classes)
    return Tally(first.by_class + rest.by_class, first.by_unit + rest.by_unit)


def _running(values: Profiles, step: int, number: int) -> Uint32s:
    """Return how often each value below `number` stands before every `step`-th row."""
    blocks = len(values) // step
    running = np.zeros((blocks + 1, number), dtype=np.uint32)
    block = np.repeat(np.arange(blocks, dtype=np.int64) * number, step)
    block += values[: blocks * step]
    counts = np.bincount(block, minlength=blocks * number).reshape(blocks, number)
    np.cumsum(counts, axis=0, out=running[1:])
    return running


def _between(running: Uint32s, first: Ints, last: Ints) -> Ints:
    """Return the sums over the slices between some checkpoints."""
    after, before = (
        running[last].sum(axis=0, dtype=np.int64),
        running[first].sum(axis=0, dtype=np.int64),
    )
    return np.asarray(after - before)
