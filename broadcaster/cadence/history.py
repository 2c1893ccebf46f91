"""A plausible past for the demo: ninety days of notices for every unit that has a duty."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from broadcaster.cadence.duty import duty_table
from broadcaster.db import Conn

DAYS = 90
OVERDUE, DUE_SOON = 0.05, 0.12
"""Shares of the units that have kept silent too long, or nearly so."""
_LAPSE = 0.02
_TOPICS = (
    ("public_notice", "information", 60),
    ("heat", "information", 12),
    ("heavy_rain", "warning", 16),
    ("storm", "warning", 6),
    ("flood", "warning", 5),
    ("fire", "emergency", 1),
)


async def seed_history(conn: Conn, now: datetime, seed: int = 1) -> int:
    """Add the history, unless there is any already; return how many notices were added."""
    if await conn.fetchval("SELECT EXISTS (SELECT FROM notice)"):
        return 0
    # The same past for the same seed on every machine; nothing secret hangs on it.
    rng = random.Random(seed)  # noqa: S311
    units = sorted(duty.unit_id for duty in await duty_table(conn, now))
    rows = [(unit_id, *notice) for unit_id in units for notice in _past(rng, now)]
    await conn.copy_records_to_table(
        "notice", columns=["unit_id", "at", "class", "event"], records=rows
    )
    return len(rows)


def _past(rng: random.Random, now: datetime) -> Iterator[tuple[datetime, str, str]]:
    """Yield one unit's notices, the newest first."""
    fate = rng.random()
    if fate < OVERDUE:
        silent = rng.uniform(72.5, 120)
    elif fate < OVERDUE + DUE_SOON:
        silent = rng.uniform(49, 71.5)
    else:
        silent = rng.uniform(0.5, 47)
    at = now - timedelta(hours=silent)
    weights = [weight for _, _, weight in _TOPICS]
    while at > now - timedelta(days=DAYS):
        event, alert_class, _ = rng.choices(_TOPICS, weights)[0]
        yield at.replace(microsecond=0), alert_class, event
        gap = rng.uniform(73, 110) if rng.random() < _LAPSE else rng.triangular(6, 71, 50)
        at -= timedelta(hours=gap)
