"""Orders that a committed change leaves behind. The queue wakes a stage; the rows tell it what."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime

from broadcaster.db import Conn


class Topic(enum.StrEnum):
    """What has to be done about a subject."""

    START = "start"
    """An alert was approved: freeze its audience and begin to send."""
    FIRST_HANDOFF = "first_handoff"
    """An alert reached its first carrier: it is a published notice from now on."""


async def order(conn: Conn, now: datetime, topic: Topic, subject_id: int) -> None:
    """Leave an order inside the caller's transaction."""
    await conn.execute(
        "INSERT INTO outbox (topic, subject_id, created_at) VALUES ($1, $2, $3)",
        topic.value,
        subject_id,
        now,
    )


async def open_orders(
    conn: Conn, topic: Topic, *, after: int = 0, limit: int = 100
) -> list[tuple[int, int]]:
    """Open orders of a topic after an outbox_id, oldest first, as (outbox_id, subject_id)."""
    rows = await conn.fetch(
        "SELECT outbox_id, subject_id FROM outbox WHERE topic = $1 AND done_at IS NULL"
        " AND outbox_id > $2 ORDER BY outbox_id LIMIT $3",
        topic.value,
        after,
        limit,
    )
    return [(row["outbox_id"], row["subject_id"]) for row in rows]


async def done(conn: Conn, now: datetime, outbox_ids: Sequence[int]) -> None:
    """Close orders; doing one twice must be harmless, so this needs no lock."""
    await conn.execute(
        "UPDATE outbox SET done_at = $2 WHERE outbox_id = ANY($1) AND done_at IS NULL",
        list(outbox_ids),
        now,
    )
