"""What the clockwork finds by itself, and how long deliveries took: exact, over any processes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import alarms, timings, waits, watch, workers
from broadcaster.fanout.moves import Move, move
from broadcaster.fanout.progress import TIMES
from broadcaster.fanout.waits import Wait
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from channels.base import Unlimited
from tests.unit.broadcaster.sending import Sending, author, sending


async def _look(conn: Conn) -> list[tuple[str, str]]:
    now = datetime.now(UTC)
    await watch.look(conn, now)
    return [(one.what, one.subject) for one in await alarms.standing(conn, now)]


@pytest.fixture
async def made(conn: Conn, keyring: Keyring, units: UnitMap) -> Sending:
    return await sending(conn, keyring, await author(conn), code="A", channel="sms", count=200)


async def test_work_without_workers_is_an_alarm_until_one_lives(conn: Conn, made: Sending) -> None:
    assert await _look(conn) == [], "they may just be starting"
    await conn.execute("UPDATE batch SET not_before = now() - interval '20 s'")
    assert await _look(conn) == [("workers_missing", "send")]
    await workers.beat(conn, "w", "send")
    assert await _look(conn) == []
    await conn.execute("UPDATE worker SET lease_until = now() - interval '1 s'")
    assert await _look(conn) == [("workers_missing", "send")]
    await conn.execute("UPDATE batch SET state = 'done'")
    assert await _look(conn) == []


@pytest.mark.parametrize(("lane", "name"), [(0, "emergency"), (1, "warning"), (2, "routine")])
async def test_a_queue_is_old_by_its_lane(
    conn: Conn, keyring: Keyring, units: UnitMap, lane: int, name: str
) -> None:
    await sending(conn, keyring, await author(conn), code="A", lane=lane, channel="sms")
    await workers.beat(conn, "w", "send")
    most = watch.MOST_WAITING[lane]
    for waited, found in ((most / 2, []), (most * 1.1, [("queue_old", f"sms:{name}")])):
        await conn.execute("UPDATE batch SET not_before = now() - $1::interval", waited)
        assert await _look(conn) == found
    await conn.execute("UPDATE batch SET not_before = now() + interval '1 h'")
    assert await _look(conn) == [], "what is not due does not wait"


async def test_many_dead_letters_are_an_alarm_with_their_figures(conn: Conn, made: Sending) -> None:
    now = datetime.now(UTC)
    await workers.beat(conn, "w", "send")
    await conn.execute("UPDATE alert SET started_at = now()")
    await move(conn, now, made.alert_id, [Move(e, "handed_off") for e in made.endpoint_ids])
    await move(conn, now, made.alert_id, [Move(e, "failed", "x") for e in made.endpoint_ids[:99]])
    assert await _look(conn) == []
    await move(conn, now, made.alert_id, [Move(made.endpoint_ids[99], "failed", "x")])
    assert await _look(conn) == [("dead_letters", f"alert:{made.alert_id}:sms")]
    [one] = await alarms.standing(conn, now + timedelta(seconds=1))
    assert one.detail == {"code": "A", "dead": 100, "ended": 200}


async def _channel_down(conn: Conn) -> list[str]:
    return [subject for what, subject in await _look(conn) if what == "channel_down"]


async def test_messages_on_a_channel_nothing_leaves_by_are_an_alarm_while_it_lasts(
    conn: Conn, made: Sending
) -> None:
    await workers.beat(conn, "w", "send")
    assert await _channel_down(conn) == [], "no worker has said what is set up"
    await conn.execute(
        "INSERT INTO provider (channel, name, account, configured_at, breaker)"
        " VALUES ('push', 'fcm', '', now(), 'open'), ('sms', 'smpp', '', now(), 'closed')"
    )
    assert await _channel_down(conn) == []
    await conn.execute("UPDATE provider SET switch = 'off' WHERE channel = 'sms'")
    assert await _channel_down(conn) == ["sms"], "push is down too, and nothing waits there"
    await conn.execute("UPDATE provider SET switch = 'auto'")
    assert await _channel_down(conn) == []
    # What rests comes back by itself: it is an alarm when messages have waited for it.
    await conn.execute("UPDATE provider SET paused_until = now() + interval '1 minute'")
    assert await _channel_down(conn) == []
    await conn.execute("UPDATE batch SET not_before = now() - interval '20 s'")
    assert await _channel_down(conn) == ["sms"]
    await conn.execute("UPDATE alert SET state = 'sent'")
    assert await _channel_down(conn) == []


async def _took(conn: Conn, made: Sending, seconds: float, count: int, target: str) -> None:
    """Let deliveries that were written so long ago move."""
    ids = made.endpoint_ids[:count]
    del made.endpoint_ids[:count]
    await conn.execute(
        "UPDATE delivery SET created_at = now() - $2::interval WHERE endpoint_id = ANY($1)",
        ids, timedelta(seconds=seconds),
    )  # fmt: skip
    await move(conn, datetime.now(UTC), made.alert_id, [Move(e, target) for e in ids])


async def test_how_long_deliveries_took_is_counted_once_and_survives_folding(
    pool: Pool, conn: Conn, made: Sending
) -> None:
    early = list(made.endpoint_ids[:3])
    await _took(conn, made, 0.7, 3, "handed_off")
    await _took(conn, made, 45, 5, "handed_off")
    await _took(conn, made, 9_000, 2, "confirmed")
    await _took(conn, made, 9_000, 4, "failed")
    await move(conn, datetime.now(UTC), made.alert_id, [Move(e, "confirmed") for e in early])
    await move(conn, datetime.now(UTC), made.alert_id, [Move(e, "seen") for e in early])

    async def told() -> dict[str, dict[float, int]]:
        bounds = (*TIMES, float("inf"))
        return {
            one.what: {b: n for b, n in zip(bounds, one.counts, strict=True) if n}
            for one in await timings.histograms(conn)
        }

    expected = {
        "handed_off": {1.0: 3, 60.0: 5, float("inf"): 2},
        "confirmed": {1.0: 3, float("inf"): 2},
    }
    assert await told() == expected
    handed_off = (await timings.histograms(conn))[1]
    assert (handed_off.channel, handed_off.lane) == ("sms", 1)
    assert handed_off.seconds == pytest.approx(3 * 0.7 + 5 * 45 + 2 * 9_000, abs=2)
    assert await timings.fold(pool) == 0, "it is being sent"
    await conn.execute("UPDATE alert SET state = 'sent', started_at = now()")
    assert sum(await asyncio.gather(*(timings.fold(pool) for _ in range(3)))) == 1
    assert await told() == expected
    assert (await timings.histograms(conn))[1].seconds == pytest.approx(handed_off.seconds)
    await _took(conn, made, 0.2, 1, "handed_off")
    expected["handed_off"][0.5] = 1
    assert await told() == expected
    assert await timings.fold(pool) == 1
    assert await told() == expected


async def test_waits_of_all_workers_add_up(pool: Pool, conn: Conn) -> None:
    provider_id = await conn.fetchval(
        "INSERT INTO provider (channel, name, account) VALUES ('sms', 'smpp', 'x')"
        " RETURNING provider_id"
    )
    told = [Wait(provider_id, lane, 1, 0.5) for lane in (2, 0, 1)]

    async def worker() -> None:
        async with pool.acquire() as own:
            await waits.add(own, told)

    await asyncio.gather(*(worker() for _ in range(5)))
    rows = await conn.fetch("SELECT lane, waits, seconds FROM limiter_wait ORDER BY lane")
    assert [tuple(row) for row in rows] == [(lane, 5, 2.5) for lane in range(3)]


async def test_a_worker_tells_what_it_waited_once(pool: Pool, conn: Conn) -> None:
    provider_id = await conn.fetchval(
        "INSERT INTO provider (channel, name, account) VALUES ('sms', 'smpp', 'x')"
        " RETURNING provider_id"
    )
    tally = waits.Tally()
    paced = waits.CountedPace(_Slow(), tally, provider_id, 0)
    await asyncio.gather(paced.take(), paced.take(5))
    await tally.tell(conn)
    await tally.tell(conn)
    row = await conn.fetchrow("SELECT waits, seconds FROM limiter_wait")
    assert row is not None
    assert row["waits"] == 2
    assert 0.02 <= row["seconds"] < 1
    # Waits that cannot be told now are told later.
    await paced.take()
    broken = await pool.acquire()
    await broken.close()
    with pytest.raises(asyncpg.InterfaceError):
        await tally.tell(broken)
    await tally.tell(conn)
    assert await conn.fetchval("SELECT waits FROM limiter_wait") == 3


class _Slow(Unlimited):
    """Permissions that come a hundredth of a second late."""

    async def take(self, count: int = 1, group: str = "") -> None:
        await asyncio.sleep(0.01)
