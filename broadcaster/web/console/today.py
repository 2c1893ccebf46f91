"""Today: what needs this official, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from broadcaster.alerts import approval_calls, draft, shelf_read, standing
from broadcaster.alerts.approval_calls import Called
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.shelf_read import Item, Version
from broadcaster.alerts.waiting import next_asked
from broadcaster.db import Conn
from broadcaster.fanout.progress import progress_of
from broadcaster.incidents import board
from broadcaster.people.officials import Actor, authority_so_far
from broadcaster.web import i18n
from broadcaster.web.console import frame
from broadcaster.web.console.delivery import Delivery, total_of
from broadcaster.web.console.followups import SENDERS
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL
from broadcaster.web.security import official
from templates import catalogue

routes = web.RouteTableDef()
_SHOWN = 8
_LIVE = 20
_INCIDENTS = 4
_SENT_OFF = 8
_ON_SHELF = 8


@dataclass(frozen=True, slots=True)
class Live:
    """An alert on its way or in force, how far it is, and whether the official may act on it."""

    alert: Alert
    delivery: Delivery
    may_act: bool


@dataclass(frozen=True, slots=True)
class SentOff:
    """What the official sent for approval and waits for: whom to call, and when others follow."""

    alert: Alert
    called: list[Called]


@dataclass(frozen=True, slots=True)
class OnShelf:
    """A template or scenario that waits for a review, or came back from one."""

    kind: shelf_read.Kind
    title: str
    version: Version
    unit_id: int
    came_back: bool


@routes.get("/console")
@official()
async def today(request: web.Request) -> web.StreamResponse:
    """Show what waits: approvals, returned drafts, live alerts, incidents, duties."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        waiting = await frame.needs(conn, actor, now)
        live = await _live(conn, actor, now, waiting.visible)
        sent_off = await _sent_off(conn, request, actor)
        undecided = [*waiting.to_approve, *(one.alert for one in sent_off)]
        listed = await board.list_incidents(conn, actor, board.Filters(), limit=_INCIDENTS)
        return await frame.screen(
            request,
            conn,
            "today.html",
            "today",
            needs=waiting,
            waiting=waiting,
            next_asked=await next_asked(conn, undecided),
            sent_off=sent_off,
            on_shelf=await _on_shelf(conn, actor),
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


async def _sent_off(conn: Conn, request: web.Request, actor: Actor) -> list[SentOff]:
    """Return what waits for others since the official sent it to them, the most urgent first."""
    alerts = await draft.select(
        conn,
        "WHERE a.state = 'submitted' AND (a.submitted_by = $1 OR a.author_id = $1)"
        " ORDER BY a.status = 'Exercise', a.lane, a.submitted_at LIMIT $2",
        actor.official_id,
        _SENT_OFF,
    )
    if not alerts:
        return []
    called = await approval_calls.called(conn, request.app[KEYRING], alerts)
    return [SentOff(alert, called[alert.alert_id]) for alert in alerts]


async def _on_shelf(conn: Conn, actor: Actor) -> list[OnShelf]:
    """Return the templates and scenarios that this official has to review or to mend."""
    if not (actor.holds("approver") or actor.holds("author")):
        return []
    kinds: tuple[shelf_read.Kind, ...] = ("template", "scenario")
    found: list[OnShelf] = []
    for kind in kinds:
        waits, back = await shelf_read.waiting(conn, actor, kind)
        for came_back, item in [(False, one) for one in waits] + [(True, one) for one in back]:
            if item.open_version is not None and len(found) < _ON_SHELF:
                version = await shelf_read.version(conn, kind, item.item_id, item.open_version)
                title = _title(kind, item, version)
                found.append(OnShelf(kind, title, version, item.unit_id, came_back))
    return found


def _title(kind: shelf_read.Kind, item: Item, version: Version) -> str:
    if kind == "template":
        return catalogue.load().events[item.code].name[i18n.language()]
    return str(version.document["name"][i18n.language()])


async def _drafts(conn: Conn, actor: Actor) -> int:
    """Count what the official has begun to write and not sent for approval."""
    found: int = await conn.fetchval(
        "SELECT count(*) FROM alert WHERE state = 'draft' AND author_id = $1", actor.official_id
    )
    return found
