"""The officials' console over a real database: drafts, four eyes, reach, and refusals."""

from __future__ import annotations

from typing import Any

import pytest

from broadcaster.people.officials import Role
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, official, unit_id
from tests.unit.broadcaster.desk import (
    VINTAGE,
    Desk,
    Seat,
    posted,
    started,
    state_of,
    submitted,
)
from tests.unit.broadcaster.site import Site

# writing


async def test_a_fresh_draft_says_what_is_missing_once(author: Desk, city: Site) -> None:
    address = await started(author, city)
    page = await author.text(f"{address}/edit")
    assert page.count('class="k3"') == 2  # the empty fields in one line, and the area
    assert 'aria-disabled="true"' in page


async def test_saving_writes_the_templates_words_with_the_places_of_the_map(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    answer = await (await author.send("PUT", f"{address}/draft", posted(1, city))).json()
    assert answer["version"] == 2
    assert answer["blocking"] == 0
    assert answer["places"]["vi"].split(", ")[0] == "Ba Đình"  # whole, so before the parts
    assert "‹" not in answer["pieces"]["vi"]["sms.text"]
    assert "Ba Dinh" in answer["pieces"]["en"]["push.body"]


async def test_words_of_ones_own_stay_when_the_fields_change(author: Desk, city: Site) -> None:
    address = await started(author, city)
    own = {"vi": {"push.title": "Ở yên trong nhà", "email.text": "Một.\n\n1. Hai."}, "en": {}}
    saved = await author.send("PUT", f"{address}/draft", posted(1, city, own=own))
    answer = await saved.json()
    assert "push.title" not in answer["pieces"]["vi"]
    assert "push.title" in answer["pieces"]["en"]
    page = await author.text(f"{address}/edit")
    assert 'value="Ở yên trong nhà"' in page
    assert "<li>Hai.</li>" in await author.text(f"{address}/mail?lang=vi")


async def test_saving_what_has_not_changed_makes_no_version(author: Desk, city: Site) -> None:
    address = await started(author, city)
    first = await (await author.send("PUT", f"{address}/draft", posted(1, city))).json()
    again = await author.send("PUT", f"{address}/draft", posted(first["version"], city))
    assert (await again.json())["version"] == first["version"]


async def test_a_save_over_a_newer_version_is_a_conflict_and_changes_nothing(
    author: Desk, city: Site
) -> None:
    address = await started(author, city)
    assert (await author.send("PUT", f"{address}/draft", posted(1, city))).status == 200
    late = await author.send("PUT", f"{address}/draft", posted(1, city, risk_level=5))
    assert late.status == 409
    assert (await late.json())["code"] == "both_changed"
    stored = await city.pool.fetchval(
        "SELECT content->>'risk_level' FROM alert_version ORDER BY version DESC LIMIT 1"
    )
    assert stored == "3"


@pytest.mark.parametrize(
    "broken", [{"class": "loud"}, {"channels": ["pigeon"]}, {"risk_level": 9}, {"extra": 1}]
)
async def test_what_the_screen_never_sends_is_refused(
    author: Desk, city: Site, broken: dict[str, Any]
) -> None:
    address = await started(author, city)
    answer = await author.send("PUT", f"{address}/draft", posted(1, city, **broken))
    assert answer.status == 422
    assert (await answer.json())["code"] == "unreadable"


async def test_words_are_shown_and_never_run(author: Desk, city: Site) -> None:
    address = await started(author, city)
    own = {"vi": {"page.headline": "<script>x()</script>", "email.text": "<img src=x>"}, "en": {}}
    await author.send("PUT", f"{address}/draft", posted(1, city, own=own))
    for path in (f"{address}/edit", "/console", "/console/alerts", f"{address}/mail?lang=vi"):
        page = await author.text(path)
        assert "<script>x()" not in page
        assert "<img src=x>" not in page
    policy = (await author.get(f"{address}/mail?lang=vi")).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


# deciding


async def test_two_people_bring_an_alert_on_its_way(
    author: Desk, approver: Desk, city: Site
) -> None:
    address = await submitted(author, city)
    assert f"{address}/review" in await approver.text("/console")
    assert 'id="approve"' in await approver.text(f"{address}/review")
    answer = await approver.post(f"{address}/approve", version="2")
    assert answer.status == 303
    assert await state_of(city, address) == "approved"
    progress = await approver.get(f"{address}/progress")
    assert progress.status == 200
    assert 'data-state="approved"' in await progress.text()


async def test_only_an_emergency_that_waits_long_is_marked(
    author: Desk, approver: Desk, city: Site
) -> None:
    address = await started(author, city)
    draft = posted(1, city, **{"class": "emergency"})
    saved = await (await author.send("PUT", f"{address}/draft", draft)).json()
    await author.post(f"{address}/submit", version=str(saved["version"]))
    for path in ("/console", f"{address}/review"):
        assert "<span>Chờ 0 giây</span>" in await approver.text(path)
    city.later(minutes=6)
    for path in ("/console", f"{address}/review"):
        assert '<span class="t-sev2">Chờ 6 phút</span>' in await approver.text(path)


async def test_the_author_is_not_asked_and_not_obeyed(city: Site) -> None:
    async with city.pool.acquire() as conn:
        whole = await unit_id(conn, "01")
        await official(conn, "both", Role("author", whole), Role("approver", whole))
    async with Seat(city, "both") as signed:
        desk = await signed
        address = await submitted(desk, city)
        assert f"{address}/review" not in await desk.text("/console")
        assert 'id="approve"' not in await desk.text(f"{address}/review")
        answer = await desk.post(f"{address}/approve", version="2")
    assert answer.status == 403
    assert await state_of(city, address) == "submitted"


async def test_a_version_that_was_not_seen_is_not_approved(
    author: Desk, approver: Desk, city: Site
) -> None:
    address = await submitted(author, city)
    answer = await approver.post(f"{address}/approve", version="1")
    assert answer.status == 409
    assert await state_of(city, address) == "submitted"


@pytest.mark.parametrize(("move", "state"), [("return", "returned"), ("reject", "rejected")])
async def test_sending_back_needs_a_reason_and_keeps_it(
    author: Desk, approver: Desk, city: Site, move: str, state: str
) -> None:
    address = await submitted(author, city)
    assert (await approver.post(f"{address}/{move}", version="2", reason=" ")).status == 422
    assert await state_of(city, address) == "submitted"
    answer = await approver.post(f"{address}/{move}", version="2", reason="Thiếu giờ")
    assert answer.status == 303
    assert await state_of(city, address) == state
    page = await author.text(address)
    assert ">Thiếu giờ</h2>" in page
    assert "Đã chuyển" not in page
    if state == "returned":
        assert "Thiếu giờ" in await author.text("/console")
        assert "Thiếu giờ" in await author.text(f"{address}/edit")


async def test_stopping_asks_why_and_is_told_in_the_trail(
    author: Desk, approver: Desk, city: Site
) -> None:
    address = await submitted(author, city)
    await approver.post(f"{address}/approve", version="2")
    assert (await author.post(f"{address}/stop", reason="")).status == 422
    assert (await author.post(f"{address}/stop", reason="Gửi nhầm vùng")).status == 303
    assert await state_of(city, address) == "stopped"
    answer = await author.get(f"{address}/progress")
    assert answer.status == 286  # nothing moves any more: the page stops asking
    assert "Gửi nhầm vùng" in await answer.text()


async def test_the_way_to_stop_is_taken_from_a_page_once(
    author: Desk, approver: Desk, city: Site
) -> None:
    address = await submitted(author, city)
    await approver.post(f"{address}/approve", version="2")
    page = await author.text(address)
    assert 'id="stop-link"' in page
    assert 'name="way_to_stop"' in page
    with_it = f"{address}/progress?way_to_stop=1&seen=approved"
    same = await author.text(with_it)
    assert 'name="way_to_stop"' in same
    assert "hx-swap-oob" not in same
    await approver.post(f"{address}/stop", reason="Gửi nhầm vùng")
    after = await (await author.get(with_it)).text()
    assert after.count('hx-swap-oob="delete"') == 1
    # What may be done next is another thing in another state.
    assert 'id="next" hx-swap-oob="true"' in after
    assert 'id="stop"' not in after
    assert "hx-swap-oob" not in await (await author.get(f"{address}/progress?seen=stopped")).text()


async def test_a_stopped_alerts_page_asks_until_what_was_pending_is_closed(
    author: Desk, approver: Desk, city: Site
) -> None:
    address = await submitted(author, city)
    await approver.post(f"{address}/approve", version="2")
    await approver.post(f"{address}/stop", reason="Gửi nhầm vùng")
    await city.pool.execute(
        "INSERT INTO progress (alert_id, channel, pending, handed_off)"
        " SELECT alert_id, 'sms', 9, 1 FROM alert"
    )
    assert 'hx-trigger="every' in await author.text(address)
    assert (await author.get(f"{address}/progress")).status == 200
    await city.pool.execute("UPDATE progress SET pending = 0, stopped = 9")
    assert (await author.get(f"{address}/progress")).status == 286


# reach


async def test_a_ward_reaches_neither_the_citys_nor_its_neighbours_alerts(
    author: Desk, city: Site
) -> None:
    address = await submitted(author, city)
    async with Seat(city, "lan") as signed:
        lan = await signed
        assert address not in await lan.text("/console/alerts")
        for path in (address, f"{address}/edit", f"{address}/progress", f"{address}/mail"):
            assert (await lan.get(path)).status == 404, path
        assert (await lan.send("PUT", f"{address}/draft", posted(2, city))).status == 404
        own = await started(lan, city, BA_DINH)
        assert (await lan.get(f"{own}/edit")).status == 200
        forbidden = await lan.post("/console/alerts/new", event="storm", unit="1")
        assert forbidden.status == 403
    async with Seat(city, "long") as signed:
        assert (await (await signed).get(f"{own}/review")).status == 404


async def test_an_area_beyond_the_wards_own_blocks_its_alert(city: Site) -> None:
    async with Seat(city, "lan") as signed:
        lan = await signed
        address = await started(lan, city, BA_DINH)
        beyond = {"units": [{"code": NGOC_HA, "vintage": VINTAGE}]}
        saved = await lan.send("PUT", f"{address}/draft", posted(1, city, area=beyond))
        answer = await saved.json()
        assert answer["blocking"] == 1
        refused = await lan.post(f"{address}/submit", version=str(answer["version"]))
    assert refused.status == 422
    assert await state_of(city, address) == "draft"


async def test_roles_open_screens(author: Desk, approver: Desk, city: Site) -> None:
    assert (await approver.get("/console/alerts/new")).status == 403
    address = await submitted(author, city)
    assert (await author.get(f"{address}/review")).status == 403
    assert (await author.post("/console/incidents/SC1/move", to="triaged")).status == 403


# the rest of the screens


async def test_the_duty_table_lists_every_unit_most_pressing_first(
    author: Desk, city: Site
) -> None:
    page = await author.text("/console/duty")
    assert page.count("data-unit=") == 126
    overdue = await author.text("/console/duty?status=overdue")
    assert overdue.count("data-unit=") == overdue.count('data-status="overdue"') > 0
    async with Seat(city, "lan") as signed:
        assert (await (await signed).text("/console/duty")).count("data-unit=") == 1


async def test_outlines_say_that_they_are_approximate_and_are_kept(author: Desk) -> None:
    answer = await author.get("/console/units.geojson")
    document = await answer.json(content_type=None)
    assert document["approximate"] is True
    assert len(document["features"]) == 126
    assert len(document["groups"]) == 30
    again = await author.get(
        "/console/units.geojson", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status == 304


@pytest.mark.parametrize("path", ["/console/alerts/HN-1", "/console/incidents/SC1", "/console/x"])
async def test_what_is_not_there_is_a_page_in_the_readers_language(author: Desk, path: str) -> None:
    answer = await author.get(path)
    assert answer.status == 404
    assert "Không có trang này" in await answer.text()


async def test_programs_get_refusals_in_both_languages(author: Desk) -> None:
    answer = await author.get("/console/alerts/HN-1", headers={"Accept": "application/json"})
    body = await answer.json()
    assert (answer.status, body["code"]) == (404, "alert_not_found")
    assert body["message_vi"]
    assert body["message_en"]
