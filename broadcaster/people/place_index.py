"""What the index is loaded from: everybody's places packed into few rows, kept by one writer.

Writes place_index and place_index_mark, and prunes person_change, which the triggers write.
Everything here follows from one rule: the packed rows are right for everybody who is not logged
since the mark. So whoever loads them adds the people logged since, straight from the tables, and
has the database as it is, whether somebody folded a moment or a day ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import numpy as np

from broadcaster.db import Conn, Pool
from broadcaster.people.changes import CHANGED, CLUSTER, PersonIds, Snapshot
from broadcaster.people.columns import copy_values
from broadcaster.people.places import RECORD, Places, in_force, join, read_places
from targeting.index import Columns

BLOCK = 64
"""People in a row of place_index: 2.4 KB, three rows to a page."""
KEPT = timedelta(hours=48)
"""How long the log reaches back: no index file may be older."""
_CHUNK = 20_000
"""People folded in one transaction."""
_MANY = 500_000
"""People read from the tables by one query."""
_LOCK = "hashtext('broadcaster.place_index')"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everybody's places in force at one moment, as the columns of an index."""

    snapshot: Snapshot
    columns: Columns


@dataclass(frozen=True, slots=True)
class _Unfolded:
    """Who must be read from the tables at a moment, as seen by its snapshot."""

    snapshot: Snapshot
    people: PersonIds
    ours: bool
    """The mark was set by this cluster; otherwise everybody must be read."""


async def load(conn: Conn, now: datetime) -> Loaded:
    """Load everybody's places: ten million people in about 1.5 s.

    Exact whatever has been folded; people logged since the last fold cost 10 to 20 µs each.
    """
    parts: list[Columns] = []
    nested = conn.is_in_transaction()
    async with conn.transaction(isolation=None if nested else "repeatable_read"):
        found = await _unfolded(conn)
        changed = np.zeros(1 + await _greatest(conn, found.people), dtype=bool)
        changed[found.people] = True

        def take(packed: bytes) -> None:
            places = np.frombuffer(packed, RECORD)
            if len(found.people):
                places = places[~changed[places["person"]]]
            parts.append(in_force(places, now))

        await copy_values(conn, "SELECT places FROM place_index", take)
        for start in range(0, len(found.people), _MANY):
            places = await read_places(conn, found.people[start : start + _MANY])
            parts.append(in_force(places, now))
    return Loaded(found.snapshot, await asyncio.to_thread(join, parts))


async def _greatest(conn: Conn, ids: PersonIds) -> int:
    """Return the greatest person id that is packed or among these."""
    block: int = await conn.fetchval("SELECT coalesce(max(block), 0) FROM place_index")
    return max(int(ids.max(initial=0)), block * BLOCK + BLOCK - 1)


async def _unfolded(conn: Conn) -> _Unfolded:
    [row] = await conn.fetch(
        f"SELECT pg_current_snapshot() AS now, snapshot, cluster = {CLUSTER} AS ours"
        " FROM place_index_mark"
    )
    # ARRAY: one value of many megabytes is read faster than a million rows.
    if row["ours"]:
        ids = await conn.fetchval(f"SELECT ARRAY({CHANGED})", row["snapshot"])
    else:
        ids = await conn.fetchval("SELECT ARRAY(SELECT person_id FROM person)")
    return _Unfolded(row["now"], np.array(ids, dtype=np.int32), row["ours"])


async def fold(pool: Pool) -> int:
    """Pack the places of everybody logged since the mark, and move it; return how many people.

    Safe to stop at any line and to run from several processes: one folds, the others return 0.
    """
    async with pool.acquire() as conn:
        if not await conn.fetchval(f"SELECT pg_try_advisory_lock({_LOCK})"):
            return 0
        try:
            return await _fold(conn)
        finally:
            await _unlock(conn)


async def _unlock(conn: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
    """Give the lock back; when that fails the connection too, or whoever is next would hold it."""
    try:
        await conn.execute(f"SELECT pg_advisory_unlock({_LOCK})")
    except BaseException:
        conn.terminate()
        raise


async def _fold(conn: Conn) -> int:
    # What is read later is newer than this snapshot, which is harmless: it is logged since.
    async with conn.transaction(isolation="repeatable_read"):
        found = await _unfolded(conn)
        if not found.ours:
            await _forget_foreign(conn, found.snapshot)
    blocks = np.unique(found.people // BLOCK)
    for start in range(0, len(blocks), _CHUNK // BLOCK):
        async with conn.transaction():
            await _fold_blocks(conn, blocks[start : start + _CHUNK // BLOCK])
    if len(blocks) or not found.ours:
        await conn.execute(
            f"UPDATE place_index_mark SET snapshot = $1, cluster = {CLUSTER}", found.snapshot
        )
    return len(found.people)


async def _forget_foreign(conn: Conn, snapshot: Snapshot) -> None:
    """Drop a log whose numbers came with a dump; everybody is about to be read anew."""
    await conn.execute("DELETE FROM person_change")
    await conn.execute("DELETE FROM place_index")
    await conn.execute("UPDATE place_index_mark SET pruned = $1", snapshot[1])


async def _fold_blocks(conn: Conn, blocks: PersonIds) -> None:
    people = (blocks[:, None].astype(np.int64) * BLOCK + np.arange(BLOCK)).ravel()
    people = people[people <= np.iinfo(np.int32).max]
    await write_blocks(conn, await read_places(conn, people), blocks)


async def write_blocks(conn: Conn, places: Places, blocks: PersonIds) -> None:
    """Write whole blocks; `places` are all places of all their people, in order."""
    rows = list(_split(places, blocks))
    await conn.execute(
        "INSERT INTO place_index (block, places) SELECT * FROM unnest($1::int[], $2::bytea[])"
        " ON CONFLICT (block) DO UPDATE SET places = excluded.places"
        " WHERE place_index.places <> excluded.places",
        [block for block, packed in rows if packed],
        [packed for _, packed in rows if packed],
    )
    await conn.execute(
        "DELETE FROM place_index WHERE block = ANY($1)",
        [block for block, packed in rows if not packed],
    )


def _split(places: Places, blocks: PersonIds) -> Iterator[tuple[int, bytes]]:
    of_place = places["person"] // BLOCK
    starts = np.searchsorted(of_place, blocks).tolist()
    ends = np.searchsorted(of_place, blocks, side="right").tolist()
    for block, start, end in zip(blocks.tolist(), starts, ends, strict=True):
        yield block, places[start:end].tobytes()


async def prune(conn: Conn, now: datetime) -> int:
    """Forget what was logged and folded more than KEPT ago; return how many rows."""
    async with conn.transaction():
        rows = await conn.fetch(
            "DELETE FROM person_change WHERE at < $1"
            " AND xid < (SELECT pg_snapshot_xmin(snapshot) FROM place_index_mark) RETURNING xid",
            now - KEPT,
        )
        if rows:
            await conn.execute(
                "UPDATE place_index_mark SET pruned = greatest(pruned, $1::xid8)",
                max(row["xid"] for row in rows) + 1,
            )
    return len(rows)
