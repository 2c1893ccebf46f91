"""The arithmetic of limits, and what one process's limiter does with Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.embedded import start_valkey
from channels.limits import SharedLimiter
from channels.limits_alone import STALE, Alone
from channels.limits_clock import Clock
from channels.limits_rules import VALID, Ramp, RateLimit, Rule, quota, rate

Make = Callable[..., Awaitable[SharedLimiter]]


def most_in_any(times: list[float], window: float) -> int:
    """The most in any half-open window."""
    times = sorted(times)
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(most=st.integers(1, 10**6), workers=st.integers(1, 500))
def test_the_parts_of_a_limit_are_whole_and_all_of_it(most: int, workers: int) -> None:
    parts = [quota(most, workers, rank) for rank in range(workers)]
    assert sum(parts) == most
    assert max(parts) - min(parts) <= 1


@given(most=st.integers(1, 5_000), seconds=st.floats(0.5, 120), block=st.integers(1, 8))
def test_even_spacing_keeps_every_window(most: int, seconds: float, block: int) -> None:
    rule = Rule(most, seconds)
    step = 1 / rate([rule], block=block)
    # Blocks at their moments, each used as late as it may be, the last one at once.
    times = [at * block * step for at in range(2 * most // block + 2)]
    late = [time + VALID for time in times[:-1]] + times[-1:]
    counted = most_in_any(late, seconds) * block
    assert counted <= max(most, block)
    assert block > 1 or counted >= 0.9 * most - 1


@given(
    most=st.integers(3, 60),
    seconds=st.sampled_from([0.5, 1.0, 3.0]),
    workers=st.integers(1, 5),
    pauses=st.lists(st.floats(0.0, 0.3), min_size=1, max_size=40),
    urgent=st.lists(st.booleans(), min_size=1, max_size=7),
)
def test_workers_alone_never_exceed_the_limit_together(
    most: int, seconds: float, workers: int, pauses: list[float], urgent: list[bool]
) -> None:
    limit = RateLimit((Rule(most, seconds),))
    crew = [Alone(limit, 0.6) for _ in range(workers)]
    now, times = 0.0, []
    for rank, one in enumerate(crew):
        one.crew(workers, rank, now)
        one.begin(now, 1.0)
    for turn in range(600):
        now += pauses[turn % len(pauses)] / 10
        for rank, one in enumerate(crew):
            one.crew(workers, rank, now)
            while one.take(urgent[turn % len(urgent)], 1, "", now):
                times.append(now)
    assert most_in_any(times, seconds) <= most


@given(most=st.integers(1, 60), workers=st.integers(1, 9), data=st.data())
def test_what_leaves_together_keeps_every_window_however_many_do_it(
    most: int, workers: int, data: st.DataObject
) -> None:
    limit, now, times = RateLimit((Rule(most, 1.0),)), 0.0, []
    crew = [Alone(limit, 0.6) for _ in range(workers)]
    for rank, one in enumerate(crew):
        one.crew(workers, rank, now)
        one.begin(now, 1.0)
    blocks = [data.draw(st.integers(1, one.together)) for one in crew]
    for _ in range(300):
        now += 0.03
        for rank, (one, block) in enumerate(zip(crew, blocks, strict=True)):
            one.crew(workers, rank, now)
            while one.take(True, block, "", now):
                times += [now] * block
    assert times
    assert most_in_any(times, 1.0) <= most


def test_alone_a_worker_waits_until_all_have_counted_it_and_stops_when_it_cannot_count() -> None:
    one = Alone(RateLimit((Rule(100, 1.0),)), 0.0)
    one.begin(0.0, 1.0)
    assert not one.take(True, 1, "", 1.0)
    one.crew(2, 0, 1.0)
    assert not one.take(True, 1, "", 1.0 + STALE - 0.1)
    one.crew(2, 0, 1.0 + STALE - 0.1)
    assert one.take(True, 1, "", 1.0 + STALE)
    assert not one.take(True, 1, "", 1.0 + 3 * STALE)


def test_a_clock_is_bounded_by_its_best_answers_and_believes_a_step() -> None:
    clock = Clock()
    clock.heard(10.0, 10.2, 1_000_100_000)
    clock.heard(11.0, 11.001, 1_001_000_500)
    latest, earliest = clock.ours(1_002_000_000)
    assert latest - earliest < 0.0012
    assert earliest - 1e-6 <= 11.9995 <= latest + 1e-6
    clock.heard(12.0, 12.001, 5_000_000_000)
    assert clock.ours(5_000_000_000)[0] == pytest.approx(12.001)


@pytest.fixture
async def limiter(redis_url: str) -> AsyncIterator[Make]:
    """Make limiters that know their crew and have begun to share."""
    tasks: list[asyncio.Task[None]] = []

    async def make(limit: RateLimit, worker: str = "one", name: str = "a", of: int = 1) -> Any:
        made = SharedLimiter(redis_url, name, worker, limit)
        made.crew(
            of,
            len(tasks) % of,
        )
        tasks.append(asyncio.create_task(made.run()))
        async with asyncio.timeout(30):
            while not made.shared:
                await asyncio.sleep(0.01)
        return made

    yield make
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def taken(one: SharedLimiter, seconds: float, lane: int = 1, **what: Any) -> list[float]:
    """Take as much as there is for so long; returns the moments."""
    pace, times = one.pace(lane), []

    async def take() -> None:
        while True:
            await pace.take(**what)
            times.append(time.monotonic())

    tasks = [asyncio.create_task(take()) for _ in range(5)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return times


@pytest.mark.slow
async def test_a_carrier_that_throttles_one_worker_is_left_alone_by_all(limiter: Make) -> None:
    limit = RateLimit((Rule(500, 1.0),))
    first, second = await limiter(limit, "one", of=2), await limiter(limit, "two", of=2)
    both = asyncio.gather(taken(first, 1.6), taken(second, 1.6))
    await asyncio.sleep(0.4)
    begins = time.monotonic()
    first.pace(0).slow_down(0.7)
    for times in await both:
        assert not [at for at in times if begins + 0.15 < at < begins + 0.7]
        later = [at for at in times if at > begins + 0.7]
        # Back at half the rate, and climbing.
        assert 0 < len(later) < 0.75 * 500 * 0.5
    assert second.share < 0.7


async def test_parts_of_one_message_leave_together_at_a_low_rate(limiter: Make) -> None:
    one = await limiter(RateLimit((Rule(12, 1.0),)))
    times = await taken(one, 2.2, count=3)
    parts = [at for at in times for _ in range(3)]
    assert most_in_any(parts, 1.0) <= 12
    assert len(parts) >= 12


async def test_a_domain_has_a_limit_of_its_own_and_holds_up_nobody_else(limiter: Make) -> None:
    limit = RateLimit((Rule(300, 1.0),), {"slow.example": (Rule(10, 1.0),)}, (Rule(200, 1.0),))
    one = await limiter(limit)
    slow, other = await asyncio.gather(
        taken(one, 1.5, group="slow.example"), taken(one, 1.5, group="fast.example")
    )
    assert most_in_any(slow, 1.0) <= 10
    assert len(slow) >= 5
    assert most_in_any(other, 1.0) <= 200
    assert len(other) >= 60


@pytest.mark.slow
async def test_after_idleness_the_rate_climbs(limiter: Make) -> None:
    ramp = Ramp(first=0.2, seconds=2.0, idle=10.0)
    one = await limiter(RateLimit((Rule(400, 1.0),), ramp=ramp))
    times = await taken(one, 3.2)
    begins = times[0]
    counts = [sum(1 for at in times if s <= at - begins < s + 0.5) for s in (0.0, 1.0, 2.4)]
    assert counts[0] < 0.45 * 200
    assert all(low < high for low, high in pairwise(counts))
    assert counts[2] > 0.8 * 200


async def test_who_waits_when_valkey_goes_is_served_alone(data_dir: Path) -> None:
    """With nothing in stock and everybody waiting already: nobody comes to ask anew."""
    valkey = start_valkey(data_dir)
    one = SharedLimiter(valkey.url, "a", "one", RateLimit((Rule(2, 1.0),)))

    async def beat() -> None:
        while True:
            one.crew(1, 0)
            await asyncio.sleep(0.5)

    tasks = [asyncio.create_task(beat()), asyncio.create_task(one.run())]
    pace = one.pace(2)
    await pace.take()
    waiting = [asyncio.create_task(pace.take()) for _ in range(3)]
    await asyncio.sleep(0.05)
    valkey.kill()
    async with asyncio.timeout(STALE + 4):
        await asyncio.gather(*waiting)
    assert not one.shared
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_tiny_limits_leave_some_workers_without_a_part_only_while_alone(
    limiter: Make,
) -> None:
    limit = RateLimit((Rule(1, 0.5),))
    second = SharedLimiter(None, "a", "two", limit)
    second.crew(2, 1)
    assert not second.has_part
    first = await limiter(limit, "one", of=2)
    assert first.has_part


@pytest.mark.slow
async def test_more_workers_than_the_limit_has_permissions_take_turns(limiter: Make) -> None:
    limit = RateLimit((Rule(4, 1.0),))
    crew = [await limiter(limit, f"host:{number}", of=9) for number in range(9)]
    busy = await asyncio.gather(*(taken(one, 8.0) for one in crew))
    assert most_in_any([at for times in busy for at in times], 1.0) <= 4
    counts = [len(times) for times in busy]
    # What is missing is time this process did not get a core.
    assert max(counts) - min(counts) <= 2, counts
    assert sum(counts) >= 0.6 * 8 * 4 - 4, counts
    # Those who want nothing any more are waited for by nobody.
    two = await asyncio.gather(*(taken(one, 3.0) for one in crew[:2]))
    assert sum(len(times) for times in two) >= 9, two


async def test_ready_costs_next_to_nothing(limiter: Make) -> None:
    """Per message on the sending path; a microsecond where nobody else needs the core."""
    one = await limiter(RateLimit((Rule(10**9, 1.0),)))
    pace = one.pace(1)
    await pace.take()
    one._gap = 0.05
    best = float("inf")
    for _ in range(20):
        await pace.take()
        stock = one.stock(False, "")
        stock.left, stock.step, stock.at = 10_000, 0.0, time.monotonic() - 0.001
        stock.ends = stock.at + 1
        began = time.perf_counter()
        for _ in range(1_000):
            pace.ready()
        best = min(best, (time.perf_counter() - began) / 1_000)
        stock.drop()
    print(f"\nready: {best * 1e6:.2f} µs")
    assert best < 15e-6


async def test_waiting_ends_with_whoever_waits(limiter: Make) -> None:
    one = await limiter(RateLimit((Rule(2, 1.0),)))
    pace = one.pace(2)
    await pace.take()
    gone = asyncio.create_task(pace.take())
    await asyncio.sleep(0.01)
    gone.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gone
    async with asyncio.timeout(30):
        await pace.take()
