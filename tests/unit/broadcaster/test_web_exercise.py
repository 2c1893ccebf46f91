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
from broadcaster.people import endpoints, exercise_recipients, selection
from broadcaster.people.endpoints import Address
from broadcaster.people.exercise_selection import Listed
from broadcaster.people.officials import Role, create_official
from broadcaster.people.register import register
from broadcaster.states import AlertState
from broadcaster.web import trainees
from broadcaster.web.security import SAFE_METHODS, Audience, permission_of
from tests import factor
from tests.unit.broadcaster.city import BA_DINH_POINT, PASSWORD, registration, unit_id
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


# --- Figures of an exercise ---


async def _resident_at(city: Site, address: str, *, listed: bool) -> None:
    """Somebody who lives in the middle of Ba Đình with a number of their own."""
    async with city.pool.acquire() as conn:
        known = Address("sms", address)
        told = registration(("sms", address), consent_at=city.now)
        await register(conn, city.keyring, city.units, city.now, told)
        person = await conn.fetchval("SELECT max(person_id) FROM person")
        ids = await endpoints.ensure_active(conn, city.keyring, city.now, [known])
        await endpoints.link(conn, city.now, [(person, ids[known])])
        if listed:
            await exercise_recipients.enrol_people(
                conn, city.now, await unit_id(conn, "01"), [person], "trên giấy"
            )


async def test_everything_that_is_counted_for_an_exercise_counts_who_takes_part(
    city: Site, author: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures, proposals and comparisons, at the console and over the API."""
    # What signing in looked at half a second ago would be counted.
    monkeypatch.setattr(selection, "LOOK", 0.0)
    for number in range(3):
        await _resident_at(city, f"+8491234500{number}", listed=number == 0)
    drawn = {"circles": [{"lon": 105.838, "lat": 21.0385, "metres": 900}]}
    wider = {"circles": [{"lon": 105.838, "lat": 21.0385, "metres": 1200}]}
    for path, given, read in (
        ("/console/audience", {"area": drawn}, ("people",)),
        ("/console/area/repair", {"area": drawn}, ()),
        ("/api/v1/audience", {"area": drawn}, ("people",)),
        ("/api/v1/audience/compare", {"before": drawn, "after": wider}, ("kept",)),
        ("/api/v1/areas/repair", {"area": drawn}, ("people_after",)),
        ("/api/v1/areas/simplify", {"area": drawn, "max_points": 50}, ("people", "after")),
        ("/api/v1/forecast", {"area": drawn, "class": "warning"}, ("people",)),
    ):  # fmt: skip
        found = {}
        for exercise in (False, True):
            answer = await author.send("POST", path, given | {"exercise": exercise})
            assert answer.status == 200, (path, await answer.text())
            said = await answer.json()
            for name in read:
                said = said[name]
            found[exercise] = said
        if read:
            assert (found[False], found[True]) == (4, 1), path


async def test_the_map_shows_where_those_who_take_part_are_and_never_a_few_of_them(
    city: Site, author: Desk
) -> None:
    box, listed = (105.7, 20.9, 106.0, 21.2), Listed(city.selector)
    for number in range(6):
        await _resident_at(city, f"+8491234510{number}", listed=number > 1)
    async with city.pool.acquire() as conn:
        few = await listed.density(conn, city.now, box, 8, 10)
    await _resident_at(city, "+84912345109", listed=True)
    async with city.pool.acquire() as conn:
        enough = await listed.density(conn, city.now, box, 8, 10)
    assert few.shape == enough.shape == (10, 8)
    assert (few.sum(), enough.sum()) == (0, 5), "four are too few to be pointed at"
    # The cell of the point: rows from the south, columns from the west.
    lon, lat = BA_DINH_POINT
    assert enough[int((lat - 20.9) / 0.03), int((lon - 105.7) / 0.0375)] == 5
    query = "west=105.7&south=20.9&east=106&north=21.2&cols=8&rows=10&exercise=1"
    assert (await author.get(f"/console/density?{query}")).status == 200
