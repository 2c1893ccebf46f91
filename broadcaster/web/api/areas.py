"""Officials ask about areas: who is inside, what changes, and the tools that make an area."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.people.exercise_selection import Asked, asked
from broadcaster.people.units import GroupRow, UnitRow
from broadcaster.web import area_answers, area_tools, counting, uploads
from broadcaster.web.api.area_schema import Area
from broadcaster.web.api.operation import Operation, Query, answered, operation, read
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL, SELECTOR, VISITOR
from broadcaster.web.security import official
from targeting.errors import AreaProblem

routes = web.RouteTableDef()
MOST_BYTES = 8_000_000
"""An area far over the limit of points is still to be told so, and to be simplified."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AreaQuestion(_Closed):
    """An area: units, groups, polygons, circles and lines, minus exclusions."""

    area: Area
    exercise: bool = False
    """Count who takes part in exercises, and nobody else."""


class CompareQuestion(_Closed):
    """An area, and the one that is to take its place."""

    before: Area
    after: Area
    exercise: bool = False
    """Count who takes part in exercises, and nobody else."""


class NamesQuestion(_Closed):
    """A pasted list of names of units, old and new, one a line or with commas between."""

    text: Annotated[str, Field(min_length=1, max_length=50_000)]


class RepairQuestion(_Closed):
    """An area and the repairs to apply; null: every one its problems offer."""

    area: Area
    repairs: Annotated[list[str], Field(max_length=50)] | None = None
    exercise: bool = False
    """Count who takes part in exercises, and nobody else."""


class SimplifyQuestion(_Closed):
    """An area and how many points it may have."""

    area: Area
    max_points: Annotated[int, Field(ge=4, le=50_000)]
    exercise: bool = False
    """Count who takes part in exercises, and nobody else."""


class AudienceUnit(BaseModel):
    """The people of an area who count under one unit."""

    code: str
    vintage: date
    name: str
    people: int


class Audience(BaseModel):
    """Who an area reaches, each person once."""

    people: int
    channels: dict[str, int]
    languages: dict[str, int]
    units: list[AudienceUnit]
    """Those with most people first; a person counts under the unit of the place inside."""
    by_unit_only: int
    """Of the people, those known by their unit only."""
    ms: float


class Change(BaseModel):
    """Who a change of area adds, keeps and drops."""

    added: int
    kept: int
    dropped: int


class Said(BaseModel):
    """A sentence in both languages."""

    vi: str
    en: str


class Note(BaseModel):
    """Something worth knowing about what was read."""

    code: str
    message: Said


class ReadArea(BaseModel):
    """An area as a file says it."""

    area: Area
    notes: list[Note]


class TakenUnit(BaseModel):
    """A unit that a line of the list was read as."""

    code: str
    vintage: date
    name: str


class TakenGroup(BaseModel):
    """A group of units that a line of the list was read as."""

    code: str
    name: str


class NamedLine(BaseModel):
    """One line of the list: what was taken for it, and what was assumed in doing so."""

    text: str
    units: list[TakenUnit]
    groups: list[TakenGroup]
    assumed: str | None
    message: Said
    suggestions: list[str]


class NamedArea(BaseModel):
    """The area that a list of names means."""

    area: Area
    lines: list[NamedLine]


class AreaProblemTold(BaseModel):
    """One thing wrong with an area, with its place, and the repair that would mend it."""

    code: str
    where: str
    message: Said
    at: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    """Longitude and latitude to look at on a map."""
    repair: str | None
    blocking: bool


class Checked(BaseModel):
    """Everything wrong with an area; nothing when it is empty."""

    problems: list[AreaProblemTold]


class Repaired(BaseModel):
    """The repaired area; null where an area cannot be counted."""

    area: Area
    applied: list[str]
    km2_before: float | None
    km2_after: float | None
    added_km2: float
    dropped_km2: float
    people_before: int | None
    people_after: int | None
    problems: list[AreaProblemTold]
    """What is still wrong."""


class PeopleChange(BaseModel):
    """What a change of area means for people; null where an area cannot be counted."""

    before: int | None
    after: int | None
    added: int | None
    dropped: int | None


class Simplified(BaseModel):
    """The simplified area."""

    area: Area
    points_before: int
    points: int
    added_km2: float
    dropped_km2: float
    people: PeopleChange
    problems: list[AreaProblemTold]
    """That it cannot have so few points, and how few it can have."""


def _asks(summary: str, answer: type[BaseModel], body: type[BaseModel] | None) -> Operation:
    return Operation(
        summary,
        {200: answer},
        body=body,
        most_bytes=MOST_BYTES,
        auth="official",
        refuses=(401, 403, 413, 422, 429, 503),
    )


@routes.post("/api/v1/audience")
@official()
@operation(_asks("Count the people of an area", Audience, AreaQuestion))
async def audience(request: web.Request) -> web.StreamResponse:
    """Count the people of an area by channel, language and unit."""
    counting.take(request)
    given, app = await read(request, AreaQuestion), request.app
    atlas = await app[GEOGRAPHY].atlas()
    await area_tools.draw(app[POOL], app[SELECTOR], given.area)
    async with app[POOL].acquire() as conn:
        found = await area_tools.count(conn, app[CLOCK](), _asked(app, given), atlas, given.area)
    return answered(
        Audience(
            people=found.people,
            channels=found.channels,
            languages=found.languages,
            units=[AudienceUnit(**_unit(one.unit), people=one.people) for one in found.units],
            by_unit_only=found.by_unit_only,
            ms=found.ms,
        )
    )


def _asked(
    app: web.Application,
    given: AreaQuestion | CompareQuestion | RepairQuestion | SimplifyQuestion,
) -> Asked:
    return asked(app[SELECTOR], exercise=given.exercise)


def _unit(row: UnitRow) -> dict[str, Any]:
    return {"code": row.code, "vintage": row.vintage, "name": row.name}


@routes.post("/api/v1/audience/compare")
@official()
@operation(_asks("Who a change of area adds, keeps and drops", Change, CompareQuestion))
async def compare(request: web.Request) -> web.StreamResponse:
    """Compare two areas, as an update needs it."""
    counting.take(request)
    given, app = await read(request, CompareQuestion), request.app
    await area_tools.draw(app[POOL], app[SELECTOR], given.before, given.after)
    async with app[POOL].acquire() as conn:
        found = await area_tools.compare(
            conn, app[CLOCK](), _asked(app, given), given.before, given.after
        )
    return answered(Change(added=found.added, kept=found.kept, dropped=found.dropped))


@routes.post("/api/v1/areas/read")
@official()
@operation(
    Operation(
        "Read an area from a file: GeoJSON, Shapefile, GeoPackage, KML, TopoJSON or CAP",
        {200: ReadArea},
        file_bytes=uploads.MOST_FILE,
        query=(Query("name", "The file's name, when the body is the file.", {"type": "string"}),),
        auth="official",
        refuses=(401, 403, 413, 422),
    )
)
async def read_file(request: web.Request) -> web.StreamResponse:
    """Read an area from an uploaded file, or from the body as it is."""
    atlas = await request.app[GEOGRAPHY].atlas()
    found = await area_tools.read(atlas, await uploads.uploaded(request))
    notes = [
        Note(code=one.code, message=Said(vi=one.message_vi, en=one.message_en))
        for one in found.notes
    ]
    return answered(ReadArea(area=found.area, notes=notes))


@routes.post("/api/v1/areas/names")
@official()
@operation(_asks("Read an area from a list of names", NamedArea, NamesQuestion))
async def names(request: web.Request) -> web.StreamResponse:
    """Say what a pasted list of names means, line by line."""
    given = await read(request, NamesQuestion)
    found = await area_tools.names(await request.app[GEOGRAPHY].atlas(), given.text)
    return answered(NamedArea(area=found.area, lines=[_line(line) for line in found.lines]))


def _line(line: area_answers.NamedLine) -> NamedLine:
    return NamedLine(
        text=line.text,
        units=[TakenUnit(**_unit(unit)) for unit in line.units],
        groups=[_group(group) for group in line.groups],
        assumed=line.assumed,
        message=Said(vi=line.message_vi, en=line.message_en),
        suggestions=list(line.suggestions),
    )


def _group(group: GroupRow) -> TakenGroup:
    return TakenGroup(code=group.code, name=group.name)


@routes.post("/api/v1/areas/check")
@official()
@operation(_asks("Everything wrong with an area", Checked, AreaQuestion))
async def check(request: web.Request) -> web.StreamResponse:
    """Check an area for the official who asks, nobody inside among the problems."""
    given, app = await read(request, AreaQuestion), request.app
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        found = await area_tools.check(
            conn, request[VISITOR].actor, app[CLOCK](), app[SELECTOR], atlas, given.area
        )
    return answered(Checked(problems=_told(found)))


def _told(problems: tuple[AreaProblem, ...]) -> list[AreaProblemTold]:
    return [AreaProblemTold(**area_tools.problem_json(one)) for one in problems]


@routes.post("/api/v1/areas/repair")
@official()
@operation(_asks("Repair an area; nothing is saved", Repaired, RepairQuestion))
async def repair(request: web.Request) -> web.StreamResponse:
    """Apply repairs, and say what they change."""
    given, app = await read(request, RepairQuestion), request.app
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        found = await area_tools.repair(
            conn,
            request[VISITOR].actor,
            app[CLOCK](),
            _asked(app, given),
            atlas,
            given.area,
            given.repairs,
        )
    return answered(
        Repaired(
            area=found.area,
            applied=list(found.applied),
            km2_before=found.km2_before,
            km2_after=found.km2_after,
            added_km2=found.added_km2,
            dropped_km2=found.dropped_km2,
            people_before=found.people_before,
            people_after=found.people_after,
            problems=_told(found.problems),
        )
    )


@routes.post("/api/v1/areas/simplify")
@official()
@operation(_asks("Simplify an area to a number of points", Simplified, SimplifyQuestion))
async def simplify(request: web.Request) -> web.StreamResponse:
    """Simplify an area, and say whom that adds and drops."""
    given, app = await read(request, SimplifyQuestion), request.app
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        found = await area_tools.simplify(
            conn, app[CLOCK](), _asked(app, given), atlas, given.area, given.max_points
        )
    return answered(
        Simplified(
            area=found.area,
            points_before=found.points_before,
            points=found.points,
            added_km2=found.added_km2,
            dropped_km2=found.dropped_km2,
            people=PeopleChange(
                before=found.people.before,
                after=found.people.after,
                added=found.people.added,
                dropped=found.people.dropped,
            ),
            problems=_told(found.problems),
        )
    )
