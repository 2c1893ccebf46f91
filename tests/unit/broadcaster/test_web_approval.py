"""Approving at the console and over the API: who may, with which code, and one's own account."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pyotp
import pytest

from broadcaster.alerts import approval, checks, draft, escalation
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.people import enrolment_codes
from broadcaster.people.officials import Role
from tests import factor
from tests.unit.broadcaster.city import NGOC_HA, PASSWORD, official, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import BA_DINH_AREA, Site, content, written


async def submitted(city: Site, **changes: object) -> Alert:
    async with city.pool.acquire() as conn:
        made = await written(city, conn, **{"class": "emergency"} | changes)
        return await approval.submit(conn, city.author, city.now, made.alert_id, made.version)


async def enrol(city: Site) -> list[str]:
    async with city.pool.acquire() as conn:
        return await factor.enrol(conn, city.keyring, city.approver, city.now)


async def state(city: Site, alert: Alert) -> str:
    async with city.pool.acquire() as conn:
        return (await draft.find(conn, alert.code)).state.value


@pytest.fixture
async def lan(city: Site) -> AsyncIterator[Desk]:
    async with city.pool.acquire() as conn:
        await official(conn, "hoa", Role("approver", await unit_id(conn, NGOC_HA)))
    async with Seat(city, "hoa") as desk:
        yield await desk


async def test_without_a_second_factor_the_page_leads_to_enrolment(
    city: Site, approver: Desk
) -> None:
    alert = await submitted(city)
    page = await approver.text(f"/console/alerts/{alert.code}/review")
    assert 'id="approve"' not in page
    assert f"/console/account/second-factor?next=/console/alerts/{alert.code}/review" in page
    answer = await approver.post(
        f"/console/alerts/{alert.code}/approve", version="1", code=factor.code(city.now)
    )
    assert answer.status == 403
    assert await state(city, alert) == "submitted"


async def test_an_emergency_is_approved_with_a_code_and_not_without(
    city: Site, approver: Desk
) -> None:
    await enrol(city)
    alert = await submitted(city)
    way = f"/console/alerts/{alert.code}"
    page = await approver.text(f"{way}/review")
    assert 'id="code"' in page
    assert "SMS tốn nhiều nhất" in page
    for given, said in (
        ({}, "Nhập mã trên điện thoại"),
        ({"code": "000000"}, "còn 4 lần thử"),
        ({"recovery": "2222-2222-2222"}, "Mã khôi phục không đúng"),
    ):
        answer = await approver.post(f"{way}/approve", version="1", **given)
        assert answer.status == 403
        text = await answer.text()
        assert re.search(f'id="code-problem"[^>]*>.*{said}', text)
        assert await state(city, alert) == "submitted"
    answer = await approver.post(f"{way}/approve", version="1", code=factor.code(city.now))
    assert (answer.status, await state(city, alert)) == (303, "approved")


async def test_a_warning_asks_for_no_code(city: Site, approver: Desk) -> None:
    alert = await submitted(city, **{"class": "warning"})
    page = await approver.text(f"/console/alerts/{alert.code}/review")
    assert 'id="code"' not in page
    answer = await approver.post(f"/console/alerts/{alert.code}/approve", version="1")
    assert (answer.status, await state(city, alert)) == (303, "approved")


async def test_programs_approve_by_header_and_are_told_why_not(
    city: Site, approver: Desk, author: Desk
) -> None:
    codes = await enrol(city)
    alert = await submitted(city)
    way = f"/api/v1/alerts/{alert.code}"
    told = await (await approver.get(f"{way}/approval")).json()
    assert told["second_factor"] is True
    assert (told["reach"], told["who"], told["bar"]) == ("own", "unit", None)
    assert [one["name"] for one in told["approvers"]] == ["Tuan"]
    assert (await (await author.get(f"{way}/approval")).json())["bar"] == "not_here"
    assert "Ai được duyệt" in await author.text(f"/console/alerts/{alert.code}")
    answer = await approver.send("POST", f"{way}/approve", {"version": 1})
    assert (answer.status, (await answer.json())["code"]) == (403, "second_factor_needed")
    answer = await approver.client.post(
        f"{way}/approve", json={"version": 1},
        headers={"X-CSRF-Token": approver.csrf, "X-Second-Factor": codes[0]},
    )  # fmt: skip
    assert (answer.status, (await answer.json())["state"]) == (200, "approved")
    answer = await approver.send("POST", f"{way}/approve", {"version": 1, "code": codes[1]})
    assert answer.status == 409


async def test_returned_with_a_reason_and_the_mended_version_shows_what_differs(
    city: Site, approver: Desk
) -> None:
    alert = await submitted(city, **{"class": "warning"})
    way = f"/api/v1/alerts/{alert.code}/return"
    answer = await approver.send("POST", way, {"version": 1, "reason": ""})
    assert answer.status == 422
    answer = await approver.send("POST", way, {"version": 1, "reason": "Thêm Ngọc Hà."})
    assert (await answer.json())["state"] == "returned"
    changed = content(city.now, **{"class": "warning"})
    changed["wording"]["vi"]["sms"]["text"] += " Nho mang nuoc."
    changed["area"] = {"units": [*BA_DINH_AREA["units"],
                                 {"code": NGOC_HA, "vintage": "2025-07-01"}]}  # fmt: skip
    async with city.pool.acquire() as conn:
        await draft.save(conn, city.author, city.now, alert.alert_id, 1, parse(changed))
        await checks.run(conn, city.author, city.now, alert.alert_id, city.selector)
        await approval.submit(conn, city.author, city.now, alert.alert_id, 2)
    page = await approver.text(f"/console/alerts/{alert.code}/review")
    assert "So với bản 1 bị trả lại" in page
    assert re.search("<ins>[^<]*Nho mang nuoc", page)
    assert re.search("<ins>[^<]*Ngọc Hà", page)
    assert "data-before=" in page


async def test_whose_role_is_too_narrow_may_return_and_not_approve(city: Site, lan: Desk) -> None:
    async with city.pool.acquire() as conn:
        ward = await unit_id(conn, NGOC_HA)
        roles = (Role("author", ward), Role("author", await unit_id(conn, "01")))
        writer = await official(conn, "viet", *roles)
        made = await draft.create(conn, writer, city.now, parse(content(city.now)), ward)
        await checks.run(conn, writer, city.now, made.alert_id, city.selector)
        alert = await approval.submit(conn, writer, city.now, made.alert_id, 1)
        await escalation.ask_due(city.pool, city.now, "https://alerts.example")
    page = await lan.text(f"/console/alerts/{alert.code}/review")
    assert "Quyền duyệt của bạn không gồm hết nơi tin này phủ." in page
    assert "Tuan" in page
    assert 'id="approve"' not in page
    assert (await lan.post(f"/console/alerts/{alert.code}/approve", version="1")).status == 403
    answer = await lan.post(
        f"/console/alerts/{alert.code}/return", version="1", reason="Bỏ Ba Đình."
    )
    assert (answer.status, await state(city, alert)) == (303, "returned")


async def test_enrolling_shows_the_codes_once_and_new_ones_replace_them(
    city: Site, approver: Desk
) -> None:
    page = await approver.text("/console/account/second-factor?next=/console/alerts")
    found = re.search(r'id="key">([A-Z2-7 ]+)<', page)
    assert found
    assert "<svg" in page
    phone = pyotp.TOTP(found[1].replace(" ", ""))
    way = "/console/account/second-factor"
    code = phone.at(city.now)
    async with city.pool.acquire() as conn:
        given = await enrolment_codes.give(
            conn, city.keyring, None, city.now, city.approver.official_id
        )
    right = {"code": code, "password": PASSWORD, "present": given}
    assert (await approver.post(way, **right | {"password": "sai mật khẩu"})).status == 403
    assert (await approver.post(way, **right | {"code": "000000"})).status == 422
    assert (await approver.post(way, **right | {"present": "2222-2222-2222"})).status == 403
    answer = await approver.post(way, **right, next="/console/alerts")
    text = await answer.text()
    codes = re.findall(r"<li>([0-9A-Z-]{14})</li>", text)
    assert (answer.status, len(codes)) == (200, 10)
    assert answer.headers["Cache-Control"] == "no-store"
    assert 'href="/console/alerts"' in text
    account = await approver.text("/console/account")
    assert not any(one in account for one in codes)
    city.later(seconds=60)
    answer = await approver.post("/console/account/recovery-codes", code=phone.at(city.now))
    renewed = re.findall(r"<li>([0-9A-Z-]{14})</li>", await answer.text())
    assert len(set(renewed) - set(codes)) == 10
    assert (await approver.post("/console/account/recovery-codes", code=codes[0])).status == 403


async def test_where_one_is_signed_in_is_seen_and_ended(city: Site, approver: Desk) -> None:
    async with Seat(city, "tuan") as waiting:
        other = await waiting
        page = await approver.text("/console/account")
        session = re.search(r'name="session" value="(\d+)"', page)
        assert session
        answer = await approver.post("/console/account/sessions/end", session=session[1])
        assert answer.status == 303
        assert (await other.get("/console")).status == 303
    assert (await approver.get("/console")).status == 200
    answer = await approver.post(
        "/console/account/password", present=PASSWORD, new="một mật khẩu mới"
    )
    assert answer.headers["Location"] == "/console/account?done=password"
    city.later(minutes=1)
    answer = await approver.post("/console/account/password", present="sai", new="mật khẩu khác")
    assert answer.status == 403
