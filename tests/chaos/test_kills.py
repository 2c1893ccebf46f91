"""Kill processes and servers in the middle of a broadcast; nobody is lost, few are told twice.

Real processes, `kill -9`, and the carriers' own records: what is asserted is what phones got.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import asyncpg
import pytest
import redis.asyncio

from broadcaster import db
from tests.builders import eventually
from tests.chaos.account import Broadcast, Figures, begin, killed
from tests.chaos.city import FULL, SENDERS, City, scale

pytestmark = pytest.mark.asyncio(loop_scope="package")

Holds = Callable[[Figures], None]
NOBODY = killed(0)


async def test_senders_killed_at_random(city: City, holds: Holds) -> None:
    dice, times = random.Random(2026), city.scale.kills
    broadcast = await begin(city, "người gửi bị ngắt")
    for number in range(times):
        await broadcast.mid_way((number + dice.random()) * 0.9 / times)
        victim = dice.choice(SENDERS)
        await city.service.running(victim)
        city.service.kill(victim)
    holds(await broadcast.account(f"a sender killed {times} times at random", killed(times)))


@pytest.mark.slow
async def test_clockwork_killed_while_it_writes_deliveries(city: City, holds: Holds) -> None:
    broadcast = await begin(city, "bộ định giờ bị ngắt")
    service, alert_id = city.service, broadcast.ids[0]
    async with service.pool.acquire() as conn:
        # A chunk waits for the alert's row before it is written: hold it, and the clockwork is
        # in the middle for as long as we like.
        await eventually(lambda: _expanded(conn, alert_id), 20, "the first chunk", every=0.001)
        async with conn.transaction():
            await conn.execute("SELECT FROM alert WHERE alert_id = $1 FOR UPDATE", alert_id)
            through, whole = await _expanded(conn, alert_id) or (0, True)
            assert not whole, "killed too late"
            assert 0 <= through < await conn.fetchval("SELECT max(person_id) FROM person")
            service.kill("clock")
    written = await service.value("SELECT count(*) FROM delivery WHERE alert_id = $1", alert_id)
    holds(await broadcast.account("clockwork killed while it writes deliveries", NOBODY))
    every_one = await service.value("SELECT count(*) FROM delivery WHERE alert_id = $1", alert_id)
    assert 0 < written < every_one


async def _expanded(conn: asyncpg.Connection, alert_id: int) -> tuple[int, bool] | None:
    """How far the expansion is, once its first chunk is written."""
    row = await conn.fetchrow(
        "SELECT expanded_through, expanded_at IS NOT NULL AS whole FROM audience_step"
        " WHERE alert_id = $1 AND step = 0 AND expanded_through >= 0",
        alert_id,
    )
    return None if row is None else (row["expanded_through"], row["whole"])


async def test_queue_dead_at_approval_then_lost_mid_way(city: City, holds: Holds) -> None:
    valkey = city.valkey
    assert not await _remembers(city)
    broadcast = await begin(city, "hàng đợi mất", first=valkey.kill)
    await broadcast.mid_way(0.15)
    assert not valkey.running, "it was sent without the queue"
    valkey.start()
    assert not await _remembers(city), "it came back empty"
    await broadcast.mid_way(0.4)
    valkey.kill()
    await asyncio.sleep(0.5)
    valkey.start()
    holds(await broadcast.account("Valkey dead at approval, back empty, killed again", NOBODY))
    assert await city.service.waker.wake("start"), "the queue takes wake-ups again"


async def test_database_restarted_then_killed(city: City, holds: Holds) -> None:
    service, postgres = city.service, city.postgres
    broadcast = await begin(city, "cơ sở dữ liệu bị ngắt")
    await broadcast.mid_way(0.2)
    before = {name: service.supervisor.pid(name) for name in (*SENDERS, "clock")}
    postgres.restart()
    await broadcast.mid_way(0.5)
    postgres.kill()
    with pytest.raises(db.AWAY):
        await asyncpg.connect(postgres.url, timeout=2)
    await asyncio.sleep(1.0)
    postgres.start()
    # Whoever holds outcomes writes them as soon as it can, and no lease is given away before every
    # holder had the time to be heard: nobody is told twice.
    holds(await broadcast.account("PostgreSQL restarted, then killed", NOBODY))
    alive = {name: service.supervisor.pid(name) for name in before}
    assert alive == before, "a process died of a restarting database"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1 if scale() is FULL else 3))
async def test_everything_killed_again_and_again(city: City, holds: Holds, seed: int) -> None:
    dice, counts = random.Random(seed), Counter[str]()
    broadcast = await begin(city, f"mọi thứ bị ngắt {seed}")
    while counts.total() < 12 and not await _over(broadcast):
        await asyncio.sleep(dice.uniform(0.3, 1.5))
        victim = dice.choice((*SENDERS, "clock", "intake", "valkey", "postgres"))
        if victim in ("valkey", "postgres"):
            server = city.valkey if victim == "valkey" else city.postgres
            server.kill()
            await asyncio.sleep(dice.uniform(0, 1.0))
            server.start()
        elif city.service.supervisor.pid(victim) is None:
            continue
        else:
            city.service.kill(victim)
        counts[victim] += 1
    assert counts.total() >= 5, "it was over before it was tested"
    senders = sum(counts[name] for name in SENDERS)
    words = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    holds(await broadcast.account(f"killed: {words}", killed(senders)))


async def _over(broadcast: Broadcast) -> bool:
    return not (await broadcast.done())[1]


async def _remembers(city: City) -> bool:
    """Whether Valkey has a key from before, which is put there when it has not."""
    async with redis.asyncio.from_url(city.valkey.url) as client:
        return not await client.set("chaos", "was here", nx=True)
