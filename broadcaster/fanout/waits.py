"""How often and how long messages waited for the limits of an account, over all workers.

Each worker adds what came since it last did, so that the sums survive any of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from broadcaster.db import Conn


@dataclass(frozen=True, slots=True)
class Wait:
    """What one worker waited for one account in one lane since it last said so."""

    provider_id: int
    lane: int
    waits: int
    seconds: float


async def add(conn: Conn, since: Iterable[Wait]) -> None:
    """Add to the sums; in one order, so that workers do not block each other."""
    told = sorted((w for w in since if w.waits), key=lambda w: (w.provider_id, w.lane))
    await conn.executemany(
        "INSERT INTO limiter_wait AS w (provider_id, lane, waits, seconds) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (provider_id, lane) DO UPDATE SET waits = w.waits + excluded.waits,"
        " seconds = w.seconds + excluded.seconds",
        [(w.provider_id, w.lane, w.waits, w.seconds) for w in told],
    )
