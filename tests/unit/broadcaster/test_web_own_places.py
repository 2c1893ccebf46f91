"""Citizens' places and positions over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientResponse

from broadcaster.db import Pool
from broadcaster.people import claims, endpoints, register
from broadcaster.people.endpoints import Address
from broadcaster.people.register import Place
from broadcaster.settings import Settings
from broadcaster.web.api.operation import PROBLEM_TYPE
from tests.unit.broadcaster.city import BA_DINH_POINT, registration
from tests.unit.broadcaster.site import NOW, Site, running

ME = "/api/v1/people/me"
BA_DINH = {"units": [{"code": "00004", "vintage": "2025-07-01"}]}


@pytest.fixture
async def site(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with running(settings, pool) as opened:
        yield opened


@pytest.fixture
async def headers(site: Site) -> dict[str, str]:
    """The token of somebody who lives in a far ward and has the app."""
    async with site.pool.acquire() as conn:
        told = registration(
            ("sms", "0912345678"), home=Place(unit_code="00091"), name="Bình", consent_at=NOW
        )
        receipt = await register.register(conn, site.keyring, site.units, NOW, told)
        person_id = await conn.fetchval(
            "SELECT person_id FROM person WHERE public_id = $1", receipt.public_id
        )
        phone = Address("push", "fid:" + "c" * 22)
        made = await endpoints.ensure_active(conn, site.keyring, NOW, [phone])
        await endpoints.link(conn, NOW, [(person_id, made[phone])])
        token = await claims.issue_token(conn, site.keyring, NOW, person_id)
    return {"Authorization": f"Bearer {token}"}


async def fields(answer: ClientResponse, status: int) -> list[str]:
    assert answer.status == status
    assert answer.content_type == PROBLEM_TYPE
    said = await answer.json(content_type=None)
    assert said["message_vi"]
    assert said["message_en"]
    return [one["field"] for one in said["problems"]]


async def me(site: Site, headers: dict[str, str]) -> Any:
    return await (await site.client.get(ME, headers=headers)).json()


async def people_in_ba_dinh(site: Site) -> int:
    """Count whom an alert would find there, but for the resident of every site."""
    async with site.pool.acquire() as conn:
        there = await site.selector.select(conn, site.now, BA_DINH)
    return len(there) - 1


async def test_somebody_watches_a_place_and_stops(site: Site, headers: dict[str, str]) -> None:
    lon, lat = BA_DINH_POINT
    school = {"lon": lon, "lat": lat, "label": "Trường của con", "address": "Số 1"}
    put = await site.client.put(f"{ME}/places/3", json=school, headers=headers)
    assert put.status == 200
    place = await put.json()
    assert place == {
        "number": 3, "label": "Trường của con", "address": "Số 1", "unit": "00004",
        "unit_name": "Phường Ba Đình", "point": True, "lon": lon, "lat": lat,
        "expires_at": None, "candidates": [],
    }  # fmt: skip
    assert await people_in_ba_dinh(site) == 1
    known = await me(site, headers)
    assert [one["number"] for one in known["places"]] == [0, 3]
    assert known["places"][1] == place
    assert known["name"] == "Bình"
    home = await site.client.put(f"{ME}/places/0", json={"unit": "00008"}, headers=headers)
    assert ((await home.json())["unit"], (await home.json())["point"]) == ("00008", False)
    removed = await site.client.delete(f"{ME}/places/3", headers=headers)
    assert removed.status == 204
    assert [one["number"] for one in (await me(site, headers))["places"]] == [0]


async def test_what_is_wrong_with_a_place_is_named(site: Site, headers: dict[str, str]) -> None:
    async def put(number: object, body: dict[str, object]) -> ClientResponse:
        return await site.client.put(f"{ME}/places/{number}", json=body, headers=headers)

    assert await fields(await put(1, {"unit": "00004"}), 422) == ["label"]
    assert await fields(await put(1, {"label": "mẹ"}), 422) == ["unit"]
    assert await fields(await put(1, {"label": "mẹ", "unit": "1"}), 422) == ["unit"]
    assert await fields(await put(1, {"lon": 2, "lat": 48, "unit": "1"}), 422) == ["label", "lon"]
    assert await fields(await put(1, {"place": "x", "lon": "x"}), 422) == ["lon", "place"]
    for number in (6, 9, 4000):
        assert await fields(await put(number, {"unit": "00004", "label": "x"}), 404) == []
    for other in ("-1", "x", "99999"):
        assert (await put(other, {"unit": "00004", "label": "x"})).status == 404
    for number, status in ((0, 422), (2, 404), (9, 404), (4000, 404)):
        gone = await site.client.delete(f"{ME}/places/{number}", headers=headers)
        assert gone.status == status
    assert (await site.client.put(f"{ME}/places/1", json={"unit": "00004"})).status == 401
    assert [one["number"] for one in (await me(site, headers))["places"]] == [0]


async def test_a_position_needs_consent_reaches_and_ends(
    site: Site, headers: dict[str, str]
) -> None:
    here = {"lon": BA_DINH_POINT[0], "lat": BA_DINH_POINT[1], "at": NOW.isoformat()}
    where = f"{ME}/position"
    refused = await site.client.put(where, json=here, headers=headers)
    assert (refused.status, (await refused.json(content_type=None))["code"]) == (
        422, "position_consent_missing",
    )  # fmt: skip
    consent = {"at": NOW.isoformat(), "source": "app 1.0", "hours": 6}
    agreed = await site.client.post(f"{where}/consent", json=consent, headers=headers)
    assert agreed.status == 201
    assert (await agreed.json())["hours"] == 6
    told = await (await site.client.put(where, json=here, headers=headers)).json()
    assert told["kept"]
    assert told["place"]["number"] == 9
    assert told["place"]["expires_at"].startswith((NOW + timedelta(hours=6)).isoformat()[:19])
    assert await people_in_ba_dinh(site) == 1
    # Nothing is written when the time has come, and nobody is found there any more.
    site.later(hours=6)
    assert await people_in_ba_dinh(site) == 0
    assert [one["number"] for one in (await me(site, headers))["places"]] == [0]


async def test_a_withdrawn_consent_takes_the_position_with_it(
    site: Site, headers: dict[str, str]
) -> None:
    where = f"{ME}/position"
    consent = {"at": NOW.isoformat(), "source": "app 1.0"}
    here = {"lon": BA_DINH_POINT[0], "lat": BA_DINH_POINT[1], "at": NOW.isoformat()}
    assert (await site.client.post(f"{where}/consent", json=consent, headers=headers)).status == 201
    assert (await site.client.put(where, json=here, headers=headers)).status == 200
    outside = here | {"lon": 106.7, "lat": 10.8}
    told = await (await site.client.put(where, json=outside, headers=headers)).json()
    assert told == {"kept": False, "place": None}
    await site.client.put(where, json=here, headers=headers)
    gone = await site.client.delete(f"{where}/consent", headers=headers)
    assert gone.status == 204
    assert await site.pool.fetchval("SELECT count(*) FROM person_point") == 0
    assert (await site.client.put(where, json=here, headers=headers)).status == 422
    [record] = (await me(site, headers))["position_consents"]
    assert (record["source"], record["hours"]) == ("app 1.0", 24)
    assert record["withdrawn_at"]
    for wrong, field in (
        (consent | {"hours": 73}, "hours"),
        (consent | {"source": " "}, "source"),
        (consent | {"at": "2026-09-10T03:00:00"}, "at"),
        (consent | {"at": (NOW + timedelta(hours=1)).isoformat()}, "at"),
        ({"source": "app"}, "at"),
    ):
        refused = await site.client.post(f"{where}/consent", json=wrong, headers=headers)
        assert await fields(refused, 422) == [field]
