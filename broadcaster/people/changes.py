"""Who has changed since a moment: reads the log that triggers write (person_change).

A moment is a snapshot, not a number: transactions commit in another order than they begin, and
one that was under way at the moment is found when it has committed, however late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn

PersonIds: TypeAlias = NDArray[np.int32]
Snapshot: TypeAlias = tuple[int, int, Sequence[int]]
"""(xmin, xmax, under way): the transactions below xmax that are not under way are in it."""

CHANGED = """
WITH logged AS MATERIALIZED (SELECT person_ids, endpoint_ids FROM person_change
    WHERE xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(xid, $1))
SELECT person_id FROM logged, unnest(person_ids) AS person_id
UNION SELECT person_id FROM logged, unnest(endpoint_ids) AS e(endpoint_id)
    JOIN person_endpoint USING (endpoint_id)
"""
"""The people logged by transactions that are visible now and are not in the snapshot $1."""
CLUSTER = "(SELECT system_identifier FROM pg_control_system())"
"""Whose transaction numbers these are; a dump brings those of another cluster."""
# A server restored to an earlier moment goes on under a new timeline, with numbers used before.
_DATABASE = (
    f"concat_ws('/', {CLUSTER}, left(pg_walfile_name(pg_current_wal_lsn()), 8),"
    " (SELECT oid FROM pg_database WHERE datname = current_database()))"
)
_PRESENT = (
    f"pg_current_snapshot() AS snapshot, {_DATABASE} AS database, pruned,"
    " pg_current_xact_id_if_assigned() IS NOT NULL AS writing"
)


@dataclass(frozen=True, slots=True)
class Present:
    """A database at a moment."""

    snapshot: Snapshot
    database: str
    pruned: int
    """Transactions below this may be missing from the log."""
    writing: bool
    """Seen from inside a transaction that has written: what it sees may still be undone."""


async def present(conn: Conn) -> Present:
    """Return the database as it is now."""
    [row] = await conn.fetch(f"SELECT {_PRESENT} FROM place_index_mark")
    return Present(**row)


async def changed_since(
    conn: Conn, since: Snapshot, then: datetime, now: datetime
) -> tuple[Present, PersonIds]:
    """Return the present, and who changed since a snapshot or has a place that ended meanwhile."""
    [row] = await conn.fetch(
        f"SELECT {_PRESENT}, ARRAY({CHANGED} UNION SELECT person_id FROM person_place"
        "  WHERE expires_at > least($2, $3::timestamptz) AND expires_at <= greatest($2, $3))"
        " AS people FROM place_index_mark",
        since, then, now,
    )  # fmt: skip
    facts = dict(row)
    people = np.array(facts.pop("people"), dtype=np.int32)
    return Present(**facts), people


def includes(later: Snapshot, earlier: Snapshot) -> bool:
    """Tell whether every transaction in the earlier snapshot is in the later one too."""
    under_way = set(earlier[2])
    return earlier[1] <= later[1] and all(xid >= earlier[1] or xid in under_way for xid in later[2])
