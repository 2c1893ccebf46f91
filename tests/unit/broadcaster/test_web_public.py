"""What everybody may read: pages, CAP, GeoJSON, the feed; and what machines ask of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
import shapely

from broadcaster.alerts import cap, lifecycle
from broadcaster.db import Pool
from broadcaster.settings import Settings
from broadcaster.web.feeds.atom import NAMESPACE
from tests.unit.broadcaster.site import NOW, Site, approved, content, publish, running, written

ATOM = f"{{{NAMESPACE}}}"
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
SQUARE = [[105.82, 21.05], [105.86, 21.05], [105.86, 21.02], [105.82, 21.02], [105.82, 21.05]]
DRAWN = {
    "units": [{"code": "00091", "vintage": "2025-07-01"}],
    "polygons": [{"type": "Polygon", "coordinates": [SQUARE]}],
    "circles": [{"lon": 105.9, "lat": 21.0, "metres": 1500}],
}


@pytest.fixture
async def site(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with running(settings, pool) as opened:
        yield opened


async def cap_of(site: Site, code: str) -> ElementTree.Element:
    answer = await site.client.get(f"/alerts/{code}.cap.xml")
    assert answer.status == 200
    assert answer.content_type == "application/cap+xml"
    data = await answer.read()
    assert cap.check_bytes(data) == []
    return ElementTree.fromstring(data)


async def test_drafts_and_what_never_left_are_nobodys_business(site: Site) -> None:
    async with site.pool.acquire() as conn:
        draft = await written(site, conn)
        stopped = await approved(site, conn)
        await lifecycle.stop(conn, site.author, NOW, stopped.alert_id, "nhầm")
    for code in (draft.code, stopped.code, "HN-0000-0000-000"):
        for path in (f"/alerts/{code}", f"/alerts/{code}.cap.xml", f"/alerts/{code}.geojson"):
            assert (await site.client.get(path)).status == 404
    assert draft.code not in await (await site.client.get("/alerts")).text()
    assert stopped.code not in await (await site.client.get("/feeds/cap.atom")).text()


async def test_cap_says_what_was_approved_in_every_language(site: Site) -> None:
    alert = await publish(site, event="flood", area=DRAWN, **{"class": "emergency"})
    root = await cap_of(site, alert.code)
    assert root.findtext(f"{CAP}identifier") == alert.cap_identifier
    assert root.findtext(f"{CAP}sent") == "2026-09-10T03:17:00+07:00"
    assert root.findtext(f"{CAP}msgType") == "Alert"
    infos = root.findall(f"{CAP}info")
    assert [info.findtext(f"{CAP}language") for info in infos] == ["vi-VN", "en"]
    for info in infos:
        assert info.findtext(f"{CAP}expires") == "2026-09-10T15:17:00+07:00"
        area = info.find(f"{CAP}area")
        assert area is not None
        assert len(area.findall(f"{CAP}polygon")) == 2
        assert area.findtext(f"{CAP}circle") == "21,105.9 1.5"
        assert area.findtext(f"{CAP}geocode/{CAP}value") == "00091"
    codes = {
        pair.findtext(f"{CAP}valueName"): pair.findtext(f"{CAP}value")
        for pair in infos[0].findall(f"{CAP}eventCode")
    }
    assert codes["HANOI-ALERTS-EVENT"] == "flood"
    source = [p.findtext(f"{CAP}value") for p in infos[0].findall(f"{CAP}parameter")]
    assert any("Đài KTTV <Bắc Bộ>" in str(value) for value in source)


async def test_cap_never_changes_once_it_is_out(site: Site) -> None:
    alert = await publish(site)
    before = await (await site.client.get(f"/alerts/{alert.code}.cap.xml")).read()
    site.later(hours=1)
    await publish(site, kind="update", before=alert)
    assert await (await site.client.get(f"/alerts/{alert.code}.cap.xml")).read() == before


async def test_an_update_refers_to_all_that_came_before(site: Site) -> None:
    first = await publish(site)
    site.later(minutes=30)
    said = content(site.now)["wording"]
    second = await publish(site, kind="update", before=first, prepared={"cancel": said})
    third = await publish(site, kind="cancel", before=second)
    root = await cap_of(site, third.code)
    assert root.findtext(f"{CAP}msgType") == "Cancel"
    assert (root.findtext(f"{CAP}references") or "").split() == [
        f"alerts@localhost,{first.cap_identifier},2026-09-10T03:17:00+07:00",
        f"alerts@localhost,{second.cap_identifier},2026-09-10T03:47:00+07:00",
    ]
    assert root.findtext(f"{CAP}info/{CAP}responseType") == "None"


async def test_an_area_without_some_of_it_is_told_by_shape_alone(site: Site) -> None:
    unit = {"code": "00004", "vintage": "2025-07-01"}
    part = shapely.box(105.8, 20.9, 105.84, 21.2).__geo_interface__
    area = {"units": [unit], "exclusions": {"polygons": [part]}}
    root = await cap_of(site, (await publish(site, area=area)).code)
    assert root.find(f"{CAP}info/{CAP}area/{CAP}geocode") is None
    assert root.find(f"{CAP}info/{CAP}area/{CAP}polygon") is not None


async def test_geojson_is_the_area(site: Site) -> None:
    alert = await publish(site, area=DRAWN)
    answer = await site.client.get(f"/alerts/{alert.code}.geojson")
    assert answer.content_type == "application/geo+json"
    feature = await answer.json()
    shape = shapely.from_geojson(await answer.text())
    assert shapely.is_valid(shape).all()
    assert shapely.contains_xy(shapely.union_all(shape), 105.84, 21.03)
    assert shapely.contains_xy(shapely.union_all(shape), 105.9, 21.0)
    assert feature["properties"]["code"] == alert.code
    assert feature["properties"]["approximate"] is True


async def test_a_unit_the_map_knows_no_more_is_told_by_its_code(site: Site) -> None:
    alert = await publish(site)
    # Nothing has asked for the map yet, so it is read as the reform left it.
    await site.pool.execute("UPDATE unit SET vintage = '2024-01-01' WHERE code = '00004'")
    root = await cap_of(site, alert.code)
    assert root.findtext(f"{CAP}info/{CAP}area/{CAP}geocode/{CAP}value") == "00004"
    feature = await (await site.client.get(f"/alerts/{alert.code}.geojson")).json()
    assert feature["geometry"] is None
    assert (await site.client.get(f"/alerts/{alert.code}")).status == 200


async def test_the_feed_lists_alerts_newest_first_with_their_cap_files(site: Site) -> None:
    empty = ElementTree.fromstring(await (await site.client.get("/feeds/cap.atom")).read())
    assert empty.findall(f"{ATOM}entry") == []
    first = await publish(site)
    site.later(minutes=5)
    second = await publish(site)
    answer = await site.client.get("/feeds/cap.atom?lang=en")
    root = ElementTree.fromstring(await answer.read())
    entries = root.findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}id") for entry in entries] == [
        second.cap_identifier,
        first.cap_identifier,
    ]
    assert root.findtext(f"{ATOM}updated") == "2026-09-10T03:22:00+07:00"
    link = entries[0].find(f"{ATOM}link[@type='application/cap+xml']")
    assert link is not None
    assert link.get("href") == f"{site.settings.public_url}/alerts/{second.code}.cap.xml"
    again = await site.client.get(
        "/feeds/cap.atom?lang=en", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status == 304


async def test_the_page_says_what_to_do_first_and_where(site: Site) -> None:
    alert = await publish(site, event="flood", area=DRAWN, **{"class": "emergency"})
    page = await (await site.client.get(f"/alerts/{alert.code}?lang=vi")).text()
    assert page.index("<h1") < page.index("Việc cần làm") < page.index("Khu vực")
    assert "<svg viewBox" in page
    assert "Ranh giới gần đúng" in page
    assert 'style="' not in page
    assert "Đài KTTV &lt;Bắc Bộ&gt;" in page
    english = await (await site.client.get(f"/alerts/{alert.code}?lang=en")).text()
    assert '<html lang="en">' in english
    assert "What to do" in english


async def test_the_page_says_how_an_alert_stands(site: Site) -> None:
    first = await publish(site)
    second = await publish(site, kind="update", before=first)

    async def page(code: str) -> str:
        return await (await site.client.get(f"/alerts/{code}?lang=en")).text()

    old = await page(first.code)
    assert "There is newer word" in old
    assert f"/alerts/{second.code}" in old
    assert "There is newer word" not in await page(second.code)
    clear = await publish(site, event="all_clear", kind="all_clear", before=second)
    assert "All clear" in await page(second.code)
    site.later(hours=13)
    assert "Over since" in await page(clear.code)
    listing = await (await site.client.get("/alerts?lang=en")).text()
    assert "No alert is in force now." in listing
    assert first.code in listing


async def test_public_answers_may_be_kept_for_seconds_only(site: Site) -> None:
    alert = await publish(site)
    for path in (f"/alerts/{alert.code}", f"/alerts/{alert.code}.cap.xml", "/feeds/cap.atom"):
        answer = await site.client.get(path)
        kind, _, age = answer.headers["Cache-Control"].partition(", max-age=")
        assert kind == "public"
        assert 0 < int(age) <= 60


async def test_health(site: Site) -> None:
    assert (await site.client.get("/healthz")).status == 200
    assert (await site.client.get("/readyz")).status == 200
    await site.pool.close()
    assert (await site.client.get("/healthz")).status == 200
    assert (await site.client.get("/readyz")).status == 503


async def test_metrics_tell_how_long_the_oldest_batch_waits(site: Site) -> None:
    alert = await publish(site)
    await site.pool.execute(
        "INSERT INTO batch (alert_id, channel, endpoint_ids, digest, not_before)"
        " VALUES ($1, 'sms', '{1}', decode(repeat('00', 16), 'hex'), $2)",
        alert.alert_id, NOW - timedelta(seconds=90),
    )  # fmt: skip
    text = await (await site.client.get("/metrics")).text()
    assert 'broadcaster_queue_age_seconds{channel="sms",lane="warning"} 90.0' in text
    assert 'broadcaster_first_handoff_seconds_count{lane="warning"} 1.0' in text
    assert "broadcaster_build_info{" in text


async def test_metrics_ask_for_their_token(settings: Settings, pool: Pool, tmp_path: Path) -> None:
    closed = settings.model_copy(update={"metrics_token": "0123456789abcdef"})
    async with running(closed, pool) as site:
        assert (await site.client.get("/metrics")).status == 403
        wrong = {"Authorization": "Bearer 0123456789abcdeX"}
        assert (await site.client.get("/metrics", headers=wrong)).status == 403
        right = {"Authorization": "Bearer 0123456789abcdef"}
        assert (await site.client.get("/metrics", headers=right)).status == 200
