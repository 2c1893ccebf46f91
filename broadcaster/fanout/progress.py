"""How far an alert is: counts kept by the transactions that move deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from broadcaster.db import Conn
from broadcaster.states import DeliveryState

_STATES = [state.value for state in DeliveryState]
TIMES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds, in seconds, of what is counted of how long deliveries took; one more is open."""


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
    return (await progress_of(conn, [alert_id]))[alert_id]


async def progress_of(conn: Conn, alert_ids: Sequence[int]) -> dict[int, list[ChannelProgress]]:
    """Return counts per channel of several alerts; of one that has not begun, none."""
    rows = await conn.fetch(
        f"SELECT alert_id, channel::text AS channel, {', '.join(_STATES)} FROM progress"
        " WHERE alert_id = ANY($1) ORDER BY progress.channel",
        alert_ids,
    )
    found: dict[int, list[ChannelProgress]] = {alert_id: [] for alert_id in alert_ids}
    for row in rows:
        counts = dict(row)
        found[counts.pop("alert_id")].append(ChannelProgress(**counts))
    return found


async def reach(conn: Conn, alert_id: int) -> Reach | None:
    """Return the frozen audience in numbers; None before it is frozen."""
    row = await conn.fetchrow(
        "SELECT people, unreachable, expanded_at IS NOT NULL AS expanded FROM audience"
        " WHERE alert_id = $1",
        alert_id,
    )
    return None if row is None else Reach(**dict(row))


@dataclass(frozen=True, slots=True)
class Timed:
    """How long some deliveries took from being written to `what`."""

    what: str
    """`handed_off` or `confirmed`."""
    bucket: int
    """Number of the bound in TIMES they stayed within, from 1; one more than there are: longer."""
    count: int
    seconds: float
    """Of all of them together."""


async def shift(
    conn: Conn,
    alert_id: int,
    channel: str,
    moved: Iterable[tuple[str, str, int]],
    timed: Iterable[Timed] = (),
) -> None:
    """Book moves (from, to, how many) and how long they took, in the transaction that made them."""
    change: Counter[str] = Counter()
    for source, target, count in moved:
        change[source] -= count
        change[target] += count
    change = Counter({state: count for state, count in change.items() if count})
    if not change:
        return
    sets, values = [f"{state} = {state} + ${n}" for n, state in enumerate(change, start=3)], []
    for column, amount in _times(timed).items():
        values.append(amount)
        place = f"${2 + len(change) + len(values)}"
        sets.append(f"{column} = coalesce({column}, 0) + {place}")
    await conn.execute(
        f"UPDATE progress SET {', '.join(sets)} WHERE alert_id = $1 AND channel = $2",
        alert_id,
        channel,
        *change.values(),
        *values,
    )


def _times(timed: Iterable[Timed]) -> Counter[str]:
    """Return what is added to which column."""
    change: Counter[str] = Counter()
    for one in timed:
        # The first element is always assigned, so that the array begins at 1 and not elsewhere.
        change[f"{one.what}_within[1]"] += 0
        change[f"{one.what}_within[{one.bucket}]"] += one.count
        change[f"{one.what}_seconds"] += one.seconds  # type: ignore[assignment]
    return change
