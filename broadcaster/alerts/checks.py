"""The checks: pure functions, draft in, list of problems out; blocking or advisory.

`run` gathers what they need, keeps their answer with the version it was given for and adds what
an official wants to know beside it: how many people, and what the notice does for the duty. The
duty never blocks: it is a minimum, not a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from broadcaster.alerts import (
    approver_checks,
    class_checks,
    exercise_checks,
    forecast,
    left_out,
    look_alikes,
    order,
    policy_checks,
    sent_words,
    stated_times,
    template_checks,
    template_store,
    time_checks,
    unchanged,
    word_checks,
)
from broadcaster.alerts.approver_checks import Left
from broadcaster.alerts.authority import Footprint, footprint, of_alert
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert, Draft, load
from broadcaster.alerts.forecast import Forecast
from broadcaster.alerts.problem import Problem
from broadcaster.alerts.template_store import Chosen
from broadcaster.cadence.duty import Discharge, discharges
from broadcaster.db import Conn
from broadcaster.fanout import change, channel_policy, leaving, reached
from broadcaster.fanout.carrying import Carrying
from broadcaster.fanout.change import Change
from broadcaster.keyring import Keyring
from broadcaster.people import ended_units, exercise_recipients
from broadcaster.people.officials import Actor, authority
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap
from targeting.area import Area
from targeting.errors import AreaError, AreaProblem, problem
from targeting.index import Counts
from targeting.units import UnitKey
from templates import catalogue
from templates.event import Event

SENDERS = ("author", "approver")
"""Roles whose reach is where an alert may go."""
FIRST = "alert"
"""The kind of an alert that follows no other."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the checks say of one version, and what they judged it by."""

    version: int
    """0 of a content that is no version of an alert yet."""
    problems: list[Problem]
    audience: Counts | None
    """None while the area cannot be used."""
    duty: Discharge
    forecast: Forecast | None
    """None while nobody can be counted."""
    chosen: Chosen | None
    """The template its words come from; None of an event nobody knows."""
    change: Change | None = None
    """Whom an update adds, keeps and drops; None of what is no update."""
    left: Left | None = None
    """Who may approve it; None of a content that is no version of an alert yet."""

    @property
    def blocked(self) -> bool:
        """Whether anything must be mended first."""
        return any(problem.blocking for problem in self.problems)


def check_channels(content: Content) -> Iterator[Problem]:
    """At least one channel."""
    if not content.channels:
        yield Problem(
            "no_channel", True, "channels",
            "Chưa chọn kênh nào. Chọn ít nhất một kênh.",
            "No channel is chosen. Choose at least one.",
        )  # fmt: skip


def check_source(content: Content) -> Iterator[Problem]:
    """Remind that a warning relays a bulletin, which should be named."""
    if content.alert_class != "information" and not content.source.issuer:
        yield Problem(
            "no_source", False, "source",
            "Chưa ghi bản tin nguồn: cơ quan, số và giờ.",
            "The source bulletin is not named: its issuer, number and time.",
        )  # fmt: skip


def jurisdiction(units: UnitMap, reach: frozenset[int]) -> BaseGeometry:
    """Return the shape of everything these units take: where their officials may warn."""
    keys = {key for unit_id, key in units.keys.items() if unit_id in reach}
    # What lies under a unit is in its shape already; uniting all of a city costs tenths of seconds.
    known = units.outlines.units
    tops = [key for key in keys if UnitKey(known[key].parent_code, key.vintage) not in keys]
    return shapely.union_all([units.outlines.unit(key) for key in tops])


def check_area(area: Area, units: UnitMap, reach: frozenset[int]) -> Iterator[Problem]:
    """Drawable, and inside what the author's roles reach.

    What does not block is told once, however many shapes of a file it holds for.
    """
    told = set()
    for found in area.problems(units.outlines, jurisdiction(units, reach)):
        if found.blocking or found.code not in told:
            yield _of_area(found)
        told.add(found.code)


def _check_area_json(area: dict[str, Any], units: UnitMap, reach: frozenset[int]) -> list[Problem]:
    return list(check_area(Area.from_json(area), units, reach))


def nobody_inside(people: int) -> Iterator[AreaProblem]:
    """Somebody to tell: the one rule for whoever asks about an area's people."""
    if people == 0:
        yield problem("no_one_inside", "area")


def check_audience(counts: Counts, kind: str, alert_class: str) -> Iterator[Problem]:
    """Somebody to tell; what follows an earlier alert is for those it reached as well.

    A notice is read on its public page too, and a unit where nobody registered has its duty.
    """
    for found in nobody_inside(counts.people):
        yield replace(_of_area(found), blocking=kind == FIRST and alert_class != "information")


def _of_area(found: AreaProblem) -> Problem:
    return Problem(
        found.code, found.blocking, found.where, found.message_vi, found.message_en, found.repair
    )


async def check_order(conn: Conn, now: datetime, alert: Alert | None) -> list[Problem]:
    """Let a follow-up come next while what it follows is live and the newest of its root."""
    if alert is None:
        return []
    refusal = await order.out_of_order(conn, now, alert)
    if refusal is None:
        return []
    return [Problem(refusal.code, True, "kind", refusal.message_vi, refusal.message_en)]


def check_event(content: Content, event: Event | None) -> Iterator[Problem]:
    """Require a kind of alert that the catalogue knows."""
    if event is None:
        yield Problem(
            "unknown_event", True, "event",
            f"Không có loại tin “{content.event}”. Chọn trong danh mục.",
            f"There is no event “{content.event}”. Choose one from the catalogue.",
        )  # fmt: skip


def known_event(code: str) -> Event | None:
    """Return the catalogue's entry of an event code."""
    return catalogue.load().events.get(code)


async def check_content(
    conn: Conn,
    actor: Actor,
    now: datetime,
    content: Content,
    unit_id: int,
    selector: Selector,
    alert: Alert | None = None,
    keyring: Keyring | None = None,
) -> CheckResult:
    """Check a content that need not be saved yet, for an issuing unit.

    `alert` is the one it is a version of: what follows another is checked against that one too.
    The forecast knows limits of mail domains with a keyring only.
    """
    case = _Case(
        conn, now, content, alert, selector, keyring,
        await channel_policy.in_force(conn, content.alert_class),
        await forecast.able_now(conn, now),
    )  # fmt: skip
    event = known_event(content.event)
    problems = await _check_words(case, event)
    chosen: Chosen | None = None
    if event is not None:
        chosen = await template_store.of_content(conn, content, unit_id)
        problems += word_checks.check_own_words(content, chosen)
        problems += template_checks.check_river(content, chosen.event)
        problems += await template_checks.check_newer(conn, content, chosen, unit_id)
    people = _People()
    try:
        await _check_people(case, actor, people)
    except AreaError as error:
        people.problems += [_of_area(one) for one in error.problems]
    problems += people.problems
    problems.sort(key=lambda problem: not problem.blocking)
    duty = await discharges(conn, unit_id, content.alert_class, now)
    return CheckResult(
        alert.version if alert else 0,
        problems, people.counts, duty, people.forecast, chosen, people.change,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Case:
    """A content that is checked, and what was read for it once."""

    conn: Conn
    now: datetime
    content: Content
    alert: Alert | None
    """The one it is a version of."""
    selector: Selector
    keyring: Keyring | None
    version: channel_policy.Version
    able: dict[str, Carrying]

    @property
    def kind(self) -> str:
        return self.alert.kind if self.alert else FIRST


@dataclass(slots=True)
class _People:
    """What is found of the area and of whom it holds, as far as it can be used."""

    problems: list[Problem] = field(default_factory=list)
    counts: Counts | None = None
    change: Change | None = None
    forecast: Forecast | None = None


async def _check_words(case: _Case, event: Event | None) -> list[Problem]:
    """Check all that needs neither the template nor the area."""
    content, now, alert, policy = case.content, case.now, case.alert, case.version.policy
    heard_by: tuple[str, ...] = ()
    if alert is not None and case.kind != FIRST:
        heard_by = await reached.reaching(case.conn, alert.alert_id)
    # Those reached hear of it by the channel that reached them, so these words have to be right.
    told = policy_checks.with_channels(content, heard_by)
    shown = told if case.kind == "all_clear" else content
    return [
        *check_event(content, event),
        *sent_words.check_wording(shown, policy.sms_most_parts),
        *sent_words.check_follow_ups(told, case.kind, policy.sms_most_parts),
        *(await check_order(case.conn, now, alert)),
        *check_channels(content),
        *policy_checks.check_policy(content, policy, now),
        *policy_checks.check_carriers(content, policy, case.able),
        *policy_checks.check_dropped(content, heard_by),
        *time_checks.check_time(content, now, event),
        *stated_times.check_stated(content, now, event),
        *class_checks.check_class(content, event),
        *left_out.check_left_out(content, event),
        *(await unchanged.check(case.conn, content, alert)),
        *check_source(content),
        *exercise_checks.check_nature(content, alert),
    ]


async def _check_people(case: _Case, actor: Actor, into: _People) -> None:
    """Check where it goes, to how many, for how much; what is found before an AreaError stays."""
    conn, now, content, alert, selector = (
        case.conn, case.now, case.content, case.alert, case.selector,
    )  # fmt: skip
    reach = await authority(conn, actor, *SENDERS)
    # A border of fifty thousand points takes its time; nobody else waits for it.
    units = await selector.map(conn)
    found = await asyncio.to_thread(_check_area_json, content.area, units, reach)
    into.problems += await _with_ended_units(conn, content.area, found)
    if any(one.blocking for one in found):
        return
    into.problems += await look_alikes.check(conn, now, content, alert, units)
    if alert is not None and alert.only_listed:
        into.counts = await exercise_recipients.count(conn, now, selector, content.area)
        into.problems += exercise_checks.check_taking_part(into.counts)
    else:
        into.counts = await selector.count(conn, now, content.area)
        into.problems += check_audience(into.counts, case.kind, content.alert_class)
    into.change = await change.of_update(conn, now, selector, alert, content.area)
    into.forecast = await _foretell(case, into.counts, into.change)
    into.problems += policy_checks.check_cost(into.forecast)


async def _foretell(case: _Case, counts: Counts, changes: Change | None) -> Forecast:
    """Tell what `forecast.forecast` does from what the checks have read already."""
    conn, now, alert = case.conn, case.now, case.alert
    follows = alert is not None and alert.root_id != alert.alert_id
    heard = await forecast.heard_before(conn, alert.alert_id) if alert and follows else {}
    gone = None
    if alert is not None and changes is not None:
        gone = await leaving.leaving(conn, now, alert.alert_id, changes.dropped)
    known = alert.alert_id if alert else None
    load_now = await forecast.load(conn, now, case.keyring, known, case.able)
    if alert is not None and alert.only_listed:
        # Who takes part in exercises does so with one address.
        load_now = replace(load_now, second={})
    return forecast.foretell(case.content, counts, case.version, load_now, now, heard, gone)


async def _with_ended_units(
    conn: Conn, area: dict[str, Any], found: list[Problem]
) -> list[Problem]:
    """Say of units the map does not know which ended, when, and what took their place."""
    if not any(one.code == "unknown_unit" for one in found):
        return found
    told = await ended_units.problems(conn, Area.from_json(area))
    return [_of_area(told[one.field]) if one.field in told else one for one in found]


async def measure(conn: Conn, area: dict[str, Any], selector: Selector) -> Footprint | None:
    """Say what an area takes, which decides who may approve it; None of one that is none."""
    try:
        return await asyncio.to_thread(footprint, await selector.map(conn), area)
    except AreaError:
        return None


async def run(
    conn: Conn,
    actor: Actor,
    now: datetime,
    alert_id: int,
    selector: Selector,
    keyring: Keyring | None = None,
) -> CheckResult:
    """Check the newest version of a draft and keep the answer with it."""
    draft = await load(conn, actor, alert_id)
    return await run_on(conn, actor, now, draft, selector, keyring)


async def run_on(
    conn: Conn,
    actor: Actor,
    now: datetime,
    draft: Draft,
    selector: Selector,
    keyring: Keyring | None = None,
) -> CheckResult:
    """Do what `run` does with a draft that has just been read."""
    alert = draft.alert
    result = await check_content(
        conn, actor, now, draft.content, alert.unit_id, selector, alert, keyring
    )
    taken = await measure(conn, draft.content.area, selector)
    await conn.execute(
        "UPDATE alert_version SET covered = $3, city_share = $4"
        " WHERE alert_id = $1 AND version = $2",
        alert.alert_id,
        alert.version,
        taken and taken.units,
        taken and taken.share,
    )
    # Who has to approve hangs on how far it reaches, which is known only now.
    left = await approver_checks.left(conn, alert, await of_alert(conn, alert))
    if taken is not None and not left.anybody:
        result.problems.append(approver_checks.problem(left, alert))
    stored: list[dict[str, Any]] = [asdict(problem) for problem in result.problems]
    await conn.execute(
        "UPDATE alert_version SET problems = $3, checked_at = $4"
        " WHERE alert_id = $1 AND version = $2",
        alert.alert_id,
        alert.version,
        stored,
        now,
    )
    return replace(result, left=left)
