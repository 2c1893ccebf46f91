"""Random histories of deliveries: what might stand in the rows of an alert that is over."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from broadcaster.db import Conn
from broadcaster.fanout import audience, batches, providers
from broadcaster.fanout.policy import CHANNELS
from broadcaster.people.officials import Actor
from tests.unit.broadcaster.city import NOW, alert
from tests.unit.broadcaster.sending import CONTENT

SETTLED = ("handed_off", "confirmed", "seen", "failed", "expired", "stopped", "unknown")
REASONS = (None, None, "", "UNREGISTERED", "5.1.1 no such user", "trễ, gửi lại")
RESULTS = ("accepted", "temporary", "permanent", "unknown")
ENDED = NOW - timedelta(days=8)
"""When the alerts of a history ended."""


@dataclass(frozen=True)
class History:
    """One alert that is over."""

    alert_id: int
    endpoint_ids: list[int]


async def alert_over(conn: Conn, author: Actor, code: str, **changes: object) -> int:
    """Write an alert that was sent and has ended, with nobody in its audience yet."""
    began = ENDED - timedelta(hours=6)
    approver = await conn.fetchval(
        "INSERT INTO official (login, name, password_hash, created_at)"
        " VALUES ('of-' || lower($1), '', '', now()) RETURNING official_id",
        code,
    )
    values: dict[str, object] = {
        "state": "expired", "expires": ENDED, "started_at": began, "first_handoff_at": began,
        "sent_at": began, "approved_by": approver, "approved_at": began, "approved_version": 1,
    }  # fmt: skip
    made = await alert(conn, author, 1, code=code, **(values | changes))
    await conn.execute("SELECT ensure_partitions($1)", made)
    packed = audience.pack(CONTENT, np.arange(3, dtype=np.uint32))
    await audience.freeze(conn, began, made, packed)
    await conn.execute("UPDATE audience SET expanded_at = $2 WHERE alert_id = $1", made, began)
    return made


async def history(
    conn: Conn, author: Actor, rng: random.Random, code: str, count: int, **changes: object
) -> History:
    """Write an alert with `count` deliveries, their attempts, batches and counts."""
    alert_id = await alert_over(conn, author, code, **changes)
    ids = sorted(rng.sample(range(1, 4 * count + 10), count))
    if rng.random() < 0.3:
        ids = [one + (1 << 33) for one in ids]
    moments = [ENDED - timedelta(microseconds=rng.randrange(1, 6 * 3600 * 10**6)) for _ in range(9)]
    rows = [(alert_id, *_delivery(rng, moments, endpoint_id)) for endpoint_id in ids]
    await conn.copy_records_to_table(
        "delivery", records=rows,
        columns=["alert_id", "endpoint_id", "channel", "lang", "state", "attempts", "wording",
                 "created_at", "updated_at", "reason"],
    )  # fmt: skip
    accounts = [
        await providers.register(conn, channel, f"lab {channel}", "1") for channel in CHANNELS
    ]
    tries = [(alert_id, one, *rest) for one in ids for rest in _attempts(rng, moments, accounts)]
    rng.shuffle(tries)
    await conn.copy_records_to_table(
        "attempt", records=tries,
        columns=["alert_id", "endpoint_id", "attempt", "at", "provider_id", "fence", "result",
                 "reason"],
    )  # fmt: skip
    await _count(conn, alert_id, Counter((row[2], row[4]) for row in rows))
    for channel in CHANNELS:
        listed = [row[1] for row in rows if row[2] == channel]
        await batches.add(conn, alert_id, channel, [(listed, 0.0)] if listed else [])
    await conn.execute("UPDATE batch SET state = 'done' WHERE alert_id = $1", alert_id)
    return History(alert_id, ids)


def _delivery(
    rng: random.Random, moments: list[datetime], endpoint_id: int
) -> tuple[int, str, str, str, int, int, datetime, datetime, str | None]:
    return (
        endpoint_id, rng.choice(CHANNELS), rng.choice(("vi", "vi", "en")), rng.choice(SETTLED),
        rng.randrange(4), rng.choice((0, 0, 1, 2)), rng.choice(moments), _moment(rng, moments),
        rng.choice(REASONS),
    )  # fmt: skip


def _attempts(
    rng: random.Random, moments: list[datetime], accounts: list[int]
) -> list[tuple[int, datetime, int, int, str, str | None]]:
    """Most have one try; some have none, several, or one number twice: a batch was lost."""
    return [
        (rng.choice((number, 1)), _moment(rng, moments), rng.choice(accounts),
         rng.randrange(1, 1 << 40), rng.choice(RESULTS), rng.choice(REASONS))
        for number in range(1, 1 + rng.choice((0, 1, 1, 1, 1, 2, 3)))
    ]  # fmt: skip


def _moment(rng: random.Random, moments: list[datetime]) -> datetime:
    """Return a moment many share, or one of its own."""
    if rng.random() < 0.7:
        return rng.choice(moments)
    return ENDED - timedelta(microseconds=rng.randrange(1, 6 * 3600 * 10**6))


async def _count(conn: Conn, alert_id: int, counts: Counter[tuple[str, str]]) -> None:
    for channel in CHANNELS:
        await conn.execute(
            "INSERT INTO progress (alert_id, channel) VALUES ($1, $2)", alert_id, channel
        )
    for (channel, state), count in counts.items():
        await conn.execute(
            f"UPDATE progress SET {state} = $3 WHERE alert_id = $1 AND channel = $2",
            alert_id, channel, count,
        )  # fmt: skip
