"""Citizens register, prove an address, look at what is kept of them, and leave."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field

from broadcaster.people import claims, kept, register
from broadcaster.web.api import citizen
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.api.own_places import Closed, KeptPlace, Place, Text, kept_place, place_of
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL
from broadcaster.web.security import program

routes = web.RouteTableDef()
Channel = Literal["push", "sms", "email"]


class Endpoint(Closed):
    """A way to reach somebody: a telephone, a mailbox, the app (`fid:…` or `token:…`)."""

    channel: Channel
    address: Annotated[str, Field(min_length=1, max_length=500)]


class Consent(Closed):
    """When and where somebody agreed to be registered; never a default."""

    at: AwareDatetime
    source: Annotated[str, Field(min_length=1, max_length=100)]


class Registration(Closed):
    """Everything somebody registers with."""

    home: Place
    endpoints: Annotated[list[Endpoint], Field(min_length=1, max_length=8)]
    consent: Consent
    lang: Literal["vi", "en"] = "vi"
    name: Text = ""
    watched: Annotated[list[Place], Field(max_length=5, default_factory=list)]


class Claim(BaseModel):
    """A code that is on its way to an address."""

    id: UUID
    channel: Channel
    expires_at: datetime


class Registered(BaseModel):
    """Registered; nothing is sent to an address before its code has come back."""

    id: UUID
    claims: list[Claim]


class Verification(Closed):
    """The code that arrived."""

    claim: UUID
    code: Annotated[str, Field(min_length=1, max_length=20)]


class Verified(BaseModel):
    """The token by which the app speaks for this person from now on."""

    token: str


class KeptEndpoint(BaseModel):
    """A way somebody is reached."""

    channel: Channel
    state: Literal["unverified", "active", "retired"]
    follow_ups: bool


class GivenConsent(BaseModel):
    """A consent, in force until it is withdrawn."""

    at: datetime
    source: str
    withdrawn_at: datetime | None


class GivenPositionConsent(GivenConsent):
    """A consent to keep the last known position, each for so many hours."""

    hours: int


class Me(BaseModel):
    """What is kept of the person who asks; addresses of channels are not told again."""

    id: UUID
    lang: Literal["vi", "en"]
    name: str
    registered_at: datetime
    consents: list[GivenConsent]
    position_consents: list[GivenPositionConsent]
    """Without one in force no position is kept."""
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
        home=place_of(given.home),
        endpoints=tuple((one.channel, one.address) for one in given.endpoints),
        consent_at=given.consent.at,
        consent_source=given.consent.source,
        lang=given.lang,
        name=given.name,
        watched=tuple(place_of(place) for place in given.watched),
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
    app = request.app
    async with app[POOL].acquire() as conn:
        known = await kept.of_person(conn, app[KEYRING], app[CLOCK](), person_id)
    return answered(
        Me(
            id=known.public_id,
            lang=known.lang,
            name=known.name,
            registered_at=known.registered_at,
            consents=[GivenConsent(**asdict(one)) for one in known.consents],
            position_consents=[
                GivenPositionConsent(**asdict(one)) for one in known.position_consents
            ],
            places=[kept_place(place) for place in known.places],
            endpoints=[KeptEndpoint(**asdict(one)) for one in known.endpoints],
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
