"""The list of alerts: everything of the official's area, newest first."""

from __future__ import annotations

import re

from aiohttp import web

from broadcaster.alerts import draft
from broadcaster.fanout.progress import progress
from broadcaster.states import AlertState
from broadcaster.web.console import frame
from broadcaster.web.console.delivery import total_of
from broadcaster.web.keys import GEOGRAPHY, POOL
from broadcaster.web.security import official

routes = web.RouteTableDef()
_PAGE = 50
_NUMBER = re.compile("[0-9]{1,18}")
"""What fits a bigint."""
_FILTERS: dict[str, tuple[AlertState, ...]] = {
    "": (),
    "live": (AlertState.APPROVED, AlertState.SCHEDULED, AlertState.SENDING, AlertState.SENT),
    "work": (AlertState.DRAFT, AlertState.SUBMITTED, AlertState.RETURNED),
    "over": (AlertState.STOPPED, AlertState.EXPIRED, AlertState.REJECTED),
}


@routes.get("/console/alerts")
@official()
async def alerts(request: web.Request) -> web.StreamResponse:
    """Show a page of alerts."""
    chosen = request.query.get("show", "")
    before = request.query.get("before", "")
    async with request.app[POOL].acquire() as conn:
        found = await draft.listing(
            conn,
            frame.actor_of(request),
            states=_FILTERS.get(chosen, ()),
            limit=_PAGE,
            before=int(before) if _NUMBER.fullmatch(before) else None,
        )
        return await frame.screen(
            request,
            conn,
            "alerts.html",
            "alerts",
            alerts=[(one, total_of(await progress(conn, one.alert_id))) for one in found],
            chosen=chosen if chosen in _FILTERS else "",
            more=found[-1].alert_id if len(found) == _PAGE else None,
            atlas=await request.app[GEOGRAPHY].atlas(),
        )
