"""What was foretold of an alert when it was approved, kept so that fact can be set against it.

Writes alert_forecast. The clockwork does so within half a second of the approval, by the limits
and queues of that moment, whichever way the alert was approved. It is no part of what is approved
and no part of its hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from broadcaster.alerts import draft, exercise, forecast, lifecycle
from broadcaster.alerts.forecast import CURVE, MARKS, Forecast
from broadcaster.db import AWAY, Conn, Pool
from broadcaster.fanout import change, leaving
from broadcaster.keyring import Keyring
from broadcaster.people import exercise_recipients
from broadcaster.people.selection import Selector
from targeting.errors import AreaError

log = structlog.get_logger(__name__)

_LATEST = timedelta(minutes=10)
"""An approval that nobody foretold by then is left so: the queues are no longer those it met."""
_DUE = """
SELECT a.alert_id, a.version FROM alert a
WHERE a.state IN ('approved', 'scheduled', 'sending')
    AND a.approved_at > $1::timestamptz - $2::interval
    AND a.kind NOT IN ('cancel', 'correction')
    AND NOT EXISTS (SELECT FROM alert_forecast f
        WHERE f.alert_id = a.alert_id AND f.version = a.version)
ORDER BY a.lane, a.alert_id LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class Foretold:
    """One channel as it was foretold."""

    channel: str
    messages: int
    parts: int
    cost: int
    """Đồng."""
    curve: tuple[tuple[float, float], ...]
    """(seconds from the start, share that has left); empty where no account could be used."""

    def within(self, share: float) -> float | None:
        """Return the seconds foretold for one of MARKS."""
        return next((seconds for seconds, part in self.curve if part == share), None)

    def by(self, seconds: float) -> float:
        """Return how many messages were to have left by then."""
        before = (0.0, 0.0)
        for at, share in self.curve:
            if at > seconds:
                part = (seconds - before[0]) / (at - before[0])
                return self.messages * (before[1] + part * (share - before[1]))
            before = at, share
        return self.messages * before[1]


@dataclass(frozen=True, slots=True)
class Kept:
    """The forecast of an approval."""

    made_at: datetime
    starts: datetime
    channels: tuple[Foretold, ...]

    @property
    def messages(self) -> int:
        """All messages foretold."""
        return sum(one.messages for one in self.channels)

    @property
    def parts(self) -> int:
        """SMS parts foretold."""
        return sum(one.parts for one in self.channels if one.channel == "sms")

    @property
    def cost(self) -> int:
        """Money foretold, in đồng."""
        return sum(one.cost for one in self.channels)

    def within(self, share: float) -> float | None:
        """Return the seconds until a share of all messages was to have left; None: not foretold.

        The moments of all channels' curves, and between them evenly.
        """
        if not self.messages or any(not one.curve for one in self.channels if one.messages):
            return None
        wanted, before = share * self.messages, (0.0, 0.0)
        for at in sorted({at for one in self.channels for at, _ in one.curve}):
            left = sum(one.by(at) for one in self.channels)
            # Shares of messages are sums of fractions, which miss the whole by a hair.
            if left >= wanted - 1e-6:
                if left <= before[1]:
                    return at
                part = (wanted - before[1]) / (left - before[1])
                return before[0] + min(1.0, max(0.0, part)) * (at - before[0])
            before = at, left
        return before[0]


async def keep_due(pool: Pool, now: datetime, keyring: Keyring, selector: Selector) -> int:
    """Foretell every approval that has no forecast yet; returns how many."""
    async with pool.acquire() as conn:
        due = await conn.fetch(_DUE, now, _LATEST)
        for row in due:
            try:
                told = await _foretell(conn, now, keyring, selector, row["alert_id"])
            except AWAY:
                raise
            except AreaError:
                # The record says so: there is nothing to set the facts against.
                log.warning("an approval cannot be foretold", alert_id=row["alert_id"])
                told = None
            await conn.execute(
                "INSERT INTO alert_forecast (alert_id, version, made_at, forecast)"
                " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                row["alert_id"], row["version"], now, _json(told, now),
            )  # fmt: skip
    return len(due)


async def _foretell(
    conn: Conn, now: datetime, keyring: Keyring, selector: Selector, alert_id: int
) -> Forecast:
    approved = await lifecycle.snapshot(conn, alert_id)
    content = approved.content
    if exercise.only_listed(approved.document):
        counts = await exercise_recipients.count(conn, now, selector, content.area)
    else:
        counts = await selector.count(conn, now, content.area)
    changes = await change.of_update(
        conn, now, selector, await draft.find(conn, alert_id), content.area
    )
    gone = await leaving.leaving(conn, now, alert_id, changes.dropped) if changes else None
    return await forecast.forecast(conn, now, content, counts, alert_id, keyring, gone)


def _json(told: Forecast | None, now: datetime) -> dict[str, Any]:
    return {
        "starts": (told.starts if told else now).isoformat(),
        "channels": [
            {
                "channel": one.channel,
                "messages": one.messages,
                "parts": one.parts,
                "cost": one.cost,
                "curve": [list(pair) for pair in zip(one.curve, CURVE, strict=False)],
            }
            for one in (told.channels if told else ())
        ],
    }


async def of_alert(conn: Conn, alert_id: int) -> Kept | None:
    """Return what was foretold of the version that was approved; None where nothing was."""
    row = await conn.fetchrow(
        "SELECT f.made_at, f.forecast FROM alert_forecast f JOIN alert a"
        " ON a.alert_id = f.alert_id AND a.approved_version = f.version WHERE a.alert_id = $1",
        alert_id,
    )
    if row is None or not row["forecast"]["channels"]:
        return None
    told = row["forecast"]
    return Kept(
        row["made_at"],
        datetime.fromisoformat(told["starts"]),
        tuple(_channel(one) for one in told["channels"]),
    )


def _channel(told: Mapping[str, Any]) -> Foretold:
    curve = tuple((seconds, share) for seconds, share in told["curve"])
    return Foretold(told["channel"], told["messages"], told["parts"], told["cost"], curve)


SHOWN = MARKS[:3]
"""Shares set against fact: half, 90 and 99 %."""
