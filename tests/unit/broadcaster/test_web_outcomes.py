"""Outcomes on the screens: words that never call one state the other, causes, alarms, replay."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import ClientResponse

from broadcaster.db import Pool
from broadcaster.fanout import alarms, letters, providers
from broadcaster.fanout.alarms import What
from broadcaster.people import sessions
from broadcaster.people.endpoints import Address, ensure_active
from broadcaster.people.officials import Role
from broadcaster.settings import Settings
from broadcaster.web.security import SESSION_COOKIE
from tests.unit.broadcaster.city import alert, delivered, official
from tests.unit.broadcaster.sending import frozen
from tests.unit.broadcaster.site import NOW, Site, publish, running

SECRET_NUMBER = "+84912345678"


@pytest.fixture
async def site(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with running(settings, pool) as opened:
        yield opened


async def _signed_in(site: Site, *roles: Role, login: str = "operator") -> dict[str, str]:
    async with site.pool.acquire() as conn:
        city = await conn.fetchval("SELECT unit_id FROM unit WHERE parent_id IS NULL LIMIT 1")
        actor = await official(conn, login, *(roles or (Role("admin", city),)))
        opened = await sessions.open_session(conn, site.keyring, actor, NOW)
    return {"Cookie": f"{SESSION_COOKIE}={opened.token}", "X-CSRF-Token": opened.csrf}


async def _failed(site: Site, reason: str = "UNDELIV err:027") -> str:
    """An alert in force with one SMS that failed; returns its code."""
    alert = await publish(site)
    async with site.pool.acquire() as conn:
        address = Address("sms", SECRET_NUMBER)
        found = await ensure_active(conn, site.keyring, NOW, [address])
        await delivered(conn, alert.alert_id, found[address], "sms", "failed")
        await conn.execute("UPDATE delivery SET reason = $1", reason)
        await conn.execute("DELETE FROM progress")
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, failed, handed_off, confirmed, seen, unknown,"
            " expired, stopped, pending) VALUES ($1, 'sms', 1, 12, 3, 4, 5, 6, 7, 8)",
            alert.alert_id,
        )
        if not await conn.fetchval("SELECT count(*) FROM audience"):
            await frozen(conn, alert.alert_id)
        await letters.book(conn, NOW, alert.alert_id, [found[address]])
    return alert.code


async def _read(answer: ClientResponse) -> str:
    assert answer.status == 200, await answer.text()
    return await answer.text()


async def test_the_live_page_names_every_state_by_its_own_word_and_says_what_it_means(
    site: Site,
) -> None:
    code = await _failed(site)
    who = await _signed_in(site)
    text = await _read(await site.client.get(f"/console/alerts/{code}", headers=who))
    found = dict(re.findall(r'data-state="(\w+)">.*?</svg>([^<]+?) <b', text))
    assert list(found) == [
        "seen", "confirmed", "handed_off", "unknown", "failed", "expired", "stopped", "pending",
    ]  # fmt: skip
    assert len(set(found.values())) == len(found), "two states have one word"
    meanings = re.findall(r"</dt><dd>([^<]+)</dd></div>", text)
    assert len(set(meanings)) == len(meanings) == len(found)
    assert "Chưa phải là đã tới máy" in text
    assert "Đếm theo tin, không theo người" in text
    assert f"/console/dead-letters?alert={code}&amp;channel=sms" in text


async def test_a_resting_provider_is_shown_with_its_cause_and_its_return(site: Site) -> None:
    code = await _failed(site)
    who = await _signed_in(site)
    await site.pool.execute(
        "INSERT INTO provider (channel, name, account, configured_at, paused_until, paused_reason)"
        " VALUES ('sms', 'smpp', 'mot', $2, $1, '0x0000000e'), ('push', 'fcm', 'x', $2, $1, 'y')",
        NOW + timedelta(seconds=30),
        NOW,
    )
    text = await _read(await site.client.get(f"/console/alerts/{code}", headers=who))
    [note] = re.findall(r'data-cause="paused">(.*?)</p>', text)
    for part in ("smpp mot", "<code>0x0000000e</code>", "03:17:30", "không mất tin nào"):
        assert part in note
    await site.pool.execute(
        "INSERT INTO provider (channel, name, account, configured_at)"
        " VALUES ('sms', 'smpp', 'hai', $1)",
        NOW,
    )
    text = await _read(await site.client.get(f"/console/alerts/{code}", headers=who))
    assert "vẫn gửi tiếp" in text


async def test_alarms_stand_on_every_screen_until_they_are_over(site: Site) -> None:
    who = await _signed_in(site)
    async with site.pool.acquire() as conn:
        await alarms.raise_(conn, NOW, What.WORKERS_MISSING, "send")
        await alarms.raise_(
            conn, NOW, What.PROVIDER_PAUSED, "provider:1", NOW + timedelta(seconds=30), reason="x<y"
        )
    text = await _read(await site.client.get("/console", headers=who))
    assert re.findall(r'data-alarm="(\w+)"', text) == ["workers_missing", "provider_paused"]
    assert "x&lt;y" in text
    site.later(seconds=31)
    async with site.pool.acquire() as conn:
        await alarms.clear(conn, NOW, What.WORKERS_MISSING, "send")
    assert "data-alarm" not in await _read(await site.client.get("/console", headers=who))


async def test_a_replay_of_nothing_leads_back_to_the_list_as_it_was(site: Site) -> None:
    code = await _failed(site)
    who = await _signed_in(site)
    answer = await site.client.post(
        "/console/dead-letters/replay", headers=who, allow_redirects=False,
        data={"chosen": "1", "until": site.now.isoformat(), "back_alert": code},
    )  # fmt: skip
    assert answer.status == 303
    assert answer.headers["Location"] == f"/console/dead-letters?alert={code}&chosen=0"
    text = await _read(await site.client.get(answer.headers["Location"], headers=who))
    assert "Chọn tin hoặc nhóm cần gửi lại" in text
    assert 'name="letter"' in text
    # Whoever builds a form of their own is told what is wrong with it, and nothing is sent.
    wrong = await site.client.post(
        "/console/dead-letters/replay", headers=who, data={"alert": code, "channel": "fax"}
    )
    assert wrong.status == 422
    async with site.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM dead_letter WHERE replays > 0") == 0


async def test_an_alarm_names_what_it_is_about(site: Site) -> None:
    who = await _signed_in(site)
    async with site.pool.acquire() as conn:
        alert_id = await alert(conn, site.author, 1, code="HN-2026-0909-001")
        one = await providers.register(conn, "sms", "viettel", "hcdc@smsc.example")
        for what, subject in (
            (What.PROVIDER_PAUSED, f"provider:{one}"),
            (What.CHANNEL_DOWN, "sms"),
            (What.QUEUE_OLD, "email:routine"),
            (What.DEAD_LETTERS, f"alert:{alert_id}:push"),
            (What.NOT_PACKED, f"alert:{alert_id}"),
        ):
            await alarms.raise_(conn, NOW, what, subject)
    text = await _read(await site.client.get("/console", headers=who))
    said = re.findall(r'<li data-alarm="\w+">(.*?)</li>', text)
    named = [re.sub(r"<[^>]+>", "", one) for one in said]
    for words, wanted in zip(
        named,
        ("viettel hcdc@smsc.example", "SMS", "Thư, tin thông tin", "HN-2026-0909-001 Tin đẩy",
         "HN-2026-0909-001"),
        strict=True,
    ):  # fmt: skip
        assert wanted in words
        assert not re.search(r"(provider|alert):\d", words)


@pytest.mark.parametrize(("lang", "said"), [("vi", "máy tắt"), ("en", "switched off")])
async def test_dead_letters_say_why_in_words_and_hide_the_address(
    site: Site, lang: str, said: str
) -> None:
    code = await _failed(site)
    who = await _signed_in(site)
    who["Cookie"] += f"; lang={lang}"
    text = await _read(await site.client.get(f"/console/dead-letters?alert={code}", headers=who))
    assert said in text
    assert "<code>UNDELIV err:027</code>" in text
    assert "…678" in text
    assert SECRET_NUMBER[3:] not in text
    none = await site.client.get("/console/dead-letters?channel=push", headers=who)
    assert "UNDELIV" not in await _read(none)
    wrong = await site.client.get("/console/dead-letters?channel=fax", headers=who)
    assert wrong.status == 422
    assert "fax" in await wrong.text()


async def test_the_file_is_one_a_spreadsheet_may_open(site: Site) -> None:
    code = await _failed(site, "=cmd|' /C calc'!A0")
    answer = await site.client.get("/console/dead-letters.csv", headers=await _signed_in(site))
    assert answer.content_type == "text/csv"
    text = (await answer.read()).decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(text))
    assert (row["alert"], row["address"], row["state"]) == (code, "…678", "failed")
    assert row["code"].startswith("'=")


async def test_a_group_is_sent_again_by_one_click_and_two_clicks_are_one(site: Site) -> None:
    code = await _failed(site)
    who = await _signed_in(site)
    text = await _read(await site.client.get("/console/dead-letters", headers=who))
    [form] = re.findall(r'<form class="letter-act".*?</form>', text, re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    for expected in (1, 0):
        answer = await site.client.post(
            "/console/dead-letters/replay", data=fields, headers=who, allow_redirects=False
        )
        assert answer.status == 303
        assert f"again={expected}" in answer.headers["Location"]
    state = await site.pool.fetchrow(
        "SELECT state::text, (SELECT state::text FROM alert) FROM delivery"
    )
    assert tuple(state or ()) == ("pending", "sending")
    assert await site.pool.fetchval("SELECT count(*) FROM batch WHERE state = 'ready'") == 1
    shown = await _read(await site.client.get(answer.headers["Location"], headers=who))
    assert 'role="status"' in shown
    assert code not in re.findall(r"<ul class=\"rows letters\".*?</ul>", shown, re.DOTALL)


async def test_who_may_not_send_again_is_not_offered_it(site: Site) -> None:
    await _failed(site)
    unit = await site.pool.fetchval("SELECT unit_id FROM alert")
    who = await _signed_in(site, Role("author", unit), login="writer")
    text = await _read(await site.client.get("/console/dead-letters", headers=who))
    assert "UNDELIV" in text
    assert "letter-act" not in text
    answer = await site.client.post("/console/dead-letters/replay", data={}, headers=who)
    assert answer.status == 403


async def test_programs_list_and_send_again(site: Site) -> None:
    code = await _failed(site)
    who = await _signed_in(site)
    answer = await site.client.get(f"/api/v1/dead-letters?alert={code}", headers=who)
    told = await answer.json()
    assert answer.status == 200, told
    [group], [letter] = told["groups"], told["letters"]
    assert (group["count"], group["usable"], group["family"]) == (1, 1, "not_reached")
    assert letter["address"] == "…678"
    assert letter["message"]["vi"] != letter["message"]["en"]
    asked = {"until": told["asked_at"], "letters": [letter["letter"]]}
    for again in (1, 0):
        answer = await site.client.post("/api/v1/dead-letters/replay", json=asked, headers=who)
        assert answer.status == 202
        assert await answer.json() == {"again": again, "left": 0}
    nothing = {"until": told["asked_at"]}
    answer = await site.client.post("/api/v1/dead-letters/replay", json=nothing, headers=who)
    assert (answer.status, (await answer.json())["code"]) == (422, "nothing_chosen")
    answer = await site.client.get("/api/v1/dead-letters?alert=HN-0", headers=who)
    assert answer.status == 404
