"""The one statement that moves deliveries, and books what it moved."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from broadcaster.db import Conn
from broadcaster.fanout import progress
from broadcaster.states import DELIVERY_MOVES

_ALLOWED = [(old.value, new.value) for old, targets in DELIVERY_MOVES.items() for new in targets]


@dataclass(frozen=True, slots=True)
class Move:
    """Where one delivery of an alert goes."""

    endpoint_id: int
    target: str | None
    """None: it stays where it is."""
    reason: str = ""
    tries: int = 0
    """Tries to add to its count."""


_MOVE = """
WITH verdict AS (
    SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::smallint[])
        AS v(endpoint_id, target, reason, tries)
), old AS (
    SELECT d.endpoint_id, d.state::text AS state FROM delivery d JOIN verdict USING (endpoint_id)
    WHERE d.alert_id = $1 ORDER BY d.endpoint_id FOR UPDATE OF d
)
UPDATE delivery d
SET state = CASE WHEN (o.state, v.target) IN (SELECT * FROM unnest($7::text[], $8::text[]))
        THEN v.target::delivery_state ELSE d.state END,
    attempts = d.attempts + v.tries, reason = coalesce(nullif(v.reason, ''), d.reason),
    updated_at = $6
FROM verdict v JOIN old o USING (endpoint_id)
WHERE d.alert_id = $1 AND d.endpoint_id = v.endpoint_id
    AND (v.tries > 0 OR (o.state, v.target) IN (SELECT * FROM unnest($7::text[], $8::text[])))
RETURNING d.channel::text AS channel, o.state AS old, d.state::text AS new
"""


async def move(conn: Conn, now: datetime, alert_id: int, moves: Sequence[Move]) -> int:
    """Move deliveries of one alert as far as DELIVERY_MOVES allows; returns how many moved.

    A move that the table does not allow is left undone without a word: receipts go forward only
    and may come late. The counts in `progress` change in the same transaction.
    """
    if not moves:
        return 0
    rows = await conn.fetch(
        _MOVE,
        alert_id,
        [m.endpoint_id for m in moves],
        [m.target for m in moves],
        [m.reason for m in moves],
        [m.tries for m in moves],
        now,
        [old for old, _ in _ALLOWED],
        [new for _, new in _ALLOWED],
    )
    by_channel: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for channel, old, new in rows:
        if old != new:
            by_channel[channel][old, new] += 1
    for channel in sorted(by_channel):
        await progress.shift(
            conn, alert_id, channel, ((*pair, n) for pair, n in by_channel[channel].items())
        )
    return sum(sum(counts.values()) for counts in by_channel.values())
