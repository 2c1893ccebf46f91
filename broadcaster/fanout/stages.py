"""What the clockwork does for the fan-out: start, expand, settle, end, sweep.

Each stage does all the work that the rows say is due, may run in several processes at once, and
may die at any line: the next run finds what is left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from broadcaster import db
from broadcaster.alerts import lifecycle, outbox
from broadcaster.cadence.duty import record_notice
from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import batches, expansion, moves, progress
from broadcaster.fanout.outcomes import WORKER_LOST
from broadcaster.fanout.starting import begin, start
from broadcaster.states import AlertState, DeliveryState

__all__ = ["begin", "end", "expand_open", "publish", "settle", "start", "sweep"]

log = structlog.get_logger(__name__)

Wake = Callable[[], Awaitable[None]]
_ROWS = 50_000
_RESTS = 1.0
"""Seconds an expansion rests at most for another alert's beginning: less than its lease."""


# A lease in force: somebody is at it, or has just died.
_OPEN = (
    "SELECT alert_id, lane FROM audience_step s JOIN alert USING (alert_id)"
    " WHERE expanded_at IS NULL AND due_at <= $2 AND state = 'sending'"
    " AND (lease_until IS NULL OR lease_until < now()) AND alert_id <> ALL($1::bigint[])"
    " AND NOT EXISTS (SELECT FROM audience_step b"
    "   WHERE b.alert_id = s.alert_id AND b.step < s.step AND b.expanded_at IS NULL)"
)


Busy = Callable[[int], bool]
"""Whether an alert more urgent than a lane is being started in this process."""


async def expand_open(pool: Pool, now: datetime, wake: Wake, busy: Busy = lambda _: False) -> int:
    """Write the deliveries of every sending alert that lacks some, the most urgent first.

    Between two chunks an alert gives way to one of a more urgent lane, and rests while one is
    `busy` to begin. Returns how often one was taken up.
    """
    began, taken_up, failed = time.monotonic(), 0, list[int]()

    def moment() -> datetime:
        # What begins while a large alert is written is due after we were called.
        return now + timedelta(seconds=time.monotonic() - began)

    while True:
        async with pool.acquire() as conn:
            row = await conn.fetchrow(f"{_OPEN} ORDER BY lane, alert_id LIMIT 1", failed, moment())
        if row is None:
            return taken_up
        taken_up += 1
        gives_way = partial(_gives_way, moment, busy, row["lane"], failed)
        if not await _expanded(pool, moment(), row["alert_id"], wake, gives_way):
            failed.append(row["alert_id"])


async def _expanded(
    pool: Pool, now: datetime, alert_id: int, wake: Wake, gives_way: expansion.GivesWay
) -> bool:
    """Expand one alert; one that cannot be expanded (False) must not hold up the others."""
    try:
        async with pool.acquire() as conn:
            approved = await lifecycle.snapshot(conn, alert_id)
        await expansion.expand(pool, now, alert_id, approved.content_hash, wake, gives_way)
    except db.AWAY:
        raise
    except Exception:
        log.exception("alert cannot be expanded", alert_id=alert_id)
        return False
    return True


async def _gives_way(
    moment: Callable[[], datetime], busy: Busy, lane: int, failed: list[int], conn: Conn
) -> bool:
    """Rest while a more urgent alert begins, then tell whether one has to be written first."""
    patience = time.monotonic() + _RESTS
    while busy(lane) and time.monotonic() < patience:  # noqa: ASYNC110 - a bounded rest
        await asyncio.sleep(0.01)
    more_urgent = f"SELECT EXISTS ({_OPEN} AND lane < $3)"
    return bool(await conn.fetchval(more_urgent, failed, moment(), lane))


async def publish(pool: Pool, now: datetime) -> int:
    """Book first hand-offs as published notices: from then on they discharge a duty."""
    async with pool.acquire() as conn:
        orders = await outbox.open_orders(conn, outbox.Topic.FIRST_HANDOFF)
    for outbox_id, alert_id in orders:
        async with transaction(pool) as conn:
            at = await conn.fetchval(
                "SELECT first_handoff_at FROM alert WHERE alert_id = $1", alert_id
            )
            await record_notice(conn, now, alert_id, at)
            await outbox.done(conn, now, [outbox_id])
    return len(orders)


async def settle(pool: Pool, now: datetime) -> int:
    """Close alerts with nothing left to do: sending → sent."""
    async with pool.acquire() as conn:
        rows = await conn.fetch(
            "SELECT a.alert_id FROM alert a JOIN audience u USING (alert_id)"
            " WHERE a.state = 'sending' AND u.expanded_at IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM batch b"
            "   WHERE b.alert_id = a.alert_id AND b.state <> 'done')"
            " AND NOT EXISTS (SELECT FROM progress p"
            "   WHERE p.alert_id = a.alert_id AND p.pending > 0)"
        )
        for row in rows:
            async with conn.transaction():
                await lifecycle.move(conn, now, row["alert_id"], AlertState.SENT)
                if not await progress.progress(conn, row["alert_id"]):
                    # Nobody to hand anything to: it is published all the same.
                    await lifecycle.first_handoff(conn, now, row["alert_id"])
    return len(rows)


async def end(pool: Pool, now: datetime) -> int:
    """Expire what is over; close the deliveries of what was stopped, expired or superseded."""
    async with pool.acquire() as conn:
        await lifecycle.expire_due(conn, now)
        # From what is open to its alert, so that an archive of any size costs nothing.
        rows = await conn.fetch(
            "SELECT alert_id, state::text AS state, superseded_by FROM alert JOIN ("
            "   SELECT alert_id FROM batch WHERE state <> 'done'"
            "   UNION SELECT alert_id FROM progress WHERE pending > 0) open USING (alert_id)"
            " WHERE state IN ('stopped', 'expired') OR superseded_by IS NOT NULL"
        )
    for row in rows:
        target = DeliveryState.EXPIRED if row["state"] == "expired" else DeliveryState.STOPPED
        reason = "superseded" if row["superseded_by"] is not None else None
        await _close(pool, now, row["alert_id"], target, reason)
    return len(rows)


async def _close(
    pool: Pool, now: datetime, alert_id: int, target: DeliveryState, reason: str | None
) -> None:
    async with transaction(pool) as conn:
        lost = await conn.fetch(
            "UPDATE batch SET state = 'done'"
            " WHERE alert_id = $1 AND state = 'claimed' AND lease_until < now()"
            " RETURNING endpoint_ids",
            alert_id,
        )
        # Whoever held these may have sent some before it died: a cancel is for these people too.
        unsure = [
            moves.Move(one, DeliveryState.UNKNOWN, WORKER_LOST) for (ids,) in lost for one in ids
        ]
        await moves.move(conn, now, alert_id, unsure)
        await conn.execute(
            "UPDATE batch SET state = 'done' WHERE alert_id = $1 AND state = 'ready'", alert_id
        )
        in_flight = await conn.fetchval(
            "SELECT EXISTS (SELECT FROM batch WHERE alert_id = $1 AND state <> 'done')", alert_id
        )
    # What a worker has on the wire is its own to account for; the next run closes the rest.
    after: int | None = None if in_flight else -1
    while after is not None:
        async with transaction(pool) as conn:
            after = await _close_some(conn, now, alert_id, target, reason, after)


async def _close_some(
    conn: Conn, now: datetime, alert_id: int, target: DeliveryState, reason: str | None, after: int
) -> int | None:
    """Close the next open deliveries; returns the endpoint reached, None when none was left.

    By ranges of the key. A join with the open ones is planned by what is known of the alert, and
    of one that began a moment ago nothing is: 50,000 rows took a minute.
    """
    last: int | None = await conn.fetchval(
        "SELECT max(endpoint_id) FROM (SELECT endpoint_id FROM delivery WHERE alert_id = $1"
        " AND endpoint_id > $2 AND state = 'pending' ORDER BY endpoint_id LIMIT $3) open_ones",
        alert_id, after, _ROWS,
    )  # fmt: skip
    if last is None:
        return None
    rows = await conn.fetch(
        "WITH closed AS (UPDATE delivery SET state = $4::delivery_state, updated_at = $5,"
        "   reason = coalesce($6, reason)"
        "   WHERE alert_id = $1 AND endpoint_id > $2 AND endpoint_id <= $3 AND state = 'pending'"
        "   RETURNING channel)"
        " SELECT channel::text AS channel, count(*) AS n FROM closed GROUP BY 1 ORDER BY 1",
        alert_id, after, last, target.value, now, reason,
    )  # fmt: skip
    for row in rows:
        await progress.shift(conn, alert_id, row["channel"], [("pending", target.value, row["n"])])
    return last


async def sweep(pool: Pool, now: datetime) -> int:
    """Give a batch to every pending delivery that no open batch lists.

    By construction there is none: batches are written with their deliveries. Should one appear
    all the same, it is sent instead of being lost, and said aloud.
    """
    async with pool.acquire() as conn:
        rows = await conn.fetch(
            "SELECT p.alert_id, p.channel::text AS channel FROM progress p"
            " JOIN alert a USING (alert_id) JOIN audience u USING (alert_id)"
            " WHERE a.state = 'sending' AND u.expanded_at IS NOT NULL AND p.pending > 0"
            " AND NOT EXISTS (SELECT FROM batch b WHERE b.alert_id = p.alert_id"
            "   AND b.channel = p.channel AND b.state <> 'done')"
        )
        for row in rows:
            log.error(
                "deliveries without a batch",
                alert_id=row["alert_id"],
                channel=row["channel"],
            )
            strays = await conn.fetch(
                "SELECT endpoint_id FROM delivery WHERE alert_id = $1"
                " AND channel = $2::channel AND state = 'pending' ORDER BY endpoint_id",
                row["alert_id"],
                row["channel"],
            )
            listed = [stray["endpoint_id"] for stray in strays]
            await batches.add(conn, row["alert_id"], row["channel"], [(listed, 0)])
    return len(rows)
