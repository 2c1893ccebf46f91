"""Alarms: one row while they stand, lapsed by themselves, ended by who raised them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broadcaster.db import Conn
from broadcaster.fanout import alarms
from broadcaster.fanout.alarms import What
from tests.conftest import TEMPLATE
from tests.unit.broadcaster.city import NOW

MINUTE = timedelta(minutes=1)


@pytest.fixture
def template() -> str:
    return TEMPLATE


async def test_a_standing_alarm_is_one_row_and_keeps_when_it_began(conn: Conn) -> None:
    assert await alarms.raise_(conn, NOW, What.QUEUE_OLD, "sms:emergency", seconds=70)
    later = NOW + MINUTE
    assert not await alarms.raise_(conn, later, What.QUEUE_OLD, "sms:emergency", seconds=130)
    assert await alarms.raise_(conn, later, What.QUEUE_OLD, "push:emergency", seconds=70)
    first, second = await alarms.standing(conn, later)
    assert (first.subject, first.since, first.until) == ("sms:emergency", NOW, None)
    assert second.since == later


async def test_one_with_an_end_lapses_and_is_prolonged(conn: Conn) -> None:
    until = NOW + MINUTE
    assert await alarms.raise_(conn, NOW, What.PROVIDER_PAUSED, "provider:1", until, reason="a")
    assert await alarms.standing(conn, until) == []
    assert not await alarms.raise_(
        conn, NOW + MINUTE / 2, What.PROVIDER_PAUSED, "provider:1", until + MINUTE, reason="b"
    )
    [prolonged] = await alarms.standing(conn, until)
    assert (prolonged.since, prolonged.until) == (NOW, until + MINUTE)
    assert prolonged.detail == {"reason": "b"}


@pytest.mark.parametrize(("gap", "new"), [(timedelta(seconds=59), False), (2 * MINUTE, True)])
async def test_pauses_that_follow_each_other_are_one_alarm(
    conn: Conn, gap: timedelta, new: bool
) -> None:
    await alarms.raise_(conn, NOW, What.PROVIDER_PAUSED, "provider:1", NOW + MINUTE)
    again = NOW + MINUTE + gap
    assert (
        await alarms.raise_(conn, again, What.PROVIDER_PAUSED, "provider:1", again + MINUTE) is new
    )
    [found] = await alarms.standing(conn, again)
    assert found.since == (again if new else NOW)


async def test_an_end_that_hardly_moves_is_not_written(conn: Conn) -> None:
    await alarms.raise_(conn, NOW, What.PROVIDER_PAUSED, "provider:1", NOW + MINUTE)
    written = await conn.fetchval("SELECT xmin::text FROM alarm")
    later = NOW + timedelta(seconds=3)
    await alarms.raise_(conn, later, What.PROVIDER_PAUSED, "provider:1", later + MINUTE)
    assert await conn.fetchval("SELECT xmin::text FROM alarm") == written


async def test_clearing_ends_it_and_the_next_is_another_row(conn: Conn) -> None:
    await alarms.raise_(conn, NOW, What.WORKERS_MISSING, "send")
    assert await alarms.clear(conn, NOW + MINUTE, What.WORKERS_MISSING, "send")
    assert not await alarms.clear(conn, NOW + MINUTE, What.WORKERS_MISSING, "send")
    assert await alarms.standing(conn, NOW + MINUTE) == []
    assert await alarms.raise_(conn, NOW + 2 * MINUTE, What.WORKERS_MISSING, "send")
    assert await conn.fetchval("SELECT count(*) FROM alarm") == 2


async def test_what_has_lapsed_is_closed_at_its_own_end(conn: Conn) -> None:
    await alarms.raise_(conn, NOW, What.RETIREMENT_PAUSED, "provider:1", NOW + MINUTE)
    assert await alarms.lapse(conn, NOW + MINUTE) == 0
    assert await alarms.lapse(conn, NOW + 3 * MINUTE) == 1
    assert await conn.fetchval("SELECT cleared_at FROM alarm") == NOW + MINUTE
