"""Writing down dead letters: deliveries and direct messages that ended failed, or left unknown.

The only writer of `dead_letter`. Rows are booked in the transaction that ends a delivery, so the
list is never behind the counts, and are taken away when a receipt tells better news.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from broadcaster.db import Conn
from broadcaster.fanout.reasons import family_of

KEPT = timedelta(days=60)
"""After this they are forgotten; the counts of their alerts stay, and so does each record."""
_AT_ONCE = 10_000

_DELIVERIES = """
SELECT d.endpoint_id, d.channel::text AS channel, d.state::text AS state,
    coalesce(d.reason, '') AS reason, t.provider_id
FROM delivery d LEFT JOIN LATERAL (
    SELECT provider_id FROM attempt
    WHERE alert_id = d.alert_id AND endpoint_id = d.endpoint_id ORDER BY at DESC LIMIT 1
) t ON true
WHERE d.alert_id = $1 AND d.endpoint_id = ANY($2::bigint[]) AND d.state IN ('failed', 'unknown')
"""
_BOOK = """
INSERT INTO dead_letter (alert_id, message_id, endpoint_id, channel, provider_id, state, reason,
    family, at)
SELECT $1, $2, v.*, $3 FROM unnest($4::bigint[], $5::channel[], $6::smallint[],
    $7::delivery_state[], $8::text[], $9::text[]) v
"""
_AGAIN = """DO UPDATE SET
    provider_id = excluded.provider_id, state = excluded.state, reason = excluded.reason,
    family = excluded.family, at = excluded.at, replayed_at = NULL
"""


async def book(conn: Conn, now: datetime, alert_id: int, endpoint_ids: Sequence[int]) -> None:
    """Book what ended failed or unknown of these deliveries, inside the transaction that ended it.

    One that comes back after a replay lies open again, in the same row.
    """
    if not endpoint_ids:
        return
    rows = await conn.fetch(_DELIVERIES, alert_id, list(endpoint_ids))
    target = "ON CONFLICT (alert_id, endpoint_id) WHERE alert_id IS NOT NULL "
    await conn.execute(_BOOK + target + _AGAIN, alert_id, None, now, *_columns(rows))


async def book_message(conn: Conn, now: datetime, message_id: int) -> None:
    """Book a direct message that ended failed or unknown, inside the transaction that ended it."""
    rows = await conn.fetch(
        "SELECT endpoint_id, channel::text AS channel, state::text AS state,"
        " coalesce(reason, '') AS reason, provider_id FROM direct_message"
        " WHERE message_id = $1 AND state IN ('failed', 'unknown')",
        message_id,
    )
    target = "ON CONFLICT (message_id) WHERE message_id IS NOT NULL "
    await conn.execute(_BOOK + target + _AGAIN, None, message_id, now, *_columns(rows))


def _columns(rows: Sequence[asyncpg.Record]) -> list[list[object]]:
    return [
        [row["endpoint_id"] for row in rows],
        [row["channel"] for row in rows],
        [row["provider_id"] for row in rows],
        [row["state"] for row in rows],
        [row["reason"] for row in rows],
        [family_of(row["reason"], row["state"]).value for row in rows],
    ]


async def replayed(conn: Conn, now: datetime, letter_ids: Sequence[int]) -> None:
    """Mark letters as under way again, in the transaction that sends them."""
    await conn.execute(
        "UPDATE dead_letter SET replayed_at = $2, replays = replays + 1"
        " WHERE letter_id = ANY($1::bigint[])",
        list(letter_ids),
        now,
    )


async def drop(conn: Conn, alert_id: int, endpoint_ids: Sequence[int]) -> None:
    """Take away letters of deliveries that reached somebody after all; replayed ones stay."""
    if endpoint_ids:
        await conn.execute(
            "DELETE FROM dead_letter WHERE alert_id = $1 AND endpoint_id = ANY($2::bigint[])"
            " AND replayed_at IS NULL",
            alert_id,
            list(endpoint_ids),
        )


async def drop_messages(conn: Conn, message_ids: Sequence[int]) -> None:
    """Take away letters of direct messages that reached somebody after all."""
    await conn.execute(
        "DELETE FROM dead_letter l USING direct_message m WHERE l.message_id = ANY($1::bigint[])"
        " AND m.message_id = l.message_id AND m.state IN ('confirmed', 'seen')"
        " AND l.replayed_at IS NULL",
        list(message_ids),
    )


async def book_left_unknown(conn: Conn, now: datetime) -> int:
    """Book deliveries left unknown by alerts that ended while they were to be tried again.

    Returns how many. Costs a look at the counts; deliveries are read only where letters lack.
    """
    rows = await conn.fetch(
        "SELECT alert_id FROM progress p JOIN alert a USING (alert_id)"
        " WHERE a.state IN ('sent', 'stopped', 'expired') AND a.started_at > $1"
        " AND NOT EXISTS (SELECT FROM batch b WHERE b.alert_id = p.alert_id AND b.state <> 'done')"
        " GROUP BY alert_id HAVING sum(p.unknown) > (SELECT count(*) FROM dead_letter l"
        "  WHERE l.alert_id = p.alert_id AND l.state = 'unknown' AND l.replayed_at IS NULL)",
        now - KEPT,
    )
    booked = 0
    for row in rows:
        left = await conn.fetch(
            "SELECT endpoint_id FROM delivery WHERE alert_id = $1 AND state = 'unknown'"
            " ORDER BY endpoint_id",
            row["alert_id"],
        )
        ids = [one["endpoint_id"] for one in left]
        for start in range(0, len(ids), _AT_ONCE):
            await book(conn, now, row["alert_id"], ids[start : start + _AT_ONCE])
        booked += len(ids)
    return booked


async def forget(conn: Conn, now: datetime) -> int:
    """Forget letters that are older than KEPT, some at a time; returns how many."""
    done = await conn.execute(
        "DELETE FROM dead_letter WHERE letter_id IN ("
        " SELECT letter_id FROM dead_letter WHERE at < $1 ORDER BY at LIMIT $2)",
        now - KEPT,
        _AT_ONCE,
    )
    return int(done.split()[-1])
