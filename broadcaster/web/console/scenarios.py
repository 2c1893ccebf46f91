"""Scenarios: the list, one with its history and review, using one, and writing one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from broadcaster.alerts import draft, scenario_form, scenarios, shelf, template_store
from broadcaster.alerts.scenario_form import Scenario
from broadcaster.alerts.shelf import Item, Version
from broadcaster.db import Conn, transaction
from broadcaster.errors import Refused
from broadcaster.people.officials import authority
from broadcaster.web import i18n
from broadcaster.web.console import exercise, frame, places, scenario_fields, scenario_past
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.console.scenario_fields import Entry, Fields
from broadcaster.web.console.shelf_pages import VERSION_STATES, Shelf, may, on_the_screen
from broadcaster.web.geography import Atlas
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL, SELECTOR
from broadcaster.web.labels import mark
from broadcaster.web.middleware import status_of, wrong_fields
from broadcaster.web.security import official
from targeting.errors import AreaError
from templates import catalogue
from templates.sms_text import strip_diacritics

routes = web.RouteTableDef()
STALE = {
    "template": mark("its template was changed"),
    "area": mark("its area was changed"),
    "policy": mark("the channel policy was changed"),
}
_ADDRESS = "/console/scenarios"
SHELF = Shelf("scenario", _ADDRESS)


@dataclass(frozen=True, slots=True)
class Card:
    """One scenario of the list."""

    prepared: scenarios.Prepared
    places: str


@routes.get(_ADDRESS)
@official()
async def listing(request: web.Request) -> web.StreamResponse:
    """Show the scenarios an official sees, with what is stale."""
    actor, search = frame.actor_of(request), request.query.get("q", "")[:100]
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        found = await scenarios.listing(conn, actor, search=search)
        writes = await authority(conn, actor, "author")
        return await frame.screen(
            request, conn, "scenarios.html", "scenarios",
            cards=[Card(one, _names(atlas, one.scenario)) for one in found],
            search=search, stale_words=STALE, version_states=VERSION_STATES, writable=writes,
            events=catalogue.load().events,
        )  # fmt: skip


def _names(atlas: Atlas, scenario: Scenario) -> str:
    written = scenario.values.get("places")
    if isinstance(written, dict) and written.get(i18n.language()):
        return ", ".join(written[i18n.language()])
    try:
        area = scenario.area
        return ", ".join(
            places.place_names(atlas, places.cover(atlas, area), area)[i18n.language()]
        )
    except AreaError:
        return ""


@routes.get(f"{_ADDRESS}/new")
@official("author")
async def choose(request: web.Request) -> web.StreamResponse:
    """Ask for which event and unit a scenario is, or take an alert as its beginning."""
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        reach = await authority(conn, frame.actor_of(request), "author")
        return await frame.screen(
            request, conn, "scenarios_new.html", "scenarios",
            events=sorted(
                catalogue.load().events.values(), key=lambda one: one.name[i18n.language()]
            ),
            units=atlas.of(reach), from_code=request.query.get("from", ""),
        )  # fmt: skip


@routes.post(f"{_ADDRESS}/new")
@official("author")
async def create(request: web.Request) -> web.StreamResponse:
    """Begin a scenario from an event's defaults, or from an alert, and go on to writing it."""
    fields = {name: str(value).strip() for name, value in (await request.post()).items()}
    unit_id = posted_number(fields.get("unit", ""), "unit")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        if fields.get("from"):
            begun = _of_alert((await draft.load(conn, actor, fields["from"])).content)
        else:
            begun = _of_event(template_store.shipped(fields.get("event", "")).event)
        document = begun | {"name": {"vi": fields.get("name_vi", ""), "en": _english(fields)}}
        scenario = scenario_form.parse(document)
        item = await scenarios.create(
            conn, actor, now, unit_id, _slug(scenario.name.en), scenario,
            folder=fields.get("folder", ""),
        )  # fmt: skip
    raise web.HTTPSeeOther(f"{_ADDRESS}/{item.item_id}/edit")


def _english(fields: Mapping[str, str]) -> str:
    return fields.get("name_en") or fields.get("name_vi", "")


def _slug(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", strip_diacritics(name).lower()).strip("_")
    return f"s_{plain}"[:60].rstrip("_")


def _of_event(event: Any) -> dict[str, Any]:
    return {
        "event": event.code,
        "class": event.default_class,
        "area": {"units": [], "groups": []},
        "ask": [field.name for field in event.fields if field.required and not field.fill],
        "channels": list(event.channels),
        "hours": event.default_expiry_hours,
    }


def _of_alert(content: Any) -> dict[str, Any]:
    """Take an alert's area, values and channels; its moments are asked each time."""
    event = catalogue.load().events[content.event]
    moments = [f.name for f in event.fields if f.type in ("time", "period") and not f.fill]
    return {
        "event": content.event,
        "class": content.alert_class,
        "area": content.area,
        "values": {
            name: value
            for name, value in content.values.items()
            if name not in moments and (field := event.field(name)) and field.fill != "expires"
        },
        "ask": moments,
        "languages": list(content.languages),
        "channels": list(content.channels),
        "hours": event.default_expiry_hours,
        "risk_level": content.risk_level,
        "river_alarm": content.river_alarm,
        "issuer": content.source.issuer,
    }


@routes.get(f"{_ADDRESS}/{{id}}")
@official()
async def one(request: web.Request) -> web.StreamResponse:
    """Show a scenario: one version, what is stale, its history, what may be done."""
    actor = frame.actor_of(request)
    wanted = posted_number(request.query.get("version", "0"), "version")
    async with request.app[POOL].acquire() as conn:
        item, version = await scenarios.read(conn, actor, SHELF.item_id(request), wanted or None)
        return await _one(request, conn, item, version)


async def _one(
    request: web.Request, conn: Conn, item: Item, version: Version
) -> web.StreamResponse:
    actor, app = frame.actor_of(request), request.app
    atlas = await app[GEOGRAPHY].atlas()
    scenario = scenario_form.parse(version.document)
    chosen = await template_store.in_force(conn, item.unit_id, scenario.event)
    return await frame.screen(
        request, conn, "scenarios_one.html", "scenarios",
        item=item, version=version, scenario=scenario, event=chosen.event,
        chosen=chosen, entries=scenario_fields.entries(chosen.event, scenario, {}),
        places=_names(atlas, scenario), drawn=scenario_fields.drawn(scenario.area),
        stale=await scenarios.stale(conn, item, version), stale_words=STALE,
        problems=await scenarios.problems(conn, item.unit_id, scenario, app[SELECTOR])
        if version.is_open else [],
        past=await scenario_past.past(
            await shelf.history(conn, "scenario", item.item_id), chosen.event, atlas
        ),
        version_states=VERSION_STATES, **await may(conn, actor, item, version),
    )  # fmt: skip


@routes.get(f"{_ADDRESS}/{{id}}/use")
@official("author")
async def ask(request: web.Request) -> web.StreamResponse:
    """Ask for what is open."""
    async with request.app[POOL].acquire() as conn:
        return await _asked(request, conn, {}, {}, 200)


async def _asked(
    request: web.Request,
    conn: Conn,
    posted: Mapping[str, Any],
    wrong: Mapping[str, str],
    status: int,
    refusal: str = "",
) -> web.Response:
    prepared = await scenarios.usable(conn, frame.actor_of(request), SHELF.item_id(request))
    chosen, fields = await scenarios.asked(conn, prepared)
    now, atlas = request.app[CLOCK](), await request.app[GEOGRAPHY].atlas()
    entries = [
        Entry(
            field, True,
            scenario_fields.shown(field, scenario_fields.value_of(field, posted, now)),
            wrong.get(f"values.{field.name}", ""),
        )
        for field in fields
    ]  # fmt: skip
    return await frame.screen(
        request, conn, "scenarios_use.html", "scenarios", status,
        prepared=prepared, scenario=prepared.scenario, event=chosen.event, entries=entries,
        stale_words=STALE, places=_names(atlas, prepared.scenario), refusal=refusal,
        drawn=scenario_fields.drawn(prepared.scenario.area),
        choice=await exercise.choice(
            conn, frame.actor_of(request), now, [prepared.item.unit_id]
        ),
    )  # fmt: skip


@routes.post(f"{_ADDRESS}/{{id}}/use")
@official("author")
async def use(request: web.Request) -> web.StreamResponse:
    """Make the draft and go on to its compose page; what is missing is named at its field."""
    posted = await request.post()
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        prepared = await scenarios.usable(conn, actor, SHELF.item_id(request))
        _chosen, fields = await scenarios.asked(conn, prepared)
        values = {
            field.name: value
            for field in fields
            for value in [scenario_fields.value_of(field, posted, now)]
            if value is not None
        }
        try:
            async with conn.transaction():
                alert = await scenarios.draft(
                    conn, actor, now, SHELF.item_id(request), values,
                    as_exercise=exercise.chosen(posted),
                )  # fmt: skip
        except Refused as refusal:
            if refusal.code != scenario_form.BAD:
                raise
            wrong = wrong_fields(refusal)
            return await _asked(
                request, conn, posted, wrong, status_of(refusal),
                "" if any(name.startswith("values.") for name in wrong)
                else refusal.message(i18n.language()),
            )  # fmt: skip
    raise web.HTTPSeeOther(f"/console/alerts/{alert.code}/edit")


@routes.get(f"{_ADDRESS}/{{id}}/edit")
@official("author")
async def edit(request: web.Request) -> web.StreamResponse:
    """Show the version being written."""
    actor = frame.actor_of(request)
    async with request.app[POOL].acquire() as conn:
        item, version = await scenarios.read(conn, actor, SHELF.item_id(request))
        if not version.is_open:
            raise web.HTTPSeeOther(f"{_ADDRESS}/{item.item_id}")
        return await _edited(request, conn, item, version)


async def _edited(
    request: web.Request,
    conn: Conn,
    item: Item,
    version: Version,
    typed: dict[str, Any] | None = None,
    refusal: Refused | None = None,
) -> web.Response:
    """Show the form: what is saved, or what was typed and why it is not."""
    atlas = await request.app[GEOGRAPHY].atlas()
    scenario = scenario_form.parse(version.document)
    if typed is not None:
        scenario = scenario_fields.as_typed(typed)
    wrong = wrong_fields(refusal) if refusal and refusal.code == scenario_form.BAD else {}
    chosen = await template_store.in_force(conn, item.unit_id, scenario.event)
    return await frame.screen(
        request, conn, "scenarios_edit.html", "scenarios",
        status_of(refusal) if refusal else 200,
        refusal=refusal.message(i18n.language()) if refusal else "", kept=typed is not None,
        item=item, version=version, scenario=scenario, event=chosen.event, wrong=wrong,
        entries=scenario_fields.entries(chosen.event, scenario, wrong),
        units=atlas.of(await scenarios.under(conn, item.unit_id)), groups=atlas.groups,
        taken={(one["code"], str(one["vintage"])) for one in scenario.area.get("units", ())},
        drawn=scenario_fields.drawn(scenario.area), version_states=VERSION_STATES,
    )  # fmt: skip


@routes.post(f"{_ADDRESS}/{{id}}/edit")
@official("author")
async def save(request: web.Request) -> web.StreamResponse:
    """Save what was written and, where that was the button, send it for review."""
    posted: Fields = await request.post()
    actor, now, app = frame.actor_of(request), request.app[CLOCK](), request.app
    number, revision = on_the_screen(posted)
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        item, version = await scenarios.read(conn, actor, SHELF.item_id(request))
        before = scenario_form.parse(version.document)
        chosen = await template_store.in_force(conn, item.unit_id, before.event)
        document = scenario_fields.document(posted, before, chosen.event, atlas, now)
        try:
            async with conn.transaction():
                version = await scenarios.save(
                    conn, actor, now, item.item_id, number, revision,
                    scenario_form.parse(document),
                )  # fmt: skip
            if posted.get("then") == "submit":
                async with conn.transaction():
                    await scenarios.submit(
                        conn, actor, now, item.item_id, number, version.revision, app[SELECTOR]
                    )
                raise web.HTTPSeeOther(f"{_ADDRESS}/{item.item_id}")
        except Refused as refusal:
            if refusal.code not in (scenario_form.BAD, "newer_version"):
                raise
            # What others saved meanwhile is there; the form stays as it was typed, over theirs.
            item, version = await scenarios.read(conn, actor, item.item_id)
            return await _edited(request, conn, item, version, document, refusal)
    raise web.HTTPSeeOther(f"{_ADDRESS}/{item.item_id}")


@routes.post(f"{_ADDRESS}/{{id}}/revise")
@official("author")
async def revise(request: web.Request) -> web.StreamResponse:
    """Begin the next version, with what is in force or with an earlier version."""
    fields = await request.post()
    number = posted_number(str(fields.get("version", "0")), "version")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        await scenarios.read(conn, actor, SHELF.item_id(request))
        if number:
            await scenarios.restore(conn, actor, now, SHELF.item_id(request), number)
        else:
            await scenarios.edit(conn, actor, now, SHELF.item_id(request))
    raise web.HTTPSeeOther(f"{_ADDRESS}/{SHELF.item_id(request)}/edit")


@routes.post(f"{_ADDRESS}/{{id}}/review")
@official("approver")
async def review(request: web.Request) -> web.StreamResponse:
    """Put the version on the screen in force, or return it with a reason."""
    put_in_force = partial(scenarios.put_in_force, selector=request.app[SELECTOR])
    return await SHELF.review(request, put_in_force)


@routes.post(f"{_ADDRESS}/{{id}}/withdraw")
@official("approver", "admin")
async def withdraw(request: web.Request) -> web.StreamResponse:
    """Take a scenario out of use; its versions stay."""
    return await SHELF.withdraw(request)
