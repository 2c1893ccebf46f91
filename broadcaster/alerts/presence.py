"""Who is on a draft now, and in which field: a lease for each open page, renewed by the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.db import Conn
from broadcaster.people.officials import Actor

RENEWED_EVERY = timedelta(seconds=4)
"""How often a page says that it is there."""
LEASE = timedelta(seconds=12)
"""How long a page counts without a word of it: two of its calls may be lost."""


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody on a draft."""

    official_id: int
    name: str
    field: str
    """Where their cursor stands; empty when they only look."""
    since: datetime
    """Since when it stands there."""


async def renew(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, page: str, field: str
) -> None:
    """Keep one page's lease, and where its cursor stands."""
    await conn.execute(
        "INSERT INTO draft_presence AS d (alert_id, official_id, page, field, opened_at, field_at,"
        " seen_at) VALUES ($1, $2, $3, $4, $5, $5, $5)"
        " ON CONFLICT (alert_id, official_id, page) DO UPDATE SET seen_at = $5, field = $4,"
        " field_at = CASE WHEN d.field = $4 THEN d.field_at ELSE $5 END",
        alert_id,
        actor.official_id,
        page,
        field,
        now,
    )


async def leave(conn: Conn, actor: Actor, now: datetime, alert_id: int, page: str) -> None:
    """End a page's lease, and clear away those that ran out."""
    await conn.execute(
        "DELETE FROM draft_presence WHERE seen_at < $4"
        " OR (alert_id = $1 AND official_id = $2 AND page = $3)",
        alert_id,
        actor.official_id,
        page,
        now - LEASE,
    )


async def others(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, page: str
) -> list[Present]:
    """Return who else is there: one row for each other page, the same official's too."""
    rows = await conn.fetch(
        "SELECT d.official_id, o.name, d.field, d.field_at AS since FROM draft_presence d"
        " JOIN official o USING (official_id)"
        " WHERE d.alert_id = $1 AND d.seen_at >= $2 AND NOT (d.official_id = $3 AND d.page = $4)"
        " ORDER BY d.opened_at, d.page",
        alert_id,
        now - LEASE,
        actor.official_id,
        page,
    )
    return [Present(**row) for row in rows]
