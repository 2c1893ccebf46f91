"""Citizens manage their places after registering, and whether their last position is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from broadcaster.people import own_places, positions, register
from broadcaster.web.api import citizen
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL
from broadcaster.web.security import program

routes = web.RouteTableDef()
Text = Annotated[str, Field(max_length=200)]


class Closed(BaseModel):
    """A body in which every field is known."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Place(Closed):
    """A point, or the ward or commune by its code; a watched place has a label of its own."""

    lon: float | None = None
    lat: float | None = None
    unit: Text = ""
    label: Text = ""
    address: Annotated[str, Field(max_length=400)] = ""


class Candidate(BaseModel):
    """A unit that a place may lie in."""

    unit: str
    unit_name: str


class KeptPlace(BaseModel):
    """A place of somebody: 0 is home, 1 to 5 are watched, 9 is the last known position."""

    number: int
    label: str
    address: str
    unit: str
    unit_name: str
    point: bool
    """Whether its exact position is known."""
    lon: float | None
    lat: float | None
    expires_at: datetime | None
    """When it is deleted; null: it stays."""
    candidates: list[Candidate]
    """Units it may lie in since its own was split; say which by putting the place again."""


class PositionConsent(Closed):
    """When and where somebody agreed that their last position is kept; never a default."""

    at: AwareDatetime
    source: Annotated[str, Field(min_length=1, max_length=100)]
    hours: Annotated[int, Field(ge=1, le=positions.MOST_HOURS)] = positions.HOURS
    """How long each position is kept."""


class Position(Closed):
    """Where somebody was at a moment."""

    lon: float
    lat: float
    at: AwareDatetime


class Positioned(BaseModel):
    """What became of a position; outside the city none is kept, nor the one before."""

    kept: bool
    place: KeptPlace | None


def place_of(place: Place) -> register.Place:
    """Return the place as people's own functions take it."""
    return register.Place(place.lon, place.lat, place.unit, place.label, place.address)


def kept_place(place: own_places.KeptPlace) -> KeptPlace:
    """Return a kept place as it is answered."""
    return KeptPlace(
        number=place.place_no,
        label=place.label,
        address=place.address,
        unit=place.unit_code,
        unit_name=place.unit_name,
        point=place.lon is not None,
        lon=place.lon,
        lat=place.lat,
        expires_at=place.expires_at,
        candidates=[Candidate(unit=one.code, unit_name=one.name) for one in place.candidates],
    )


@routes.put(r"/api/v1/people/me/places/{number:\d{1,4}}")
@program
@operation(
    Operation(
        "Set my home (0) or a place I watch (1 to 5)",
        {200: KeptPlace},
        body=Place,
        auth="citizen",
        refuses=(401, 404, 413, 422),
    )
)
async def put(request: web.Request) -> web.StreamResponse:
    """Set a place, whether it was there or not."""
    person_id = await citizen.required(request)
    given, number = await read(request, Place), int(request.match_info["number"])
    app = request.app
    now, atlas = app[CLOCK](), await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        await own_places.put(conn, app[KEYRING], atlas.map, person_id, number, place_of(given))
        places = await own_places.kept(conn, app[KEYRING], now, person_id)
    return answered(next(kept_place(one) for one in places if one.place_no == number))


@routes.delete(r"/api/v1/people/me/places/{number:\d{1,4}}")
@program
@operation(
    Operation(
        "Remove a place I watch (1 to 5), or my last position (9)",
        {204: None},
        auth="citizen",
        refuses=(401, 404, 422),
    )
)
async def remove(request: web.Request) -> web.StreamResponse:
    """Forget a place."""
    person_id = await citizen.required(request)
    async with request.app[POOL].acquire() as conn:
        await own_places.remove(conn, person_id, int(request.match_info["number"]))
    return web.Response(status=204)


@routes.post("/api/v1/people/me/position/consent")
@program
@operation(
    Operation(
        "Agree that my last position is kept, for so many hours each",
        {201: PositionConsent},
        body=PositionConsent,
        auth="citizen",
        refuses=(401, 413, 422),
    )
)
async def agree(request: web.Request) -> web.StreamResponse:
    """Record a consent; it takes the place of an earlier one."""
    person_id = await citizen.required(request)
    given, now = await read(request, PositionConsent), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        made = await positions.consent(conn, now, person_id, given.at, given.source, given.hours)
    return answered(PositionConsent(at=made.given_at, source=made.source, hours=made.hours), 201)


@routes.delete("/api/v1/people/me/position/consent")
@program
@operation(
    Operation(
        "Withdraw that consent; the position is deleted at once",
        {204: None},
        auth="citizen",
        refuses=(401,),
    )
)
async def disagree(request: web.Request) -> web.StreamResponse:
    """Withdraw the consent, and forget the position."""
    person_id = await citizen.required(request)
    async with request.app[POOL].acquire() as conn:
        await positions.withdraw(conn, request.app[CLOCK](), person_id)
    return web.Response(status=204)


@routes.put("/api/v1/people/me/position")
@program
@operation(
    Operation(
        "Say where I am; needs the consent of its own",
        {200: Positioned},
        body=Position,
        auth="citizen",
        refuses=(401, 413, 422),
    )
)
async def position(request: web.Request) -> web.StreamResponse:
    """Keep the last position, unless it lies outside the city."""
    person_id = await citizen.required(request)
    given, app = await read(request, Position), request.app
    now, atlas = app[CLOCK](), await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        kept = await positions.put(conn, atlas.map, now, person_id, given.lon, given.lat, given.at)
        places = await own_places.kept(conn, app[KEYRING], now, person_id) if kept else []
    known = [kept_place(one) for one in places if one.place_no == register.LAST_POSITION]
    return answered(Positioned(kept=kept, place=known[0] if known else None))
