"""Compose: one page for what, where, when and to whom; saved as it is written, checked by us."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from broadcaster.alerts import approval, draft, exercise
from broadcaster.db import Conn, transaction
from broadcaster.errors import Conflict
from broadcaster.people.officials import Actor, authority
from broadcaster.web import render
from broadcaster.web.console import (
    compose_form,
    compose_look,
    figures,
    follow_up_form,
    frame,
    joining,
    preview,
)
from broadcaster.web.console.compose_form import Posted
from broadcaster.web.console.compose_look import look
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.geography import Atlas
from broadcaster.web.keys import ASSETS, CLOCK, GEOGRAPHY, POOL, VISITOR
from broadcaster.web.security import official
from templates import catalogue
from templates.rivers import names_alarm

routes = web.RouteTableDef()


@routes.get("/console/alerts/{code}/edit")
@official("author")
async def edit(request: web.Request) -> web.StreamResponse:
    """Show a draft to write on."""
    app, actor = request.app, frame.actor_of(request)
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        if loaded.alert.state.value not in draft.EDITABLE:
            raise web.HTTPSeeOther(f"/console/alerts/{loaded.alert.code}")
        found = await look(request, conn, loaded)
        content, kind, known = loaded.content, loaded.alert.kind, found.chosen.catalogue
        return await frame.screen(
            request,
            conn,
            "compose.html",
            "compose",
            **compose_look.shown(found, atlas, app[CLOCK]()),
            atlas=atlas,
            pieces={lang: compose_form.pieces(content, lang, known) for lang in catalogue.LANGS},
            own_places=compose_form.has_own_places(content, atlas, found.reach.covered),
            value=lambda field, lang: compose_form.shown_value(field, content, lang),
            period_of=lambda field: compose_form.shown_period(field, content),
            time_of=lambda name: compose_form.shown_time(name, content),
            follow_pieces=follow_up_form.pieces(content, kind, found.earlier),
            variant_names=follow_up_form.names(),
            limits=preview.LIMITS,
            names_alarm=names_alarm(found.chosen.event),
            own_issuer=compose_form.own_issuer(content),
            named_source=compose_form.named_source(content.values),
            follows=await draft.predecessor(conn, loaded.alert),
            reach_units=await authority(conn, actor, "author"),
        )


@routes.put("/console/alerts/{code}/draft")
@official("author")
async def save(request: web.Request) -> web.StreamResponse:
    """Save what was written as the next version, joined with what others saved meanwhile.

    Answers with what the server now thinks of it, and with the whole of it where others' words
    came in.
    """
    app, actor, now = request.app, frame.actor_of(request), request.app[CLOCK]()
    posted = compose_form.parse(await figures.posted(request))
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        alert_id, over = await _saved(conn, actor, now, request.match_info["code"], posted, atlas)
        found = await look(request, conn, await draft.load(conn, actor, alert_id))
    joined = over != posted.version
    return web.json_response(compose_look.answer(request, found, atlas, now, joined=joined))


async def _saved(
    conn: Conn, actor: Actor, now: datetime, code: str, posted: Posted, atlas: Atlas
) -> tuple[int, int]:
    """Save a version, joined anew where others saved in the very moment; return over which."""
    for last in (False, False, True):
        try:
            async with conn.transaction():
                before = await draft.load(conn, actor, code)
                content, over = await joining.content_of(conn, before, posted, atlas)
                content = exercise.with_mark(content, before.alert.status)
                if content != before.content or over != before.alert.version:
                    await draft.save(conn, actor, now, before.alert.alert_id, over, content)
                return before.alert.alert_id, over
        except Conflict as conflict:
            if last or conflict.code != "newer_version":
                raise
    raise AssertionError("the last try returns or raises")


@routes.get("/console/alerts/{code}/draft")
@official("author")
async def newest(request: web.Request) -> web.StreamResponse:
    """Answer with the newest version as the form would post it: others saved, or all was away."""
    app, now = request.app, request.app[CLOCK]()
    atlas = await app[GEOGRAPHY].atlas()
    async with app[POOL].acquire() as conn:
        loaded = await draft.load(conn, frame.actor_of(request), request.match_info["code"])
        found = await look(request, conn, loaded)
    answer = compose_look.answer(request, found, atlas, now, joined=True)
    return web.json_response(answer | {"csrf": request[VISITOR].csrf})


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


@routes.post("/console/alerts/{code}/template")
@official("author")
async def take_template(request: web.Request) -> web.StreamResponse:
    """Write the draft on the screen from the template that holds now, and go on with it."""
    version = posted_number(str((await request.post()).get("version", "")), "version")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    atlas = await request.app[GEOGRAPHY].atlas()
    async with transaction(request.app[POOL]) as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        content = await joining.from_newest(conn, loaded, atlas)
        content = exercise.with_mark(content, loaded.alert.status)
        if content != loaded.content:
            await draft.save(conn, actor, now, loaded.alert.alert_id, version, content)
    raise web.HTTPSeeOther(f"/console/alerts/{loaded.alert.code}/edit")


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


@routes.get("/console/compose-worker.js")
@official("author")
async def worker(request: web.Request) -> web.StreamResponse:
    """Serve the script that keeps this screen openable without a connection."""
    asset = request.app[ASSETS].find("js/compose_worker.js")
    if asset is None:
        raise web.HTTPNotFound
    return web.Response(
        body=asset.body,
        content_type="text/javascript",
        charset="utf-8",
        headers={"Cache-Control": "no-cache", "Service-Worker-Allowed": "/console/alerts/"},
    )
