"""The page of providers, its twin in the API, and the switch by hand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from broadcaster.db import Pool
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.fanout import breakers, provider_board, providers
from broadcaster.fanout.breakers import Sight
from broadcaster.people.officials import Role, find_actor
from broadcaster.settings import Settings
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import official, unit_id
from tests.unit.broadcaster.desk import Seat
from tests.unit.broadcaster.site import Site

SETUP = {"rules": [[600_000, 60.0], [10_000, 1.0]], "test_every": 30.0}


@pytest.fixture
async def city(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with site.running(settings, pool) as running:
        async with pool.acquire() as conn:
            top = await conn.fetchval("SELECT unit_id FROM unit WHERE kind = 'city'")
            await official(conn, "chief", Role("admin", top))
            await official(conn, "ward", Role("admin", await unit_id(conn, "00004")))
        yield running


async def provider(pool: Pool, name: str = "fcm", weight: int = 100) -> int:
    async with pool.acquire() as conn:
        provider_id = await providers.register(conn, "push", name, f"{name}@example.org")
        await providers.configure(conn, provider_id, weight, SETUP)
    return provider_id


async def broken(pool: Pool, provider_id: int) -> None:
    async with pool.acquire() as conn:
        seen = Sight(tried=40, faults=31, seconds=20.0, reason="UNAVAILABLE")
        await breakers.note(conn, "worker", {provider_id: seen})
        await breakers.look(conn, [provider_id])


async def test_the_page_says_in_words_why_a_provider_was_taken_out(city: Site, pool: Pool) -> None:
    await broken(pool, await provider(pool, "fcm"))
    await provider(pool, "spare", weight=0)
    async with Seat(city, "chief") as seat:
        desk = await seat
        page = await desk.text("/console/providers")
    assert "31 trên 40 tin bị lỗi, lỗi cuối là UNAVAILABLE" in page
    assert re.search(r"Thử lại lúc \d\d:\d\d:\d\d", page)
    assert "10.000 tin trong 1 giây" in page
    assert "Dự phòng: gửi thay" in page


async def test_what_is_well_is_said_once(city: Site, pool: Pool) -> None:
    await provider(pool)
    async with Seat(city, "chief") as seat:
        desk = await seat
        page = await desk.text("/console/providers")
    assert page.count("Đang dùng") == 1


async def test_a_switch_needs_a_reason_and_is_in_the_trail(city: Site, pool: Pool) -> None:
    provider_id = await provider(pool)
    path = f"/console/providers/{provider_id}/switch"
    async with Seat(city, "chief") as seat:
        desk = await seat
        refused = await desk.post(path, was="auto", to="off", reason="  ")
        assert refused.status == 422
        assert (
            await desk.post(path, was="auto", to="off", reason="work on the line")
        ).status == 303
        assert (await desk.post(path, was="auto", to="on", reason="late")).status == 409
        page = await desk.text("/console/providers")
    assert "work on the line" in page
    assert "Đã tắt bằng tay" in page
    trail = await pool.fetchrow("SELECT action, detail FROM audit WHERE subject = 'provider'")
    assert trail is not None
    assert trail["action"] == "provider_switched"
    assert trail["detail"] == {"was": "auto", "to": "off", "reason": "work on the line"}


async def test_only_an_administrator_of_the_city_switches(city: Site, pool: Pool) -> None:
    provider_id = await provider(pool)
    path = f"/console/providers/{provider_id}/switch"
    async with Seat(city, "ward") as seat:
        desk = await seat
        assert 'name="reason"' not in await desk.text("/console/providers")
        assert (await desk.post(path, was="auto", to="off", reason="no")).status == 403
    async with Seat(city, "ha") as seat:
        desk = await seat
        assert (await desk.get("/console/providers")).status == 403
    assert await pool.fetchval("SELECT switch FROM provider") == "auto"


@pytest.mark.parametrize(
    ("who", "change", "error"),
    [
        ("chief", {"to": "sideways"}, Refused),
        ("chief", {"reason": "x" * 501}, Refused),
        ("chief", {"was": "off"}, Conflict),
        ("ward", {}, NotAllowed),
    ],
)
async def test_what_the_domain_refuses_changes_nothing(
    city: Site, pool: Pool, who: str, change: dict[str, Any], error: type[Refused]
) -> None:
    provider_id = await provider(pool)
    given = {"was": "auto", "to": "off", "reason": "why"} | change
    async with pool.acquire() as conn:
        actor = await find_actor(conn, who)
        with pytest.raises(error):
            await provider_board.switch(conn, actor, datetime.now(UTC), provider_id, **given)
    assert await pool.fetchval("SELECT switch FROM provider") == "auto"
    assert await pool.fetchval("SELECT count(*) FROM provider_event") == 0


async def test_the_api_lists_and_switches(city: Site, pool: Pool) -> None:
    provider_id = await provider(pool)
    await broken(pool, provider_id)
    async with Seat(city, "chief") as seat:
        desk = await seat
        [one] = (await (await desk.get("/api/v1/providers")).json())["providers"]
        assert (one["state"], one["breaker_detail"]["code"]) == ("open", "errors")
        assert one["rules"] == [[600_000, 60.0], [10_000, 1.0]]
        answer = await desk.client.post(
            f"/api/v1/providers/{provider_id}/switch",
            json={"was": "auto", "to": "on", "reason": "they say it is mended"},
            headers={"X-CSRF-Token": desk.csrf},
        )
        assert answer.status == 200
        assert (await answer.json())["state"] == "forced"
