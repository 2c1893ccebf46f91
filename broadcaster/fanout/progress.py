"""How far an alert is: counts kept by the transactions that move deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from broadcaster.db import Conn
from broadcaster.states import DeliveryState

_STATES = [state.value for state in DeliveryState]


@dataclass(frozen=True, slots=True)
class ChannelProgress:
    """Deliveries of one alert on one channel, by state."""

    channel: str
    pending: int
    handed_off: int
    confirmed: int
    seen: int
    failed: int
    expired: int
    stopped: int
    unknown: int

    @property
    def total(self) -> int:
        """All deliveries of the channel written so far."""
        return sum(getattr(self, state) for state in _STATES)


@dataclass(frozen=True, slots=True)
class Reach:
    """People of an alert: chosen, without any endpoint, and whether all deliveries exist."""

    people: int
    unreachable: int
    expanded: bool


async def progress(conn: Conn, alert_id: int) -> list[ChannelProgress]:
    """Return counts per channel: one index look-up, whatever the size of the alert."""
    rows = await conn.fetch(
        f"SELECT channel::text AS channel, {', '.join(_STATES)} FROM progress"
        " WHERE alert_id = $1 ORDER BY progress.channel",
        alert_id,
    )
    return [ChannelProgress(**dict(row)) for row in rows]


async def reach(conn: Conn, alert_id: int) -> Reach | None:
    """Return the frozen audience in numbers; None before it is frozen."""
    row = await conn.fetchrow(
        "SELECT people, unreachable, expanded_at IS NOT NULL AS expanded FROM audience"
        " WHERE alert_id = $1",
        alert_id,
    )
    return None if row is None else Reach(**dict(row))


async def shift(
    conn: Conn, alert_id: int, channel: str, moved: Iterable[tuple[str, str, int]]
) -> None:
    """Book moves (from, to, how many) inside the transaction that made them."""
    change: Counter[str] = Counter()
    for source, target, count in moved:
        change[source] -= count
        change[target] += count
    change = Counter({state: count for state, count in change.items() if count})
    if not change:
        return
    sets = ", ".join(f"{state} = {state} + ${n}" for n, state in enumerate(change, start=3))
    await conn.execute(
        f"UPDATE progress SET {sets} WHERE alert_id = $1 AND channel = $2",
        alert_id,
        channel,
        *change.values(),
    )
