"""An index and what has changed since it was built: exact answers without building it anew.

Of the people who changed, the base still has the places they had (`was`); `now` has those they
have. Each of the three counts every person once, and nobody who changed counts in the base but
not in `was`, so base − was + now is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from targeting.index import Columns, Counts, PeopleIndex, Selection
from targeting.outlines import Outlines
from targeting.units import UnitKey

K = TypeVar("K")


class LiveIndex:
    """Answers as an index built this moment would; has the questions of PeopleIndex."""

    def __init__(self, base: PeopleIndex, was: PeopleIndex, now: PeopleIndex) -> None:
        """Take the changed people's places as the base has them, and as they are now."""
        self.base, self.was, self.now = base, was, now

    @classmethod
    def changed(
        cls,
        base: PeopleIndex,
        person_ids: ArrayLike,
        columns: Columns,
        *,
        outlines: Outlines | None = None,
        unit_keys: Mapping[UnitKey, int] | None = None,
    ) -> LiveIndex:
        """Return the base with these people's places replaced by `columns`.

        People new to the base may be named; those who left have no row in `columns`. Outlines
        are those the base was built with.
        """
        was, now = (
            PeopleIndex.build(
                *rows, languages=base.languages, outlines=outlines, unit_keys=unit_keys
            )
            for rows in (base.places_of(person_ids), columns)
        )
        return cls(base, was, now)

    @property
    def people(self) -> int:
        """Return the number of people."""
        return self.base.people - self.was.people + self.now.people

    @property
    def places(self) -> int:
        """Return the number of places of all people."""
        return self.base.places - self.was.places + self.now.places

    @property
    def located(self) -> bool:
        """Tell whether outlines were given, so that `count_units` is exact at their borders."""
        return all(one.located for one in (self.base, self.was, self.now))

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the names of the languages."""
        return self.base.languages

    def count(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> int:
        """Count the people with a place that `shape` covers, or known by a taken unit only."""
        units = list(unit_ids_taken)
        was, now = (one.count(shape, units) for one in (self.was, self.now))
        return self.base.count(shape, units) - was + now

    def breakdown(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> Counts:
        """Count the same people, by channel, language and unit."""
        units = list(unit_ids_taken)
        base, was, now = (one.breakdown(shape, units) for one in (self.base, self.was, self.now))
        by_unit = _moved(base.by_unit, was.by_unit, now.by_unit)
        return Counts(
            people=base.people - was.people + now.people,
            by_channel=_moved(base.by_channel, was.by_channel, now.by_channel),
            by_lang=_moved(base.by_lang, was.by_lang, now.by_lang),
            by_unit={unit: by_unit[unit] for unit in sorted(by_unit) if by_unit[unit]},
            by_unit_only=base.by_unit_only - was.by_unit_only + now.by_unit_only,
            by_set=_moved(base.by_set, was.by_set, now.by_set),
        )

    def count_units(self, unit_ids: Iterable[int]) -> int:
        """Count the people of whole units."""
        units = list(unit_ids)
        was, now = (one.count_units(units) for one in (self.was, self.now))
        return self.base.count_units(units) - was + now

    def select(self, shape: BaseGeometry, unit_ids_taken: Iterable[int] = ()) -> Selection:
        """Return the people `count` counts."""
        units = list(unit_ids_taken)
        base = self.base.select(shape, units).person_ids
        stay = np.ones(len(base), dtype=bool)
        # Ids are sorted on both sides, and few have changed.
        changed = self.was.person_ids
        at = np.searchsorted(base, changed)
        found = at < len(base)
        found[found] = base[at[found]] == changed[found]
        stay[at[found]] = False
        now = self.now.select(shape, units).person_ids
        person_ids = np.concatenate((base[stay], now))
        person_ids.sort()
        return Selection(person_ids)

    def places_of(self, person_ids: ArrayLike) -> Columns:
        """Return the places these people have now."""
        wanted = np.unique(np.asarray(person_ids, dtype=np.uint32))
        unchanged = np.setdiff1d(wanted, self.was.person_ids, assume_unique=True)
        return Columns.joined([self.base.places_of(unchanged), self.now.places_of(wanted)])

    def density(
        self, west: float, south: float, east: float, north: float, cols: int, rows: int
    ) -> NDArray[np.int64]:
        """Return people's first points per cell of a raster, as PeopleIndex.density does."""
        box = west, south, east, north, cols, rows
        was, now = (self.base.density_of(one, *box) for one in (self.was, self.now))
        return self.base.density(*box) - was + now


def _moved(base: Mapping[K, int], was: Mapping[K, int], now: Mapping[K, int]) -> dict[K, int]:
    moved = Counter(base)
    moved.subtract(was)
    moved.update(now)
    return dict(moved)
