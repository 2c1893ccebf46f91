"""Units, and the duty of units."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from aiohttp import web
from pydantic import BaseModel

from broadcaster.cadence import duty
from broadcaster.people.officials import ROLES, authority
from broadcaster.web.api.operation import Operation, answered, operation
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL, VISITOR
from broadcaster.web.security import official, program

routes = web.RouteTableDef()


class Unit(BaseModel):
    """One administrative unit in force."""

    code: str
    vintage: date
    name: str
    name_en: str
    kind: Literal["city", "district", "town", "ward", "commune", "township"]
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
