"""Exercises for officials' programs: sessions, what came of them, and who takes part."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from broadcaster.alerts import exercise_sessions
from broadcaster.alerts.exercise_sessions import Session
from broadcaster.db import Conn
from broadcaster.fanout import exercise_report
from broadcaster.people import exercise_recipients
from broadcaster.people.exercise_import import unit_of
from broadcaster.people.exercise_recipients import ROLES, Enrolment
from broadcaster.web.api.operation import Operation, Query, answered, operation, read
from broadcaster.web.keys import CLOCK, KEYRING, POOL, VISITOR
from broadcaster.web.security import official

routes = web.RouteTableDef()
_ADDRESS = "/api/v1/exercises"
_REMOVED = Query(
    "removed", "1: those who left, with the reason.", {"type": "string", "enum": ["1"]}
)


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewSession(_Closed):
    """A time in which what some units begin is an exercise unless it is said to be real."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    units: Annotated[list[str], Field(min_length=1, max_length=200)]
    """Codes; each with what lies under it."""
    begins_at: AwareDatetime | None = None
    """Null: now."""
    ends_at: AwareDatetime


class ExerciseSession(BaseModel):
    """One session."""

    id: int
    name: str
    units: list[str]
    """Codes."""
    begins_at: datetime
    ends_at: datetime
    closed_at: datetime | None
    """Ended before its time."""
    under_way: bool
    opened_by: str


class SessionList(BaseModel):
    """Sessions of the units you are in charge of, the newest first."""

    sessions: list[ExerciseSession]


class ExerciseSent(BaseModel):
    """One exercise begun in a session; counts are of messages."""

    code: str
    title: str
    state: str
    training: bool
    """Of training accounts: nothing of it reached a carrier."""
    everybody: bool
    """Opened to everybody in its area, by `widened_by`."""
    widened_by: str | None
    author: str
    approver: str | None
    approving_seconds: float | None
    """From its submission to its approval."""
    leaving_seconds: float | None
    """From its approval, or the time it was scheduled for, to its first hand-off."""
    addressed: int
    arrived: int
    """Taken by a carrier; those that arrived for certain are among them."""
    confirmed: int


class TookPart(BaseModel):
    """One address on the lists you keep, and how many messages of the session it got."""

    channel: str
    address: str
    """Masked."""
    unit: str
    note: str
    in_use: bool
    addressed: int
    arrived: int
    confirmed: int


class ExerciseReport(BaseModel):
    """A session: before it begins whom it can reach, afterwards whom it did and how fast."""

    session: ExerciseSession
    can_reach: dict[str, int]
    """Addresses in use, by channel."""
    reached: int
    confirmed: int
    silent: int
    """In use, and nothing arrived."""
    took_part: list[TookPart]
    sent: list[ExerciseSent]


class NewRecipient(_Closed):
    """Somebody who agreed to exercises, and how that can be shown."""

    who: Annotated[str, Field(min_length=1, max_length=254)]
    """A number, a mail address, or `id:` and the external id of somebody imported."""
    unit: str
    """Code of the unit whose list it is."""
    consent: Annotated[str, Field(min_length=1, max_length=200)]
    consented_on: date
    note: Annotated[str, Field(max_length=120)] = ""


class Enrolled(BaseModel):
    """How many addresses were put on the list."""

    added: int


class ExerciseRecipient(BaseModel):
    """One address on a list."""

    id: int
    unit: str
    channel: str
    address: str
    """Masked."""
    in_use: bool
    note: str
    consent: str
    consented_on: date
    added_by: str
    added_at: datetime
    removed_at: datetime | None
    removed_why: str | None


class RecipientList(BaseModel):
    """Who is on the lists you keep, the newest first."""

    recipients: list[ExerciseRecipient]


class Removal(_Closed):
    """Why an address is taken off its list."""

    reason: Annotated[str, Field(min_length=1, max_length=200)]


class Nothing(_Closed):
    """An empty object."""


@routes.get(f"{_ADDRESS}/sessions")
@official(*ROLES)
@operation(
    Operation("Exercise sessions", {200: SessionList}, auth="official", refuses=(401, 403))
)  # fmt: skip
async def sessions(request: web.Request) -> web.StreamResponse:
    """List the sessions of the units the official is in charge of."""
    async with request.app[POOL].acquire() as conn:
        found = await exercise_sessions.listing(conn, request[VISITOR].actor)
        shown = await _sessions(request, conn, found)
    return answered(SessionList(sessions=shown))


@routes.post(f"{_ADDRESS}/sessions")
@official("admin")
@operation(
    Operation(
        "Open a session: what its units begin is an exercise unless it is said to be real",
        {201: ExerciseSession}, body=NewSession, auth="official", refuses=(401, 403, 422),
    )
)  # fmt: skip
async def open_session(request: web.Request) -> web.StreamResponse:
    """Open a session for some units and a time."""
    given, actor, now = await read(request, NewSession), request[VISITOR].actor, _now(request)
    async with request.app[POOL].acquire() as conn:
        units = [await unit_of(conn, code, f"units[{at}]") for at, code in enumerate(given.units)]
        made = await exercise_sessions.open_one(
            conn, actor, now, name=given.name, unit_ids=units,
            begins_at=given.begins_at or now, ends_at=given.ends_at,
        )  # fmt: skip
        found = await exercise_sessions.listing(conn, actor)
        (shown,) = await _sessions(request, conn, [one for one in found if one.session_id == made])
    return answered(shown, 201)


@routes.post(f"{_ADDRESS}/sessions/{{id:[0-9]{{1,9}}}}/close")
@official("admin")
@operation(
    Operation(
        "End a session before its time",
        {204: None}, body=Nothing, auth="official", refuses=(401, 403, 404, 409),
    )
)  # fmt: skip
async def close_session(request: web.Request) -> web.StreamResponse:
    """End a session; what was begun in it stays an exercise."""
    await read(request, Nothing)
    session_id = int(request.match_info["id"])
    async with request.app[POOL].acquire() as conn:
        await exercise_sessions.close_one(conn, request[VISITOR].actor, _now(request), session_id)
    return web.Response(status=204)


@routes.get(f"{_ADDRESS}/sessions/{{id:[0-9]{{1,9}}}}")
@official(*ROLES)
@operation(
    Operation(
        "A session: whom it can reach, and what came of it",
        {200: ExerciseReport}, auth="official", refuses=(401, 403, 404),
    )
)  # fmt: skip
async def report(request: web.Request) -> web.StreamResponse:
    """Tell what a session will do, and what it did."""
    app, actor = request.app, request[VISITOR].actor
    async with app[POOL].acquire() as conn:
        found = await exercise_report.of_session(
            conn, app[KEYRING], actor, int(request.match_info["id"])
        )
        (session,) = await _sessions(request, conn, [found.session])
    return answered(
        ExerciseReport(
            session=session,
            can_reach=found.by_channel,
            reached=found.reached,
            confirmed=found.confirmed,
            silent=found.silent,
            took_part=[
                TookPart(
                    channel=one.channel, address=one.address, unit=one.unit_name, note=one.note,
                    in_use=one.usable, addressed=one.addressed, arrived=one.arrived,
                    confirmed=one.confirmed,
                )
                for one in found.took_part
            ],
            sent=[_sent(one) for one in found.sent],
        )
    )  # fmt: skip


def _sent(one: exercise_report.Sent) -> ExerciseSent:
    alert = one.alert
    return ExerciseSent(
        code=alert.code, title=alert.title, state=alert.state.value, training=alert.training,
        everybody=not alert.only_listed, widened_by=alert.widened_name,
        author=alert.author_name, approver=alert.approver_name,
        approving_seconds=one.approving and one.approving.total_seconds(),
        leaving_seconds=one.leaving and one.leaving.total_seconds(),
        addressed=one.addressed, arrived=one.arrived, confirmed=one.confirmed,
    )  # fmt: skip


@routes.get(f"{_ADDRESS}/recipients")
@official(*ROLES)
@operation(
    Operation(
        "Who takes part in exercises, on the lists you keep",
        {200: RecipientList}, query=(_REMOVED,), auth="official", refuses=(401, 403),
    )
)  # fmt: skip
async def recipients(request: web.Request) -> web.StreamResponse:
    """List exercise recipients, addresses masked."""
    app, removed = request.app, request.query.get("removed") == "1"
    async with app[POOL].acquire() as conn:
        found = await exercise_recipients.listing(
            conn, app[KEYRING], request[VISITOR].actor, removed=removed
        )
    return answered(
        RecipientList(
            recipients=[
                ExerciseRecipient(
                    id=one.recipient_id, unit=one.unit_name, channel=one.channel,
                    address=one.address, in_use=one.usable, note=one.note, consent=one.consent,
                    consented_on=one.consented_on, added_by=one.added_by, added_at=one.added_at,
                    removed_at=one.removed_at, removed_why=one.removed_why,
                )
                for one in found
            ]
        )
    )  # fmt: skip


@routes.post(f"{_ADDRESS}/recipients")
@official(*ROLES)
@operation(
    Operation(
        "Enrol somebody who agreed to exercises and is registered for alerts",
        {201: Enrolled}, body=NewRecipient, auth="official", refuses=(401, 403, 409, 422),
    )
)  # fmt: skip
async def enrol(request: web.Request) -> web.StreamResponse:
    """Put somebody on a unit's list."""
    given, app = await read(request, NewRecipient), request.app
    async with app[POOL].acquire() as conn:
        unit_id = await unit_of(conn, given.unit, "unit")
        added = await exercise_recipients.enrol(
            conn, app[KEYRING], request[VISITOR].actor, _now(request), unit_id,
            Enrolment(given.who, given.consent, given.consented_on, given.note),
        )  # fmt: skip
    return answered(Enrolled(added=added), 201)


@routes.post(f"{_ADDRESS}/recipients/{{id:[0-9]{{1,18}}}}/remove")
@official(*ROLES)
@operation(
    Operation(
        "Take an address off its list, at once",
        {204: None}, body=Removal, auth="official", refuses=(401, 403, 404, 422),
    )
)  # fmt: skip
async def remove(request: web.Request) -> web.StreamResponse:
    """Take an address off; what is under way leaves it out too."""
    given = await read(request, Removal)
    number = int(request.match_info["id"])
    async with request.app[POOL].acquire() as conn:
        await exercise_recipients.remove(
            conn, request[VISITOR].actor, _now(request), number, given.reason
        )
    return web.Response(status=204)


def _now(request: web.Request) -> datetime:
    return request.app[CLOCK]()


async def _sessions(
    request: web.Request, conn: Conn, found: list[Session]
) -> list[ExerciseSession]:
    """Return sessions as the API has them, units by their codes."""
    ids = sorted({unit_id for one in found for unit_id in one.unit_ids})
    rows = await conn.fetch("SELECT unit_id, code FROM unit WHERE unit_id = ANY($1)", ids)
    codes = {row["unit_id"]: row["code"] for row in rows}
    now = _now(request)
    return [
        ExerciseSession(
            id=one.session_id, name=one.name, units=[codes[unit_id] for unit_id in one.unit_ids],
            begins_at=one.begins_at, ends_at=one.ends_at, closed_at=one.closed_at,
            under_way=one.under_way(now), opened_by=one.opened_name,
        )
        for one in found
    ]  # fmt: skip
