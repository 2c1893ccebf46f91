"""The page of officials: who is seen, what is done there, and what is shown once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from broadcaster.people.officials import Role, find_actor
from tests import factor
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, PASSWORD, official, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site

PAGE = "/console/officials"
OWN = "một mật khẩu của riêng"


@dataclass(frozen=True, slots=True)
class Places:
    """Units of the tests."""

    top: int
    ward: int
    other: int


@pytest.fixture
async def places(city: Site) -> Places:
    async with city.pool.acquire() as conn:
        found = Places(
            await unit_id(conn, "01"), await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
        )
        await official(conn, "chief", Role("admin", found.top))
        await official(conn, "ward", Role("admin", found.ward))
        await official(conn, "binh", Role("author", found.ward))
        await official(conn, "ngoc", Role("author", found.other))
        await official(conn, "both", Role("staff", found.ward), Role("staff", found.other))
    return found


@pytest.fixture
async def chief(city: Site, places: Places) -> AsyncIterator[Desk]:
    async with Seat(city, "chief") as seat:
        yield await seat


@pytest.fixture
async def ward(city: Site, places: Places) -> AsyncIterator[Desk]:
    async with Seat(city, "ward") as seat:
        yield await seat


def logins(page: str) -> list[str]:
    return re.findall(r'data-login="([^"]+)"', page)


async def test_an_administrator_sees_who_works_in_the_unit_and_nobody_else(
    chief: Desk, ward: Desk
) -> None:
    assert logins(await ward.text(PAGE)) == ["binh", "both", "lan", "ward"]
    assert {"ha", "tuan", "ngoc", "chief"} <= set(logins(await chief.text(PAGE)))
    assert (await ward.get(f"{PAGE}/ngoc")).status == 404
    assert (await ward.get(f"{PAGE}/chief")).status == 404


async def test_accounts_are_found_by_name_unit_role_and_factor(
    city: Site, chief: Desk, places: Places
) -> None:
    async with city.pool.acquire() as conn:
        await conn.execute("UPDATE official SET name = 'Đỗ Thị Ngọc' WHERE login = 'ngoc'")
        await factor.enrol(conn, city.keyring, await find_actor(conn, "ngoc"), city.now)
    assert logins(await chief.text(f"{PAGE}?q=do+thi")) == ["ngoc"]
    assert logins(await chief.text(f"{PAGE}?q=%25")) == []
    assert logins(await chief.text(f"{PAGE}?unit={places.other}")) == ["both", "long", "ngoc"]
    assert logins(await chief.text(f"{PAGE}?unit={places.other}&show=without-factor")) == [
        "both",
        "long",
    ]
    assert logins(await chief.text(f"{PAGE}?role=admin")) == ["chief", "ward"]
    page = await chief.text(f"{PAGE}?q=khong+co+ai")
    assert "Không ai khớp các điều kiện" in page


async def test_an_account_is_made_and_its_owner_chooses_a_password(
    city: Site, ward: Desk, places: Places
) -> None:
    form = {"login": "Moi", "name": "Người Mới", "lang": "vi", "role": "author"}
    for login in ("new", "hai chữ", ""):
        wrong = form | {"login": login}
        assert (await ward.post(f"{PAGE}/new", **wrong, place=f"u{places.ward}")).status == 422
    answer = await ward.post(f"{PAGE}/new", **form, place=f"u{places.other}")
    assert answer.status == 403
    assert 'value="Người Mới"' in await answer.text()
    answer = await ward.post(f"{PAGE}/new", **form, place=f"u{places.ward}")
    page = await answer.text()
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    given = re.search(r'id="password">([0-9A-Z-]{14})<', page)
    assert given
    assert re.search(r'id="code">([0-9A-Z-]{14})<', page)
    assert given[1] not in await ward.text(f"{PAGE}/moi")
    fresh = Desk(city.client)
    answer = await fresh.client.post(
        "/console/sign-in", data={"login": "moi", "password": given[1]}, allow_redirects=False
    )
    assert answer.headers["Location"].startswith("/console/sign-in/step")
    assert (await fresh.get("/console")).status == 303
    step = {"step": "password", "next": "/console/duty"}
    answer = await fresh.post("/console/sign-in/step", **step, shown="ngắn")
    assert answer.status == 422
    answer = await fresh.post("/console/sign-in/step", **step, shown=OWN)
    assert answer.headers["Location"] == "/console/duty"
    assert (await fresh.get("/console")).status == 200


async def test_roles_are_given_and_taken_on_the_page(
    city: Site, ward: Desk, chief: Desk, places: Places
) -> None:
    grant, revoke = f"{PAGE}/binh/grant", f"{PAGE}/binh/revoke"
    assert (await ward.post(grant, role="approver", place=f"u{places.ward}")).status == 303
    assert (await ward.post(grant, role="approver", place=f"u{places.ward}")).status == 409
    assert (await ward.post(grant, role="author", place=f"u{places.other}")).status == 403
    assert (await ward.post(grant, role="king", place=f"u{places.ward}")).status == 422
    assert (
        await ward.post(f"{PAGE}/ward/grant", role="author", place=f"u{places.ward}")
    ).status == 403
    assert (await ward.post(revoke, role="approver", place=f"u{places.ward}")).status == 303
    answer = await ward.post(revoke, role="author", place=f"u{places.ward}")
    assert answer.headers["Location"] == PAGE
    assert (await ward.get(f"{PAGE}/binh")).status == 404
    assert (await chief.get(f"{PAGE}/binh")).status == 200


@pytest.mark.parametrize("act", ["password", "second-factor", "retire"])
async def test_whose_roles_reach_further_is_left_to_somebody_above(
    city: Site, ward: Desk, act: str
) -> None:
    page = await ward.text(f"{PAGE}/both")
    assert f"/console/officials/both/{act}" not in page
    assert (await ward.post(f"{PAGE}/both/{act}", reason="vì sao đó")).status == 403
    assert (await ward.post(f"{PAGE}/ngoc/{act}", reason="vì sao đó")).status == 404
    assert (await ward.post(f"{PAGE}/ward/{act}", reason="vì sao đó")).status == 403


async def test_a_lost_phone_and_a_retired_account(city: Site, chief: Desk, places: Places) -> None:
    async with city.pool.acquire() as conn:
        await factor.enrol(conn, city.keyring, await find_actor(conn, "binh"), city.now)
    assert (await chief.post(f"{PAGE}/binh/second-factor", reason="")).status == 422
    answer = await chief.post(f"{PAGE}/binh/second-factor", reason="mất máy")
    assert re.search(r'id="code">([0-9A-Z-]{14})<', await answer.text())
    assert (await chief.post(f"{PAGE}/binh/retire", reason="nghỉ hưu")).status == 303
    page = await chief.text(f"{PAGE}/binh")
    assert "Ngừng dùng" in page
    assert "nghỉ hưu" in page
    assert f"{PAGE}/binh/password" not in page
    assert logins(await chief.text(f"{PAGE}?show=retired")) == ["binh"]
    assert (
        await chief.post(f"{PAGE}/chief/revoke", role="admin", place=f"u{places.top}")
    ).status == 409


async def test_the_second_step_is_asked_of_an_administrator_with_a_phone(
    city: Site, places: Places
) -> None:
    async with city.pool.acquire() as conn:
        await factor.enrol(conn, city.keyring, await find_actor(conn, "ward"), city.now)
    desk = Desk(city.client)
    answer = await desk.client.post(
        "/console/sign-in", data={"login": "ward", "password": PASSWORD}, allow_redirects=False
    )
    assert answer.headers["Location"].startswith("/console/sign-in/step")
    assert "session=" not in answer.headers["Set-Cookie"]
    assert 'id="shown"' in await desk.text("/console/sign-in/step")
    step = {"step": "code", "next": "/console/officials"}
    assert (await desk.post("/console/sign-in/step", **step, shown="000000")).status == 403
    right = await desk.post("/console/sign-in/step", **step, shown=factor.code(city.now))
    assert (right.status, right.headers["Location"]) == (303, "/console/officials")
    assert (await desk.get("/console/officials")).status == 200
    again = await desk.post("/console/sign-in/step", **step, shown=factor.code(city.now))
    assert again.status == 422
