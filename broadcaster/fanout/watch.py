"""What the clockwork looks at to raise alarms: workers, queues, channels, approvals, dead letters.

Every alarm raised here is cleared here, when the next look finds it over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from broadcaster.db import Conn
from broadcaster.fanout import alarms
from broadcaster.fanout.alarms import What
from broadcaster.fanout.carrying import Can, carrying

MOST_WAITING: Mapping[int, timedelta] = {
    0: timedelta(minutes=1),
    1: timedelta(minutes=10),
    2: timedelta(hours=2),
}
"""How long something due may wait, by lane, before it is an alarm."""
MOST_UNDECIDED: Mapping[int, timedelta] = {
    0: timedelta(minutes=2),
    1: timedelta(minutes=10),
    2: timedelta(hours=1),
}
"""How long the last ones who can be asked for an approval have to answer, by lane."""
LANES = ("emergency", "warning", "routine")
DEAD_SHARE = 0.10
"""More of an alert's deliveries on one channel that ended failed or unknown are an alarm."""
FEWEST_DEAD = 100
"""Below this many a share says nothing."""
_RECENT = timedelta(hours=24)
_NOBODY = timedelta(seconds=10)
"""Work may lie this long with no worker alive before that is an alarm: they are being started.
The same where every account of a channel rests: it is away for three seconds at a time."""

# By the database's clock, like everything that is due.
QUEUES = """
SELECT b.channel::text AS channel, a.lane,
    max(extract(epoch FROM now() - b.not_before))::float8 AS seconds
FROM batch b JOIN alert a USING (alert_id)
WHERE b.state <> 'done' AND b.not_before <= now() AND a.state = 'sending' GROUP BY 1, 2
"""
_OLDEST = """
SELECT max(extract(epoch FROM now() - since))::float8 FROM (
    SELECT b.not_before AS since FROM batch b JOIN alert a USING (alert_id)
    WHERE b.state <> 'done' AND b.not_before <= now() AND a.state = 'sending'
    UNION ALL SELECT not_before FROM direct_message
    WHERE state = 'pending' AND not_before <= now() AND expires > now()) waiting
"""
_DEAD = """
SELECT p.alert_id, a.code, p.channel::text AS channel,
    p.failed + coalesce(l.left_unknown, 0) AS dead,
    p.handed_off + p.confirmed + p.seen + p.failed + p.unknown AS ended
FROM progress p JOIN alert a USING (alert_id) LEFT JOIN LATERAL (
    SELECT count(*) AS left_unknown FROM dead_letter d WHERE p.unknown > 0
        AND d.alert_id = p.alert_id AND d.channel = p.channel AND d.state = 'unknown'
) l ON true
WHERE a.started_at > $1 AND a.state IN ('sending', 'sent') AND p.failed + p.unknown >= $2
"""
# Who was asked first was asked by the clock too; that nobody is left to ask says next_at.
_UNDECIDED = """
SELECT a.alert_id, a.code, a.lane, k.asked_at, ARRAY(SELECT DISTINCT o.name
    FROM approval_ask e JOIN official o ON o.official_id = ANY(e.officials)
    WHERE e.alert_id = a.alert_id AND e.version = a.version ORDER BY 1) AS names
FROM alert a CROSS JOIN LATERAL (SELECT * FROM approval_ask k
    WHERE k.alert_id = a.alert_id AND k.version = a.version ORDER BY k.step DESC LIMIT 1) k
WHERE a.state = 'submitted' AND a.status = 'Actual' AND NOT a.training AND k.next_at IS NULL
    AND (a.expires IS NULL OR a.expires > $1)
"""


async def look(conn: Conn, now: datetime) -> int:
    """Raise and clear what is for the clockwork to see; returns how many alarms stand."""
    async with conn.transaction():
        await alarms.lapse(conn, now)
        await _workers(conn, now)
        await _queues(conn, now)
        await _channels(conn, now)
        await _dead_letters(conn, now)
        await _undecided(conn, now)
    return len(await alarms.standing(conn, now))


async def _workers(conn: Conn, now: datetime) -> None:
    waited: float = await conn.fetchval(_OLDEST) or 0.0
    alive = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM worker WHERE role = 'send' AND lease_until > now())"
    )
    found = {} if alive or waited < _NOBODY.total_seconds() else {"send": {"seconds": int(waited)}}
    await _set(conn, now, What.WORKERS_MISSING, found)


async def _queues(conn: Conn, now: datetime) -> None:
    found = {
        f"{row['channel']}:{LANES[row['lane']]}": {"seconds": int(row["seconds"])}
        for row in await conn.fetch(QUEUES)
        if row["seconds"] > MOST_WAITING[row["lane"]].total_seconds()
    }
    await _set(conn, now, What.QUEUE_OLD, found)


async def _channels(conn: Conn, now: datetime) -> None:
    """Raise it at once for what somebody has to act on; what rests may be back in a moment."""
    waiting: dict[str, float] = {}
    for row in await conn.fetch(QUEUES):
        waiting[row["channel"]] = max(row["seconds"], waiting.get(row["channel"], 0.0))
    able = await carrying(conn, now) if waiting else {}
    found = {
        channel: {"can": able[channel].can.value, "seconds": int(seconds)}
        for channel, seconds in waiting.items()
        if able
        and (
            able[channel].can is Can.NEVER
            or (able[channel].can is Can.WAIT and seconds > _NOBODY.total_seconds())
        )
    }
    await _set(conn, now, What.CHANNEL_DOWN, found)


async def _dead_letters(conn: Conn, now: datetime) -> None:
    rows = await conn.fetch(_DEAD, now - _RECENT, FEWEST_DEAD)
    found = {
        f"alert:{row['alert_id']}:{row['channel']}": {
            "code": row["code"],
            "dead": row["dead"],
            "ended": row["ended"],
        }
        for row in rows
        if row["dead"] >= FEWEST_DEAD and row["dead"] > DEAD_SHARE * row["ended"]
    }
    await _set(conn, now, What.DEAD_LETTERS, found)


async def _undecided(conn: Conn, now: datetime) -> None:
    """Find alerts whose approvers all sleep: nothing goes out until somebody calls them."""
    found = {
        f"alert:{row['alert_id']}": {
            "code": row["code"],
            "minutes": int((now - row["asked_at"]).total_seconds() // 60),
            "names": list(row["names"]),
        }
        for row in await conn.fetch(_UNDECIDED, now)
        if not row["names"] or now - row["asked_at"] > MOST_UNDECIDED[row["lane"]]
    }
    await _set(conn, now, What.NOBODY_APPROVES, found)


async def _set(
    conn: Conn, now: datetime, what: What, found: Mapping[str, Mapping[str, Any]]
) -> None:
    """Have exactly these alarms of a kind stand, by subject, each with its detail."""
    for subject, detail in sorted(found.items()):
        await alarms.raise_(conn, now, what, subject, **detail)
    for one in await alarms.standing(conn, now):
        if one.what == what and one.subject not in found:
            await alarms.clear(conn, now, what, one.subject)
