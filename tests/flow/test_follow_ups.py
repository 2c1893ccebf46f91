"""What follows an alert, with real workers: who gets which words, counted at the lab's carriers."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import Any

import pytest

from broadcaster.alerts import draft, followup, wordings
from broadcaster.alerts.content import Content, Words
from broadcaster.alerts.draft import Alert
from channels.lab import fcm_store, phones
from tests.builders import CHANNELS, Service, area_of, eventually, now, warning
from tests.flow.scenes import slow_carriers

pytestmark = pytest.mark.asyncio(loop_scope="package")

SLOW = {"push": 700.0, "sms": 400.0, "email": 250.0}
CITY = ("01",)


async def _written(city: Service, title: str, *codes: str, **changes: Any) -> Content:
    """A warning whose title, which every follow-up quotes, is its own."""
    async with city.pool.acquire() as conn:
        made = warning(await area_of(conn, *codes), title, **changes)
    words = {
        lang: said.model_copy(update={"push": said.push.model_copy(update={"title": title})})
        for lang, said in made.wording.items()
    }
    return wordings.with_prepared(made.model_copy(update={"wording": words}), "alert")


async def _wards(city: Service) -> list[str]:
    """The wards with the most people, so that each has several on every channel."""
    rows = await city.rows(
        "SELECT u.code FROM person_place p JOIN unit u USING (unit_id) WHERE u.valid_to IS NULL"
        " GROUP BY u.code ORDER BY count(*) DESC LIMIT 6"
    )
    return [row["code"] for row in rows]


def _arrived(city: Service, alert: Alert, content: Content, words: Words) -> dict[str, set[str]]:
    """Addresses that got these words of an alert, by channel, each at most once."""
    found = {}
    got = city.received(alert, content.model_copy(update={"wording": words}))
    titles = {w.push.title + w.push.body for w in words.values()}
    subjects = {w.email.subject for w in words.values()}
    for channel, messages in got.items():
        ours = [
            m.address
            for m in messages
            if channel == "sms"
            or (channel == "push" and m.title + m.text in titles)
            or (channel == "email" and m.title in subjects)
        ]
        assert len(ours) == len(set(ours)), "somebody got the same words twice"
        found[channel] = set(ours)
    return found


async def _covered(city: Service, area: dict[str, Any]) -> dict[str, set[str]]:
    """Addresses of everybody an area covers, asked of the database and not of the fan-out."""
    async with city.pool.acquire() as conn:
        people = await city.selector.select(conn, now(), area)
        rows = await conn.fetch(
            "SELECT DISTINCT e.endpoint_id FROM person_endpoint l JOIN endpoint e"
            " USING (endpoint_id) WHERE l.person_id = ANY($1) AND e.state = 'active'",
            people.tolist(),
        )
    found: dict[str, set[str]] = {channel: set() for channel in CHANNELS}
    for channel, address, _ in (await city.addresses([row[0] for row in rows])).values():
        found[channel].add(address)
    return found


async def _updated(city: Service, before: Alert, title: str, *codes: str) -> tuple[Alert, Content]:
    """An update with its own title and area, approved and settled."""
    actor = await city.actor("ha")
    async with city.pool.acquire() as conn:
        made = await followup.update(conn, actor, now(), before.alert_id)
        earlier = (await draft.load(conn, actor, before.alert_id)).content
    content = wordings.with_difference(await _written(city, title, *codes), earlier)
    async with city.pool.acquire() as conn:
        await draft.save(conn, actor, now(), made.alert_id, 1, content)
    await city.approve(await city.submit(made))
    await city.settled(made.alert_id)
    return made, content


async def test_an_update_goes_out_as_a_difference(city: Service) -> None:
    wards = await _wards(city)
    content = await _written(city, "Bản một khác biệt", *wards[:4])
    first = await city.broadcast(content)
    await city.settled(first.alert_id)
    was_told = _arrived(city, first, content, content.wording)
    update, changed = await _updated(city, first, "Bản hai khác biệt", *wards[2:])
    covered = await _covered(city, changed.area)
    whole = _arrived(city, update, changed, changed.wording)
    short = _arrived(city, update, changed, changed.update_wording)
    left = _arrived(city, update, changed, changed.left_wording)
    for channel in CHANNELS:
        assert short[channel] == covered[channel] & was_told[channel] != set()
        assert whole[channel] == covered[channel] - was_told[channel] != set()
        assert left[channel] == was_told[channel] - covered[channel] != set()


async def test_two_updates_in_a_row_and_the_phone_shows_the_newest_alone(city: Service) -> None:
    wards = await _wards(city)
    content = await _written(city, "Chuỗi một", *wards[:2], channels=["push"])
    first = await city.broadcast(content)
    await city.settled(first.alert_id)
    second, out = await _updated(city, first, "Chuỗi hai", wards[0])
    left = _arrived(city, second, out, out.left_wording)["push"]
    third, back = await _updated(city, second, "Chuỗi ba", *wards[:2])
    # Who was told that they are out, and is in again, gets the whole of it.
    assert left <= _arrived(city, third, back, back.wording)["push"]
    assert left != set()
    everybody = _arrived(city, first, content, content.wording)["push"]
    with closing(fcm_store.connect(city.lab.directory)) as fcm:
        for address in everybody:
            shown = [n for n in phones.screen(fcm, address, now()) if n.tag == str(first.alert_id)]
            assert [(n.sequence, n.data["code"]) for n in shown] == [(3, third.code)]


async def test_a_correction_while_sending_reaches_exactly_whom_the_alert_reached(
    city: Service,
) -> None:
    content = await _written(city, "Gửi nhầm khi đang phát", *CITY)
    async with slow_carriers(city, SLOW):
        alert = await city.broadcast(content)

        async def under_way() -> bool:
            return await city.handed_off(alert.alert_id) > 50

        await eventually(under_way, 30, "some are reached")
        actor = await city.actor("tuan")
        async with city.pool.acquire() as conn:
            made = await followup.correct(conn, actor, now(), alert.alert_id, "nhầm")
        await city.waker.wake("start")
    await city.settled(made.alert_id)
    await city.settled(alert.alert_id)
    words = content.prepared.correction
    for channel in CHANNELS:
        told = _arrived(city, alert, content, content.wording)[channel]
        assert _arrived(city, made, content, words)[channel] == told
    states = await city.states(alert.alert_id)
    assert sum(found.get("stopped", 0) for found in states.values()) > 100
    assert (made.lane, await city.state(alert.alert_id)) == (0, "stopped")


async def test_a_cancel_reaches_those_too_whose_worker_died_with_them_in_hand(
    city: Service,
) -> None:
    content = await _written(city, "Hủy sau khi máy chết", *CITY)
    async with slow_carriers(city, SLOW):
        alert = await city.broadcast(content)

        async def under_way() -> bool:
            return await city.handed_off(alert.alert_id) > 50

        await eventually(under_way, 30, "some are reached")
        pid = city.supervisor.pid("send")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        actor = await city.actor("ha")
        async with city.pool.acquire() as conn:
            made = await followup.cancel(conn, actor, now(), alert.alert_id, "nhầm vùng")
    await city.running("send", other_than=pid)
    await city.settled(made.alert_id)
    states = await city.states(alert.alert_id)
    assert sum(found.get("unknown", 0) for found in states.values()) > 0
    for channel in CHANNELS:
        told = {m.address for m in city.received(alert, content)[channel]}
        called_off = _arrived(city, made, content, content.prepared.cancel)[channel]
        assert told <= called_off
        possible = states[channel]
        assert len(called_off) == sum(
            possible.get(state, 0) for state in ("handed_off", "confirmed", "seen", "unknown")
        )
