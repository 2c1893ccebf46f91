"""Published alerts, and what an app says of them on its own phone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.alerts.content import Lang
from broadcaster.errors import Refused
from broadcaster.fanout import receipts
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.states import DeliveryState
from broadcaster.web import published
from broadcaster.web.api import citizen
from broadcaster.web.api.operation import Operation, Query, answered, operation, read
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SETTINGS
from broadcaster.web.published import Published
from broadcaster.web.security import program

routes = web.RouteTableDef()
_MOST = 50
_NEWS = {"received": DeliveryState.CONFIRMED, "opened": DeliveryState.SEEN}


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
    standing: Literal["in_force", "replaced", "cancelled", "stopped", "expired"]
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


class News(BaseModel):
    """What the app says of an alert on its phone."""

    model_config = ConfigDict(extra="forbid")

    news: Literal["received", "opened"]
    address: Annotated[str, Field(max_length=500)] | None = None
    """This phone's push address; without it, every phone of the person is meant."""


class Booked(BaseModel):
    """How many deliveries moved on."""

    booked: int


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
        ),
        refuses=(422,),
    )
)
async def listing(request: web.Request) -> web.StreamResponse:
    """List published alerts."""
    limit, after = _number(request, "limit", 20), _number(request, "after", None)
    now = request.app[CLOCK]()
    in_force_at = now if request.query.get("in_force") == "1" else None
    async with request.app[POOL].acquire() as conn:
        found = await published.recent(conn, (limit or 1) + 1, after, in_force_at=in_force_at)
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


@routes.post("/api/v1/alerts/{code}/receipts")
@program
@operation(
    Operation(
        "Say that an alert arrived, or was opened",
        {202: Booked},
        body=News,
        auth="citizen",
        refuses=(401, 404, 413, 422),
    )
)
async def receipt(request: web.Request) -> web.StreamResponse:
    """Book it for the caller's own phones; moves forward only."""
    person_id = await citizen.required(request)
    given = await read(request, News)
    app = request.app
    async with app[POOL].acquire() as conn:
        alert = await published.published(conn, request.match_info["code"])
        phones = [
            row["endpoint_id"]
            for row in await conn.fetch(
                "SELECT e.endpoint_id FROM person_endpoint l JOIN endpoint e USING (endpoint_id)"
                " WHERE l.person_id = $1 AND e.channel = 'push'",
                person_id,
            )
        ]
        if given.address is not None:
            this = await endpoints.find(conn, app[KEYRING], Address("push", given.address))
            phones = [phone for phone in phones if phone == this]
        booked = await receipts.acknowledge(
            conn, app[CLOCK](), alert.alert_id, phones, _NEWS[given.news]
        )
    return answered(Booked(booked=booked), 202)
