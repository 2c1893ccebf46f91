"""Templates and scenarios for programs: which words hold for a unit, the linter, and using one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from broadcaster.alerts import scenarios, template_store
from broadcaster.alerts.template_store import Chosen
from broadcaster.db import Conn, transaction
from broadcaster.errors import NotFound, Refused
from broadcaster.people.officials import IN_FORCE
from broadcaster.web.api.operation import Operation, Query, answered, operation, read
from broadcaster.web.keys import CLOCK, POOL, VISITOR
from broadcaster.web.security import official
from templates import catalogue, document
from templates.files import CatalogueError

routes = web.RouteTableDef()
_UNIT = Query(
    "unit", "code of the unit it is asked for; without it, what ships", {"type": "string"}
)


class Said(BaseModel):
    """The same in both languages."""

    vi: str
    en: str


class TemplateHolds(BaseModel):
    """The template of one event that holds."""

    code: str
    id: int | None
    """Null: the one that ships with the service."""
    version: int
    digest: str
    """SHA-256 of the document."""
    name: Said
    alert_class: Annotated[str, Field(serialization_alias="class")]
    hours: int
    document: dict[str, Any] | None = None


class TemplateList(BaseModel):
    """Every event's template that holds for the unit."""

    templates: list[TemplateHolds]


class LintQuestion(BaseModel):
    """A template as `GET /api/v1/templates/{code}` gives it."""

    model_config = ConfigDict(extra="forbid")

    document: dict[str, Any]


class LintFinding(BaseModel):
    """One thing the linter found, with its place and its remedy."""

    code: str
    blocking: bool
    lang: str
    piece: str
    line: int
    column: int
    message: Said
    remedy: Said


class LintAnswer(BaseModel):
    """What the linter says; blocked while anything must be mended."""

    blocked: bool
    findings: list[LintFinding]


class ScenarioSummary(BaseModel):
    """A scenario that can be used, and what it asks for."""

    id: int
    code: str
    version: int
    name: Said
    unit: Said
    event: str
    ask: list[str]
    stale: list[str]
    """Of template, area, policy: what is another today than when it was reviewed."""


class ScenarioList(BaseModel):
    """The scenarios in force on the shelves one sees."""

    scenarios: list[ScenarioSummary]


class ScenarioUse(BaseModel):
    """The values a scenario asks for."""

    model_config = ConfigDict(extra="forbid")

    values: Annotated[dict[str, Any], Field(max_length=40)] = {}
    exercise: bool | None = None
    """Whether it is an exercise, for ever; null: as the unit's session makes of what is begun."""


class DraftMade(BaseModel):
    """The draft that was made."""

    alert_id: int
    code: str
    version: int
    status: Literal["Actual", "Exercise"]


@routes.get("/api/v1/templates")
@official()
@operation(
    Operation(
        "The template of every event that holds for a unit",
        {200: TemplateList}, query=(_UNIT,), auth="official", refuses=(401, 404),
    )
)  # fmt: skip
async def listing(request: web.Request) -> web.StreamResponse:
    """List what holds for a unit, without the documents."""
    async with request.app[POOL].acquire() as conn:
        unit_id = await _unit(conn, request.query.get("unit", ""))
        found = [
            await template_store.in_force(conn, unit_id, code)
            if unit_id else template_store.shipped(code)
            for code in sorted(catalogue.load().events)
        ]  # fmt: skip
    return answered(TemplateList(templates=[_holds(one) for one in found]))


@routes.get("/api/v1/templates/{code}")
@official()
@operation(
    Operation(
        "One event's template that holds for a unit, whole",
        {200: TemplateHolds}, query=(_UNIT,), auth="official", refuses=(401, 404),
    )
)  # fmt: skip
async def one(request: web.Request) -> web.StreamResponse:
    """Return a template with its document, as it is imported and linted."""
    code = request.match_info["code"]
    async with request.app[POOL].acquire() as conn:
        unit_id = await _unit(conn, request.query.get("unit", ""))
        found = (
            await template_store.in_force(conn, unit_id, code)
            if unit_id else template_store.shipped(code)
        )  # fmt: skip
    return answered(_holds(found, whole=True))


async def _unit(conn: Conn, code: str) -> int | None:
    if not code:
        return None
    unit_id: int | None = await conn.fetchval(
        f"SELECT unit_id FROM unit WHERE code = $1 AND {IN_FORCE}", code
    )
    if unit_id is None:
        raise NotFound(
            "unit_not_found",
            "Không có đơn vị này. Kiểm tra lại mã.",
            "There is no such unit. Check its code.",
        )
    return unit_id


def _holds(chosen: Chosen, *, whole: bool = False) -> TemplateHolds:
    event = chosen.event
    return TemplateHolds(
        **chosen.used.model_dump(),
        name=Said(vi=event.name.vi, en=event.name.en),
        alert_class=event.default_class,
        hours=event.default_expiry_hours,
        document=chosen.document.as_json() if whole else None,
    )


@routes.post("/api/v1/templates/lint")
@official("author", "approver")
@operation(
    Operation(
        "What is wrong with a template, with the place and the remedy of each",
        {200: LintAnswer}, body=LintQuestion, most_bytes=64_000, auth="official",
        refuses=(401, 403, 413, 422),
    )
)  # fmt: skip
async def lint(request: web.Request) -> web.StreamResponse:
    """Lint a document; nothing is kept."""
    given = await read(request, LintQuestion)
    try:
        written = document.from_json(given.document)
    except CatalogueError as error:
        raise Refused(
            "unreadable",
            f"Không đọc được mẫu: {error}.",
            f"The template cannot be read: {error}.",
        ) from error
    report = await template_store.linted_aside(written)
    return answered(
        LintAnswer(
            blocked=report.blocked,
            findings=[
                LintFinding(
                    code=found.code, blocking=found.blocking, lang=found.place.lang,
                    piece=found.place.piece, line=found.place.line, column=found.place.column,
                    message=Said(vi=found.message_vi, en=found.message_en),
                    remedy=Said(vi=found.remedy_vi, en=found.remedy_en),
                )
                for found in report.findings
            ],
        )
    )  # fmt: skip


@routes.get("/api/v1/scenarios")
@official()
@operation(
    Operation(
        "Scenarios that can be used, and what each asks for",
        {200: ScenarioList}, auth="official", refuses=(401,),
    )
)  # fmt: skip
async def prepared(request: web.Request) -> web.StreamResponse:
    """List the scenarios in force that the official sees."""
    async with request.app[POOL].acquire() as conn:
        found = await scenarios.listing(conn, request[VISITOR].actor)
    return answered(
        ScenarioList(
            scenarios=[
                ScenarioSummary(
                    id=one.item.item_id, code=one.item.code, version=one.version.version,
                    name=Said(vi=one.scenario.name.vi, en=one.scenario.name.en),
                    unit=Said(vi=one.item.unit_name, en=one.item.unit_name_en),
                    event=one.scenario.event, ask=list(one.scenario.ask), stale=list(one.stale),
                )
                for one in found
                if one.item.in_force is not None
            ]
        )
    )  # fmt: skip


@routes.post("/api/v1/scenarios/{id:[0-9]{1,9}}/drafts")
@official("author")
@operation(
    Operation(
        "Make a draft of a scenario with the values it asks for",
        {201: DraftMade}, body=ScenarioUse, auth="official",
        refuses=(401, 403, 404, 413, 422),
    )
)  # fmt: skip
async def use(request: web.Request) -> web.StreamResponse:
    """Make the draft; it is checked and approved like any other."""
    given = await read(request, ScenarioUse)
    actor, now = request[VISITOR].actor, request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        made = await scenarios.draft(
            conn, actor, now, int(request.match_info["id"]), given.values,
            as_exercise=given.exercise,
        )  # fmt: skip
    said = DraftMade(
        alert_id=made.alert_id, code=made.code, version=made.version, status=made.status
    )
    return answered(said, 201)
