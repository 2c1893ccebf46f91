"""Quiet hours begin while an alert is being sent: its rest waits, by Hanoi's clock, or ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import stages
from broadcaster.fanout.channel_policy import HANOI, Policy
from broadcaster.fanout.quiet import Quiet
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.clock import set_ahead, settable
from tests.unit.broadcaster.pushing import (
    Lab,
    approved,
    approved_document,
    channel,
    configure,
    received,
    running,
    sent,
    until,
)
from tests.unit.broadcaster.sending import author

NIGHT = Policy.model_validate(
    {"steps": [{"channels": ["push"]}], "quiet_hours": {"from": "21:00", "to": "06:00"}}
)
NOON = NIGHT.model_validate(
    {"steps": [{"channels": ["push"]}], "quiet_hours": {"from": "11:30", "to": "13:00"}}
)
DAY = timedelta(days=1)


def hanoi(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-09-07T{clock}+07:00")


@pytest.mark.parametrize(
    ("policy", "clock", "ends", "begins"),
    [
        (NIGHT, "20:59:59.999999", None, hanoi("21:00:00")),
        (NIGHT, "21:00:00", hanoi("06:00:00") + DAY, None),
        (NIGHT, "23:59:59.999999", hanoi("06:00:00") + DAY, None),
        (NIGHT, "00:00:00", hanoi("06:00:00"), None),
        (NIGHT, "05:59:59.999999", hanoi("06:00:00"), None),
        (NIGHT, "06:00:00", None, hanoi("21:00:00")),
        (NOON, "11:29:59.999999", None, hanoi("11:30:00")),
        (NOON, "11:30:00", hanoi("13:00:00"), None),
        (NOON, "13:00:00", None, hanoi("11:30:00") + DAY),
    ],
)
def test_the_edges_of_the_hours_are_hanois(
    policy: Policy, clock: str, ends: datetime | None, begins: datetime | None
) -> None:
    hours = Quiet("information", policy)
    moment = hanoi(clock).astimezone(UTC)
    assert hours.until(moment) == ends
    if begins:
        assert hours.begins(moment) == begins
    assert Quiet("warning", policy).until(moment) is None


@pytest.fixture
async def shifted(database: str) -> AsyncIterator[Pool]:
    async with settable(database) as pool:
        yield pool


def notice(code: str, kind: str = "alert") -> dict[str, Any]:
    """An information notice approved under quiet hours."""
    document = approved_document(code)
    document["content"]["class"] = "information"
    rules = {"version": 1, "rules": NIGHT.to_json()}
    return document | {"kind": kind, "policy": rules}


def ahead_to(moment: datetime) -> timedelta:
    """How far ahead a clock is that shows a moment now."""
    return moment - datetime.now(UTC)


@pytest.mark.slow
async def test_the_rest_waits_for_the_morning_and_leaves_then(
    shifted: Pool, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    configure(fcm, delay_ms=50)
    evening = (datetime.now(HANOI) + DAY).replace(hour=21, minute=0, second=0, microsecond=0)
    morning = evening + timedelta(hours=9)
    ahead = timedelta(0)

    async def at(moment: datetime) -> None:
        nonlocal ahead
        ahead = ahead_to(moment)
        await set_ahead(shifted, ahead)

    await at(evening - timedelta(minutes=5))
    async with shifted.acquire() as conn:
        made = await approved(
            conn, keyring, "A", document=notice("A"), lane=2, count=300, batch=150,
            expires=4 * DAY,
        )  # fmt: skip
        await conn.execute("UPDATE batch SET not_before = '2020-01-01'")
        await at(evening - timedelta(seconds=4.5))
        clock = lambda: datetime.now(UTC) + ahead  # noqa: E731
        async with running(shifted, keyring, channel(fcm, at_once=5), clock=clock):
            await until(lambda: received(fcm))
            begins = evening - ahead
            await asyncio.sleep((begins - datetime.now(UTC)).total_seconds() + 2.5)
            times = [at for _, at in received(fcm)]
            assert 0 < len(times) < 300
            # The lab writes a message down when it answers.
            assert max(times) < begins.timestamp() + 0.05 + 0.3
            waiting = await conn.fetch("SELECT not_before FROM batch WHERE state <> 'done'")
            assert waiting
            for row in waiting:
                assert abs((row["not_before"] - morning).total_seconds()) < 1
            await at(morning - timedelta(seconds=1.0))
            await asyncio.sleep(0.7)
            assert len(received(fcm)) == len(times)
            configure(fcm, delay_ms=0)
            await sent(conn, made.alert_id, 300)
    assert sorted(ref for ref, _ in received(fcm)) == made.endpoint_ids


async def _asleep(conn: Conn) -> bool:
    return bool(await conn.fetchval("SELECT bool_and(not_before > now() + '1 h') FROM batch"))


async def test_what_ends_before_the_quiet_does_expires_and_a_cancel_is_never_held(
    shifted: Pool, keyring: Keyring, units: UnitMap, fcm: Lab
) -> None:
    night = (datetime.now(HANOI) + DAY).replace(hour=22, minute=0, second=0, microsecond=0)
    ahead = ahead_to(night)
    await set_ahead(shifted, ahead)
    async with shifted.acquire() as conn:
        writer = await author(conn)
        made = await approved(
            conn, keyring, "A", writer, notice("A"), lane=2, count=3, expires=ahead + DAY / 8
        )
        clock = lambda: datetime.now(UTC) + ahead  # noqa: E731
        async with running(shifted, keyring, channel(fcm), clock=clock):
            async with asyncio.timeout(30):
                while not await _asleep(conn):
                    await asyncio.sleep(0.02)
            await stages.end(shifted, datetime.now(UTC) + ahead + DAY / 4)
            counts = await conn.fetchrow("SELECT pending, expired FROM progress")
            assert tuple(counts or ()) == (0, 3)
            assert received(fcm) == []
            cancel = await approved(
                conn, keyring, "C", writer, notice("C", "cancel"), lane=2, count=2, expires=3 * DAY
            )
            await sent(conn, cancel.alert_id, 2)
    assert sorted(ref for ref, _ in received(fcm)) == cancel.endpoint_ids
    assert not set(made.endpoint_ids) & {ref for ref, _ in received(fcm)}
