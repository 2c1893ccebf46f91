"""The map of the compose screen: figures, the density raster, names, files, problems, repairs."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from broadcaster.db import Pool
from broadcaster.keyring import Keyring
from broadcaster.people import register
from broadcaster.people.units import load_map, seed_units
from broadcaster.settings import Settings
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import BA_DINH_POINT, registration
from tests.unit.broadcaster.desk import SQUARE, VINTAGE, Desk, Seat
from tests.unit.broadcaster.site import Site

AT_HOME = 6
PEOPLE = AT_HOME + 1
"""With the one whom every such city has, known by the unit only."""
CROSSED = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]]
LINE = {"type": "LineString", "coordinates": [[105.82, 21.03], [105.86, 21.04]], "metres": 500}
BOX = {"west": "105.8", "south": "21.0", "east": "105.9", "north": "21.1"}


def drawn(ring: list[list[float]]) -> dict[str, Any]:
    return {"polygons": [{"type": "Polygon", "coordinates": [ring]}]}


@pytest.fixture
async def city(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    """The small city with a few people at one spot of Ba Dinh."""
    async with pool.acquire() as conn:
        await seed_units(conn, site.NOW)
        units, keyring = await load_map(conn), Keyring(settings.secret_key or "")
        for number in range(AT_HOME):
            address = f"nguoi{number}@example.vn"
            person = registration(("email", address), consent_at=site.NOW)
            await register.register(conn, keyring, units, site.NOW, person)
        await conn.execute("UPDATE endpoint_claim SET used_at = created_at")
    async with site.running(settings, pool) as running:
        yield running


@pytest.fixture
async def author(city: Site) -> AsyncIterator[Desk]:
    async with Seat(city, "ha") as desk:
        yield await desk


async def asked(desk: Desk, path: str, **document: Any) -> Any:
    answer = await desk.send("POST", path, document)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_a_moving_shape_is_answered_with_figures_alone(author: Desk) -> None:
    figures = await asked(author, "/console/audience", area=drawn(SQUARE))
    assert figures["people"] == PEOPLE
    assert figures["channels"] == {"push": 0, "sms": 0, "email": 0}
    assert figures["languages"]["vi"] == PEOPLE
    assert figures["unit_only"] == 1
    assert sum(people for _, people, _ in figures["units"]) == PEOPLE
    assert all(1 <= percent <= 100 for _, _, percent in figures["units"])
    refused = await asked(author, "/console/audience", area=drawn(CROSSED))
    assert "people" not in refused
    assert "tự cắt" in refused["problems"][0]


async def test_a_shape_that_lies_still_is_answered_with_its_panel(author: Desk) -> None:
    headers = {"X-CSRF-Token": author.csrf, "Accept": "text/html"}
    body = {"area": drawn(SQUARE)}
    answer = await author.client.post("/console/audience", json=body, headers=headers)
    page = await answer.text()
    assert f'data-people="{PEOPLE}"' in page
    assert "Phường Ba Đình" in page


async def test_cells_of_the_raster_run_from_the_north_west_and_hide_few_people(
    author: Desk,
) -> None:
    answer = await author.get("/console/density", params={**BOX, "cols": "4", "rows": "10"})
    body = await answer.read()
    west, south, east, north, cols, rows = struct.unpack_from("<4d2I", body)
    assert west <= 105.8 < 105.9 <= east
    assert south <= 21.0 < 21.1 <= north
    cells = np.frombuffer(body, dtype="<u4", offset=40).reshape(rows, cols)
    assert cells.sum() == AT_HOME
    # Off the line of the grid that begins at the only point there is.
    lon, lat = (degrees + 1e-6 for degrees in BA_DINH_POINT)
    row, col = (north - lat) / (north - south) * rows, (lon - west) / (east - west) * cols
    assert cells[int(row), int(col)] == AT_HOME


@pytest.mark.parametrize(
    "wrong",
    [
        {"cols": "0"},
        {"cols": "257"},
        {"rows": "9" * 40},
        {"rows": "²"},
        {"west": "nan"},
        {"west": "x"},
        {"east": "105.7"},
        {"north": "1e400"},
    ],
)
async def test_a_raster_nobody_can_draw_is_refused(author: Desk, wrong: dict[str, str]) -> None:
    query = {**BOX, "cols": "4", "rows": "4", **wrong}
    headers = {"Accept": "application/json"}
    answer = await author.get("/console/density", params=query, headers=headers)
    assert answer.status == 422
    assert (await answer.json())["code"] == "bad_box"


async def test_problems_are_told_with_their_place_and_their_repair(author: Desk) -> None:
    found = await asked(author, "/console/area/check", area=drawn(CROSSED))
    assert 'data-code="self_crossing"' in found["html"]
    assert "data-at=" in found["html"]
    assert "data-repair=" in found["html"]
    assert (await asked(author, "/console/area/check", area={}))["html"].strip() == ""


async def test_a_line_comes_back_with_the_shape_that_is_counted(author: Desk) -> None:
    area = {"lines": [LINE], "exclusions": {"lines": [{**LINE, "metres": -1}]}}
    found = await asked(author, "/console/area/check", area=area)
    assert found["lines"]["add"][0]["type"] == "Polygon"
    assert found["lines"]["minus"] == [None]


async def test_a_repair_is_shown_with_what_it_changes(author: Desk) -> None:
    area = drawn([*SQUARE[:3], [105.84, 21.025], SQUARE[0]])
    found = await asked(author, "/console/area/repair", area=drawn(CROSSED), repairs=["uncross"])
    assert "data-accept=" in found["html"]
    assert found["area"]["polygons"]
    refused = await author.send(
        "POST", "/console/area/repair", {"area": area, "repairs": ["no such repair"]}
    )
    assert refused.status == 422


async def test_a_border_of_many_points_is_offered_to_be_simplified(author: Desk) -> None:
    turns = np.linspace(0, 2 * np.pi, 2_400)
    ring = [[105.84 + 0.01 * np.cos(t), 21.04 + 0.01 * np.sin(t)] for t in turns[:-1]]
    area = drawn([*ring, ring[0]])
    assert "data-simplify" in (await asked(author, "/console/area/check", area=area))["html"]
    found = await asked(author, "/console/area/simplify", area=area, max_points=200)
    assert len(found["area"]["polygons"][0]["coordinates"][0]) <= 200
    for most in (3, 10**9, "200", None):
        answer = await author.send(
            "POST", "/console/area/simplify", {"area": area, "max_points": most}
        )
        assert answer.status == 422


async def test_a_file_is_read_and_shown_before_it_is_taken(author: Desk) -> None:
    document = {"type": "Feature", "properties": {}, "geometry": drawn(SQUARE)["polygons"][0]}
    headers = {"X-CSRF-Token": author.csrf, "Accept": "application/json"}
    address = "/console/area/read?name=b%C3%A3i%20s%C3%B4ng.geojson"
    answer = await author.client.post(address, data=json.dumps(document).encode(), headers=headers)
    found = await answer.json()
    assert len(found["area"]["polygons"]) == 1
    assert "bãi sông.geojson" in found["html"]
    assert "data-accept=" in found["html"]
    broken = await author.client.post(address, data=gzip.compress(b"no map"), headers=headers)
    assert broken.status == 422
    assert (await broken.json())["message"]


async def test_a_file_from_elsewhere_says_that_it_does_not_touch_the_ground(author: Desk) -> None:
    sea = [[x + 3, y] for x, y in SQUARE]
    headers = {"X-CSRF-Token": author.csrf}
    for ring, told in ((sea, True), (SQUARE, False)):
        data = json.dumps({"type": "Polygon", "coordinates": [ring]}).encode()
        address = "/console/area/read?name=a.geojson"
        answer = await author.client.post(address, data=data, headers=headers)
        html = (await answer.json())["html"]
        assert ("không chạm địa bàn" in html) is told


async def test_a_list_of_names_is_shown_line_by_line(author: Desk) -> None:
    text = "p. ba dinh\nquan tay ho cu\nkhong co noi nay"
    found = await asked(author, "/console/area/names", text=text)
    assert {"code": "00004", "vintage": VINTAGE} in found["area"]["units"]
    assert len(found["area"]["groups"]) == 1
    assert "Phường Ba Đình" in found["html"]
    assert found["html"].count("Không lấy</span>") == 1
    assert "Quận Tây Hồ (cũ)" in found["html"]


async def test_a_suggestion_tells_the_line_it_is_for(author: Desk) -> None:
    found = await asked(author, "/console/area/names", text="Ngọc Hà\n\nHoàn Kím")
    assert 'data-row="2" data-typed="Hoàn Kím" data-suggested="Phường Hoàn Kiếm"' in found["html"]


async def test_an_area_that_cannot_be_counted_has_no_figure(author: Desk) -> None:
    headers = {"X-CSRF-Token": author.csrf, "Accept": "text/html"}
    body = {"area": drawn(CROSSED)}
    answer = await author.client.post("/console/audience", json=body, headers=headers)
    page = await answer.text()
    assert "data-uncounted" in page
    assert '<b data-live="people">–</b> chưa đếm được' in page


async def test_what_is_no_document_is_refused(author: Desk) -> None:
    headers = {"X-CSRF-Token": author.csrf, "Accept": "application/json"}
    for body in (b"", b"[]", b"{", b'"x"', b'{"area": 1e999999'):
        answer = await author.client.post("/console/audience", data=body, headers=headers)
        assert answer.status == 422
    for area in ("x", 7, [1], {"polygons": 3}):
        answer = await author.send("POST", "/console/area/check", {"area": area})
        assert answer.status == 422, area


@pytest.mark.parametrize("number", ["9" * 30, "2147483648", "²", "٣", "-1", "x", ""])
async def test_a_number_no_version_has_is_refused(author: Desk, number: str) -> None:
    answer = await author.post("/console/alerts/new", event="storm", unit=number)
    assert answer.status == 422
    answer = await author.post("/console/alerts/HN-1/submit", version=number)
    assert answer.status == 422
