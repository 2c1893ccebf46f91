"""Today: what needs this official, and nothing else."""

from __future__ import annotations

from aiohttp import web

from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.fanout.progress import ChannelProgress, progress
from broadcaster.incidents import board
from broadcaster.states import AlertState
from broadcaster.web.console import frame
from broadcaster.web.console.delivery import Delivery, total_of
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.security import official

routes = web.RouteTableDef()
_LIVE = (AlertState.APPROVED, AlertState.SCHEDULED, AlertState.SENDING, AlertState.SENT)
_SHOWN = 8


@routes.get("/console")
@official()
async def today(request: web.Request) -> web.StreamResponse:
    """Show what waits: approvals, returned drafts, live alerts, incidents, duties."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        waiting = await frame.needs(conn, actor, now)
        drafts = await draft.listing(conn, actor, states=[AlertState.DRAFT], limit=50)
        live = await draft.listing(conn, actor, states=_LIVE, limit=20)
        return await frame.screen(
            request,
            conn,
            "today.html",
            "today",
            needs=waiting,
            waiting=waiting,
            drafts=[alert for alert in drafts if alert.author_id == actor.official_id][:_SHOWN],
            live=[(alert, await _delivery(conn, alert)) for alert in live],
            incidents=(await board.list_incidents(conn, actor, board.Filters(), limit=4)).incidents,
            duties=(waiting.overdue + waiting.due_soon)[:_SHOWN],
            atlas=await request.app[GEOGRAPHY].atlas(),
        )


async def _delivery(conn: Conn, alert: Alert) -> Delivery:
    channels: list[ChannelProgress] = await progress(conn, alert.alert_id)
    return total_of(channels)
