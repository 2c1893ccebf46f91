"""Outcomes: judged, fenced, counted, tried again; receipts: forward only, early ones wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import claims, outcomes, providers, receipts
from broadcaster.fanout.claims import Claim
from broadcaster.fanout.moves import Move, move
from broadcaster.fanout.outcomes import judge
from broadcaster.fanout.policy import LONGEST, UNKNOWN_TRIES, backoff
from broadcaster.fanout.progress import progress
from broadcaster.fanout.sending import ALL_LANES
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from channels.base import Action, Outcome, Result
from tests.unit.broadcaster.city import NOW
from tests.unit.broadcaster.sending import Sending, author, sending


@pytest.mark.parametrize(
    ("outcome", "channel", "lane", "attempts", "state", "again"),
    [
        (Outcome(1, Result.ACCEPTED), "sms", 1, 0, "handed_off", False),
        (Outcome(1, Result.PERMANENT, "UNREGISTERED"), "push", 1, 0, "failed", False),
        (Outcome(1, Result.PERMANENT, "x", action=Action.PAUSE), "push", 1, 0, None, True),
        (Outcome(1, Result.TEMPORARY), "sms", 1, 0, None, True),
        (Outcome(1, Result.TEMPORARY), "sms", 1, 500, None, True),
        (Outcome(1, Result.TEMPORARY, action=Action.PAUSE), "push", 1, 500, None, True),
        (Outcome(1, Result.TEMPORARY, action=Action.AWAY), "push", 1, 500, None, True),
        (Outcome(1, Result.UNKNOWN), "push", 2, 0, "unknown", True),
        (Outcome(1, Result.UNKNOWN), "email", 2, 0, "unknown", True),
        (Outcome(1, Result.UNKNOWN), "sms", 0, 0, "unknown", True),
        (Outcome(1, Result.UNKNOWN), "sms", 1, 0, "unknown", True),
        (Outcome(1, Result.UNKNOWN), "sms", 2, 0, "unknown", False),
        (Outcome(1, Result.UNKNOWN), "push", 1, UNKNOWN_TRIES - 1, "unknown", False),
        (Outcome(1, Result.NOT_SENT), "push", 1, 0, None, True),
    ],
)
def test_what_an_outcome_means(
    outcome: Outcome, channel: str, lane: int, attempts: int, state: str | None, again: bool
) -> None:
    verdict = judge(outcome, channel, lane, attempts)
    assert verdict.state == state
    assert (verdict.again is not None) is again
    on_the_wire = outcome.result is not Result.NOT_SENT and outcome.action is not Action.AWAY
    assert verdict.tried is on_the_wire


def test_waiting_grows_obeys_the_carrier_and_is_shorter_for_an_emergency() -> None:
    assert backoff(0, 1, None) < backoff(2, 1, None)
    assert backoff(2, 1, None) < backoff(2, 3, None)
    assert backoff(0, 1, 77).total_seconds() >= 77
    assert backoff(0, 400, None).total_seconds() >= LONGEST


async def test_a_carrier_that_is_away_costs_no_try_and_pauses_its_account(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring)
    away = [
        Outcome(e, Result.TEMPORARY, "CONNECT_FAILED", action=Action.AWAY)
        for e in made.endpoint_ids
    ]
    await outcomes.write(
        pool, claim, provider_id, dict.fromkeys(made.endpoint_ids, 0), away, last=True
    )
    assert await _states(conn, made.alert_id) == ["pending"] * 3
    assert await conn.fetchval("SELECT sum(attempts) FROM delivery") == 0
    assert await conn.fetchval("SELECT count(*) FROM attempt") == 0
    row = await conn.fetchrow("SELECT paused_until > now() AS paused, paused_reason FROM provider")
    assert tuple(row or ()) == (True, "CONNECT_FAILED")
    await conn.execute("UPDATE provider SET paused_until = now()")
    await conn.execute("UPDATE batch SET not_before = now()")
    again: list[int] = []
    # The jitter may have put them into batches of their own.
    while found := await claims.claim(conn, "w", "sms", ALL_LANES):
        again += found.endpoint_ids
    assert sorted(again) == made.endpoint_ids


async def _claimed(conn: Conn) -> Claim:
    claim = await claims.claim(conn, "w", "sms", ALL_LANES)
    assert claim is not None
    return claim


async def _ready(conn: Conn, keyring: Keyring, count: int = 3) -> tuple[Sending, Claim, int]:
    made = await sending(conn, keyring, await author(conn), code="A", channel="sms", count=count)
    provider_id = await providers.register(conn, "sms", "smpp", "test")
    return made, await _claimed(conn), provider_id


async def _states(conn: Conn, alert_id: int) -> list[str]:
    rows = await conn.fetch(
        "SELECT state::text AS state FROM delivery WHERE alert_id = $1 ORDER BY endpoint_id",
        alert_id,
    )
    return [row["state"] for row in rows]


async def test_a_group_is_committed_whole(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring)
    a, b, c = made.endpoint_ids
    await outcomes.write(
        pool,
        claim,
        provider_id,
        dict.fromkeys(made.endpoint_ids, 0),
        [
            Outcome(a, Result.ACCEPTED, provider_ids=("1f", "20")),
            Outcome(b, Result.PERMANENT, "0x0000000b"),
            Outcome(c, Result.TEMPORARY, "0x00000058"),
        ],
        last=True,
    )
    assert await _states(conn, made.alert_id) == ["handed_off", "failed", "pending"]
    [count] = await progress(conn, made.alert_id)
    assert (count.handed_off, count.failed, count.pending, count.total) == (1, 1, 1, 3)
    assert await conn.fetchval("SELECT count(*) FROM attempt") == 3
    refs = await conn.fetch("SELECT message_id, part, parts FROM provider_ref ORDER BY part")
    assert [tuple(row) for row in refs] == [("1f", 1, 2), ("20", 2, 2)]
    batches = await conn.fetch("SELECT state::text, endpoint_ids FROM batch ORDER BY batch_id")
    assert [tuple(row) for row in batches] == [("done", made.endpoint_ids), ("ready", [c])]
    assert await conn.fetchval("SELECT first_handoff_at IS NOT NULL FROM alert")
    assert await conn.fetchval("SELECT topic FROM outbox") == "first_handoff"


async def test_whoever_lost_the_batch_records_its_tries_and_moves_nothing(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 1)
    await conn.execute("UPDATE batch SET fence = fence + 1")
    with pytest.raises(outcomes.LeaseLost):
        await outcomes.write(
            pool, claim, provider_id, {made.endpoint_ids[0]: 0},
            [Outcome(made.endpoint_ids[0], Result.ACCEPTED, provider_ids=("1",))], last=True,
        )  # fmt: skip
    assert await _states(conn, made.alert_id) == ["pending"]
    assert await conn.fetchval("SELECT count(*) FROM attempt") == 1
    assert await conn.fetchval("SELECT count(*) FROM provider_ref") == 0


async def test_one_bad_payload_does_not_wipe_the_city(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 300)
    dead = made.endpoint_ids[:20]
    await outcomes.write(
        pool, claim, provider_id, dict.fromkeys(made.endpoint_ids, 0),
        [
            Outcome(e, Result.PERMANENT, "UNREGISTERED", action=Action.RETIRE)
            if e in dead else Outcome(e, Result.ACCEPTED)
            for e in made.endpoint_ids
        ],
        last=True,
    )  # fmt: skip
    assert await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'retired'") == 0
    assert await conn.fetchval("SELECT retirement_paused_until > now() FROM provider")


async def test_dead_addresses_a_few_at_a_time_are_braked_as_well(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    written_by = await author(conn)
    provider_id = await providers.register(conn, "email", "smtp", "test")
    for round_ in range(5):
        made = await sending(conn, keyring, written_by, code=f"A{round_}", channel="email", count=4)
        claim = await claims.claim(conn, "w", "email", ALL_LANES)
        assert claim is not None
        gone = [Outcome(e, Result.PERMANENT, "550 5.1.1", action=Action.RETIRE)
                for e in made.endpoint_ids]  # fmt: skip
        await outcomes.write(
            pool, claim, provider_id, dict.fromkeys(made.endpoint_ids, 0), gone, last=True
        )
    # Four, four, and with the next four they were twelve.
    assert await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'retired'") == 8
    assert await conn.fetchval("SELECT retirement_paused_until > now() FROM provider")


async def test_among_many_that_arrived_a_few_dead_ones_are_dead(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 20)
    await conn.execute(
        "INSERT INTO provider_health (provider_id, slot, worker, tried)"
        " VALUES ($1, now() - interval '1 minute', 'other', 1000)",
        provider_id,
    )
    gone = [Outcome(e, Result.PERMANENT, "UNREGISTERED", action=Action.RETIRE)
            for e in made.endpoint_ids[:10]]  # fmt: skip
    await outcomes.write(
        pool, claim, provider_id, dict.fromkeys(made.endpoint_ids, 0), gone, last=False
    )
    assert await conn.fetchval("SELECT count(*) FROM endpoint WHERE state = 'retired'") == 10


async def test_a_dead_address_is_retired(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 1)
    [endpoint_id] = made.endpoint_ids
    gone = Outcome(endpoint_id, Result.PERMANENT, "UNREGISTERED", action=Action.RETIRE)
    await outcomes.write(pool, claim, provider_id, {endpoint_id: 0}, [gone], last=True)
    row = await conn.fetchrow("SELECT state::text, retired_reason FROM endpoint")
    assert tuple(row or ()) == ("retired", "UNREGISTERED")


async def test_a_receipt_that_came_first_waits_and_then_joins(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 1)
    [endpoint_id] = made.endpoint_ids
    for part in ("31", "32"):
        early = receipts.Receipt(
            [part, "1f" if part == "31" else "20"], "confirmed", "", False, b""
        )
        await receipts.store(conn, keyring, NOW, [(provider_id, early)])
    assert await receipts.join(pool, NOW) == 0
    done = Outcome(endpoint_id, Result.ACCEPTED, provider_ids=("1f", "20"))
    await outcomes.write(pool, claim, provider_id, {endpoint_id: 0}, [done], last=True)
    assert await receipts.join(pool, NOW + timedelta(seconds=1)) == 2
    assert await _states(conn, made.alert_id) == ["confirmed"]
    [count] = await progress(conn, made.alert_id)
    assert (count.confirmed, count.handed_off) == (1, 0)


async def test_one_confirmed_part_does_not_confirm_the_message(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 1)
    [endpoint_id] = made.endpoint_ids
    done = Outcome(endpoint_id, Result.ACCEPTED, provider_ids=("1", "2"))
    await outcomes.write(pool, claim, provider_id, {endpoint_id: 0}, [done], last=True)
    first = receipts.Receipt(["1"], "confirmed", "", False, b"")
    await receipts.store(conn, keyring, NOW, [(provider_id, first)])
    assert await receipts.join(pool, NOW) == 1
    assert await _states(conn, made.alert_id) == ["handed_off"]


async def test_receipts_go_forward_only(conn: Conn, keyring: Keyring, units: UnitMap) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", count=1)
    [endpoint_id] = made.endpoint_ids
    for target, moved, state in (
        ("handed_off", 1, "handed_off"),
        ("seen", 1, "seen"),
        ("confirmed", 0, "seen"),
        ("failed", 0, "seen"),
        ("pending", 0, "seen"),
    ):
        assert await move(conn, NOW, made.alert_id, [Move(endpoint_id, target)]) == moved
        assert await _states(conn, made.alert_id) == [state]
    [count] = await progress(conn, made.alert_id)
    assert (count.seen, count.total) == (1, 1)


async def test_one_delivery_per_alert_and_endpoint(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", count=1)
    with pytest.raises(asyncpg.UniqueViolationError):
        await conn.execute(
            "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, updated_at)"
            " VALUES ($1, $2, 'push', 'vi', now())",
            made.alert_id, made.endpoint_ids[0],
        )  # fmt: skip


async def test_receipts_nobody_claims_are_counted_after_a_day(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    provider_id = await providers.register(conn, "sms", "smpp", "test")
    lonely = receipts.Receipt(["77"], "confirmed", "", False, b"raw")
    await receipts.store(conn, keyring, NOW, [(provider_id, lonely)])
    assert await receipts.give_up(conn, NOW + receipts.GIVE_UP / 2) == 0
    assert await receipts.give_up(conn, NOW + receipts.GIVE_UP * 2) == 1


async def test_a_group_whose_commit_was_not_heard_of_is_written_once(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring)
    a, b, c = made.endpoint_ids
    group = [Outcome(a, Result.ACCEPTED), Outcome(b, Result.TEMPORARY, "0x00000058")]
    tries = dict.fromkeys(made.endpoint_ids, 0)
    for repeated in (False, True):
        claim.written = 0  # as whoever heard nothing of the commit believes
        await outcomes.write(pool, claim, provider_id, tries, group, last=False, repeated=repeated)
    await outcomes.write(pool, claim, provider_id, tries, [Outcome(c, Result.ACCEPTED)], last=True)
    claim.written = 1
    await outcomes.write(
        pool, claim, provider_id, tries, [Outcome(c, Result.ACCEPTED)], last=True, repeated=True
    )
    assert await conn.fetchval("SELECT count(*) FROM attempt") == 3
    assert await conn.fetchval("SELECT sum(attempts) FROM delivery") == 3
    waiting = await conn.fetch("SELECT endpoint_ids FROM batch WHERE state = 'ready'")
    assert [row["endpoint_ids"] for row in waiting] == [[b]]
    [count] = await progress(conn, made.alert_id)
    assert (count.handed_off, count.pending) == (2, 1)


async def test_a_group_that_was_not_committed_is_written_when_it_is_repeated(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 1)
    [a] = made.endpoint_ids
    await outcomes.write(
        pool, claim, provider_id, {a: 0}, [Outcome(a, Result.ACCEPTED)], last=True, repeated=True
    )
    assert await conn.fetchval("SELECT count(*) FROM attempt") == 1
    assert await _states(conn, made.alert_id) == ["handed_off"]


async def test_a_lost_batch_s_tries_are_recorded_once_however_often_they_are_written(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 1)
    [a] = made.endpoint_ids
    await conn.execute("UPDATE batch SET fence = fence + 1")
    for repeated in (False, True):
        with pytest.raises(outcomes.LeaseLost):
            await outcomes.write(
                pool, claim, provider_id, {a: 0}, [Outcome(a, Result.ACCEPTED)],
                last=True, repeated=repeated,
            )  # fmt: skip
    assert await conn.fetchval("SELECT count(*) FROM attempt") == 1


async def test_batches_of_one_alert_that_end_together_are_all_counted(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    writer = await author(conn)
    made = await sending(conn, keyring, writer, code="A", channel="push", count=60, batch=5)
    provider_id = await providers.register(conn, "push", "fcm", "test")
    held = [await claims.claim(conn, "w", "push", ALL_LANES) for _ in range(12)]

    async def end(claim: Claim) -> None:
        claim.first = False
        for half in (claim.endpoint_ids[:3], claim.endpoint_ids[3:]):
            group = [Outcome(one, Result.ACCEPTED) for one in half]
            await outcomes.write(
                pool, claim, provider_id, dict.fromkeys(half, 0), group, last=len(half) == 2
            )

    await asyncio.gather(*(end(claim) for claim in held if claim))
    row = await conn.fetchrow("SELECT * FROM progress WHERE alert_id = $1", made.alert_id)
    assert row is not None
    assert (row["pending"], row["handed_off"], sum(row["handed_off_within"])) == (0, 60, 60)
    assert await conn.fetchval("SELECT count(*) FROM batch WHERE state = 'done'") == 12
    assert await conn.fetchval("SELECT count(*) FROM attempt WHERE attempt = 1") == 60


async def test_a_receipt_that_overtook_its_outcome_stays(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made, claim, provider_id = await _ready(conn, keyring, 2)
    a, b = made.endpoint_ids
    claim.first = False
    await move(conn, NOW, made.alert_id, [Move(a, "confirmed")])
    group = [Outcome(a, Result.ACCEPTED), Outcome(b, Result.ACCEPTED)]
    await outcomes.write(pool, claim, provider_id, {a: 0, b: 0}, group, last=True)
    assert await _states(conn, made.alert_id) == ["confirmed", "handed_off"]
    [count] = await progress(conn, made.alert_id)
    assert (count.confirmed, count.handed_off, count.pending) == (1, 1, 0)


@pytest.mark.parametrize(
    ("result", "state"),
    [(Result.TEMPORARY, "expired"), (Result.NOT_SENT, "expired"), (Result.UNKNOWN, "unknown")],
)
def test_nothing_is_planned_past_the_end(result: Result, state: str) -> None:
    assert judge(Outcome(1, result), "push", 0, 0, left=0.5).state == state
    assert judge(Outcome(1, result), "push", 0, 0, left=0.5).again is None
    assert judge(Outcome(1, result), "push", 0, 0, left=99).again is not None


def test_what_never_left_goes_at_once_where_it_is_taken() -> None:
    away = Outcome(1, Result.TEMPORARY, "CONNECT_FAILED", action=Action.AWAY)
    for outcome in (away, Outcome(1, Result.NOT_SENT, "PAUSED")):
        assert judge(outcome, "push", 2, 0, elsewhere=True).again == 0
        assert (judge(outcome, "push", 2, 0).again or 0) >= 1
    late = Outcome(1, Result.TEMPORARY, "UNAVAILABLE")
    assert (judge(late, "push", 2, 0, elsewhere=True).again or 0) >= 1
