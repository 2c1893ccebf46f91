"""How an alert got to people over time: a few hundred points each, kept by the clockwork.

Writes reach_point. A point is written when the counts have changed and the last one is old enough:
half a second at first, a sixtieth of what has passed later on. So an alert of a second and one of
a night are drawn with the same care, and no alert fills a disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from broadcaster.db import Conn, Pool

FOLLOWED = timedelta(days=3)
"""So long after its start an alert's figures are followed; its end is at most a day after."""
_FEWEST = timedelta(seconds=0.4)
_PART = 60

# The moment a channel has nothing left to do is always kept: it is what people ask for.
_WRITE = """
INSERT INTO reach_point (alert_id, channel, at, messages, handed_off, confirmed, pending)
SELECT p.alert_id, p.channel, $1::timestamptz, c.messages, c.handed_off, c.confirmed, p.pending
FROM alert a JOIN progress p USING (alert_id)
CROSS JOIN LATERAL (SELECT
    p.pending + p.handed_off + p.confirmed + p.seen + p.failed + p.expired + p.stopped + p.unknown,
    p.handed_off + p.confirmed + p.seen, p.confirmed + p.seen
) c (messages, handed_off, confirmed)
LEFT JOIN LATERAL (SELECT * FROM reach_point r
    WHERE r.alert_id = p.alert_id AND r.channel = p.channel ORDER BY r.at DESC LIMIT 1) l ON true
WHERE a.started_at > $1::timestamptz - $2::interval AND a.started_at <= $1::timestamptz
    AND (l.at IS NULL OR l.at < $1::timestamptz
        AND (c.messages, c.handed_off, c.confirmed, p.pending)
        IS DISTINCT FROM (l.messages, l.handed_off, l.confirmed, l.pending)
        AND ($1::timestamptz - l.at >= greatest($3::interval, ($1::timestamptz - a.started_at) / $4)
            OR p.pending = 0 AND l.pending > 0))
ON CONFLICT DO NOTHING
"""


class Point(NamedTuple):
    """Counts of one channel at one moment, all cumulative; there are many, and each is small."""

    seconds: float
    """Since sending began."""
    messages: int
    handed_off: int
    confirmed: int
    pending: int

    @property
    def left(self) -> int:
        """Messages that need no first try any more."""
        return self.messages - self.pending


@dataclass(frozen=True, slots=True)
class Series:
    """One channel of one alert, oldest point first; the first stands at zero."""

    channel: str
    points: tuple[Point, ...]

    def within(self, share: float) -> float | None:
        """Return the seconds until this share of all its messages had left; None: not yet.

        Between two points messages are taken to have left evenly.
        """
        wanted = share * self.points[-1].messages
        if not wanted or self.points[-1].left < wanted:
            return None
        before = self.points[0]
        for point in self.points[1:]:
            # Chunks that are written later raise what waits; what has left never falls.
            if point.left >= wanted > before.left:
                part = (wanted - before.left) / (point.left - before.left)
                return before.seconds + part * (point.seconds - before.seconds)
            if point.left > before.left:
                before = point
        return before.seconds

    @property
    def ended(self) -> float | None:
        """Seconds until nothing was left to do; None while something is."""
        last = self.points[-1]
        if last.pending or not last.messages:
            return None
        return next(point.seconds for point in self.points if point.left == last.messages)


async def keep(pool: Pool, now: datetime) -> int:
    """Write a point of every channel that has moved; returns how many."""
    async with pool.acquire() as conn:
        tag = await conn.execute(_WRITE, now, FOLLOWED, _FEWEST, _PART)
    return int(tag.split()[-1])


async def of_alert(conn: Conn, alert_id: int) -> list[Series]:
    """Return the series of an alert by channel; none before sending began."""
    # One row a channel: a record for each point costs five times as much.
    rows = await conn.fetch(
        "SELECT r.channel::text AS channel,"
        " array_agg(extract(epoch FROM r.at - a.started_at)::float8 ORDER BY r.at) AS seconds,"
        " array_agg(r.messages ORDER BY r.at) AS messages,"
        " array_agg(r.handed_off ORDER BY r.at) AS handed_off,"
        " array_agg(r.confirmed ORDER BY r.at) AS confirmed,"
        " array_agg(r.pending ORDER BY r.at) AS pending"
        " FROM reach_point r JOIN alert a USING (alert_id)"
        " WHERE r.alert_id = $1 AND a.started_at IS NOT NULL GROUP BY r.channel ORDER BY r.channel",
        alert_id,
    )
    found = []
    for row in rows:
        first = row["messages"][0]
        points = map(
            Point,
            (max(0.0, at) for at in row["seconds"]),
            row["messages"],
            row["handed_off"],
            row["confirmed"],
            row["pending"],
        )
        found.append(Series(row["channel"], (Point(0.0, first, 0, 0, first), *points)))
    return found


def together(series: Sequence[Series]) -> Series:
    """Return all channels as one, at every moment one of them has a point."""
    moments = sorted({point.seconds for one in series for point in one.points})
    places = [0] * len(series)
    points = []
    for moment in moments:
        current = []
        for number, one in enumerate(series):
            while places[number] + 1 < len(one.points) and (
                one.points[places[number] + 1].seconds <= moment
            ):
                places[number] += 1
            current.append(one.points[places[number]])
        points.append(
            Point(
                moment,
                sum(point.messages for point in current),
                sum(point.handed_off for point in current),
                sum(point.confirmed for point in current),
                sum(point.pending for point in current),
            )
        )
    return Series("", tuple(points))
