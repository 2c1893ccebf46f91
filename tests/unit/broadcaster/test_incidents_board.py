import asyncio
from datetime import timedelta

import geojson
import pytest

from broadcaster.db import Conn, Pool
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.incidents.board import (
    OPEN_STATES,
    Filters,
    changed_since,
    count_incidents,
    get_incident,
    list_incidents,
    map_features,
)
from broadcaster.incidents.lifecycle import Opening, move, open_incident
from broadcaster.people.officials import Actor, Role, root_ids
from broadcaster.people.units import UnitMap
from broadcaster.states import INCIDENT_MOVES, IncidentState
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, NOW, alert, official, unit_id


async def incident(
    conn: Conn, unit: int | None, *, urgency: str = "normal", category: str = "flood",
    point: bool = True, minutes: int = 0, alert_id: int | None = None,
) -> str:  # fmt: skip
    """Open an incident with one report; return its code."""
    at = NOW + timedelta(minutes=minutes)
    report = await conn.fetchval(
        "INSERT INTO report (code, channel, received_at, text) VALUES"
        " ('HN' || nextval('report_report_id_seq'), 'sms', $1, 'ngập') RETURNING report_id",
        at,
    )
    x, y = (10583806, 2103853) if point and unit else (None, None)
    opening = Opening("ngập", category, urgency, alert_id, unit, x, y, "home" if unit else "none")
    made = await open_incident(conn, at, report, opening)
    return str(await conn.fetchval("SELECT code FROM incident WHERE incident_id = $1", made))


@pytest.fixture
async def ward(conn: Conn, units: UnitMap) -> int:
    return await unit_id(conn, BA_DINH)


@pytest.fixture
async def staff(conn: Conn, ward: int) -> Actor:
    return await official(conn, "truc", Role("staff", ward))


@pytest.fixture
async def city(conn: Conn, units: UnitMap) -> Actor:
    [root] = await root_ids(conn)
    return await official(conn, "thanhpho", Role("staff", root))


async def test_everybody_sees_their_own_and_only_the_city_what_lies_nowhere(
    conn: Conn, ward: int, staff: Actor, city: Actor
) -> None:
    mine = await incident(conn, ward)
    other = await incident(conn, await unit_id(conn, NGOC_HA))
    nowhere = await incident(conn, None)
    seen = (await list_incidents(conn, staff, Filters())).incidents
    assert [line.code for line in seen] == [mine]
    everything = (await list_incidents(conn, city, Filters())).incidents
    assert {line.code for line in everything} == {mine, other, nowhere}
    for code in (other, nowhere):
        with pytest.raises(NotFound):
            await get_incident(conn, staff, code)
        with pytest.raises(NotAllowed):
            await move(conn, staff, NOW, code, IncidentState.TRIAGED)
    await move(conn, city, NOW, nowhere, IncidentState.TRIAGED)


async def test_danger_to_life_comes_first_and_pages_join_without_a_gap(
    conn: Conn, ward: int, staff: Actor
) -> None:
    levels = ["normal", "urgent", "life_threatening"]
    made = [await incident(conn, ward, urgency=levels[n % 3], minutes=n) for n in range(11)]
    whole = (await list_incidents(conn, staff, Filters())).incidents
    assert [line.rank for line in whole] == sorted(line.rank for line in whole)
    assert whole[0].code == made[8]
    after, pages = None, []
    while True:
        page = await list_incidents(conn, staff, Filters(), after, 4)
        pages += page.incidents
        after = page.after
        if after is None:
            break
        # Somebody opens one meanwhile: nothing is repeated or skipped.
        await incident(conn, ward, urgency="life_threatening", minutes=60)
    assert pages == whole
    for cursor in ("1;DROP TABLE x-2", "1-" + "9" * 23, "9" * 23 + "-1", "1-²"):
        with pytest.raises(NotFound):
            await list_incidents(conn, staff, Filters(), cursor)


async def test_filters_narrow_the_list_and_the_map(conn: Conn, ward: int, city: Actor) -> None:
    other = await unit_id(conn, NGOC_HA)
    sent = await alert(conn, city, ward)
    flood = await incident(conn, ward, alert_id=sent)
    fire = await incident(conn, other, category="fire", urgency="urgent", point=False)
    done = await incident(conn, ward)
    await move(conn, city, NOW, done, IncidentState.OUT_OF_REMIT, reason="đường tỉnh khác")
    for filters, wanted in (
        (Filters(), {flood, fire}),
        (Filters(states=()), {flood, fire, done}),
        (Filters(states=("out_of_remit",)), {done}),
        (Filters(categories=("fire",)), {fire}),
        (Filters(urgencies=("urgent", "life_threatening")), {fire}),
        (Filters(unit_ids=(other,)), {fire}),
        (Filters(alert_id=sent), {flood}),
        (Filters(located=True), {flood}),
        (Filters(categories=("fire",), unit_ids=(ward,)), set()),
    ):
        page = await list_incidents(conn, city, filters)
        assert {line.code for line in page.incidents} == wanted, filters
    drawn = await map_features(conn, city, Filters())
    assert drawn.is_valid
    [point] = geojson.loads(geojson.dumps(drawn))["features"]
    assert point["geometry"]["coordinates"] == [105.83806, 21.03853]
    assert point["properties"]["code"] == flood


async def test_counts_are_of_all_that_the_actor_may_see(
    conn: Conn, ward: int, staff: Actor, city: Actor
) -> None:
    sent = await alert(conn, city, ward)
    for urgency in ("normal", "normal", "urgent"):
        await incident(conn, ward, urgency=urgency)
    await incident(conn, await unit_id(conn, NGOC_HA), urgency="urgent", alert_id=sent)
    done = await incident(conn, ward)
    await move(conn, city, NOW, done, IncidentState.OUT_OF_REMIT, reason="đường tỉnh khác")
    await incident(conn, None, urgency="life_threatening")
    nobody = await official(conn, "khong")
    for actor, filters, wanted in (
        (staff, Filters(), (0, 1, 2)),
        (city, Filters(), (1, 2, 2)),
        (city, Filters(alert_id=sent), (0, 1, 0)),
        (city, Filters(states=()), (1, 2, 3)),
        (nobody, Filters(), (0, 0, 0)),
    ):
        counted = await count_incidents(conn, actor, filters)
        assert tuple(counted.values()) == wanted, (actor.login, filters)
        assert tuple(counted) == ("life_threatening", "urgent", "normal")


async def test_one_incident_shows_reports_history_and_where_it_may_go(
    conn: Conn, ward: int, staff: Actor
) -> None:
    sent = await alert(conn, staff, ward)
    code = await incident(conn, ward, alert_id=sent)
    await move(
        conn, staff, NOW + timedelta(minutes=1), code, IncidentState.ASSIGNED,
        assign_to=staff.official_id,
    )  # fmt: skip
    shown = await get_incident(conn, staff, code)
    assert (shown.incident.state, shown.incident.assignee) == (IncidentState.ASSIGNED, "Truc")
    assert shown.incident.alert_code == "HN-1"
    assert (shown.incident.reports, shown.incident.channels) == (1, ("sms",))
    assert [report.text for report in shown.reports] == ["ngập"]
    assert [(event.action, event.by) for event in shown.history] == [
        ("incident.received", None), ("incident.assigned", "Truc"),
    ]  # fmt: skip
    assert set(shown.moves) == INCIDENT_MOVES[IncidentState.ASSIGNED]


async def test_a_report_that_was_moved_is_shown_where_it_went(
    conn: Conn, ward: int, staff: Actor
) -> None:
    first, second = await incident(conn, ward), await incident(conn, ward)
    await conn.execute(
        "INSERT INTO incident_report (report_id, from_incident, to_incident, by_official, at)"
        " SELECT l.report_id, a.incident_id, b.incident_id, $3, $4 FROM incident a"
        " JOIN incident_report l ON l.to_incident = a.incident_id, incident b"
        " WHERE a.code = $1 AND b.code = $2",
        first, second, staff.official_id, NOW,
    )  # fmt: skip
    assert (await get_incident(conn, staff, first)).reports == []
    shown = await get_incident(conn, staff, second)
    assert (len(shown.reports), shown.incident.reports) == (2, 2)


async def test_every_move_not_in_the_table_is_refused(conn: Conn, ward: int, staff: Actor) -> None:
    code = await incident(conn, ward)
    for was in IncidentState:
        for target in IncidentState:
            await conn.execute("UPDATE incident SET state = $1", was.value)
            if target in INCIDENT_MOVES[was]:
                await move(conn, staff, NOW, code, target, reason="vì")
                state = await conn.fetchval("SELECT state::text FROM incident")
                assert state == target
            else:
                with pytest.raises(Conflict) as refused:
                    await move(conn, staff, NOW, code, target, reason="vì")
                assert refused.value.details["was"] == was
    moves = sum(len(targets) for targets in INCIDENT_MOVES.values())
    trail = await conn.fetchval("SELECT count(*) FROM audit WHERE official_id IS NOT NULL")
    assert trail == moves


async def test_of_two_who_take_one_incident_one_is_told(
    pool: Pool, conn: Conn, ward: int, staff: Actor
) -> None:
    code = await incident(conn, ward)

    async def resolve() -> object:
        async with pool.acquire() as own:
            return await move(own, staff, NOW, code, IncidentState.RESOLVED)

    told = await asyncio.gather(resolve(), resolve(), return_exceptions=True)
    assert [type(outcome) for outcome in told].count(Conflict) == 1
    assert told.count(None) == 1


async def test_closing_without_work_needs_a_reason_and_an_assignee_must_be_near(
    conn: Conn, ward: int, staff: Actor, city: Actor
) -> None:
    code = await incident(conn, ward)
    far = await official(conn, "xa", Role("staff", await unit_id(conn, NGOC_HA)))
    with pytest.raises(Refused, match="reason"):
        await move(conn, staff, NOW, code, IncidentState.DUPLICATE, reason=" ")
    with pytest.raises(Refused, match="not staff for this place"):
        await move(conn, staff, NOW, code, IncidentState.ASSIGNED, assign_to=far.official_id)
    await move(conn, staff, NOW, code, IncidentState.ASSIGNED, assign_to=city.official_id)
    with pytest.raises(NotFound):
        await move(conn, staff, NOW, "SCXXXXX", IncidentState.TRIAGED)


async def test_changes_are_told_with_an_overlap_so_that_none_is_missed(
    conn: Conn, ward: int, staff: Actor
) -> None:
    old = await incident(conn, ward, minutes=-30)
    new = await incident(conn, ward)
    told = await changed_since(conn, staff, NOW + timedelta(seconds=4))
    assert [line.code for line in told] == [new]
    assert await changed_since(conn, staff, NOW + timedelta(seconds=6)) == []
    await move(conn, staff, NOW + timedelta(seconds=7), old, IncidentState.TRIAGED)
    told = await changed_since(conn, staff, NOW + timedelta(seconds=6))
    assert [line.code for line in told] == [old]


def test_open_states_are_those_with_work_left() -> None:
    assert set(IncidentState) - set(OPEN_STATES) == {
        IncidentState.CLOSED, IncidentState.DUPLICATE, IncidentState.OUT_OF_REMIT,
    }  # fmt: skip
