"""Who may approve an alert: one rule, asked by the page, the API, the lists and the approval.

What an alert needs follows from its class and from how far it reaches (`need_of`); who has it is
one query over roles (`candidates`); whether somebody may is one pure function (`bar`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from broadcaster.alerts import approval_policy, draft
from broadcaster.alerts.approval_policy import Policy, Who
from broadcaster.alerts.content import LANES, AlertClass
from broadcaster.alerts.draft import Alert, Draft
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, NotFound
from broadcaster.people import second_factor
from broadcaster.people.officials import IN_FORCE, Actor
from broadcaster.people.units import UnitMap
from targeting.area import Area
from targeting.select import taken_units


class Reach(StrEnum):
    """How far an alert reaches."""

    OWN = "own"
    """One commune or less, of the issuing unit's own."""
    SEVERAL = "several"
    CITY = "city"


class Bar(StrEnum):
    """Why somebody may not approve an alert, the first that holds."""

    WROTE = "wrote"
    NOT_HERE = "not_here"
    """No approver's role reaches the issuing unit."""
    TOO_NARROW = "too_narrow"
    """The role reaches the issuing unit, but not all that this alert needs."""
    TRAINING = "training"
    """The account is for training; the alert reaches people."""
    NOT_ENROLLED = "not_enrolled"
    """The alert asks for a second factor, and this account has none."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What an area takes: the lowest units, and the share of the city's residents in them."""

    units: tuple[int, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Need:
    """What an approval of one alert needs."""

    reach: Reach
    who: Who
    units: frozenset[int]
    """Units an approver's role has to reach, the issuing one among them."""
    second_factor: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """An official with an approver's role that reaches something of an alert, or asked for it."""

    official_id: int
    name: str
    title: str
    lang: str
    training: bool
    reached: frozenset[int]
    """Of the units needed."""
    ring: int
    """How near the role is: 0 at the issuing unit itself, 1 at a group of it, 2 above it, …"""
    wrote: bool
    asked: bool
    """A named substitute whose turn has come: stands in for the unit's approvers."""
    enrolled: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What an alert needs, and everybody who comes near to it, the nearest first."""

    need: Need
    candidates: tuple[Candidate, ...]
    training: bool = False
    """Written by a training account: nothing of it reaches anybody."""

    def bar_of(self, official_id: int) -> Bar | None:
        """Say why an official may not approve; None when they may."""
        for one in self.candidates:
            if one.official_id == official_id:
                return bar(self.need, one, training=self.training)
        return Bar.NOT_HERE

    @property
    def approvers(self) -> list[Candidate]:
        """Those who may approve, or may once they have enrolled."""
        return [one for one in self.candidates if self.bar_of(one.official_id) in MAY]


MAY = (None, Bar.NOT_ENROLLED)
"""Of those who may approve, or may once they have enrolled."""


def bar(need: Need, one: Candidate, *, training: bool = False) -> Bar | None:
    """Say why an official may not approve what needs this; None when they may."""
    if one.wrote:
        return Bar.WROTE
    if one.ring < 0 and not one.asked:
        return Bar.NOT_HERE
    if need.units - one.reached and not one.asked:
        return Bar.TOO_NARROW
    if one.training and not training:
        return Bar.TRAINING
    if need.second_factor and not one.enrolled and not one.training:
        return Bar.NOT_ENROLLED
    return None


def footprint(units: UnitMap, area: dict[str, Any]) -> Footprint:
    """Say what an area takes; raises AreaError."""
    known = units.outlines.units
    taken = taken_units(Area.from_json(area).shape(units.outlines), units.outlines)
    everybody = sum(known[key].population for key in units.outlines.lowest)
    if everybody:
        share = sum(known[key].population * part for key, part in taken.items()) / everybody
    else:
        share = len(taken) / max(1, len(units.outlines.lowest))
    return Footprint(tuple(sorted(units.ids[key] for key in taken)), min(1.0, share))


def reach_of(
    policy: Policy, taken: Footprint | None, own: Collection[int], tops: Collection[int]
) -> Reach:
    """Say how far an alert reaches; one that was never measured counts as the whole city.

    `own` are the issuing unit and what lies under it, `tops` the city.
    """
    if taken is None or taken.share >= policy.city_share or set(taken.units) & set(tops):
        return Reach.CITY
    return Reach.OWN if len(taken.units) <= 1 and set(taken.units) <= set(own) else Reach.SEVERAL


async def need_of(
    conn: Conn, alert_class: AlertClass, unit_id: int, taken: Footprint | None
) -> Need:
    """Say what an approval needs, by the policy in force."""
    policy = (await approval_policy.in_force(conn, alert_class)).policy
    own, tops = await grounds(conn, [unit_id])
    return need(policy, alert_class, unit_id, taken, own[unit_id], tops)


async def grounds(conn: Conn, unit_ids: Collection[int]) -> tuple[dict[int, set[int]], set[int]]:
    """Return each unit with what lies under it, and the city."""
    rows = await conn.fetch(
        "WITH RECURSIVE own AS (SELECT n AS of_unit, n AS unit_id FROM unnest($1::integer[]) n"
        " UNION SELECT own.of_unit, u.unit_id FROM unit u JOIN own ON u.parent_id = own.unit_id)"
        " SELECT of_unit, unit_id FROM own UNION ALL"
        f" SELECT NULL, unit_id FROM unit WHERE parent_id IS NULL AND {IN_FORCE}",
        list(set(unit_ids)),
    )
    found: dict[int, set[int]] = {unit_id: set() for unit_id in unit_ids}
    for row in rows:
        if row["of_unit"] is not None:
            found[row["of_unit"]].add(row["unit_id"])
    return found, {row["unit_id"] for row in rows if row["of_unit"] is None}


def need(
    policy: Policy,
    alert_class: AlertClass,
    unit_id: int,
    taken: Footprint | None,
    own: Collection[int],
    tops: Collection[int],
) -> Need:
    """Say what an approval needs by a policy; `own` and `tops` are those of `grounds`."""
    reach = reach_of(policy, taken, own, tops)
    who = Who(getattr(policy, reach.value))
    wide: Collection[int] = ()
    if who is Who.CITY:
        wide = tops
    elif who is Who.AREA:
        wide = taken.units if taken else tops
    # Whatever a policy says, nobody sends an emergency by a password alone.
    factor = policy.second_factor or alert_class == "emergency"
    return Need(reach, who, frozenset({unit_id, *wide}), factor)


# A role reaches a unit in force from any unit above it, and an ended unit through those that took
# over from it: the same as `officials.authority_so_far`, asked from the unit's end.
_CANDIDATES = f"""
WITH RECURSIVE heir AS (
    SELECT need, need AS unit_id FROM unnest($1::integer[]) AS n(need)
    UNION SELECT h.need, s.successor_id FROM unit_successor s JOIN heir h USING (unit_id)
), chain AS (
    SELECT h.need, h.unit_id, 0 AS up FROM heir h JOIN unit u USING (unit_id) WHERE {IN_FORCE}
    UNION SELECT c.need, u.parent_id, c.up + 1 FROM chain c JOIN unit u USING (unit_id)
    WHERE u.parent_id IS NOT NULL
), reached AS (
    SELECT r.official_id, array_agg(DISTINCT c.need) AS units,
        min(2 * c.up + (r.unit_id IS NULL)::integer) FILTER (WHERE c.need = $2) AS ring
    FROM official_role r
    LEFT JOIN unit_group_member m ON m.group_id = r.group_id
    JOIN chain c ON c.unit_id = coalesce(r.unit_id, m.unit_id)
    WHERE r.role = 'approver' GROUP BY r.official_id
)
SELECT o.official_id, o.name, o.title, o.lang::text AS lang, o.training,
    coalesce(t.units, '{{}}') AS reached, coalesce(t.ring, -1) AS ring,
    o.official_id = ANY($3::integer[]) AS wrote, o.official_id = ANY($4::integer[]) AS asked,
    coalesce(f.secret_enc IS NOT NULL, false) AS enrolled
FROM official o LEFT JOIN reached t USING (official_id)
LEFT JOIN second_factor f USING (official_id)
WHERE o.active AND (t.official_id IS NOT NULL OR o.official_id = ANY($4::integer[]))
    AND ($5::integer IS NULL OR o.official_id = $5)
ORDER BY t.ring NULLS LAST, o.official_id
"""


async def candidates(
    conn: Conn,
    need: Need,
    unit_id: int,
    writers: Collection[int],
    asked: Collection[int] = (),
    official_id: int | None = None,
) -> tuple[Candidate, ...]:
    """Return everybody whose role comes near, the nearest first; only one when they are named."""
    rows = await conn.fetch(
        _CANDIDATES, list(need.units), unit_id, list(writers), list(asked), official_id
    )
    return tuple(Candidate(**{**row, "reached": frozenset(row["reached"])}) for row in rows)


async def approvers(
    conn: Conn,
    alert_class: AlertClass,
    unit_id: int,
    taken: Footprint | None,
    writers: Collection[int] = (),
    *,
    training: bool = False,
) -> Answer:
    """Say who approves a draft that need not be saved yet: for whoever writes it."""
    need = await need_of(conn, alert_class, unit_id, taken)
    found = await candidates(conn, need, unit_id, writers)
    return Answer(need, found, training)


@dataclass(frozen=True, slots=True)
class Case:
    """What decides who may approve one version, beside its class and its unit."""

    taken: Footprint | None
    writers: frozenset[int]
    asked: frozenset[int]


async def cases(conn: Conn, alerts: Sequence[Alert]) -> dict[int, Case]:
    """Return the case of each alert as it stands, by its id."""
    rows = await conn.fetch(
        "SELECT v.alert_id, v.covered, v.city_share, ARRAY(SELECT DISTINCT w.saved_by"
        "  FROM alert_version w WHERE w.alert_id = v.alert_id) AS writers,"
        " ARRAY(SELECT DISTINCT unnest(k.substitutes) FROM approval_ask k"
        "  WHERE k.alert_id = v.alert_id AND k.version = v.version) AS asked"
        " FROM alert_version v JOIN unnest($1::bigint[], $2::integer[]) AS n(alert_id, version)"
        " USING (alert_id, version)",
        [alert.alert_id for alert in alerts],
        [alert.version for alert in alerts],
    )
    known = {alert.alert_id: alert for alert in alerts}
    found = {}
    for row in rows:
        alert = known[row["alert_id"]]
        measured = row["covered"] is not None and row["city_share"] is not None
        taken = Footprint(tuple(row["covered"]), row["city_share"]) if measured else None
        by = {*row["writers"], alert.author_id, alert.submitted_by} - {None}
        found[alert.alert_id] = Case(taken, frozenset(by), frozenset(row["asked"]))
    return found


async def of_alert(conn: Conn, alert: Alert, official_id: int | None = None) -> Answer:
    """Say who approves an alert as it stands; only one official's case when they are named."""
    case = (await cases(conn, [alert])).get(alert.alert_id)
    if case is None:
        raise draft.no_such_alert(alert.code)
    asks = await need_of(conn, alert_class_of(alert), alert.unit_id, case.taken)
    found = await candidates(conn, asks, alert.unit_id, case.writers, case.asked, official_id)
    return Answer(asks, found, alert.training)


def alert_class_of(alert: Alert) -> AlertClass:
    """Return an alert's class as the type that policies are kept by."""
    return next(one for one in LANES if one == alert.alert_class)


async def require(conn: Conn, actor: Actor, alert: Alert) -> Need:
    """Return what an approval by this official needs; raises NotAllowed saying why not."""
    answer = await of_alert(conn, alert, actor.official_id)
    found = answer.bar_of(actor.official_id)
    if found is not None:
        raise refusal(found, answer.need)
    # What training accounts approve among themselves goes nowhere: their password is enough.
    return replace(answer.need, second_factor=False) if actor.training else answer.need


async def load(conn: Conn, actor: Actor, which: int | str) -> Draft:
    """Read an alert for whoever may see it by role, or was asked to stand in for its approvers."""
    try:
        return await draft.load(conn, actor, which)
    except NotFound:
        alert = await draft.find(conn, which)
        answer = await of_alert(conn, alert, actor.official_id)
        if any(one.asked for one in answer.candidates):
            return await draft.with_content(conn, alert)
        raise


async def require_decider(conn: Conn, actor: Actor, alert: Alert) -> None:
    """Let an approver of the issuing unit, or a stand-in, return or reject it.

    Nobody needs to reach all of an alert to say that a place's name is wrong.
    """
    answer = await of_alert(conn, alert, actor.official_id)
    if not any(one.asked or one.ring >= 0 for one in answer.candidates):
        raise refusal(Bar.NOT_HERE, answer.need)


def refusal(found: Bar, need: Need) -> NotAllowed:
    """Make the refusal for somebody who may not approve."""
    if found is Bar.NOT_ENROLLED:
        return second_factor.not_enrolled()
    return NotAllowed(*_REFUSALS[found][need.who if found is Bar.TOO_NARROW else Who.UNIT])


_WROTE = (
    "four_eyes",
    "Bạn đã soạn hoặc sửa tin này nên người khác phải duyệt.",
    "You wrote or edited this alert, so somebody else has to approve it.",
)
_NOT_HERE = (
    "not_approver_here",
    "Quyền của bạn không gồm đơn vị phát tin này.",
    "Your roles do not reach the unit that issues this alert.",
)
_TOO_NARROW = {
    Who.UNIT: _NOT_HERE,
    Who.AREA: (
        "approver_too_narrow",
        "Tin này phủ cả nơi ngoài quyền duyệt của bạn; cần người duyệt có quyền ở mọi nơi đó.",
        "This alert covers places beyond your role; it needs an approver whose role reaches all.",
    ),
    Who.CITY: (
        "approver_too_narrow",
        "Tin này phủ cả thành phố hoặc phần lớn thành phố; cần người duyệt cấp thành phố.",
        "This alert covers the city or most of it; it needs an approver of the whole city.",
    ),
}
_REFUSALS: dict[Bar, dict[Who, tuple[str, str, str]]] = {
    Bar.WROTE: {Who.UNIT: _WROTE},
    Bar.NOT_HERE: {Who.UNIT: _NOT_HERE},
    Bar.TOO_NARROW: _TOO_NARROW,
    Bar.TRAINING: {
        Who.UNIT: (
            "training_account",
            "Tài khoản tập huấn chỉ duyệt tin của tài khoản tập huấn. Nhờ người duyệt chính thức.",
            "A training account approves what training accounts write. Ask an approver on duty.",
        )
    },
}
