"""What an official types stays until it is right: times that are none, periods, and advice."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from broadcaster.alerts import template_store
from broadcaster.people.officials import Actor, Role
from templates import document
from tests.unit.broadcaster.city import BA_DINH, official, unit_id
from tests.unit.broadcaster.desk import VINTAGE, Desk, Seat, posted, started
from tests.unit.broadcaster.site import Site

CUT = {
    "what": "water",
    "reason": {"vi": "thay ống", "en": "a new main"},
    "source": {"vi": "Công ty Nước sạch, 09/09", "en": "Water Company, 9 Sep"},
}
FLOOD = {"river": "hong", "alarm": "III", "leave_by": "2026-09-10T06:00"}


async def begun(desk: Desk, city: Site, event: str) -> str:
    """Begin a draft of an event; return its address."""
    async with city.pool.acquire() as conn:
        unit = str(await unit_id(conn, "01"))
    answer = await desk.post("/console/alerts/new", event=event, unit=unit)
    return answer.headers["Location"].removesuffix("/edit")


async def put(desk: Desk, city: Site, address: str, **changes: Any) -> Any:
    code = address.rsplit("/", 1)[1]
    version = await city.pool.fetchval("SELECT version FROM alert WHERE code = $1", code)
    answer = await desk.send("PUT", f"{address}/draft", posted(version, city, **changes))
    assert answer.status == 200, await answer.text()
    return await answer.json()


def held(page: str, input_id: str) -> str:
    """What an input of the page holds."""
    found = re.search(rf'<input[^>]*id="{input_id}"[^>]*value="([^"]*)"', page)
    assert found, input_id
    return unescape(found[1])


def said(answer: Any, field: str) -> str:
    """What the checks say of a field; empty for nothing."""
    html = answer["fragments"]["checks"]
    found = re.search(
        rf'data-(?:problem|advice)="{re.escape(field)}">.*?<span data-said>(.*?)</span>', html
    )
    return unescape(found[1]) if found else ""


async def test_a_period_is_two_moments_that_come_back_as_they_were(
    author: Desk, city: Site
) -> None:
    address = await begun(author, city, "outage")
    period = {"from": "2026-09-10T08:00", "to": "2026-09-11T17:30"}
    answer = await put(author, city, address, values=CUT | {"period": period})
    assert said(answer, "values.period") == ""
    assert "08:00 10/09 đến 17:30 11/09" in answer["fragments"]["preview"]
    page = await author.text(f"{address}/edit")
    assert held(page, "f-period-from") == "08:00 10/09/2026"
    assert held(page, "f-period-to") == "17:30 11/09/2026"
    newest = await (await author.get(f"{address}/draft")).json()
    assert newest["document"]["values"]["period"] == period


@pytest.mark.parametrize(
    ("start", "end", "word"),
    [
        ("2026-09-10T08:00", "2026-09-10T08:00", "không sau lúc bắt đầu"),
        ("2026-09-10T08:00", "", "còn thiếu lúc kết thúc"),
        ("", "2026-09-10T08:00", "còn thiếu lúc bắt đầu"),
        ("mai", "2026-09-10T08:00", "lúc bắt đầu “mai”"),
        ("2026-09-10T08:00", "25:00 10/9", "lúc kết thúc “25:00 10/9”"),
    ],
)
async def test_a_wrong_period_is_told_at_its_field_and_stays_as_typed(
    author: Desk, city: Site, start: str, end: str, word: str
) -> None:
    address = await begun(author, city, "outage")
    period = {"from": start, "to": end}
    answer = await put(author, city, address, values=CUT | {"period": period})
    assert word in said(answer, "values.period")
    assert answer["blocking"]
    newest = await (await author.get(f"{address}/draft")).json()
    typed = {name: text for name, text in period.items() if text}
    assert newest["document"]["values"]["period"] == typed


async def test_a_copy_asks_for_its_period_anew(author: Desk, city: Site) -> None:
    address = await begun(author, city, "outage")
    period = {"from": "2026-09-10T08:00", "to": "2026-09-11T17:30"}
    await put(author, city, address, values=CUT | {"period": period})
    copied = await author.post(f"{address}/copy")
    page = await author.text(copied.headers["Location"])
    assert (held(page, "f-period-from"), held(page, "f-period-to")) == ("", "")
    assert "thay ống" in page


async def test_what_is_no_time_blocks_and_is_shown_as_it_was_typed(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    source = {"issuer": "Đài KTTV", "number": "15", "time": "hôm qua"}
    answer = await put(
        author, city, address, expires="25:99 10/9", scheduled_for="sáng mai", source=source,
        values=posted(1, city)["values"] | {"start": "7 giờ kém"},
    )  # fmt: skip
    assert "25:99 10/9" in said(answer, "expires")
    assert "sáng mai" in said(answer, "scheduled_for")
    assert "hôm qua" in said(answer, "source.time")
    assert "không đọc được" in said(answer, "values.start")
    page = await author.text(f"{address}/edit")
    assert [held(page, one) for one in ("expires", "scheduled_for", "source_time", "f-start")] == [
        "25:99 10/9", "sáng mai", "hôm qua", "7 giờ kém",
    ]  # fmt: skip
    refused = await author.post(f"{address}/submit", version=str(answer["version"]))
    assert refused.status == 422
    mended = await put(author, city, address)
    assert mended["blocking"] == 0
    newest = await (await author.get(f"{address}/draft")).json()
    assert newest["document"]["scheduled_for"] == ""


async def test_at_a_time_without_a_time_does_not_go_out_at_once(author: Desk, city: Site) -> None:
    address = await started(author, city)
    answer = await put(author, city, address, scheduled_for=" ")
    assert said(answer, "scheduled_for") == "Giờ phát còn trống. Ghi giờ và ngày, như 07:00 10/09."
    page = await author.text(f"{address}/edit")
    assert re.search(r'name="when" value="time" checked', page)
    assert held(page, "scheduled_for") == ""


async def test_a_draft_begins_with_the_channels_of_its_event(author: Desk, city: Site) -> None:
    page = await author.text(f"{await begun(author, city, 'outage')}/edit")
    chosen = re.findall(r'name="channels" value="(\w+)" checked', page)
    assert chosen == ["push", "email"]


async def test_a_level_that_is_not_the_alarm_is_advised_with_the_alarm_it_is(
    author: Desk, city: Site
) -> None:
    address = await begun(author, city, "flood")
    answer = await put(author, city, address, values=FLOOD | {"crest_level": "10,70"})
    advice = said(answer, "values.alarm")
    assert "Mực nước 10,70 m không ứng với báo động III. Tại Hà Nội: I 9,50 m" in advice
    assert 'data-fix="values/alarm" data-value="II"' in answer["fragments"]["checks"]
    answer = await put(
        author, city, address, values=FLOOD | {"alarm": "II", "crest_level": "10,70"}
    )
    assert said(answer, "values.alarm") == ""


async def own_template(city: Site, writers: tuple[Actor, Actor], title: str) -> None:
    """Put a copy of the storm template in force for the city, with this Vietnamese title."""
    actor, reviewer = writers
    async with city.pool.acquire() as conn, conn.transaction():
        whole = document.shipped("storm").words
        changed = {**whole, "vi": {**whole["vi"], "push.title": title}}
        top = await unit_id(conn, "01")
        item = await template_store.copy(conn, actor, city.now, top, "storm")
        _, opened = await template_store.read(conn, actor, item.item_id)
        saved = await template_store.save(
            conn, actor, city.now, item.item_id, opened.version, opened.revision, changed
        )
        sent = await template_store.submit(
            conn, actor, city.now, item.item_id, saved.version, saved.revision
        )
        await template_store.put_in_force(
            conn, reviewer, city.now, item.item_id, sent.version, sent.revision
        )


@pytest.fixture
async def writers(city: Site) -> tuple[Actor, Actor]:
    """Somebody who writes the city's templates, and somebody who reviews them."""
    async with city.pool.acquire() as conn:
        top = await unit_id(conn, "01")
        return (
            await official(conn, "viet", Role("author", top)),
            await official(conn, "duyet", Role("approver", top)),
        )


async def test_a_newer_template_is_advised_and_taken_by_one_button(
    author: Desk, city: Site, writers: tuple[Actor, Actor]
) -> None:
    address = await started(author, city)
    own = {"vi": {"sms.text": "Ở trong nhà. Tin riêng của tôi."}, "en": {}}
    answer = await put(author, city, address, own=own)
    assert "template" not in re.findall('data-advice="([^"]*)"', answer["fragments"]["checks"])
    await own_template(city, writers, "Ở trong nhà từ {{ start }}, có bão")
    answer = await put(author, city, address, own=own)
    assert "có bản 1" in said(answer, "template")
    assert f'formaction="{address}/template"' in answer["fragments"]["checks"]
    assert answer["blocking"] == 0
    taken = await author.post(f"{address}/template", version=str(answer["version"]))
    assert taken.headers["Location"] == f"{address}/edit"
    newest = await (await author.get(f"{address}/draft")).json()
    assert newest["document"]["own"] == own
    assert newest["pieces"]["vi"]["push.title"].endswith(", có bão")
    assert said(newest, "template") == ""


async def test_the_newest_template_over_another_version_is_refused(
    author: Desk, city: Site, writers: tuple[Actor, Actor]
) -> None:
    address = await started(author, city)
    await put(author, city, address)
    await own_template(city, writers, "Ở trong nhà từ {{ start }}, có bão")
    assert (await author.post(f"{address}/template", version="1")).status == 409


async def test_a_communes_draft_begins_with_its_own_ground(city: Site) -> None:
    async with city.pool.acquire() as conn:
        ward = str(await unit_id(conn, BA_DINH))
    async with Seat(city, "lan") as seat:
        desk = await seat
        begun_at = await desk.post("/console/alerts/new", event="storm", unit=ward)
        address = begun_at.headers["Location"].removesuffix("/edit")
        document = (await (await desk.get(f"{address}/draft")).json())["document"]
        page = await desk.text(f"{address}/edit")
    assert document["area"]["units"] == [{"code": BA_DINH, "vintage": VINTAGE}]
    assert document["own_places"] is False
    assert ">Ba Đình</textarea>" in page


async def test_words_in_vietnamese_alone_are_named_once_with_a_button(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    values = posted(1, city)["values"] | {"source": {"vi": "Đài KTTV 03:00"}}
    answer = await put(author, city, address, values=values)
    checks = answer["fragments"]["checks"]
    assert answer["blocking"] == 1
    assert "chưa có tiếng Anh" in said(answer, "values.source")
    assert 'data-fix="values/source/en" data-value="Đài KTTV 03:00"' in checks
    alone = await put(author, city, address, values=values, languages=["vi"])
    assert alone["blocking"] == 0


async def test_the_source_in_the_words_is_taken_for_the_bulletins(author: Desk, city: Site) -> None:
    address = await started(author, city)
    source = {"issuer": "", "number": "15", "time": ""}
    await put(author, city, address, source=source)
    stored = "SELECT content->'source'->>'issuer' FROM alert_version ORDER BY version DESC LIMIT 1"
    assert await city.pool.fetchval(stored) == "Đài KTTV 03:00"
    # The field stays empty, so that another source in the words is another issuer.
    document = (await (await author.get(f"{address}/draft")).json())["document"]
    assert document["source"]["issuer"] == ""
    values = posted(1, city)["values"] | {"source": {"vi": "Đài KTTV 09:00", "en": "Hydro-Met"}}
    await put(author, city, address, source=source, values=values)
    assert await city.pool.fetchval(stored) == "Đài KTTV 09:00"


async def test_the_alarm_in_the_words_is_the_rivers(author: Desk, city: Site) -> None:
    address = await begun(author, city, "flood")
    page = await author.text(f"{address}/edit")
    assert '<input type="hidden" name="river_alarm">' in page
    stored = "SELECT content->'river_alarm' FROM alert_version ORDER BY version DESC LIMIT 1"
    for alarm, number in (("II", 2), ("above_III", 3), ("", None)):
        await put(author, city, address, values=FLOOD | {"alarm": alarm})
        assert await city.pool.fetchval(stored) == number


async def test_the_page_names_who_approves_or_says_that_nobody_may(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    answer = await put(author, city, address)
    assert re.search(r'class="dock-who">người duyệt: \S', answer["fragments"]["dock"])
    await city.pool.execute("DELETE FROM official_role WHERE role = 'approver'")
    answer = await put(author, city, address, risk_level=4)
    assert "dock-who" not in answer["fragments"]["dock"]
    assert "Không ai có quyền duyệt" in answer["fragments"]["checks"]
