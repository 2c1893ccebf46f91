"""Published alerts, and what an app says of them on its own phone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.alerts.content import Lang
from broadcaster.errors import Refused
from broadcaster.fanout import receipts, why
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.states import DeliveryState
from broadcaster.web import published
from broadcaster.web.api import citizen
from broadcaster.web.api.operation import Operation, Query, answered, operation, read
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SELECTOR, SETTINGS, VISITOR
from broadcaster.web.published import Published
from broadcaster.web.security import official, program

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


class WhyQuestion(BaseModel):
    """Whom to explain an alert for: one of the two."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(max_length=200)] = ""
    """A telephone number or mail address, as typed."""
    report: Annotated[str, Field(max_length=40)] = ""
    """The code of a report they sent."""


class Said(BaseModel):
    """The same in both languages."""

    vi: str
    en: str


class WhyPlace(BaseModel):
    """A place of a person; of one outside the area, only that is told."""

    name: Said
    inside: bool
    label: str
    unit: Said | None
    """Where it is known by its unit only."""
    parts: list[Said]
    """The parts of the area it lies in."""


class WhySent(BaseModel):
    """What became of the alert at one address."""

    channel: str
    address: str
    """Masked."""
    state: str | None
    reason: str | None
    at: datetime | None
    why_not: Said | None


class WhyPerson(BaseModel):
    """One person behind the address."""

    in_audience: bool | None
    """Null while nobody is frozen."""
    because: str
    message: Said
    registered_at: datetime
    places: list[WhyPlace]
    sent: list[WhySent]


class Why(BaseModel):
    """Why an alert reached the people behind an address, or did not."""

    frozen_at: datetime | None
    nobody: Said | None
    people: list[WhyPerson]


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


@routes.post("/api/v1/alerts/{code}/why")
@official(*why.ROLES)
@operation(
    Operation(
        "Why somebody got an alert, or did not",
        {200: Why},
        body=WhyQuestion,
        auth="official",
        refuses=(401, 403, 404, 413, 422),
    )
)
async def explain(request: web.Request) -> web.StreamResponse:
    """Explain an alert for everybody behind an address; every question is audited."""
    given = await read(request, WhyQuestion)
    app, actor = request.app, request[VISITOR].actor
    async with app[POOL].acquire() as conn, conn.transaction():
        found = await why.ask(
            conn, app[KEYRING], app[SELECTOR], actor, app[CLOCK](), request.match_info["code"],
            address=given.address.strip(), report=given.report.strip(),
        )  # fmt: skip
    return answered(
        Why(
            frozen_at=found.frozen_at,
            nobody=_said(found.nobody),
            people=[_person(person) for person in found.people],
        )
    )


def _said(words: tuple[str, str] | None) -> Said | None:
    return None if words is None else Said(vi=words[0], en=words[1])


def _person(person: why.Person) -> WhyPerson:
    return WhyPerson(
        in_audience=person.in_audience,
        because=person.because,
        message=Said(vi=person.sentence[0], en=person.sentence[1]),
        registered_at=person.registered_at,
        places=[
            WhyPlace(
                name=Said(vi=place.name[0], en=place.name[1]),
                inside=place.inside,
                label=place.label,
                unit=_said(place.unit),
                parts=[Said(vi=part[0], en=part[1]) for part in place.parts],
            )
            for place in person.places
        ],
        sent=[
            WhySent(
                channel=one.channel,
                address=one.address,
                state=one.state,
                reason=one.reason,
                at=one.at,
                why_not=_said(one.why_not),
            )
            for one in person.sent
        ],
    )
