"""How long deliveries took, over all alerts there ever were: exact, and cheap to ask for.

The rows of `progress` hold it for alerts under way; the clockwork adds those of the others to a
few totals, so that what is asked each few seconds never grows with the archive. A histogram
therefore only ever rises, whichever process is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout.progress import TIMES

WHAT = ("handed_off", "confirmed")
_AT_ONCE = 500
_BUCKETS = len(TIMES) + 1


@dataclass(frozen=True, slots=True)
class Histogram:
    """Deliveries of one channel and lane, from being written to `what`."""

    channel: str
    lane: int
    what: str
    counts: tuple[int, ...]
    """How many within each of TIMES, and in the last place those that took longer."""
    seconds: float
    """Of all of them together."""


_OPEN = f"""
SELECT p.channel::text AS channel, a.lane, t.what, t.counts, t.seconds
FROM progress p JOIN alert a USING (alert_id) CROSS JOIN LATERAL (VALUES
    ('{WHAT[0]}', p.handed_off_within::bigint[], p.handed_off_seconds),
    ('{WHAT[1]}', p.confirmed_within::bigint[], p.confirmed_seconds)) AS t(what, counts, seconds)
WHERE (p.handed_off_within <> '{{}}' OR p.confirmed_within <> '{{}}')
"""


async def histograms(conn: Conn) -> list[Histogram]:
    """Return every histogram, from one snapshot: nothing is missing or there twice meanwhile."""
    rows = await conn.fetch(
        "SELECT channel::text AS channel, lane, what, within AS counts, seconds FROM timing_total"
        f" UNION ALL {_OPEN}"
    )
    return _sum([dict(row) for row in rows])


def _sum(rows: Iterable[dict[str, Any]]) -> list[Histogram]:
    counts: dict[tuple[str, int, str], list[int]] = {}
    seconds: dict[tuple[str, int, str], float] = {}
    for row in rows:
        key = row["channel"], row["lane"], row["what"]
        whole = counts.setdefault(key, [0] * _BUCKETS)
        for place, count in enumerate(row["counts"]):
            whole[place] += count or 0
        seconds[key] = seconds.get(key, 0.0) + row["seconds"]
    return [Histogram(*key, tuple(counts[key]), seconds[key]) for key in sorted(counts)]


async def fold(pool: Pool) -> int:
    """Add what alerts that are not being sent hold to the totals; returns how many rows.

    Late receipts of theirs count anew in the same rows, and are added by a later run.
    """
    folded = 0
    while True:
        async with transaction(pool) as conn:
            # One at a time: two processes would take the totals in different orders.
            await conn.execute("SELECT pg_advisory_xact_lock(hashtext('timings.fold'))")
            rows = await conn.fetch(
                "SELECT p.alert_id, p.channel::text AS channel FROM progress p"
                " JOIN alert a USING (alert_id) WHERE a.state <> 'sending'"
                " AND (p.handed_off_within <> '{}' OR p.confirmed_within <> '{}')"
                " ORDER BY p.alert_id, p.channel LIMIT $1 FOR UPDATE OF p",
                _AT_ONCE,
            )
            keys = [row["alert_id"] for row in rows], [row["channel"] for row in rows]
            await _add(conn, *keys)
        folded += len(rows)
        if len(rows) < _AT_ONCE:
            return folded


async def _add(conn: Conn, alert_ids: Sequence[int], channels: Sequence[str]) -> None:
    chosen = "(p.alert_id, p.channel) IN (SELECT * FROM unnest($1::bigint[], $2::channel[]))"
    rows = await conn.fetch(f"{_OPEN.rstrip()} AND {chosen}", alert_ids, channels)
    for one in _sum([dict(row) for row in rows]):
        await conn.execute(
            "INSERT INTO timing_total AS t (channel, lane, what, within, seconds)"
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (channel, lane, what) DO UPDATE SET"
            " within = ARRAY(SELECT o + n FROM unnest(t.within, excluded.within) AS v(o, n)),"
            " seconds = t.seconds + excluded.seconds",
            one.channel,
            one.lane,
            one.what,
            list(one.counts),
            one.seconds,
        )
    await conn.execute(
        "UPDATE progress p SET handed_off_within = '{}', handed_off_seconds = 0,"
        f" confirmed_within = '{{}}', confirmed_seconds = 0 WHERE {chosen}",
        alert_ids,
        channels,
    )
