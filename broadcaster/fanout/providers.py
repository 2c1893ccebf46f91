"""Accounts at carriers: which there are, which are paused, and the brake on retirements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog

from broadcaster.db import Conn
from broadcaster.fanout import alarms
from broadcaster.fanout.alarms import What
from broadcaster.fanout.reasons import Family
from channels.base import Action

log = structlog.get_logger(__name__)

PAUSE = timedelta(seconds=30)
"""For an account or payload at fault: somebody has to mend it."""
AWAY_PAUSE = timedelta(seconds=3)
"""For a carrier that cannot be reached: it may be back at any moment."""
PAUSES: Mapping[Action, timedelta] = {Action.PAUSE: PAUSE, Action.AWAY: AWAY_PAUSE}
RETIREMENT_PAUSE = timedelta(minutes=10)
MOST_RETIRED_SHARE = 0.05
"""More permanent failures than this look like one bad payload, not like dead phones."""
FEWEST_TO_JUDGE = 200
"""Outcomes the share is taken of at the least: so one dead phone of three is no alarm, and a
carrier whose outcomes come a few at a time takes ten addresses away before it is looked at."""
_ANSWERS_JUDGED = timedelta(minutes=4)
"""How far back answers count: what of them is known of each provider is kept five minutes."""
_LETTERS_LOOKED_AT = 20_000
"""Failures looked at in that time, the newest; with more, other alarms stand already."""


class Seen(NamedTuple):
    """Outcomes that are judged together."""

    dead: int
    """Of addresses that do not exist, by the carrier's word."""
    outcomes: int

    @property
    def too_many_dead(self) -> bool:
        """Whether so many dead addresses must be our fault or the carrier's."""
        return self.dead > MOST_RETIRED_SHARE * max(self.outcomes, FEWEST_TO_JUDGE)


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


async def lately_answered(conn: Conn, now: datetime, provider_id: int) -> Seen:
    """Count what a carrier answered in the last minutes, over all workers and alerts.

    Nothing is counted beforehand: asked only when somebody is to be retired.
    """
    since = now - _ANSWERS_JUDGED
    dead = await conn.fetchval(
        "SELECT count(*) FROM (SELECT provider_id, family FROM dead_letter WHERE at > $1"
        " ORDER BY at DESC LIMIT $2) l WHERE provider_id = $3 AND family = $4",
        since,
        _LETTERS_LOOKED_AT,
        provider_id,
        Family.GONE.value,
    )
    outcomes = await conn.fetchval(
        "SELECT coalesce(sum(tried), 0)::int FROM provider_health"
        " WHERE provider_id = $1 AND slot > $2",
        provider_id,
        since,
    )
    return Seen(dead, outcomes)


async def retirement_allowed(conn: Conn, now: datetime, provider_id: int, *seen: Seen) -> bool:
    """Whether endpoints may be retired on this carrier's word; raises the alarm when not.

    One bad payload must not wipe a million devices: too many dead addresses, in a batch or in the
    time before it, pause retirement, and the deliveries fail without their endpoints being touched.
    """
    paused = await conn.fetchval(
        "SELECT retirement_paused_until > $2 FROM provider WHERE provider_id = $1",
        provider_id,
        now,
    )
    if paused:
        return False
    wrong = next((one for one in seen if one.too_many_dead), None)
    if wrong is None:
        return True
    log.error("retirement paused", provider_id=provider_id, **wrong._asdict())
    await conn.execute(
        "UPDATE provider SET retirement_paused_until = $2 WHERE provider_id = $1",
        provider_id,
        now + RETIREMENT_PAUSE,
    )
    await alarms.raise_(
        conn, now, What.RETIREMENT_PAUSED, f"provider:{provider_id}", now + RETIREMENT_PAUSE,
        **wrong._asdict(),
    )  # fmt: skip
    return False
