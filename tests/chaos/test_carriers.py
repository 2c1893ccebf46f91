"""Carriers that are down, slow, throttle and err, while everybody is being told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.chaos.account import WINDOW, Figures, begin
from tests.chaos.city import SENDERS, City

pytestmark = pytest.mark.asyncio(loop_scope="package")

SLOW_MS = 2_000.0
"""Well below what a sender waits for an answer: a carrier that never answers is another case."""
RETRY_AFTER = 2.0


async def test_carriers_down_slow_throttling_failing(
    city: City, holds: Callable[[Figures], None]
) -> None:
    outage, trouble = city.scale.outage, city.scale.trouble
    broadcast = await begin(city, "nhà mạng hỏng")
    await broadcast.mid_way(0.1)
    await city.carriers_become(down=True)
    await asyncio.sleep(outage)
    await city.carriers_become(down=False, delay_ms=SLOW_MS)
    await asyncio.sleep(trouble)
    await city.carriers_become(delay_ms=0.0, throttle_rate=1.0, retry_after=RETRY_AFTER)
    await asyncio.sleep(trouble)
    await city.carriers_become(throttle_rate=0.0, error_rate=0.2)
    await asyncio.sleep(trouble)
    _, left = await broadcast.done()
    assert left, "everything was sent before the carriers were well"
    await city.carriers_become(error_rate=0.0)
    what = (
        f"carriers down {outage:.0f} s, slow ({SLOW_MS / 1000:.0f} s), throttling,"
        f" one in five failing {trouble:.0f} s each"
    )
    # What each sender had on the wire when the connections were reset may be sent again.
    may = {channel: len(SENDERS) * window for channel, window in WINDOW.items()}
    figures = await broadcast.account(what, may)
    assert figures.refused, "nothing was refused"
    holds(figures)
