"""What carriers and phones say afterwards: stored raw first, then joined, forward only.

A receipt can be here before the outcome it belongs to is committed. Then it waits, and joins when
its reference appears; after a day without one it is counted as unknown.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import structlog

from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import progress, providers
from broadcaster.fanout.archive import forward
from broadcaster.fanout.moves import Move
from broadcaster.fanout.policy import POLICIES
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints
from broadcaster.states import DeliveryState
from channels.email_errors import mailbox_is_gone

log = structlog.get_logger(__name__)

GIVE_UP = timedelta(hours=24)
KEPT = timedelta(days=7)
"""References and receipts older than this are forgotten."""
OTHER_NOTATIONS = timedelta(seconds=5)
"""Before an id is looked for in a notation it was not written in: its reference may be late."""
_FIRST_WAIT = timedelta(seconds=0.5)
_LONGEST_WAIT = timedelta(hours=1)
_AT_ONCE = 1_000
"""Receipts joined in one transaction: senders wait for the counts it holds, so it is short."""
_FORGOTTEN_AT_ONCE = 50_000
_JUDGED = 1_000
"""Receipts of one provider that are judged together, the newest of a day: they come one by one,
or by the thousand, and a wrong table retires as many either way."""
_LOOKED_AT = 20_000
"""Receipts of all providers among which they are looked for."""
_NUMBERS = "SELECT nextval('receipt_raw_receipt_id_seq') FROM generate_series(1, $1::int)"
_NUMBERS_KEPT = 5.0
"""Seconds: ids stay more or less in the order in which receipts came."""
NO_ALERT = 0
"""Stands for the alert where a message belongs to none."""
_COLUMNS = (
    "receipt_id", "provider_id", "message_ids", "sure", "news", "reason", "dead", "raw_enc",
    "received_at",
)  # fmt: skip


class Receipt(NamedTuple):
    """One receipt as a carrier gave it."""

    message_ids: Sequence[str]
    """What the carrier may have called the message when it took it, the likeliest first; empty
    when the receipt could not be read."""
    news: str
    """`confirmed`, `seen`, `failed` or `none`."""
    reason: str
    dead: bool
    """The carrier says that this address does not exist."""
    raw: bytes
    sure: int | None = None
    """How many of the ids, from the first, are believed at once; None: all of them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one provider's receipts stand."""

    provider_id: int
    waiting: int
    """Not joined yet: their messages' outcomes may still be on their way."""
    unknown: int
    """Given up on after a day: of no message of ours, as far as we know. Of the last seven days."""


class Numbers:
    """Ids of receipts to come, fetched many at a time: each receipt is sealed under its own."""

    def __init__(self) -> None:
        self._left: deque[int] = deque()
        self._fetched = 0.0

    async def take(self, conn: Conn, count: int) -> list[int]:
        """Take so many; those fetched and never used are lost, which is harmless."""
        if time.monotonic() - self._fetched > _NUMBERS_KEPT:
            self._left.clear()
        while len(self._left) < count:
            rows = await conn.fetch(_NUMBERS, max(count, _AT_ONCE))
            self._left.extend(row[0] for row in rows)
            self._fetched = time.monotonic()
        return [self._left.popleft() for _ in range(count)]


async def store(
    conn: Conn,
    keyring: Keyring,
    now: datetime,
    arrived: Sequence[tuple[int, Receipt]],
    numbers: Numbers | None = None,
) -> None:
    """Keep receipts (provider_id, receipt); carriers are answered only after the commit.

    One COPY, so all of them or none, also outside of a transaction.
    """
    ids = await (numbers or Numbers()).take(conn, len(arrived))
    await conn.copy_records_to_table(
        "receipt_raw",
        records=[
            (
                receipt_id,
                provider_id,
                list(receipt.message_ids),
                receipt.sure,
                receipt.news,
                receipt.reason,
                receipt.dead,
                keyring.seal(receipt.raw, "receipt_raw", "raw_enc", receipt_id),
                now,
            )
            for receipt_id, (provider_id, receipt) in zip(ids, arrived, strict=True)
        ],
        columns=_COLUMNS,
    )


class Refs(NamedTuple):
    """What a carrier calls messages, as columns: one entry for each part it took."""

    message_ids: Sequence[str]
    endpoint_ids: Sequence[int]
    part: Sequence[int]
    """Counted from 1."""
    parts: Sequence[int]

    @classmethod
    def of(cls, ids: Mapping[int, Sequence[str]]) -> Refs:
        """Lay out the ids of messages by endpoint, one a part ("" for one not taken)."""
        rows = [
            (message_id, endpoint_id, part, len(parts))
            for endpoint_id, parts in ids.items()
            for part, message_id in enumerate(parts, start=1)
            if message_id
        ]
        return cls(*zip(*rows, strict=True)) if rows else cls((), (), (), ())


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
    refs = Refs.of(ids)
    if not refs.message_ids:
        return
    await conn.execute(
        "INSERT INTO provider_ref (provider_id, message_id, alert_id, endpoint_id, part, parts,"
        " created_at)"
        " SELECT $1, m, $2, e, p, n, $7"
        " FROM unnest($3::text[], $4::bigint[], $5::smallint[], $6::smallint[]) AS r(m, e, p, n)"
        " ON CONFLICT DO NOTHING",
        provider_id,
        alert_id,
        *refs,
        now,
    )


_DUE = """
WITH due AS (
    SELECT receipt_id, provider_id, news, reason, dead, received_at,
        CASE WHEN received_at <= $3 THEN message_ids
            ELSE message_ids[1:coalesce(sure, cardinality(message_ids))] END AS ids
    FROM receipt_raw
    WHERE joined_at IS NULL AND unknown_at IS NULL AND look_at <= $2
    ORDER BY look_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
SELECT d.receipt_id, d.provider_id, d.news, d.reason, d.dead, d.received_at,
    f.message_id, f.alert_id, f.endpoint_id, f.parts
FROM due d LEFT JOIN LATERAL (
    SELECT * FROM provider_ref
    WHERE provider_id = d.provider_id AND message_id = ANY(d.ids)
    ORDER BY array_position(d.ids, message_id), created_at DESC LIMIT 1
) f ON true
"""

_NOTE = """
UPDATE provider_ref f SET news = v.news
FROM unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
    AS v(provider_id, message_id, alert_id, endpoint_id, news)
WHERE f.provider_id = v.provider_id AND f.message_id = v.message_id AND f.alert_id = v.alert_id
    AND f.endpoint_id = v.endpoint_id AND f.news IS DISTINCT FROM 'confirmed'
"""

# A message of several parts is confirmed when each part is, by whichever try, and failed when the
# newest try at a part is. Of one that was never taken whole nothing follows: it is sent again.
_VERDICTS = """
SELECT w.alert_id, w.endpoint_id, v.confirmed, v.failed
FROM unnest($1::bigint[], $2::bigint[]) AS w(alert_id, endpoint_id) CROSS JOIN LATERAL (
    SELECT count(*) = max(parts) AND bool_and(confirmed) AS confirmed,
        count(*) = max(parts) AND bool_or(NOT confirmed AND newest = 'failed') AS failed
    FROM (
        SELECT max(parts) AS parts, coalesce(bool_or(news = 'confirmed'), false) AS confirmed,
            (array_agg(news ORDER BY created_at DESC))[1] AS newest
        FROM provider_ref
        WHERE alert_id = w.alert_id AND endpoint_id = w.endpoint_id
        GROUP BY part
    ) part
) v
"""

_WAIT = """
UPDATE receipt_raw SET look_at = $2::timestamptz
    + least(greatest($2 - received_at, $3::interval), $4::interval)
WHERE receipt_id = ANY($1)
"""


async def join(pool: Pool, now: datetime) -> int:
    """Join stored receipts to their deliveries; returns how many were joined.

    Those whose reference is not there look again later, each time twice as late.
    """
    async with transaction(pool) as conn:
        rows = await conn.fetch(_DUE, _AT_ONCE, now, now - OTHER_NOTATIONS)
        found = [row for row in rows if row["message_id"] is not None]
        lost = [row["receipt_id"] for row in rows if row["message_id"] is None]
        if lost:
            await conn.execute(_WAIT, lost, now, _FIRST_WAIT, _LONGEST_WAIT)
        if found:
            await conn.execute(
                "UPDATE receipt_raw SET joined_at = $2 WHERE receipt_id = ANY($1)",
                [row["receipt_id"] for row in found],
                now,
            )
            await _apply(conn, now, found)
    return len(found)


async def _apply(conn: Conn, now: datetime, rows: list[asyncpg.Record]) -> None:
    """Move the deliveries: last of all, because senders wait for the counts this holds."""
    moves = {
        (row["alert_id"], row["endpoint_id"]): Move(
            row["endpoint_id"], DeliveryState.CONFIRMED, row["reason"] or ""
        )
        for row in rows
        if row["news"] == "confirmed" and row["parts"] == 1
    }
    # What confirms a message of one part needs no second look; the rest is weighed part by part.
    weighed = [
        row
        for row in rows
        if row["news"] == "failed" or (row["news"] == "confirmed" and row["parts"] > 1)
    ]
    if weighed:
        moves = await _weigh(conn, weighed) | moves
    by_alert: dict[int, list[Move]] = defaultdict(list)
    for (alert_id, _), one in sorted(moves.items()):
        by_alert[alert_id].append(one)
    # One order for everyone who books counts of several alerts: no deadlock.
    for alert_id, some in by_alert.items():
        await forward(conn, now, alert_id, some)
    await _retire(conn, now, rows)


async def _weigh(conn: Conn, rows: list[asyncpg.Record]) -> dict[tuple[int, int], Move]:
    """Note what was said of each part, and see what it says of the messages."""
    names = ("provider_id", "message_id", "alert_id", "endpoint_id", "news")
    # Failures last: of two receipts for one part in one go, the better news stays.
    ordered = sorted(rows, key=lambda row: row["news"] == "failed")
    first = {tuple(row[name] for name in names[:4]): row for row in reversed(ordered)}
    await conn.execute(_NOTE, *([row[name] for row in first.values()] for name in names))
    reasons = {(row["alert_id"], row["endpoint_id"]): row["reason"] or "" for row in rows}
    verdicts = await conn.fetch(
        _VERDICTS, [alert_id for alert_id, _ in reasons], [endpoint for _, endpoint in reasons]
    )
    return {
        key: Move(
            key[1],
            DeliveryState.CONFIRMED if row["confirmed"] else DeliveryState.FAILED,
            reasons[key],
        )
        for row in verdicts
        if row["confirmed"] or row["failed"]
        for key in [(row["alert_id"], row["endpoint_id"])]
    }


async def _retire(conn: Conn, now: datetime, rows: list[asyncpg.Record]) -> None:
    """Retire numbers nobody has, with the same brake as for what carriers answer at once."""
    by_provider: dict[int, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        by_provider[row["provider_id"]].append(row)
    for provider_id, some in sorted(by_provider.items()):
        dead = sorted({row["endpoint_id"] for row in some if row["dead"]})
        if not dead:
            continue
        together = providers.Seen(len(dead), len(some))
        lately = await _lately_joined(conn, now, provider_id)
        if await providers.retirement_allowed(conn, now, provider_id, together, lately):
            await endpoints.retire(conn, now, dead, "unknown subscriber")


async def _lately_joined(conn: Conn, now: datetime, provider_id: int) -> providers.Seen:
    [row] = await conn.fetch(
        "SELECT count(*) FILTER (WHERE dead)::int AS dead, count(*)::int AS outcomes FROM ("
        " SELECT dead FROM (SELECT provider_id, dead, received_at, joined_at FROM receipt_raw"
        "  ORDER BY receipt_id DESC LIMIT $4) newest"
        " WHERE provider_id = $1 AND joined_at IS NOT NULL AND received_at > $2 LIMIT $3) judged",
        provider_id,
        now - GIVE_UP,
        _JUDGED,
        _LOOKED_AT,
    )
    return providers.Seen(row["dead"], row["outcomes"])


async def give_up(conn: Conn, now: datetime) -> int:
    """Count receipts nobody claimed within a day as unknown; forget what is older than a week."""
    rows = await conn.fetch(
        "UPDATE receipt_raw SET unknown_at = $1 WHERE joined_at IS NULL AND unknown_at IS NULL"
        " AND received_at < $2 RETURNING receipt_id",
        now,
        now - GIVE_UP,
    )
    for table, column in (("provider_ref", "created_at"), ("receipt_raw", "received_at")):
        await conn.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {table} WHERE {column} < $1 LIMIT $2))",
            now - KEPT,
            _FORGOTTEN_AT_ONCE,
        )
    return len(rows)


async def standing(conn: Conn) -> list[Standing]:
    """Count each provider's receipts that wait and those given up on: two partial indexes."""
    rows = await conn.fetch(
        "SELECT provider_id, sum(waiting)::int AS waiting, sum(unknown)::int AS unknown FROM ("
        "  SELECT provider_id, count(*) AS waiting, 0 AS unknown FROM receipt_raw"
        "  WHERE joined_at IS NULL AND unknown_at IS NULL GROUP BY 1"
        "  UNION ALL"
        "  SELECT provider_id, 0, count(*) FROM receipt_raw WHERE unknown_at IS NOT NULL GROUP BY 1"
        ") counted GROUP BY 1 ORDER BY 1"
    )
    return [Standing(**dict(row)) for row in rows]


async def acknowledge(
    conn: Conn, now: datetime, alert_id: int, endpoint_ids: Sequence[int], news: DeliveryState
) -> int:
    """Book what an app says of an alert on its own phone: confirmed (received) or seen (opened)."""
    return await forward(conn, now, alert_id, [Move(e, news) for e in endpoint_ids])


async def bounce(conn: Conn, now: datetime, alert_id: int, endpoint_id: int, status: str) -> None:
    """Book a mail that came back; `status` is the enhanced code (5.1.1).

    Only a code that speaks of the mailbox itself retires it, and not while so many of the alert's
    mails fail that the fault must be ours.
    """
    if not status.startswith("5"):
        return
    await forward(conn, now, alert_id, [Move(endpoint_id, DeliveryState.FAILED, status)])
    if mailbox_is_gone(status) and await _few_fail(conn, alert_id):
        await endpoints.retire(conn, now, [endpoint_id], status)


async def _few_fail(conn: Conn, alert_id: int) -> bool:
    mails = [c for c in await progress.progress(conn, alert_id) if c.channel == "email"]
    total, failed = sum(c.total for c in mails), sum(c.failed for c in mails)
    if not providers.Seen(failed, total).too_many_dead:
        return True
    log.error("mailboxes are not retired", alert_id=alert_id, failed=failed, mails=total)
    return False
