"""The trail: who sees what of it, by which terms, page by page, in words, and as a file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from broadcaster import audit
from broadcaster.people import trail
from broadcaster.people.officials import Actor, Role, find_actor
from broadcaster.people.trail import Filters
from broadcaster.web import i18n
from broadcaster.web.console import trail_words
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, official, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site, publish

PAGE = "/console/audit"


@pytest.fixture
async def chief(city: Site) -> AsyncIterator[Desk]:
    async with city.pool.acquire() as conn:
        await official(conn, "chief", Role("admin", await unit_id(conn, "01")))
        ward = await official(conn, "ward", Role("admin", await unit_id(conn, BA_DINH)))
        binh = await official(conn, "binh", Role("author", ward.roles[0].unit_id))
        ngoc = await official(conn, "ngoc", Role("author", await unit_id(conn, NGOC_HA)))
        for number, one in enumerate((binh, ngoc, binh)):
            await audit.record(
                conn, one.official_id, city.now + timedelta(days=number), "official.signed_in",
                "official", one.official_id,
            )  # fmt: skip
    async with Seat(city, "chief") as seat:
        yield await seat


async def acts(city: Site, login: str, **filters: Any) -> list[tuple[str, str | None]]:
    async with city.pool.acquire() as conn:
        actor = await find_actor(conn, login)
        return [(one.action, one.login) for one in (
            await trail.acts(conn, actor, Filters(**filters))
        ).acts]  # fmt: skip


async def test_the_city_sees_all_and_a_ward_what_its_own_did_and_had_done_to_them(
    city: Site, chief: Desk
) -> None:
    await publish(city)
    everything = await acts(city, "chief")
    assert ("alert.approved", "tuan") in everything
    assert ("official.signed_in", "ngoc") in everything
    own = await acts(city, "ward")
    assert ("official.signed_in", "binh") in own
    assert ("official.created", None) in own
    assert {login for _, login in own} <= {None, "binh", "ward", "lan"}
    async with city.pool.acquire() as conn:
        nobody = Actor(0, "x", "X", "", "vi", False, (Role("author", 1),))
        assert (await trail.acts(conn, nobody, Filters())).acts == ()


async def test_what_was_done_about_a_units_alerts_is_its_own_whoever_did_it(
    city: Site, chief: Desk
) -> None:
    alert = await publish(city)
    async with city.pool.acquire() as conn:
        ward = await unit_id(conn, BA_DINH)
        await conn.execute(
            "UPDATE alert SET unit_id = $2 WHERE alert_id = $1", alert.alert_id, ward
        )
    assert ("alert.approved", "tuan") in await acts(city, "ward")
    assert ("alert.approved", "tuan") in await acts(city, "chief", unit_ids=[ward])


async def test_a_term_finds_what_it_says(city: Site, chief: Desk) -> None:
    alert = await publish(city)
    async with city.pool.acquire() as conn:
        binh = await find_actor(conn, "binh")
    signed = await acts(city, "chief", official_id=binh.official_id)
    assert set(signed) == {("official.signed_in", "binh")}
    approved = await acts(city, "chief", action="alert.approved")
    assert approved == [("alert.approved", "tuan")]
    about = await acts(city, "chief", alert_id=alert.alert_id)
    assert {action.split(".")[0] for action, _ in about} == {"alert"}
    tomorrow = city.now + timedelta(days=1)
    assert await acts(city, "chief", since=tomorrow, until=tomorrow + timedelta(days=1)) == [
        ("official.signed_in", "ngoc")
    ]


@pytest.mark.parametrize("login", ["chief", "ward"])
async def test_pages_leave_nothing_out_and_repeat_nothing(
    city: Site, chief: Desk, login: str
) -> None:
    async with city.pool.acquire() as conn:
        binh = await find_actor(conn, "binh")
        for _ in range(7):
            await audit.record(
                conn, binh.official_id, city.now, "official.signed_in", "official",
                binh.official_id,
            )  # fmt: skip
        actor = await find_actor(conn, login)
        seen, before = [], None
        while True:
            page = await trail.acts(conn, actor, Filters(), before, limit=3)
            seen += [one.audit_id for one in page.acts]
            if page.before is None:
                break
            before = page.before
        whole = await trail.acts(conn, actor, Filters(), limit=500)
    assert seen == [one.audit_id for one in whole.acts]
    assert len(set(seen)) == len(seen) > 7


async def test_the_page_speaks_both_languages_and_says_what_an_unknown_act_is_called(
    city: Site, chief: Desk
) -> None:
    async with city.pool.acquire() as conn:
        await audit.record(conn, None, city.now, "moon.landed", "moon", None, crew=["a", "b"])
    page = await chief.text(PAGE)
    assert "moon.landed" in page
    assert re.search(r"Binh\s+đăng nhập", page)
    assert "lúc này đang chặn" in page
    await chief.post("/language", lang="en", next="/console")
    page = await chief.text(PAGE)
    assert re.search(r"Binh\s+signed in", page)
    number = re.search(r'href="/console/audit/(\d+)">[^<]*moon', page)
    assert number
    detail = await chief.text(f"{PAGE}/{number[1]}")
    assert "crew" in detail
    assert "a, b" in detail


async def test_a_role_given_is_told_with_its_place(city: Site, chief: Desk) -> None:
    async with city.pool.acquire() as conn:
        ward = await unit_id(conn, BA_DINH)
    await chief.post("/console/officials/ngoc/grant", role="approver", place=f"u{ward}")
    page = await chief.text(f"{PAGE}?action=official.role_granted&official=chief")
    number = re.search(r'href="/console/audit/(\d+)"', page)
    assert number
    detail = await chief.text(f"{PAGE}/{number[1]}")
    assert "Phường Ba Đình" in detail
    assert "Duyệt tin" in detail or "Duyệt" in detail
    async with Seat(city, "ward") as seat:
        assert (await (await seat).get(f"{PAGE}/{number[1]}")).status == 404


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ("official=khong-co", "Không có cán bộ"),
        ("alert=HN-0", "Không có tin"),
        ("from=hom-qua", "không phải là ngày"),
    ],
)
async def test_a_term_that_says_nothing_is_told_beside_its_field(
    chief: Desk, terms: str, told: str
) -> None:
    answer = await chief.get(f"{PAGE}?{terms}")
    page = await answer.text()
    assert answer.status == 422
    assert told in page
    assert f'name="{terms.split("=")[0]}"' in page
    assert 'aria-invalid="true"' in page


async def test_the_file_says_the_same_and_is_in_the_trail_itself(city: Site, chief: Desk) -> None:
    answer = await chief.get(f"{PAGE}.csv?official=binh")
    rows = list(csv.reader(io.StringIO((await answer.text()).removeprefix("\ufeff"))))
    assert rows[0][:4] == ["at", "by", "login", "action"]
    assert [row[2] for row in rows[1:]] == ["binh", "binh"]
    assert rows[1][4] == "đăng nhập"
    assert ("audit.exported", "chief") in await acts(city, "chief")


async def test_the_trail_is_guarded_and_the_page_says_when_it_is_not(
    city: Site, chief: Desk
) -> None:
    for change in ("UPDATE audit SET action = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await city.pool.execute(change)
    await city.pool.execute("ALTER TABLE audit DISABLE TRIGGER audit_is_final")
    try:
        assert "KHÔNG còn chặn" in await chief.text(PAGE)
    finally:
        await city.pool.execute("ALTER TABLE audit ENABLE TRIGGER audit_is_final")


async def test_authors_see_no_trail(city: Site, author: Desk) -> None:
    assert (await author.get(PAGE)).status == 403


def test_every_act_has_words_in_both_languages() -> None:
    for lang in i18n.LANGUAGES:
        i18n.use(lang)
        for action in trail_words.ACTION:
            assert trail_words.action_words(action) != action
    i18n.use("vi")
