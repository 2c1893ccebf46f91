"""Exercises over the API and on the page of a session: sessions, lists, widening, the report."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from broadcaster.alerts import approval, checks, draft, lifecycle
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.fanout import stages
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.people.officials import Role
from broadcaster.people.register import register
from tests import factor
from tests.unit.broadcaster.city import BA_DINH, official, registration, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import BA_DINH_AREA, Site, content

API = "/api/v1/exercises"
NUMBER = "+84912345678"


@pytest.fixture
async def anna(city: Site) -> Any:
    async with city.pool.acquire() as conn:
        top = await unit_id(conn, "01")
        await official(conn, "anna", Role("admin", top), Role("approver", top))
    async with Seat(city, "anna") as desk:
        yield await desk


async def _asked(
    desk: Desk, method: str, path: str, document: Any = None, status: int = 200
) -> Any:
    answer = await desk.send(method, f"{API}{path}", document)
    assert answer.status == status, (path, answer.status, await answer.text())
    return await answer.json() if status != 204 else None


async def _registered(city: Site) -> None:
    async with city.pool.acquire() as conn:
        told = registration(("sms", NUMBER), consent_at=city.now)
        await register(conn, city.keyring, city.units, city.now, told)
        person = await conn.fetchval("SELECT max(person_id) FROM person")
        known = Address("sms", NUMBER)
        ids = await endpoints.ensure_active(conn, city.keyring, city.now, [known])
        await endpoints.link(conn, city.now, [(person, ids[known])])


async def test_a_program_keeps_lists_and_is_told_what_to_do_where_it_may_not(
    city: Site, anna: Desk, author: Desk
) -> None:
    who = {"who": NUMBER, "unit": BA_DINH, "consent": "phiếu 12", "consented_on": "2026-09-01"}
    assert "not_registered" in str(await _asked(anna, "POST", "/recipients", who, 422))
    await _registered(city)
    assert await _asked(anna, "POST", "/recipients", who, 201) == {"added": 1}
    assert "enrolled_already" in str(await _asked(anna, "POST", "/recipients", who, 409))
    said = await _asked(anna, "POST", "/recipients", who | {"unit": "99999"}, 422)
    assert "99999" in str(said)
    assert "there is no unit" in str(said) or "không có đơn vị" in str(said)
    late = who | {"consented_on": "2030-01-01"}
    assert "consent_in_future" in str(await _asked(anna, "POST", "/recipients", late, 422))
    [one] = (await _asked(anna, "GET", "/recipients"))["recipients"]
    assert NUMBER not in str(one), "addresses are masked"
    assert (one["in_use"], one["consent"], one["channel"]) == (True, "phiếu 12", "sms")
    await _asked(author, "GET", "/recipients", status=403)
    await _asked(anna, "POST", f"/recipients/{one['id']}/remove", {"reason": "chuyển đi"}, 204)
    again = await _asked(anna, "POST", f"/recipients/{one['id']}/remove", {"reason": "x"}, 404)
    assert "not_enrolled" in str(again)
    assert (await _asked(anna, "GET", "/recipients"))["recipients"] == []
    [left] = (await _asked(anna, "GET", "/recipients?removed=1"))["recipients"]
    assert left["removed_why"] == "chuyển đi"


async def test_a_program_opens_a_session_and_ends_it(city: Site, anna: Desk, author: Desk) -> None:
    ends = city.now + timedelta(hours=3)
    asked = {"name": "Bão giả định", "units": ["01"], "ends_at": ends.isoformat()}
    made = await _asked(anna, "POST", "/sessions", asked, 201)
    assert (made["under_way"], made["units"]) == (True, ["01"])
    wrong = await _asked(anna, "POST", "/sessions", asked | {"units": ["01", "xx"]}, 422)
    assert "units[1]" in str(wrong)
    soon = asked | {"ends_at": city.now.isoformat()}
    assert "session_time" in str(await _asked(anna, "POST", "/sessions", soon, 422))
    await _asked(author, "POST", "/sessions", asked, 403)
    async with city.pool.acquire() as conn:
        begun = await draft.create(
            conn, city.author, city.now, parse(content(city.now)), await unit_id(conn, "01")
        )
        assert begun.exercise
    await _asked(anna, "POST", f"/sessions/{made['id']}/close", {}, 204)
    closed = await _asked(anna, "POST", f"/sessions/{made['id']}/close", {}, 409)
    assert "session_over" in str(closed)
    [listed] = (await _asked(anna, "GET", "/sessions"))["sessions"]
    assert (listed["under_way"], listed["closed_at"] is not None) == (False, True)


async def _submitted(city: Site) -> Alert:
    async with city.pool.acquire() as conn:
        made = await draft.create(
            conn, city.author, city.now, parse(content(city.now, area=BA_DINH_AREA)),
            await unit_id(conn, "01"), as_exercise=True,
        )  # fmt: skip
        await checks.run(conn, city.author, city.now, made.alert_id, city.selector)
        return await approval.submit(conn, city.author, city.now, made.alert_id, 1)


async def test_a_program_opens_an_exercise_to_everybody_with_a_code_and_not_without(
    city: Site, approver: Desk
) -> None:
    alert = await _submitted(city)
    way = f"/api/v1/alerts/{alert.code}"
    async with city.pool.acquire() as conn:
        await factor.enrol(conn, city.keyring, city.approver, city.now)
    said = await (await approver.get(f"{way}/approval")).json()
    assert (said["exercise"], said["recipients"], said["must_widen"]) == (True, "listed", False)
    decision: dict[str, Any] = {"version": 1, "widen": True}
    refused = await approver.send("POST", f"{way}/approve", decision)
    assert refused.status == 403
    assert "second_factor_needed" in await refused.text()
    answer = await approver.send(
        "POST", f"{way}/approve", decision | {"code": factor.code(city.now)}
    )
    assert answer.status == 200, await answer.text()
    said = await (await approver.get(f"{way}/approval")).json()
    assert said["recipients"] == "all"


async def test_a_session_says_what_it_will_do_and_then_what_it_did(
    city: Site, anna: Desk, approver: Desk
) -> None:
    await _registered(city)
    who = {"who": NUMBER, "unit": "01", "consent": "phiếu", "consented_on": "2026-09-01"}
    await _asked(anna, "POST", "/recipients", who, 201)
    ends = (city.now + timedelta(hours=3)).isoformat()
    begins = (city.now + timedelta(minutes=10)).isoformat()
    made = await _asked(
        anna, "POST", "/sessions",
        {"name": "Lũ giả định", "units": ["01"], "begins_at": begins, "ends_at": ends}, 201,
    )  # fmt: skip
    plan = await _asked(anna, "GET", f"/sessions/{made['id']}")
    assert (plan["can_reach"], plan["sent"], plan["silent"]) == ({"sms": 1}, [], 1)
    page = await anna.text(f"/console/exercises/sessions/{made['id']}")
    assert 'data-mode="exercise"' in page
    assert "SMS 1" in page
    assert "Kết quả" not in page, "nothing came of it before it has begun"

    city.later(minutes=20)
    alert = await _submitted(city)
    city.later(minutes=4)
    async with city.pool.acquire() as conn:
        await approval.approve(conn, city.approver, city.now, alert.alert_id, 1)
    await stages.start(city.pool, city.now, city.selector, _nothing)
    async with city.pool.acquire() as conn:
        await lifecycle.first_handoff(conn, city.now + timedelta(seconds=2), alert.alert_id)
        await conn.execute(
            "UPDATE delivery SET state = 'confirmed' WHERE alert_id = $1", alert.alert_id
        )
        await conn.execute(
            "UPDATE progress SET pending = 0, confirmed = 1 WHERE alert_id = $1", alert.alert_id
        )
    told = await _asked(anna, "GET", f"/sessions/{made['id']}")
    [sent] = told["sent"]
    assert (sent["code"], sent["approving_seconds"], sent["leaving_seconds"]) == (
        alert.code, 240.0, 2.0,
    )  # fmt: skip
    assert (sent["addressed"], sent["arrived"], sent["confirmed"]) == (1, 1, 1)
    assert (told["reached"], told["confirmed"], told["silent"]) == (1, 1, 0)
    page = await anna.text(f"/console/exercises/sessions/{made['id']}")
    for shown in (alert.code, "4 phút", "[DIỄN TẬP]", "Kết quả"):
        assert shown in page
    assert NUMBER not in page
    await _asked(anna, "GET", "/sessions/999", status=404)
    # Somebody else's units are somebody else's session.
    assert (await approver.get(f"/console/exercises/sessions/{made['id']}")).status in (403, 404)


async def _nothing() -> None:
    pass
