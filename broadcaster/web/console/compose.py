"""Compose: one page for what, where, when and to whom; saved as it is written, checked by us."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from broadcaster.alerts import approval, checks, draft
from broadcaster.alerts.checks import CheckResult
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Draft
from broadcaster.alerts.forecast import Forecast
from broadcaster.db import Conn, transaction
from broadcaster.errors import Refused
from broadcaster.people.officials import authority
from broadcaster.states import ALERT_MOVES, AlertState, sources
from broadcaster.web import i18n, labels, render
from broadcaster.web.console import (
    compose_form,
    figures,
    follow_up_form,
    frame,
    places,
    preview,
    problems,
)
from broadcaster.web.console.follow_up_form import Difference
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.console.places import Reach
from broadcaster.web.geography import Atlas
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING, POOL, SELECTOR
from broadcaster.web.security import official
from templates import catalogue
from templates.catalogue import Event

routes = web.RouteTableDef()
_EDITABLE = frozenset({AlertState.DRAFT.value, *sources(ALERT_MOVES, AlertState.DRAFT)})


@dataclass(frozen=True, slots=True)
class Look:
    """Everything the server has to say about one version of a draft."""

    draft: Draft
    reach: Reach
    result: CheckResult
    forecast: Forecast | None
    earlier: Content | None
    """What was approved before an update."""
    difference: Difference | None


@routes.get("/console/alerts/new")
@official("author")
async def choose(request: web.Request) -> web.StreamResponse:
    """Ask what the alert is about, and for which unit it is issued."""
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        reach = await authority(conn, frame.actor_of(request), "author")
        return await frame.screen(
            request,
            conn,
            "new.html",
            "compose",
            events=sorted(
                catalogue.load().events.values(), key=lambda event: event.name[i18n.language()]
            ),
            units=atlas.of(reach),
            problem="",
        )


@routes.post("/console/alerts/new")
@official("author")
async def start(request: web.Request) -> web.StreamResponse:
    """Start a draft and go on to writing it."""
    fields = await request.post()
    event = _event(str(fields.get("event", "")))
    unit = str(fields.get("unit", ""))
    now = request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        content = compose_form.new_content(event, now)
        unit_id = posted_number(unit, "unit")
        alert = await draft.create(conn, frame.actor_of(request), now, content, unit_id)
    raise web.HTTPSeeOther(f"/console/alerts/{alert.code}/edit")


def _event(code: str) -> Event:
    event = catalogue.load().events.get(code)
    if event is None:
        raise Refused(
            "no_event", "Chọn một loại tin trong danh sách.", "Choose a kind of alert on the list."
        )
    return event


@routes.get("/console/alerts/{code}/edit")
@official("author")
async def edit(request: web.Request) -> web.StreamResponse:
    """Show a draft to write on."""
    app, actor = request.app, frame.actor_of(request)
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        if loaded.alert.state.value not in _EDITABLE:
            raise web.HTTPSeeOther(f"/console/alerts/{loaded.alert.code}")
        look = await _look(request, conn, loaded)
        return await frame.screen(
            request,
            conn,
            "compose.html",
            "compose",
            **_shown(look, atlas),
            atlas=atlas,
            pieces={lang: compose_form.pieces(loaded.content, lang) for lang in catalogue.LANGS},
            own_places=compose_form.has_own_places(loaded.content, atlas, look.reach.covered),
            value=lambda field, lang: compose_form.shown_value(field, loaded.content, lang),
            follow_pieces=follow_up_form.pieces(loaded.content, loaded.alert.kind, look.earlier),
            variant_names=follow_up_form.names(),
            limits=preview.LIMITS,
            reach_units=await authority(conn, actor, "author"),
        )


@routes.put("/console/alerts/{code}/draft")
@official("author")
async def save(request: web.Request) -> web.StreamResponse:
    """Save what was written as the next version; answer with what the server now thinks of it."""
    app, actor, now = request.app, frame.actor_of(request), request.app[CLOCK]()
    posted = compose_form.parse(await figures.posted(request))
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        async with conn.transaction():
            before = await draft.load(conn, actor, request.match_info["code"])
            event = catalogue.load().events[before.content.event]
            content = follow_up_form.with_follow_ups(
                compose_form.content_of(posted, before.content, event, atlas),
                before.alert.kind,
                await follow_up_form.earlier(conn, before.alert),
                posted.own_follow_ups,
            )
            if content != before.content or posted.version != before.alert.version:
                await draft.save(conn, actor, now, before.alert.alert_id, posted.version, content)
        look = await _look(request, conn, await draft.load(conn, actor, before.alert.alert_id))
    return web.json_response(_answer(request, look, atlas, now))


async def _look(request: web.Request, conn: Conn, loaded: Draft) -> Look:
    app, now = request.app, request.app[CLOCK]()
    atlas = await app[GEOGRAPHY].atlas()
    actor, selector = frame.actor_of(request), app[SELECTOR]
    result = await checks.run(conn, actor, now, loaded.alert.alert_id, selector)
    reach = await places.reach(conn, now, selector, atlas, loaded.content.area, result.audience)
    forecast = await figures.told(
        conn, app[KEYRING], now, loaded.alert, loaded.content, result.audience
    )
    earlier = await follow_up_form.earlier(conn, loaded.alert)
    difference = await follow_up_form.difference(conn, now, selector, loaded.alert, loaded.content)
    return Look(loaded, reach, result, forecast, earlier, difference)


def _shown(look: Look, atlas: Atlas) -> dict[str, Any]:
    content = look.draft.content
    event = catalogue.load().events[content.event]
    found = problems.findings(look.result.problems, content, event)
    shares = {str(lang): look.reach.lang_share(lang) for lang in content.languages}
    return {
        "alert": look.draft.alert,
        "content": content,
        **figures.panel(look.reach, atlas),
        "event": event,
        "blocking": [one for one in found if one.blocking],
        "advisory": [one for one in found if not one.blocking],
        "duty": look.result.duty,
        "previews": preview.previews(content, shares),
        "follow_previews": follow_up_form.shown(content, look.draft.alert.kind, look.difference),
        "difference": look.difference,
        "forecast": look.forecast,
    }


def _answer(request: web.Request, look: Look, atlas: Atlas, now: datetime) -> dict[str, Any]:
    shown = {**_shown(look, atlas), "saved_at": now}
    return {
        "version": look.draft.alert.version,
        "title": labels.title_of(look.draft.alert),
        "fragments": {
            "saved": render.text(request, "console/compose_saved.html", **shown),
            "preview": render.text(request, "console/preview.html", **shown),
            "checks": render.text(request, "console/compose_checks.html", **shown),
            "audience": render.text(request, "console/compose_audience.html", **shown),
            "forecast": render.text(request, "console/forecast.html", **shown),
            "difference": render.text(request, "console/compose_difference.html", **shown),
            "dock": render.text(request, "console/compose_dock.html", **shown),
        },
        "pieces": {
            lang: {name: piece.text for name, piece in found.items() if not piece.own}
            for lang in look.draft.content.languages
            for found in [compose_form.pieces(look.draft.content, lang)]
        },
        "follow_ups": follow_up_form.texts(look.draft.content, look.draft.alert.kind, look.earlier),
        "places": _named(look.draft.content),
        "blocking": len(shown["blocking"]),
    }


def _named(content: Content) -> dict[str, str]:
    named = content.values.get("places") or {}
    return {lang: ", ".join(named.get(lang, [])) for lang in catalogue.LANGS}


@routes.post("/console/alerts/{code}/submit")
@official("author")
async def submit(request: web.Request) -> web.StreamResponse:
    """Send the version on the screen for approval."""
    fields = await request.post()
    version = posted_number(str(fields.get("version", "")), "version")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        await approval.submit(conn, actor, now, loaded.alert.alert_id, version)
    raise web.HTTPSeeOther(f"/console/alerts/{loaded.alert.code}")


@routes.get("/console/alerts/{code}/mail")
@official()
async def mail(request: web.Request) -> web.StreamResponse:
    """Show the mail's HTML alone, in a page that may run and load nothing."""
    lang = request.query.get("lang", "vi")
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, frame.actor_of(request), request.match_info["code"])
    wording = loaded.content.wording.get(lang)  # type: ignore[call-overload]
    if wording is None:
        raise web.HTTPNotFound
    response = render.page(request, "console/mail_preview.html", wording=wording, mail_lang=lang)
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; font-src 'self'; form-action 'none';"
        " base-uri 'none'; frame-ancestors 'self'"
    )
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response
