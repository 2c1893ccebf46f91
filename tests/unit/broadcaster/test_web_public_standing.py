"""What everybody reads of an alert that something followed: nobody takes it for one in force."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from broadcaster.alerts import followup, lifecycle, wordings
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Pool
from broadcaster.settings import Settings
from broadcaster.states import AlertState
from broadcaster.web.console.followups import Act
from tests.unit.broadcaster.site import BA_DINH_AREA, Site, content, publish, running

VINTAGE = "2025-07-01"
WIDER = {"units": [*BA_DINH_AREA["units"], {"code": "00091", "vintage": VINTAGE}]}


@pytest.fixture
async def city(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with running(settings, pool) as opened:
        yield opened


async def page(city: Site, path: str) -> str:
    return await (await city.client.get(f"{path}?lang=en")).text()


async def listed(city: Site) -> dict[str, str]:
    """What the list says of each message: its code, and its line without tags."""
    lines = re.findall(r"<li data-standing.*?</li>", await page(city, "/alerts"), re.DOTALL)
    return {re.findall(r"HN-[0-9-]+", line)[0]: re.sub(r"<[^>]+>", " ", line) for line in lines}


async def followed(city: Site, kind: str, before: Alert, **changes: Any) -> Alert:
    city.later(minutes=10)
    return await publish(city, kind=kind, before=before, **changes)


async def test_an_all_clear_looks_like_none_of_the_alerts_in_force(city: Site) -> None:
    alert = await publish(city)
    assert 'class="hero hero-2"' in await page(city, f"/alerts/{alert.code}")
    clear = await followed(city, "all_clear", alert, event="all_clear")
    said = await page(city, f"/alerts/{clear.code}")
    assert 'class="hero hero-clear"' in said
    assert "in force" not in said.partition("<h1")[0].partition("<article")[2]
    over = await page(city, f"/alerts/{alert.code}")
    assert "hero-over hero-gone" in over
    assert "<del>" in over
    lines = await listed(city)
    assert "All clear" in lines[clear.code]
    assert "Warning" not in lines[clear.code]
    assert "ended by an all-clear" in lines[alert.code]
    assert "No alert is in force now." in await page(city, "/alerts")


@pytest.mark.parametrize(
    ("act", "word"),
    [(followup.cancel, "called off by its issuer"), (followup.correct, "sent in error")],
)
async def test_what_is_taken_back_is_struck_and_told_apart(city: Site, act: Act, word: str) -> None:
    words = wordings.with_prepared(parse(content(city.now)), "alert").to_json()
    alert = await publish(city, prepared=words["prepared"])
    city.later(minutes=10)
    async with city.pool.acquire() as conn:
        back = await act(conn, city.approver, city.now, alert.alert_id, "nhầm")
        await lifecycle.supersede(conn, city.now, back.alert_id)
        await lifecycle.move(conn, city.now, back.alert_id, AlertState.SENDING)
    old = await page(city, f"/alerts/{alert.code}")
    assert "What it told people to do: no longer holds" in old
    assert old.count("<del>") > 1
    new = await page(city, f"/alerts/{back.code}")
    assert "This is about an earlier message" in new
    assert f"/alerts/{alert.code}" in new
    assert "<del>" not in new
    lines = await listed(city)
    assert word in lines[alert.code]
    assert "Warning" not in lines[back.code].partition("Warning cancelled")[0]


async def test_who_an_update_leaves_out_finds_it_on_its_page(city: Site) -> None:
    alert = await publish(city, area=WIDER)
    same = await followed(city, "update", alert, area=WIDER)
    assert 'id="left"' not in await page(city, f"/alerts/{same.code}")
    less = await followed(city, "update", same)
    said = await page(city, f"/alerts/{less.code}")
    section = said.partition('id="left"')[2].partition("</section>")[0]
    assert "Phu Thuong" in section
    assert "Ba Dinh" not in section
    assert "not an all-clear" in section
    assert 'href="#left"' in said
