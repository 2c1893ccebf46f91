"""The beginning of an alert: a kind chosen quickly, a scenario by name, or an earlier alert."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from broadcaster.alerts import archive_search, draft, scenarios, template_store
from broadcaster.alerts.archive_terms import Terms, query_of
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.template_store import GROUPS
from broadcaster.db import Conn, transaction
from broadcaster.people.officials import Actor, authority
from broadcaster.web import i18n
from broadcaster.web.console import compose_form, copying, exercise, frame
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.console.templates import GROUP_NAMES
from broadcaster.web.i18n import gettext as _
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.security import official
from templates import catalogue
from templates.event import Event

routes = web.RouteTableDef()
_LOOKED_BACK = 50
_RECENT = 4
_EARLIER = 8
_LETTERS = 100


@routes.get("/console/alerts/new")
@official("author")
async def choose(request: web.Request) -> web.StreamResponse:
    """Ask what the alert is about, and for which unit it is issued."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    atlas = await request.app[GEOGRAPHY].atlas()
    sought = request.query.get("q", "")[:_LETTERS]
    async with request.app[POOL].acquire() as conn:
        reach = await authority(conn, actor, "author")
        return await frame.screen(
            request,
            conn,
            "new.html",
            "compose",
            groups=await _groups(conn, actor),
            scenarios=[
                one
                for one in await scenarios.listing(conn, actor)
                if one.item.in_force == one.version.version
            ],
            sought=sought,
            earlier=await _earlier(conn, actor, now, sought),
            units=atlas.of(reach),
            choice=await exercise.choice(conn, actor, now, reach),
            problem="",
        )


async def _groups(conn: Conn, actor: Actor) -> list[tuple[str, list[Event]]]:
    """Return the kinds by hazard, each list by name; before them what one wrote last."""
    events = catalogue.load().events
    last = await conn.fetch(
        "SELECT event FROM (SELECT event, alert_id FROM alert WHERE author_id = $1"
        "  ORDER BY alert_id DESC LIMIT $2) mine"
        " GROUP BY event ORDER BY max(alert_id) DESC LIMIT $3",
        actor.official_id,
        _LOOKED_BACK,
        _RECENT,
    )
    recent = [events[row["event"]] for row in last if row["event"] in events]
    by_name = sorted(events.values(), key=lambda event: event.name[i18n.language()])
    groups = [
        (_(GROUP_NAMES[group]), [event for event in by_name if event.group == group])
        for group in GROUPS
    ]
    return [(name, found) for name, found in [(_("Written last"), recent), *groups] if found]


async def _earlier(conn: Conn, actor: Actor, now: datetime, sought: str) -> list[Alert]:
    """Return the alerts one could begin with: the newest, or those the words find."""
    scope = await archive_search.scope_of(conn, actor)
    terms = Terms(words=query_of(sought) if sought.strip() else "", kind="alert")
    return (await archive_search.find(conn, scope, now, terms, limit=_EARLIER)).alerts


@routes.post("/console/alerts/{code}/copy")
@official("author")
async def copy(request: web.Request) -> web.StreamResponse:
    """Begin a draft with an earlier alert's words and area, and go on to writing it."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    atlas = await request.app[GEOGRAPHY].atlas()
    async with transaction(request.app[POOL]) as conn:
        source = await draft.load(conn, actor, request.match_info["code"])
        alert = await copying.copy(
            conn, actor, now, source, atlas, exercise.chosen(await request.post())
        )
    raise web.HTTPSeeOther(f"/console/alerts/{alert.code}/edit")


@routes.post("/console/alerts/new")
@official("author")
async def start(request: web.Request) -> web.StreamResponse:
    """Start a draft and go on to writing it."""
    fields = await request.post()
    unit_id = posted_number(str(fields.get("unit", "")), "unit")
    now, atlas = request.app[CLOCK](), await request.app[GEOGRAPHY].atlas()
    async with transaction(request.app[POOL]) as conn:
        chosen = await template_store.in_force(conn, unit_id, str(fields.get("event", "")))
        content = compose_form.new_content(chosen, now, atlas, unit_id)
        alert = await draft.create(
            conn, frame.actor_of(request), now, content, unit_id,
            as_exercise=exercise.chosen(fields),
        )  # fmt: skip
    raise web.HTTPSeeOther(f"/console/alerts/{alert.code}/edit")
