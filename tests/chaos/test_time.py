"""Workers lost in time: one whose clock is wrong, one that slept past its lease."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from broadcaster.fanout.policy import LEASE
from tests.chaos import stepped
from tests.chaos.account import Figures, begin, killed
from tests.chaos.city import FULL, SENDERS, City

pytestmark = pytest.mark.asyncio(loop_scope="package")

Holds = Callable[[Figures], None]
HOURS = (36.0, -2.0, 2.0, 0.0)
"""By which the clock is wrong, one after the other: the first is past the alert's end."""
OVERSLEPT = 2.0


async def test_the_clock_of_one_sender_steps(city: City, holds: Holds) -> None:
    broadcast = await begin(city, "đồng hồ sai")
    steps = HOURS if city.scale is FULL else (HOURS[0], HOURS[-1])
    for number, hours in enumerate(steps):
        await broadcast.mid_way(0.1 + 0.15 * number)
        stepped.set_clock(city.clock, 3600 * hours)
    words = ", ".join(f"{hours:+.0f} h" for hours in steps[:-1])
    holds(await broadcast.account(f"one sender's clock steps: {words}, back", killed(0)))


async def test_two_senders_believe_they_hold_a_batch(city: City, holds: Holds) -> None:
    times = max(1, city.scale.kills // 5)
    broadcast = await begin(city, "ngủ quên")
    for number in range(times):
        await broadcast.mid_way(0.1 + 0.6 * number / times)
        sleeper = await city.service.running(SENDERS[number % len(SENDERS)])
        os.kill(sleeper, signal.SIGSTOP)
        try:
            await asyncio.sleep(LEASE.total_seconds() + OVERSLEPT)
        finally:
            os.kill(sleeper, signal.SIGCONT)
    taken = await city.service.value("SELECT count(*) FROM batch WHERE alert_id = ANY($1)"
                                     " AND state = 'done'", broadcast.ids)  # fmt: skip
    assert taken
    holds(
        await broadcast.account(
            f"a sender frozen past its lease and woken, {times} times", killed(times)
        )
    )
