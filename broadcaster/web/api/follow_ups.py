"""What follows an alert, for officials' programs: the same acts as on its page."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.alerts import draft, followup, lifecycle
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.people.officials import Actor
from broadcaster.web.api.operation import Operation, Query, answered, operation, read
from broadcaster.web.keys import CLOCK, POOL, VISITOR, WAKER
from broadcaster.web.security import official

routes = web.RouteTableDef()
SENDERS = ("author", "approver")


class Reason(BaseModel):
    """Why it is done; it stands in the trail."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class FollowUp(BaseModel):
    """An alert or what follows it, as it stands now."""

    code: str
    kind: Literal["alert", "update", "cancel", "all_clear", "correction"]
    status: Literal["Actual", "Exercise"]
    """As what it follows."""
    state: str
    version: int
    sequence: int
    """Its number in the line of messages: on one phone the highest wins."""
    follows: str | None
    """Code of what it follows."""


Act = Callable[[Conn, Actor, datetime, int, str], Awaitable[Alert]]


async def _answer(conn: Conn, alert: Alert) -> FollowUp:
    before = None
    if alert.predecessor_id is not None:
        before = (await draft.find(conn, alert.predecessor_id)).code
    return FollowUp(
        code=alert.code,
        kind=alert.kind,
        status=alert.status,
        state=alert.state.value,
        version=alert.version,
        sequence=alert.sequence,
        follows=before,
    )


async def _start(
    request: web.Request, act: Callable[[Conn, Actor, datetime, int], Awaitable[Alert]]
) -> web.StreamResponse:
    app, actor = request.app, request[VISITOR].actor
    async with app[POOL].acquire() as conn:
        found = await draft.load(conn, actor, request.match_info["code"])
        made = await act(conn, actor, app[CLOCK](), found.alert.alert_id)
        return answered(await _answer(conn, made), 201)


async def _act(request: web.Request, act: Act, status: int) -> web.StreamResponse:
    given = await read(request, Reason)
    app, actor = request.app, request[VISITOR].actor
    async with app[POOL].acquire() as conn:
        found = await draft.load(conn, actor, request.match_info["code"])
        made = await act(conn, actor, app[CLOCK](), found.alert.alert_id, given.reason)
        said = await _answer(conn, made)
    await app[WAKER].wake("start")
    return answered(said, status)


@routes.post("/api/v1/alerts/{code}/update")
@official("author")
@operation(
    Operation(
        "Start an update of a live alert, as a draft to be approved",
        {201: FollowUp},
        auth="official",
        refuses=(401, 403, 404, 409),
    )
)
async def update(request: web.Request) -> web.StreamResponse:
    """Start an update; its draft holds the newest approved words."""
    return await _start(request, followup.update)


@routes.post("/api/v1/alerts/{code}/all-clear")
@official("author")
@operation(
    Operation(
        "Start an all-clear of an alert, as a draft to be approved",
        {201: FollowUp},
        query=(
            Query(
                "set_aside",
                "Code of the follow-up in its way, which nobody has approved: it is kept and ended,"
                " and its author is told.",
                {"type": "string"},
            ),
        ),
        auth="official",
        refuses=(401, 403, 404, 409),
    )
)
async def all_clear(request: web.Request) -> web.StreamResponse:
    """Start an all-clear."""
    aside = request.query.get("set_aside", "")
    return await _start(request, functools.partial(followup.all_clear, set_aside=aside))


@routes.post("/api/v1/alerts/{code}/stop")
@official(*SENDERS)
@operation(
    Operation(
        "Stop sending an alert; nobody is told",
        {200: FollowUp},
        body=Reason,
        auth="official",
        refuses=(401, 403, 404, 409, 413, 422),
    )
)
async def stop(request: web.Request) -> web.StreamResponse:
    """End hand-off; answers with the alert."""
    return await _act(request, lifecycle.stop, 200)


@routes.post("/api/v1/alerts/{code}/cancel")
@official(*SENDERS)
@operation(
    Operation(
        "Call an alert off: stop it and tell exactly those it reached",
        {201: FollowUp},
        body=Reason,
        auth="official",
        refuses=(401, 403, 404, 409, 413, 422),
    )
)
async def cancel(request: web.Request) -> web.StreamResponse:
    """Send the cancel that was approved with the alert."""
    return await _act(request, followup.cancel, 201)


@routes.post("/api/v1/alerts/{code}/correct")
@official(*SENDERS)
@operation(
    Operation(
        "Say that an alert was sent in error, to exactly those it reached, before anything else",
        {201: FollowUp},
        body=Reason,
        auth="official",
        refuses=(401, 403, 404, 409, 413, 422),
    )
)
async def correct(request: web.Request) -> web.StreamResponse:
    """Send the correction that was approved with the alert, in the emergency lane."""
    return await _act(request, followup.correct, 201)
