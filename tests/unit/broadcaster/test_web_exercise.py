"""Exercises over HTTP: what training accounts may do, and what goes to everybody once more."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiohttp import web

from broadcaster.alerts import approval, checks, draft, followup, lifecycle, wordings
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people.officials import Role, create_official
from broadcaster.states import AlertState
from broadcaster.web import trainees
from broadcaster.web.security import SAFE_METHODS, Audience, permission_of
from tests import factor
from tests.unit.broadcaster.city import PASSWORD, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site, content

ROLES = ("author", "approver", "staff", "monitor")


@pytest.fixture
async def hoc(city: Site) -> AsyncIterator[Desk]:
    async with city.pool.acquire() as conn:
        top = await unit_id(conn, "01")
        await create_official(
            conn, None, city.now, login="hoc", name="Hoc", password=PASSWORD, training=True,
            roles=[Role(role, top) for role in ROLES],
        )  # fmt: skip
    async with Seat(city, "hoc") as desk:
        yield await desk


def _changing(app: web.Application) -> set[tuple[str, str]]:
    """Routes by which an official changes something: method and address."""
    found = set()
    for route in app.router.routes():
        permission = permission_of(route.handler)
        officials = permission is not None and permission.audience is Audience.OFFICIAL
        if officials and route.method not in SAFE_METHODS and route.resource is not None:
            found.add((route.method, route.resource.canonical))
    return found


async def test_whatever_is_not_opened_to_training_accounts_is_closed_to_them(
    city: Site, hoc: Desk
) -> None:
    """Somebody who adds a route need not think of them."""
    assert city.client.app is not None
    routes = _changing(city.client.app)
    addresses = {address for _, address in routes}
    assert addresses >= trainees.OPEN, trainees.OPEN - addresses
    closed = sorted(one for one in routes if not trainees.is_open(one[1]))
    for dangerous in (
        "/console/exercises/recipients", "/console/dead-letters/replay",
        "/console/policy/{alert_class}",
        "/console/providers/{provider_id}/switch", "/console/templates/own/{id}/review",
        "/console/scenarios/{id}/review", "/api/v1/dead-letters/replay", "/console/received",
    ):  # fmt: skip
        assert dangerous in {address for _, address in closed}
    for method, address in closed:
        path = re.sub(r"\{[^}]*\}", "1", address)
        answer = await hoc.send(method, path, {})
        # Where "1" does not fit the address there is nothing to close.
        assert answer.status in (403, 404), (method, address, answer.status)
        if answer.status == 403:
            assert "training" in await answer.text(), (method, address)


# --- What follows an exercise that everybody got ---


async def _exercise(city: Site, *, widen: bool) -> Alert:
    """An exercise on its way, to everybody in its area or to those who take part."""
    async with city.pool.acquire() as conn:
        words = wordings.with_prepared(parse(content(city.now)), "alert")
        made = await draft.create(
            conn, city.author, city.now, words, await unit_id(conn, "01"), as_exercise=True
        )
        await _approved(city, conn, made, widen=widen)
        await lifecycle.move(conn, city.now, made.alert_id, AlertState.SENDING)
        await lifecycle.first_handoff(conn, city.now, made.alert_id)
        return await draft.find(conn, made.alert_id)


async def _submitted(city: Site, conn: Conn, made: Alert) -> Alert:
    await checks.run(conn, city.author, city.now, made.alert_id, city.selector)
    return await approval.submit(conn, city.author, city.now, made.alert_id, made.version)


async def _approved(city: Site, conn: Conn, made: Alert, *, widen: bool) -> Alert:
    await _submitted(city, conn, made)
    proof = None
    if widen:
        proof = await factor.proof(conn, city.keyring, city.approver, city.now)
    return await approval.approve(
        conn, city.approver, city.now, made.alert_id, made.version, proof, widen=widen
    )


@pytest.mark.parametrize("kind", ["update", "all_clear"])
async def test_what_follows_a_widened_exercise_is_widened_again_or_not_sent(
    city: Site, approver: Desk, kind: str
) -> None:
    first = await _exercise(city, widen=True)
    begin = followup.update if kind == "update" else followup.all_clear
    async with city.pool.acquire() as conn:
        made = await begin(conn, city.author, city.now, first.alert_id)
        assert (made.follows_widened, made.only_listed) == (True, False)
        if kind == "all_clear":
            said = (await draft.load(conn, city.author, made.alert_id)).content
            words = said.model_copy(update={"wording": parse(content(city.now)).wording})
            await draft.save(conn, city.author, city.now, made.alert_id, 1, words)
            made = await draft.find(conn, made.alert_id)
        found = await checks.run(conn, city.author, city.now, made.alert_id, city.selector)
        # It is counted as what it is: for everybody there, not for nobody who takes part.
        assert "no_one_takes_part" not in {one.code for one in found.problems}
        assert found.audience is not None
        assert found.audience.people > 0
        await approval.submit(conn, city.author, city.now, made.alert_id, made.version)
        with pytest.raises(Refused, match="everybody in its area got") as refused:
            await approval.approve(conn, city.approver, city.now, made.alert_id, made.version)
        assert refused.value.code == "widening_goes_on"
        # Nor by any other hand.
        with pytest.raises(asyncpg.CheckViolationError, match="everybody got"):
            await conn.execute(
                "UPDATE alert SET approved_by = $2, approved_at = now(), approved_version = 1"
                " WHERE alert_id = $1",
                made.alert_id, city.approver.official_id,
            )  # fmt: skip
    way = f"/console/alerts/{made.code}"
    page = await approver.text(f"{way}/review")
    assert re.search(r'name="widen" value="1" required', page)
    assert "Mọi người trong vùng đã nhận cuộc diễn tập trước" in page
    assert 'data-recipients="listed"' not in page
    refusal = await (await approver.post(f"{way}/approve", version=str(made.version))).text()
    assert "đã nhận, nên họ cũng phải" in refusal
    city.later(seconds=30)
    answer = await approver.post(
        f"{way}/approve", version=str(made.version), widen="1", code=factor.code(city.now)
    )
    assert answer.status == 303, await answer.text()
    async with city.pool.acquire() as conn:
        done = await draft.find(conn, made.alert_id)
    assert (done.state, done.widened_by) == (AlertState.APPROVED, city.approver.official_id)


async def test_what_follows_an_exercise_of_those_listed_stays_theirs(
    city: Site, approver: Desk
) -> None:
    first = await _exercise(city, widen=False)
    async with city.pool.acquire() as conn:
        made = await followup.update(conn, city.author, city.now, first.alert_id)
        assert made.only_listed
        done = await _approved(city, conn, made, widen=False)
        assert done.widened_by is None


async def test_a_widened_exercise_is_called_off_for_everybody_by_one_click(city: Site) -> None:
    first = await _exercise(city, widen=True)
    async with city.pool.acquire() as conn:
        cancel = await followup.cancel(conn, city.author, city.now, first.alert_id, "xong")
        assert cancel.widened_by == city.approver.official_id
        said = (await lifecycle.snapshot(conn, cancel.alert_id)).document
    assert said["recipients"] == "all"


async def test_the_review_of_an_exercise_names_those_it_goes_to_and_no_share_of_residents(
    city: Site, approver: Desk
) -> None:
    async with city.pool.acquire() as conn:
        made = await draft.create(
            conn, city.author, city.now, parse(content(city.now)), await unit_id(conn, "01"),
            as_exercise=True,
        )  # fmt: skip
        await _submitted(city, conn, made)
    page = await approver.text(f"/console/alerts/{made.code}/review")
    assert "Đã đăng ký ở đó, không gửi tới" in page
    assert "Dân cư, khoảng" not in page
    assert 'data-recipients="listed"' in page
    # What the button says follows the tick.
    assert 'class="ex-narrow"' in page
    assert 'class="ex-wide"' in page
