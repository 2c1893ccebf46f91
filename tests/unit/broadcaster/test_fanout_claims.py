"""Claiming: lanes, fairness, leases, fences."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from broadcaster.db import Conn, Pool
from broadcaster.fanout import claims
from broadcaster.fanout.sending import ALL_LANES
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, unit_id
from tests.unit.broadcaster.sending import author, sending


async def test_an_emergency_goes_before_what_was_there_first(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    writer = await author(conn)
    routine = await sending(conn, keyring, writer, code="R", lane=2)
    emergency = await sending(conn, keyring, writer, code="E", lane=0)
    order = [await claims.claim(conn, "w", "push", ALL_LANES) for _ in range(2)]
    assert [c.alert_id for c in order if c] == [emergency.alert_id, routine.alert_id]


async def test_senders_of_one_lane_take_turns(conn: Conn, keyring: Keyring, units: UnitMap) -> None:
    writer = await author(conn)
    one, other = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    first = await sending(conn, keyring, writer, code="A", unit=one, count=3, batch=1)
    second = await sending(conn, keyring, writer, code="B", unit=other, count=3, batch=1)
    taken = [await claims.claim(conn, "w", "push", ALL_LANES) for _ in range(6)]
    served = [c.alert_id for c in taken if c]
    assert sorted(served[:2]) == sorted(served[2:4]) == sorted([first.alert_id, second.alert_id])


async def test_a_worker_takes_only_its_lanes(conn: Conn, keyring: Keyring, units: UnitMap) -> None:
    await sending(conn, keyring, await author(conn), code="R", lane=2)
    assert await claims.claim(conn, "w", "push", (0, 1)) is None
    assert await claims.claim(conn, "w", "push", (2,)) is not None


async def test_many_workers_never_hold_the_same_batch(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await sending(conn, keyring, await author(conn), code="A", count=40, batch=1)

    async def take(worker: str) -> list[int]:
        mine = []
        async with pool.acquire() as own:
            while claim := await claims.claim(own, worker, "push", ALL_LANES):
                mine.append(claim.batch_id)
        return mine

    taken = await asyncio.gather(*(take(f"w{n}") for n in range(5)))
    batches = [batch for mine in taken for batch in mine]
    assert len(batches) == len(set(batches)) == 40


async def test_a_lease_that_ran_out_is_taken_over_with_a_higher_fence(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await sending(conn, keyring, await author(conn), code="A")
    first = await claims.claim(conn, "dead", "push", ALL_LANES)
    assert first is not None
    assert await claims.claim(conn, "next", "push", ALL_LANES) is None
    await conn.execute("UPDATE batch SET lease_until = now() - interval '1 second'")
    second = await claims.claim(conn, "next", "push", ALL_LANES)
    assert second is not None
    assert second.batch_id == first.batch_id
    assert second.fence > first.fence
    assert not await claims.hold(conn, first, last=False)
    assert await claims.hold(conn, second, last=False)


async def test_nothing_is_claimed_of_an_alert_that_is_over_stopped_or_not_due(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    writer = await author(conn)
    await sending(conn, keyring, writer, code="OVER", expires=timedelta(seconds=-1))
    stopped = await sending(conn, keyring, writer, code="STOPPED")
    await conn.execute(
        "UPDATE alert SET state = 'stopped', ended_reason = 'x' WHERE alert_id = $1",
        stopped.alert_id,
    )
    later = await sending(conn, keyring, writer, code="LATER")
    await conn.execute(
        "UPDATE batch SET not_before = now() + interval '1 hour' WHERE alert_id = $1",
        later.alert_id,
    )
    assert await claims.claim(conn, "w", "push", ALL_LANES) is None


async def test_a_permit_ends_with_the_alert_and_with_the_lease(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", count=2, batch=1)
    one = await claims.claim(conn, "w", "push", ALL_LANES)
    two = await claims.claim(conn, "w", "push", ALL_LANES)
    assert one is not None
    assert two is not None
    held = [(one.batch_id, one.fence), (two.batch_id, two.fence)]
    assert await claims.permitted(conn, held) == {one.batch_id, two.batch_id}
    assert await claims.permitted(conn, [(one.batch_id, one.fence - 1)]) == set()
    await conn.execute(
        "UPDATE alert SET state = 'stopped', ended_reason = 'x' WHERE alert_id = $1", made.alert_id
    )
    assert await claims.permitted(conn, held) == set()
