"""The tools an area is made with: names, files, checks, repairs and simplifying.

Each shows what it would do, and the official takes it or leaves it: nothing is saved here. The
page draws the areas that come back; the words come as ready pieces of page.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import shapely
from aiohttp import web
from shapely.geometry.base import BaseGeometry

from broadcaster.errors import Refused
from broadcaster.people.exercise_selection import Asked, asked
from broadcaster.web import area_tools, i18n, render, uploads
from broadcaster.web.area_answers import NamedLine
from broadcaster.web.area_tools import AreaJson
from broadcaster.web.console import frame
from broadcaster.web.console.figures import answer_json, posted, posted_area
from broadcaster.web.geography import Atlas, group_name, unit_name
from broadcaster.web.i18n import gettext as _
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL, SELECTOR
from broadcaster.web.security import official
from targeting.area import Area
from targeting.errors import AreaError, AreaProblem
from targeting.metric import area_km2
from targeting.rings import count_points

routes = web.RouteTableDef()
_MANY_POINTS = 2_000
"""From here on a border is slow to count and slower to move by hand."""
_ENOUGH_POINTS = 1_000
_DECIMALS = 5
_EMPTY = "empty_area"
_GROUND = frozenset({"outside_jurisdiction", "beyond_jurisdiction"})


@routes.post("/console/area/names")
@official("author", "approver")
async def names(request: web.Request) -> web.StreamResponse:
    """Say what a pasted list of names means, line by line."""
    text = str((await posted(request)).get("text", ""))
    named = await area_tools.names(await request.app[GEOGRAPHY].atlas(), text)
    # What was not taken comes first: it is what the official has to look at.
    lines = sorted((_line(one) for one in named.lines), key=lambda line: bool(line["places"]))
    return _proposed(request, "area_named.html", named.area, lines=lines)


def _line(line: NamedLine) -> dict[str, Any]:
    places = [group_name(group) for group in line.groups] + [unit_name(unit) for unit in line.units]
    message = line.message_vi if i18n.language() == "vi" else line.message_en
    return {
        "text": line.text,
        "places": places,
        "assumed": line.assumed,
        "message": message if line.assumed else "",
        "suggestions": line.suggestions,
        "row": line.row,
    }


@routes.post("/console/area/read")
@official("author", "approver")
async def read(request: web.Request) -> web.StreamResponse:
    """Read an area from a file, sent as it is; its name stands in the query."""
    file = await uploads.uploaded(request)
    atlas = await request.app[GEOGRAPHY].atlas()
    name = unquote(request.query.get("name", ""))
    found = await area_tools.read(atlas, uploads.File(name, file.data))
    parsed = Area.from_json(found.area)
    km2 = await asyncio.to_thread(_km2, parsed, atlas)
    app = request.app
    async with app[POOL].acquire() as conn:
        problems = await area_tools.check(
            conn, frame.actor_of(request), app[CLOCK](), app[SELECTOR], atlas, found.area
        )
    notes = [*found.notes, *(one for one in problems if one.code in _GROUND)]
    return _proposed(
        request, "area_read.html", found.area,
        name=name, notes=notes, area=parsed, points=_points(parsed), km2=km2,
    )  # fmt: skip


@routes.post("/console/area/check")
@official("author", "approver")
async def check(request: web.Request) -> web.StreamResponse:
    """Say what is wrong with an area, where, and what would mend it; draw its lines' shapes."""
    app, area = request.app, await posted_area(request)
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        found = await area_tools.check(
            conn, frame.actor_of(request), app[CLOCK](), app[SELECTOR], atlas, area
        )
    points = _points(Area.from_json(area))
    html = render.text(
        request,
        "console/area_problems.html",
        problems=[_shown(one) for one in found if one.code != _EMPTY or _names_something(area)],
        points=points if points > _MANY_POINTS else 0,
        enough=_ENOUGH_POINTS,
    )
    shapes = await asyncio.to_thread(_line_shapes, area, atlas)
    return answer_json({"html": html, "lines": shapes})


@routes.post("/console/area/repair")
@official("author", "approver")
async def repair(request: web.Request) -> web.StreamResponse:
    """Say what a repair would change."""
    app, document = request.app, await posted(request)
    wanted = document.get("repairs")
    chosen = [str(one) for one in wanted] if isinstance(wanted, list) else None
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        mended = await area_tools.repair(
            conn, frame.actor_of(request), app[CLOCK](), _asked(request, document), atlas,
            document.get("area") or {}, chosen,
        )  # fmt: skip
    left = [_shown(one) for one in mended.problems]
    return _proposed(request, "area_repaired.html", mended.area, mended=mended, left=left)


@routes.post("/console/area/simplify")
@official("author", "approver")
async def simplify(request: web.Request) -> web.StreamResponse:
    """Say what fewer points would change."""
    app, document = request.app, await posted(request)
    most = document.get("max_points")
    if not isinstance(most, int) or not 4 <= most <= 50_000:
        raise Refused(
            "bad_points",
            "Số điểm phải từ 4 đến 50.000. Sửa số rồi thử lại.",
            "The number of points must be from 4 to 50,000. Correct it and try again.",
            where="max_points",
        )
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        simpler = await area_tools.simplify(
            conn, app[CLOCK](), _asked(request, document), atlas, document.get("area") or {}, most
        )
    left = [_say(one) for one in simpler.problems]
    return _proposed(request, "area_simplified.html", simpler.area, simpler=simpler, left=left)


def _asked(request: web.Request, document: dict[str, Any]) -> Asked:
    """Return who is counted: of an exercise, those it goes to."""
    return asked(request.app[SELECTOR], exercise=document.get("exercise") is True)


def _proposed(
    request: web.Request, template: str, proposal: AreaJson, **context: Any
) -> web.Response:
    html = render.text(request, f"console/{template}", **context)
    return answer_json({"html": html, "area": proposal})


def _shown(problem: AreaProblem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "text": _say(problem),
        "part": _part(problem.where),
        "at": f"{problem.at[0]},{problem.at[1]}" if problem.at else "",
        "repair": problem.repair or "",
        "blocking": problem.blocking,
    }


def _say(problem: AreaProblem) -> str:
    return problem.message_vi if i18n.language() == "vi" else problem.message_en


def _part(where: str) -> str:
    """Name the part of the area that `where` (exclusions.polygons[0]) means."""
    kind = where.removeprefix("exclusions.").partition("[")[0]
    words = {
        "polygons": _("Drawn shape"),
        "circles": _("Circle"),
        "lines": _("Along a line"),
        "units": _("Unit"),
        "groups": _("Former district"),
    }
    word = words.get(kind, _("The whole area"))
    return f"{_('Taken out')}: {word}" if where.startswith("exclusions.") else word


def _names_something(area: AreaJson) -> bool:
    """Tell whether an area is empty for another reason than that nothing was chosen yet."""
    return any(value for key, value in area.items() if key != "exclusions")


def _points(area: Area) -> int:
    return count_points(area.include.polygons + area.exclude.polygons)


def _km2(area: Area, atlas: Atlas) -> float | None:
    try:
        return area_km2(area.shape(atlas.map.outlines))
    except AreaError:
        return None


def _line_shapes(area: AreaJson, atlas: Atlas) -> dict[str, list[Any]]:
    """Return for each side the shape around each of its lines; null for a line with a problem."""
    taken_out = area.get("exclusions") or {}
    sides = {"add": area.get("lines") or [], "minus": taken_out.get("lines") or []}
    return {
        side: [_line_shape(line, atlas) for line in lines] for side, lines in sides.items() if lines
    }


def _line_shape(line: Any, atlas: Atlas) -> Any:
    try:
        return _geometry(Area.from_json({"lines": [line]}).shape(atlas.map.outlines))
    except AreaError:
        return None


def _geometry(shape: BaseGeometry) -> Any:
    return shapely.transform(shape, lambda xy: xy.round(_DECIMALS)).__geo_interface__
