"""Published alerts, for apps and other programs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.alerts.archive_terms import KINDS, read_terms
from broadcaster.alerts.content import LANES, Lang
from broadcaster.alerts.standing import Standing
from broadcaster.errors import Refused
from broadcaster.web import published
from broadcaster.web.api.operation import Operation, Query, answered, operation
from broadcaster.web.keys import CLOCK, POOL, SETTINGS
from broadcaster.web.published import Published
from broadcaster.web.security import program

routes = web.RouteTableDef()
_MOST = 50
_TEXT = {"type": "string"}
_DAY = {"type": "string", "format": "date"}
_TERMS = ("q", "place", "from", "until", "class", "event", "sender", "kind")
"""Of the archive's terms those that anybody may ask by."""


class Issuer(BaseModel):
    """The unit that issued an alert."""

    name: str
    name_en: str


class Words(BaseModel):
    """The words of an alert in one language."""

    headline: str
    description: str
    instructions: list[str]


class PublicAlert(BaseModel):
    """One published alert."""

    model_config = ConfigDict(populate_by_name=True)

    code: str
    identifier: str
    kind: Literal["alert", "update", "cancel", "all_clear", "correction"]
    status: Literal["Actual", "Exercise"]
    """As CAP has it: nothing of an exercise is real."""
    standing: Standing
    """`closing`: an all-clear, a cancel or a correction that nothing has replaced."""
    alert_class: Annotated[Literal["emergency", "warning", "information"], Field(alias="class")]
    event: str
    urgency: str
    severity: str
    certainty: str
    risk_level: int | None
    river_alarm: int | None
    issuer: Issuer
    sent: datetime
    expires: datetime
    newer: str | None
    """Code of the message that took this one's place."""
    wording: dict[Lang, Words]
    page: str
    cap: str
    geojson: str


class Alerts(BaseModel):
    """A page of alerts, newest first."""

    alerts: list[PublicAlert]
    after: str | None
    """Give this as `after` for the next page; null at the end."""


@routes.get("/api/v1/alerts")
@program
@operation(
    Operation(
        "Published alerts, newest first",
        {200: Alerts},
        query=(
            Query("after", "The `after` of the page before.", {"type": "string"}),
            Query("in_force", "1: only those in force now.", {"type": "string", "enum": ["1"]}),
            Query("limit", "At most so many.", {"type": "integer", "minimum": 1, "maximum": _MOST}),
            Query(
                "q", "Words of it, marks may be left out; “in a row”, -without; its code.", _TEXT
            ),
            Query("place", "Code of a unit or a former district it was for.", _TEXT),
            Query("from", "First day in Hanoi.", _DAY),
            Query("until", "Last day in Hanoi.", _DAY),
            Query("class", "Only of this class.", {"type": "string", "enum": list(LANES)}),
            Query("event", "Only of this event.", _TEXT),
            Query("sender", "Code of the unit that issued it, or of one above that.", _TEXT),
            Query("kind", "Only of this kind.", {"type": "string", "enum": list(KINDS)}),
        ),
        refuses=(422,),
    )
)
async def listing(request: web.Request) -> web.StreamResponse:
    """List published alerts."""
    limit, after = _number(request, "limit", 20), _number(request, "after", None)
    now = request.app[CLOCK]()
    in_force_at = now if request.query.get("in_force") == "1" else None
    given = {name: request.query.get(name, "") for name in _TERMS}
    async with request.app[POOL].acquire() as conn:
        terms = await read_terms(conn, given)
        found = await published.recent(
            conn, (limit or 1) + 1, after, in_force_at=in_force_at, terms=terms
        )
    shown = found[: limit or 1]
    more = len(found) > len(shown)
    return answered(
        Alerts(
            alerts=[_alert(request, one) for one in shown],
            after=str(shown[-1].alert_id) if more else None,
        )
    )


def _number(request: web.Request, name: str, otherwise: int | None) -> int | None:
    given = request.query.get(name)
    if given is None:
        return otherwise
    number = int(given) if given.isdecimal() and len(given) <= 18 else -1
    if number < 0 or (name == "limit" and not 0 < number <= _MOST):
        raise Refused(
            f"bad_{name}", f"Tham số {name} không đúng.", f"The parameter {name} does not fit."
        )
    return number


@routes.get("/api/v1/alerts/{code}")
@program
@operation(Operation("One published alert", {200: PublicAlert}, refuses=(404,)))
async def one(request: web.Request) -> web.StreamResponse:
    """Return one published alert."""
    async with request.app[POOL].acquire() as conn:
        found = await published.published(conn, request.match_info["code"])
    return answered(_alert(request, found))


def _alert(request: web.Request, found: Published) -> PublicAlert:
    content, document = found.content, found.document
    page = f"{request.app[SETTINGS].public_url}/alerts/{found.code}"
    return PublicAlert(
        code=found.code,
        identifier=found.cap_identifier,
        kind=document["kind"],
        status=document["status"],
        standing=found.standing(request.app[CLOCK]()),
        alert_class=content.alert_class,
        event=content.event,
        urgency=content.urgency,
        severity=content.severity,
        certainty=content.certainty,
        risk_level=content.risk_level,
        river_alarm=content.river_alarm,
        issuer=Issuer(name=document["unit_name"], name_en=document["unit_name_en"]),
        sent=found.sent,
        expires=found.expires,
        newer=found.newer_code,
        wording={
            lang: Words(
                headline=wording.page.headline,
                description=wording.page.description,
                instructions=list(wording.page.instructions),
            )
            for lang, wording in content.wording.items()
            if lang in content.languages
        },
        page=page,
        cap=f"{page}.cap.xml",
        geojson=f"{page}.geojson",
    )
