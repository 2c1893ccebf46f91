"""Whole units: people grouped by where all their places are, so that units are only summed up.

The border belongs to the area, so a point on the border of two units is in both. Where a place is
is therefore an atom: the set of units that cover it, nearly always one. The index keeps each
combination of atoms that people have, with the number of those people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from targeting.columns import Ids
from targeting.grid import Ints
from targeting.index_table import Table, Uint32s
from targeting.outlines import Outlines
from targeting.places import UnitLocator, locator_of
from targeting.units import UnitKey

Codes: TypeAlias = NDArray[np.unsignedinteger[Any]]

# Combinations that could number at most this many are counted in an array, not sorted.
_MOST_COUNTED = 2**24
_WORD = 63


@dataclass(frozen=True, slots=True)
class Atoms:
    """Sets of units: those of atom n are `units[first[n]:first[n + 1]]`; atom 0 is no unit."""

    units: Ids
    first: Uint32s

    def __len__(self) -> int:
        """Return the number of atoms."""
        return len(self.first) - 1

    def taken(self, unit_ids: Iterable[int]) -> NDArray[np.bool_]:
        """Tell of each atom whether one of its units is among these."""
        wanted = np.fromiter(unit_ids, dtype=np.int64)
        taken = np.concatenate(([0], np.cumsum(np.isin(self.units, wanted))))
        return np.asarray(taken[self.first[1:]] > taken[self.first[:-1]])


@dataclass(frozen=True, slots=True)
class UnitSets:
    """For each number of places: the combinations of atoms people have, and how many people."""

    atoms: Atoms
    # Whether points were looked up on outlines, not taken to be in the unit given for them.
    located: bool
    combinations: Sequence[Codes]
    people: Sequence[Uint32s]

    def count(self, unit_ids: Iterable[int]) -> int:
        """Count the people with a place in one of these units."""
        taken = self.atoms.taken(unit_ids)
        total = 0
        for combinations, people in zip(self.combinations, self.people, strict=True):
            inside = taken.take(combinations[0], mode="clip")
            for codes in combinations[1:]:
                inside |= taken.take(codes, mode="clip")
            # A masked sum takes twice as long as multiplying.
            total += int((people * inside).sum())
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns under their names in a file."""
        named: dict[str, NDArray[Any]] = {
            "atoms.units": self.atoms.units,
            "atoms.first": self.atoms.first,
        }
        for n, (codes, people) in enumerate(zip(self.combinations, self.people, strict=True), 1):
            named |= {f"sets{n}.codes": codes, f"sets{n}.people": people}
        return named

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], ranks: int, located: bool) -> UnitSets:
        """Return the sets from their columns in a file; raise KeyError when one is missing."""
        return cls(
            Atoms(arrays["atoms.units"], arrays["atoms.first"]),
            located,
            [arrays[f"sets{n}.codes"] for n in range(1, ranks + 1)],
            [arrays[f"sets{n}.people"] for n in range(1, ranks + 1)],
        )


def unit_sets(
    units: Ids,
    classes: int,
    tables: Sequence[Table],
    outlines: Outlines | None,
    unit_keys: Mapping[UnitKey, int],
) -> UnitSets:
    """Group people; without outlines a point is taken to be in the unit given for it.

    `units` are the sorted unit ids of the index, to which profiles refer.
    """
    if outlines is None:
        atoms, codes = _given(units, classes, tables)
    else:
        atoms, codes = _located(units, classes, tables, locator_of(outlines), unit_keys)
    combinations, people = [], []
    for rank, table in enumerate(tables):
        last = np.flatnonzero(table.next == 0)
        earlier = (codes[j].take(table.prior_rows[j][last]) for j in range(rank))
        found, number = _combined([*earlier, codes[rank][last]], len(atoms))
        combinations.append(found)
        people.append(number)
    return UnitSets(atoms, outlines is not None, combinations, people)


def _given(units: Ids, classes: int, tables: Sequence[Table]) -> tuple[Atoms, list[Codes]]:
    """Return one atom a unit, and the atom of every row."""
    first = np.concatenate(([0], np.arange(len(units) + 1))).astype(np.uint32)
    kind = _kind(len(units) + 1)
    codes: list[Codes] = []
    for table in tables:
        unit = table.profiles // table.profiles.dtype.type(classes)
        codes.append((unit + 1).astype(kind))
    return Atoms(units, first), codes


def _located(
    units: Ids,
    classes: int,
    tables: Sequence[Table],
    locator: UnitLocator,
    unit_keys: Mapping[UnitKey, int],
) -> tuple[Atoms, list[Codes]]:
    """Return atoms by the units that cover each point, and the atom of every row."""
    # A unit that nobody can ask about by an id is no unit.
    ids = np.array([unit_keys.get(key, 0) for key in locator.keys], dtype=np.uint32)
    known = np.union1d(units, ids)
    x, y = (np.concatenate([getattr(table, axis) for table in tables]) for axis in "xy")
    found = locator.locate(x, y)
    of_position = np.append(np.searchsorted(known, ids) + 1, 0)
    several, sets = found.several()
    sets = np.where(sets >= 0, of_position[sets], 0)
    unlike, which = np.unique(sets, axis=0, return_inverse=True)
    kind = _kind(len(known) + len(unlike) + 1)
    of_point: Codes = of_position.astype(kind)[found.positions]
    of_point[several] = (which.reshape(-1) + len(known) + 1).astype(kind)
    flat = [known, *(row[row > 0] for row in unlike)]
    lengths = np.concatenate(([0, 0], np.ones(len(known), int), [len(row) for row in flat[1:]]))
    members = np.concatenate([known, *(known[row - 1] for row in flat[1:])])
    atoms = Atoms(members.astype(np.uint32), np.cumsum(lengths).astype(np.uint32))
    return atoms, list(_per_row(of_point, known, units, classes, tables))


def _per_row(
    of_point: Codes, known: Ids, units: Ids, classes: int, tables: Sequence[Table]
) -> Iterator[Codes]:
    """Yield the atoms of each table's rows: those of its points, then those by unit only."""
    of_unit = (np.searchsorted(known, units) + 1).astype(of_point.dtype)
    begin = 0
    for table in tables:
        end = begin + len(table.x)
        unit = table.profiles[len(table.x) :] // table.profiles.dtype.type(classes)
        yield np.concatenate((of_point[begin:end], of_unit[unit]))
        begin = end


def _combined(codes: Sequence[Codes], atoms: int) -> tuple[Codes, Uint32s]:
    """Return the different combinations of codes, whatever their order, and how often each is."""
    found, number = _tuples(codes, atoms)
    if len(codes) == 1:
        return found, number.astype(np.uint32)
    # Where somebody's places are counts, not which of them is where.
    found.sort(axis=0)
    order = np.lexsort(found)
    found, number = found[:, order], number[order]
    different = np.ones(len(number), dtype=bool)
    different[1:] = (found[:, 1:] != found[:, :-1]).any(axis=0)
    begins = np.flatnonzero(different)
    return found[:, begins], np.add.reduceat(number, begins).astype(np.uint32)


def _tuples(codes: Sequence[Codes], atoms: int) -> tuple[Codes, Ints]:
    """Return the different tuples of codes, and how often each is."""
    bits = max(1, int(atoms - 1).bit_length())
    if len(codes) * bits > _WORD:
        return np.unique(np.stack(codes), axis=1, return_counts=True)
    packed = codes[0].astype(np.int64)
    for some in codes[1:]:
        packed <<= bits
        packed |= some
    if 1 << len(codes) * bits <= _MOST_COUNTED:
        counts = np.bincount(packed)
        keys = np.flatnonzero(counts)
        number = counts[keys]
    else:
        keys, number = np.unique(packed, return_counts=True)
    shifts = bits * np.arange(len(codes) - 1, -1, -1)[:, None]
    return (keys >> shifts & ((1 << bits) - 1)).astype(codes[0].dtype), number


def _kind(number: int) -> np.dtype[np.unsignedinteger[Any]]:
    return np.dtype(np.uint16 if number <= 2**16 else np.uint32)
