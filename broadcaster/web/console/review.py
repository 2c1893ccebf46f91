"""Review: the very preview, map and figures of one version, and the decision on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from broadcaster.alerts import approval, approver_checks, authority, checks, escalation
from broadcaster.alerts.draft import Alert, Draft
from broadcaster.alerts.forecast import Forecast
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people import second_factor
from broadcaster.people.officials import Actor
from broadcaster.states import AlertState
from broadcaster.web import formats, i18n
from broadcaster.web.console import (
    approvers,
    differences,
    follow_up_form,
    frame,
    places,
    preview,
    problems,
    together,
)
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.i18n import gettext as _
from broadcaster.web.i18n import ngettext
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL, SELECTOR, WAKER
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official
from targeting.errors import AreaError
from templates import catalogue

routes = web.RouteTableDef()
_OF_THE_CODE = {
    "wrong_code": "code",
    "code_used": "code",
    "code_locked": "code",
    "second_factor_needed": "code",
    "wrong_recovery_code": "recovery",
    "recovery_code_used": "recovery",
}
"""Refusals that are shown where the code was typed."""


@routes.get("/console/alerts/{code}/review")
@official("approver")
async def review(request: web.Request) -> web.StreamResponse:
    """Show a submitted version to whoever may approve it."""
    async with request.app[POOL].acquire() as conn:
        return await _shown(request, conn)


async def _shown(
    request: web.Request, conn: Conn, refusal: Refused | None = None, reason: str = ""
) -> web.Response:
    actor = frame.actor_of(request)
    loaded = await authority.load(conn, actor, request.match_info["code"])
    if loaded.alert.state is not AlertState.SUBMITTED and refusal is None:
        raise web.HTTPSeeOther(f"/console/alerts/{loaded.alert.code}")
    return await frame.screen(
        request,
        conn,
        "review.html",
        "today",
        status_of(refusal) if refusal else 200,
        **await _version(request, conn, loaded),
        **await _decision(request, conn, loaded.alert),
        problem=refusal.message(i18n.language()) if refusal else "",
        code_problem=_OF_THE_CODE.get(refusal.code, "") if refusal else "",
        reason=reason,
    )


async def _version(request: web.Request, conn: Conn, loaded: Draft) -> dict[str, Any]:
    """Return what the approver has to see: words, place, figures, what differs, checks."""
    app, actor, now = request.app, frame.actor_of(request), request.app[CLOCK]()
    alert, content = loaded.alert, loaded.content
    atlas = await app[GEOGRAPHY].atlas_for(content.area)
    found = await checks.check_content(
        conn, actor, now, content, alert.unit_id, app[SELECTOR], alert, app[KEYRING]
    )
    reach = await places.reach(conn, now, app[SELECTOR], atlas, content.area, found.audience)
    shares = {str(lang): reach.lang_share(lang) for lang in content.languages}
    difference = follow_up_form.difference(found.change)
    event = catalogue.load().events[content.event]
    return {
        "alert": alert,
        "content": content,
        "reach": reach,
        "atlas": atlas,
        "duty": found.duty,
        "findings": problems.findings(found.problems, content, event),
        "previews": preview.previews(content, shares),
        "follow_previews": follow_up_form.shown(content, alert.kind, difference),
        "difference": difference,
        "compared": await differences.compare(conn, alert, content, atlas),
        "remarks": await together.remarks(conn, alert, event),
        "forecast": found.forecast,
        "consequence": consequence(reach.people, found.forecast, alert) if found.forecast else "",
    }


async def _decision(request: web.Request, conn: Conn, alert: Alert) -> dict[str, Any]:
    """Return who may decide, why this official may or may not, and who was asked."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    answer = await authority.of_alert(conn, alert)
    return {
        "approvers": approvers.said(
            answer, actor.official_id, await approver_checks.check(conn, alert, answer)
        ),
        "bar": answer.bar_of(actor.official_id) or "",
        "may_not": approvers.why_not(answer.bar_of(actor.official_id)),
        "factor": await second_factor.standing(conn, actor.official_id, now),
        "asking": await escalation.progress(conn, alert, answer),
        "everybody": await _everybody(request, conn, alert),
    }


async def _everybody(request: web.Request, conn: Conn, alert: Alert) -> int | None:
    """Count everybody in an exercise's area, for whoever may open it to them; else None."""
    if not alert.exercise or alert.training:
        return None
    app = request.app
    content = (await authority.load(conn, frame.actor_of(request), alert.alert_id)).content
    try:
        return (await app[SELECTOR].count(conn, app[CLOCK](), content.area)).people
    except AreaError:
        return None


def consequence(people: int, forecast: Forecast, alert: Alert) -> str:
    """Say what the button sets going: people, minutes, money."""
    if alert.training:
        return _("Goes nowhere: what training accounts write ends here.")
    if alert.only_listed:
        said = ngettext(
            "Goes to %(people)s person who takes part in exercises.",
            "Goes to %(people)s people who take part in exercises.",
            people,
        )
    else:
        said = ngettext("Goes to %(people)s person.", "Goes to %(people)s people.", people)
    parts = [said % {"people": formats.number(people)}]
    seconds = [one.seconds for one in forecast.channels if one.seconds is not None]
    if seconds:
        parts.append(_("The last message leaves after %(span)s.") % {"span": _span(max(seconds))})
    parts.append(_("SMS cost at most %(cost)s đ.") % {"cost": formats.number(forecast.cost)})
    return " ".join(parts)


def _span(seconds: float) -> str:
    return formats.span(-(-seconds // 1))


Decide = Callable[[Conn, Actor, datetime, Alert, int], Awaitable[Alert]]


async def _decide(
    request: web.Request, decide: Decide, reason: str, stage: str = ""
) -> web.StreamResponse:
    fields = await request.post()
    number = posted_number(str(fields.get("version", "")), "version")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        found = await authority.load(conn, actor, request.match_info["code"])
        try:
            await decide(conn, actor, now, found.alert, number)
        except Refused as refusal:
            return await _shown(request, conn, refusal, reason)
    if stage:
        await request.app[WAKER].wake(stage)
    raise web.HTTPSeeOther(f"/console/alerts/{found.alert.code}")


@routes.post("/console/alerts/{code}/approve")
@official("approver")
async def approve(request: web.Request) -> web.StreamResponse:
    """Approve the version on the screen, with a code where it needs one; sending begins."""
    fields = await request.post()
    code = str(fields.get("recovery", "")).strip() or str(fields.get("code", "")).strip()

    async def decide(conn: Conn, actor: Actor, now: datetime, alert: Alert, number: int) -> Alert:
        keyring = request.app[KEYRING]
        widen = fields.get("widen") == "1"
        return await approval.confirm(
            conn, keyring, actor, now, alert.alert_id, number, code, widen=widen
        )

    return await _decide(request, decide, "", "start")


@routes.post("/console/alerts/{code}/return")
@official("approver")
async def send_back(request: web.Request) -> web.StreamResponse:
    """Return the version on the screen to its author."""
    return await _with_reason(request, approval.send_back)


@routes.post("/console/alerts/{code}/reject")
@official("approver")
async def reject(request: web.Request) -> web.StreamResponse:
    """Refuse the version on the screen for good."""
    return await _with_reason(request, approval.reject)


async def _with_reason(
    request: web.Request,
    refuse: Callable[[Conn, Actor, datetime, int, int, str], Awaitable[Alert]],
) -> web.StreamResponse:
    reason = str((await request.post()).get("reason", ""))

    async def decide(conn: Conn, actor: Actor, now: datetime, alert: Alert, number: int) -> Alert:
        return await refuse(conn, actor, now, alert.alert_id, number, reason)

    return await _decide(request, decide, reason)
