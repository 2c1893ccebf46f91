"""From rows to the archive: what is over is packed, and partitions whose alerts are all packed go.

Every piece is one transaction and says how far it came, so the work may be killed at any line and
done by any process. Readers notice nothing: the rows of an alert stay the truth until the
transaction that says its blocks are whole, and for a while after it (`deliveries.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import structlog

from broadcaster import db
from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import alarms, archive, blocks, proof, segments
from broadcaster.fanout.alarms import What
from broadcaster.fanout.blocks import BLOCK, STATES, ArchiveBrokenError, Columns

log = structlog.get_logger(__name__)

AFTER = timedelta(days=7)
"""How long after an alert's end it is packed: as long as receipts can be joined."""
ROWS_STAY = timedelta(hours=1)
"""How long the rows stay beside the blocks: whoever began to read them comes to an end."""
PIECE = 32 * BLOCK
"""Deliveries of one transaction: a fifth of a second."""
_ALERTS_AT_ONCE = 20
_BATCHES_AT_ONCE = 200
_PARTITION = 100
_LOCK_MS = 100
"""Longest wait for a partition's lock: whoever sends would wait behind us."""

# Nothing of it can move any more: it has ended long ago, nothing is pending, and no batch is open.
# Until its end, and some days after it, replies are matched to an alert, stopped or not, and until
# then dead letters are sent again.
_SETTLED = """
    a.state IN ('sent', 'stopped', 'expired')
    AND a.expires < $1
    AND NOT EXISTS (SELECT FROM batch b WHERE b.alert_id = a.alert_id AND b.state <> 'done')
    AND NOT EXISTS (SELECT FROM progress p WHERE p.alert_id = a.alert_id AND p.pending > 0)
    AND NOT EXISTS (SELECT FROM archive c WHERE c.alert_id = a.alert_id)
"""
_DUE = (
    "SELECT a.alert_id FROM audience u JOIN alert a USING (alert_id)"
    f" WHERE {_SETTLED} ORDER BY a.alert_id LIMIT $2"
)
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('archive'), ($1::bigint % 2147483647)::integer)"
_FREEZE = (
    "INSERT INTO archive (alert_id, begun_at) SELECT a.alert_id, $3 FROM alert a"
    f" WHERE a.alert_id = $2 AND {_SETTLED} ON CONFLICT DO NOTHING RETURNING alert_id"
)
# Whoever has the row is the one at it.
_TAKE = (
    "SELECT c.through, c.deliveries, u.chain_hash FROM archive c JOIN audience u USING (alert_id)"
    " WHERE alert_id = $1 AND packed_at IS NULL FOR UPDATE OF c SKIP LOCKED"
)
_BATCHES = (
    "SELECT batch_id, channel::text AS channel, endpoint_ids, digest FROM batch"
    " WHERE alert_id = $1 AND batch_id > $2 ORDER BY batch_id LIMIT $3"
)
# All its numbers are given out, and whoever was ever sent from it is packed, for a while already.
_DROPPABLE = (
    "SELECT number FROM (SELECT substring(c.relname FROM 'delivery_([0-9]+)$')::bigint AS number"
    "  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    "  WHERE i.inhparent = 'delivery'::regclass) p"
    " WHERE (SELECT max(alert_id) FROM alert) >= number * 100 + 100"
    " AND NOT EXISTS (SELECT FROM audience u LEFT JOIN archive c USING (alert_id)"
    "  WHERE u.alert_id BETWEEN number * 100 AND number * 100 + 99"
    "  AND (c.packed_at IS NULL OR c.packed_at > $1)) ORDER BY number"
)


async def pack_settled(pool: Pool, now: datetime, after: timedelta = AFTER) -> int:
    """Freeze and pack what has been over for `after`, list it, drop what is empty.

    Returns how many alerts were packed. May run in several processes at once, and die at any line.
    """
    async with pool.acquire() as conn:
        await make_partitions(conn)
    await freeze_due(pool, now, after)
    packed = 0
    async with pool.acquire() as conn:
        open_ones = await conn.fetch("SELECT alert_id FROM archive WHERE packed_at IS NULL")
    for alert_id in sorted(row["alert_id"] for row in open_ones):
        packed += await _packed_one(pool, now, alert_id)
    await drop_partitions(pool, now)
    await segments.build(pool, now)
    return packed


async def freeze_due(pool: Pool, now: datetime, after: timedelta = AFTER) -> int:
    """Freeze the deliveries of alerts that have been over for `after`; returns how many alerts."""
    frozen = 0
    async with pool.acquire() as conn:
        due = await conn.fetch(_DUE, now - after, _ALERTS_AT_ONCE)
    for row in due:
        async with transaction(pool) as conn:
            # Whoever is booking a receipt comes to an end first, and whoever comes later sees us.
            await conn.execute(_LOCK, row["alert_id"])
            begun = await conn.fetchval(_FREEZE, now - after, row["alert_id"], now)
        frozen += begun is not None
    return frozen


async def _packed_one(pool: Pool, now: datetime, alert_id: int) -> bool:
    """Pack one alert; one that cannot be packed (False) keeps its rows and holds up no other."""
    try:
        return await pack(pool, now, alert_id)
    except db.AWAY:
        raise
    except Exception as error:
        async with transaction(pool) as conn:
            new = await alarms.raise_(
                conn, now, What.NOT_PACKED, f"alert:{alert_id}", reason=str(error)[:200]
            )
        # It is tried again every minute; one complaint is enough.
        if new:
            log.exception("alert cannot be packed", alert_id=alert_id)
        return False


async def pack(pool: Pool, now: datetime, alert_id: int) -> bool:
    """Pack a frozen alert piece by piece; False when another process is at it or was.

    Raises ArchiveBrokenError when its rows do not add up.
    """
    while True:
        began = time.monotonic()
        async with transaction(pool) as conn:
            row = await conn.fetchrow(_TAKE, alert_id)
            if row is None:
                return False
            columns = await archive.read_rows(conn, alert_id, row["through"], PIECE)
            if columns is None:
                await _finish(conn, now, alert_id, row["deliveries"], row["chain_hash"])
                return True
            await _write(conn, alert_id, columns, row["chain_hash"])
        # Half of the time is left to those who send.
        await asyncio.sleep(time.monotonic() - began)


async def _write(conn: Conn, alert_id: int, columns: Columns, chain_hash: bytes) -> None:
    packed = await asyncio.to_thread(_packed, columns, chain_hash)
    await archive.write_blocks(conn, alert_id, packed)
    await conn.execute(
        "UPDATE archive SET through = $2, deliveries = deliveries + $3, attempts = attempts + $4"
        " WHERE alert_id = $1",
        alert_id,
        int(columns.endpoint_ids[-1]),
        len(columns),
        len(columns.at),
    )


def _packed(columns: Columns, chain_hash: bytes) -> list[blocks.Block]:
    """Pack a piece, and read every block back: its rows will be gone."""
    packed = []
    for start in range(0, len(columns), BLOCK):
        part = columns.part(start, start + BLOCK)
        block = blocks.pack(part, chain_hash)
        if not blocks.unpack(block.first_id, block.ids, block.facts).same(part):
            raise ArchiveBrokenError(f"deliveries from endpoint {block.first_id} on pack wrongly")
        packed.append(block)
    return packed


async def _finish(
    conn: Conn, now: datetime, alert_id: int, deliveries: int, chain_hash: bytes
) -> None:
    """Say that the blocks are whole: from this commit on they are read, and the rows are not."""
    counted = await conn.fetchval(
        f"SELECT coalesce(sum({' + '.join(STATES)}), 0) FROM progress WHERE alert_id = $1",
        alert_id,
    )
    if counted != deliveries:
        raise ArchiveBrokenError(f"alert {alert_id}: {deliveries} deliveries, {counted} counted")
    batches, unproven = await _prove_batches(conn, alert_id, chain_hash)
    await conn.execute("DELETE FROM batch WHERE alert_id = $1", alert_id)
    await conn.execute(
        "UPDATE archive SET packed_at = $2, batches = $3, batches_unproven = $4"
        " WHERE alert_id = $1",
        alert_id,
        now,
        batches,
        unproven,
    )
    await alarms.clear(conn, now, What.NOT_PACKED, f"alert:{alert_id}")
    log.info("alert packed", alert_id=alert_id, deliveries=deliveries, unproven=unproven)


async def _prove_batches(conn: Conn, alert_id: int, chain_hash: bytes) -> tuple[int, int]:
    """Count the batches and those whose digest does not verify, before they are deleted."""
    batches, unproven, last = 0, 0, -1
    while rows := await conn.fetch(_BATCHES, alert_id, last, _BATCHES_AT_ONCE):
        batches, last = batches + len(rows), rows[-1]["batch_id"]
        unproven += await asyncio.to_thread(_unproven, rows, chain_hash)
    return batches, unproven


def _unproven(rows: Sequence[asyncpg.Record], chain_hash: bytes) -> int:
    return sum(
        row["digest"] != proof.digest(chain_hash, row["channel"], row["endpoint_ids"])
        for row in rows
    )


async def make_partitions(conn: Conn) -> None:
    """Have partitions ready for the next hundred alerts."""
    last = await conn.fetchval("SELECT coalesce(max(alert_id), 0) FROM alert")
    await conn.execute("SELECT ensure_partitions($1)", last + _PARTITION)


async def drop_partitions(pool: Pool, now: datetime) -> list[int]:
    """Drop the partitions whose alerts are all packed; returns their numbers.

    A partition somebody has locked is left for the next run. An alert of long ago that is sent only
    now makes its partition anew.
    """
    dropped = []
    async with pool.acquire() as conn:
        numbers = [row["number"] for row in await conn.fetch(_DROPPABLE, now - ROWS_STAY)]
        for number in numbers:
            try:
                async with conn.transaction():
                    if await _drop(conn, now, number):
                        dropped.append(number)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                log.info("partition in use", number=number)
    if dropped:
        log.info("partitions dropped", numbers=dropped)
    return dropped


async def _drop(conn: Conn, now: datetime, number: int) -> bool:
    await conn.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
    # In the order of those who write outcomes. Whoever begins to send from here on waits for us,
    # finds no partition, and begins again a second later.
    await conn.execute("LOCK TABLE ONLY attempt, ONLY delivery IN ACCESS EXCLUSIVE MODE")
    if number not in {row["number"] for row in await conn.fetch(_DROPPABLE, now - ROWS_STAY)}:
        return False
    await conn.execute(f"DROP TABLE attempt_{number}, delivery_{number}")
    return True
