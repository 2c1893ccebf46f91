"""The page of who approves: for the city's admin, in versions, mistakes named; who stands in."""

from __future__ import annotations

import re

from broadcaster.alerts import approval_policy, escalation
from broadcaster.alerts.approval_policy import Asked, Who
from broadcaster.people.officials import Role
from tests.unit.broadcaster.city import BA_DINH, official, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site

PAGE = "/console/approval-rules"
FORM = {
    "version": "1", "own": "unit", "several": "city", "city": "city", "city_share": "30",
    "escalation.0.after_minutes": "5", "escalation.0.ask": "superior",
    "escalation.2.after_minutes": "15", "escalation.2.ask": "all",
}  # fmt: skip


async def test_the_citys_admin_changes_who_approves(city: Site, approver: Desk) -> None:
    assert (await approver.get(PAGE)).status == 403
    async with city.pool.acquire() as conn:
        await official(conn, "anna", Role("admin", await unit_id(conn, "01")))
    async with Seat(city, "anna") as signing_in:
        admin = await signing_in
        page = await admin.text(PAGE)
        assert page.count("Bản 1") == 3
        answer = await admin.post(f"{PAGE}/warning", **FORM | {"several": "unit", "own": "city"})
        assert answer.status == 422
        assert "Chọn phạm vi rộng hơn" in await answer.text()
        answer = await admin.post(f"{PAGE}/warning", **FORM | {"city_share": "ba mươi"})
        assert re.search('name="city_share"[^>]*value="ba mươi" aria-invalid', await answer.text())
        assert (await admin.post(f"{PAGE}/warning", **FORM)).status == 303
        assert (await admin.post(f"{PAGE}/warning", **FORM)).status == 409
        assert (await admin.post(f"{PAGE}/else", **FORM)).status == 404
        async with city.pool.acquire() as conn:
            policy = (await approval_policy.in_force(conn, "warning")).policy
        assert (policy.several, policy.city_share) == (Who.CITY, 0.3)
        assert [(one.after_minutes, one.ask) for one in policy.escalation] == [
            (5, (Asked.SUPERIOR,)), (15, (Asked.ALL,)),
        ]  # fmt: skip
        await stands_in(city, admin)


async def stands_in(city: Site, admin: Desk) -> None:
    async with city.pool.acquire() as conn:
        ward = str(await unit_id(conn, BA_DINH))
    answer = await admin.post(f"{PAGE}/substitutes/name", unit=ward, login="ha")
    assert answer.status == 422
    answer = await admin.post(f"{PAGE}/substitutes/name", unit=ward, login="nobody")
    assert answer.status == 404
    for act, names in (("name", ["long"]), ("end", [])):
        answer = await admin.post(f"{PAGE}/substitutes/{act}", unit=ward, login="long")
        assert answer.status == 303
        async with city.pool.acquire() as conn:
            assert [one["login"] for one in await escalation.substitutes(conn)] == names
