"""Accounts at carriers: which there are, which are paused, and the brake on retirements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from broadcaster.db import Conn
from broadcaster.fanout import alarms
from broadcaster.fanout.alarms import What
from channels.base import Action

log = structlog.get_logger(__name__)

PAUSE = timedelta(seconds=30)
"""For an account or payload at fault: somebody has to mend it."""
AWAY_PAUSE = timedelta(seconds=3)
"""For a carrier that cannot be reached: it may be back at any moment."""
PAUSES: Mapping[Action, timedelta] = {Action.PAUSE: PAUSE, Action.AWAY: AWAY_PAUSE}
RETIREMENT_PAUSE = timedelta(minutes=10)
MOST_RETIRED_SHARE = 0.05
"""More permanent failures than this in a batch look like one bad payload, not like dead phones."""
FEWEST_TO_JUDGE = 200
"""Below this many outcomes a share says nothing."""


async def register(conn: Conn, channel: str, name: str, account: str) -> int:
    """Find or make the row of an account; returns its provider_id."""
    provider_id: int = await conn.fetchval(
        "INSERT INTO provider (channel, name, account) VALUES ($1, $2, $3)"
        " ON CONFLICT (channel, name, account) DO UPDATE SET name = excluded.name"
        " RETURNING provider_id",
        channel,
        name,
        account,
    )
    return provider_id


async def configure(conn: Conn, provider_id: int, weight: int, setup: dict[str, Any]) -> None:
    """Write down what the settings say of an account, for the workers' rules and the page."""
    await conn.execute(
        "UPDATE provider SET weight = $2, setup = $3, configured_at = now() WHERE provider_id = $1",
        provider_id,
        weight,
        setup,
    )


async def keep_in_use(conn: Conn, provider_ids: Sequence[int]) -> None:
    """Say that a living worker has these accounts in its settings; to be said every few minutes."""
    await conn.execute(
        "UPDATE provider SET configured_at = now() WHERE provider_id = ANY($1::int[])",
        list(provider_ids),
    )


async def pause(
    conn: Conn, now: datetime, provider_id: int, reason: str, length: timedelta
) -> None:
    """Claim nothing for this account for a while; the first of a row of pauses is logged."""
    known = await conn.fetchval(
        "SELECT paused_until > $2 AND paused_reason = $3 FROM provider WHERE provider_id = $1",
        provider_id,
        now - PAUSE,
        reason,
    )
    if not known:
        log.error("provider paused", provider_id=provider_id, reason=reason)
    await conn.execute(
        "UPDATE provider SET paused_until = $2, paused_reason = $3 WHERE provider_id = $1",
        provider_id,
        now + length,
        reason,
    )
    if length > AWAY_PAUSE:
        # A carrier that is away comes back by itself; what is at fault here has to be mended.
        await alarms.raise_(
            conn, now, What.PROVIDER_PAUSED, f"provider:{provider_id}", now + length, reason=reason
        )


async def retirement_allowed(
    conn: Conn, now: datetime, provider_id: int, dead: int, outcomes: int
) -> bool:
    """Whether endpoints may be retired on this carrier's word; raises the alarm when not.

    One bad payload must not wipe a million devices: a batch with too many dead addresses pauses
    retirement, and the deliveries fail without their endpoints being touched.
    """
    paused = await conn.fetchval(
        "SELECT retirement_paused_until > $2 FROM provider WHERE provider_id = $1",
        provider_id,
        now,
    )
    if paused:
        return False
    if outcomes >= FEWEST_TO_JUDGE and dead > MOST_RETIRED_SHARE * outcomes:
        log.error("retirement paused", provider_id=provider_id, dead=dead, outcomes=outcomes)
        await conn.execute(
            "UPDATE provider SET retirement_paused_until = $2 WHERE provider_id = $1",
            provider_id,
            now + RETIREMENT_PAUSE,
        )
        await alarms.raise_(
            conn, now, What.RETIREMENT_PAUSED, f"provider:{provider_id}", now + RETIREMENT_PAUSE,
            dead=dead, outcomes=outcomes,
        )  # fmt: skip
        return False
    return True
