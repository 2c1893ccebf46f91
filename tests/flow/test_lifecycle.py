"""The life of an approved alert with real workers: what leaves, when, and what does not."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest

from broadcaster.alerts import lifecycle
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.cadence.duty import duty_of, duty_table
from broadcaster.cadence.rules import Status
from broadcaster.errors import Conflict
from channels.lab import fcm_store, phones, smsc_store, store
from tests.builders import CHANNELS, Service, area_of, eventually, now, warning
from tests.flow.scenes import WARD, everywhere, for_later, slow_carriers, ward

pytestmark = pytest.mark.asyncio(loop_scope="package")

SLOW = {"push": 1_900.0, "sms": 400.0, "email": 900.0}
"""Milliseconds a carrier takes, so that 2,000 people take many seconds."""


async def _mid_way(city: Service, alert: Alert) -> None:
    async def some_of_each() -> bool:
        counts = [await city.handed_off(alert.alert_id, channel) for channel in CHANNELS]
        return min(counts) > 0

    await eventually(some_of_each, 30, "hand-offs on every channel")


# Time


async def test_a_scheduled_alert_starts_at_its_time(city: Service) -> None:
    at = now() + timedelta(seconds=6)
    content = await ward(city, "hẹn giờ", scheduled_for=at.isoformat())
    alert = await city.broadcast(content)

    async def scheduled() -> bool:
        return await city.state(alert.alert_id) == "scheduled"

    await eventually(scheduled, 30, "scheduled")
    await city.settled(alert.alert_id)
    arrived = [m.at for some in city.received(alert, content).values() for m in some]
    assert arrived
    assert at.timestamp() <= min(arrived) <= at.timestamp() + 15


async def test_what_ends_before_it_could_start_is_never_sent(city: Service) -> None:
    clock = city.supervisor.pid("clock")
    assert clock
    os.kill(clock, signal.SIGSTOP)
    try:
        content = await ward(city, "hết hạn sớm", lasts=timedelta(seconds=5))
        alert = await city.broadcast(content)
        assert content.expires is not None
        await asyncio.sleep(max(0, (content.expires - now()).total_seconds()) + 0.2)
    finally:
        os.kill(clock, signal.SIGCONT)

    async def expired() -> bool:
        return await city.state(alert.alert_id) == "expired"

    await eventually(expired, 30, "expired")
    started = "SELECT started_at FROM alert WHERE alert_id = $1"
    assert await city.value(started, alert.alert_id) is None
    assert await city.states(alert.alert_id) == {}
    assert city.received(alert, content) == {"push": [], "sms": [], "email": []}


async def test_an_alert_that_ends_mid_way_is_handed_off_no_more(city: Service) -> None:
    async with slow_carriers(city, SLOW):
        content = await everywhere(city, "hết hạn giữa chừng", lasts=timedelta(seconds=6))
        alert = await city.broadcast(content)
        await _mid_way(city, alert)
        await city.settled(alert.alert_id)
    assert await city.state(alert.alert_id) == "expired"
    assert content.expires is not None
    await _nothing_left_after(city, alert, content, content.expires, "expired")


async def test_a_stop_ends_the_hand_off_in_the_middle(city: Service) -> None:
    async with slow_carriers(city, SLOW):
        content = await everywhere(city, "dừng phát")
        alert = await city.broadcast(content)
        await _mid_way(city, alert)
        async with city.pool.acquire() as conn:
            await lifecycle.stop(
                conn, await city.actor("tuan"), now(), alert.alert_id, "Phát nhầm địa bàn"
            )
        stopped = now()
        await city.settled(alert.alert_id)
    assert await city.state(alert.alert_id) == "stopped"
    late = await _nothing_left_after(city, alert, content, stopped, "stopped")
    print(f"last message {late:.2f} s after the stop")
    with pytest.raises(Conflict):
        async with city.pool.acquire() as conn:
            await lifecycle.stop(conn, await city.actor("tuan"), now(), alert.alert_id, "lần nữa")


async def _nothing_left_after(
    city: Service, alert: Alert, content: Content, end: datetime, rest: str
) -> float:
    """Every channel was cut off in the middle; what was handed off stays so. Returns seconds."""
    # The lab writes a push and a mail down when it answers; an SMS when it comes in.
    answered_after = {"push": SLOW["push"] / 1000, "sms": 0.0, "email": SLOW["email"] / 1000}
    states = await city.states(alert.alert_id)
    received = city.received(alert, content)
    late = 0.0
    for channel in CHANNELS:
        handed = sum(states[channel].get(state, 0) for state in ("handed_off", "confirmed"))
        assert handed > 0, channel
        assert states[channel][rest] > 0, (channel, states[channel])
        assert len({m.address for m in received[channel]}) == len(received[channel])
        # What the SMSC refused because its clock said it is over was not handed off either.
        assert handed == len(received[channel])
        last = max(m.at for m in received[channel]) - answered_after[channel]
        late = max(late, last - end.timestamp())
    assert late < 4, "a second, on a machine that has time"
    return late


async def test_a_phone_switched_on_after_the_end_shows_nothing(city: Service) -> None:
    reached = await city.rows(
        "SELECT DISTINCT ON (e.channel) e.endpoint_id FROM endpoint e"
        " JOIN person_endpoint USING (endpoint_id) JOIN person_place p USING (person_id)"
        " JOIN unit u USING (unit_id) WHERE u.code = $1 AND p.place_no = 0"
        " AND e.channel IN ('push', 'sms') ORDER BY e.channel, e.endpoint_id",
        WARD,
    )
    known = await city.addresses([row["endpoint_id"] for row in reached])
    phone, handset = (address for _, address, _ in sorted(known.values()))
    with (
        closing(fcm_store.connect(city.lab.directory)) as fcm,
        closing(smsc_store.open_store(city.lab.directory)) as smsc,
    ):
        phones.switch(fcm, phone, False, now())
        smsc_store.switch(smsc, handset, False)
        for carrier in (fcm, smsc):
            store.settle(carrier)
        before = len(smsc_store.messages(smsc, handset))
        content = await ward(city, "tắt máy", lasts=timedelta(seconds=9))
        alert = await city.broadcast(content)
        await city.settled(alert.alert_id)
        assert phone in {m.address for m in city.received(alert, content)["push"]}
        assert content.expires is not None
        await asyncio.sleep(max(0, (content.expires - now()).total_seconds()) + 1.2)
        phones.switch(fcm, phone, True, now())
        smsc_store.switch(smsc, handset, True)
        await asyncio.sleep(0.5)
        assert [n for n in phones.screen(fcm, phone, now()) if n.data["code"] == alert.code] == []
        assert len(smsc_store.messages(smsc, handset)) == before
    # The SMSC says that it ended, and so do we.
    sms_id = next(i for i, (channel, *_) in known.items() if channel == "sms")
    question = "SELECT state::text FROM delivery WHERE alert_id = $1 AND endpoint_id = $2"

    async def failed() -> bool:
        return bool(await city.value(question, alert.alert_id, sms_id) == "failed")

    await eventually(failed, 30, "the receipt joined")


async def test_an_update_takes_the_place_of_what_it_updates_on_the_phone(city: Service) -> None:
    first = await ward(city, "bản đầu", channels=["push"])
    alert = await city.broadcast(first)
    await city.settled(alert.alert_id)
    second = await ward(city, "bản cập nhật", channels=["push"])
    update = await city.broadcast(second, kind="update", predecessor_id=alert.alert_id)
    await city.settled(update.alert_id)
    assert (update.root_id, update.sequence) == (alert.alert_id, 2)
    addresses = {m.address for m in city.received(update, second)["push"]}
    assert addresses == {m.address for m in city.received(alert, first)["push"]} != set()
    with closing(fcm_store.connect(city.lab.directory)) as fcm:
        for address in addresses:
            shown = [n for n in phones.screen(fcm, address, now()) if n.tag == str(alert.root_id)]
            assert [(n.sequence, n.data["code"]) for n in shown] == [(2, update.code)]


# One alert's trouble is not another's


async def test_an_alert_that_cannot_be_started_holds_up_no_other(city: Service) -> None:
    broken = await city.submit(await city.write(await ward(city, "bản chụp hỏng")))
    clock = city.supervisor.pid("clock")
    assert clock
    os.kill(clock, signal.SIGSTOP)
    try:
        await city.approve(broken)
        async with city.pool.acquire() as conn, conn.transaction():
            await conn.execute("SET LOCAL session_replication_role = replica")
            await conn.execute(
                "UPDATE alert_snapshot SET canonical = canonical || '\\x20' WHERE alert_id = $1",
                broken.alert_id,
            )
    finally:
        os.kill(clock, signal.SIGCONT)
    content = await ward(city, "tin đi sau", channels=["push"])
    alert = await city.broadcast(content)
    await city.settled(alert.alert_id)
    assert city.received(alert, content)["push"]
    assert await city.state(broken.alert_id) == "approved"
    assert await city.states(broken.alert_id) == {}
    async with city.pool.acquire() as conn:
        await lifecycle.stop(conn, await city.actor("tuan"), now(), broken.alert_id, "hỏng")


async def test_any_number_of_alerts_scheduled_for_later_holds_up_no_other(city: Service) -> None:
    later = await city.broadcast(await for_later(city, "chờ giờ"))
    await city.rows(
        "INSERT INTO outbox (topic, subject_id, created_at)"
        " SELECT 'start', $1, now() FROM generate_series(1, 150)",
        later.alert_id,
    )
    content = await ward(city, "tin gấp", channels=["push"])
    alert = await city.broadcast(content)
    await city.settled(alert.alert_id)
    assert city.received(alert, content)["push"]
    assert await city.state(later.alert_id) == "scheduled"


# Languages, and the duty


@pytest.mark.parametrize("written", ["vi", "en"])
async def test_who_has_no_wording_of_their_own_reads_the_one_there_is(
    city: Service, written: str
) -> None:
    content = await everywhere(
        city, f"một thứ tiếng {written}", channels=["push"], languages=[written]
    )
    only = content.model_copy(update={"wording": {written: content.wording[written]}})  # type: ignore[index]
    alert = await city.broadcast(only)
    await city.settled(alert.alert_id)
    received = city.received(alert, only)["push"]
    readers = await city.rows(
        "SELECT lang::text, count(*) FROM delivery WHERE alert_id = $1 GROUP BY 1", alert.alert_id
    )
    assert {row["lang"] for row in readers} == {"vi", "en"}
    assert len(received) == sum(row["count"] for row in readers)
    assert {m.text for m in received} == {only.wording[written].push.body}  # type: ignore[index]


async def test_the_first_hand_off_is_the_notice_that_discharges_the_duty(city: Service) -> None:
    async with city.pool.acquire() as conn:
        overdue = [d for d in await duty_table(conn, now()) if d.status is Status.OVERDUE]
        unit = overdue[0]
        content = warning(await area_of(conn, unit.code), "nghĩa vụ", channels=["push"])
    alert = await city.submit(await city.write(content, unit_id=unit.unit_id))

    async def duty() -> Any:
        async with city.pool.acquire() as conn:
            return await duty_of(conn, unit.unit_id, now())

    assert (await duty()).status is Status.OVERDUE, "not discharged by asking"
    await city.approve(alert)
    await city.settled(alert.alert_id)

    async def discharged() -> bool:
        return (await duty()).status is Status.ON_TIME

    await eventually(discharged, 30, "the duty discharged")
    rows = await city.rows(
        "SELECT n.at, n.unit_id, a.first_handoff_at FROM notice n JOIN alert a USING (alert_id)"
        " WHERE alert_id = $1",
        alert.alert_id,
    )
    assert [(r["at"], r["unit_id"]) for r in rows] == [(rows[0]["first_handoff_at"], unit.unit_id)]
    first = min(m.at for m in city.received(alert, content)["push"])
    assert abs(rows[0]["at"].timestamp() - first) < 15
