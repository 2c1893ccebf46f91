"""What an operator has to look at now: raised by whoever finds it, shown until it is over.

The only writer of `alarm`. Raised again, a standing alarm stays one row and keeps its `since`; one
with an end lapses by itself. Subjects and details are codes and figures, never addresses.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from broadcaster.db import Conn

log = structlog.get_logger(__name__)

_NEAR = timedelta(seconds=5)
"""An end that moves by less is not written: a paused account says so with every batch."""
_SAME = timedelta(seconds=60)
"""Raised again this soon after its end, it is the same alarm: pauses follow each other."""


class What(enum.StrEnum):
    """Every kind of alarm, and what its subject is."""

    RETIREMENT_PAUSED = "retirement_paused"
    """Too many dead addresses in one batch: `provider:<id>`."""
    PROVIDER_PAUSED = "provider_paused"
    """A carrier refuses our account or payload: `provider:<id>`."""
    PROVIDER_DOWN = "provider_down"
    """A carrier cannot be used (breaker open, link test failing): `provider:<id>`."""
    CHANNEL_DOWN = "channel_down"
    """Messages wait on a channel none of whose accounts can be used: the channel."""
    BATCH_UNPROVEN = "batch_unproven"
    """A batch does not verify against what was approved; it is set aside: `alert:<id>`."""
    DEAD_LETTERS = "dead_letters"
    """A large share of an alert's deliveries ended failed or unknown: `alert:<id>:<channel>`."""
    WORKERS_MISSING = "workers_missing"
    """There is work and nobody alive to do it: the role."""
    QUEUE_OLD = "queue_old"
    """Something due has waited too long: `<channel>:<lane>`."""
    NOBODY_APPROVES = "nobody_approves"
    """Everybody was asked for an approval and nobody has answered: `alert:<id>`."""
    CLOCK_WRONG = "clock_wrong"
    """A clock is minutes off: `database`, or `worker:<name>`, which sends nothing then."""
    NOT_PACKED = "not_packed"
    """An alert that is over does not add up and stays out of the archive: `alert:<id>`."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm in force."""

    what: str
    subject: str
    since: datetime
    until: datetime | None
    """None: until whoever raised it finds it over."""
    detail: dict[str, Any]
    provider: str | None = None
    """Name and account of the provider it is about."""
    alert_code: str | None = None
    """Of the alert it is about."""


async def raise_(
    conn: Conn,
    now: datetime,
    what: What,
    subject: str = "",
    until: datetime | None = None,
    **detail: Any,
) -> bool:
    """Raise an alarm inside the caller's transaction, or prolong it; True when it is a new one.

    Costs one look-up while it stands, so that it may be raised with every batch.
    """
    standing = await conn.fetchrow(
        "SELECT until FROM alarm WHERE what = $1 AND subject = $2 AND cleared_at IS NULL"
        " AND (until IS NULL OR until > $3)",
        what.value,
        subject,
        now,
    )
    if standing is not None and not _ends_later(standing["until"], until):
        return False
    new: bool = await conn.fetchval(
        "INSERT INTO alarm AS a (what, subject, since, until, detail) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (what, subject) WHERE cleared_at IS NULL DO UPDATE"
        " SET until = excluded.until, detail = excluded.detail,"
        "  since = CASE WHEN a.until < $3 - $6::interval THEN $3 ELSE a.since END"
        " RETURNING since = $3",
        what.value,
        subject,
        now,
        until,
        detail,
        _SAME,
    )
    if new:
        log.error("alarm", what=what.value, subject=subject, until=until, **detail)
    return new


def _ends_later(standing: datetime | None, until: datetime | None) -> bool:
    return standing is not None and (until is None or until > standing + _NEAR)


async def clear(conn: Conn, now: datetime, what: What, subject: str = "") -> bool:
    """End an alarm; False when it did not stand."""
    cleared = await conn.fetchval(
        "UPDATE alarm SET cleared_at = $3 WHERE what = $1 AND subject = $2 AND cleared_at IS NULL"
        " RETURNING alarm_id",
        what.value,
        subject,
        now,
    )
    if cleared is not None:
        log.info("alarm over", what=what.value, subject=subject)
    return cleared is not None


async def stands(conn: Conn, now: datetime, what: What, subject: str = "") -> bool:
    """Tell whether one alarm is in force."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM alarm WHERE what = $1 AND subject = $2"
        " AND cleared_at IS NULL AND (until IS NULL OR until > $3))",
        what.value,
        subject,
        now,
    )
    return found


async def standing(conn: Conn, now: datetime) -> list[Alarm]:
    """Return the alarms in force, the oldest first."""
    rows = await conn.fetch(
        "SELECT a.what, a.subject, a.since, a.until, a.detail,"
        " p.name || ' ' || p.account AS provider, t.code AS alert_code FROM alarm a"
        " LEFT JOIN provider p ON a.subject = 'provider:' || p.provider_id"
        " LEFT JOIN alert t ON t.alert_id = CASE WHEN a.subject LIKE 'alert:%'"
        "  THEN split_part(a.subject, ':', 2)::bigint END"
        " WHERE a.cleared_at IS NULL AND (a.until IS NULL OR a.until > $1)"
        " ORDER BY a.since, a.alarm_id",
        now,
    )
    return [Alarm(**dict(row)) for row in rows]


async def lapse(conn: Conn, now: datetime) -> int:
    """End the alarms whose time has come; returns how many."""
    done = await conn.execute(
        "UPDATE alarm SET cleared_at = until WHERE cleared_at IS NULL AND until < $1", now - _SAME
    )
    return int(done.split()[-1])
