"""A stop while many workers send the alert and codes go out beside it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import direct
from broadcaster.fanout.fleet import Carrier, Fleet
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.messages import Courier
from broadcaster.fanout.sending import Sender
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.pushing import (
    LIMIT,
    approved,
    channel,
    configure,
    lab,
    received,
    until,
)
from tests.unit.broadcaster.sending import endpoints

WORKERS = 6
DELAY = 0.2


@pytest.mark.slow
async def test_a_stop_reaches_every_worker_and_codes_go_on(
    pool: Pool, conn: Conn, redis_url: str, keyring: Keyring, units: UnitMap,
    tmp_path: Path, free_port: Callable[[], int],
) -> None:  # fmt: skip
    made = await approved(conn, keyring, "A", count=4_000, batch=200)
    codes = await endpoints(conn, keyring, "push", 300)
    now = datetime.now(UTC)
    for endpoint_id in codes:
        await direct.enqueue(
            conn, now, endpoint_id=endpoint_id, channel="push", purpose="verification",
            content={"title": "Ma", "body": "1"}, expires=now + timedelta(minutes=10),
        )  # fmt: skip
    async with AsyncExitStack() as stack:
        fcm = stack.enter_context(lab(tmp_path, free_port()))
        configure(fcm, delay_ms=1000 * DELAY)
        tasks = []
        for number in range(WORKERS):
            own = channel(fcm, at_once=10)
            await own.open()
            stack.push_async_callback(own.close)
            name = f"w{number}"
            fleet = await Fleet.enlist(pool, redis_url, name, [Carrier(own, "fcm", "lab", LIMIT)])
            guard = Guard(pool)
            lines = (
                Sender(pool, keyring, fleet, guard, "push", name),
                Courier(pool, keyring, fleet, guard, "push"),
            )
            tasks += [asyncio.create_task(one.run()) for one in (fleet, guard, *lines)]
        await until(lambda: len(received(fcm)) > 300, 30)
        rows = await conn.fetch("SELECT DISTINCT worker FROM batch WHERE state = 'claimed'")
        await conn.execute("UPDATE alert SET state = 'stopped', ended_reason = 'x'")
        stopped = time.time()
        await asyncio.sleep(5)
        mine = set(made.endpoint_ids)
        # The lab writes a message down when it answers.
        after = [at - DELAY - stopped for ref, at in received(fcm) if ref in mine]
        late = max(after)
        median = statistics.median([age for age in after if age > 0] or [0.0])
        reached = {ref for ref, _ in received(fcm)}
        print(f"\n{len(rows)} workers; left after the stop: median {median:.2f}, last {late:.2f} s")
        assert len(rows) >= 3
        assert late < 4, "a second, on a machine that has time; all of it takes thirteen"
        assert len(reached & mine) < 4_000
        await until(lambda: set(codes) <= {ref for ref, _ in received(fcm)}, 20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
