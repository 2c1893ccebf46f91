"""The archive: the same answers from rows and from blocks, whenever and however it is cut short."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from broadcaster import db
from broadcaster.db import Conn, Pool
from broadcaster.fanout import archive, deliveries, retention, segments
from broadcaster.fanout.blocks import STATES, ArchiveBrokenError
from broadcaster.fanout.deliveries import Delivery
from broadcaster.fanout.moves import Move
from broadcaster.fanout.progress import progress
from broadcaster.states import DELIVERY_MOVES, DeliveryState
from tests.unit.broadcaster.city import NOW, official
from tests.unit.broadcaster.history import ENDED, History, alert_over, history

LATER = NOW + timedelta(hours=2)
ROWS = "SELECT count(*) FROM delivery WHERE alert_id = $1"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred deliveries are as many blocks and pieces as a million would be."""
    monkeypatch.setattr(retention, "BLOCK", 16)
    monkeypatch.setattr(retention, "PIECE", 32)
    monkeypatch.setattr(deliveries, "_BLOCKS_AT_ONCE", 2)
    monkeypatch.setattr(deliveries, "_BLOCKS_SCANNED", 6)
    monkeypatch.setattr(deliveries, "_SCANNED", 50)


async def pages(conn: Conn, alert_id: int, **search: Any) -> list[Delivery]:
    found: list[Delivery] = []
    after: int | None = -1
    while after is not None:
        page = await deliveries.of_alert(conn, alert_id, after=after, limit=20, **search)
        found += page.deliveries
        assert page.after is None or page.after > after
        after = page.after
    return found


async def answers(conn: Conn, some: Sequence[History]) -> dict[str, Any]:
    """Everything anybody can ask of these alerts."""
    told: dict[str, Any] = {}
    for one in some:
        ids = [*one.endpoint_ids, 0, max(one.endpoint_ids) + 1]
        told[f"keys {one.alert_id}"] = await deliveries.of_keys(
            conn, [(one.alert_id, endpoint_id) for endpoint_id in ids]
        )
        told[f"progress {one.alert_id}"] = await progress(conn, one.alert_id)
        for channel in (None, "sms"):
            for state in (None, *STATES[1:6]):
                told[f"page {one.alert_id} {channel} {state}"] = await pages(
                    conn, one.alert_id, channel=channel, state=state
                )
        for endpoint_id in ids[::5]:
            told[f"to {endpoint_id}"] = await deliveries.alerts_to(conn, [endpoint_id])
        told[f"whole {one.alert_id}"] = (await deliveries.reached_by(conn, one.alert_id)).tolist()
    return told


async def cut_short(pool: Pool, rng: random.Random, early: bool) -> bool:
    """Run the job and kill it somewhere; True when it came to its end, which early it does not."""
    task = asyncio.create_task(retention.pack_settled(pool, NOW))
    if early or rng.random() < 0.5:
        for _ in range(rng.randrange(5, 40)):
            await asyncio.sleep(0)
            if task.done():
                break
        task.cancel()
    else:
        # The server ends the connection at work, as it does when it is restarted.
        await asyncio.sleep(rng.random() * 0.03)
        async with pool.acquire() as conn:
            await conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND state <> 'idle'"
            )
    try:
        await task
    except (asyncio.CancelledError, *db.AWAY):
        return False
    return True


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 4))])
async def test_the_same_answers_before_during_and_after(pool: Pool, seed: int) -> None:
    rng = random.Random(seed)
    async with pool.acquire() as conn:
        author = await official(conn, "author")
        some = [
            await history(conn, author, rng, f"HN-{n}", rng.randrange(150, 250)) for n in (1, 2)
        ]
        before = await answers(conn, some)
    assert sum(len(v) for k, v in before.items() if k.endswith("None None")) > 2
    killed = 0
    while not await cut_short(pool, rng, killed < 6):
        killed += 1
        async with pool.acquire() as conn:
            assert await answers(conn, some) == before, killed
    assert killed >= 6
    async with pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM archive WHERE packed_at IS NULL") == 0
        assert await conn.fetchval("SELECT count(*) FROM batch") == 0
        # What a reader took from the rows a moment ago it now has from blocks alone.
        await conn.execute("DELETE FROM delivery")
        await conn.execute("DELETE FROM attempt")
        assert await answers(conn, some) == before


async def test_receipts_go_forward_alike_at_every_stage(pool: Pool) -> None:
    rng = random.Random(3)
    async with pool.acquire() as conn:
        author = await official(conn, "author")
        live, frozen, packed = [
            await history(conn, author, random.Random(7), f"HN-{n}", 90) for n in (1, 2, 3)
        ]
        await conn.execute("UPDATE alert SET expires = $2 WHERE alert_id <> $1",
                           packed.alert_id, NOW)  # fmt: skip
        assert await retention.pack_settled(pool, NOW) == 1
        await conn.execute("UPDATE alert SET expires = $2 WHERE alert_id = $1",
                           frozen.alert_id, ENDED)  # fmt: skip
        assert await retention.freeze_due(pool, NOW) == 1
        for step in range(6):
            news = [
                Move(one, rng.choice(("confirmed", "seen", "failed")), rng.choice(("", "5.1.1")))
                for one in rng.choices(live.endpoint_ids, k=20)
            ]
            # One row at a time: rows take one move each in a statement.
            moved = [
                sum([await archive.forward(conn, LATER, one.alert_id, [move]) for move in news])
                for one in (live, frozen, packed)
            ]
            assert moved[0] == moved[1] == moved[2], step
        told = [await stripped(conn, one) for one in (live, frozen, packed)]
        assert told[0] == told[1] == told[2]
        counts = [await progress(conn, one.alert_id) for one in (live, frozen, packed)]
        assert counts[0] == counts[1] == counts[2]
        assert await retention.pack_settled(pool, NOW) == 1
        assert await stripped(conn, frozen) == told[0]
        assert await conn.fetchval("SELECT count(*) FROM late_news") > 10


async def stripped(conn: Conn, one: History) -> list[Any]:
    """What became of an alert's deliveries, without its number."""
    found = []
    for state in STATES:
        found += [
            (d.endpoint_id, d.state, d.reason, d.updated_at, d.attempts)
            for d in await pages(conn, one.alert_id, state=state)
        ]
    return found


async def test_a_receipt_of_nobody_is_harmless(pool: Pool) -> None:
    async with pool.acquire() as conn:
        one = await history(conn, await official(conn, "author"), random.Random(5), "HN-1", 20)
        await retention.pack_settled(pool, NOW)
        stranger = max(one.endpoint_ids) + 7
        assert await archive.forward(conn, NOW, one.alert_id, [Move(stranger, "seen")]) == 0
        assert await archive.forward(conn, NOW, one.alert_id, []) == 0


async def test_every_late_move_is_one_of_the_table(pool: Pool) -> None:
    """A packed delivery takes exactly the moves its row would have taken."""
    async with pool.acquire() as conn:
        one = await history(conn, await official(conn, "author"), random.Random(6), "HN-1", 60)
        await retention.pack_settled(pool, NOW)
        for endpoint_id in one.endpoint_ids:
            key = one.alert_id, endpoint_id
            old = DeliveryState((await deliveries.of_keys(conn, [key]))[key].state)
            for target in (DeliveryState.FAILED, DeliveryState.CONFIRMED, DeliveryState.SEEN):
                moved = await archive.forward(
                    conn, LATER, one.alert_id, [Move(endpoint_id, target)]
                )
                assert moved == (target in DELIVERY_MOVES[old])
                old = target if moved else old
            assert (await deliveries.of_keys(conn, [key]))[key].state == old


async def test_a_receipt_that_is_being_booked_is_waited_for(pool: Pool) -> None:
    async with pool.acquire() as conn:
        one = await history(conn, await official(conn, "author"), random.Random(8), "HN-1", 30)
    async with pool.acquire() as booking:
        transaction = booking.transaction()
        await transaction.start()
        await archive.forward(booking, NOW, one.alert_id, [Move(one.endpoint_ids[0], "seen")])
        task = asyncio.create_task(retention.pack_settled(pool, NOW))
        await asyncio.sleep(0.2)
        assert not task.done()
        await transaction.commit()
        assert await task == 1
        key = one.alert_id, one.endpoint_ids[0]
        before = (await deliveries.of_keys(booking, [key]))[key]
        await booking.execute("DELETE FROM delivery")
        assert (await deliveries.of_keys(booking, [key]))[key] == before


@pytest.mark.parametrize(
    "still_open",
    [
        "UPDATE batch SET state = 'ready'",
        "UPDATE progress SET pending = 1 WHERE channel = 'sms'",
        "UPDATE alert SET state = 'sending'",
        "UPDATE alert SET expires = '2026-09-09'",
    ],
)
async def test_what_may_still_move_is_left_alone(pool: Pool, still_open: str) -> None:
    async with pool.acquire() as conn:
        one = await history(conn, await official(conn, "author"), random.Random(9), "HN-1", 30)
        await conn.execute(still_open)
        assert await retention.pack_settled(pool, NOW) == 0
        assert await conn.fetchval("SELECT count(*) FROM archive") == 0
        assert await conn.fetchval(ROWS, one.alert_id) == 30


async def test_an_alert_stopped_early_is_kept_for_replies_as_long_as_any(pool: Pool) -> None:
    async with pool.acquire() as conn:
        await history(
            conn, await official(conn, "author"), random.Random(9), "HN-1", 5,
            state="stopped", expires=ENDED, ended_at=ENDED - timedelta(days=2), ended_reason="x",
        )  # fmt: skip
        assert await retention.pack_settled(pool, NOW, timedelta(days=9)) == 0
        assert await retention.pack_settled(pool, NOW) == 1


async def test_an_alert_that_does_not_add_up_keeps_its_rows_and_raises_an_alarm(
    pool: Pool,
) -> None:
    async with pool.acquire() as conn:
        author = await official(conn, "author")
        broken = await history(conn, author, random.Random(1), "HN-1", 30)
        sound = await history(conn, author, random.Random(2), "HN-2", 30)
        missing = broken.endpoint_ids[3]
        await conn.execute("DELETE FROM delivery WHERE alert_id = $1 AND endpoint_id = $2",
                           broken.alert_id, missing)  # fmt: skip
        await conn.execute("DELETE FROM attempt WHERE alert_id = $1 AND endpoint_id = $2",
                           broken.alert_id, missing)  # fmt: skip
        assert await retention.pack_settled(pool, NOW) == 1
        assert (await archive.standing(conn, sound.alert_id)).packed
        assert not (await archive.standing(conn, broken.alert_id)).packed
        assert len(await pages(conn, broken.alert_id)) == 29
        alarm = await conn.fetchrow("SELECT what, subject FROM alarm WHERE cleared_at IS NULL")
        assert tuple(alarm or ()) == ("not_packed", f"alert:{broken.alert_id}")


async def test_a_block_that_was_touched_is_not_believed(pool: Pool) -> None:
    async with pool.acquire() as conn:
        one = await history(conn, await official(conn, "author"), random.Random(1), "HN-1", 30)
        await retention.pack_settled(pool, NOW)
        await conn.execute("UPDATE archive_block SET first_id = first_id - 1")
        with pytest.raises(ArchiveBrokenError):
            await deliveries.of_alert(conn, one.alert_id)


async def test_partitions_go_when_all_in_them_is_packed_and_come_again_for_a_late_alert(
    pool: Pool,
) -> None:
    async with pool.acquire() as conn:
        author = await official(conn, "author")
        one = await history(conn, author, random.Random(1), "HN-1", 30)
        before = await answers(conn, [one])
        await retention.pack_settled(pool, NOW)
        assert await retention.drop_partitions(pool, LATER) == []
        await conn.execute("SELECT setval('alert_alert_id_seq', 200)")
        young = await history(conn, author, random.Random(2), "HN-2", 9, expires=NOW)
        assert young.alert_id == 201
        # The rows stay for a while for whoever began to read them.
        assert await retention.drop_partitions(pool, NOW) == [1]
        assert await retention.drop_partitions(pool, LATER) == [0]
        assert await conn.fetchval("SELECT to_regclass('delivery_0')") is None
        after = await answers(conn, [one])
        assert all(after[k] == before[k] for k in before if not k.startswith("to"))
        assert await conn.fetchval(ROWS, young.alert_id) == 9
        await conn.execute("SELECT ensure_partitions($1)", one.alert_id)
        assert await conn.fetchval("SELECT to_regclass('delivery_0')") is not None


async def test_a_partition_somebody_reads_is_left_for_the_next_run(pool: Pool) -> None:
    async with pool.acquire() as conn:
        author = await official(conn, "author")
        one = await history(conn, author, random.Random(1), "HN-1", 30)
        await retention.pack_settled(pool, NOW)
        await conn.execute("SELECT setval('alert_alert_id_seq', 200)")
        await alert_over(conn, author, "HN-2", expires=NOW)
        async with conn.transaction():
            await conn.fetchval(ROWS, one.alert_id)
            assert await retention.drop_partitions(pool, LATER) == []
        assert await retention.drop_partitions(pool, LATER) == [0, 1]


async def test_segments_answer_for_many_alerts_at_once(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "ALERTS", 5)
    monkeypatch.setattr(segments, "_PIECE", segments.SPAN)
    rng = random.Random(4)
    async with pool.acquire() as conn:
        author = await official(conn, "author")
        some = [await history(conn, author, rng, f"HN-{n}", rng.randrange(1, 200))
                for n in range(8)]  # fmt: skip
        everybody = sorted({endpoint_id for one in some for endpoint_id in one.endpoint_ids})[::9]
        before = {one: await deliveries.alerts_to(conn, [one]) for one in everybody}
        for listed, at in ((5, NOW), (8, NOW + segments.WAIT)):
            await retention.pack_settled(pool, at)
            unlisted = "SELECT count(*) FROM archive WHERE segment_id IS NULL"
            assert await conn.fetchval(unlisted) == 8 - listed
            await conn.execute("DELETE FROM delivery")
            assert {one: await deliveries.alerts_to(conn, [one]) for one in everybody} == before
        assert await deliveries.alerts_to(conn, everybody[:3]) == set().union(
            *(before[one] for one in everybody[:3])
        )


async def test_unproven_batches_are_counted_before_they_are_deleted(pool: Pool) -> None:
    async with pool.acquire() as conn:
        one = await history(conn, await official(conn, "author"), random.Random(1), "HN-1", 30)
        await conn.execute("UPDATE batch SET endpoint_ids = endpoint_ids || 5::bigint"
                           " WHERE channel = 'sms'")  # fmt: skip
        await retention.pack_settled(pool, NOW)
        row = await conn.fetchrow("SELECT batches, batches_unproven FROM archive")
        assert tuple(row or ()) == (3, 1)
        assert (await archive.standing(conn, one.alert_id)).packed
