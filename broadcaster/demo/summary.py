"""What one broadcast came to: waited for, counted, and judged for loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broadcaster.db import Conn, Pool
from broadcaster.fanout.progress import ChannelProgress, progress, reach
from broadcaster.states import SETTLED

_LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Summary:
    """One alert, settled or given up on."""

    people: int
    unreachable: int
    deliveries: dict[str, dict[str, int]]
    reports: int
    first_handoff_s: float | None
    last_handoff_s: float | None
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give the one line of `demo --exit --json`."""
        return {
            "people": self.people,
            "unreachable": self.unreachable,
            "deliveries": self.deliveries,
            "reports": self.reports,
            "first_handoff_s": self.first_handoff_s,
            "last_handoff_s": self.last_handoff_s,
            "lost": self.problems,
        }


async def wait_settled(
    pool: Pool, alert_id: int, timeout: float, stand: Callable[[int, int], None] | None = None
) -> bool:
    """Wait until every delivery is settled; False when `timeout` seconds were not enough."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                async with pool.acquire() as conn:
                    state = await conn.fetchval(
                        "SELECT state::text FROM alert WHERE alert_id = $1", alert_id
                    )
                    counts = await progress(conn, alert_id)
                total = sum(count.total for count in counts)
                if stand is not None:
                    stand(total - sum(count.pending for count in counts), total)
                if state in ("sent", "stopped", "expired") and all(
                    _settled(count) == count.total for count in counts
                ):
                    return True
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        return False


def _settled(count: ChannelProgress) -> int:
    return sum(getattr(count, state.value) for state in SETTLED)


async def summarise(conn: Conn, alert_id: int, settled: bool) -> Summary:
    """Count what became of an alert, by its rows and not by its running totals alone."""
    people = await reach(conn, alert_id)
    rows = await conn.fetch(
        "SELECT channel::text AS channel, state::text AS state, count(*) AS n FROM delivery"
        " WHERE alert_id = $1 GROUP BY 1, 2 ORDER BY 1, 2",
        alert_id,
    )
    deliveries: dict[str, dict[str, int]] = {}
    for row in rows:
        deliveries.setdefault(row["channel"], {})[row["state"]] = row["n"]
    problems = [] if settled else ["not settled in time"]
    problems += await _lost(conn, alert_id, deliveries)
    alert = await conn.fetchrow(
        "SELECT approved_at, first_handoff_at FROM alert WHERE alert_id = $1", alert_id
    )
    last = await conn.fetchval(
        "SELECT max(at) FROM attempt WHERE alert_id = $1 AND result = 'accepted'", alert_id
    )
    approved = alert["approved_at"] if alert else None
    return Summary(
        people=people.people if people else 0,
        unreachable=people.unreachable if people else 0,
        deliveries=deliveries,
        reports=await conn.fetchval("SELECT count(*) FROM report"),
        first_handoff_s=_since(approved, alert["first_handoff_at"] if alert else None),
        last_handoff_s=_since(approved, last),
        problems=problems,
    )


async def _lost(conn: Conn, alert_id: int, deliveries: dict[str, dict[str, int]]) -> list[str]:
    problems = []
    for count in await progress(conn, alert_id):
        by_rows = sum(deliveries.get(count.channel, {}).values())
        if by_rows != count.total:
            problems.append(f"{count.channel}: {by_rows} deliveries, {count.total} counted")
        unsettled = by_rows - _settled(count)
        if unsettled:
            problems.append(f"{count.channel}: {unsettled} deliveries are not settled")
    missing = await conn.fetchval(
        "SELECT count(*) FROM delivery d WHERE d.alert_id = $1 AND d.state = 'handed_off'"
        " AND NOT EXISTS (SELECT FROM attempt t WHERE t.alert_id = d.alert_id"
        " AND t.endpoint_id = d.endpoint_id AND t.result = 'accepted')",
        alert_id,
    )
    if missing:
        problems.append(f"{missing} deliveries handed off without an attempt")
    return problems


def _since(start: datetime | None, moment: datetime | None) -> float | None:
    if start is None or moment is None:
        return None
    return round((moment - start).total_seconds(), 3)
