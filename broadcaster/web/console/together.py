"""Several people on one draft: who is there, what they remark, and its versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from broadcaster.alerts import comments, draft, presence, template_store, versions
from broadcaster.alerts.comments import Comment
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.versions import Sitting
from broadcaster.db import Conn, transaction
from broadcaster.web import middleware, render
from broadcaster.web.console import differences, figures, form_document, frame
from broadcaster.web.console.differences import Row
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.geography import Atlas
from broadcaster.web.i18n import gettext as _
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.security import local_path, official
from templates.event import Event

routes = web.RouteTableDef()
_ALERT = "/console/alerts/{code}"
_SHOWN = 30
"""Sittings told apart word by word on one page of versions."""
_LETTERS_OF_A_PAGE = 40
_LETTERS_OF_A_FIELD = 80


@dataclass(frozen=True, slots=True)
class Step:
    """One sitting, and what it changed."""

    sitting: Sitting
    rows: list[Row]
    area: list[Row]


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment with the name of its field."""

    comment: Comment
    field: str


@routes.put(f"{_ALERT}/presence")
@official("author", "approver")
async def renew(request: web.Request) -> web.StreamResponse:
    """Keep an open page's place on a draft; answer with who else is there and what is newest."""
    document = await figures.posted(request)
    page, field = (str(document.get(name, "")) for name in ("page", "field"))
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        alert = loaded.alert
        page, field = page[:_LETTERS_OF_A_PAGE] or "-", field[:_LETTERS_OF_A_FIELD]
        await presence.renew(conn, actor, now, alert.alert_id, page, field)
        others = await presence.others(conn, actor, now, alert.alert_id, page)
        open_comments = await comments.count_open(conn, alert.alert_id)
        event = (await template_store.of_content(conn, loaded.content, alert.unit_id)).event
    people = [(one, _field_name(one.field, event)) for one in others]
    return web.json_response(
        {
            "version": alert.version,
            "state": alert.state.value,
            "comments": open_comments,
            "html": render.text(request, "console/compose_people.html", people=people),
        }
    )


@routes.delete(f"{_ALERT}/presence")
@official("author", "approver")
async def leave(request: web.Request) -> web.StreamResponse:
    """Give a page's place on a draft up."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    page = request.query.get("page", "")[:_LETTERS_OF_A_PAGE]
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        await presence.leave(conn, actor, now, loaded.alert.alert_id, page)
    return web.Response(status=204)


def _field_name(field: str, event: Event) -> str:
    """Name a field from the path a page sends, such as own/vi/push.title; empty for none."""
    return form_document.name_of(tuple(field.split("/")), event) if field else ""


async def remarks(conn: Conn, alert: Alert, event: Event) -> list[Remark]:
    """Return an alert's comments, what is open first, each with the name of its field."""
    return [
        Remark(one, _field_name(one.field, event))
        for one in await comments.of_alert(conn, alert.alert_id)
    ]


@routes.get(f"{_ALERT}/comments")
@official()
async def listing(request: web.Request) -> web.StreamResponse:
    """Show the comments, as a part of a page."""
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, frame.actor_of(request), request.match_info["code"])
        return await _comments(request, conn, loaded.alert)


async def _comments(request: web.Request, conn: Conn, alert: Alert) -> web.Response:
    loaded = await draft.with_content(conn, alert)
    event = (await template_store.of_content(conn, loaded.content, alert.unit_id)).event
    found = await remarks(conn, alert, event)
    return render.page(request, "console/comments.html", alert=alert, remarks=found)


@routes.post(f"{_ALERT}/comments")
@official("author", "approver")
async def comment(request: web.Request) -> web.StreamResponse:
    """Add a comment."""
    fields = await request.post()
    text, field = (str(fields.get(name, "")) for name in ("text", "field"))
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        alert = await comments.write(conn, actor, now, request.match_info["code"], text, field)
        return await _after(request, conn, alert, str(fields.get("next", "")))


@routes.post(f"{_ALERT}/comments/{{number}}/resolve")
@official("author", "approver")
async def resolve(request: web.Request) -> web.StreamResponse:
    """Mark a comment as settled."""
    fields = await request.post()
    number = posted_number(request.match_info["number"], "number")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        alert = await comments.resolve(conn, actor, now, request.match_info["code"], number)
        return await _after(request, conn, alert, str(fields.get("next", "")))


async def _after(request: web.Request, conn: Conn, alert: Alert, back: str) -> web.StreamResponse:
    """Answer a script with the comments, a form with the page it stood on."""
    if middleware.wants_json(request):
        return await _comments(request, conn, alert)
    address = local_path(back, f"/console/alerts/{alert.code}/versions")
    return web.Response(status=303, headers={"Location": address})


@routes.get(f"{_ALERT}/versions")
@official()
async def history(request: web.Request) -> web.StreamResponse:
    """Show who wrote which version and what it changed."""
    actor = frame.actor_of(request)
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        alert = loaded.alert
        event = (await template_store.of_content(conn, loaded.content, alert.unit_id)).event
        sittings = versions.sittings(await versions.history(conn, alert.alert_id))
        return await frame.screen(
            request, conn, "versions.html", "alerts",
            alert=alert,
            steps=[await _step(conn, alert, one, atlas) for one in sittings[:_SHOWN]],
            not_shown=max(0, len(sittings) - _SHOWN),
            remarks=await remarks(conn, alert, event),
            marks=_marks(),
            editable=alert.state.value in draft.EDITABLE,
        )  # fmt: skip


def _marks() -> dict[str, str]:
    return {
        "submitted": _("sent for approval"),
        "returned": _("returned"),
        "approved": _("approved"),
    }


async def _step(conn: Conn, alert: Alert, sitting: Sitting, atlas: Atlas) -> Step:
    if sitting.before is None:
        return Step(sitting, [], [])
    before = await versions.content(conn, alert, sitting.before)
    after = await versions.content(conn, alert, sitting.last.number)
    return Step(sitting, *await differences.between(before, after, atlas))


@routes.post(f"{_ALERT}/versions/{{number}}/restore")
@official("author")
async def restore(request: web.Request) -> web.StreamResponse:
    """Take an earlier version up again as the newest, and go on writing it."""
    fields: Any = await request.post()
    number = posted_number(request.match_info["number"], "number")
    over = posted_number(str(fields.get("version", "")), "version")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        loaded = await draft.load(conn, actor, request.match_info["code"])
        await versions.restore(conn, actor, now, loaded.alert, over, number)
    raise web.HTTPSeeOther(f"/console/alerts/{loaded.alert.code}/edit")
