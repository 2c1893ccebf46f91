"""The page of people: numbers for those who watch; one person for a reason, in one's own units."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from broadcaster.fanout import audience
from broadcaster.people import endpoints
from broadcaster.people.officials import Role
from broadcaster.people.register import register
from tests.unit.broadcaster.city import (
    BA_DINH,
    NGOC_HA,
    delivered,
    endpoint_of,
    official,
    registration,
    unit_id,
)
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site, publish

PAGE = "/console/people"
NUMBER, MAIL = "+84912345678", "lan@example.org"


@pytest.fixture
async def person(city: Site) -> int:
    """Somebody in Ba Đình with a number and a mailbox, written to by an alert of that ward."""
    async with city.pool.acquire() as conn:
        told = registration(("sms", NUMBER), ("email", MAIL), consent_at=city.now)
        await register(conn, city.keyring, city.units, city.now, told)
        made = int(await conn.fetchval("SELECT max(person_id) FROM person"))
        number = await endpoint_of(conn, city.keyring, "sms", NUMBER)
        mailbox = await endpoint_of(conn, city.keyring, "email", MAIL)
        await endpoints.link(conn, city.now, [(made, number), (made, mailbox)])
        await endpoints.activate(conn, number)
        sent = await publish(city)
        await conn.execute(
            "UPDATE alert SET unit_id = $2, code = 'HN-9' WHERE alert_id = $1",
            sent.alert_id, await unit_id(conn, BA_DINH),
        )  # fmt: skip
        packed = audience.pack(b"0" * 32, np.array([made], dtype=np.uint32))
        await audience.freeze(conn, city.now, sent.alert_id, packed)
        await delivered(conn, sent.alert_id, number)
    return made


@pytest.fixture
async def staff(city: Site, person: int) -> AsyncIterator[Desk]:
    async with city.pool.acquire() as conn:
        await official(conn, "truc", Role("staff", await unit_id(conn, BA_DINH)))
    async with Seat(city, "truc") as seat:
        yield await seat


async def test_one_person_is_found_by_number_for_a_reason(
    city: Site, staff: Desk, person: int
) -> None:
    answer = await staff.post(PAGE, who="0912 345 678", reason="gọi 1022 hỏi")
    page = await answer.text()
    assert answer.status == 200
    assert "Phường Ba Đình" in page
    assert NUMBER not in page.replace('value="0912 345 678"', "")
    assert MAIL not in page
    assert 'data-code="HN-9"' in page
    assert 'action="/console/alerts/HN-9/why"' in page
    kept = await city.pool.fetchval("SELECT detail FROM audit WHERE action = 'person.looked_up'")
    assert kept == {
        "person_ids": [person], "reason": "gọi 1022 hỏi", "by": "address", "channel": "sms"
    }  # fmt: skip


async def test_one_person_is_found_by_their_registered_id(
    city: Site, staff: Desk, person: int
) -> None:
    public = await city.pool.fetchval("SELECT public_id FROM person WHERE person_id = $1", person)
    page = await (await staff.post(PAGE, who=f"id:{public}", reason="gọi 1022 hỏi")).text()
    assert "Phường Ba Đình" in page
    assert 'data-code="HN-9"' in page


async def test_without_a_reason_nobody_is_looked_up(city: Site, staff: Desk) -> None:
    answer = await staff.post(PAGE, who=NUMBER, reason=" ok ")
    assert answer.status == 422
    assert "Ghi lý do" in await answer.text()
    assert (await staff.post(PAGE, who="không phải số", reason="gọi 1022 hỏi")).status == 422
    assert not await city.pool.fetchval(
        "SELECT EXISTS (SELECT FROM audit WHERE action = 'person.looked_up')"
    )


async def test_nobody_unknown_is_told_from_one_of_another_unit(
    city: Site, staff: Desk, person: int
) -> None:
    page = await (await staff.post(PAGE, who="0900000001", reason="gọi 1022 hỏi")).text()
    assert "Không tìm thấy" in page or "Không có ai" in page
    async with city.pool.acquire() as conn:
        await conn.execute(
            "UPDATE person_place SET unit_id = $2 WHERE person_id = $1",
            person, await unit_id(conn, NGOC_HA),
        )  # fmt: skip
    page = await (await staff.post(PAGE, who=NUMBER, reason="gọi 1022 hỏi")).text()
    assert "1 người đứng sau địa chỉ này không có nơi nào thuộc đơn vị của bạn" in page
    assert 'data-code="HN-9"' not in page
    assert "Phường Ngọc Hà" not in page.split('id="found"')[1]


async def test_who_watches_sees_numbers_and_nobody(city: Site, person: int) -> None:
    async with city.pool.acquire() as conn:
        await official(conn, "xem", Role("monitor", await unit_id(conn, "01")))
        other = await official(conn, "ngoai", Role("staff", await unit_id(conn, NGOC_HA)))
        assert other
    async with Seat(city, "xem") as seat:
        desk = await seat
        page = await desk.text(PAGE)
        assert 'id="who"' not in page
        assert "Người có địa điểm ở đây" in page
        assert (await desk.post(PAGE, who=NUMBER, reason="gọi 1022 hỏi")).status == 403
    async with Seat(city, "ngoai") as seat:
        desk = await seat
        assert (await desk.get(f"{PAGE}?unit=1")).status == 404


async def test_authors_see_no_people(author: Desk) -> None:
    assert (await author.get(PAGE)).status == 403
