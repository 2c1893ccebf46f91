"""The one statement that moves deliveries, and books what it moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

import asyncpg

from broadcaster.db import Conn
from broadcaster.fanout import letters, progress
from broadcaster.fanout.progress import TIMES, Timed
from broadcaster.states import DELIVERY_MOVES, DeliveryState

Moves = Mapping[DeliveryState, frozenset[DeliveryState]]


@dataclass(frozen=True, slots=True)
class Move:
    """Where one delivery of an alert goes."""

    endpoint_id: int
    target: str | None
    """None: it stays where it is."""
    reason: str = ""
    tries: int = 0
    """Tries to add to its count."""


_LEFT = ("handed_off", "confirmed", "seen")
_CONFIRMED = ("confirmed", "seen")

_AT_ONCE = 100
"""Deliveries in one statement. Of an alert that began a moment ago the planner knows nothing and
joins by comparing each with each: a thousand took half a second, ten times a hundred take a tenth
of that. Permits cannot be renewed meanwhile, and those that lapse give everything back unsent."""

# How long a delivery took is told by the database's clock alone, which also wrote when it began.
# The ids stand beside the joins as well: of an alert that began a moment ago the planner knows
# nothing, takes its million deliveries for one row, and would read all of them for each group.
_MOVE = """
WITH verdict AS (
    SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::smallint[])
        AS v(endpoint_id, target, reason, tries)
), old AS (
    SELECT d.endpoint_id, d.state::text AS state FROM delivery d JOIN verdict USING (endpoint_id)
    WHERE d.alert_id = $1 AND d.endpoint_id = ANY($2::bigint[])
    ORDER BY d.endpoint_id FOR UPDATE OF d
), moved AS (
    UPDATE delivery d
    SET state = CASE WHEN (o.state, v.target) IN (SELECT * FROM unnest($7::text[], $8::text[]))
            THEN v.target::delivery_state ELSE d.state END,
        attempts = d.attempts + v.tries, reason = coalesce(nullif(v.reason, ''), d.reason),
        updated_at = $6
    FROM verdict v JOIN old o USING (endpoint_id)
    WHERE d.alert_id = $1 AND d.endpoint_id = ANY($2::bigint[])
        AND d.endpoint_id = v.endpoint_id
        AND (v.tries > 0 OR (o.state, v.target) IN (SELECT * FROM unnest($7::text[], $8::text[])))
    RETURNING d.endpoint_id, d.channel::text AS channel, o.state AS old, d.state::text AS new,
        extract(epoch FROM now() - d.created_at)::float8 AS took
)
SELECT channel, old, new, width_bucket(took, $9::float8[]) + 1 AS bucket, count(*)::int AS count,
    sum(took) AS seconds,
    array_agg(endpoint_id) FILTER (
        WHERE new = 'failed' OR (old IN ('failed', 'unknown') AND new <> 'pending')) AS listed
FROM moved WHERE old <> new GROUP BY 1, 2, 3, 4
"""


async def move(
    conn: Conn,
    now: datetime,
    alert_id: int,
    moves: Sequence[Move],
    allowed: Moves = DELIVERY_MOVES,
) -> int:
    """Move deliveries of one alert as far as the table allows; returns how many moved.

    A move that the table does not allow is left undone without a word: receipts go forward only
    and may come late. The counts in `progress`, how long it took and the list of dead letters
    change in the same transaction.
    """
    if not moves:
        return 0
    # In the order of the key over all statements: everybody locks rows in this one.
    ordered = sorted(moves, key=attrgetter("endpoint_id"))
    rows: list[asyncpg.Record] = []
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        rows += await conn.fetch(
            _MOVE,
            alert_id,
            [m.endpoint_id for m in some],
            [m.target for m in some],
            [m.reason for m in some],
            [m.tries for m in some],
            now,
            [old.value for old, targets in allowed.items() for _ in targets],
            [new.value for targets in allowed.values() for new in targets],
            TIMES,
        )
    by_channel: dict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        by_channel[row["channel"]].append(row)
    for channel, moved in sorted(by_channel.items()):
        await progress.shift(
            conn,
            alert_id,
            channel,
            ((row["old"], row["new"], row["count"]) for row in moved),
            _timed(moved),
        )
    await letters.book(conn, now, alert_id, _listed(rows, failed=True))
    await letters.drop(conn, alert_id, _listed(rows, failed=False))
    return sum(row["count"] for row in rows)


def _timed(rows: Iterable[asyncpg.Record]) -> Iterator[Timed]:
    for row in rows:
        for what, states in (("handed_off", _LEFT), ("confirmed", _CONFIRMED)):
            # A receipt may be the first we hear of a hand-off: then it is counted as both.
            if row["new"] in states and row["old"] not in states:
                yield Timed(what, row["bucket"], row["count"], row["seconds"])


def _listed(rows: Iterable[asyncpg.Record], *, failed: bool) -> list[int]:
    return [
        endpoint_id
        for row in rows
        if (row["new"] == "failed") is failed
        for endpoint_id in row["listed"] or ()
    ]
