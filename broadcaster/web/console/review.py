"""Review: the very preview, map and figures of one version, and the decision on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from broadcaster.alerts import approval, checks, draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people.officials import Actor
from broadcaster.states import AlertState
from broadcaster.web import i18n
from broadcaster.web.console import figures, follow_up_form, frame, places, preview, problems
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL, SELECTOR, WAKER
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official
from templates import catalogue

routes = web.RouteTableDef()


@routes.get("/console/alerts/{code}/review")
@official("approver")
async def review(request: web.Request) -> web.StreamResponse:
    """Show a submitted version to whoever may approve it."""
    async with request.app[POOL].acquire() as conn:
        return await _shown(request, conn)


async def _shown(
    request: web.Request, conn: Conn, refusal: Refused | None = None, reason: str = ""
) -> web.Response:
    app, actor, now = request.app, frame.actor_of(request), request.app[CLOCK]()
    loaded = await draft.load(conn, actor, request.match_info["code"])
    alert, content = loaded.alert, loaded.content
    atlas = await app[GEOGRAPHY].atlas_for(content.area)
    if alert.state is not AlertState.SUBMITTED and refusal is None:
        raise web.HTTPSeeOther(f"/console/alerts/{alert.code}")
    found, counts, duty = await checks.check_content(
        conn, actor, now, content, alert.unit_id, app[SELECTOR], alert
    )
    reach = await places.reach(conn, now, app[SELECTOR], atlas, content.area, counts)
    shares = {str(lang): reach.lang_share(lang) for lang in content.languages}
    difference = await follow_up_form.difference(conn, now, app[SELECTOR], alert, content)
    return await frame.screen(
        request,
        conn,
        "review.html",
        "today",
        status_of(refusal) if refusal else 200,
        alert=alert,
        content=content,
        reach=reach,
        atlas=atlas,
        duty=duty,
        findings=problems.findings(found, content, catalogue.load().events[content.event]),
        previews=preview.previews(content, shares),
        follow_previews=follow_up_form.shown(content, alert.kind, difference),
        difference=difference,
        forecast=await figures.told(conn, app[KEYRING], now, alert, content, counts),
        mine=actor.official_id in (alert.author_id, alert.submitted_by),
        problem=refusal.message(i18n.language()) if refusal else "",
        reason=reason,
    )


Decide = Callable[[Conn, Actor, Any, int, int], Awaitable[Alert]]


async def _decide(
    request: web.Request, decide: Decide, reason: str, stage: str = ""
) -> web.StreamResponse:
    fields = await request.post()
    number = posted_number(str(fields.get("version", "")), "version")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        found = await draft.load(conn, actor, request.match_info["code"])
        try:
            await decide(conn, actor, now, found.alert.alert_id, number)
        except Refused as refusal:
            return await _shown(request, conn, refusal, reason)
    if stage:
        await request.app[WAKER].wake(stage)
    raise web.HTTPSeeOther(f"/console/alerts/{found.alert.code}")


@routes.post("/console/alerts/{code}/approve")
@official("approver")
async def approve(request: web.Request) -> web.StreamResponse:
    """Approve the version on the screen; sending begins."""
    return await _decide(request, approval.approve, "", "start")


@routes.post("/console/alerts/{code}/return")
@official("approver")
async def send_back(request: web.Request) -> web.StreamResponse:
    """Return the version on the screen to its author."""
    reason = str((await request.post()).get("reason", ""))

    async def decide(conn: Conn, actor: Actor, now: Any, alert_id: int, version: int) -> Alert:
        return await approval.send_back(conn, actor, now, alert_id, version, reason)

    return await _decide(request, decide, reason)


@routes.post("/console/alerts/{code}/reject")
@official("approver")
async def reject(request: web.Request) -> web.StreamResponse:
    """Refuse the version on the screen for good."""
    reason = str((await request.post()).get("reason", ""))

    async def decide(conn: Conn, actor: Actor, now: Any, alert_id: int, version: int) -> Alert:
        return await approval.reject(conn, actor, now, alert_id, version, reason)

    return await _decide(request, decide, reason)
