"""One alert from approval on: progress without reloading, its trail, and stopping it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from broadcaster.alerts import authority, draft, escalation, followup, lifecycle
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, NotFound, Refused
from broadcaster.fanout import against, change, quiet, reach_series
from broadcaster.fanout.audience import AudienceBrokenError
from broadcaster.fanout.obstacles import Obstacle, obstacles
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.progress import ChannelProgress, progress, reach
from broadcaster.incidents import board
from broadcaster.states import AlertState
from broadcaster.web import i18n, render
from broadcaster.web.console import approvers, delivery, followups, frame, live_parts
from broadcaster.web.kept import Kept as Cache
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
_MOVING = frozenset({AlertState.APPROVED, AlertState.SCHEDULED, AlertState.SENDING})
_REPLIES = 5
# People are frozen once: who has counted them need not count them again each second.
_differences: Cache[int, change.Counts] = Cache(64)
_STOP_POLLING = 286
"""htmx takes this status as: swap the answer in, and ask no more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What somebody sent that was refused."""

    form: str
    """stop, cancel or correct."""
    reason: str
    refusal: Refused


@routes.get("/console/alerts/{code}")
@official()
async def live(request: web.Request) -> web.StreamResponse:
    """Show one alert and how far it is."""
    return await _page(request)


async def _page(request: web.Request, kept: Kept | None = None) -> web.Response:
    actor = frame.actor_of(request)
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        approved = await _approved(conn, loaded.alert)
        following = await _following(conn, request, loaded.alert, approved)
        facts = await _facts(conn, request, loaded, approved)
        first, have = live_parts.pieces(request, facts, ())
        return await frame.screen(
            request,
            conn,
            "live.html",
            "alerts",
            status_of(kept.refusal) if kept else 200,
            kept=kept,
            problem=kept.refusal.message(i18n.language()) if kept else "",
            **facts,
            **following,
            **await _awaited(conn, loaded.alert),
            way_to_stop=following["may_stop"],
            follow_again=False,
            first=first,
            have=have,
            changed={},
            content=loaded.content,
            drawn_channels=[one for one in CHANNELS if one in loaded.content.channels],
            may_export=approved is not None,
            may_edit=loaded.alert.state in (AlertState.DRAFT, AlertState.RETURNED)
            and actor.holds("author"),
        )


@routes.get("/console/alerts/{code}/progress")
@official()
async def fragment(request: web.Request) -> web.StreamResponse:
    """Answer the page's poll: the figures, the bars and the trail."""
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, frame.actor_of(request), request.match_info["code"])
        approved = await _approved(conn, loaded.alert)
        facts = await _facts(conn, request, loaded, approved)
        follow_again = request.query.get("seen") != loaded.alert.state
        if follow_again:
            facts |= await _following(conn, request, loaded.alert, approved)
    status = 200 if facts["moving"] else _STOP_POLLING
    changed: dict[str, str] = {}
    have = request.query.get("have", "")
    if have:
        changed, have = live_parts.pieces(request, facts, have.split())
    return render.page(
        request,
        "console/live_progress.html",
        status,
        way_to_stop="way_to_stop" in request.query,
        follow_again=follow_again,
        kept=None,
        have=have,
        changed=changed,
        **facts,
    )


@routes.get("/console/alerts/{code}/reach")
@official()
async def reached(request: web.Request) -> web.StreamResponse:
    """Answer with the lines of the plot."""
    async with request.app[POOL].acquire() as conn:
        alert = (await draft.load(conn, frame.actor_of(request), request.match_info["code"])).alert
        facts = await against.of_alert(conn, alert, None, None)
    began = alert.started_at
    seconds = (request.app[CLOCK]() - began).total_seconds() if began else 0.0
    return web.json_response(live_parts.plot(facts, alert, seconds))


async def _awaited(conn: Conn, alert: draft.Alert) -> dict[str, Any]:
    """Return who may approve and who was asked, while that is what an alert waits for."""
    if alert.state is not AlertState.SUBMITTED:
        return {"asking": None}
    return {
        "asking": await escalation.progress(conn, alert),
        "approvers": approvers.said(await authority.of_alert(conn, alert)),
    }


async def _approved(conn: Conn, alert: draft.Alert) -> Snapshot | None:
    if alert.approved_at is None:
        return None
    return await lifecycle.snapshot(conn, alert.alert_id)


async def _following(
    conn: Conn, request: web.Request, alert: draft.Alert, approved: Snapshot | None
) -> dict[str, Any]:
    """Return what may be done next with an alert in the state it is in."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    content = approved.content if approved else None
    return {
        "follow": await followups.look(conn, actor, now, alert, content),
        "may_give_up": followups.may_be_given_up(actor, alert),
        "may_stop": alert.state in _MOVING and any(actor.holds(role) for role in followups.SENDERS),
    }


async def _facts(
    conn: Conn, request: web.Request, loaded: draft.Draft, approved: Snapshot | None
) -> dict[str, Any]:
    alert = loaded.alert
    atlas = await request.app[GEOGRAPHY].atlas_for(
        loaded.content.area, approved.document if approved else None
    )
    parts = await live_parts.gather(conn, alert, approved, atlas)
    channels = await progress(conn, alert.alert_id)
    actor, answers = (
        frame.actor_of(request),
        board.Filters(states=(), alert_id=alert.alert_id, exercise=None),
    )
    now = request.app[CLOCK]()
    whole = delivery.total_of(channels)
    # Receipts go on arriving after the last hand-off, and what a stopped or expired alert has not
    # handed off is closed a moment later: the page keeps up until the figures stand.
    open_ends = whole.pending + whole.unknown
    if alert.state is AlertState.SENT:
        open_ends += whole.handed_off
    # Communes are counted a moment after the last message moved.
    counted = parts["communes"]
    behind = bool(whole.total) and (counted is None or not counted.tally.exact)
    followed = alert.started_at and now - alert.started_at < reach_series.FOLLOWED
    moving = alert.state in _MOVING or open_ends > 0 or bool(behind and followed)
    end = alert.sent_at or alert.ended_at or now
    return {
        **parts,
        "atlas": atlas,
        "refused": alert.state in (AlertState.RETURNED, AlertState.REJECTED),
        "alert": alert,
        "channels": [delivery.of(channel) for channel in channels],
        "whole": whole,
        "reached": await reach(conn, alert.alert_id),
        "difference": await _difference(conn, alert),
        "obstacles": await _obstacles(conn, request, channels) if whole.pending else {},
        "held_until": await _held_until(conn, request, alert) if whole.pending else None,
        "moving": moving,
        "stoppable": alert.state in _MOVING,
        "took": (end - alert.started_at).total_seconds() if alert.started_at else None,
        "held": any(
            one.what == "alert.scheduled" and one.detail.get("quiet") for one in parts["line"]
        ),
        "replies": (await board.list_incidents(conn, actor, answers, limit=_REPLIES)).incidents,
        "answered": sum((await board.count_incidents(conn, actor, answers)).values()),
    }


async def _difference(conn: Conn, alert: draft.Alert) -> change.Counts | None:
    """Return whom an update added, kept and left out; None for others, or before it began."""
    if alert.kind != "update" or alert.started_at is None or alert.predecessor_id is None:
        return None
    found = _differences.find(alert.alert_id)
    if found is not None:
        return found
    try:
        counts = await change.carried_out(conn, alert.alert_id, alert.predecessor_id)
    except (LookupError, AudienceBrokenError):
        # The record says which link is broken; the page still has to show how far sending is.
        return None
    return _differences.keep(alert.alert_id, counts)


async def _held_until(conn: Conn, request: web.Request, alert: draft.Alert) -> datetime | None:
    """Return when the quiet hours end that hold back the rest of what is being sent."""
    if alert.state is not AlertState.SENDING:
        return None
    approved = await _approved(conn, alert)
    hours = quiet.of_snapshot(approved) if approved else None
    return hours.until(request.app[CLOCK]()) if hours else None


async def _obstacles(
    conn: Conn, request: web.Request, channels: Sequence[ChannelProgress]
) -> dict[str, list[Obstacle]]:
    """Return by channel which provider accounts keep its messages waiting."""
    waiting = [channel.channel for channel in channels if channel.pending]
    found: dict[str, list[Obstacle]] = {}
    for one in await obstacles(conn, request.app[CLOCK](), waiting):
        found.setdefault(one.channel, []).append(one)
    return found


@routes.post("/console/alerts/{code}/stop")
@official(*followups.SENDERS)
async def stop(request: web.Request) -> web.StreamResponse:
    """Stop handing off, with the reason; those reached are told when that is chosen."""
    if (await request.post()).get("then") == "tell":
        return await _act(request, "stop", followup.cancel)
    return await _act(request, "stop", lifecycle.stop)


@routes.post("/console/alerts/{code}/cancel")
@official(*followups.SENDERS)
async def cancel(request: web.Request) -> web.StreamResponse:
    """Call an alert off: those it reached are told in the words approved with it."""
    return await _act(request, "cancel", followup.cancel)


@routes.post("/console/alerts/{code}/correct")
@official(*followups.SENDERS)
async def correct(request: web.Request) -> web.StreamResponse:
    """Say that an alert was sent in error, to those it reached, once that is confirmed."""
    return await _act(request, "correct", followup.correct)


async def _act(request: web.Request, form: str, act: followups.Act) -> web.StreamResponse:
    """Do it; refused, the alert's page says why, keeps the reason and offers what can be done."""
    fields = await request.post()
    reason = str(fields.get("reason", ""))
    try:
        if form != "stop" and fields.get("sure") != "yes":
            raise Refused(
                "not_confirmed",
                "Chưa xác nhận. Đánh dấu ô xác nhận rồi gửi.",
                "It is not confirmed. Tick the confirmation and send.",
            )
        await followups.send(request, act, reason)
    except (NotFound, NotAllowed):
        raise
    except Refused as refusal:
        return await _page(request, Kept(form, reason, refusal))
