"""People who are registered: how many and how they are reached, and one of them for a reason."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiohttp import web

from broadcaster.errors import NotFound, Refused
from broadcaster.fanout import lookup, whom
from broadcaster.fanout.lookup import Found
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.received import Cursor
from broadcaster.people import officials
from broadcaster.web import counting, i18n
from broadcaster.web.console import frame
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.geography import Atlas, unit_name
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL, SELECTOR
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
PAGE = "/console/people"
_COUNT = ("admin", "monitor", *whom.ROLES)


@routes.get(PAGE)
@official(*_COUNT)
async def people(request: web.Request) -> web.StreamResponse:
    """Show how many are registered in one's units; who may, asks for one person."""
    return await _shown(request)


async def _shown(
    request: web.Request,
    *,
    found: Found | None = None,
    refusal: Refused | None = None,
    asked: dict[str, str] | None = None,
) -> web.Response:
    app, actor = request.app, frame.actor_of(request)
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        reach = await officials.authority(conn, actor, *_COUNT)
        unit = _unit(request, atlas, reach)
        counting.take(request)
        area = _area(atlas, [unit] if unit else reach)
        counts = await app[SELECTOR].count(conn, app[CLOCK](), area) if area else None
        rows = sorted(
            ((atlas.name(one), number) for one, number in counts.by_unit.items() if one in reach),
            key=lambda one: one[0],
        ) if counts else []  # fmt: skip
        return await frame.screen(
            request, conn, "people.html", "people", status_of(refusal) if refusal else 200,
            counts=counts, rows=rows, channels=CHANNELS, units=atlas.of(reach), unit=unit,
            unit_name=unit_name, atlas=atlas, found=found, asked=asked or {"who": "", "reason": ""},
            may_look=any(actor.holds(role) for role in whom.ROLES),
            of_lang=0 if i18n.language() == "vi" else 1,
            problem=refusal.message(i18n.language()) if refusal else "",
            wrong=refusal.details.get("where", "") if refusal else "",
        )  # fmt: skip


def _unit(request: web.Request, atlas: Atlas, reach: frozenset[int]) -> int | None:
    given = request.query.get("unit", "")
    if not given:
        return None
    unit = posted_number(given, "unit")
    if unit not in reach or unit not in atlas.units:
        raise NotFound(
            "no_unit", "Không có đơn vị này trong phạm vi của bạn.", "No such unit of yours."
        )
    return unit


def _area(atlas: Atlas, units: Any) -> dict[str, Any] | None:
    """Return the area of some units: the city alone where it is among them."""
    rows = atlas.of(units)
    tops = [row for row in rows if row.kind == "city"] or rows
    if not tops:
        return None
    return {"units": [{"code": one.code, "vintage": one.vintage.isoformat()} for one in tops]}


@routes.post(PAGE)
@official(*whom.ROLES)
async def look_up(request: web.Request) -> web.StreamResponse:
    """Look somebody up, with the reason; an address never stands in that of a page."""
    app, actor, fields = request.app, frame.actor_of(request), await request.post()
    asked = {name: str(fields.get(name, "")).strip() for name in ("who", "reason")}
    try:
        async with app[POOL].acquire() as conn, conn.transaction():
            found = await lookup.look_up(
                conn, app[KEYRING], actor, app[CLOCK](), asked["who"], asked["reason"],
                _cursor(str(fields.get("before", "")), str(fields.get("before_alert", ""))),
            )  # fmt: skip
    except Refused as refusal:
        return await _shown(request, refusal=refusal, asked=asked)
    return await _shown(request, found=found, asked=asked)


def _cursor(at: str, alert_id: str) -> Cursor | None:
    """Return where the page before ended; anything else begins anew."""
    try:
        moment, number = datetime.fromisoformat(at), int(alert_id)
    except ValueError:
        return None
    return Cursor(moment, number) if moment.tzinfo and 0 <= number < 2**63 else None
