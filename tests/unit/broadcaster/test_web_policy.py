"""The policy page: who sees it, what a form changes, and mistakes named at their field."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from broadcaster.db import Pool
from broadcaster.errors import Refused
from broadcaster.fanout import channel_policy, stages
from broadcaster.people.officials import Role
from broadcaster.settings import Settings
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import BA_DINH, official, unit_id
from tests.unit.broadcaster.desk import Desk
from tests.unit.broadcaster.site import Site

FORM = {
    "version": "1",
    "steps.0.channels": "push",
    "steps.0.to": "all",
    "steps.0.after_minutes": "0",
    "steps.1.channels": "sms",
    "steps.1.to": "not_acknowledged",
    "steps.1.after_minutes": "10",
    "steps.2.to": "all",
    "steps.2.after_minutes": "0",
    "sms_most_parts": "2",
    "sms_part_cost": "400",
    "cost_ceiling": "1.200.000",
    "over_ceiling": "blocking",
}


@dataclass
class Admin:
    """The city's admin at the console."""

    desk: Desk
    site: Site


@pytest.fixture
async def admin(settings: Settings, pool: Pool) -> AsyncIterator[Admin]:
    async with site.running(settings, pool) as running:
        async with pool.acquire() as conn:
            await official(conn, "quan", Role("admin", await unit_id(conn, "01")))
            await official(conn, "xa", Role("admin", await unit_id(conn, BA_DINH)))
        desk = Desk(running.client)
        await desk.sign_in("quan")
        yield Admin(desk, running)


async def test_a_policy_is_put_into_force_and_stands_in_its_history(admin: Admin) -> None:
    assert 'name="quiet_hours.from"' in await admin.desk.text("/console/policy")
    answer = await admin.desk.post("/console/policy/warning", **FORM)
    assert (answer.status, answer.headers["Location"]) == (
        303, "/console/policy?saved=warning#warning",
    )  # fmt: skip
    async with admin.site.pool.acquire() as conn:
        made = await channel_policy.in_force(conn, "warning")
    assert (made.version, made.saved_by) == (2, "Quan")
    assert [(step.channels, step.after_minutes) for step in made.policy.steps] == [
        (("push",), 0), (("sms",), 10),
    ]  # fmt: skip
    assert made.policy.cost_ceiling == 1_200_000
    page = await admin.desk.text("/console/policy?saved=warning")
    assert "sau 10 phút, cho người chưa xác nhận thông báo đẩy" in page
    assert "chặn khi vượt 1.200.000 đ" in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps.1.after_minutes": "0"}, "Phones need a minute"),
        ({"steps.0.to": "no_push"}, "The first step goes to everybody at once"),
        ({"sms_most_parts": "many"}, "Write a whole number from 1 to 10."),
        ({"sms_part_cost": "1.000.001"}, "Write a whole number from 0 to 1,000,000."),
        ({"steps.1.after_minutes": "2000"}, "Write a whole number from 0 to 1,440."),
        ({"over_ceiling": ""}, "Choose one of the list."),
        (
            {"steps.0.channels": "", "steps.1.channels": ""},
            "No channel is chosen. Choose at least one in step 1.",
        ),
        ({"version": "7"}, "Somebody else has just saved"),
    ],
)
async def test_what_is_wrong_stands_at_its_field_and_nothing_typed_is_lost(
    admin: Admin, changes: dict[str, str], said: str
) -> None:
    await admin.desk.client.post("/language", data={"lang": "en", "next": "/console"})
    answer = await admin.desk.post("/console/policy/warning", **(FORM | changes))
    page = await answer.text()
    assert answer.status == (409 if "version" in changes else 422)
    assert said in page
    assert 'value="1200000"' in page
    async with admin.site.pool.acquire() as conn:
        assert (await channel_policy.in_force(conn, "warning")).version == 1


async def test_a_policy_without_a_channel_keeps_a_first_step_to_fill_in(admin: Admin) -> None:
    """In words of ours in both languages, and at an address that can be asked for again."""
    left = {name: value for name, value in FORM.items() if not name.endswith(".channels")}
    answer = await admin.desk.post("/console/policy/warning", **left)
    page = await answer.text()
    assert answer.status == 422
    assert "Chưa chọn kênh nào. Chọn ít nhất một kênh ở bước 1." in page
    assert page.count("Bước 1</legend>") == 3, "of three classes, each has a first step"
    for word in ("Tuple", "Input should", "pydantic"):
        assert word not in page
    again = await admin.desk.get("/console/policy/warning")
    assert (again.status, again.headers["Location"]) == (303, "/console/policy#warning")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"quiet_hours": {"from": "9pm", "to": "06:00"}}, "quiet_hours.from", "giờ và phút"),
        ({"steps": [{"channels": ["fax"]}]}, "steps.0.channels.0", "danh sách"),
        ({"steps": [{"channels": ["push"], "to": "x"}]}, "steps.0.to", "danh sách"),
        ({"steps": [{"channels": ["push"]}] * 6}, "steps", "Nhiều nhất 5 bước"),
        ({"ceiling": 1}, "ceiling", "Không có mục này"),
        ({"sms_part_cost": None}, "sms_part_cost", "từ 0 đến 1.000.000"),
    ],
)
def test_what_a_policy_cannot_be_is_said_in_words_of_ours(
    changes: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        channel_policy.parse("information", {"steps": [{"channels": ["push"]}]} | changes)
    assert refused.value.details["where"] == field
    assert said in refused.value.message("vi")
    assert "Input should" not in refused.value.message("en")


async def test_only_an_admin_of_the_whole_city_sees_it(admin: Admin) -> None:
    for login in ("xa", "ha"):
        await admin.desk.sign_in(login)
        assert (await admin.desk.get("/console/policy")).status == 403
        assert (await admin.desk.post("/console/policy/warning", **FORM)).status == 403


async def test_an_alert_held_by_quiet_hours_says_so_on_its_page(admin: Admin) -> None:
    async with admin.site.pool.acquire() as conn:
        notice = await site.approved(admin.site, conn, **{"class": "information"})
    await stages.start(admin.site.pool, admin.site.now, admin.site.selector, _nothing)
    await admin.desk.sign_in("ha")
    page = await admin.desk.text(f"/console/alerts/{notice.code}")
    assert "giờ yên tĩnh giữ lại đến 06:00 10/09" in page
    answer = await admin.desk.send(
        "POST", "/api/v1/forecast", {"class": "information", "area": site.BA_DINH_AREA}
    )
    told = await answer.json()
    assert (told["held_back"], told["people"]) == (True, 1)
    assert told["starts"].startswith("2026-09-09T23:00")


async def _nothing() -> None:
    return None
