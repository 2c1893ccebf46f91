"""What carriers and phones say afterwards: stored raw first, then joined, forward only.

A receipt can be here before the outcome it belongs to is committed. Then it waits, and joins when
its reference appears; after a day without one it is counted as unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout.archive import forward
from broadcaster.fanout.moves import Move
from broadcaster.fanout.policy import POLICIES
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints
from broadcaster.states import DeliveryState

GIVE_UP = timedelta(hours=24)
REFS_KEPT = timedelta(days=7)
_AT_ONCE = 2_000
NO_ALERT = 0
"""Stands for the alert where a message belongs to none."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt as a carrier gave it."""

    message_ids: Sequence[str]
    """The carrier's id, as it was written first, other notations of it after."""
    news: str
    """`confirmed`, `seen`, `failed` or `none`."""
    reason: str
    dead: bool
    """The carrier says that this address does not exist."""
    raw: bytes


async def store(
    conn: Conn, keyring: Keyring, now: datetime, arrived: Sequence[tuple[int, Receipt]]
) -> None:
    """Keep receipts (provider_id, receipt); carriers are answered only after the commit."""
    ids = await conn.fetch(
        "SELECT nextval('receipt_raw_receipt_id_seq') AS id FROM generate_series(1, $1::int)",
        len(arrived),
    )
    await conn.executemany(
        "INSERT INTO receipt_raw (receipt_id, provider_id, message_ids, news, reason, dead,"
        " raw_enc, received_at) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (
                row["id"],
                provider_id,
                list(receipt.message_ids),
                receipt.news,
                receipt.reason,
                receipt.dead,
                keyring.seal(receipt.raw, "receipt_raw", "raw_enc", row["id"]),
                now,
            )
            for row, (provider_id, receipt) in zip(ids, arrived, strict=True)
        ],
    )


async def keep_refs(
    conn: Conn,
    now: datetime,
    channel: str,
    provider_id: int,
    alert_id: int,
    ids: Mapping[int, Sequence[str]],
) -> None:
    """Keep the carrier's ids of messages by endpoint, one for each part ("" for one not taken).

    `alert_id` is NO_ALERT for a direct message: its receipts join, and move nothing.
    """
    if not POLICIES[channel].keeps_refs:
        return
    refs = [
        (message_id, endpoint_id, part, len(parts))
        for endpoint_id, parts in ids.items()
        for part, message_id in enumerate(parts, start=1)
        if message_id
    ]
    if not refs:
        return
    columns = [list(column) for column in zip(*refs, strict=True)]
    await conn.execute(
        "INSERT INTO provider_ref (provider_id, message_id, alert_id, endpoint_id, part, parts,"
        " created_at)"
        " SELECT $1, m, $2, e, p, n, $7"
        " FROM unnest($3::text[], $4::bigint[], $5::smallint[], $6::smallint[]) AS r(m, e, p, n)"
        " ON CONFLICT DO NOTHING",
        provider_id,
        alert_id,
        *columns,
        now,
    )


_MATCH = """
SELECT r.receipt_id, r.news, r.reason, r.dead, f.provider_id, f.message_id, f.alert_id,
    f.endpoint_id
FROM receipt_raw r CROSS JOIN LATERAL (
    SELECT * FROM provider_ref
    WHERE provider_id = r.provider_id AND message_id = ANY(r.message_ids)
    ORDER BY array_position(r.message_ids, message_id), created_at DESC LIMIT 1
) f
WHERE r.joined_at IS NULL AND r.unknown_at IS NULL
ORDER BY r.receipt_id LIMIT $1 FOR UPDATE OF r SKIP LOCKED
"""

# A message of several parts is confirmed when each part is, and failed when one is.
_VERDICTS = """
SELECT alert_id, endpoint_id,
    count(DISTINCT part) FILTER (WHERE news = 'confirmed') >= max(parts) AS confirmed,
    bool_or(news = 'failed') AS failed
FROM provider_ref
WHERE (alert_id, endpoint_id) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
GROUP BY alert_id, endpoint_id
"""


async def join(pool: Pool, now: datetime) -> int:
    """Join stored receipts to their deliveries; returns how many were joined."""
    async with transaction(pool) as conn:
        rows = await conn.fetch(_MATCH, _AT_ONCE)
        if rows:
            await _note_parts(conn, rows)
            await _apply(conn, now, rows)
            await conn.execute(
                "UPDATE receipt_raw SET joined_at = $2 WHERE receipt_id = ANY($1)",
                [row["receipt_id"] for row in rows],
                now,
            )
    return len(rows)


async def _note_parts(conn: Conn, rows: list[asyncpg.Record]) -> None:
    told = [row for row in rows if row["news"] in ("confirmed", "failed")]
    await conn.executemany(
        "UPDATE provider_ref SET news = $5 WHERE provider_id = $1 AND message_id = $2"
        " AND alert_id = $3 AND endpoint_id = $4",
        [
            (r["provider_id"], r["message_id"], r["alert_id"], r["endpoint_id"], r["news"])
            for r in told
        ],
    )


async def _apply(conn: Conn, now: datetime, rows: list[asyncpg.Record]) -> None:
    verdicts = await conn.fetch(
        _VERDICTS, [row["alert_id"] for row in rows], [row["endpoint_id"] for row in rows]
    )
    reasons = {(r["alert_id"], r["endpoint_id"]): r["reason"] or "" for r in rows}
    by_alert: dict[int, list[Move]] = defaultdict(list)
    for row in verdicts:
        key = row["alert_id"], row["endpoint_id"]
        if row["confirmed"]:
            target = DeliveryState.CONFIRMED
        elif row["failed"]:
            target = DeliveryState.FAILED
        else:
            continue
        by_alert[key[0]].append(Move(key[1], target, reasons[key]))
    # One order for everyone who books counts of several alerts: no deadlock.
    for alert_id in sorted(by_alert):
        await forward(conn, now, alert_id, by_alert[alert_id])
    dead = sorted({row["endpoint_id"] for row in rows if row["dead"]})
    if dead:
        await endpoints.retire(conn, now, dead, "unknown subscriber")


async def give_up(conn: Conn, now: datetime) -> int:
    """Count receipts nobody claimed within a day as unknown; forget references after a week."""
    rows = await conn.fetch(
        "UPDATE receipt_raw SET unknown_at = $1 WHERE joined_at IS NULL AND unknown_at IS NULL"
        " AND received_at < $2 RETURNING receipt_id",
        now,
        now - GIVE_UP,
    )
    await conn.execute("DELETE FROM provider_ref WHERE created_at < $1", now - REFS_KEPT)
    return len(rows)


async def acknowledge(
    conn: Conn, now: datetime, alert_id: int, endpoint_ids: Sequence[int], news: DeliveryState
) -> int:
    """Book what an app says of an alert on its own phone: confirmed (received) or seen (opened)."""
    return await forward(conn, now, alert_id, [Move(e, news) for e in endpoint_ids])


async def bounce(conn: Conn, now: datetime, alert_id: int, endpoint_id: int, status: str) -> None:
    """Book a mail that came back; `status` is the enhanced code (5.1.1)."""
    if not status.startswith("5"):
        return
    await forward(conn, now, alert_id, [Move(endpoint_id, DeliveryState.FAILED, status)])
    if status.startswith("5.1."):
        await endpoints.retire(conn, now, [endpoint_id], status)
