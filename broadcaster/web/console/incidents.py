"""Incidents: the list, the map, one incident with its reports, and the moves staff make."""

from __future__ import annotations

from aiohttp import web

from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.incidents import board, lifecycle
from broadcaster.incidents.board import Filters
from broadcaster.people.officials import Actor
from broadcaster.states import IncidentState
from broadcaster.web import i18n
from broadcaster.web.console import frame
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()


def _filters(request: web.Request) -> Filters:
    urgency = request.query.get("urgency", "")
    return Filters(
        states=() if request.query.get("show") == "all" else board.OPEN_STATES,
        urgencies=(urgency,) if urgency in board.URGENCIES else (),
        exercise=request.query.get("show") == "exercise",
    )


@routes.get("/console/incidents")
@official()
async def incidents(request: web.Request) -> web.StreamResponse:
    """Show the incidents of the official's area beside their map."""
    async with request.app[POOL].acquire() as conn:
        found = await board.list_incidents(
            conn,
            frame.actor_of(request),
            _filters(request),
            request.query.get("after"),
            limit=100,
        )
        return await frame.screen(
            request,
            conn,
            "incidents.html",
            "incidents",
            incidents=found.incidents,
            after=found.after,
            urgencies=board.URGENCIES,
            show=request.query.get("show", ""),
            urgency=request.query.get("urgency", ""),
            exercises=await _exercises(conn, frame.actor_of(request)),
            atlas=await request.app[GEOGRAPHY].atlas(),
        )


async def _exercises(conn: Conn, actor: Actor) -> int:
    """Count what is open of exercises."""
    return sum((await board.count_incidents(conn, actor, Filters(exercise=True))).values())


@routes.get("/console/incidents.geojson")
@official()
async def points(request: web.Request) -> web.StreamResponse:
    """Answer the map: incidents with a known place."""
    async with request.app[POOL].acquire() as conn:
        found = await board.map_features(conn, frame.actor_of(request), _filters(request))
    return web.json_response(
        found, content_type="application/geo+json", headers={"Cache-Control": "no-store"}
    )


@routes.get("/console/incidents/{code}")
@official()
async def incident(request: web.Request) -> web.StreamResponse:
    """Show one incident with its reports, its history and what may be done next."""
    return await _shown(request)


async def _shown(request: web.Request, refusal: Refused | None = None) -> web.Response:
    actor = frame.actor_of(request)
    async with request.app[POOL].acquire() as conn:
        detail = await board.get_incident(conn, actor, request.match_info["code"])
        return await frame.screen(
            request,
            conn,
            "incident.html",
            "incidents",
            status_of(refusal) if refusal else 200,
            detail=detail,
            incident=detail.incident,
            may_move=actor.holds("staff"),
            needs_reason=[state for state in detail.moves if state in lifecycle.NEEDS_REASON],
            problem=refusal.message(i18n.language()) if refusal else "",
            atlas=await request.app[GEOGRAPHY].atlas(),
        )


@routes.post("/console/incidents/{code}/real")
@official("staff")
async def make_real(request: web.Request) -> web.StreamResponse:
    """Take an incident out of its exercise."""
    code = request.match_info["code"]
    try:
        async with request.app[POOL].acquire() as conn:
            await lifecycle.make_real(conn, frame.actor_of(request), request.app[CLOCK](), code)
    except Refused as refusal:
        return await _shown(request, refusal)
    raise web.HTTPSeeOther(f"/console/incidents/{code}")


@routes.post("/console/incidents/{code}/move")
@official("staff")
async def move(request: web.Request) -> web.StreamResponse:
    """Move an incident along; taking it on assigns it to whoever presses the button."""
    fields = await request.post()
    code, actor = request.match_info["code"], frame.actor_of(request)
    try:
        target = IncidentState(str(fields.get("to", "")))
    except ValueError as error:
        raise web.HTTPBadRequest from error
    try:
        async with request.app[POOL].acquire() as conn:
            await lifecycle.move(
                conn,
                actor,
                request.app[CLOCK](),
                code,
                target,
                reason=str(fields.get("reason", "")),
                assign_to=actor.official_id if target is IncidentState.ASSIGNED else None,
            )
    except Refused as refusal:
        return await _shown(request, refusal)
    raise web.HTTPSeeOther(f"/console/incidents/{code}")
