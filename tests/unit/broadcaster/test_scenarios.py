"""Scenarios: prepared and reviewed in peace, used with what is asked, stale when things change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from broadcaster.alerts import checks, draft, scenario_form, scenarios, shelf, template_store
from broadcaster.alerts.shelf import Item
from broadcaster.db import Conn
from broadcaster.demo import prepared
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.fanout import channel_policy
from broadcaster.people.officials import Actor, Role
from tests.unit.broadcaster.city import BA_DINH, PHU_THUONG, official, unit_id
from tests.unit.broadcaster.site import BA_DINH_AREA, NOW, Site

DOCUMENT: dict[str, Any] = {
    "name": {"vi": "Lũ sông Hồng mức III", "en": "Red River flood, alarm III"},
    "event": "flood",
    "class": "warning",
    "area": BA_DINH_AREA,
    "values": {
        "river": "hong",
        "alarm": "III",
        "source": {"vi": "Đài Khí tượng Thủy văn", "en": "Hydro-Met Service"},
    },
    "ask": ["leave_by", "crest_at"],
    "hours": 12,
    "river_alarm": 3,
    "issuer": "Đài KTTV đồng bằng Bắc Bộ",
}
LEAVE_BY = "2026-09-10T06:00:00+07:00"


@dataclass
class Peace:
    """A ward with somebody to write a scenario and somebody to review it."""

    site: Site
    conn: Conn
    ward: int
    writer: Actor
    reviewer: Actor

    async def written(self, **changes: Any) -> Item:
        scenario = scenario_form.parse(DOCUMENT | changes)
        return await scenarios.create(self.conn, self.writer, NOW, self.ward, "flood_3", scenario)

    async def reviewed(self, **changes: Any) -> Item:
        item = await self.written(**changes)
        await scenarios.submit(self.conn, self.writer, NOW, item.item_id, 1, 1, self.site.selector)
        await scenarios.put_in_force(
            self.conn, self.reviewer, NOW, item.item_id, 1, 1, self.site.selector
        )
        return await shelf.find(self.conn, "scenario", item.item_id)

    async def stale(self, item: Item) -> tuple[str, ...]:
        return (await scenarios.usable(self.conn, self.writer, item.item_id)).stale


@pytest.fixture
async def peace(city: Site) -> AsyncIterator[Peace]:
    async with city.pool.acquire() as conn:
        ward = await unit_id(conn, BA_DINH)
        yield Peace(
            city, conn, ward,
            await official(conn, "binh", Role("author", ward)),
            await official(conn, "chi", Role("approver", ward)),
        )  # fmt: skip


async def test_a_use_makes_a_draft_that_passes_the_checks(peace: Peace) -> None:
    item = await peace.reviewed()
    made = await scenarios.draft(
        peace.conn, peace.writer, NOW, item.item_id, {"leave_by": LEAVE_BY}
    )
    loaded = await draft.load(peace.conn, peace.writer, made.alert_id)
    content = loaded.content
    assert content.wording["vi"].push.title == "Rời bãi sông Hồng trước 06:00 10/09"
    assert content.wording["en"].push.title == "Leave Red River banks by 06:00, 10 Sep"
    assert content.values["places"]["vi"] == ["Ba Đình"]
    assert content.template is not None
    assert (content.template.code, content.template.id) == ("flood", None)
    assert content.scenario is not None
    assert (content.scenario.id, content.scenario.version) == (item.item_id, 1)
    assert content.prepared.cancel
    result = await checks.run(peace.conn, peace.writer, NOW, made.alert_id, peace.site.selector)
    assert [one for one in result.problems if one.blocking] == []


async def test_only_what_is_asked_is_taken_and_what_is_missing_is_named(peace: Peace) -> None:
    item = await peace.reviewed()
    for values, where in (
        ({}, "values.leave_by"),
        ({"leave_by": "soon"}, "values.leave_by"),
        ({"leave_by": LEAVE_BY, "river": "da"}, "values.river"),
    ):
        with pytest.raises(Refused) as refused:
            await scenarios.draft(peace.conn, peace.writer, NOW, item.item_id, values)
        assert refused.value.details["where"] == where
    assert await peace.conn.fetchval("SELECT count(*) FROM alert") == 0


async def test_one_that_was_not_reviewed_cannot_be_used(peace: Peace) -> None:
    item = await peace.written()
    with pytest.raises(Refused) as refused:
        await scenarios.draft(peace.conn, peace.writer, NOW, item.item_id, {"leave_by": LEAVE_BY})
    assert refused.value.code == "scenario_not_reviewed"


async def test_its_writer_does_not_review_it(peace: Peace) -> None:
    both = await official(
        peace.conn, "bay", Role("author", peace.ward), Role("approver", peace.ward)
    )
    item = await peace.written()
    await scenarios.save(peace.conn, both, NOW, item.item_id, 1, 1, scenario_form.parse(DOCUMENT))
    await scenarios.submit(peace.conn, both, NOW, item.item_id, 1, 2, peace.site.selector)
    with pytest.raises(NotAllowed):
        await scenarios.put_in_force(peace.conn, both, NOW, item.item_id, 1, 2, peace.site.selector)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"hours": 25}, "hours"),
        ({"values": DOCUMENT["values"] | {"river": "mekong"}}, "values.river"),
        ({"values": DOCUMENT["values"] | {"depth": 4}}, "values.depth"),
        ({"ask": ["crest_at"]}, "values.leave_by"),
        ({"area": {"units": [{"code": PHU_THUONG, "vintage": "2025-07-01"}]}}, "area"),
        ({"area": {}}, "area"),
    ],
)
async def test_what_is_wrong_is_named_before_review(
    peace: Peace, changes: dict[str, Any], where: str
) -> None:
    item = await peace.written(**changes)
    with pytest.raises(Refused) as refused:
        await scenarios.submit(
            peace.conn, peace.writer, NOW, item.item_id, 1, 1, peace.site.selector
        )
    assert refused.value.details["where"] == where


async def test_what_is_no_scenario_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        scenario_form.parse(DOCUMENT | {"hours": 0, "class": "loud"})
    assert {one["field"] for one in refused.value.details["problems"]} == {"hours", "class"}  # type: ignore[attr-defined]


async def test_a_new_template_makes_it_stale_until_it_is_reviewed_again(peace: Peace) -> None:
    item = await peace.reviewed()
    assert await peace.stale(item) == ()
    copy = await template_store.copy(peace.conn, peace.writer, NOW, peace.ward, "flood")
    _, version = await template_store.read(peace.conn, peace.writer, copy.item_id)
    words = version.document["words"]
    words["vi"]["push.title"] = "Rời bãi sông trước {{ leave_by }}"
    saved = await template_store.save(
        peace.conn, peace.writer, NOW, copy.item_id, 1, version.revision, words
    )
    await template_store.submit(peace.conn, peace.writer, NOW, copy.item_id, 1, saved.revision)
    assert await peace.stale(item) == ()
    await template_store.put_in_force(
        peace.conn, peace.reviewer, NOW, copy.item_id, 1, saved.revision
    )
    assert await peace.stale(item) == ("template",)
    made = await scenarios.draft(
        peace.conn, peace.writer, NOW, item.item_id, {"leave_by": LEAVE_BY}
    )
    content = (await draft.load(peace.conn, peace.writer, made.alert_id)).content
    assert content.wording["vi"].push.title == "Rời bãi sông trước 06:00 10/09"
    again = await scenarios.edit(peace.conn, peace.writer, NOW, item.item_id)
    await scenarios.submit(
        peace.conn, peace.writer, NOW, item.item_id, again.version, 1, peace.site.selector
    )
    await scenarios.put_in_force(
        peace.conn, peace.reviewer, NOW, item.item_id, again.version, 1, peace.site.selector
    )
    assert await peace.stale(item) == ()


async def test_another_outline_or_policy_makes_it_stale(peace: Peace) -> None:
    item = await peace.reviewed()
    admin = await official(peace.conn, "quan", Role("admin", await unit_id(peace.conn, "01")))
    policy = (await channel_policy.in_force(peace.conn, "warning")).policy
    await channel_policy.save(peace.conn, admin, NOW, "warning", 1, policy)
    assert await peace.stale(item) == ("policy",)
    await peace.conn.execute(
        "UPDATE unit SET outline = outline || '\\x00' WHERE code = $1", BA_DINH
    )
    assert await peace.stale(item) == ("area", "policy")


async def test_who_sees_and_who_uses(peace: Peace) -> None:
    item = await peace.reviewed()
    stranger = await official(
        peace.conn, "dong", Role("author", await unit_id(peace.conn, PHU_THUONG))
    )
    with pytest.raises(NotFound):
        await scenarios.draft(peace.conn, stranger, NOW, item.item_id, {"leave_by": LEAVE_BY})
    assert await scenarios.listing(peace.conn, stranger) == []
    found = await scenarios.listing(peace.conn, peace.site.author, search="lu song hong")
    assert [one.item.item_id for one in found] == [item.item_id]
    assert await scenarios.listing(peace.conn, peace.site.author, search="bão") == []
    with pytest.raises(NotAllowed):
        await scenarios.draft(peace.conn, peace.reviewer, NOW, item.item_id, {"leave_by": LEAVE_BY})
    with pytest.raises(Conflict):
        await peace.written()


async def test_the_demos_scenarios_are_whole_and_made_once(peace: Peace) -> None:
    """Every value that is asked has the field's example: the draft passes the checks."""
    assert await prepared.prepare(peace.conn, NOW) == len(prepared.SCENARIOS)
    assert await prepared.prepare(peace.conn, NOW) == 0
    for one in await scenarios.listing(peace.conn, peace.site.author):
        assert one.stale == ()
        _, fields = await scenarios.asked(peace.conn, one)
        values = {field.name: field.example for field in fields}
        made = await scenarios.draft(
            peace.conn, peace.site.author, NOW, one.item.item_id, json_plain(values)
        )
        content = (await draft.load(peace.conn, peace.site.author, made.alert_id)).content
        for lang in content.languages:
            assert "‹" not in content.wording[lang].sms.text


def json_plain(values: dict[str, Any]) -> dict[str, Any]:
    """What a form would post: moments as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }
