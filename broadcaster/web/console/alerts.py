"""The list of alerts: everything of the official's area, newest first."""

from __future__ import annotations

import re

from aiohttp import web

from broadcaster.alerts import draft, standing
from broadcaster.fanout.progress import progress
from broadcaster.states import AlertState
from broadcaster.web.console import frame
from broadcaster.web.console.delivery import total_of
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.security import official

routes = web.RouteTableDef()
_PAGE = 50
_NUMBER = re.compile("[0-9]{1,18}")
"""What fits a bigint."""
_SHOWN = ("", "live", "work", "over")
_WORK = (AlertState.DRAFT, AlertState.SUBMITTED, AlertState.RETURNED)


@routes.get("/console/alerts")
@official()
async def alerts(request: web.Request) -> web.StreamResponse:
    """Show a page of alerts."""
    chosen = request.query.get("show", "")
    before = request.query.get("before", "")
    now = request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        found = await draft.listing(
            conn,
            frame.actor_of(request),
            states=_WORK if chosen == "work" else (),
            limit=_PAGE,
            before=int(before) if _NUMBER.fullmatch(before) else None,
            live_at=now if chosen == "live" else None,
            over_at=now if chosen == "over" else None,
        )
        return await frame.screen(
            request,
            conn,
            "alerts.html",
            "alerts",
            alerts=[(one, total_of(await progress(conn, one.alert_id))) for one in found],
            stands=await standing.stands(conn, now, [one.alert_id for one in found]),
            chosen=chosen if chosen in _SHOWN else "",
            more=found[-1].alert_id if len(found) == _PAGE else None,
            atlas=await request.app[GEOGRAPHY].atlas(),
        )
