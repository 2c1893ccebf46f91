"""Scenarios: template, area and policy put together and reviewed in peace.

At night only what is still open is asked; everything else was written, drawn and reviewed before.
A scenario remembers what it was reviewed with. When the template, the area or the policy is
another today it is stale: it can still be used, but says what changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from broadcaster.alerts import checks, shelf, template_store, wordings
from broadcaster.alerts import draft as drafts
from broadcaster.alerts.content import Content, ScenarioUsed, Source
from broadcaster.alerts.documents import Fault, refusal
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.scenario_form import BAD, Scenario, faults, parse, value_faults
from broadcaster.alerts.shelf import Item, Version
from broadcaster.alerts.template_store import Chosen
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, Refused
from broadcaster.fanout import channel_policy
from broadcaster.people.officials import IN_FORCE, Actor, authority
from broadcaster.people.selection import Selector
from broadcaster.people.units import short_name
from targeting.area import Area
from targeting.errors import AreaError
from templates import rivers
from templates.render import render
from templates.sms_text import strip_diacritics

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
Changed = Literal["template", "area", "policy"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One scenario with the version that can be used, and what changed since its review."""

    item: Item
    version: Version
    scenario: Scenario
    stale: tuple[Changed, ...]


async def _area_faults(
    conn: Conn, scenario: Scenario, unit_id: int, selector: Selector
) -> list[Fault]:
    """Find what is wrong with the area, and whether it lies on the unit's own ground."""
    try:
        reach = await under(conn, unit_id)
        area, units = Area.from_json(scenario.area), await selector.map(conn)
        found = await asyncio.to_thread(lambda: list(checks.check_area(area, units, reach)))
    except AreaError as error:
        return [Fault("area", one.message_vi, one.message_en) for one in error.problems]
    return [Fault("area", one.message_vi, one.message_en) for one in found if one.blocking]


async def under(conn: Conn, unit_id: int) -> frozenset[int]:
    """Return a unit and today's units under it: the ground its scenarios may take."""
    rows = await conn.fetch(
        "WITH RECURSIVE reach AS (SELECT $1::int AS unit_id"
        " UNION SELECT u.unit_id FROM unit u JOIN reach ON u.parent_id = reach.unit_id)"
        f" SELECT unit_id FROM reach JOIN unit USING (unit_id) WHERE {IN_FORCE}",
        unit_id,
    )
    return frozenset(row["unit_id"] for row in rows)


async def create(
    conn: Conn, actor: Actor, now: datetime, unit_id: int, code: str, scenario: Scenario,
    *, folder: str = "",
) -> Item:  # fmt: skip
    """Put a scenario on a unit's shelf as a draft; raises NotAllowed, Conflict, NotFound."""
    await template_store.in_force(conn, unit_id, scenario.event)
    return await shelf.create(
        conn, actor, now, "scenario", unit_id, code, scenario.to_json(), folder=folder
    )


async def save(
    conn: Conn, actor: Actor, now: datetime, scenario_id: int, number: int, revision: int,
    scenario: Scenario,
) -> Version:  # fmt: skip
    """Save an open version; raises Conflict, NotAllowed."""
    return await shelf.save(
        conn, actor, now, "scenario", scenario_id, number, revision, scenario.to_json()
    )


async def edit(conn: Conn, actor: Actor, now: datetime, scenario_id: int) -> Version:
    """Return the version being written, or begin the next with what is in force."""
    _, newest = await read(conn, actor, scenario_id)
    if newest.is_open:
        return newest
    return await shelf.revise(conn, actor, now, "scenario", scenario_id, newest.document)


async def restore(
    conn: Conn, actor: Actor, now: datetime, scenario_id: int, number: int
) -> Version:
    """Begin the next version with an earlier one; it is reviewed like any other."""
    earlier = await shelf.version(conn, "scenario", scenario_id, number)
    return await shelf.revise(
        conn, actor, now, "scenario", scenario_id, earlier.document, restored_from=number
    )


async def problems(conn: Conn, unit_id: int, scenario: Scenario, selector: Selector) -> list[Fault]:
    """Return everything that keeps a scenario from review."""
    chosen = await template_store.in_force(conn, unit_id, scenario.event)
    return [
        *faults(scenario, chosen.event),
        *await _area_faults(conn, scenario, unit_id, selector),
    ]


async def submit(
    conn: Conn, actor: Actor, now: datetime, scenario_id: int, number: int, revision: int,
    selector: Selector,
) -> Version:  # fmt: skip
    """Send a scenario for review; raises Refused naming what is wrong with it."""
    await _require_whole(conn, scenario_id, number, selector)
    return await shelf.submit(conn, actor, now, "scenario", scenario_id, number, revision)


async def put_in_force(
    conn: Conn, actor: Actor, now: datetime, scenario_id: int, number: int, revision: int,
    selector: Selector,
) -> Version:  # fmt: skip
    """Review a scenario and put it in force, with what it was reviewed against."""
    scenario, item = await _require_whole(conn, scenario_id, number, selector)
    basis = await _basis(conn, item.unit_id, scenario)
    return await shelf.put_in_force(
        conn, actor, now, "scenario", scenario_id, number, revision, basis
    )


async def _require_whole(
    conn: Conn, scenario_id: int, number: int, selector: Selector
) -> tuple[Scenario, Item]:
    item = await shelf.find(conn, "scenario", scenario_id)
    waiting = await shelf.version(conn, "scenario", scenario_id, number)
    scenario = parse(waiting.document)
    found = await problems(conn, item.unit_id, scenario, selector)
    if found:
        raise refusal(BAD, found)
    return scenario, item


async def _basis(conn: Conn, unit_id: int, scenario: Scenario) -> dict[str, Any]:
    chosen = await template_store.in_force(conn, unit_id, scenario.event)
    policy = await channel_policy.in_force(conn, scenario.alert_class)
    return {
        "template": chosen.used.model_dump(),
        "area": await _area_digest(conn, scenario.area),
        "policy": policy.version,
    }


async def _area_digest(conn: Conn, area: Mapping[str, Any]) -> str:
    """Return a digest of the area and of the outlines of the units and groups it names."""
    units = [one["code"] for one in area.get("units", ())]
    groups = [str(one) for one in area.get("groups", ())]
    rows = await conn.fetch(
        "SELECT code, vintage::text, valid_to::text, md5(outline) AS outline FROM unit"
        " WHERE code = ANY($1) OR unit_id IN (SELECT m.unit_id FROM unit_group_member m"
        "  JOIN unit_group g USING (group_id) WHERE g.code = ANY($2)) ORDER BY code, vintage",
        units, groups,
    )  # fmt: skip
    whole = json.dumps([area, [list(row.values()) for row in rows]], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


async def stale(conn: Conn, item: Item, version: Version) -> tuple[Changed, ...]:
    """Return what is another today than when the scenario was reviewed."""
    if not version.basis:
        return ()
    now_there = await _basis(conn, item.unit_id, parse(version.document))
    changed: list[Changed] = []
    if now_there["template"]["digest"] != version.basis["template"]["digest"]:
        changed.append("template")
    if now_there["area"] != version.basis["area"]:
        changed.append("area")
    if now_there["policy"] != version.basis["policy"]:
        changed.append("policy")
    return tuple(changed)


async def read(
    conn: Conn, actor: Actor, scenario_id: int, number: int | None = None
) -> tuple[Item, Version]:
    """Return a scenario and one version: that number, else what is open, else in force."""
    item = await shelf.find(conn, "scenario", scenario_id)
    await shelf.require_readable(conn, actor, "scenario", item)
    wanted = number or item.open_version or item.in_force
    if wanted is None:
        wanted = (await shelf.history(conn, "scenario", scenario_id))[0].version
    return item, await shelf.version(conn, "scenario", scenario_id, wanted)


async def listing(conn: Conn, actor: Actor, *, search: str = "") -> list[Prepared]:
    """Return the scenarios on the shelves an official sees, with what is stale about them.

    Each with the version in force, or the one being written while there is none.
    """
    found = []
    wanted = _plain(search)
    for item in await shelf.listing(conn, "scenario", await shelf.readable(conn, actor)):
        number = item.in_force or item.open_version
        if number is None:
            continue
        version = await shelf.version(conn, "scenario", item.item_id, number)
        scenario = parse(version.document)
        if wanted in _plain(f"{item.code} {scenario.name.vi} {scenario.name.en} {item.unit_name}"):
            found.append(Prepared(item, version, scenario, await stale(conn, item, version)))
    return found


def _plain(text: str) -> str:
    return " ".join(strip_diacritics(text).lower().split())


async def usable(conn: Conn, actor: Actor, scenario_id: int) -> Prepared:
    """Return the version in force; raises NotFound, Refused when there is none."""
    item = await shelf.find(conn, "scenario", scenario_id)
    await shelf.require_readable(conn, actor, "scenario", item)
    if item.in_force is None:
        raise Refused(
            "scenario_not_reviewed",
            "Kịch bản này chưa được duyệt nên chưa dùng được. Gửi duyệt trước.",
            "This scenario was not reviewed and cannot be used. Send it for review first.",
        )
    version = await shelf.version(conn, "scenario", scenario_id, item.in_force)
    return Prepared(item, version, parse(version.document), await stale(conn, item, version))


async def asked(conn: Conn, prepared: Prepared) -> tuple[Chosen, list[Any]]:
    """Return the template that holds and the fields to ask, in the scenario's order."""
    chosen = await template_store.in_force(conn, prepared.item.unit_id, prepared.scenario.event)
    fields = (chosen.event.field(name) for name in prepared.scenario.ask)
    return chosen, [field for field in fields if field is not None]


async def draft(
    conn: Conn, actor: Actor, now: datetime, scenario_id: int, values: Mapping[str, Any],
    *, unit_id: int | None = None, as_exercise: bool | None = None,
) -> Alert:  # fmt: skip
    """Make a draft of a scenario: everything filled in, with these values for what is asked.

    Issued by the scenario's unit, or by another that the actor writes for; an exercise or real as
    `draft.create` has it. Raises Refused naming
    the field whose value is missing or cannot be read, NotAllowed, NotFound.
    """
    prepared = await usable(conn, actor, scenario_id)
    issuing = await _issuing(conn, actor, prepared, unit_id)
    chosen, fields = await asked(conn, prepared)
    strangers = sorted(set(values) - {field.name for field in fields})
    if strangers:
        raise refusal(BAD, [_stranger(strangers[0])])
    content = await _content(conn, now, prepared, chosen, dict(values))
    found = list(value_faults(chosen.event, content.languages, content.values))
    if found:
        raise refusal(BAD, found)
    return await drafts.create(conn, actor, now, content, issuing, as_exercise=as_exercise)


async def _issuing(conn: Conn, actor: Actor, prepared: Prepared, unit_id: int | None) -> int:
    reach = await authority(conn, actor, "author")
    wanted = unit_id or prepared.item.unit_id
    if wanted in reach:
        return wanted
    raise NotAllowed(
        "not_author_here",
        "Bạn không soạn tin cho đơn vị của kịch bản này. Chọn đơn vị của bạn.",
        "You do not write for this scenario's unit. Choose your own unit.",
    )


def _stranger(name: str) -> Fault:
    return Fault(
        f"values.{name}",
        f"Kịch bản này không hỏi ô “{name}”. Bỏ ô này.",
        f"This scenario does not ask for “{name}”. Remove it.",
    )


async def _content(
    conn: Conn, now: datetime, prepared: Prepared, chosen: Chosen, values: dict[str, Any]
) -> Content:
    scenario, event = prepared.scenario, chosen.event
    expires = _whole_minutes(now) + timedelta(hours=scenario.hours)
    filled = {**scenario.values, **{k: v for k, v in values.items() if v not in (None, "")}}
    for field in event.fields:
        if field.fill == "expires":
            filled[field.name] = expires.isoformat()
        elif field.fill == "area" and field.name not in filled:
            filled[field.name] = await place_names(conn, scenario.area)
    words = {
        lang: render(event.code, lang, filled, catalogue=chosen.catalogue).as_dict()
        for lang in scenario.languages
    }
    content = Content.model_validate(
        {
            "event": event.code,
            "class": scenario.alert_class,
            "values": filled,
            "area": scenario.area,
            "languages": scenario.languages,
            "wording": words,
            "expires": expires,
            "risk_level": scenario.risk_level,
            "river_alarm": rivers.alarm_number(event, filled) or scenario.river_alarm,
            "source": Source(issuer=scenario.issuer, number="", time=None),
            "urgency": event.urgency,
            "severity": event.severity,
            "certainty": event.certainty,
            "channels": scenario.channels,
            "template": chosen.used,
            "scenario": ScenarioUsed(id=prepared.item.item_id, version=prepared.version.version),
        }
    )
    return wordings.with_prepared(content, checks.FIRST)


def _whole_minutes(moment: datetime) -> datetime:
    local = moment.astimezone(HANOI).replace(second=0, microsecond=0)
    return local - timedelta(minutes=local.minute % 5)


async def place_names(conn: Conn, area: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what an area's units and groups are called, by language; empty for a drawn one."""
    codes = [one["code"] for one in area.get("units", ())]
    vintages = [str(one["vintage"]) for one in area.get("units", ())]
    rows = await conn.fetch(
        "SELECT u.name, u.name_en, NULL AS kind, u.population"
        " FROM unit u JOIN unnest($1::text[], $2::text[])"
        " AS named(code, vintage) ON named.code = u.code AND named.vintage = u.vintage::text"
        " UNION ALL SELECT g.name, g.name_en, g.kind, 0 FROM unit_group g WHERE g.code = ANY($3)"
        " ORDER BY kind NULLS LAST, population DESC, name",
        codes, vintages, [str(one) for one in area.get("groups", ())],
    )  # fmt: skip
    if not rows:
        return {}
    return {
        "vi": [_said_name(row["name"], row["kind"]) for row in rows],
        "en": [
            row["name_en"].replace("Former ", "former ", 1) if row["kind"] else row["name_en"]
            for row in rows
        ],
    }


def _said_name(name: str, group_kind: str | None) -> str:
    """Name a unit in short; a group in full: wards of today bear former districts' names."""
    if group_kind is None:
        return short_name(name)
    return f"{name[:1].lower()}{name[1:]} cũ" if group_kind == "former_district" else name
