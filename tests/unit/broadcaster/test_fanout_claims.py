"""Claiming: lanes, fairness, leases, fences."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from broadcaster.alerts import lifecycle
from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import claims, reached, stages
from broadcaster.fanout.reader import AlertEnded, Reader
from broadcaster.fanout.sending import ALL_LANES
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, alert, official, unit_id
from tests.unit.broadcaster.sending import Sending, author, sending


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


async def _followed(conn: Conn, keyring: Keyring, count: int = 5) -> tuple[Sending, int]:
    """An alert under way and the cancel that is to follow it."""
    writer, approver, now = await author(conn), await official(conn, "an"), datetime.now(UTC)
    made = await sending(conn, keyring, writer, code="A", count=count)
    await conn.execute("UPDATE alert SET started_at = now() WHERE alert_id = $1", made.alert_id)
    cancel = await alert(
        conn, writer, 1, code="C", kind="cancel", state="approved", predecessor_id=made.alert_id,
        root_id=made.alert_id, sequence=2, approved_by=approver.official_id, approved_at=now,
        approved_version=1, expires=now + timedelta(hours=5),
    )  # fmt: skip
    return made, cancel


async def _supersede(pool: Pool, cancel: int) -> None:
    async with transaction(pool) as conn:
        await asyncio.wait_for(lifecycle.supersede(conn, datetime.now(UTC), cancel), 30)


@pytest.mark.parametrize("stopped_first", [False, True])
async def test_a_claim_committed_behind_a_follow_ups_back_sends_to_nobody(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, stopped_first: bool
) -> None:
    made, cancel = await _followed(conn, keyring)
    async with pool.acquire() as worker:
        async with worker.transaction():
            claim = await claims.claim(worker, "w", "push", ALL_LANES)
            assert claim is not None
            if stopped_first:
                await conn.execute(
                    "UPDATE alert SET state = 'stopped', ended_reason = 'x' WHERE alert_id = $1",
                    made.alert_id,
                )
            await _supersede(pool, cancel)
            # The claim is not there yet for anybody else: the follow-up takes it that all is told.
            assert await reached.accounted_for(conn, cancel)
            assert len(await reached.reached(conn, cancel)) == 0
        with pytest.raises(AlertEnded):
            await Reader(keyring, "push").addressed(worker, claim)
        await claims.give_up(worker, claim)
    assert await reached.accounted_for(conn, cancel)
    await stages.end(pool, datetime.now(UTC))
    counts = await conn.fetchrow("SELECT pending, stopped FROM progress")
    assert counts is not None
    assert tuple(counts) == (0, 5)
    assert await conn.fetchval("SELECT state::text FROM batch") == "done"


async def test_who_looked_before_the_follow_up_is_waited_for(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    _, cancel = await _followed(conn, keyring)
    async with pool.acquire() as worker:
        async with worker.transaction():
            claim = await claims.claim(worker, "w", "push", ALL_LANES)
            assert claim is not None
        to = await Reader(keyring, "push").addressed(worker, claim)
    assert len(to.recipients) == 5
    await _supersede(pool, cancel)
    assert not await reached.accounted_for(conn, cancel)
    await claims.hold(conn, claim, last=True)
    assert await reached.accounted_for(conn, cancel)


async def test_what_a_dead_worker_may_have_sent_is_not_given_up_as_unsent(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, cancel = await _followed(conn, keyring)
    assert await claims.claim(conn, "dead", "push", ALL_LANES) is not None
    await conn.execute("UPDATE batch SET lease_until = now() - interval '1 second'")
    claim = await claims.claim(conn, "next", "push", ALL_LANES)
    assert claim is not None
    assert claim.taken_over
    await _supersede(pool, cancel)
    with pytest.raises(AlertEnded):
        await Reader(keyring, "push").addressed(conn, claim)
    await claims.give_up(conn, claim)
    assert not await reached.accounted_for(conn, cancel)
    await conn.execute("UPDATE batch SET lease_until = now() - interval '1 second'")
    await stages.end(pool, datetime.now(UTC))
    assert await reached.accounted_for(conn, cancel)
    assert (await reached.reached(conn, cancel)).tolist() == made.endpoint_ids
