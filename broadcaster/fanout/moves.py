"""The one statement that moves deliveries, and books what it moved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broadcaster.db import Conn, numbers
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

# No join: of an alert that began a moment ago the planner knows nothing, takes its million
# deliveries for one row, and would compare every delivery with every move. The key's index is all
# it can use here; what each delivery is to become is looked up by its id ($3), among the few kinds
# of moves there are ($4 to $6). `locked` is there for its order, in which everybody locks rows.
# How long a delivery took is told by the database's clock alone, which also wrote when it began.
_KIND = "($3::jsonb ->> d.endpoint_id::text)::int"
_GOES = f"(d.state::text, ($4::text[])[{_KIND}]) IN (SELECT * FROM unnest($8::text[], $9::text[]))"
_LISTED = "d.alert_id = $1 AND d.endpoint_id = ANY($2::text::bigint[])"
_MOVE = f"""
WITH locked AS (
    SELECT d.endpoint_id FROM delivery d WHERE {_LISTED} ORDER BY d.endpoint_id FOR UPDATE
), moved AS (
    UPDATE delivery d
    SET state = CASE WHEN {_GOES} THEN (($4::text[])[{_KIND}])::delivery_state ELSE d.state END,
        attempts = d.attempts + ($6::smallint[])[{_KIND}],
        reason = coalesce(nullif(($5::text[])[{_KIND}], ''), d.reason), updated_at = $7
    WHERE {_LISTED} AND (SELECT count(*) FROM locked) > 0
        AND (($6::smallint[])[{_KIND}] > 0 OR {_GOES})
    RETURNING d.endpoint_id, d.channel::text AS channel, old.state::text AS old,
        new.state::text AS new, extract(epoch FROM now() - d.created_at)::float8 AS took
)
SELECT channel, old, new, width_bucket(took, $10::float8[]) + 1 AS bucket, count(*)::int AS count,
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
    kinds: dict[tuple[str | None, str, int], int] = {}
    kind_of = {
        str(m.endpoint_id): kinds.setdefault((m.target, m.reason, m.tries), len(kinds) + 1)
        for m in moves
    }
    targets, reasons, tries = (list(column) for column in zip(*kinds, strict=True))
    rows = await conn.fetch(
        _MOVE,
        alert_id,
        numbers(m.endpoint_id for m in moves),
        kind_of,
        targets,
        reasons,
        tries,
        now,
        [old.value for old, to in allowed.items() for _ in to],
        [new.value for to in allowed.values() for new in to],
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
