"""A base index and everybody who changed since: what the database says now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from broadcaster.people.changes import PersonIds, Present, Snapshot
from broadcaster.people.index_base import Base, Sight
from broadcaster.people.places import in_force, join, read_places, rows_of
from targeting.index import Columns, PeopleIndex
from targeting.live_index import LiveIndex

OLDEST = timedelta(hours=20)
"""A base this old is built anew, well before the log forgets what came after it."""
FEW, SHARE = 50_000, 0.02
"""So many changed people, or this share of all, are carried beside the base; more are too slow."""


@dataclass(frozen=True, slots=True)
class View:
    """What a base and the changes since it make up at one moment. Immutable."""

    base: Base
    snapshot: Snapshot
    as_of: datetime
    changed: PersonIds
    """Everybody changed since the base, sorted."""
    columns: Columns
    """Their places now."""
    index: PeopleIndex | LiveIndex

    @classmethod
    def of(cls, base: Base) -> View:
        """Return what a base alone says."""
        nobody = np.empty(0, np.int32)
        origin = base.origin
        return cls(base, origin.snapshot, origin.as_of, nobody, join([]), base.index)

    @property
    def most(self) -> int:
        """Return how many people may have changed before the base is built anew."""
        return max(FEW, int(SHARE * self.base.index.people))

    def is_behind(self, now: datetime) -> bool:
        """Tell whether the base should be built anew."""
        return len(self.changed) > self.most or now - self.base.origin.as_of > OLDEST

    async def at(self, sight: Sight, here: Present, people: PersonIds) -> View:
        """Return the view of the present: these people have changed since this one."""
        view = replace(self, snapshot=here.snapshot, as_of=sight.now)
        if not len(people):
            return view
        fresh = in_force(await read_places(sight.conn, people), sight.now)
        return await asyncio.to_thread(view._with, people, fresh, sight)

    def _with(self, people: PersonIds, fresh: Columns, sight: Sight) -> View:
        kept = ~np.isin(self.columns.person_ids, people)
        columns = join([rows_of(self.columns, kept), fresh])
        changed = np.union1d(self.changed, people)
        live = LiveIndex.changed(
            self.base.index,
            changed,
            columns,
            outlines=sight.outlines,
            unit_keys=sight.units.ids,
        )
        return replace(self, changed=changed, columns=columns, index=live)
