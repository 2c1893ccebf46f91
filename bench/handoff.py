"""From an approval to the first message on the wire, in a city of 1.5 million people.

First with nothing else to do, then while a bulk to everybody is going out. Each alert is to all
of them; it is stopped when it was measured, because only its beginning is asked about here.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from bench.city import City, Written, city
from bench.sinks.carriers import CHANNELS
from broadcaster.terminal import say

PEOPLE = 1_500_000
RUNS = 20
_LOOK = 0.02
_PATIENCE = 60.0
_UNDER_WAY = 2.0
"""Seconds the bulk is on its way before the first emergency."""
_SETTLES = 1.0
"""Seconds after the first message from which on the emergency's share is counted: what of the bulk
is on the wire or in a worker's hands by then goes out beside it, and its own lane fills."""
_SHARED = 2.0
"""Seconds over which both are counted then."""
_SHARED_EVERY = 4
"""Emergencies for one whose share is taken: what it has written by then must be closed again."""
_APART = 1.0
_RATE = 6.0
"""Seconds over which a rate is taken."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a bulk goes out, and what each message costs the database."""

    pushes: float
    """A second."""
    messages: float
    """A second, on all channels."""
    wal_bytes: float
    """Written to the write-ahead log for each message."""
    database_us: float
    """Processor time of PostgreSQL for each message."""


@dataclass(slots=True)
class Measured:
    """Seconds and shares, one for each alert that was measured."""

    people: int
    idle_s: list[float] = field(default_factory=list)
    behind_s: list[float] = field(default_factory=list)
    shares: dict[str, list[float]] = field(default_factory=dict)
    """By channel: of all messages on the wire, those of the emergency."""
    rates: list[Rate] = field(default_factory=list)
    """By one worker, and by two."""
    bulk_left: int = 0
    """Messages of the bulk still to send when the last emergency was measured."""


async def measure(people: int = PEOPLE, runs: int = RUNS) -> Measured:
    """Measure both, so many times; raises TimeoutError when nothing is handed off."""
    found = Measured(people, shares={channel: [] for channel in CHANNELS})
    say(f"{people:,} people: made up and stored")
    async with city(people) as running:
        say("with nothing else to do")
        for number in range(runs + 1):
            seconds = await _idle(running)
            # The first one loads the index and wakes the connections.
            if number:
                found.idle_s.append(seconds)
        say("behind a bulk to everybody")
        await _behind(running, found, runs)
    return found


async def _idle(running: City) -> float:
    alert = await running.write("emergency")
    began = await _approve(running, alert)
    seconds = await _first(running, alert) - began
    await running.stop(alert)
    await asyncio.sleep(_APART)
    return seconds


async def _approve(running: City, alert: Written) -> float:
    """Approve an alert; returns the moment before."""
    began = time.time()
    await running.approve(alert)
    return began


async def _first(running: City, alert: Written) -> float:
    """Wait for an alert's first push on the wire; returns when the carrier had it."""
    try:
        async with asyncio.timeout(_PATIENCE):
            while True:
                of_alert = [c for c in await running.sinks.contents("push") if alert.says(c)]
                if seen := [content["first"] for content in of_alert if content["taken"]]:
                    return float(min(seen))
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        raise TimeoutError(
            f"alert {alert.alert_id}: no push on the wire {_PATIENCE:.0f} s after its approval"
        ) from None


async def _behind(running: City, found: Measured, runs: int) -> None:
    bulk = await running.write("information")
    await running.approve(bulk)
    await _first(running, bulk)
    await asyncio.sleep(_UNDER_WAY)
    for number in range(runs):
        alert = await running.write("emergency")
        began = await _approve(running, alert)
        first = await _first(running, alert)
        found.behind_s.append(first - began)
        if number % _SHARED_EVERY == 0:
            await _overtakes(running, alert, first, found)
        await running.stop(alert)
        found.bulk_left = await _left(running, bulk)
        if not found.bulk_left:
            say(f"the bulk is over after {len(found.behind_s)} emergencies")
            return
        await asyncio.sleep(_APART)
    found.rates.append(await _rate(running))
    await running.workers(2)
    await asyncio.sleep(_APART)
    found.rates.append(await _rate(running))
    await running.stop(bulk)


async def _overtakes(running: City, alert: Written, first: float, found: Measured) -> None:
    """Book an emergency's share of what is on the wire while it takes."""
    await asyncio.sleep(max(0.0, first + _SETTLES - time.time()))
    before = await _counts(running, alert)
    await asyncio.sleep(_SHARED)
    after = await _counts(running, alert)
    ours, others = (
        {channel: after[channel][i] - before[channel][i] for channel in CHANNELS} for i in (0, 1)
    )
    for channel in CHANNELS:
        if ours[channel] + others[channel]:
            share = ours[channel] / (ours[channel] + others[channel])
            found.shares[channel].append(share)


async def _counts(running: City, alert: Written) -> dict[str, tuple[int, int]]:
    """Count by channel what was taken so far of this alert, and of all others."""
    counts = {}
    for channel in CHANNELS:
        contents = await running.sinks.contents(channel)
        ours = sum(content["taken"] for content in contents if alert.says(content))
        counts[channel] = ours, sum(content["taken"] for content in contents) - ours
    return counts


async def _left(running: City, alert: Written) -> int:
    return int(
        await running.pool.fetchval(
            "SELECT coalesce(sum(pending), 0) FROM progress WHERE alert_id = $1", alert.alert_id
        )
    )


async def _rate(running: City) -> Rate:
    """Return how fast everything is, and what it costs the database, for some seconds from now."""
    before, began = await _meters(running), time.monotonic()
    await asyncio.sleep(_RATE)
    after, seconds = await _meters(running), time.monotonic() - began
    pushes, messages, wal, cpu = (late - early for late, early in zip(after, before, strict=True))
    each = max(messages, 1.0)
    return Rate(pushes / seconds, messages / seconds, wal / each, cpu / each * 1e6)


async def _meters(running: City) -> tuple[float, float, float, float]:
    """Read pushes, all messages, bytes of the write-ahead log, CPU seconds of the database."""
    taken = {
        channel: sum(content["taken"] for content in await running.sinks.contents(channel))
        for channel in CHANNELS
    }
    wal = await running.pool.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
    return taken["push"], sum(taken.values()), float(wal), running.database_cpu()


def p95(values: list[float]) -> float:
    """Return the value that 95 % of the samples do not exceed."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]
