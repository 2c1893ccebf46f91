"""Beginning an alert: a kind, a scenario, or an earlier alert without its times."""

from __future__ import annotations

from tests.unit.broadcaster.desk import Desk, ids_twice, posted, started
from tests.unit.broadcaster.site import Site, publish, written


async def test_the_kinds_stand_by_hazard_and_what_one_wrote_last_comes_first(
    author: Desk, city: Site
) -> None:
    page = await author.text("/console/alerts/new")
    assert "Soạn gần đây" not in page
    await started(author, city)
    page = await author.text("/console/alerts/new")
    assert page.index("Soạn gần đây") < page.index('value="storm"') < page.index('value="flood"')
    assert page.count('value="storm"') == 2


async def test_an_earlier_alert_is_found_by_words_without_marks(author: Desk, city: Site) -> None:
    address = await started(author, city)
    await author.send("PUT", f"{address}/draft", posted(1, city))
    assert f'action="{address}/copy"' in await author.text("/console/alerts/new?q=bao+so+3")
    nothing = await author.text("/console/alerts/new?q=dong+dat+voi+rong")
    assert f'action="{address}/copy"' not in nothing
    assert "Không tin nào có những chữ này" in nothing


async def test_a_copy_keeps_words_and_area_and_asks_for_every_time(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    own = {"vi": {"push.title": "Ở yên trong nhà", "page.headline": "Bão vào lúc 19h"}, "en": {}}
    assert (await author.send("PUT", f"{address}/draft", posted(1, city, own=own))).status == 200
    answer = await author.post(f"{address}/copy")
    assert answer.status == 303, await answer.text()
    copied = answer.headers["Location"].removesuffix("/edit")
    document = (await (await author.get(f"{copied}/draft")).json())["document"]
    first = posted(1, city)
    assert document["area"]["units"] == first["area"]["units"]
    assert document["area"]["polygons"] == first["area"]["polygons"]
    assert document["values"]["storm"] == first["values"]["storm"]
    assert "start" not in document["values"]
    assert document["expires"] == document["scheduled_for"] == ""
    assert (document["source"]["issuer"], document["source"]["number"]) == ("Đài KTTV", "")
    assert document["own"]["vi"] == {"push.title": "Ở yên trong nhà"}  # the other named an hour
    row = await city.pool.fetchrow(
        "SELECT c.code FROM alert a JOIN alert c ON c.alert_id = a.copied_from"
    )
    assert row is not None
    assert address.endswith(row["code"])


async def test_a_unit_that_is_no_more_is_left_out_of_a_copy(author: Desk, city: Site) -> None:
    address = await started(author, city)
    await author.send("PUT", f"{address}/draft", posted(1, city))
    await city.pool.execute(
        "UPDATE alert_version SET content = jsonb_set(content, '{area,units}',"
        ' content->\'area\'->\'units\' || \'[{"code": "99999", "vintage": "2020-01-01"}]\')'
        " WHERE version = 2"
    )
    copied = (await author.post(f"{address}/copy")).headers["Location"].removesuffix("/edit")
    document = (await (await author.get(f"{copied}/draft")).json())["document"]
    assert document["area"]["units"] == posted(1, city)["area"]["units"]


async def test_a_copy_of_what_one_does_not_see_is_not_found(author: Desk) -> None:
    assert (await author.post("/console/alerts/HN-2020-0101-999/copy")).status == 404


async def test_an_alert_is_copied_and_made_a_scenario_from_where_it_stands(
    author: Desk, city: Site
) -> None:
    code = (await publish(city)).code
    copying = f'<form method="post" action="/console/alerts/{code}/copy">'
    assert copying in await author.text(f"/console/alerts/{code}")
    assert copying in await author.text("/console/alerts")
    preparing = f'href="/console/scenarios/new?from={code}"'
    assert preparing in await author.text(f"/console/alerts/{code}/versions")
    address = (await author.post(f"/console/alerts/{code}/copy")).headers["Location"]
    draft = address.split("/")[3]
    assert f'href="/console/scenarios/new?from={draft}"' in await author.text(address)
    page = await author.text(f"/console/scenarios/new?from={draft}")
    assert f'name="from" value="{draft}"' in page


async def test_what_takes_an_alert_back_is_not_copied(author: Desk, city: Site) -> None:
    before = await publish(city)
    async with city.pool.acquire() as conn:
        made = await written(city, conn, kind="all_clear", before=before)
    assert f'action="/console/alerts/{made.code}/copy"' not in await author.text("/console/alerts")


async def test_no_id_stands_twice_and_enter_hits_no_kind(author: Desk) -> None:
    page = await author.text("/console/alerts/new")
    assert ids_twice(page + '<i id="find">') == ["find"]
    form = page[page.index('id="begin"') :]
    assert form.index('<button type="submit" disabled') < form.index('name="event"')
