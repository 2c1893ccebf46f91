"""The duty table: every unit of the official's reach, and how it stands with its notices."""

from __future__ import annotations

from aiohttp import web

from broadcaster.cadence import duty
from broadcaster.people.officials import ROLES, authority
from broadcaster.web.console import frame
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.security import official

routes = web.RouteTableDef()
_STATUSES = ("overdue", "due_soon", "on_time")


@routes.get("/console/duty")
@official()
async def table(request: web.Request) -> web.StreamResponse:
    """Show all units by status, the most pressing first."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    chosen = request.query.get("status", "")
    async with request.app[POOL].acquire() as conn:
        duties = await duty.duty_table(conn, now, await authority(conn, actor, *ROLES))
        counts = {status: sum(1 for one in duties if one.status == status) for status in _STATUSES}
        return await frame.screen(
            request,
            conn,
            "duty.html",
            "duty",
            duties=[one for one in duties if chosen not in _STATUSES or one.status == chosen],
            every=duties,
            counts=counts,
            chosen=chosen if chosen in _STATUSES else "",
            atlas=await request.app[GEOGRAPHY].atlas(),
        )
