"""Health summed over all workers, and the breakers that move by it: rows every worker sees.

Any worker may move a breaker: a move names the state it leaves, so one of them does it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import structlog

from broadcaster.db import Conn
from broadcaster.fanout import alarms
from broadcaster.fanout.alarms import What
from channels import health
from channels.health import MOVES, Breaker, Finding, Health

log = structlog.get_logger(__name__)

SLOT = 1
"""Seconds of traffic in one row of health."""
_KEPT = "5 minutes"


@dataclass(slots=True)
class Sight:
    """What one worker saw of one account since it last wrote it down."""

    tried: int = 0
    faults: int = 0
    throttled: int = 0
    seconds: float = 0.0
    reason: str = ""

    def taken(self) -> Sight:
        """Return what was seen, and begin anew."""
        seen = Sight(self.tried, self.faults, self.throttled, self.seconds, self.reason)
        self.tried = self.faults = self.throttled = 0
        self.seconds, self.reason = 0.0, ""
        return seen

    def add(self, seen: Sight | None) -> None:
        """Put back what could not be written."""
        if seen is not None:
            self.tried += seen.tried
            self.faults += seen.faults
            self.throttled += seen.throttled
            self.seconds += seen.seconds
            self.reason = self.reason or seen.reason


@dataclass(frozen=True, slots=True)
class View:
    """What the rows say of one account."""

    switch: str = "auto"
    breaker: Breaker = Breaker.CLOSED
    paused_until: float = 0.0
    """As a monotonic moment of this process."""
    weight_share: float = 1.0
    """Of its weight, that recent errors leave it."""


async def note(conn: Conn, worker: str, sights: Mapping[int, Sight]) -> None:
    """Add what this worker saw to the row of the present slot."""
    if not sights:
        return
    await conn.executemany(
        "INSERT INTO provider_health"
        " (provider_id, slot, worker, tried, faults, throttled, seconds, reason)"
        f" VALUES ($1, date_bin('{SLOT} seconds', now(), 'epoch'), $2, $3, $4, $5, $6,"
        " nullif($7, ''))"
        " ON CONFLICT (provider_id, slot, worker) DO UPDATE SET"
        " tried = provider_health.tried + excluded.tried,"
        " faults = provider_health.faults + excluded.faults,"
        " throttled = provider_health.throttled + excluded.throttled,"
        " seconds = provider_health.seconds + excluded.seconds,"
        " reason = coalesce(excluded.reason, provider_health.reason)",
        [
            (provider_id, worker, s.tried, s.faults, s.throttled, s.seconds, s.reason)
            for provider_id, s in sights.items()
        ],
    )


_LOOK = """
SELECT p.provider_id, p.channel::text AS channel, p.switch, p.breaker, p.breaker_opened,
    extract(epoch FROM p.paused_until - now())::float AS paused_for,
    p.next_try IS NULL OR p.next_try <= now() AS wait_over,
    coalesce((p.setup->>'test_every') IS NOT NULL, false) AS tested,
    CASE WHEN p.test_good AND p.tested_at > coalesce(p.breaker_since, 'epoch')
        THEN p.good_tests ELSE 0 END AS good_tests,
    coalesce(h.tried, 0) AS tried, coalesce(h.faults, 0) AS faults,
    coalesce(h.throttled, 0) AS throttled, coalesce(h.seconds, 0)::float AS seconds, h.reason,
    coalesce(h.late_tried, 0) AS late_tried, coalesce(h.late_faults, 0) AS late_faults
FROM provider p
LEFT JOIN LATERAL (
    SELECT sum(tried) AS tried, sum(faults) AS faults, sum(throttled) AS throttled,
        sum(seconds) AS seconds, (array_agg(reason ORDER BY slot DESC)
            FILTER (WHERE reason IS NOT NULL))[1] AS reason,
        sum(tried) FILTER (WHERE h.slot > now() - $3::interval) AS late_tried,
        sum(faults) FILTER (WHERE h.slot > now() - $3::interval) AS late_faults
    FROM provider_health h
    WHERE h.provider_id = p.provider_id AND h.slot > now() - $2::interval
        AND h.slot >= coalesce(p.breaker_since, '-infinity')
) h ON true
WHERE p.provider_id = ANY($1::smallint[])
"""


async def look(conn: Conn, provider_ids: Sequence[int]) -> dict[int, View]:
    """Read what the rows say of accounts, and move the breakers that are due."""
    views = {}
    window = timedelta(seconds=health.THRESHOLDS.window)
    late = timedelta(seconds=health.THRESHOLDS.late)
    for row in await conn.fetch(_LOOK, list(provider_ids), window, late):
        seen = Health(
            row["tried"],
            row["faults"],
            row["throttled"],
            row["seconds"],
            row["late_tried"],
            row["late_faults"],
        )
        was = Breaker(row["breaker"])
        found = health.finding(
            row["channel"], was, seen, wait_over=row["wait_over"], tested=row["tested"],
            good_tests=row["good_tests"],
        )  # fmt: skip
        now = MOVES.get((was, found), was) if found else was
        if now is not was and found is not None:
            await _move(conn, row, was, now, _why(row, seen, found))
        views[row["provider_id"]] = View(
            row["switch"], now, time.monotonic() + (row["paused_for"] or 0.0),
            health.weight_share(seen),
        )  # fmt: skip
    return views


def _why(row: asyncpg.Record, seen: Health, found: Finding) -> dict[str, Any]:
    """Say why as a code and its figures: for the log, the page and the trail."""
    late = seen.late_faults and seen.fault_share < health.THRESHOLDS.bad_share
    tried, faults = (seen.late_tried, seen.late_faults) if late else (seen.tried, seen.faults)
    figures = {"tried": tried, "faults": faults, "last": row["reason"]}
    match found:
        case Finding.BAD if seen.faults and health.is_faulty(seen):
            return {"code": "errors", **figures}
        case Finding.BAD:
            return {"code": "slow", "seconds": round(seen.latency, 1)}
        case Finding.GOOD if seen.tried:
            return {"code": "went_through", **figures}
        case Finding.GOOD:
            return {"code": "tests_passed"}
        case Finding.TRY:
            return {"code": "test_passed" if row["tested"] else "wait_over"}


async def _move(
    conn: Conn, row: asyncpg.Record, was: Breaker, now: Breaker, why: dict[str, Any]
) -> None:
    opened = row["breaker_opened"] + (now is Breaker.OPEN)
    async with conn.transaction():
        moved = await conn.fetchval(
            "UPDATE provider SET breaker = $3, breaker_since = now(), breaker_detail = $4,"
            " breaker_opened = CASE $3 WHEN 'closed' THEN 0 ELSE $5 END,"
            " next_try = CASE $3 WHEN 'open' THEN now() + make_interval(secs => $6) END,"
            " good_tests = 0"
            " WHERE provider_id = $1 AND breaker = $2 RETURNING provider_id",
            row["provider_id"],
            was.value,
            now.value,
            why,
            opened,
            health.wait(max(1, opened)),
        )
        if moved is None:
            return
        await conn.execute(
            "INSERT INTO provider_event (provider_id, at, what, was, now, detail)"
            " VALUES ($1, now(), 'breaker', $2, $3, $4)",
            row["provider_id"],
            was.value,
            now.value,
            why,
        )
        await _alarm(conn, row["provider_id"], now, why)
    write = log.error if now is Breaker.OPEN else log.info
    write("provider breaker", provider_id=row["provider_id"], was=was, now=now, **why)


async def _alarm(conn: Conn, provider_id: int, breaker: Breaker, why: dict[str, Any]) -> None:
    """Show a provider that is down to an operator, until traffic flows through it again."""
    at, subject = datetime.now(UTC), f"provider:{provider_id}"
    if breaker is Breaker.OPEN:
        # `code` is an alert's code wherever alarms are shown.
        figures = {key: value for key, value in why.items() if key != "code"}
        reason = why.get("last") or why["code"]
        await alarms.raise_(conn, at, What.PROVIDER_DOWN, subject, **figures, reason=reason)
    elif breaker is Breaker.CLOSED:
        await alarms.clear(conn, at, What.PROVIDER_DOWN, subject)


async def forget(conn: Conn) -> None:
    """Drop health that nobody looks at any more."""
    await conn.execute(f"DELETE FROM provider_health WHERE slot < now() - interval '{_KEPT}'")
