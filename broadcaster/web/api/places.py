"""Units, who an area reaches, and the duty of units."""

from __future__ import annotations

import time
from datetime import date, datetime
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from broadcaster.cadence import duty
from broadcaster.errors import Refused
from broadcaster.people.officials import ROLES, authority
from broadcaster.web.api.operation import Operation, answered, operation, read
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL, SELECTOR, VISITOR
from broadcaster.web.security import official, program
from targeting.errors import AreaError

routes = web.RouteTableDef()


class Unit(BaseModel):
    """One administrative unit in force."""

    code: str
    vintage: date
    name: str
    name_en: str
    kind: Literal["city", "district", "ward", "commune"]
    parent: str | None
    population: int
    area_km2: float
    lon: float
    lat: float


class Units(BaseModel):
    """Every unit in force."""

    units: list[Unit]
    approximate: bool
    """Whether the outlines this service draws are approximate."""


class AudienceQuestion(BaseModel):
    """An area: units, groups, polygons and circles, minus exclusions."""

    model_config = ConfigDict(extra="forbid")

    area: dict[str, Any]


class Audience(BaseModel):
    """Who an area reaches."""

    people: int
    channels: dict[str, int]
    languages: dict[str, int]
    ms: float


class UnitDuty(BaseModel):
    """How one unit stands with its duty; without a rule status and due are null."""

    unit: str
    name: str
    name_en: str
    status: Literal["overdue", "due_soon", "on_time"] | None
    last: datetime | None
    due: datetime | None


class Duties(BaseModel):
    """Units in the caller's reach, the most pressing first."""

    units: list[UnitDuty]


@routes.get("/api/v1/units")
@program
@operation(Operation("Units in force", {200: Units}))
async def units(request: web.Request) -> web.StreamResponse:
    """List the units in force."""
    atlas = await request.app[GEOGRAPHY].atlas()
    found = [
        Unit(
            code=row.code,
            vintage=row.vintage,
            name=row.name,
            name_en=row.name_en,
            kind=row.kind,
            parent=atlas.units[row.parent_id].code if row.parent_id in atlas.units else None,
            population=row.population,
            area_km2=row.area_km2,
            lon=row.lon,
            lat=row.lat,
        )
        for row in atlas.units.values()
    ]
    return answered(Units(units=found, approximate=atlas.map.approximate))


@routes.post("/api/v1/audience")
@official()
@operation(
    Operation(
        "Count the people of an area",
        {200: Audience},
        body=AudienceQuestion,
        most_bytes=2_000_000,
        auth="official",
        refuses=(401, 403, 413, 422),
    )
)
async def audience(request: web.Request) -> web.StreamResponse:
    """Count people, channels and languages of an area."""
    given = await read(request, AudienceQuestion)
    app, started = request.app, time.perf_counter()
    try:
        async with app[POOL].acquire() as conn:
            counts = await app[SELECTOR].count(conn, app[CLOCK](), given.area)
    except AreaError as error:
        raise Refused(
            "area_refused",
            " ".join(one.message_vi for one in error.problems),
            " ".join(one.message_en for one in error.problems),
        ) from error
    return answered(
        Audience(
            people=counts.people,
            channels=dict(counts.by_channel),
            languages=dict(counts.by_lang),
            ms=round((time.perf_counter() - started) * 1000, 1),
        )
    )


@routes.get("/api/v1/duty")
@official()
@operation(
    Operation("How units stand with their duty", {200: Duties}, auth="official", refuses=(401,))
)
async def duties(request: web.Request) -> web.StreamResponse:
    """List the duty of the units in the caller's reach."""
    now = request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        reach = await authority(conn, request[VISITOR].actor, *ROLES)
        found = await duty.duty_table(conn, now, reach)
    return answered(
        Duties(
            units=[
                UnitDuty(
                    unit=one.code,
                    name=one.name,
                    name_en=one.name_en,
                    status=one.status.value if one.status else None,
                    last=one.last,
                    due=one.due,
                )
                for one in found
            ]
        )
    )
