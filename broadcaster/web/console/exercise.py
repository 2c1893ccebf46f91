"""Exercises: sessions in which alerts begin as exercises, and who takes part in them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from aiohttp import web
from multidict import MultiDictProxy

from broadcaster.alerts import exercise_sessions
from broadcaster.alerts.exercise_sessions import Session
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people import exercise_recipients
from broadcaster.people.exercise_recipients import ROLES, Enrolment
from broadcaster.people.officials import Actor, authority
from broadcaster.web import i18n
from broadcaster.web.console import frame, moments
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
PAGE = "/console/exercises"
Fields = MultiDictProxy[str | bytes | bytearray | web.FileField]


@dataclass(frozen=True, slots=True)
class Choice:
    """How an official who starts an alert is asked whether it is real."""

    default: str
    """`actual`, `exercise`, or empty: some of their units are in a session, so they say it."""
    sessions: tuple[Session, ...]
    only_exercise: bool
    """A training account has no other choice."""


async def choice(conn: Conn, actor: Actor, now: datetime, unit_ids: Collection[int]) -> Choice:
    """Return what is offered to whoever starts an alert for one of these units."""
    if actor.training:
        return Choice("exercise", (), only_exercise=True)
    held = await exercise_sessions.of_units(conn, now, unit_ids)
    sessions = {one.session_id: one for one in held.values()}
    everywhere = "exercise" if len(held) == len(set(unit_ids)) else ""
    default = everywhere if sessions else "actual"
    return Choice(default, tuple(sessions.values()), only_exercise=False)


def chosen(fields: Fields) -> bool | None:
    """Read whether an exercise was chosen; None leaves it to the unit's session."""
    return {"exercise": True, "actual": False}.get(str(fields.get("nature", "")))


@routes.get(PAGE)
@official(*ROLES)
async def exercises(request: web.Request) -> web.StreamResponse:
    """Show sessions and recipients of the units an official keeps lists for."""
    async with request.app[POOL].acquire() as conn:
        return await _shown(request, conn)


async def _shown(
    request: web.Request, conn: Conn, refusal: Refused | None = None, at: str = ""
) -> web.Response:
    app, actor = request.app, frame.actor_of(request)
    atlas = await app[GEOGRAPHY].atlas()
    fields = await request.post() if request.method == "POST" else None
    return await frame.screen(
        request,
        conn,
        "exercise.html",
        "exercises",
        status_of(refusal) if refusal else 200,
        sessions=await exercise_sessions.listing(conn, actor),
        recipients=await exercise_recipients.listing(conn, app[KEYRING], actor),
        gone=await exercise_recipients.listing(conn, app[KEYRING], actor, removed=True),
        units=atlas.of(await authority(conn, actor, *ROLES)),
        session_units=atlas.of(await authority(conn, actor, "admin")),
        atlas=atlas,
        problem=refusal.message(i18n.language()) if refusal else "",
        problem_at=at,
        typed=lambda name: str(fields.get(name, "")) if fields and at else "",
    )


@routes.post(f"{PAGE}/recipients")
@official(*ROLES)
async def enrol(request: web.Request) -> web.StreamResponse:
    """Put somebody who agreed on a unit's list."""
    fields, app = await request.post(), request.app
    actor, now = frame.actor_of(request), app[CLOCK]()
    async with app[POOL].acquire() as conn:
        try:
            unit_id = posted_number(str(fields.get("unit", "")), "unit")
            given = Enrolment(
                str(fields.get("who", "")), str(fields.get("consent", "")), _day(fields),
                str(fields.get("note", "")),
            )  # fmt: skip
            await exercise_recipients.enrol(conn, app[KEYRING], actor, now, unit_id, given)
        except Refused as refusal:
            return await _shown(request, conn, refusal, "recipients")
    raise web.HTTPSeeOther(f"{PAGE}#recipients")


def _day(fields: Fields) -> date:
    try:
        return date.fromisoformat(str(fields.get("consented_on", "")))
    except ValueError as error:
        raise Refused(
            "day_unreadable",
            "Chọn ngày người đó đồng ý.",
            "Choose the day they agreed.",
        ) from error


@routes.post(f"{PAGE}/recipients/{{number}}/remove")
@official(*ROLES)
async def remove(request: web.Request) -> web.StreamResponse:
    """Take somebody off a list, at once."""
    fields, app = await request.post(), request.app
    actor, now = frame.actor_of(request), app[CLOCK]()
    number = posted_number(request.match_info["number"], "number")
    async with app[POOL].acquire() as conn:
        try:
            await exercise_recipients.remove(
                conn, actor, now, number, str(fields.get("reason", ""))
            )
        except Refused as refusal:
            return await _shown(request, conn, refusal, "list")
    raise web.HTTPSeeOther(f"{PAGE}#recipients")


@routes.post(f"{PAGE}/sessions")
@official("admin")
async def open_session(request: web.Request) -> web.StreamResponse:
    """Open a session for some units and a time."""
    fields, app = await request.post(), request.app
    actor, now = frame.actor_of(request), app[CLOCK]()
    async with app[POOL].acquire() as conn:
        try:
            await exercise_sessions.open_one(
                conn, actor, now,
                name=str(fields.get("name", "")),
                unit_ids=[posted_number(str(one), "unit") for one in fields.getall("unit", [])],
                begins_at=moments.moment_of(str(fields.get("begins_at", ""))) or now,
                ends_at=moments.moment_of(str(fields.get("ends_at", ""))) or now,
            )  # fmt: skip
        except Refused as refusal:
            return await _shown(request, conn, refusal, "sessions")
    raise web.HTTPSeeOther(PAGE)


@routes.post(f"{PAGE}/sessions/{{number}}/close")
@official("admin")
async def close_session(request: web.Request) -> web.StreamResponse:
    """End a session before its time."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    number = posted_number(request.match_info["number"], "number")
    async with request.app[POOL].acquire() as conn:
        try:
            await exercise_sessions.close_one(conn, actor, now, number)
        except Refused as refusal:
            return await _shown(request, conn, refusal, "sessions")
    raise web.HTTPSeeOther(PAGE)
