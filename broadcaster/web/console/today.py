"""Today: what needs this official, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from broadcaster.alerts import draft, standing
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.waiting import next_asked
from broadcaster.db import Conn
from broadcaster.fanout.progress import progress_of
from broadcaster.incidents import board
from broadcaster.people.officials import Actor, authority_so_far
from broadcaster.web.console import frame
from broadcaster.web.console.delivery import Delivery, total_of
from broadcaster.web.console.followups import SENDERS
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.security import official

routes = web.RouteTableDef()
_SHOWN = 8
_LIVE = 20
_INCIDENTS = 4


@dataclass(frozen=True, slots=True)
class Live:
    """An alert on its way or in force, how far it is, and whether the official may act on it."""

    alert: Alert
    delivery: Delivery
    may_act: bool


@routes.get("/console")
@official()
async def today(request: web.Request) -> web.StreamResponse:
    """Show what waits: approvals, returned drafts, live alerts, incidents, duties."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        waiting = await frame.needs(conn, actor, now)
        live = await _live(conn, actor, now, waiting.visible)
        listed = await board.list_incidents(conn, actor, board.Filters(), limit=_INCIDENTS)
        return await frame.screen(
            request,
            conn,
            "today.html",
            "today",
            needs=waiting,
            waiting=waiting,
            next_asked=await next_asked(conn, waiting.to_approve),
            drafts=await _drafts(conn, actor),
            live=live[:_LIVE],
            more_live=len(live) > _LIVE,
            incidents=listed.incidents,
            duties=(waiting.overdue + waiting.due_soon)[:_SHOWN],
            atlas=await request.app[GEOGRAPHY].atlas(),
        )


async def _live(conn: Conn, actor: Actor, now: datetime, visible: frozenset[int]) -> list[Live]:
    """Return what is on its way or in force: what is being sent first, then by class and time."""
    alerts = await draft.select(
        conn,
        f"WHERE {standing.live('a', '$2')} AND a.unit_id = ANY($1::integer[])"
        " ORDER BY a.status = 'Exercise', a.state IN ('approved', 'sending') DESC, a.lane,"
        " a.alert_id DESC LIMIT $3",
        list(visible),
        now,
        _LIVE + 1,
    )
    counts = await progress_of(conn, [alert.alert_id for alert in alerts])
    acts = await authority_so_far(conn, actor, *SENDERS)
    return [
        Live(alert, total_of(counts[alert.alert_id]), alert.unit_id in acts) for alert in alerts
    ]


async def _drafts(conn: Conn, actor: Actor) -> int:
    """Count what the official has begun to write and not sent for approval."""
    found: int = await conn.fetchval(
        "SELECT count(*) FROM alert WHERE state = 'draft' AND author_id = $1", actor.official_id
    )
    return found
