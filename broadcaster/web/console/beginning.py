"""The beginning of an alert: a kind chosen quickly, a scenario by name, or an earlier alert."""

from __future__ import annotations

from aiohttp import web

from broadcaster.alerts import draft, template_store
from broadcaster.db import transaction
from broadcaster.people.officials import authority
from broadcaster.web import i18n
from broadcaster.web.console import compose_form, exercise, frame
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.security import official
from templates import catalogue

routes = web.RouteTableDef()


@routes.get("/console/alerts/new")
@official("author")
async def choose(request: web.Request) -> web.StreamResponse:
    """Ask what the alert is about, and for which unit it is issued."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        reach = await authority(conn, actor, "author")
        return await frame.screen(
            request,
            conn,
            "new.html",
            "compose",
            events=sorted(
                catalogue.load().events.values(), key=lambda event: event.name[i18n.language()]
            ),
            units=atlas.of(reach),
            choice=await exercise.choice(conn, actor, now, reach),
            problem="",
        )


@routes.post("/console/alerts/new")
@official("author")
async def start(request: web.Request) -> web.StreamResponse:
    """Start a draft and go on to writing it."""
    fields = await request.post()
    unit_id = posted_number(str(fields.get("unit", "")), "unit")
    now = request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        chosen = await template_store.in_force(conn, unit_id, str(fields.get("event", "")))
        content = compose_form.new_content(chosen, now)
        alert = await draft.create(
            conn, frame.actor_of(request), now, content, unit_id,
            as_exercise=exercise.chosen(fields),
        )  # fmt: skip
    raise web.HTTPSeeOther(f"/console/alerts/{alert.code}/edit")
