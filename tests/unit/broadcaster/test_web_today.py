"""Today, for each role: what needs them, the most urgent first, and nothing else."""

from __future__ import annotations

import re
from datetime import timedelta

from broadcaster.alerts import approval, draft, escalation, lifecycle, template_store
from broadcaster.fanout import watch
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.people.officials import Role
from tests.unit.broadcaster.city import official, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site, content, publish, written

APPROVE, RETURNED = "Chờ bạn duyệt", "Trả lại bạn"


async def asked(city: Site, headline: str, *, minutes: int, **changes: object) -> str:
    """Send an alert of the city for approval; returns its code."""
    words = content(city.now, **changes)
    words["wording"]["vi"]["page"]["headline"] = headline
    async with city.pool.acquire() as conn:
        made = await written(city, conn, **(words | {"event": words["event"]}))
        at = city.now + timedelta(minutes=minutes)
        await approval.submit(conn, city.author, at, made.alert_id, made.version)
        return made.code


async def test_an_approver_sees_what_waits_for_them_the_most_urgent_first(
    city: Site, approver: Desk, author: Desk
) -> None:
    first = await asked(city, "Gió giật", minutes=0, **{"class": "warning"})
    urgent = await asked(city, "Vào nhà ngay", minutes=3, **{"class": "emergency"})
    last = await asked(city, "Mưa to", minutes=2, **{"class": "warning"})
    city.later(minutes=5)
    page = await approver.text("/console")
    assert page.index(f"{urgent}/review") < page.index(f"{first}/review")
    assert page.index(f"{first}/review") < page.index(f"{last}/review")
    # Whoever wrote it has nothing to approve, and is not told that others have.
    page = await author.text("/console")
    assert APPROVE not in page
    assert f"{first}/review" not in page


async def test_what_was_returned_goes_to_its_author_alone(
    city: Site, approver: Desk, author: Desk
) -> None:
    code = await asked(city, "Gió giật", minutes=0, **{"class": "warning"})
    async with city.pool.acquire() as conn:
        alert = await draft.find(conn, code)
        await approval.send_back(
            conn, city.approver, city.now, alert.alert_id, alert.version, "Thêm giờ."
        )
    page = await author.text("/console")
    assert RETURNED in page
    assert "Thêm giờ." in page
    assert RETURNED not in await approver.text("/console")


async def test_live_alerts_leave_when_something_newer_took_their_place(
    city: Site, author: Desk
) -> None:
    first = await publish(city)
    page = await author.text("/console")
    assert f'href="/console/alerts/{first.code}#stop"' in page
    update = await publish(city, kind="update", before=first)
    async with city.pool.acquire() as conn:
        await lifecycle.supersede(conn, city.now, update.alert_id)
    page = await author.text("/console")
    assert f'href="/console/alerts/{update.code}"' in page
    assert f'href="/console/alerts/{first.code}"' not in page
    assert "Cập nhật" in page
    # In two steps, so that the session lasts.
    city.later(hours=7)
    assert update.code in await author.text("/console")
    city.later(hours=6)
    assert update.code not in await author.text("/console")


async def test_whoever_may_not_stop_an_alert_watches_it(city: Site) -> None:
    async with city.pool.acquire() as conn:
        await official(conn, "tam", Role("staff", await unit_id(conn, "01")))
    alert = await publish(city)
    async with Seat(city, "tam") as signed:
        page = await (await signed).text("/console")
    assert f'href="/console/alerts/{alert.code}"' in page
    assert "#stop" not in page
    # Incidents are their work; duties and approvals are not.
    assert 'id="h-incidents"' in page
    assert 'id="h-duty"' not in page
    assert 'id="h-approve"' not in page


async def test_drafts_are_a_link_and_no_list(city: Site, author: Desk) -> None:
    async with city.pool.acquire() as conn:
        made = await written(city, conn)
    page = await author.text("/console")
    assert "1 bản nháp của bạn" in page
    assert made.code not in page
    assert made.code in await author.text("/console/alerts?official=ha&state=draft")


async def test_a_commune_sees_its_own_duty_and_its_own_alerts(city: Site) -> None:
    await publish(city)
    async with Seat(city, "lan") as signed:
        page = await (await signed).text("/console")
    assert "Phường Ba Đình" in page
    assert page.count('class="rt">Phường') == 1
    assert "/console/alerts/HN-" not in page


async def test_the_ways_follow_the_roles(city: Site, author: Desk) -> None:
    async with city.pool.acquire() as conn:
        await official(conn, "anna", Role("admin", await unit_id(conn, "01")))
        await official(conn, "tam", Role("staff", await unit_id(conn, "01")))
    page = await author.text("/console")
    assert 'href="/console/alerts/new"' in page
    assert 'href="/console/policy"' not in page
    async with Seat(city, "anna") as signed:
        page = await (await signed).text("/console")
        assert 'href="/console/policy"' in page
        assert 'href="/console/alerts/new"' not in page
    async with Seat(city, "tam") as signed:
        page = await (await signed).text("/console/incidents")
        assert 'href="/console/alerts/new"' not in page
        assert 'href="/console/providers"' not in page
        assert page.count('href="/console/incidents" aria-current="page"') == 2


async def test_counts_stand_beside_the_ways(city: Site, approver: Desk) -> None:
    await asked(city, "Gió giật", minutes=0, **{"class": "warning"})
    page = await approver.text("/console")
    waits = page.split("Hôm nay</span>")[1].split("</a>")[0]
    # One approval, and every unit is overdue in a city without a past.
    assert '<span class="count">127</span>' in waits


async def test_who_sent_an_alert_sees_whom_to_call_and_reminds_them(
    city: Site, author: Desk, approver: Desk
) -> None:
    code = await asked(city, "Gió giật", minutes=0, **{"class": "warning"})
    async with city.pool.acquire() as conn:
        for address in (Address("sms", "+84912345678"), Address("email", "tuan@hanoi.example")):
            made = await endpoints.ensure(conn, city.keyring, city.now, address)
            await endpoints.link_official(conn, city.now, city.approver.official_id, made)
    assert "hỏi trong vài giây" in await author.text("/console")
    await escalation.ask_due(city.pool, city.now, "https://alerts.example")
    page = await author.text("/console")
    assert "Bạn đã gửi, chưa ai quyết định" in page
    assert 'href="tel:+84912345678"' in page
    assert "Bạn đã gửi" not in await approver.text("/console")
    refused = await author.post(f"/console/alerts/{code}/remind")
    assert refused.status == 409
    assert "Nhắc lại được sau 5 phút" in await refused.text()
    city.later(minutes=6)
    assert (await author.post(f"/console/alerts/{code}/remind")).status == 303
    shown = await author.text(f"/console/alerts/{code}")
    assert "nhắc người duyệt" in shown
    assert 'href="tel:+84912345678"' in shown


async def test_an_alarm_of_an_approval_nobody_gives_is_on_today_and_on_the_alerts_page(
    city: Site, author: Desk
) -> None:
    code = await asked(city, "Gió giật", minutes=0, **{"class": "warning"})
    for minutes in range(0, 120, 5):
        await escalation.ask_due(
            city.pool, city.now + timedelta(minutes=minutes), "https://a.example"
        )
    city.later(hours=3)
    async with city.pool.acquire() as conn:
        await watch.look(conn, city.now)
    assert 'data-alarm="nobody_approves"' in await author.text("/console")
    page = await author.text(f"/console/alerts/{code}")
    found = re.search(r'id="live-approval">(.*?)</section>', page, re.DOTALL)
    assert found
    assert "chưa ai trả lời. Gọi điện cho họ" in found[1]


async def test_templates_wait_for_their_reviewer(city: Site, author: Desk, approver: Desk) -> None:
    async with city.pool.acquire() as conn:
        unit = await unit_id(conn, "01")
        item = await template_store.copy(conn, city.author, city.now, unit, "storm")
        await template_store.submit(conn, city.author, city.now, item.item_id, 1, 1)
    page = await approver.text("/console")
    assert "Mẫu và kịch bản chờ duyệt" in page
    assert f"/console/templates/own/{item.item_id}" in page
    assert "Mẫu và kịch bản chờ duyệt" not in await author.text("/console")
