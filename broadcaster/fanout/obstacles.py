"""What keeps a channel's messages waiting now: provider accounts that rest, why, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from broadcaster.db import Conn


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One provider account that takes nothing at present."""

    channel: str
    provider: str
    """Name and account."""
    cause: str
    """`off`: switched off by hand; `paused`: it refuses our account or payload, or is away;
    `broken`: too many of its answers were errors."""
    reason: str
    """The carrier's own code, or what an official wrote."""
    until: datetime | None
    """When it is tried again; None: when somebody switches it on."""
    others: bool
    """Another account of the channel carries on meanwhile."""


async def obstacles(conn: Conn, now: datetime, channels: Sequence[str]) -> list[Obstacle]:
    """Return the accounts of these channels that rest now."""
    rows = await conn.fetch(
        "SELECT channel::text AS channel, name || ' ' || account AS provider,"
        " CASE WHEN switch = 'off' THEN 'off' WHEN paused_until > $1 THEN 'paused'"
        "  WHEN breaker = 'open' AND switch <> 'on' THEN 'broken' ELSE '' END AS cause,"
        " coalesce(switch_reason, '') AS switched, coalesce(paused_reason, '') AS paused,"
        " coalesce(breaker_detail->>'last', breaker_detail->>'reason', '') AS broken,"
        " paused_until, next_try"
        " FROM provider WHERE channel = ANY($2::channel[])"
        " AND configured_at > $1 - interval '1 hour'"
        " ORDER BY channel, provider_id",
        now,
        list(channels),
    )
    carrying = {row["channel"] for row in rows if not row["cause"]}
    reasons = {"off": "switched", "paused": "paused", "broken": "broken"}
    ends = {"off": None, "paused": "paused_until", "broken": "next_try"}
    found = []
    for row in rows:
        if row["cause"]:
            end = ends[row["cause"]]
            found.append(
                Obstacle(
                    channel=row["channel"],
                    provider=row["provider"],
                    cause=row["cause"],
                    reason=row[reasons[row["cause"]]],
                    until=row[end] if end else None,
                    others=row["channel"] in carrying,
                )
            )
    return found
