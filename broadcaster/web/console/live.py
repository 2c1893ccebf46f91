"""One alert from approval on: progress without reloading, its trail, and stopping it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from broadcaster.alerts import draft, followup, lifecycle, reminding
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, NotFound, Refused
from broadcaster.fanout import against
from broadcaster.fanout.policy import CHANNELS
from broadcaster.jobs import SEND_QUEUE
from broadcaster.states import AlertState
from broadcaster.web import i18n, render
from broadcaster.web.console import followups, frame, live_facts, live_parts
from broadcaster.web.keys import CLOCK, POOL, SETTINGS, WAKER
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
_STOP_POLLING = 286
"""htmx takes this status as: swap the answer in, and ask no more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What somebody sent that was refused."""

    form: str
    """stop, cancel, correct or remind."""
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
        approved = await live_facts.approved_of(conn, loaded.alert)
        following = await _following(conn, request, loaded.alert, approved)
        facts = await _facts(conn, request, loaded, approved)
        first, have = _pieces(request, facts, "")
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
        approved = await live_facts.approved_of(conn, loaded.alert)
        facts = await _facts(conn, request, loaded, approved)
        follow_again = request.query.get("seen") != facts["seen"]
        if follow_again:
            facts |= await _following(conn, request, loaded.alert, approved)
    status = 200 if facts["watched"] else _STOP_POLLING
    changed: dict[str, str] = {}
    have = request.query.get("have", "")
    if have:
        changed, have = _pieces(request, facts, have)
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


async def _following(
    conn: Conn, request: web.Request, alert: draft.Alert, approved: Snapshot | None
) -> dict[str, Any]:
    """Return what may be done next with an alert in the state it is in."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    content = approved.content if approved else None
    return {
        "follow": await followups.look(conn, actor, now, alert, content),
        "may_give_up": followups.may_be_given_up(actor, alert),
        "may_stop": alert.state in live_facts.MOVING
        and any(actor.holds(role) for role in followups.SENDERS),
    }


async def _facts(
    conn: Conn, request: web.Request, loaded: draft.Draft, approved: Snapshot | None
) -> dict[str, Any]:
    facts = live_facts.spoken(await live_facts.gather(conn, request.app, loaded, approved))
    return facts | await live_facts.answers(conn, frame.actor_of(request), loaded.alert)


def _pieces(request: web.Request, facts: dict[str, Any], have: str) -> tuple[dict[str, str], str]:
    names = (*live_parts.names(facts), live_parts.OWN)
    return live_parts.news(live_parts.pieces(request, facts, names), have.split())


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


@routes.post("/console/alerts/{code}/remind")
@official(*followups.SENDERS)
async def remind(request: web.Request) -> web.StreamResponse:
    """Ask again at once whoever was asked to approve; refused, the alert's page says why."""
    app, code = request.app, request.match_info["code"]
    try:
        async with app[POOL].acquire() as conn:
            await reminding.remind(
                conn, frame.actor_of(request), app[CLOCK](), app[SETTINGS].public_url, code
            )
    except (NotFound, NotAllowed):
        raise
    except Refused as refusal:
        return await _page(request, Kept("remind", "", refusal))
    await app[WAKER].wake("send", SEND_QUEUE)
    raise web.HTTPSeeOther(f"/console/alerts/{code}#approval")


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
