"""Citizens register, prove an address, look at what is kept of them, and leave."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from broadcaster.people import claims, register
from broadcaster.web.api import citizen
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL
from broadcaster.web.security import program

routes = web.RouteTableDef()
Channel = Literal["push", "sms", "email"]
Text = Annotated[str, Field(max_length=200)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Place(_Closed):
    """A point, or the ward or commune by its code."""

    lon: float | None = None
    lat: float | None = None
    unit: Text = ""
    label: Text = ""
    address: Annotated[str, Field(max_length=400)] = ""


class Endpoint(_Closed):
    """A way to reach somebody: a telephone, a mailbox, the app (`fid:…` or `token:…`)."""

    channel: Channel
    address: Annotated[str, Field(min_length=1, max_length=500)]


class Consent(_Closed):
    """When and where somebody agreed to be registered; never a default."""

    at: AwareDatetime
    source: Annotated[str, Field(min_length=1, max_length=100)]


class Registration(_Closed):
    """Everything somebody registers with."""

    home: Place
    endpoints: Annotated[list[Endpoint], Field(min_length=1, max_length=8)]
    consent: Consent
    lang: Literal["vi", "en"] = "vi"
    name: Text = ""
    watched: Annotated[list[Place], Field(max_length=5)] = []


class Claim(BaseModel):
    """A code that is on its way to an address."""

    id: UUID
    channel: Channel
    expires_at: datetime


class Registered(BaseModel):
    """Registered; nothing is sent to an address before its code has come back."""

    id: UUID
    claims: list[Claim]


class Verification(_Closed):
    """The code that arrived."""

    claim: UUID
    code: Annotated[str, Field(min_length=1, max_length=20)]


class Verified(BaseModel):
    """The token by which the app speaks for this person from now on."""

    token: str


class KeptPlace(BaseModel):
    """A place that is watched for somebody."""

    label: str
    unit: str
    unit_name: str
    point: bool
    """Whether its exact position is known."""


class KeptEndpoint(BaseModel):
    """A way somebody is reached."""

    channel: Channel
    state: Literal["unverified", "active", "retired"]
    follow_ups: bool


class Me(BaseModel):
    """What is kept of the person who asks; addresses are not told again."""

    id: UUID
    lang: Literal["vi", "en"]
    registered_at: datetime
    places: list[KeptPlace]
    endpoints: list[KeptEndpoint]


@routes.post("/api/v1/people")
@program
@operation(
    Operation(
        "Register; a code goes to every address",
        {201: Registered},
        body=Registration,
        refuses=(413, 422, 429),
    )
)
async def post(request: web.Request) -> web.StreamResponse:
    """Register somebody; a known address is answered exactly as a new one."""
    citizen.spare(request)
    given = await read(request, Registration)
    app = request.app
    atlas = await app[GEOGRAPHY].atlas()
    registration = register.Registration(
        home=_place(given.home),
        endpoints=tuple((one.channel, one.address) for one in given.endpoints),
        consent_at=given.consent.at,
        consent_source=given.consent.source,
        lang=given.lang,
        name=given.name,
        watched=tuple(_place(place) for place in given.watched),
    )
    async with app[POOL].acquire() as conn:
        made = await register.register(conn, app[KEYRING], atlas.map, app[CLOCK](), registration)
    return answered(
        Registered(
            id=made.public_id,
            claims=[
                Claim(id=one.claim_id, channel=one.channel, expires_at=one.expires_at)
                for one in made.claims
            ],
        ),
        201,
    )


def _place(place: Place) -> register.Place:
    return register.Place(place.lon, place.lat, place.unit, place.label, place.address)


@routes.post("/api/v1/people/verify")
@program
@operation(
    Operation(
        "Prove an address by the code that arrived there",
        {200: Verified},
        body=Verification,
        refuses=(413, 422, 429),
    )
)
async def verify(request: web.Request) -> web.StreamResponse:
    """Link the address and hand out the token."""
    citizen.spare(request)
    given = await read(request, Verification)
    app = request.app
    token = await claims.verify(app[POOL], app[KEYRING], app[CLOCK](), given.claim, given.code)
    return answered(Verified(token=token))


@routes.get("/api/v1/people/me")
@program
@operation(Operation("What is kept of me", {200: Me}, auth="citizen", refuses=(401,)))
async def me(request: web.Request) -> web.StreamResponse:
    """Tell somebody what is kept of them."""
    person_id = await citizen.required(request)
    async with request.app[POOL].acquire() as conn:
        person = await conn.fetchrow(
            "SELECT public_id AS id, lang::text, created_at AS registered_at FROM person"
            " WHERE person_id = $1",
            person_id,
        )
        places = await conn.fetch(
            "SELECT p.label, u.code AS unit, u.name AS unit_name, NOT p.by_unit_only AS point"
            " FROM person_place p JOIN unit u USING (unit_id) WHERE p.person_id = $1"
            " ORDER BY p.place_no",
            person_id,
        )
        endpoints = await conn.fetch(
            "SELECT e.channel::text, e.state::text, e.follow_ups FROM person_endpoint l"
            " JOIN endpoint e USING (endpoint_id) WHERE l.person_id = $1 ORDER BY e.endpoint_id",
            person_id,
        )
    return answered(
        Me(
            **dict(person or {}),
            places=[KeptPlace(**row) for row in places],
            endpoints=[KeptEndpoint(**row) for row in endpoints],
        )
    )


@routes.delete("/api/v1/people/me")
@program
@operation(Operation("Leave: withdraw consent", {204: None}, auth="citizen", refuses=(401,)))
async def leave(request: web.Request) -> web.StreamResponse:
    """Forget name, places and links; the token is worth nothing afterwards."""
    person_id = await citizen.required(request)
    async with request.app[POOL].acquire() as conn:
        await register.leave(conn, request.app[CLOCK](), person_id)
    return web.Response(status=204)
