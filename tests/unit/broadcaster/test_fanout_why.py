"""Why somebody got an alert, or did not; and what an update of it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from broadcaster import audit
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn, Pool
from broadcaster.errors import NotAllowed, NotFound, Refused
from broadcaster.fanout import change, stages, why
from broadcaster.fanout.why import Explanation, Person
from broadcaster.people import endpoints, register
from broadcaster.people.endpoints import Address
from broadcaster.people.officials import Actor, Role
from broadcaster.settings import Settings
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, official, unit_id
from tests.unit.broadcaster.site import NOW, Site

VINTAGE = "2025-07-01"
INSIDE, OUTSIDE, IN_CIRCLE = (105.840, 21.040), (105.60, 21.20), (105.70, 21.00)
SQUARE = [[105.83, 21.03], [105.85, 21.03], [105.85, 21.05], [105.83, 21.05], [105.83, 21.03]]
AREA: dict[str, Any] = {
    "polygons": [{"type": "Polygon", "coordinates": [SQUARE]}],
    "circles": [{"lon": IN_CIRCLE[0], "lat": IN_CIRCLE[1], "metres": 500}],
}
NUMBER, OTHER_NUMBER, MAIL = "+84912345678", "+84987654321", "lan.anh@dan.example"
Point = tuple[float, float]


@dataclass
class Desk:
    """The city, one staff member, and a connection."""

    site: Site
    conn: Conn
    staff: Actor

    async def person(
        self,
        *addresses: Address,
        home: Point | None = OUTSIDE,
        watched: Point | None = None,
        at: datetime = NOW,
        unit: str = BA_DINH,
    ) -> int:
        """Somebody registered; without a home they are known by their unit only."""
        conn = self.conn
        person_id: int = await conn.fetchval(
            "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", at
        )
        for place_no, point, label in ((0, home, ""), (1, watched, "nhà mẹ")):
            if place_no == 0 or point is not None:
                await self.place(person_id, place_no, point, label, unit)
        known = await endpoints.ensure_active(conn, self.site.keyring, at, addresses)
        await endpoints.link(conn, at, [(person_id, one) for one in known.values()])
        return person_id

    async def place(
        self, person_id: int, place_no: int, point: Point | None, label: str, unit: str
    ) -> None:
        await self.conn.execute(
            "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only, label)"
            " VALUES ($1, $2, $3, $4, $5)",
            person_id, place_no, await unit_id(self.conn, unit), point is None, label,
        )  # fmt: skip
        if point is not None:
            await self.conn.execute(
                "INSERT INTO person_point (person_id, place_no, x, y) VALUES ($1, $2, $3, $4)",
                person_id, place_no, round(point[0] * 1e5), round(point[1] * 1e5),
            )  # fmt: skip

    async def moved(self, person_id: int, point: Point) -> None:
        await self.conn.execute(
            "UPDATE person_point SET x = $2, y = $3 WHERE person_id = $1 AND place_no = 0",
            person_id, round(point[0] * 1e5), round(point[1] * 1e5),
        )  # fmt: skip

    async def alert(self, area: dict[str, Any], *, sent: bool = True) -> Alert:
        """An alert of the city; `sent`: begun, with its deliveries."""
        made = await site.approved(self.site, self.conn, area=area)
        if sent:
            await stages.start(self.site.pool, self.site.now, self.site.selector, _nothing)
            await stages.expand_open(self.site.pool, self.site.now, _nothing)
        return made

    async def ask(self, alert: Alert, address: str = "", report: str = "") -> Explanation:
        return await why.ask(
            self.conn, self.site.keyring, self.site.selector, self.staff, self.site.now,
            alert.code, address=address, report=report,
        )  # fmt: skip

    async def one(self, alert: Alert, address: str) -> Person:
        [person] = (await self.ask(alert, address)).people
        return person


async def _nothing() -> None:
    return None


@pytest.fixture
async def desk(settings: Settings, pool: Pool) -> AsyncIterator[Desk]:
    async with site.running(settings, pool) as running, pool.acquire() as conn:
        staff = await official(conn, "thu", Role("staff", await unit_id(conn, "01")))
        yield Desk(running, conn, staff)


def sms(number: str = NUMBER) -> Address:
    return Address("sms", number)


async def test_the_place_and_the_part_of_the_area_are_named_and_what_was_sent(desk: Desk) -> None:
    await desk.person(sms(), Address("email", MAIL), watched=IN_CIRCLE, home=OUTSIDE)
    alert = await desk.alert(AREA)
    person = await desk.one(alert, "0912 345 678")
    assert (person.in_audience, person.because) == (True, "place")
    home, mother = person.places
    assert (home.inside, home.label, home.parts, home.unit) == (False, "", (), None)
    assert (mother.inside, mother.label) == (True, "nhà mẹ")
    assert mother.parts == (("vòng tròn 1, bán kính 500 m", "circle 1, 500 m around"),)
    assert [(one.channel, one.address, one.state) for one in person.sent] == [
        ("sms", "…678", "pending"),
        ("email", "l…@dan.example", "pending"),
    ]


async def test_watched_places_without_a_name_have_a_number(desk: Desk) -> None:
    person = await desk.person(sms(), watched=IN_CIRCLE, home=OUTSIDE)
    for number in (2, 3):
        await desk.place(person, number, OUTSIDE, "", BA_DINH)
    found = await desk.one(await desk.alert(AREA), "0912 345 678")
    names = [place.name[0] for place in found.places]
    assert names == ["Nơi ở", "Nơi theo dõi", "Nơi theo dõi 2", "Nơi theo dõi 3"]


async def test_a_point_may_lie_in_several_parts_and_an_exclusion_takes_it_out(desk: Desk) -> None:
    await desk.person(sms(), home=INSIDE)
    unit = {"units": [{"code": BA_DINH, "vintage": VINTAGE}]}
    both = await desk.alert(AREA | unit)
    names = [en for _, en in (await desk.one(both, NUMBER)).places[0].parts]
    assert sorted(names) == ["Ba Dinh Ward", "drawn shape 1"]
    without = await desk.alert(unit | {"exclusions": {"polygons": AREA["polygons"]}})
    person = await desk.one(without, NUMBER)
    assert (person.in_audience, person.because, person.sent[0].state) == (False, "outside", None)
    assert person.sent[0].why_not is not None


async def test_who_is_known_by_the_unit_only_is_told_apart(desk: Desk) -> None:
    await desk.person(sms(), home=None)
    await desk.person(sms(OTHER_NUMBER), home=None, unit=NGOC_HA)
    alert = await desk.alert({"units": [{"code": BA_DINH, "vintage": VINTAGE}]})
    person = await desk.one(alert, NUMBER)
    assert person.because == "place"
    assert person.places[0].unit is not None
    assert person.places[0].parts == (person.places[0].unit,)
    assert (await desk.one(alert, OTHER_NUMBER)).because == "outside"


async def test_what_todays_places_do_not_explain_is_said(desk: Desk) -> None:
    gone, come = await desk.person(sms(), home=INSIDE), await desk.person(sms(OTHER_NUMBER))
    alert = await desk.alert(AREA)
    await desk.moved(gone, OUTSIDE)
    await desk.moved(come, INSIDE)
    person = await desk.one(alert, NUMBER)
    assert (person.in_audience, person.because) == (True, "no_longer")
    assert person.sent[0].state == "pending"
    person = await desk.one(alert, OTHER_NUMBER)
    assert (person.in_audience, person.because) == (False, "moved_in")


async def test_who_registered_after_the_freeze_is_told_so(desk: Desk) -> None:
    alert = await desk.alert(AREA)
    await desk.person(sms(), home=INSIDE, at=NOW + timedelta(minutes=5))
    person = await desk.one(alert, NUMBER)
    assert (person.in_audience, person.because) == (False, "registered_later")


async def test_before_the_freeze_it_says_what_would_be(desk: Desk) -> None:
    await desk.person(sms(), home=INSIDE)
    await desk.person(sms(OTHER_NUMBER))
    alert = await desk.alert(AREA, sent=False)
    person = await desk.one(alert, NUMBER)
    assert (person.in_audience, person.because, person.sent[0].why_not) == (None, "would_be", None)
    assert (await desk.one(alert, OTHER_NUMBER)).because == "would_not_be"


async def test_a_household_is_several_people_with_one_delivery(desk: Desk) -> None:
    await desk.person(sms(), home=INSIDE)
    await desk.person(sms(), Address("email", MAIL), home=OUTSIDE)
    alert = await desk.alert(AREA)
    found = await desk.ask(alert, NUMBER)
    assert [one.because for one in found.people] == ["place", "outside"]
    assert [one.sent[0].state for one in found.people] == ["pending", "pending"]
    assert found.people[1].sent[1].state is None


async def test_a_channel_or_an_address_that_was_not_used_is_explained(desk: Desk) -> None:
    await desk.person(sms(), Address("email", MAIL), home=INSIDE)
    await desk.conn.execute(
        "UPDATE endpoint SET state = 'retired', retired_reason = 'gone' WHERE channel = 'email'"
    )
    person = await desk.one(await desk.alert(AREA), NUMBER)
    assert [one.state for one in person.sent] == ["pending", None]
    assert person.sent[1].why_not is not None
    assert "retired" in person.sent[1].why_not[1]


async def test_nobody_and_who_has_left_are_told_apart_from_each_other(desk: Desk) -> None:
    person_id = await desk.person(sms(), home=INSIDE)
    alert = await desk.alert(AREA)
    await register.leave(desk.conn, desk.site.now, person_id)
    left = await desk.ask(alert, NUMBER)
    never = await desk.ask(alert, OTHER_NUMBER)
    assert (left.people, never.people) == ((), ())
    assert left.nobody is not None
    assert never.nobody is not None
    assert left.nobody != never.nobody


@pytest.mark.parametrize(
    ("typed", "code"),
    [("0912", "phone_short"), ("09123", "phone_short"), ("0912 345 67", "phone_invalid"),
     ("024 3825 3536", "phone_landline"), ("a@", "email_invalid")],
)  # fmt: skip
async def test_a_wrong_number_is_said_and_nothing_is_noted(
    desk: Desk, typed: str, code: str
) -> None:
    alert = await desk.alert(AREA, sent=False)
    with pytest.raises(Refused) as refusal:
        await desk.ask(alert, typed)
    assert refusal.value.code == code
    with pytest.raises(Refused, match="telephone number"):
        await desk.ask(alert)
    assert not await _noted(desk, alert)


async def _noted(desk: Desk, alert: Alert) -> list[audit.Entry]:
    entries = await audit.trail(desk.conn, "alert", alert.alert_id)
    return [entry for entry in entries if entry.action == "alert.explained"]


async def test_every_question_is_in_the_trail_without_the_address(desk: Desk) -> None:
    person_id = await desk.person(sms(), home=INSIDE)
    alert = await desk.alert(AREA)
    await desk.ask(alert, NUMBER)
    await desk.ask(alert, OTHER_NUMBER)
    unknown, known = await _noted(desk, alert)
    assert known.by == "Thu"
    assert known.detail["person_ids"] == [person_id]
    assert unknown.detail == {
        "by": "address", "channel": "sms", "endpoint_id": None, "person_ids": [],
    }  # fmt: skip
    everything = str(await desk.conn.fetch("SELECT detail::text FROM audit"))
    assert "912345678" not in everything
    assert "987654321" not in everything


async def test_a_report_stands_for_its_sender_where_the_incident_may_be_seen(desk: Desk) -> None:
    person_id = await desk.person(sms(), home=INSIDE)
    alert = await desk.alert(AREA)
    ward = await unit_id(desk.conn, NGOC_HA)
    await desk.conn.execute(
        "WITH r AS (INSERT INTO report (code, channel, received_at, endpoint_id, person_id, text)"
        "  SELECT 'R-AAAAA', 'sms', $1, endpoint_id, $2, 'ngập' FROM endpoint RETURNING report_id),"
        " i AS (INSERT INTO incident (code, title, unit_id, opened_at, updated_at)"
        "  VALUES ('I-AAAAA', 'ngập', $3, $1, $1) RETURNING incident_id)"
        " INSERT INTO incident_report (report_id, to_incident, at)"
        " SELECT report_id, incident_id, $1 FROM r, i",
        NOW, person_id, ward,
    )  # fmt: skip
    [person] = (await desk.ask(alert, report="r-aaaaa")).people
    assert person.because == "place"
    with pytest.raises(NotFound):
        await desk.ask(alert, report="R-BBBBB")
    ba_dinh = await unit_id(desk.conn, BA_DINH)
    await desk.conn.execute("UPDATE alert SET unit_id = $1", ba_dinh)
    desk.staff = await official(desk.conn, "vi", Role("staff", ba_dinh))
    with pytest.raises(NotFound) as refusal:
        await desk.ask(alert, report="R-AAAAA")
    assert refusal.value.code == "no_incident"


async def test_only_staff_and_approvers_of_the_issuing_unit_may_ask(desk: Desk) -> None:
    alert = await desk.alert(AREA)
    desk.staff = desk.site.author
    with pytest.raises(NotAllowed):
        await desk.ask(alert, NUMBER)
    desk.staff = await official(desk.conn, "xa", Role("staff", await unit_id(desk.conn, NGOC_HA)))
    with pytest.raises(NotFound):
        await desk.ask(alert, NUMBER)
    assert not await _noted(desk, alert)


async def test_the_start_writes_people_first_chunk_and_state_together(desk: Desk) -> None:
    await desk.person(sms(), home=INSIDE)
    alert = await site.approved(desk.site, desk.conn, area=AREA)
    await stages.start(desk.site.pool, desk.site.now, desk.site.selector, _nothing)
    row = await desk.conn.fetchrow(
        "SELECT a.state::text, u.people, u.expanded_at, (SELECT count(*) FROM delivery),"
        " (SELECT count(*) FROM batch) FROM alert a JOIN audience u USING (alert_id)"
        " WHERE alert_id = $1",
        alert.alert_id,
    )
    assert row is not None
    assert tuple(row) == ("sending", 2, None, 1, 1)
    assert await stages.expand_open(desk.site.pool, desk.site.now, _nothing) == 1
    assert await desk.conn.fetchval("SELECT count(*) FROM delivery") == 1
    assert await desk.conn.fetchval("SELECT expanded_at IS NOT NULL FROM audience")


async def test_an_alert_that_cannot_be_expanded_holds_up_no_other(desk: Desk) -> None:
    await desk.person(sms(), home=INSIDE)
    broken = await site.approved(desk.site, desk.conn, area=AREA)
    good = await site.approved(desk.site, desk.conn, area=AREA)
    await stages.start(desk.site.pool, desk.site.now, desk.site.selector, _nothing)
    await desk.conn.execute("UPDATE alert SET lane = 0 WHERE alert_id = $1", broken.alert_id)
    await desk.conn.execute(
        "UPDATE audience SET ids_hash = chain_hash WHERE alert_id = $1", broken.alert_id
    )
    assert await stages.expand_open(desk.site.pool, desk.site.now, _nothing) == 2
    done = await desk.conn.fetch("SELECT alert_id FROM audience WHERE expanded_at IS NOT NULL")
    assert [row["alert_id"] for row in done] == [good.alert_id]


async def test_an_update_is_held_against_the_people_that_were_frozen(desk: Desk) -> None:
    stays, goes = await desk.person(home=INSIDE), await desk.person(sms(), home=INSIDE)
    await desk.person(home=IN_CIRCLE)
    new = await desk.person(sms(OTHER_NUMBER))
    alert = await desk.alert({"polygons": AREA["polygons"]})
    # Who was sent something is dropped by the update, wherever they are now.
    await desk.moved(goes, OUTSIDE)
    await desk.moved(new, INSIDE)
    found = await change.changed(desk.conn, desk.site.now, desk.site.selector, alert.alert_id, AREA)
    resident = stays - 1
    assert (found.kept.tolist(), found.dropped.tolist()) == ([resident, stays], [goes])
    assert found.added.tolist() == [new - 1, new]
    assert len(np.intersect1d(found.added, found.kept)) == 0


async def test_against_an_alert_that_never_began_everybody_is_added(desk: Desk) -> None:
    person_id = await desk.person(sms(), home=INSIDE)
    alert = await desk.alert(AREA, sent=False)
    found = await change.changed(desk.conn, desk.site.now, desk.site.selector, alert.alert_id, AREA)
    assert (found.added.tolist(), len(found.kept), len(found.dropped)) == (
        [person_id - 1, person_id],
        0,
        0,
    )
