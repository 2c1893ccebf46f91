"""The duty of units: what the notices on record mean under the rules in force.

Writes the notice table, and hands on rules made for one unit. Never blocks anything: these
functions answer questions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby

import asyncpg

from broadcaster.cadence.rules import (
    Notice,
    Rule,
    Standing,
    Status,
    first_day,
    most_pressing,
    stand,
)
from broadcaster.db import Conn
from broadcaster.errors import NotFound

COUNTED_KINDS = ("alert", "update", "all_clear")
"""A correction repairs a notice and a cancel withdraws one; neither informs anew."""

# One row per unit and rule, with as many of the newest notices as the rule counts: the index
# (unit_id, at DESC) answers each in a few pages, whatever the years of history. What the units
# before it issued counts as its own: a reform leaves nobody uninformed.
_DUTIES = (
    "SELECT u.unit_id, u.code, u.name, u.name_en, u.kind, u.valid_from AS unit_from,"
    " r.rule_id, r.count, r.period_hours, r.due_soon_hours, r.classes::text[] AS classes,"
    " r.valid_from, r.valid_to, n.notices"
    " FROM unit u LEFT JOIN cadence_rule r ON r.kind = 'at_least'"
    "  AND (r.unit_id = u.unit_id OR u.kind = ANY(r.unit_kinds))"
    "  AND r.valid_from <= $1 AND (r.valid_to IS NULL OR r.valid_to > $1)"
    " LEFT JOIN LATERAL (SELECT array_agg((l.at, l.class::text)) AS notices FROM ("
    "  SELECT m.at, m.class FROM unnest(u.unit_id || ARRAY("
    "    SELECT s.unit_id FROM unit_successor s WHERE s.successor_id = u.unit_id)) b(unit_id),"
    "   LATERAL (SELECT at, class FROM notice WHERE unit_id = b.unit_id AND at <= $1"
    "    AND class = ANY(r.classes) ORDER BY at DESC LIMIT r.count) m"
    "  ORDER BY m.at DESC LIMIT r.count) l) n ON true"
    " WHERE {} ORDER BY u.unit_id, r.rule_id"
)
_UNITS_OF_THE_MOMENT = (
    "u.valid_from <= ($1 AT TIME ZONE 'Asia/Ho_Chi_Minh')::date"
    " AND (u.valid_to IS NULL OR u.valid_to > ($1 AT TIME ZONE 'Asia/Ho_Chi_Minh')::date)"
    " AND r.rule_id IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Duty:
    """How one unit stands. Without a rule there is no duty: status and due are None."""

    unit_id: int
    code: str
    name: str
    name_en: str
    kind: str
    status: Status | None
    last: datetime | None
    due: datetime | None


@dataclass(frozen=True, slots=True)
class Discharge:
    """What a notice published now would do for the issuing unit's duty."""

    before: Duty
    counts: bool
    """The notice's class is one the rule counts."""
    due_after: datetime | None
    """The next due moment once it is published."""


async def duty_of(conn: Conn, unit_id: int, now: datetime) -> Duty:
    """Return the duty of one unit; NotFound when there is no such unit."""
    rows = await _rows(conn, now, unit_id)
    return _duty(rows, now)


async def duty_table(
    conn: Conn, now: datetime, unit_ids: Collection[int] | None = None
) -> list[Duty]:
    """Return the duty of every unit that has one (of those asked for), most pressing first."""
    condition, arguments = _UNITS_OF_THE_MOMENT, []
    if unit_ids is not None:
        condition += " AND u.unit_id = ANY($2)"
        arguments.append(list(unit_ids))
    rows = await conn.fetch(_DUTIES.format(condition), now, *arguments)
    duties = [
        _duty(list(of_unit), now) for _, of_unit in groupby(rows, key=lambda row: row["unit_id"])
    ]
    return sorted(duties, key=lambda duty: (duty.due or now, duty.unit_id))


async def discharges(conn: Conn, unit_id: int, alert_class: str, now: datetime) -> Discharge:
    """Say what a notice of this class, issued now by this unit, does for its duty."""
    rows = await _rows(conn, now, unit_id)
    counts = any(alert_class in row["classes"] for row in rows if row["rule_id"] is not None)
    after = most_pressing(_standings(rows, now, [Notice(now, alert_class)]))
    return Discharge(_duty(rows, now), counts, after.due if after else None)


async def record_notice(conn: Conn, now: datetime, alert_id: int, at: datetime) -> bool:
    """Record that an alert was published at its first hand-off; True when it counts as a notice.

    Safe to call again: of several moments told, the earliest holds.
    """
    done = await conn.execute(
        "INSERT INTO notice (unit_id, alert_id, class, event, at)"
        " SELECT unit_id, alert_id, class, event, least($2::timestamptz, $3::timestamptz)"
        " FROM alert WHERE alert_id = $1 AND status = 'Actual' AND kind = ANY($4)"
        " ON CONFLICT (alert_id) DO UPDATE SET at = least(notice.at, excluded.at)",
        alert_id, at, now, list(COUNTED_KINDS),
    )  # fmt: skip
    return done.endswith(" 1")


async def hand_on_rules(conn: Conn, was: int, now_unit: int) -> None:
    """Give the rules made for a unit that ended to the unit in its place."""
    await conn.execute("UPDATE cadence_rule SET unit_id = $2 WHERE unit_id = $1", was, now_unit)


async def _rows(conn: Conn, now: datetime, unit_id: int) -> list[asyncpg.Record]:
    rows = await conn.fetch(_DUTIES.format("u.unit_id = $2"), now, unit_id)
    if not rows:
        raise NotFound(
            "no_unit",
            "Không có đơn vị hành chính này.",
            "There is no such administrative unit.",
            unit_id=unit_id,
        )
    return rows


def _standings(
    rows: Iterable[asyncpg.Record], now: datetime, more: Iterable[Notice] = ()
) -> list[Standing]:
    return [
        stand(
            _rule(*(row[name] for name in _OF_RULE), tuple(row["classes"])),
            [*(Notice(*notice) for notice in row["notices"] or ()), *more],
            first_day(row["unit_from"]),
            now,
        )
        for row in rows
        if row["rule_id"] is not None
    ]


_OF_RULE = ("count", "period_hours", "due_soon_hours", "valid_from", "valid_to")


@lru_cache(1_000)
def _rule(
    count: int,
    period_hours: int,
    due_soon_hours: int,
    valid_from: datetime,
    valid_to: datetime | None,
    classes: tuple[str, ...],
) -> Rule:
    """Make the rule of a row: a hundred units share one."""
    return Rule(
        count=count,
        period=timedelta(hours=period_hours),
        due_soon=timedelta(hours=due_soon_hours),
        classes=frozenset(classes),
        valid_from=valid_from,
        valid_to=valid_to,
    )


def _duty(rows: list[asyncpg.Record], now: datetime) -> Duty:
    standing = most_pressing(_standings(rows, now))
    unit = rows[0]
    return Duty(
        unit_id=unit["unit_id"],
        code=unit["code"],
        name=unit["name"],
        name_en=unit["name_en"],
        kind=unit["kind"],
        status=standing.status if standing else None,
        last=standing.last if standing else None,
        due=standing.due if standing else None,
    )
