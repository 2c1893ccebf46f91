"""What each channel can carry at this moment, by the accounts workers have in their settings.

One judgement for whoever asks before anything is sent: checks, forecast and alarms. What one
worker does with it is decided in `fleet`, from the same rows.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from broadcaster.db import Conn
from broadcaster.fanout.policy import CHANNELS

IN_USE = timedelta(hours=1)
"""An account that no living worker has named for so long is in nobody's settings any more."""


class Can(enum.StrEnum):
    """Whether anything leaves on a channel."""

    SEND = "send"
    WAIT = "wait"
    """Every account rests, and comes back by itself."""
    NEVER = "never"
    """Switched off by hand, or none is set up: nothing leaves until somebody acts."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """An account that takes messages now."""

    provider_id: int
    setup: Mapping[str, Any]
    """Its rules as the settings say, see `fleet`."""
    share: float | None
    """Of its full rate, as its busiest worker last saw it; None where nothing left lately."""


@dataclass(frozen=True, slots=True)
class Carrying:
    """One channel."""

    can: Can
    carriers: tuple[Carrier, ...]
    """Those that share its traffic now; standbys only where there is no other."""
    switched_off: bool
    """An official has switched an account off by hand."""


# A breaker that is half open lets one batch through: it counts when it is closed again.
_ACCOUNTS = """
SELECT p.provider_id, p.channel::text AS channel, p.weight, p.setup, p.switch = 'off' AS off,
    p.switch = 'on' OR (p.switch = 'auto' AND p.breaker = 'closed'
        AND (p.paused_until IS NULL OR p.paused_until <= $1)) AS usable,
    CASE WHEN h.tried > 0 THEN w.share END AS share
FROM provider p
LEFT JOIN LATERAL (
    SELECT sum(tried) AS tried FROM provider_health h
    WHERE h.provider_id = p.provider_id AND h.slot > now() - $3::interval
) h ON true
LEFT JOIN LATERAL (
    SELECT max((limits->p.provider_id::text->>'share')::float) AS share
    FROM worker WHERE lease_until > now() AND limits ? p.provider_id::text
) w ON true
WHERE p.configured_at > $1 - $2::interval ORDER BY p.provider_id
"""


async def carrying(
    conn: Conn, now: datetime, idle: timedelta = timedelta(minutes=1)
) -> dict[str, Carrying]:
    """Return what each channel can do; empty while no worker has said what is set up.

    `idle` is how long an account may have been quiet and still keep the rate it had climbed to.
    """
    rows = await conn.fetch(_ACCOUNTS, now, IN_USE, idle)
    if not rows:
        return {}
    return {
        channel: _of([row for row in rows if row["channel"] == channel]) for channel in CHANNELS
    }


def _of(rows: list[asyncpg.Record]) -> Carrying:
    usable = [row for row in rows if row["usable"]]
    shared = [row for row in usable if row["weight"]] or usable
    rests = any(not row["off"] for row in rows)
    return Carrying(
        Can.SEND if shared else Can.WAIT if rests else Can.NEVER,
        tuple(Carrier(row["provider_id"], row["setup"], row["share"]) for row in shared),
        any(row["off"] for row in rows),
    )
