"""The life of an alert with real workers: who may move it, and what then leaves or does not."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from broadcaster.alerts import approval, draft, lifecycle
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.cadence.duty import duty_of, duty_table
from broadcaster.cadence.rules import Status
from broadcaster.errors import Conflict, NotAllowed, Refused
from channels.lab import fcm_store, phones, smsc_store
from tests.builders import CHANNELS, Service, area_of, eventually, now, unit_of, warning

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

WARD = "00091"
SLOW = {"push": 1_900.0, "sms": 400.0, "email": 900.0}
"""Milliseconds a carrier takes, so that 2,000 people take many seconds."""


async def _ward(city: Service, where: str, **changes: Any) -> Content:
    async with city.pool.acquire() as conn:
        return warning(await area_of(conn, WARD), where, **changes)


async def _everywhere(city: Service, where: str, **changes: Any) -> Content:
    async with city.pool.acquire() as conn:
        return warning(await area_of(conn, "01"), where, **changes)


async def _for_later(city: Service, where: str) -> Content:
    return await _ward(city, where, scheduled_for=(now() + timedelta(hours=2)).isoformat())


async def _of_ward(city: Service) -> int:
    async with city.pool.acquire() as conn:
        return await unit_of(conn, WARD)


@asynccontextmanager
async def _slow_carriers(city: Service) -> AsyncIterator[None]:
    for channel, delay in SLOW.items():
        await city.configure(channel, delay_ms=delay)
    try:
        yield
    finally:
        for channel in SLOW:
            await city.configure(channel, delay_ms=0)


async def _mid_way(city: Service, alert: Alert) -> None:
    async def some_of_each() -> bool:
        counts = [await city.handed_off(alert.alert_id, channel) for channel in CHANNELS]
        return min(counts) > 0

    await eventually(some_of_each, 20, "hand-offs on every channel")


async def _audited(city: Service, alert: Alert) -> list[str]:
    rows = await city.rows(
        "SELECT action FROM audit WHERE subject = 'alert' AND subject_id = $1 ORDER BY audit_id",
        alert.alert_id,
    )
    return [row["action"].removeprefix("alert.") for row in rows]


# Four eyes


async def test_who_wrote_or_submitted_an_alert_cannot_approve_it(city: Service) -> None:
    content = await _for_later(city, "bốn mắt")
    own = await city.submit(await city.write(content, author="tuan"), author="tuan")
    with pytest.raises(NotAllowed) as refused:
        await city.approve(own, approver="tuan")
    assert refused.value.code == "four_eyes"

    handed_in = await city.submit(await city.write(content, author="ha"), author="tuan")
    with pytest.raises(NotAllowed) as refused:
        await city.approve(handed_in, approver="tuan")
    assert refused.value.code == "four_eyes"
    assert await city.state(own.alert_id) == "submitted"
    assert await city.state(handed_in.alert_id) == "submitted"


async def test_the_database_itself_refuses_one_pair_of_eyes(city: Service) -> None:
    alert = await city.submit(await city.write(await _for_later(city, "bốn mắt SQL")))
    tuan = (await city.actor("tuan")).official_id
    for column in ("author_id", "submitted_by"):
        with pytest.raises(asyncpg.CheckViolationError, match="four_eyes"):
            await city.value(
                "UPDATE alert SET state = 'approved', approved_at = now(), approved_version ="
                f" version, {column} = $2, approved_by = $2 WHERE alert_id = $1",
                alert.alert_id, tuan,
            )  # fmt: skip
    assert await city.state(alert.alert_id) == "submitted"


async def test_who_edited_the_words_cannot_approve_them(city: Service) -> None:
    alert = await city.write(await _for_later(city, "bốn mắt"))
    tuan = await city.actor("tuan")
    edited = await _for_later(city, "bốn mắt, sửa bởi người duyệt")
    async with city.pool.acquire() as conn:
        await draft.save(conn, tuan, now(), alert.alert_id, alert.version, edited)
    submitted = await city.submit(alert)
    with pytest.raises(NotAllowed) as refused:
        await city.approve(submitted, approver="tuan")
    assert refused.value.code == "four_eyes"
    with pytest.raises(asyncpg.CheckViolationError, match="one of its writers"):
        await city.value(
            "UPDATE alert SET state = 'approved', approved_at = now(), approved_version = version,"
            " approved_by = $2 WHERE alert_id = $1",
            alert.alert_id, tuan.official_id,
        )  # fmt: skip
    assert await city.state(alert.alert_id) == "submitted"


async def test_a_role_does_not_reach_beyond_its_subtree(city: Service) -> None:
    alert = await city.submit(await city.write(await _for_later(city, "ngoài địa bàn")))
    with pytest.raises(Refused):
        await city.approve(alert, approver="lan")
    assert await city.state(alert.alert_id) == "submitted"


async def test_two_decide_at_once_and_exactly_one_wins(city: Service) -> None:
    unit_id = await _of_ward(city)
    for turn in range(4):
        content = await _for_later(city, f"tranh duyệt {turn}")
        alert = await city.submit(await city.write(content, unit_id=unit_id))
        decided = await asyncio.gather(
            *(city.approve(alert, approver=login) for login in ("tuan", "mai", "lan")),
            return_exceptions=True,
        )
        won = [done for done in decided if isinstance(done, Alert)]
        lost = [done for done in decided if isinstance(done, Conflict)]
        assert (len(won), len(lost)) == (1, 2), decided
        for table, column in (("alert_snapshot", "alert_id"), ("outbox", "subject_id")):
            count = f"SELECT count(*) FROM {table} WHERE {column} = $1"
            assert await city.value(count, alert.alert_id) == 1
        assert (await _audited(city, alert)).count("approved") == 1


# Sent back, refused, edited


async def test_sent_back_with_a_reason_and_mended(city: Service) -> None:
    alert = await city.submit(await city.write(await _for_later(city, "trả lại")))
    tuan, ha = await city.actor("tuan"), await city.actor("ha")
    async with city.pool.acquire() as conn:
        with pytest.raises(Refused) as refused:
            await approval.send_back(conn, tuan, now(), alert.alert_id, alert.version, "  ")
        assert refused.value.code == "reason_missing"
        back = await approval.send_back(
            conn, tuan, now(), alert.alert_id, alert.version, "Thiếu giờ đóng cửa đập"
        )
        assert (back.state, back.ended_reason) == ("returned", "Thiếu giờ đóng cửa đập")
        mended = await _for_later(city, "trả lại, đã sửa")
        version = await draft.save(conn, ha, now(), alert.alert_id, alert.version, mended)
    again = await city.submit(back)
    assert again.version == version == 2
    await city.approve(again)
    assert await _audited(city, alert) == [
        "created", "submitted", "returned", "edited", "submitted", "approved"
    ]  # fmt: skip


async def test_rejected_is_for_good(city: Service) -> None:
    alert = await city.submit(await city.write(await _for_later(city, "từ chối")))
    tuan, ha = await city.actor("tuan"), await city.actor("ha")
    async with city.pool.acquire() as conn:
        await approval.reject(conn, tuan, now(), alert.alert_id, alert.version, "Trùng tin 14")
        content = await _for_later(city, "từ chối, sửa")
        with pytest.raises(Conflict):
            await draft.save(conn, ha, now(), alert.alert_id, alert.version, content)
        with pytest.raises(Conflict):
            await approval.approve(conn, tuan, now(), alert.alert_id, alert.version)
        assert (await draft.find(conn, alert.alert_id)).ended_reason == "Trùng tin 14"


async def test_an_edit_voids_submission_approval_and_checks(city: Service) -> None:
    alert = await city.broadcast(await _for_later(city, "sửa sau duyệt"))
    ha, tuan = await city.actor("ha"), await city.actor("tuan")
    async with city.pool.acquire() as conn:
        content = await _for_later(city, "sửa sau duyệt, bản hai")
        version = await draft.save(conn, ha, now(), alert.alert_id, alert.version, content)
        found = await draft.find(conn, alert.alert_id)
        assert (found.state, found.approved_by, found.submitted_by) == ("draft", None, None)
        with pytest.raises(Conflict):
            await approval.approve(conn, tuan, now(), alert.alert_id, alert.version)
        with pytest.raises(Refused) as refused:
            await approval.submit(conn, ha, now(), alert.alert_id, version)
        assert refused.value.code == "not_checked"
        with pytest.raises(LookupError):
            await lifecycle.snapshot(conn, alert.alert_id)


async def test_what_was_approved_never_changes(city: Service) -> None:
    alert = await city.broadcast(await _for_later(city, "bất biến"))
    for change in (
        "UPDATE alert_snapshot SET canonical = 'x' WHERE alert_id = $1",
        "DELETE FROM alert_snapshot WHERE alert_id = $1",
        "UPDATE audit SET action = 'x' WHERE subject = 'alert' AND subject_id = $1",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await city.value(change, alert.alert_id)


@pytest.mark.parametrize("status", ["Exercise", "Test", "System", "Draft"])
async def test_nothing_but_an_actual_alert_can_be_approved_or_sent(
    city: Service, status: str
) -> None:
    alert = await city.submit(await city.write(await _ward(city, f"thử {status}")))
    set_status = "UPDATE alert SET status = $2 WHERE alert_id = $1"
    await city.value(set_status, alert.alert_id, status)
    with pytest.raises(asyncpg.CheckViolationError, match="only_actual_leaves"):
        await city.approve(alert)
    for state in ("approved", "scheduled", "sending", "sent"):
        with pytest.raises(asyncpg.CheckViolationError, match="only_actual_leaves"):
            await city.value(
                "UPDATE alert SET state = $2::alert_state, approved_by = $3, approved_at = now(),"
                " approved_version = version WHERE alert_id = $1",
                alert.alert_id, state, (await city.actor("tuan")).official_id,
            )  # fmt: skip
    orders = "SELECT count(*) FROM outbox WHERE subject_id = $1"
    assert await city.value(orders, alert.alert_id) == 0


# Time


async def test_a_scheduled_alert_starts_at_its_time(city: Service) -> None:
    at = now() + timedelta(seconds=4)
    content = await _ward(city, "hẹn giờ", scheduled_for=at.isoformat())
    alert = await city.broadcast(content)

    async def scheduled() -> bool:
        return await city.state(alert.alert_id) == "scheduled"

    await eventually(scheduled, 3, "scheduled")
    await city.settled(alert.alert_id, timeout=20)
    arrived = [m.at for some in city.received(alert, content).values() for m in some]
    assert arrived
    assert at.timestamp() <= min(arrived) <= at.timestamp() + 3


async def test_what_ends_before_it_could_start_is_never_sent(city: Service) -> None:
    clock = city.supervisor.pid("clock")
    assert clock
    os.kill(clock, signal.SIGSTOP)
    try:
        content = await _ward(city, "hết hạn sớm", lasts=timedelta(seconds=3))
        alert = await city.broadcast(content)
        await asyncio.sleep(3.2)
    finally:
        os.kill(clock, signal.SIGCONT)

    async def expired() -> bool:
        return await city.state(alert.alert_id) == "expired"

    await eventually(expired, 5, "expired")
    started = "SELECT started_at FROM alert WHERE alert_id = $1"
    assert await city.value(started, alert.alert_id) is None
    assert await city.states(alert.alert_id) == {}
    assert city.received(alert, content) == {"push": [], "sms": [], "email": []}


async def test_an_alert_that_ends_mid_way_is_handed_off_no_more(city: Service) -> None:
    async with _slow_carriers(city):
        content = await _everywhere(city, "hết hạn giữa chừng", lasts=timedelta(seconds=6))
        alert = await city.broadcast(content)
        await _mid_way(city, alert)
        await city.settled(alert.alert_id, timeout=30)
    assert await city.state(alert.alert_id) == "expired"
    assert content.expires is not None
    await _nothing_left_after(city, alert, content, content.expires, "expired")


async def test_a_stop_ends_the_hand_off_within_a_second(city: Service) -> None:
    async with _slow_carriers(city):
        content = await _everywhere(city, "dừng phát")
        alert = await city.broadcast(content)
        await _mid_way(city, alert)
        async with city.pool.acquire() as conn:
            await lifecycle.stop(
                conn, await city.actor("tuan"), now(), alert.alert_id, "Phát nhầm địa bàn"
            )
        stopped = now()
        await city.settled(alert.alert_id, timeout=20)
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
    assert late < 1.0
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
        await asyncio.sleep(0.25)
        before = len(smsc_store.messages(smsc, handset))
        content = await _ward(city, "tắt máy", lasts=timedelta(seconds=7))
        alert = await city.broadcast(content)
        await city.settled(alert.alert_id, timeout=20)
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

    await eventually(failed, 5, "the receipt joined")


async def test_an_update_takes_the_place_of_what_it_updates_on_the_phone(city: Service) -> None:
    first = await _ward(city, "bản đầu", channels=["push"])
    alert = await city.broadcast(first)
    await city.settled(alert.alert_id)
    second = await _ward(city, "bản cập nhật", channels=["push"])
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
    broken = await city.submit(await city.write(await _ward(city, "bản chụp hỏng")))
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
    content = await _ward(city, "tin đi sau", channels=["push"])
    alert = await city.broadcast(content)
    await city.settled(alert.alert_id, timeout=10)
    assert city.received(alert, content)["push"]
    assert await city.state(broken.alert_id) == "approved"
    assert await city.states(broken.alert_id) == {}
    async with city.pool.acquire() as conn:
        await lifecycle.stop(conn, await city.actor("tuan"), now(), broken.alert_id, "hỏng")


async def test_any_number_of_alerts_scheduled_for_later_holds_up_no_other(city: Service) -> None:
    later = await city.broadcast(await _for_later(city, "chờ giờ"))
    await city.rows(
        "INSERT INTO outbox (topic, subject_id, created_at)"
        " SELECT 'start', $1, now() FROM generate_series(1, 150)",
        later.alert_id,
    )
    content = await _ward(city, "tin gấp", channels=["push"])
    alert = await city.broadcast(content)
    await city.settled(alert.alert_id, timeout=10)
    assert city.received(alert, content)["push"]
    assert await city.state(later.alert_id) == "scheduled"


# Languages, and the duty


@pytest.mark.parametrize("written", ["vi", "en"])
async def test_who_has_no_wording_of_their_own_reads_the_one_there_is(
    city: Service, written: str
) -> None:
    content = await _everywhere(
        city, f"một thứ tiếng {written}", channels=["push"], languages=[written]
    )
    only = content.model_copy(update={"wording": {written: content.wording[written]}})  # type: ignore[index]
    alert = await city.broadcast(only)
    await city.settled(alert.alert_id, timeout=30)
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

    await eventually(discharged, 5, "the duty discharged")
    rows = await city.rows(
        "SELECT n.at, n.unit_id, a.first_handoff_at FROM notice n JOIN alert a USING (alert_id)"
        " WHERE alert_id = $1",
        alert.alert_id,
    )
    assert [(r["at"], r["unit_id"]) for r in rows] == [(rows[0]["first_handoff_at"], unit.unit_id)]
    first = min(m.at for m in city.received(alert, content)["push"])
    assert abs(rows[0]["at"].timestamp() - first) < 2
    assert time.time() - first < 60
