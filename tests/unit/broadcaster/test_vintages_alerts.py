"""Units of 2024 and 2025 side by side: alerts and drafts of the old ones stay what they were."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broadcaster.alerts import checks, draft, lifecycle
from broadcaster.alerts.content import parse
from broadcaster.db import Conn, Pool
from broadcaster.fanout.stages import start
from broadcaster.keyring import Keyring
from broadcaster.people import ended_units
from broadcaster.people.officials import Role, find_actor
from broadcaster.people.register import Place
from broadcaster.people.selection import Selector
from broadcaster.people.units import load_map
from broadcaster.settings import Settings
from broadcaster.web import area_tools, geography
from targeting.area import Area
from tests.conftest import TEMPLATE
from tests.unit.broadcaster.city import NOW, official
from tests.unit.broadcaster.reform import BEFORE, NEW, OLD, box, found_city, reform, resident, unit
from tests.unit.broadcaster.site import Site, approved, content, publish, running

OF_2024 = OLD.isoformat()
SQUARE = box(1.2, 0.5, 3.5, 1.5).__geo_interface__
AREAS: dict[str, dict[str, Any]] = {
    "units": {"units": [{"code": "00016", "vintage": OF_2024}]},
    "group": {"groups": ["D1"]},
    "drawn": {"polygons": [SQUARE]},
    "all but": {
        "groups": ["D1"], "exclusions": {"units": [{"code": "00004", "vintage": OF_2024}]}
    },
}  # fmt: skip


@pytest.fixture
def template() -> str:
    return TEMPLATE


@pytest.fixture
async def site(
    settings: Settings,
    pool: Pool,
    conn: Conn,
    keyring: Keyring,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Site]:
    await found_city(conn, tmp_path)
    monkeypatch.setattr(geography, "_LOOK_AGAIN_S", 0.0)
    await resident(conn, keyring, Place(unit_code="00016"), ("sms", "+84912345678"))
    async with running(settings, pool) as opened:
        yield opened


async def everything(site: Site, code: str) -> list[bytes]:
    found = []
    for path in (f"/alerts/{code}?lang=vi", f"/alerts/{code}?lang=en", f"/alerts/{code}.geojson",
                 f"/alerts/{code}.cap.xml", "/feeds/cap.atom"):  # fmt: skip
        answer = await site.client.get(path)
        assert answer.status == 200, path
        found.append(await answer.read())
    return found


@pytest.mark.parametrize("area", AREAS)
async def test_an_old_alert_stays_what_it_was_byte_for_byte(
    site: Site, conn: Conn, tmp_path: Path, area: str
) -> None:
    alert = await publish(site, area=AREAS[area])
    before = await everything(site, alert.code)
    assert b"Ng\xe1\xbb\x8dc H\xc3\xa0" in before[0]
    await reform(conn, tmp_path)
    assert (await (await site.client.get("/api/v1/units")).json())["units"] != []
    assert await everything(site, alert.code) == before


async def test_the_console_draws_an_old_alert_on_its_own_units(
    site: Site, conn: Conn, tmp_path: Path
) -> None:
    await publish(site, area=AREAS["units"])
    await reform(conn, tmp_path)
    atlas = geography.Geography(site.pool)
    old = await atlas.atlas_for(AREAS["units"])
    assert old.vintage == OLD
    assert [row.code for row in old.units.values()] == sorted(["01", *(one[0] for one in BEFORE)])
    assert (await atlas.atlas()).vintage == NEW
    assert (await atlas.atlas()).name(await unit(conn, "00016", OLD)) == "Phường Ngọc Hà"


async def test_what_a_unit_began_its_successor_may_see_and_stop(
    site: Site, conn: Conn, tmp_path: Path
) -> None:
    old = await unit(conn, "00004", OLD)
    await official(conn, "bach", Role("author", old), Role("approver", old))
    made = await draft.create(
        conn, await find_actor(conn, "bach"), NOW,
        parse(content(NOW, area={"units": [{"code": "00004", "vintage": OF_2024}]})), old,
    )  # fmt: skip
    await conn.execute(
        "UPDATE alert SET state = 'approved', approved_by = $2, approved_at = now(),"
        " approved_version = version, submitted_by = author_id WHERE alert_id = $1",
        made.alert_id, site.approver.official_id,
    )  # fmt: skip
    await reform(conn, tmp_path)
    heir = await find_actor(conn, "bach")
    assert (await draft.load(conn, heir, made.code)).alert.code == made.code
    stopped = await lifecycle.stop(conn, heir, NOW, made.alert_id, "nhầm")
    assert stopped.state == "stopped"


async def test_an_alert_approved_before_the_reform_still_reaches_its_people(
    site: Site, conn: Conn, tmp_path: Path
) -> None:
    person = await conn.fetchval("SELECT min(person_id) FROM person")
    alert = await approved(site, conn, area=AREAS["units"])
    await reform(conn, tmp_path)

    async def wake() -> None:
        pass

    await start(site.pool, site.now, Selector(), wake)
    assert (await draft.find(conn, alert.alert_id)).state == "sending"
    ids = await Selector().select(conn, site.now, AREAS["units"])
    assert person in ids.tolist()


async def test_a_draft_that_names_ended_units_says_so_and_can_be_mended(
    site: Site, conn: Conn, tmp_path: Path
) -> None:
    area = {
        "units": [
            {"code": "00016", "vintage": OF_2024}, {"code": "90002", "vintage": OF_2024},
            {"code": "77777", "vintage": OF_2024},
        ],
        "exclusions": {"units": [{"code": "00004", "vintage": OF_2024}]},
    }  # fmt: skip
    made = await draft.create(
        conn, site.author, site.now, parse(content(site.now, area=area)),
        await unit(conn, "01", OLD),
    )  # fmt: skip
    await reform(conn, tmp_path)
    author = await find_actor(conn, "ha")
    done = await checks.run(conn, author, site.now, made.alert_id, Selector())
    found = {one.field: one for one in done.problems}
    assert found["units[0]"].code == "ended_unit"
    assert found["units[0]"].message_en == (
        "Ngoc Ha Ward (code 00016) ended on 2025-07-01; today it is Ba Dinh Ward, Ngoc Ha Ward."
    )
    assert "01/07/2025; nay là Phường Ba Đình, Phường Ngọc Hà." in found["units[0]"].message_vi
    assert found["units[0]"].repair == ended_units.REPAIR
    codes = {field: one.code for field, one in found.items() if "units[" in field}
    assert codes == {
        "units[0]": "ended_unit", "units[1]": "unknown_unit", "units[2]": "ended_unit_without_heir",
        "exclusions.units[0]": "ended_unit",
    }  # fmt: skip
    mended = await ended_units.with_todays_units(conn, Area.from_json(area))
    assert [key.code for key in mended.include.units] == ["00004", "00008", "77777", "90002"]
    assert mended.exclude.units == ()
    # The tool of the map says what the repair adds, before anybody accepts it.
    one = {"units": [{"code": "00016", "vintage": OF_2024}]}
    atlas = await geography.Geography(site.pool).atlas()
    told = await area_tools.repair(
        conn, author, site.now, Selector(), atlas, one, [ended_units.REPAIR]
    )
    assert told.applied == (ended_units.REPAIR,)
    assert [unit["vintage"] for unit in told.area["units"]] == [NEW.isoformat()] * 2
    # 1.8 of 4 hundredths of a degree were its own.
    assert told.km2_before is not None
    assert told.added_km2 == pytest.approx(told.km2_before * 2.2 / 1.8, rel=0.01)
    assert (told.dropped_km2, told.problems) == (0.0, ())
    # What was excluded is still only Trúc Bạch, not all of Ba Đình.
    excluded = Area(mended.exclude).shape((await load_map(conn)).outlines)
    assert excluded.symmetric_difference(box(2.8, 0, 4, 2)).area < 1e-9
