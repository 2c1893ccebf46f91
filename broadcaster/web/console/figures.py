"""Figures beside the map: who an area reaches while it is drawn, and where people are."""

from __future__ import annotations

import contextlib
import gzip
import math
import struct
from typing import Any

import numpy as np
import orjson
from aiohttp import web

from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people.exercise_selection import asked
from broadcaster.web import area_tools, counting, formats, middleware, render
from broadcaster.web.area_tools import AreaRefused
from broadcaster.web.console import places
from broadcaster.web.console.places import Reach
from broadcaster.web.geography import Atlas
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL, SELECTOR
from broadcaster.web.security import official

routes = web.RouteTableDef()
_MOST_CELLS = 256
"""Along one side: a cell of four pixels on the widest screen that shows the map."""
_BOX = ("west", "south", "east", "north")
_HEAD = struct.Struct("<4d2I")


@routes.post("/console/audience")
@official("author", "approver")
async def audience(request: web.Request) -> web.StreamResponse:
    """Count the people of an area: figures alone while it moves, the panel once it lies still."""
    counting.take(request)
    given = await posted(request)
    area = given.get("area") or {}
    # What is wrong with the area is said with the figures; busy threads are said at once.
    with contextlib.suppress(AreaRefused):
        await area_tools.draw(request.app[POOL], request.app[SELECTOR], area)
    async with request.app[POOL].acquire() as conn:
        listed = given.get("exercise") is True
        found = await _reach(request, conn, area, exercise=listed)
    if middleware.wants_json(request):
        return answer_json(_figures(found))
    atlas = await request.app[GEOGRAPHY].atlas()
    return render.page(
        request, "console/compose_audience.html", for_listed=listed, **panel(found, atlas)
    )


async def _reach(
    request: web.Request, conn: Conn, area: dict[str, Any], *, exercise: bool
) -> Reach:
    app = request.app
    atlas = await app[GEOGRAPHY].atlas()
    return await places.reach(conn, app[CLOCK](), app[SELECTOR], atlas, area, exercise=exercise)


def panel(reach: Reach, atlas: Atlas) -> dict[str, Any]:
    """Return what the panel of figures shows."""
    return {
        "reach": reach,
        "reached_units": places.by_unit(reach, atlas),
        "area_problems": places.problem_texts(reach.problems),
        "empty_area": any(one.code == "empty_area" for one in reach.problems),
    }


def _figures(reach: Reach) -> dict[str, Any]:
    """Return the figures by the names their places on the page have; units by id, names apart.

    A rendered panel is three to ten times as long, and a hand on a shape asks seven times a
    second over a link that may be bad.
    """
    counts, covered = reach.counts, reach.covered
    if counts is None:
        return {"problems": places.problem_texts(reach.problems), "units": []}
    return {
        "people": counts.people,
        "channels": counts.by_channel,
        "languages": counts.by_lang,
        "unit_only": counts.by_unit_only,
        "residents": covered.residents,
        "share": formats.percent(reach.share),
        "whole": len(covered.whole),
        "partly": len(covered.partly),
        "units": [
            [unit_id, counts.by_unit.get(unit_id, 0), covered.percent[unit_id]]
            for unit_id in places.most_first(reach)
        ],
        "problems": [],
    }


@routes.get("/console/density")
@official()
async def density(request: web.Request) -> web.StreamResponse:
    """Answer with people per cell of a raster near the one asked for, in little-endian binary.

    With `exercise=1` those who take part in exercises are counted.

    First the raster's own west, south, east and north as 64-bit floats, its columns and rows as
    32-bit numbers, then a 32-bit number for each cell, row by row from the north-west.
    """
    west, south, east, north = (_degrees(request, name) for name in _BOX)
    cols, rows = (_cells(request, name) for name in ("cols", "rows"))
    if not (west < east and south < north):
        raise _bad("west, south, east, north")
    app, now = request.app, request.app[CLOCK]()
    people = asked(app[SELECTOR], exercise=request.query.get("exercise") == "1")
    async with app[POOL].acquire() as conn:
        raster = await people.raster(conn, now, (west, south, east, north), cols, rows)
        cells = await people.density(conn, now, *raster)
    box, cols, rows = raster
    body = _HEAD.pack(*box, cols, rows) + np.ascontiguousarray(cells[::-1], dtype="<u4").tobytes()
    # Every browser takes gzip, and most cells of a city are empty.
    return web.Response(
        body=gzip.compress(body, 1, mtime=0),
        content_type="application/octet-stream",
        headers={"Content-Encoding": "gzip", "Cache-Control": "private, max-age=30"},
    )


def _degrees(request: web.Request, name: str) -> float:
    try:
        value = float(request.query.get(name, ""))
    except ValueError as error:
        raise _bad(name) from error
    if not (math.isfinite(value) and abs(value) <= 180):
        raise _bad(name)
    return value


def _cells(request: web.Request, name: str) -> int:
    text = request.query.get(name, "")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 else 0
    if not 0 < number <= _MOST_CELLS:
        raise _bad(name)
    return number


def _bad(name: str) -> Refused:
    return Refused(
        "bad_box",
        f"Khung bản đồ không đọc được: {name}. Tải lại trang.",
        f"The map's frame cannot be read: {name}. Reload the page.",
        where=name,
    )


async def posted(request: web.Request) -> dict[str, Any]:
    """Read a posted JSON object; raises Refused."""
    try:
        document = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise Refused(
            "not_json", "Trang gửi dữ liệu hỏng. Tải lại trang.", "Broken data. Reload the page."
        )
    return document


async def posted_area(request: web.Request) -> dict[str, Any]:
    """Read the area of a posted document; an area that is none is found out by its reader."""
    return (await posted(request)).get("area") or {}


def answer_json(document: dict[str, Any]) -> web.Response:
    """Answer with a document that no cache keeps."""
    return web.Response(
        body=orjson.dumps(document),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
