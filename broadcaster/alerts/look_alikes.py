"""Is there such an alert already? Two about one danger in one place say two things to people."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import shapely

from broadcaster.alerts import standing
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.problem import Problem
from broadcaster.db import Conn
from broadcaster.fanout.channel_policy import HANOI
from broadcaster.people.units import UnitMap
from targeting.area import Area
from targeting.errors import AreaError

_MOST = 20
"""Running alerts of one kind that are looked at, the newest first."""


async def check(
    conn: Conn, now: datetime, content: Content, alert: Alert | None, units: UnitMap
) -> list[Problem]:
    """Name each alert of the same kind that is on its way or in force where this one goes too.

    What belongs to one root, and an exercise beside a real alert, are not alike.
    """
    rows = await conn.fetch(
        "SELECT a.code, a.title, a.expires, u.name, u.name_en, v.content->'area' AS area"
        " FROM alert a JOIN unit u USING (unit_id)"
        " JOIN alert_version v ON v.alert_id = a.alert_id AND v.version = a.approved_version"
        f" WHERE {standing.live('a', '$1')} AND a.event = $2 AND a.status = $3"
        " AND a.kind IN ('alert', 'update')"
        " AND coalesce(a.root_id, a.alert_id) IS DISTINCT FROM $4"
        " ORDER BY a.alert_id DESC LIMIT $5",
        now,
        content.event,
        alert.status if alert else "Actual",
        alert.root_id if alert else None,
        _MOST,
    )
    if not rows:
        return []
    alike = await asyncio.to_thread(
        _overlapping, units, content.area, [row["area"] for row in rows]
    )
    return [_problem(row) for row, same in zip(rows, alike, strict=True) if same]


def _overlapping(units: UnitMap, area: dict[str, Any], others: list[dict[str, Any]]) -> list[bool]:
    try:
        here = Area.from_json(area).shape(units.outlines)
    except AreaError:
        return [False] * len(others)
    return [_overlaps(units, here, other) for other in others]


def _overlaps(units: UnitMap, here: Any, other: dict[str, Any]) -> bool:
    try:
        there = Area.from_json(other).shape(units.outlines)
    except AreaError:
        return False  # It was written on units that are no more.
    # A border in common is no ground in common.
    return bool(shapely.intersects(here, there) and not shapely.touches(here, there))


def _problem(row: Any) -> Problem:
    end = row["expires"].astimezone(HANOI)
    return Problem(
        "look_alike", False, "area",
        f"Đang có tin cùng loại ở nơi này: “{row['title']}” ({row['code']}, {row['name']}), hiệu"
        f" lực tới {end:%H:%M %d/%m}. Cập nhật tin đó, để người dân không nhận hai lời khác nhau.",
        f"There is such an alert here already: “{row['title']}” ({row['code']}, {row['name_en']}),"
        f" in force until {end:%H:%M, %d %b}. Update that one, so that people do not get two"
        " different words.",
        alert=row["code"],
    )  # fmt: skip
