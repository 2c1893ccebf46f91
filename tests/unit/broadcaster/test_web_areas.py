"""Questions of officials about areas, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import shapely
from aiohttp import ClientResponse, FormData

from broadcaster.db import Pool
from broadcaster.keyring import Keyring
from broadcaster.people import sessions
from broadcaster.people.officials import Actor, Role
from broadcaster.people.synth import synth
from broadcaster.people.units import load_map
from broadcaster.settings import Settings
from broadcaster.web import area_tools, counting, drawing, uploads
from broadcaster.web.api.operation import PROBLEM_TYPE
from broadcaster.web.security import SESSION_COOKIE
from targeting.area import Area
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, PHU_THUONG, official, unit_id
from tests.unit.broadcaster.site import NOW, Site, running

PEOPLE = 600
VINTAGE = "2025-07-01"
TOWN = {"circles": [{"lon": 105.838, "lat": 21.038, "metres": 3000}]}
BOW_TIE = {
    "polygons": [
        {
            "type": "Polygon",
            "coordinates": [
                [[105.80, 21.00], [105.86, 21.06], [105.86, 21.00], [105.80, 21.06], [105.80, 21.0]]
            ],
        }
    ]
}
SEA = {"circles": [{"lon": 107.5, "lat": 20.5, "metres": 500}]}


def units(*codes: str) -> dict[str, Any]:
    return {"units": [{"code": code, "vintage": VINTAGE} for code in codes]}


@pytest.fixture
async def site(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with pool.acquire() as conn:
        units = await load_map(conn)
    # Before the start: a count may lag half a second behind whoever comes after.
    await synth(pool, Keyring(settings.secret_key or ""), units, NOW, PEOPLE, 11)
    async with running(settings, pool) as opened:
        yield opened


async def headers_of(site: Site, actor: Actor) -> dict[str, str]:
    async with site.pool.acquire() as conn:
        opened = await sessions.open_session(conn, site.keyring, actor, NOW)
    return {"Cookie": f"{SESSION_COOKIE}={opened.token}", "X-CSRF-Token": opened.csrf}


@pytest.fixture
async def headers(site: Site) -> dict[str, str]:
    return await headers_of(site, site.author)


async def ask(site: Site, headers: dict[str, str], path: str, body: Any) -> Any:
    answer = await site.client.post(f"/api/v1/{path}", json=body, headers=headers)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def refusal(answer: ClientResponse, status: int = 422) -> Any:
    assert answer.status == status
    assert answer.content_type == PROBLEM_TYPE
    return await answer.json(content_type=None)


async def people_of(site: Site, area: dict[str, Any]) -> list[int]:
    async with site.pool.acquire() as conn:
        return [int(one) for one in await site.selector.select(conn, site.now, area)]


async def test_an_audience_comes_with_channels_languages_and_units(
    site: Site, headers: dict[str, str]
) -> None:
    told = await ask(site, headers, "audience", {"area": TOWN})
    found = await people_of(site, TOWN)
    assert told["people"] == len(found) > 20
    assert sum(told["languages"].values()) == sum(one["people"] for one in told["units"])
    assert sum(one["people"] for one in told["units"]) == told["people"]
    assert 0 < told["by_unit_only"] < told["people"]
    assert told["channels"].keys() == {"push", "sms", "email"}
    counts = [one["people"] for one in told["units"]]
    assert counts == sorted(counts, reverse=True)
    assert told["units"][0].keys() == {"code", "vintage", "name", "people"}
    by_unit_only = await ask(site, headers, "audience", {"area": units(BA_DINH, NGOC_HA)})
    assert {one["code"] for one in by_unit_only["units"]} >= {BA_DINH, NGOC_HA}


async def test_two_areas_are_compared(site: Site, headers: dict[str, str]) -> None:
    before, after = units("01"), units(BA_DINH, PHU_THUONG)
    change = await ask(site, headers, "audience/compare", {"before": TOWN, "after": after})
    was, will = set(await people_of(site, TOWN)), set(await people_of(site, after))
    assert change == {
        "added": len(will - was), "kept": len(will & was), "dropped": len(was - will),
    }  # fmt: skip
    assert min(change.values()) > 0
    none = await ask(site, headers, "audience/compare", {"before": before, "after": before})
    assert (none["added"], none["dropped"]) == (0, 0)


async def test_an_area_that_cannot_be_used_says_what_is_wrong_where_and_what_mends_it(
    site: Site, headers: dict[str, str]
) -> None:
    for path, body in (
        ("audience", {"area": BOW_TIE}),
        ("audience/compare", {"before": TOWN, "after": BOW_TIE}),
        ("areas/simplify", {"area": BOW_TIE, "max_points": 10}),
    ):
        answer = await site.client.post(f"/api/v1/{path}", json=body, headers=headers)
        said = await refusal(answer)
        [one] = said["problems"]
        assert (said["code"], one["code"]) == ("area_refused", "self_crossing")
        assert one["where"] == one["field"]
        assert one["where"].startswith("polygons[0]")
        assert one["at"] == pytest.approx([105.83, 21.03])
        assert one["repair"] == "uncross"
        assert one["message"] == {"vi": one["message_vi"], "en": one["message_en"]}


async def test_an_area_of_which_nothing_is_left_is_told_so_instead_of_counting_nobody(
    site: Site, headers: dict[str, str]
) -> None:
    erased = TOWN | {"exclusions": dict(TOWN)}
    answer = await site.client.post("/api/v1/audience", json={"area": erased}, headers=headers)
    [one] = (await refusal(answer))["problems"]
    assert one["code"] == "empty_area"


async def test_a_check_tells_every_problem_and_that_nobody_is_inside(
    site: Site, headers: dict[str, str]
) -> None:
    async def codes(area: Any, who: dict[str, str] = headers) -> list[str]:
        told = await ask(site, who, "areas/check", {"area": area})
        return [one["code"] for one in told["problems"]]

    assert await codes(TOWN) == []
    assert await codes(BOW_TIE) == ["self_crossing"]
    assert await codes(SEA) == ["beyond_jurisdiction"]
    assert await codes({}) == ["empty_area"]
    assert await codes(units("00000")) == ["unknown_unit"]
    tiny = {"circles": [{"lon": 105.838, "lat": 21.038, "metres": 1}]}
    assert await codes(tiny) == ["no_one_inside"]
    async with site.pool.acquire() as conn:
        ward = await official(conn, "ward", Role("author", await unit_id(conn, BA_DINH)))
    of_the_ward = await headers_of(site, ward)
    assert await codes(units(BA_DINH), of_the_ward) == []
    assert await codes(units(NGOC_HA), of_the_ward) == ["beyond_jurisdiction"]
    malformed: list[Any] = [{"polygon": []}, {"units": [1]}, {"lines": {"a": 1}}]
    for area in malformed:
        answer = await site.client.post("/api/v1/areas/check", json={"area": area}, headers=headers)
        assert (await refusal(answer))["problems"][0]["code"] == "malformed"
    bodies: list[Any] = [{}, {"area": []}, {"area": {}, "units": []}]
    for body in bodies:
        answer = await site.client.post("/api/v1/areas/check", json=body, headers=headers)
        assert (await refusal(answer))["code"] == "invalid_body"


async def test_a_list_of_names_becomes_an_area(site: Site, headers: dict[str, str]) -> None:
    text = "P. Ba Đình\nphuong ngoc ha, quan hoan kiem\nXanh Đỏ"
    told = await ask(site, headers, "areas/names", {"text": text})
    assert [one["code"] for one in told["area"]["units"]] == [BA_DINH, NGOC_HA]
    assert len(told["area"]["groups"]) == 1
    exact, unmarked, group, unknown = told["lines"]
    assert (exact["assumed"], exact["units"][0]["name"]) == (None, "Phường Ba Đình")
    assert unmarked["assumed"] == "no_marks"
    assert "Hoàn Kiếm" in group["groups"][0]["name"]
    assert (unknown["assumed"], unknown["units"], unknown["groups"]) == ("unknown", [], [])
    assert all(line["message"]["vi"] and line["message"]["en"] for line in told["lines"])
    answer = await site.client.post("/api/v1/areas/names", json={"text": ""}, headers=headers)
    assert [one["field"] for one in (await refusal(answer))["problems"]] == ["text"]


async def test_a_file_becomes_an_area(site: Site, headers: dict[str, str]) -> None:
    wanted = Area.from_json({"polygons": [Area.from_json(BOW_TIE).to_json()["polygons"][0]]})
    data = (
        b'{"type": "Polygon", "coordinates": [[[105.80, 21.00], [105.86, 21.00],'
        b" [105.86, 21.06], [105.80, 21.06], [105.80, 21.00]]]}"
    )
    form = FormData()
    form.add_field("other", "x")
    form.add_field("file", data, filename="C:\\maps\\v\u00f9ng.geojson")
    answer = await site.client.post("/api/v1/areas/read", data=form, headers=headers)
    assert answer.status == 200, await answer.text()
    sent = await answer.json()
    assert len(sent["area"]["polygons"]) == len(wanted.include.polygons) == 1
    assert sent["notes"] == []
    raw = await site.client.post(
        "/api/v1/areas/read", params={"name": "a.geojson"}, data=data, headers=headers
    )
    assert await raw.json() == sent
    tied = b'{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}'
    crossing = await site.client.post("/api/v1/areas/read", data=tied, headers=headers)
    assert [note["code"] for note in (await crossing.json())["notes"]] == ["self_crossing"]


async def test_a_file_that_is_none_says_so(site: Site, headers: dict[str, str]) -> None:
    for data in (b"", b"\x00\x01\x02", b"hello", b'{"type": "Feature"}', b"PK\x03\x04broken"):
        answer = await site.client.post("/api/v1/areas/read", data=data, headers=headers)
        said = await refusal(answer)
        assert said["problems"], data
    form = FormData()
    form.add_field("document", b"{}", filename="a.geojson")
    answer = await site.client.post("/api/v1/areas/read", data=form, headers=headers)
    assert (await refusal(answer))["code"] == "file_missing"
    broken = await site.client.post(
        "/api/v1/areas/read",
        data=b"--x\r\nnonsense",
        headers=headers | {"Content-Type": "multipart/form-data; boundary=x"},
    )
    await refusal(broken)
    without = {"Cookie": headers["Cookie"]}
    assert (await site.client.post("/api/v1/areas/read", data=b"{}", headers=without)).status == 403
    assert (await site.client.post("/api/v1/areas/read", data=b"{}")).status == 401


async def test_a_file_too_large_is_refused_before_it_is_read_whole(
    site: Site, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_FILE", 1_000_000)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            yield b" " * 65_536
            sent += 65_536

    answer = await site.client.post("/api/v1/areas/read", data=endless(), headers=headers)
    assert (await refusal(answer, 413))["code"] == "too_large"
    assert sent < 40_000_000
    form = FormData()
    form.add_field("file", b" " * 2_000_000, filename="a.kml")
    answer = await site.client.post("/api/v1/areas/read", data=form, headers=headers)
    await refusal(answer, 413)


async def test_a_repair_says_what_it_changes_and_saves_nothing(
    site: Site, headers: dict[str, str]
) -> None:
    told = await ask(site, headers, "areas/repair", {"area": BOW_TIE})
    assert told["applied"] == ["uncross"]
    assert (told["km2_before"], told["people_before"]) == (None, None)
    assert told["km2_after"] > 5
    assert told["people_after"] == len(await people_of(site, told["area"])) > 0
    assert [one["code"] for one in told["problems"] if one["blocking"]] == []
    wide = {"circles": [{"lon": 105.838, "lat": 21.038, "metres": 150_000}]}
    clipped = await ask(site, headers, "areas/repair", {"area": wide, "repairs": ["clip"]})
    assert clipped["applied"] == ["clip"]
    assert clipped["dropped_km2"] > 10_000
    assert clipped["km2_before"] > clipped["km2_after"]
    assert clipped["people_before"] == clipped["people_after"] == PEOPLE + 1
    none = await ask(site, headers, "areas/repair", {"area": BOW_TIE, "repairs": ["rewind"]})
    assert "self_crossing" in [one["code"] for one in none["problems"]]
    answer = await site.client.post(
        "/api/v1/areas/repair", json={"area": TOWN, "repairs": ["pray"]}, headers=headers
    )
    [one] = (await refusal(answer))["problems"]
    assert (one["where"], one["code"]) == ("repairs[0]", "unknown_repair")


async def test_a_simpler_area_says_whom_it_adds_and_drops(
    site: Site, headers: dict[str, str]
) -> None:
    ring = shapely.get_coordinates(Area.from_json(TOWN).shape(site.units.outlines))
    area = {"polygons": [{"type": "Polygon", "coordinates": [ring.tolist()]}]}
    told = await ask(site, headers, "areas/simplify", {"area": area, "max_points": 8})
    assert told["points_before"] == len(ring)
    assert told["points"] <= 8
    assert told["dropped_km2"] > 0.1
    assert told["problems"] == []
    twice = {"polygons": [*area["polygons"], *circle_of(40)["polygons"]]}
    still = await ask(site, headers, "areas/simplify", {"area": twice, "max_points": 5})
    assert [one["code"] for one in still["problems"]] == ["fewest_points"]
    before, after = set(await people_of(site, area)), set(await people_of(site, told["area"]))
    assert told["people"] == {
        "before": len(before), "after": len(after),
        "added": len(after - before), "dropped": len(before - after),
    }  # fmt: skip
    for wrong in (3, 50_001, None):
        body = {"area": area, "max_points": wrong}
        answer = await site.client.post("/api/v1/areas/simplify", json=body, headers=headers)
        assert (await refusal(answer))["problems"][0]["field"] == "max_points"


def circle_of(points: int) -> dict[str, Any]:
    ring = shapely.Point(105.838, 21.038).buffer(0.03, quad_segs=points // 4).exterior
    coordinates = shapely.get_coordinates(ring.reverse()).round(6).tolist()
    return {"polygons": [{"type": "Polygon", "coordinates": [coordinates]}]}


@pytest.mark.slow
async def test_what_is_over_the_limits_is_counted_before_it_is_simplified_or_repaired(
    site: Site, headers: dict[str, str]
) -> None:
    area = circle_of(60_000)
    told = await ask(site, headers, "areas/simplify", {"area": area, "max_points": 500})
    people = told["people"]
    assert people["before"] + people["added"] - people["dropped"] == people["after"] > 20
    mended = await ask(site, headers, "areas/repair", {"area": area, "repairs": ["simplify"]})
    assert mended["applied"] == ["simplify"]
    assert mended["people_before"] == people["before"]
    assert mended["km2_before"] == pytest.approx(mended["km2_after"], rel=0.01)
    # It stays refused wherever it is to be used.
    answer = await site.client.post("/api/v1/audience", json={"area": area}, headers=headers)
    assert (await refusal(answer))["problems"][0]["code"] == "too_many_points"


async def test_slow_work_is_ended_and_holds_up_nobody(
    site: Site, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stuck(*_: object) -> None:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(30)

    monkeypatch.setattr(area_tools, "LONGEST_S", 0.2)
    monkeypatch.setattr(area_tools, "_problems", stuck)
    try:
        asked = site.client.post("/api/v1/areas/check", json={"area": TOWN}, headers=headers)
        slow, quick = await asyncio.gather(asked, site.client.get("/healthz"))
        assert quick.status == 200
        assert (await refusal(slow))["code"] == "area_too_costly"
    finally:
        release.set()


async def test_a_full_queue_says_busy_and_light_pages_stay_fast(
    site: Site, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 120
    heavy = [[105.4 + 0.6 * n / steps, 20.7 + 0.5 * (n % 2)] for n in range(steps)]
    line = {"type": "LineString", "coordinates": heavy}
    monkeypatch.setattr(drawing, "WAITING", 2)

    async def ask_heavy(metres: int) -> int:
        body = {"area": {"lines": [line | {"metres": metres}]}}
        answer = await site.client.post("/api/v1/audience", json=body, headers=headers)
        if answer.status == 503:
            assert answer.headers["Retry-After"]
            assert (await refusal(answer, 503))["code"] == "busy"
        return answer.status

    under_way = asyncio.gather(*(ask_heavy(1_000 + number) for number in range(10)))
    for path in ("/healthz", "/console/sign-in", "/api/v1/alerts"):
        started = time.perf_counter()
        assert (await site.client.get(path)).status == 200
        assert time.perf_counter() - started < 10
    told = await under_way
    assert told.count(503) >= 1
    assert told.count(200) >= 4
    small = await site.client.post("/api/v1/audience", json={"area": TOWN}, headers=headers)
    assert small.status == 200


async def test_an_official_counts_as_fast_as_a_hand_and_no_faster(
    site: Site, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_burst", "_rate"):
        monkeypatch.setattr(site.client.app[counting.COUNTS], name, 1 if name == "_burst" else 0.01)
    await ask(site, headers, "audience", {"area": TOWN})
    for path in ("/api/v1/audience", "/console/audience"):
        refused = await site.client.post(path, json={"area": TOWN}, headers=headers)
        assert refused.status == 429
    other = await headers_of(site, site.approver)
    await ask(site, other, "audience", {"area": TOWN})
