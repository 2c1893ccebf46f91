"""The sender over the lab's own FCM: what leaves, when, through whom, and what never does."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import claims, stages
from broadcaster.fanout.claims import Claim
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from channels.lab import fcm_store, store
from tests.unit.broadcaster.pushing import (
    Lab,
    approved,
    channel,
    configure,
    handed_off,
    received,
    running,
    sent,
    until,
)
from tests.unit.broadcaster.sending import Sending, author


async def test_an_alert_reaches_everybody_once_and_is_told_as_it_was(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    made = await approved(conn, keyring, "A", count=120, batch=50)
    async with running(pool, keyring, channel(fcm)):
        await sent(conn, made.alert_id, 120)
    assert sorted(ref for ref, _ in received(fcm)) == made.endpoint_ids
    rows = await conn.fetch(
        "SELECT a.attempt, a.result, d.state::text, d.attempts FROM attempt a"
        " JOIN delivery d USING (alert_id, endpoint_id)"
    )
    assert [tuple(row) for row in rows] == [(1, "accepted", "handed_off", 1)] * 120
    assert await conn.fetchval("SELECT count(*) FROM batch WHERE state <> 'done'") == 0
    counts = await conn.fetchrow("SELECT * FROM progress WHERE alert_id = $1", made.alert_id)
    assert counts is not None
    assert (counts["pending"], sum(counts["handed_off_within"])) == (0, 120)
    assert counts["handed_off_seconds"] > 0


async def test_an_alert_stopped_while_a_batch_is_claimed_sends_nothing_of_it(
    pool: Pool,
    conn: Conn,
    keyring: Keyring,
    units: UnitMap,
    fcm: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = await approved(conn, keyring, "A", count=20)
    claim = claims.claim

    async def claim_and_stop(own: Conn, *how: Any) -> Claim | None:
        found = await claim(own, *how)
        await pool.execute("UPDATE alert SET state = 'stopped', ended_reason = 'x'")
        return found

    monkeypatch.setattr(claims, "claim", claim_and_stop)
    async with running(pool, keyring, channel(fcm)) as (sender, _, _):
        async with asyncio.timeout(30):
            # Given back at once: it does not wait for its lease to run out.
            while not await conn.fetchval(
                "SELECT count(*) FROM batch WHERE state = 'ready' AND fence > 0"
            ):
                await asyncio.sleep(0.02)
        sender.drain()
    assert received(fcm) == []
    assert await handed_off(conn, made.alert_id) == 0


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE batch SET endpoint_ids = endpoint_ids[2:] || endpoint_ids[1:1]",
        "UPDATE alert_snapshot SET canonical = canonical || ' '::bytea",
        "UPDATE audience SET ids_hash = sha256(ids_hash)",
    ],
)
async def test_what_does_not_prove_itself_never_leaves_and_raises_an_alarm(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab, forgery: str
) -> None:
    made = await approved(conn, keyring, "A")
    async with conn.transaction():
        await conn.execute("SET LOCAL session_replication_role = replica")  # no trigger's business
        await conn.execute(forgery)
    async with running(pool, keyring, channel(fcm)):
        async with asyncio.timeout(30):
            while not (subject := await conn.fetchval("SELECT subject FROM alarm")):
                await asyncio.sleep(0.02)
    assert subject == f"alert:{made.alert_id}"
    assert received(fcm) == []
    batch = await conn.fetchrow("SELECT state::text, not_before > now() AS later FROM batch")
    assert tuple(batch or ()) == ("ready", True)


async def test_an_emergency_finds_a_slot_at_once_while_routine_fills_all_others(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    configure(fcm, delay_ms=200)
    writer = await author(conn)
    bulk = await approved(conn, keyring, "BULK", writer, lane=2, count=400, batch=100)
    async with running(pool, keyring, channel(fcm, at_once=10)) as (sender, _, fleet):
        [account] = fleet.accounts
        await until(lambda: account.free(2) == 0 and received(fcm))
        began = time.time()
        urgent = await approved(conn, keyring, "NOW", writer, lane=0, count=20)
        sender.wake()
        await sent(conn, urgent.alert_id, 20)
        assert await handed_off(conn, bulk.alert_id) < 400
    mine = set(urgent.endpoint_ids)
    at = dict(received(fcm))
    assert min(at[ref] for ref in mine) - began < 6, "the bulk alone takes eight seconds"
    # Once it has begun, the connections are its own: nothing routine leaves between its messages.
    first, last = min(at[ref] for ref in mine), max(at[ref] for ref in mine)
    between = [ref for ref, moment in at.items() if first < moment < last and ref not in mine]
    assert len(between) <= 10


async def test_a_stop_ends_hand_off_in_the_middle_of_a_batch(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    configure(fcm, delay_ms=200)
    made = await approved(conn, keyring, "A", count=500, batch=250)
    async with running(pool, keyring, channel(fcm, at_once=5)):
        await until(lambda: len(received(fcm)) > 20)
        await conn.execute(
            "UPDATE alert SET state = 'stopped', ended_reason = 'x' WHERE alert_id = $1",
            made.alert_id,
        )
        stopped = time.time()
        async with asyncio.timeout(30):
            while await conn.fetchval("SELECT count(*) FROM batch WHERE state = 'claimed'"):
                await asyncio.sleep(0.02)
        last = max(at for _, at in received(fcm))
        print(f"\nthe last left {last - stopped:.2f} s after the stop")
        assert last - stopped < 5, "all of it would take twenty seconds"
    assert len(received(fcm)) < 500


async def _dead_with(conn: Conn, made: Sending) -> None:
    """Let a worker die with all of the alert in hand."""
    while await claims.claim(conn, "dead", "push", (0, 1, 2)):
        pass
    await conn.execute("UPDATE batch SET lease_until = now() - interval '1 second'")


async def test_a_stop_midway_through_what_a_dead_worker_held_leaves_nobody_as_never_sent_to(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    configure(fcm, delay_ms=50)
    made = await approved(conn, keyring, "A", count=300, batch=150)
    await _dead_with(conn, made)
    async with running(pool, keyring, channel(fcm, at_once=5)):
        await until(lambda: len(received(fcm)) > 10)
        await conn.execute("UPDATE alert SET state = 'stopped', ended_reason = 'x'")
        async with asyncio.timeout(30):
            while await conn.fetchval("SELECT count(*) FROM batch WHERE state <> 'done'"):
                await stages.end(pool, datetime.now(UTC))
                await asyncio.sleep(0.05)
    counts = await conn.fetchrow("SELECT pending, stopped, unknown, handed_off FROM progress")
    assert counts is not None
    assert counts["handed_off"] == len(received(fcm)) < 300
    assert (counts["pending"], counts["stopped"]) == (0, 0)
    assert counts["unknown"] == 300 - counts["handed_off"]
    reasons = await conn.fetch("SELECT DISTINCT reason FROM delivery WHERE state = 'unknown'")
    assert [row[0] for row in reasons] == ["WORKER_LOST"]


async def test_what_a_dead_worker_held_and_the_next_gave_back_is_sent_when_it_can_be(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    made = await approved(conn, keyring, "A", count=30)
    await _dead_with(conn, made)
    claim = await claims.claim(conn, "next", "push", (0, 1, 2))
    assert claim is not None
    await claims.put_back(conn, claim, 0.0)
    again = await claims.claim(conn, "third", "push", (0, 1, 2))
    assert again is not None
    assert again.taken_over, "still in doubt, whoever gave it back"
    await claims.put_back(conn, again, 0.0)
    async with running(pool, keyring, channel(fcm)) as (_, guard, _):
        guard._ends = 0.0  # no permit
        async with asyncio.timeout(30):
            while await conn.fetchval("SELECT unknown FROM progress") < 30:
                await asyncio.sleep(0.02)
        guard._ends = math.inf
        await sent(conn, made.alert_id, 30)
    assert sorted(ref for ref, _ in received(fcm)) == made.endpoint_ids


async def test_a_worker_that_ends_leaves_nothing_half_told(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    configure(fcm, delay_ms=500)
    made = await approved(conn, keyring, "A", count=300, batch=100)
    async with running(pool, keyring, channel(fcm, at_once=10)) as (sender, guard, _):
        await until(lambda: len(received(fcm)) > 20)
        guard.end_within(0.3)
        sender.drain()
        began = time.monotonic()
        async with asyncio.timeout(30):
            while await conn.fetchval("SELECT count(*) FROM batch WHERE state = 'claimed'"):
                await asyncio.sleep(0.02)
        assert time.monotonic() - began < 8, "all of it would take fifteen seconds"
    rows = await conn.fetch("SELECT endpoint_id FROM delivery WHERE state = 'handed_off'")
    assert {row[0] for row in rows} == {ref for ref, _ in received(fcm)}
    waiting = await conn.fetch("SELECT unnest(endpoint_ids) FROM batch WHERE state = 'ready'")
    assert {row[0] for row in waiting} | {row[0] for row in rows} == set(made.endpoint_ids)
    assert len(waiting) + len(rows) == 300


async def test_what_one_carrier_cannot_be_given_another_takes_at_once(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab,
    free_port: Callable[[], int],
) -> None:  # fmt: skip
    made = await approved(conn, keyring, "A", count=90, batch=30)
    away = channel(fcm, port=free_port())
    began = time.monotonic()
    async with running(pool, keyring, away, channel(fcm)):
        await sent(conn, made.alert_id, 90)
    assert time.monotonic() - began < 30
    assert sorted(ref for ref, _ in received(fcm)) == made.endpoint_ids
    names = await conn.fetch(
        "SELECT DISTINCT account FROM attempt JOIN provider USING (provider_id)"
    )
    assert [row["account"] for row in names] == ["lab 1"]


async def test_a_retry_waits_its_turn_and_a_dead_phone_is_retired(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    made = await approved(conn, keyring, "A", lane=0, count=3)
    gone, later, well = made.endpoint_ids
    with closing(fcm_store.connect(fcm[0])) as kept:
        fcm_store.fail(kept, f"fid:{gone:022d}", "UNREGISTERED")
        fcm_store.fail(kept, f"fid:{later:022d}", "UNAVAILABLE")
        store.settle(kept)
    async with running(pool, keyring, channel(fcm)):
        await sent(conn, made.alert_id, 1)
        with closing(fcm_store.connect(fcm[0])) as kept:
            fcm_store.heal(kept, f"fid:{later:022d}")
        await sent(conn, made.alert_id, 2)
    assert {ref for ref, _ in received(fcm)} == {later, well}
    tries = await conn.fetch(
        "SELECT attempt, result FROM attempt WHERE endpoint_id = $1 ORDER BY attempt", later
    )
    assert [tuple(row) for row in tries] == [(1, "temporary"), (2, "accepted")]
    states = (
        "SELECT d.state::text, e.state::text FROM delivery d JOIN endpoint e USING (endpoint_id)"
    )
    ended = await conn.fetchrow(f"{states} WHERE endpoint_id = $1", gone)
    assert tuple(ended or ()) == ("failed", "retired")


async def test_a_try_that_would_begin_after_the_end_is_not_planned(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    made = await approved(conn, keyring, "A", lane=2, count=1, expires=timedelta(seconds=8))
    with closing(fcm_store.connect(fcm[0])) as kept:
        fcm_store.fail(kept, "*", "UNAVAILABLE")
        store.settle(kept)
    async with running(pool, keyring, channel(fcm)):
        async with asyncio.timeout(30):
            while not await conn.fetchval("SELECT count(*) FROM attempt"):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
    delivery = await conn.fetchrow(
        "SELECT state::text, reason FROM delivery WHERE alert_id = $1", made.alert_id
    )
    assert tuple(delivery or ()) == ("expired", "UNAVAILABLE")
    assert await conn.fetchval("SELECT count(*) FROM batch WHERE state <> 'done'") == 0
