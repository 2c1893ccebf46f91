"""Approving for officials' programs: who may, who was asked, and the decision itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.alerts import approval, authority, escalation
from broadcaster.alerts.draft import Alert
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, KEYRING, POOL, VISITOR, WAKER
from broadcaster.web.security import official

routes = web.RouteTableDef()
HEADER = "X-Second-Factor"


class Approver(BaseModel):
    """Somebody who may approve."""

    name: str
    title: str
    enrolled: bool
    """Has a second factor, where the alert needs one."""
    stands_in: bool


class Asked(BaseModel):
    """One step of asking."""

    at: datetime
    names: list[str]
    standing_in: list[str]


class Approval(BaseModel):
    """What an alert's approval needs and how far it is."""

    code: str
    version: int
    state: str
    reach: Literal["own", "several", "city"]
    """One commune or less, several, or the city and most of it."""
    who: Literal["unit", "area", "city"]
    """What the approver's role has to reach: the issuing unit, all it covers, the whole city."""
    second_factor: bool
    approvers: list[Approver]
    bar: str | None
    """Why you may not: wrote, not_here, too_narrow, training, not_enrolled; null when you may."""
    asked: list[Asked]
    next_at: datetime | None
    next_names: list[str]
    exercise: bool
    recipients: Literal["all", "listed", "nobody"]
    """Whom it reaches as things stand: everybody in its area, those who take part in exercises,
    or nobody at all (what training accounts write)."""
    must_widen: bool
    """It follows an exercise that everybody got: approve it with `widen` and a code."""


class Decision(BaseModel):
    """An approval of exactly one version."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(ge=1)]
    code: Annotated[str, Field(max_length=40)] = ""
    """A code of the phone or a recovery code; the header X-Second-Factor says the same."""
    widen: bool = False
    """Open an exercise to everybody in its area, in your name; needs a code."""


class Return(BaseModel):
    """A version given back, and what has to change."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(ge=1)]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Decided(BaseModel):
    """An alert as it stands after the decision."""

    code: str
    version: int
    state: str


def _recipients(alert: Alert) -> Literal["all", "listed", "nobody"]:
    if alert.training:
        return "nobody"
    return "listed" if alert.only_listed else "all"


def _decided(alert: Alert) -> web.Response:
    return answered(Decided(code=alert.code, version=alert.version, state=alert.state.value))


@routes.get("/api/v1/alerts/{code}/approval")
@official("author", "approver")
@operation(
    Operation(
        "Who may approve an alert, and who was asked",
        {200: Approval},
        auth="official",
        refuses=(401, 403, 404),
    )
)
async def standing(request: web.Request) -> web.StreamResponse:
    """Say who may approve an alert, and why the caller may or may not."""
    app, actor = request.app, request[VISITOR].actor
    async with app[POOL].acquire() as conn:
        alert = (await authority.load(conn, actor, request.match_info["code"])).alert
        answer = await authority.of_alert(conn, alert)
        asking = await escalation.progress(conn, alert, answer)
    return answered(
        Approval(
            code=alert.code, version=alert.version, state=alert.state.value,
            reach=answer.need.reach.value, who=answer.need.who.value,
            second_factor=answer.need.second_factor,
            approvers=[
                Approver(name=one.name, title=one.title, enrolled=one.enrolled, stands_in=one.asked)
                for one in answer.approvers
            ],
            bar=answer.bar_of(actor.official_id),
            asked=[
                Asked(at=one.asked_at, names=list(one.names), standing_in=list(one.substitutes))
                for one in asking.asks
            ],
            next_at=asking.next_at, next_names=list(asking.next_names),
            exercise=alert.exercise, recipients=_recipients(alert),
            must_widen=alert.follows_widened,
        )
    )  # fmt: skip


@routes.post("/api/v1/alerts/{code}/approve")
@official("approver")
@operation(
    Operation(
        f"Approve one version; an emergency, and `widen` of an exercise, need a code, in the body"
        f" or in {HEADER}",
        {200: Decided},
        body=Decision,
        auth="official",
        refuses=(401, 403, 404, 409, 422),
    )
)
async def approve(request: web.Request) -> web.StreamResponse:
    """Approve one version, as the review page does."""
    given = await read(request, Decision)
    app, actor = request.app, request[VISITOR].actor
    code = given.code or request.headers.get(HEADER, "")
    async with app[POOL].acquire() as conn:
        alert = (await authority.load(conn, actor, request.match_info["code"])).alert
        done = await approval.confirm(
            conn, app[KEYRING], actor, app[CLOCK](), alert.alert_id, given.version, code,
            widen=given.widen,
        )  # fmt: skip
    await app[WAKER].wake("start")
    return _decided(done)


@routes.post("/api/v1/alerts/{code}/return")
@official("approver")
@operation(
    Operation(
        "Return one version to its author, with what has to change",
        {200: Decided},
        body=Return,
        auth="official",
        refuses=(401, 403, 404, 409, 422),
    )
)
async def send_back(request: web.Request) -> web.StreamResponse:
    """Return one version, as the review page does."""
    given = await read(request, Return)
    app, actor = request.app, request[VISITOR].actor
    async with app[POOL].acquire() as conn:
        alert = (await authority.load(conn, actor, request.match_info["code"])).alert
        done = await approval.send_back(
            conn, actor, app[CLOCK](), alert.alert_id, given.version, given.reason
        )
    return _decided(done)
