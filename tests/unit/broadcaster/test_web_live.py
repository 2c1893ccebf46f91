"""The list of alerts and the page of one: what ended it, honest words, nothing typed is lost."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import numpy as np
import pytest

from broadcaster.alerts import approval, followup, lifecycle, wordings
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Pool
from broadcaster.fanout import audience
from broadcaster.settings import Settings
from broadcaster.states import AlertState
from broadcaster.web.console.delivery import Delivery
from tests.unit.broadcaster import site
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site, publish


@pytest.fixture
async def city(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with site.running(settings, pool) as running:
        yield running


@pytest.fixture
async def author(city: Site) -> AsyncIterator[Desk]:
    async with Seat(city, "ha") as desk:
        yield await desk


async def _prepared(city: Site) -> Alert:
    words = wordings.with_prepared(parse(site.content(city.now)), "alert")
    return await publish(city, prepared=words.to_json()["prepared"])


async def test_the_list_marks_what_ended_an_alert_and_keeps_it_out_of_what_is_in_force(
    city: Site, author: Desk
) -> None:
    wrong, old = await _prepared(city), await publish(city)
    async with city.pool.acquire() as conn:
        back = await followup.correct(conn, city.approver, city.now, wrong.alert_id, "nhầm")
        await lifecycle.supersede(conn, city.now, back.alert_id)
        await lifecycle.move(conn, city.now, back.alert_id, AlertState.SENDING)
        await lifecycle.move(conn, city.now, back.alert_id, AlertState.SENT)
    new = await publish(city, kind="update", before=old)
    async with city.pool.acquire() as conn:
        await lifecycle.supersede(conn, city.now, new.alert_id)

    async def lines(show: str) -> dict[str, str]:
        page = await author.text(f"/console/alerts?show={show}&state={show}")
        found = re.findall(r'<ul class="rows">(.*?)</ul>\s*(?:<p|</section)', page, re.DOTALL)
        rows = re.split(r"<li(?= data-standing|>)", found[0]) if found else []
        return {re.findall(r"/console/alerts/(HN-[0-9-]+)", row)[0]: row for row in rows[1:]}

    assert list(await lines("live")) == [new.code]
    every = await lines("")
    assert list(await lines("over")) == [back.code, old.code, wrong.code]
    assert "gửi nhầm, theo" in every[wrong.code]
    assert f"/console/alerts/{back.code}" in every[wrong.code]
    assert "đã có tin thay:" in every[old.code]
    assert "Đính chính" in every[back.code]


COUNTS = dict.fromkeys(
    ("seen", "confirmed", "handed_off", "unknown", "failed", "expired", "stopped", "pending"), 0
)


@pytest.mark.parametrize(
    ("counts", "sending", "rest"),
    [
        ({"handed_off": 2, "seen": 1}, False, "all"),
        ({"handed_off": 2, "failed": 1}, False, "lost"),
        ({"handed_off": 2, "stopped": 1, "unknown": 1}, False, "lost"),
        ({"handed_off": 2, "unknown": 1}, False, "unknown"),
        ({"handed_off": 2, "unknown": 1}, True, "open"),
        ({"handed_off": 2, "failed": 1, "pending": 1}, True, "open"),
        ({"handed_off": 2, "pending": 1}, False, "open"),
        ({}, False, "open"),
    ],
)
def test_a_channel_is_done_only_when_everything_was_handed_off(
    counts: dict[str, int], sending: bool, rest: str
) -> None:
    assert Delivery(channel="sms", **(COUNTS | counts)).rest(sending) == rest


async def test_a_page_with_losses_says_nowhere_that_everything_was_handed_off(
    city: Site, author: Desk
) -> None:
    alert = await publish(city)
    async with city.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, handed_off, failed) VALUES ($1, 'sms', 3, 2)",
            alert.alert_id,
        )
        await lifecycle.move(conn, city.now, alert.alert_id, AlertState.SENT)
    page = await author.text(f"/console/alerts/{alert.code}")
    assert "Đã chuyển hết" not in page
    assert "chuyển hết lúc" not in page
    assert 'data-rest="lost"' in page
    assert "đã hết, 2 không tới" in page
    assert "Kết thúc gửi" in page


async def test_what_quiet_hours_hold_back_is_said_with_their_end(city: Site, author: Desk) -> None:
    alert = await publish(city, **{"class": "information"})
    async with city.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, handed_off, pending)"
            " VALUES ($1, 'push', 3, 2)",
            alert.alert_id,
        )
    held, address = "giờ yên tĩnh giữ lại đến", f"/console/alerts/{alert.code}"
    page = await author.text(address)
    assert "06:00" in page[page.index(held) :][:80]
    city.later(hours=3)
    assert held not in await author.text(address)


async def test_a_stop_that_comes_too_late_keeps_the_reason_and_offers_to_call_off(
    city: Site, author: Desk
) -> None:
    alert = await _prepared(city)
    async with city.pool.acquire() as conn:
        await lifecycle.move(conn, city.now, alert.alert_id, AlertState.SENT)
    answer = await author.post(
        f"/console/alerts/{alert.code}/stop", reason="sai khu vực", then="only"
    )
    page = await answer.text()
    assert answer.status == 409
    assert "không có gì để dừng" in page
    assert 'href="#cancel"' in page
    form = page.partition('id="cancel"')[2].partition("</form>")[0]
    assert "sai khu vực" in form
    refused = await author.post(f"/console/alerts/{alert.code}/cancel", reason="sai khu vực")
    assert refused.status == 422
    assert "sai khu vực</textarea>" in await refused.text()


async def test_a_stop_beaten_by_an_update_leads_to_it(city: Site, author: Desk) -> None:
    old = await publish(city)
    async with city.pool.acquire() as conn:
        await lifecycle.move(conn, city.now, old.alert_id, AlertState.SENT)
    new = await publish(city, kind="update", before=old)
    answer = await author.post(f"/console/alerts/{old.code}/stop", reason="sai", then="tell")
    page = await answer.text()
    assert answer.status == 409
    assert f"Mở {new.code}" in page


async def test_sent_in_error_is_reached_from_the_top_while_it_can_be_said(
    city: Site, author: Desk
) -> None:
    alert = await _prepared(city)
    page = await author.text(f"/console/alerts/{alert.code}")
    head = page.partition('id="progress"')[0]
    assert 'href="#correct"' in head
    assert 'id="correct"' in page
    plain = await publish(city)
    assert 'href="#correct"' not in await author.text(f"/console/alerts/{plain.code}")


async def test_the_page_of_an_update_counts_whom_it_added_kept_and_left_out(
    city: Site, author: Desk
) -> None:
    old = await publish(city)
    new = await publish(city, kind="update", before=old)
    async with city.pool.acquire() as conn:
        for alert, people in ((old, [1, 2, 3, 4]), (new, [3, 4, 5])):
            approved = await lifecycle.snapshot(conn, alert.alert_id)
            ids = np.array(people, dtype=np.uint32)
            packed = audience.pack(approved.content_hash, ids)
            await audience.freeze(conn, city.now, alert.alert_id, packed)
    page = await author.text(f"/console/alerts/{new.code}")
    shown = dict(re.findall(r'data-difference="(\w+)">(\d+)', page))
    assert shown == {"added": "1", "kept": "2", "left": "0"}
    assert "data-difference" not in await author.text(f"/console/alerts/{old.code}")


async def test_the_button_that_approves_an_update_counts_those_it_leaves_out(city: Site) -> None:
    old = await publish(city)
    async with city.pool.acquire() as conn:
        approved = await lifecycle.snapshot(conn, old.alert_id)
        ids = np.array([1, 900, 901], dtype=np.uint32)
        await audience.freeze(
            conn, city.now, old.alert_id, audience.pack(approved.content_hash, ids)
        )
        new = await site.written(city, conn, kind="update", before=old)
        await approval.submit(conn, city.author, city.now, new.alert_id, new.version)
    async with Seat(city, "tuan") as coming:
        page = await (await coming).text(f"/console/alerts/{new.code}/review")
    button = page.partition('id="approve"')[2].partition("</button>")[0]
    assert "tới 1 người, và báo 2 người ra khỏi vùng" in button
