"""The screens of templates and scenarios: who may do what, the linter beside the text, a use."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from broadcaster.alerts import scenario_form, scenarios, shelf
from broadcaster.people.officials import Role, find_actor
from templates import document
from templates.document import PIECES
from templates.event import LANGS
from tests.unit.broadcaster.city import BA_DINH, official, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import NOW, Site
from tests.unit.broadcaster.test_scenarios import DOCUMENT


@dataclass
class Room:
    """A ward's writer and reviewer, each at a browser of their own."""

    city: Site
    ward: int
    writer: Desk
    reviewer: Desk


@pytest.fixture
async def room(city: Site) -> AsyncIterator[Room]:
    async with city.pool.acquire() as conn:
        ward = await unit_id(conn, BA_DINH)
        await official(conn, "binh", Role("author", ward))
        await official(conn, "chi", Role("approver", ward))
    async with Seat(city, "binh") as writer, Seat(city, "chi") as reviewer:
        yield Room(city, ward, await writer, await reviewer)


def words(**changes: str) -> dict[str, str]:
    written = document.shipped("storm").words
    return {f"{lang}.{piece}": written[lang][piece] for lang in LANGS for piece in PIECES} | changes


async def test_the_list_is_found_without_accents(room: Room) -> None:
    page = await room.writer.text("/console/templates?q=lu%20song")
    assert "/console/templates/flood" in page
    assert "/console/templates/heat" not in page
    assert (await room.writer.get("/console/templates/none")).status == 404
    assert (await room.writer.get("/console/templates/own/77")).status == 404
    assert (await room.writer.get("/console/templates/own/x")).status == 404


async def test_a_copy_is_written_reviewed_and_in_force(room: Room) -> None:
    made = await room.writer.post("/console/templates/storm/copy", unit=str(room.ward))
    assert made.headers["Location"] == "/console/templates/own/1/edit"
    assert 'name="vi.push.title"' in await room.writer.text("/console/templates/own/1/edit")
    saved = await room.writer.post(
        "/console/templates/own/1", version="1", revision="1", then="submit",
        **words(**{"vi.push.title": "Ở trong nhà từ {{ start }}, gió to"}),
    )  # fmt: skip
    assert saved.headers["Location"] == "/console/templates/own/1"
    page = await room.reviewer.text("/console/templates/own/1")
    assert "<ins>" in page
    done = await room.reviewer.post(
        "/console/templates/own/1/review", version="1", revision="2", decision="in_force"
    )
    assert done.status == 303
    async with room.city.pool.acquire() as conn:
        assert (await shelf.find(conn, "template", 1)).in_force == 1
    assert (await room.reviewer.post("/console/templates/own/1/withdraw")).status == 303


async def test_the_linter_answers_while_one_types(room: Room) -> None:
    await room.writer.post("/console/templates/storm/copy", unit=str(room.ward))
    answer = await room.writer.post(
        "/console/templates/own/1/look", fill="longest",
        **words(**{"vi.push.title": "Ở TRONG NHÀ từ {{ stat }}!"}),
    )  # fmt: skip
    said = await answer.json()
    assert said["blocking"] >= 3
    assert "vi.push.title" in said["wrong"]
    assert "stat" in said["findings"]
    clean = await (
        await room.writer.post("/console/templates/own/1/look", fill="longest", **words())
    ).json()
    assert (clean["blocking"], clean["wrong"]) == (0, [])
    assert "23:30 28/09" in clean["preview"]
    async with room.city.pool.acquire() as conn:
        assert (await shelf.version(conn, "template", 1, 1)).revision == 1


async def test_what_is_not_clean_is_kept_and_not_sent(room: Room) -> None:
    await room.writer.post("/console/templates/storm/copy", unit=str(room.ward))
    answer = await room.writer.post(
        "/console/templates/own/1", version="1", revision="1", then="submit",
        **words(**{"vi.push.title": "Ở TRONG nhà"}),
    )  # fmt: skip
    assert answer.status == 422 or answer.status == 400
    assert "Ở TRONG nhà" in await room.writer.text("/console/templates/own/1/edit")


async def test_a_script_in_the_words_stays_words(room: Room) -> None:
    await room.writer.post("/console/templates/storm/copy", unit=str(room.ward))
    await room.writer.post(
        "/console/templates/own/1", version="1", revision="1",
        **words(**{"vi.push.title": "<script>alert(1)</script>"}),
    )  # fmt: skip
    for path in ("/console/templates/own/1", "/console/templates/own/1/edit"):
        assert "<script>alert(1)" not in await room.writer.text(path)


async def test_a_scenario_is_prepared_reviewed_and_used(room: Room) -> None:
    made = await room.writer.post(
        "/console/scenarios/new", name_vi="Lũ sông Hồng", name_en="Red River flood",
        unit=str(room.ward), event="flood",
    )  # fmt: skip
    assert made.headers["Location"] == "/console/scenarios/1/edit"
    form = {
        "version": "1", "revision": "1", "name_vi": "Lũ sông Hồng", "name_en": "Red River flood",
        "class": "warning", "hours": "12", "english": "on", "channels": "push",
        "units": f"{BA_DINH}@2025-07-01", "v.river": "hong", "v.alarm": "III",
        "v.source.vi": "Đài", "v.source.en": "Hydro-Met", "ask.leave_by": "on",
    }  # fmt: skip
    wrong = await room.writer.post("/console/scenarios/1/edit", **form | {"hours": "40"})
    assert wrong.status == 303
    assert "24" in await room.writer.text("/console/scenarios/1")
    sent = await room.writer.post(
        "/console/scenarios/1/edit", **form | {"revision": "2", "then": "submit"}
    )
    assert sent.headers["Location"] == "/console/scenarios/1"
    page = await room.reviewer.text("/console/scenarios/1")
    found = re.search(r'name="revision" value="(\d+)"', page)
    assert found
    await room.reviewer.post(
        "/console/scenarios/1/review", version="1", revision=found[1], decision="in_force"
    )
    assert "/console/scenarios/1/use" in await room.writer.text("/console/scenarios")
    missing = await room.writer.post("/console/scenarios/1/use", **{"v.leave_by": "soon"})
    assert missing.status >= 400
    assert 'aria-invalid="true"' in await missing.text()
    used = await room.writer.post("/console/scenarios/1/use", **{"v.leave_by": "06:00 10/09"})
    assert used.status == 303
    address = used.headers["Location"]
    assert address.startswith("/console/alerts/HN-")
    assert "Rời bãi sông Hồng trước 06:00 10/09" in await room.writer.text(address)


async def test_a_stale_scenario_says_so(room: Room) -> None:
    async with room.city.pool.acquire() as conn:
        writer = await official(conn, "dong", Role("author", room.ward))
        reviewer = await official(conn, "dao", Role("approver", room.ward))
        scenario = scenario_form.parse(DOCUMENT)
        item = await scenarios.create(conn, writer, NOW, room.ward, "flood_3", scenario)
        await scenarios.submit(conn, writer, NOW, item.item_id, 1, 1, room.city.selector)
        await scenarios.put_in_force(conn, reviewer, NOW, item.item_id, 1, 1, room.city.selector)
        assert "vùng đã thay đổi" not in await room.writer.text("/console/scenarios")
        await conn.execute("UPDATE unit SET outline = outline || '\\x00' WHERE code = $1", BA_DINH)
    assert "vùng đã thay đổi" in await room.writer.text("/console/scenarios")
    assert "vùng đã thay đổi" in await room.writer.text(f"/console/scenarios/{item.item_id}/use")


async def test_a_program_lints_lists_and_uses(room: Room) -> None:
    async with room.city.pool.acquire() as conn:
        reviewer = await official(conn, "dao", Role("approver", room.ward))
        writer = await official(conn, "dong", Role("author", room.ward))
        scenario = scenario_form.parse(DOCUMENT)
        item = await scenarios.create(conn, writer, NOW, room.ward, "flood_3", scenario)
        await scenarios.submit(conn, writer, NOW, item.item_id, 1, 1, room.city.selector)
        await scenarios.put_in_force(conn, reviewer, NOW, item.item_id, 1, 1, room.city.selector)
    desk = room.writer
    held = await (await desk.get(f"/api/v1/templates/storm?unit={BA_DINH}")).json()
    assert (held["code"], held["id"], held["class"]) == ("storm", None, "warning")
    held["document"]["words"]["vi"]["push.title"] = "Ở TRONG nhà"
    told = await (
        await desk.send("POST", "/api/v1/templates/lint", {"document": held["document"]})
    ).json()
    assert told["blocked"] is True
    assert {one["code"] for one in told["findings"]} == {"reading.shouting"}
    wrong = await desk.send("POST", "/api/v1/templates/lint", {"document": {}})
    assert wrong.status == 422
    everything = await (await desk.get("/api/v1/templates")).json()
    assert len(everything["templates"]) == 22
    assert (await desk.get("/api/v1/templates?unit=none")).status == 404
    listed = await (await desk.get("/api/v1/scenarios")).json()
    assert [one["ask"] for one in listed["scenarios"]] == [["leave_by", "crest_at"]]
    path = f"/api/v1/scenarios/{item.item_id}/drafts"
    assert (await desk.send("POST", path, {"values": {}})).status == 422
    made = await desk.send("POST", path, {"values": {"leave_by": "2026-09-10T06:00:00+07:00"}})
    assert made.status == 201
    assert (await made.json())["code"].startswith("HN-")


def form(**changes: Any) -> dict[str, str]:
    """The edit form of the scenario in DOCUMENT, as a browser posts it."""
    return {
        "version": "1", "revision": "1", "name_vi": "Lũ sông Hồng", "name_en": "Red River flood",
        "class": "warning", "hours": "12", "units": f"{BA_DINH}@2025-07-01", "channels": "push",
        "v.river": "hong", "v.alarm": "III", "ask.leave_by": "on", "v.source.vi": "Đài KTTV",
    } | changes  # fmt: skip


async def begun(room: Room) -> None:
    async with room.city.pool.acquire() as conn:
        writer = await find_actor(conn, "binh")
        scenario = scenario_form.parse(DOCUMENT)
        await scenarios.create(conn, writer, NOW, room.ward, "flood_3", scenario)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ({"hours": "nửa ngày"}, ["“nửa ngày” không phải số giờ", 'value="nửa ngày"']),
        ({"name_vi": ""}, ["Chưa có tên"]),
    ],
)
async def test_a_scenario_that_cannot_be_saved_stays_as_it_was_typed(
    room: Room, typed: dict[str, str], shown: list[str]
) -> None:
    await begun(room)
    typing = form(name_en="Typed at night", issuer="Trạm bơm Yên Sở", **{"v.crest_level": "cao"})
    answer = await room.writer.post("/console/scenarios/1/edit", **(typing | typed))
    page = await answer.text()
    assert answer.status == 422
    for words in [*shown, "Typed at night", "Trạm bơm Yên Sở", 'value="cao"']:
        assert words in page
    async with room.city.pool.acquire() as conn:
        assert (await shelf.version(conn, "scenario", 1, 1)).revision == 1


async def test_what_somebody_saved_meanwhile_takes_no_words_from_a_form(room: Room) -> None:
    await begun(room)
    assert (await room.writer.post("/console/scenarios/1/edit", **form(hours="6"))).status == 303
    answer = await room.writer.post("/console/scenarios/1/edit", **form(issuer="Của tôi"))
    page = await answer.text()
    assert answer.status == 409
    assert "Phần bạn viết ở dưới" in page
    assert 'value="Của tôi"' in page
    assert 'name="revision" value="2"' in page
    await room.writer.post("/console/templates/storm/copy", unit=str(room.ward))
    for title in ("Ở trong nhà", "Lời của tôi"):
        answer = await room.writer.post(
            "/console/templates/own/1", version="1", revision="1",
            **words(**{"vi.push.title": title}),
        )  # fmt: skip
    page = await answer.text()
    assert answer.status == 409
    assert "Lời của tôi" in page
    assert 'name="revision" value="2"' in page


async def test_the_history_of_a_scenario_says_what_each_version_changed(room: Room) -> None:
    await begun(room)
    async with room.city.pool.acquire() as conn:
        reviewer, writer = await find_actor(conn, "chi"), await find_actor(conn, "binh")
        await scenarios.submit(conn, writer, NOW, 1, 1, 1, room.city.selector)
        await scenarios.put_in_force(conn, reviewer, NOW, 1, 1, 1, room.city.selector)
        changed = scenario_form.parse(
            DOCUMENT | {"hours": 6, "values": DOCUMENT["values"] | {"alarm": "II"}}
        )
        await scenarios.edit(conn, writer, NOW, 1)
        await scenarios.save(conn, writer, NOW, 1, 2, 1, changed)
    page = await room.writer.text("/console/scenarios/1")
    assert "<del>12</del> <ins>6</ins>" in page
    assert "<del>III</del><ins>II</ins>" in page
    assert "Bản đầu tiên." in page
