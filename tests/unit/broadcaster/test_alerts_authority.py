"""Who may approve: the whole matrix of class, reach and role, and the same answer everywhere."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts import approval, approval_policy, authority, checks, draft
from broadcaster.alerts.approval_policy import DEFAULTS, Policy, Who
from broadcaster.alerts.authority import Bar, Candidate, Footprint, Need, Reach, bar, reach_of
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.waiting import waiting_for
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor, Role, authority_so_far
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from tests import factor
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, official, unit_id
from tests.unit.broadcaster.site import NOW, content

CITY, WARD, OTHER, THIRD = 1, 2, 3, 4
TREE = {"ward": {WARD}, "group": {WARD, OTHER}, "city": {CITY, WARD, OTHER, THIRD}}
AREAS = {
    Reach.OWN: Footprint((WARD,), 0.01),
    Reach.SEVERAL: Footprint((WARD, OTHER), 0.02),
    Reach.CITY: Footprint((WARD, OTHER, THIRD), 0.9),
}
NEEDED = {Who.UNIT: {WARD}, Who.AREA: {WARD, OTHER}, Who.CITY: {WARD, CITY}}
EXPECTED = {
    ("information", Reach.OWN): "ward", ("information", Reach.SEVERAL): "ward",
    ("information", Reach.CITY): "city",
    ("warning", Reach.OWN): "ward", ("warning", Reach.SEVERAL): "group",
    ("warning", Reach.CITY): "city",
    ("emergency", Reach.OWN): "ward", ("emergency", Reach.SEVERAL): "group",
    ("emergency", Reach.CITY): "city",
}  # fmt: skip
"""The narrowest role that may approve an alert of a ward."""
WIDTH = ("none", "ward", "group", "city")


def candidate(role: str, need: Need, **changes: object) -> Candidate:
    values: dict[str, object] = {
        "official_id": 7, "name": "Lan", "title": "", "lang": "vi", "training": False,
        "reached": frozenset(need.units & TREE.get(role, set())),
        "ring": {"none": -1, "ward": 0, "group": 1, "city": 2}[role],
        "wrote": False, "asked": False, "enrolled": True,
    }  # fmt: skip
    return Candidate(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("alert_class", "reach"), EXPECTED)
def test_the_whole_matrix_of_the_defaults(alert_class: str, reach: Reach) -> None:
    policy = DEFAULTS[alert_class]  # type: ignore[index]
    assert reach_of(policy, AREAS[reach], {WARD}, {CITY}) is reach
    who = Who(getattr(policy, reach.value))
    need = Need(reach, who, frozenset(NEEDED[who]), policy.second_factor)
    for role, wrote, enrolled, training in itertools.product(WIDTH, *3 * [(False, True)]):
        found = bar(need, candidate(role, need, wrote=wrote, enrolled=enrolled, training=training))
        wide = WIDTH.index(role) >= WIDTH.index(EXPECTED[alert_class, reach])
        if wrote:
            assert found is Bar.WROTE
        elif role == "none":
            assert found is Bar.NOT_HERE
        elif not wide:
            assert found is Bar.TOO_NARROW
        elif training:
            assert found is Bar.TRAINING
        elif alert_class == "emergency" and not enrolled:
            assert found is Bar.NOT_ENROLLED
        else:
            assert found is None


def test_who_stands_in_may_what_the_approvers_may_but_never_approves_own_words() -> None:
    need = Need(Reach.SEVERAL, Who.AREA, frozenset({WARD, OTHER}), True)
    assert bar(need, candidate("none", need, asked=True)) is None
    assert bar(need, candidate("none", need, asked=True, wrote=True)) is Bar.WROTE
    assert bar(need, candidate("none", need, asked=True, enrolled=False)) is Bar.NOT_ENROLLED


@given(st.floats(0, 1), st.sets(st.sampled_from([WARD, OTHER, THIRD])))
def test_who_reaches_more_never_needs_less(share: float, units: set[int]) -> None:
    policy = DEFAULTS["emergency"]
    reach = reach_of(policy, Footprint(tuple(units), share), {WARD}, {CITY})
    more = reach_of(policy, Footprint((*units, OTHER), share), {WARD}, {CITY})
    order = list(Reach)
    assert order.index(more) >= order.index(reach)
    assert (reach is Reach.CITY) == (share >= policy.city_share)


def test_what_was_never_measured_needs_the_city() -> None:
    assert reach_of(DEFAULTS["information"], None, {WARD}, {CITY}) is Reach.CITY


async def test_the_database_begins_with_the_defaults(conn: Conn) -> None:
    for alert_class, policy in DEFAULTS.items():
        assert (await approval_policy.in_force(conn, alert_class)).policy == policy


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(Refused, match="second_factor"):
        approval_policy.parse("emergency", {"second_factor": False})
    with pytest.raises(Refused, match="several"):
        approval_policy.parse("warning", {"own": "city", "several": "area"})
    steps = [{"after_minutes": 5, "ask": ["all"]}] * 2
    with pytest.raises(Refused, match=r"escalation\.1\.after_minutes"):
        approval_policy.parse("warning", {"escalation": steps})


async def test_a_changed_policy_is_a_version_and_counts_at_once(conn: Conn, units: UnitMap) -> None:
    ward, city = await unit_id(conn, BA_DINH), await unit_id(conn, "01")
    anna = await official(conn, "anna", Role("admin", city))
    taken = Footprint((ward,), 0.001)
    assert (await authority.need_of(conn, "warning", ward, taken)).who is Who.UNIT
    stricter = Policy(own=Who.CITY, several=Who.CITY)
    await approval_policy.save(conn, anna, NOW, "warning", 1, stricter)
    assert (await authority.need_of(conn, "warning", ward, taken)).who is Who.CITY
    with pytest.raises(Conflict):
        await approval_policy.save(conn, anna, NOW, "warning", 1, stricter)
    lan = await official(conn, "lan", Role("admin", ward))
    with pytest.raises(NotAllowed):
        await approval_policy.save(conn, lan, NOW, "warning", 2, stricter)
    assert [one.version for one in await approval_policy.history(conn, "warning")] == [2, 1]


class Desk:
    """A ward's author, and approvers of the ward, of two wards and of the city."""

    def __init__(self, conn: Conn, keyring: Keyring, actors: dict[str, Actor]) -> None:
        self.conn, self.keyring, self.actors = conn, keyring, actors
        self.selector = Selector()

    async def submitted(self, *codes: str, alert_class: str = "warning") -> Alert:
        units = [{"code": code, "vintage": "2025-07-01"} for code in codes]
        words = parse(content(NOW, **{"area": {"units": units}, "class": alert_class}))
        author = self.actors["author"]
        made = await draft.create(self.conn, author, NOW, words, await unit_id(self.conn, BA_DINH))
        await checks.run(self.conn, author, NOW, made.alert_id, self.selector)
        await self.conn.execute(
            "UPDATE alert_version SET problems = '[]' WHERE alert_id = $1", made.alert_id
        )
        return await approval.submit(self.conn, author, NOW, made.alert_id, made.version)

    async def who_may(self, alert: Alert) -> set[str]:
        """By the domain's answer, which the list of what waits must give as well."""
        answer = await authority.of_alert(self.conn, alert)
        may = {
            name for name, actor in self.actors.items()
            if answer.bar_of(actor.official_id) in (None, Bar.NOT_ENROLLED)
        }  # fmt: skip
        for name, actor in self.actors.items():
            waiting = await waiting_for(self.conn, actor)
            assert (alert.alert_id in {one.alert_id for one in waiting}) == (name in may)
        return may


@pytest.fixture
async def desk(conn: Conn, keyring: Keyring, units: UnitMap) -> Desk:
    ward, other = await unit_id(conn, BA_DINH), await unit_id(conn, NGOC_HA)
    city = await unit_id(conn, "01")
    group = await conn.fetchval(
        "INSERT INTO unit_group (code, name, name_en, kind) VALUES ('G', 'G', 'G', 'basin')"
        " RETURNING group_id"
    )
    await conn.executemany(
        "INSERT INTO unit_group_member VALUES ($1, $2, 1)", [(group, ward), (group, other)]
    )
    roles = {
        "author": (Role("author", ward), Role("author", city)),
        "ward": (Role("approver", ward),),
        "pair": (Role("approver", None, group),),
        "other": (Role("approver", other),),
        "city": (Role("approver", city),),
    }
    made = {name: await official(conn, name, *held) for name, held in roles.items()}
    return Desk(conn, keyring, made)


@pytest.mark.parametrize(
    ("codes", "alert_class", "may"),
    [
        ((BA_DINH,), "warning", {"ward", "pair", "city"}),
        ((NGOC_HA,), "warning", {"pair", "city"}),
        ((BA_DINH, NGOC_HA), "warning", {"pair", "city"}),
        ((BA_DINH, NGOC_HA), "information", {"ward", "pair", "city"}),
        ((BA_DINH, NGOC_HA), "emergency", {"pair", "city"}),
        (("01",), "information", {"city"}),
    ],
)
async def test_who_may_approve_what_a_ward_issues(
    desk: Desk, codes: tuple[str, ...], alert_class: str, may: set[str]
) -> None:
    alert = await desk.submitted(*codes, alert_class=alert_class)
    assert await desk.who_may(alert) == may
    for name, actor in desk.actors.items():
        if name not in may:
            with pytest.raises((NotAllowed, NotFound)):
                await approval.approve(desk.conn, actor, NOW, alert.alert_id, alert.version)


async def test_a_reach_by_the_units_end_is_the_reach_by_the_roles_end(desk: Desk) -> None:
    everything = {row["unit_id"] for row in await desk.conn.fetch("SELECT unit_id FROM unit")}
    need = Need(Reach.CITY, Who.CITY, frozenset(everything), False)
    ward = await unit_id(desk.conn, BA_DINH)
    found = {
        one.official_id: one.reached
        for one in await authority.candidates(desk.conn, need, ward, ())
    }
    for actor in desk.actors.values():
        reach = await authority_so_far(desk.conn, actor, "approver")
        assert found.get(actor.official_id, frozenset()) == reach


async def test_an_emergency_needs_a_proof_spent_with_its_approval(desk: Desk) -> None:
    conn, keyring, city = desk.conn, desk.keyring, desk.actors["city"]
    alert = await desk.submitted(BA_DINH, alert_class="emergency")
    ids = (alert.alert_id, alert.version)
    with pytest.raises(NotAllowed, match="no second factor"):
        await approval.confirm(conn, keyring, city, NOW, *ids, "123456")
    await factor.enrol(conn, keyring, city, NOW)
    with pytest.raises(NotAllowed, match="needs a second factor"):
        await approval.confirm(conn, keyring, city, NOW, *ids, "")
    with pytest.raises(Conflict):
        await approval.confirm(
            conn, keyring, city, NOW, alert.alert_id, alert.version + 1, factor.code(NOW)
        )
    # What was refused for another reason did not use the code up.
    done = await approval.confirm(conn, keyring, city, NOW, *ids, factor.code(NOW))
    assert done.state.value == "approved"
    again = await desk.submitted(BA_DINH, alert_class="emergency")
    with pytest.raises(NotAllowed, match="used before"):
        await approval.confirm(
            conn, keyring, city, NOW, again.alert_id, again.version, factor.code(NOW)
        )
    row = await conn.fetchrow("SELECT kind, version FROM approval_proof")
    assert tuple(row) == ("totp", alert.version)


async def test_the_database_itself_refuses_an_unproven_emergency(desk: Desk) -> None:
    alert = await desk.submitted(BA_DINH, alert_class="emergency")
    with pytest.raises(Exception, match="without a second factor"):
        await desk.conn.execute(
            "UPDATE alert SET state = 'approved', approved_by = $2, approved_at = now(),"
            " approved_version = version WHERE alert_id = $1",
            alert.alert_id, desk.actors["city"].official_id,
        )  # fmt: skip


async def test_an_edit_after_the_proof_asks_for_another_one(desk: Desk) -> None:
    conn, keyring, city = desk.conn, desk.keyring, desk.actors["city"]
    alert = await desk.submitted(BA_DINH, alert_class="emergency")
    proof = await factor.proof(conn, keyring, city, NOW)
    await approval.approve(conn, city, NOW, alert.alert_id, alert.version, proof)
    loaded = await draft.load(conn, desk.actors["author"], alert.alert_id)
    author, later = desk.actors["author"], NOW + timedelta(minutes=1)
    await draft.save(conn, author, later, alert.alert_id, alert.version, loaded.content)
    assert (await draft.find(conn, alert.alert_id)).approved_by is None
    await checks.run(conn, author, later, alert.alert_id, desk.selector)
    await conn.execute("UPDATE alert_version SET problems = '[]'")
    again = await approval.submit(conn, author, later, alert.alert_id, alert.version + 1)
    with pytest.raises(NotAllowed, match="needs a second factor"):
        await approval.approve(conn, city, later, again.alert_id, again.version)
