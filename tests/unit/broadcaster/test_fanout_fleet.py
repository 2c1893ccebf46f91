"""Accounts of a sender: whose turn it is, what takes one out and brings it back, the switch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broadcaster.db import Pool
from broadcaster.fanout import breakers, link_test, provider_board
from broadcaster.fanout.fleet import Account, Carrier, Fleet, LinkTest
from broadcaster.fanout.obstacles import obstacles
from broadcaster.people.officials import Role, find_actor
from channels.base import Action, Outcome, Result
from channels.lab.smsc import open_store
from channels.lab.store import configure
from channels.limits_rules import RateLimit, Rule
from channels.sms import SmsChannel
from tests.builders import eventually
from tests.unit.broadcaster.city import official
from tests.unit.channels.sms.lab import Lab, batch, fresh

LIMIT = RateLimit((Rule(1000, 1.0),))
TEST_NUMBER = "+84900000001"
ROUTINE = 2


def carrier(name: str, weight: int, url: str = "smpp://a:b@127.0.0.1:1", **more: Any) -> Carrier:
    return Carrier(SmsChannel(url, "HANOI"), name, f"{name}@lab", LIMIT, weight=weight, **more)


@asynccontextmanager
async def running(pool: Pool, redis_url: str, *crews: list[Carrier]) -> AsyncIterator[list[Fleet]]:
    """One fleet for each worker, opened and kept in view."""
    fleets = [
        await Fleet.enlist(pool, redis_url, f"worker {number}", carriers)
        for number, carriers in enumerate(crews)
    ]
    channels = [account.channel for fleet in fleets for account in fleet.accounts]
    await asyncio.gather(*(channel.open() for channel in channels))
    tasks = [asyncio.create_task(fleet.run()) for fleet in fleets]
    try:
        yield fleets
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in channels))


def taken(fleet: Fleet, batches: int) -> dict[str, int]:
    """Give out batches that end at once; returns how many each account got."""
    counts: dict[str, int] = {}
    for _ in range(batches):
        account = fleet.choose("sms", ROUTINE)
        if account is not None:
            fleet.began(account)
            fleet.ended(account)
            counts[account.name] = counts.get(account.name, 0) + 1
    return counts


@pytest.fixture
async def pair(pool: Pool) -> Fleet:
    """Two accounts without Valkey, one worker; the test itself looks at the rows."""
    carriers = [carrier("first", 80), carrier("second", 20), carrier("spare", 0)]
    return await Fleet.enlist(pool, None, "worker", carriers)


async def test_weights_share_traffic_and_a_standby_gets_none(pair: Fleet) -> None:
    assert taken(pair, 100) == {"first": 80, "second": 20}


async def test_a_full_account_leaves_its_turn_to_others_and_one_slot_to_emergencies(
    pair: Fleet,
) -> None:
    first, second, spare = pair.accounts
    for _ in range(first.slots - 1):
        pair.began(first)
    assert {account.name for account in (pair.choose("sms", ROUTINE),) if account} == {"second"}
    for _ in range(second.slots - 1):
        pair.began(second)
    assert pair.choose("sms", ROUTINE) is None
    assert pair.choose("sms", 0) in (first, second)
    # Standing by is for when nobody else is usable, not for when they are busy.
    assert pair.usable("sms") == [first, second]
    assert spare not in pair.usable("sms")


async def test_faults_take_an_account_out_and_a_good_trial_brings_it_back(
    pair: Fleet, pool: Pool
) -> None:
    first, second, spare = pair.accounts
    faults = [Outcome(ref, Result.UNKNOWN, "no answer") for ref in range(30)]
    pair.report(first, faults, 0.1)
    await pair.sync()
    assert pair.usable("sms") == [second]
    pair.report(second, faults, 0.1)
    await pair.sync()
    assert pair.usable("sms") == [spare]
    assert await pool.fetchval("SELECT count(*) FROM alarm WHERE what = 'provider_down'") == 2

    await pool.execute("UPDATE provider SET next_try = now() WHERE name = 'first'")
    await pair.sync()
    assert pair.usable("sms") == [first]
    # Half open: one batch at a time.
    pair.began(first)
    assert pair.usable("sms") == [spare]
    pair.ended(first)
    await pool.execute("UPDATE provider SET breaker_since = now() - interval '2 s'")
    pair.report(first, [Outcome(ref, Result.ACCEPTED) for ref in range(30)], 0.1)
    await pool.execute("DELETE FROM provider_health")
    await pair.sync()
    assert first.view.breaker == "closed"
    assert taken(pair, 10) == {"first": 10}
    events = await pool.fetch("SELECT was, now FROM provider_event WHERE provider_id = $1"
                              " ORDER BY event_id", first.provider_id)  # fmt: skip
    moves = [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    assert [tuple(event) for event in events] == moves


async def test_a_carrier_that_wants_long_silence_gives_its_batches_to_others(pair: Fleet) -> None:
    first, second, _ = pair.accounts
    pair.pace(first, 2).slow_down(0.5)
    assert pair.usable("sms") == [second]
    assert pair.may_go_on(first)
    pair.pace(first, 2).slow_down(60)
    assert pair.usable("sms") == [second]
    assert not pair.may_go_on(first)
    # Alone, as one of more workers than the limit has messages a second.
    second.limiter.crew(100_000, 99_999)
    assert pair.usable("sms") == [pair.accounts[2]]
    assert not pair.may_go_on(second)


async def test_a_failed_trial_leaves_it_open_for_longer(pair: Fleet, pool: Pool) -> None:
    first = pair.accounts[0]
    waits = []
    for _ in range(3):
        pair.report(first, [Outcome(0, Result.UNKNOWN)] * 5, 0.1)
        await pair.sync()
        waits.append(
            await pool.fetchval(
                "SELECT extract(epoch FROM next_try - breaker_since)::int FROM provider"
                " WHERE provider_id = $1",
                first.provider_id,
            )
        )
        await pool.execute("UPDATE provider SET next_try = now() - interval '1 s'")
        await pair.sync()
        await pool.execute("UPDATE provider SET breaker_since = now() - interval '2 s'")
        await pool.execute("DELETE FROM provider_health")
    assert waits == [5, 10, 20]


async def test_errors_of_all_workers_are_summed(pair: Fleet, pool: Pool) -> None:
    other = await Fleet.enlist(pool, None, "other", [carrier("first", 80)])
    for fleet in (pair, other):
        faults = [Outcome(0, Result.UNKNOWN)] * 6 + [Outcome(0, Result.ACCEPTED)] * 5
        fleet.report(fleet.accounts[0], faults, 0.1)
        await fleet.sync()
    assert other.accounts[0].view.breaker == "open"
    await pair.sync()
    assert pair.accounts[0].view.breaker == "open"


async def test_what_pauses_an_account_counts_at_once_and_not_for_the_breaker(pair: Fleet) -> None:
    first, second, _ = pair.accounts
    refused = Outcome(0, Result.TEMPORARY, "0x0000000e", action=Action.PAUSE)
    pair.report(first, [refused] * 50, 0.1)
    assert pair.usable("sms") == [second]
    await pair.sync()
    assert first.view.breaker == "closed"


async def _switch(pool: Pool, account: Account, was: str, to: str) -> None:
    async with pool.acquire() as conn:
        if not await conn.fetchval("SELECT true FROM official WHERE login = 'chief'"):
            top = await conn.fetchval("SELECT unit_id FROM unit WHERE kind = 'city'")
            await official(conn, "chief", Role("admin", top))
        actor = await find_actor(conn, "chief")
        await provider_board.switch(
            conn, actor, datetime.now(UTC), account.provider_id, was=was, to=to, reason="test"
        )


async def test_a_switch_by_hand_is_obeyed_by_all_workers_soon(pool: Pool, redis_url: str) -> None:
    crews = [[carrier("first", 80), carrier("second", 20)] for _ in range(3)]
    async with running(pool, redis_url, *crews) as fleets:
        await _switch(pool, fleets[0].accounts[0], "auto", "off")
        began = time.monotonic()
        await eventually(
            _true(lambda: all(taken(f, 10) == {"second": 10} for f in fleets)), 30, "switched off"
        )
        took = time.monotonic() - began
        print(f"\nobeyed by all after {took:.2f} s")
        assert took < 5, "a second, on a machine that has time"
        assert not any(fleet.may_go_on(fleet.accounts[0]) for fleet in fleets)
        await _switch(pool, fleets[0].accounts[0], "off", "on")
        fleets[1].report(fleets[1].accounts[0], [Outcome(0, Result.UNKNOWN)] * 50, 0.1)
        broken = _true(lambda: fleets[0].accounts[0].view.breaker == "open")
        await eventually(broken, 30, "the others hear of the breaker")
        # Always on: whatever its errors.
        assert "first" in taken(fleets[0], 20)


def _true(holds: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return holds()

    return ask


@pytest.fixture
def smscs(tmp_path: Path) -> Iterator[list[Lab]]:
    """Two carriers."""
    labs = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        lab = Lab(folder, open_store(folder))
        configure(lab.conn, receipt_rate=0.0)
        lab.start()
        labs.append(lab)
    yield labs
    for lab in labs:
        lab.stop()
        lab.conn.close()


def _received(lab: Lab) -> int:
    count = "SELECT count(*) FROM part WHERE number <> ?"
    return int(lab.conn.execute(count, (TEST_NUMBER,)).fetchone()[0])


async def _traffic(fleet: Fleet, lost: list[int]) -> None:
    """Send batches of ten for ever, as a sender does: whoever's turn it is."""
    while True:
        account = fleet.choose("sms", ROUTINE)
        if account is None:
            await asyncio.sleep(0.05)
            continue
        fleet.began(account)
        began = time.monotonic()
        pace = fleet.pace(account, ROUTINE)
        what = batch(fresh(10), "Water is rising.", urgent=False)
        async for group in account.channel.send(what, lambda: True, pace):
            fleet.report(account, group, time.monotonic() - began)
            lost += [o.ref for o in group if o.result is Result.PERMANENT]
        fleet.ended(account)
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_traffic_leaves_a_carrier_that_went_down_and_returns_by_its_link_test(
    pool: Pool, redis_url: str, smscs: list[Lab]
) -> None:
    first, second = smscs
    crews = [
        [
            carrier("first", 80, first.url, test=LinkTest(TEST_NUMBER, 5.0)),
            carrier("second", 20, second.url),
        ]
        for _ in range(2)
    ]
    async with running(pool, redis_url, *crews) as fleets:
        lost: list[int] = []
        tasks = [asyncio.create_task(_traffic(fleet, lost)) for fleet in fleets]
        await asyncio.sleep(5.0)
        shares = _received(first), _received(second)
        print(f"\nby weights 80 and 20: {shares}")
        assert 0.7 < shares[0] / sum(shares) < 0.9

        first.stop(kill=True)
        down = time.monotonic()
        state = "SELECT breaker FROM provider WHERE name = 'first'"
        await eventually(_is(pool, state, "open"), 30, "the breaker opens")
        print(f"open after {time.monotonic() - down:.1f} s")
        before = _received(second)
        await asyncio.sleep(2.0)
        assert _received(second) - before > 100, "all of it goes through the second"

        first.start()
        back = time.monotonic()
        await eventually(_is(pool, state, "closed"), 40, "the breaker closes")
        print(f"closed again {time.monotonic() - back:.1f} s after the carrier was back")
        tests = "SELECT count(*) FROM part WHERE number = ?"
        assert first.conn.execute(tests, (TEST_NUMBER,)).fetchone()[0] >= 1
        before = _received(first)
        await asyncio.sleep(2.0)
        assert _received(first) - before > 100
        assert not lost
        assert not [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is(pool: Pool, query: str, value: object) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return bool(await pool.fetchval(query) == value)

    return ask


async def test_links_are_not_tested_while_the_clock_is_wrong(
    pool: Pool, smscs: list[Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_test, "EVERY", 0.02)
    tested = carrier("first", 100, smscs[0].url, test=LinkTest(TEST_NUMBER, 5.0))
    fleet = await Fleet.enlist(pool, None, "w", [tested])
    await tested.channel.open()
    right = False
    running = asyncio.create_task(fleet.run(lambda: right))
    await asyncio.sleep(0.3)
    at = "SELECT test_lease_until IS NULL AND tested_at IS NULL FROM provider"
    assert await pool.fetchval(at)
    right = True
    await eventually(_is(pool, f"SELECT NOT ({at})", True), 30, "tested once it is right")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await tested.channel.close()


async def test_health_nobody_looks_at_is_forgotten(pair: Fleet, pool: Pool) -> None:
    pair.report(pair.accounts[0], [Outcome(0, Result.ACCEPTED)], 0.1)
    await pair.sync()
    await pool.execute("UPDATE provider_health SET slot = slot - interval '1 hour'")
    async with pool.acquire() as conn:
        await breakers.forget(conn)
    assert await pool.fetchval("SELECT count(*) FROM provider_health") == 0


async def test_accounts_of_a_living_worker_stay_in_use_however_long_it_runs(
    pair: Fleet, pool: Pool
) -> None:
    await pool.execute(
        "UPDATE provider SET configured_at = now() - interval '2 days', switch = 'off'"
    )
    # An account that only hears, and sends nothing.
    await pool.execute("INSERT INTO provider (channel, name, account) VALUES ('sms', 'ear', 'x')")
    async with pool.acquire() as conn:
        now = await conn.fetchval("SELECT now()")
        assert await obstacles(conn, now, ["sms"]) == []
        pair._mustered_at = pair._tidied_at = 0.0
        await pair.sync()
        now = await conn.fetchval("SELECT now()")
        found = await obstacles(conn, now, ["sms"])
    assert [(one.cause, one.others) for one in found] == [("off", False)] * 3


async def test_one_account_has_one_limit_whatever_it_is_called(pool: Pool, redis_url: str) -> None:
    before, after = (replace(carrier(name, 100), account="one@lab") for name in ("old", "new"))
    async with running(pool, redis_url, [before], [after]) as (renamed, restarted):
        old, new = renamed.accounts[0].limiter, restarted.accounts[0].limiter

        async def both_share() -> bool:
            return old.shared and new.shared

        await eventually(both_share, 30, "limits shared")
        old.slow_down(300)

        async def silent() -> bool:
            return new.silent_for > 200

        await eventually(silent, 30, "what the carrier asked of one is kept by the other")
