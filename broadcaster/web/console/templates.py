"""Templates: the list by hazard, one template with its history, and what may be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from broadcaster.alerts import shelf, template_store
from broadcaster.alerts.shelf import Item, Version
from broadcaster.alerts.template_store import GROUPS
from broadcaster.db import Conn, transaction
from broadcaster.errors import Conflict
from broadcaster.people.officials import authority
from broadcaster.web import i18n, render
from broadcaster.web.console import frame, template_look
from broadcaster.web.console.differences import Row
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.console.shelf_pages import VERSION_STATES, Shelf, may, on_the_screen
from broadcaster.web.console.template_look import FILLS
from broadcaster.web.keys import CLOCK, GEOGRAPHY, POOL
from broadcaster.web.labels import mark
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official
from templates import catalogue, document
from templates.document import PIECES
from templates.event import LANGS

routes = web.RouteTableDef()
GROUP_NAMES = {
    "water": mark("Water and land"),
    "weather": mark("Weather"),
    "fire": mark("Fire"),
    "health": mark("Health and environment"),
    "daily": mark("Daily life"),
    "follow": mark("What follows an alert"),
    "other": mark("Other"),
}
SHELF = Shelf("template", "/console/templates/own")


@dataclass(frozen=True, slots=True)
class Past:
    """One version in the history, and how it differs from the one before."""

    version: Version
    rows: list[Row]
    outdated: bool


@routes.get("/console/templates")
@official()
async def listing(request: web.Request) -> web.StreamResponse:
    """Show the catalogue by hazard with the copies one sees."""
    actor = frame.actor_of(request)
    search = request.query.get("q", "")[:100]
    group = request.query.get("group", "")
    async with request.app[POOL].acquire() as conn:
        entries = await template_store.listing(
            conn, actor, search=search, group=group if group in GROUPS else ""
        )
        return await frame.screen(
            request, conn, "templates.html", "templates",
            entries=entries, search=search, group=group, groups=GROUP_NAMES,
            version_states=VERSION_STATES,
        )  # fmt: skip


@routes.get("/console/templates/{code}")
@official()
async def shipped(request: web.Request) -> web.StreamResponse:
    """Show what ships for an event: its words, filled, and whose copies there are."""
    chosen = template_store.shipped(request.match_info["code"])
    actor = frame.actor_of(request)
    atlas = await request.app[GEOGRAPHY].atlas()
    async with request.app[POOL].acquire() as conn:
        entries = await template_store.listing(conn, actor)
        copies = next(one.copies for one in entries if one.event.code == chosen.used.code)
        has = {item.unit_id for item in copies}
        writes = await authority(conn, actor, "author")
        return await frame.screen(
            request, conn, "templates_one.html", "templates",
            look=await template_look.look(chosen.document, _fill(request)), fills=FILLS,
            event=chosen.event, version=None, item=None, copies=copies, past=[],
            units=[unit for unit in atlas.of(writes) if unit.unit_id not in has],
            version_states=VERSION_STATES, shipped_version=chosen.used.version,
            may_write=False, may_review=False,
        )  # fmt: skip


def _fill(request: web.Request) -> str:
    wanted = request.query.get("fill", "")
    return wanted if wanted in FILLS else FILLS[0]


@routes.post("/console/templates/{code}/copy")
@official("author")
async def copy(request: web.Request) -> web.StreamResponse:
    """Begin a unit's own copy and go on to writing it."""
    fields = await request.post()
    unit_id = posted_number(str(fields.get("unit", "")), "unit")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        item = await template_store.copy(
            conn, actor, now, unit_id, request.match_info["code"],
            folder=str(fields.get("folder", "")),
        )  # fmt: skip
    raise web.HTTPSeeOther(f"/console/templates/own/{item.item_id}/edit")


@routes.get("/console/templates/own/{id}")
@official()
async def own(request: web.Request) -> web.StreamResponse:
    """Show a unit's copy: one version, its history with differences, what may be done."""
    actor = frame.actor_of(request)
    wanted = posted_number(request.query.get("version", "0"), "version")
    async with request.app[POOL].acquire() as conn:
        item, version = await template_store.read(
            conn, actor, SHELF.item_id(request), wanted or None
        )
        written = document.from_json(version.document)
        return await frame.screen(
            request, conn, "templates_one.html", "templates",
            look=await template_look.look(written, _fill(request)), fills=FILLS,
            event=template_store.shipped(item.code).event, version=version, item=item,
            copies=(), units=[], version_states=VERSION_STATES,
            past=_past(await shelf.history(conn, "template", item.item_id)),
            shipped_version=template_store.shipped(item.code).used.version,
            **await may(conn, actor, item, version),
        )  # fmt: skip


def _past(history: list[Version]) -> list[Past]:
    """Hold every version against the one before it; the first against what ships."""
    found = []
    for number, version in enumerate(history):
        after = document.from_json(version.document)
        earlier = history[number + 1] if number + 1 < len(history) else None
        before = (
            document.from_json(earlier.document)
            if earlier
            else template_store.shipped(after.code).document
        )
        rows = template_look.differences(before, after)
        found.append(Past(version, rows, template_store.outdated(version)))
    return found


@routes.get("/console/templates/own/{id}/edit")
@official("author")
async def edit(request: web.Request) -> web.StreamResponse:
    """Show the version being written."""
    actor = frame.actor_of(request)
    async with request.app[POOL].acquire() as conn:
        item, version = await template_store.read(conn, actor, SHELF.item_id(request))
        if not version.is_open:
            raise web.HTTPSeeOther(f"/console/templates/own/{item.item_id}")
        return await _edited(request, conn, item, version)


async def _edited(
    request: web.Request,
    conn: Conn,
    item: Item,
    version: Version,
    fields: Mapping[str, str] | None = None,
    refusal: Conflict | None = None,
) -> web.Response:
    """Show the form: what is saved, or what was typed while somebody else saved."""
    written = document.from_json(version.document)
    approvals = written.event.get("approvals", {})
    if fields is not None:
        written, approvals = written.with_words(_words(fields)), _approvals(fields) or {}
    return await frame.screen(
        request, conn, "templates_edit.html", "templates",
        status_of(refusal) if refusal else 200,
        item=item, version=version, look=await template_look.look(written),
        event=template_store.shipped(item.code).event, fills=FILLS,
        version_states=VERSION_STATES, operators=catalogue.load().registering,
        approvals=approvals, refusal=refusal.message(i18n.language()) if refusal else "",
    )  # fmt: skip


@routes.post("/console/templates/own/{id}/edit")
@official("author")
async def begin(request: web.Request) -> web.StreamResponse:
    """Begin the next version with the words in force."""
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        await template_store.read(conn, actor, SHELF.item_id(request))
        await template_store.edit(conn, actor, now, SHELF.item_id(request))
    raise web.HTTPSeeOther(f"/console/templates/own/{SHELF.item_id(request)}/edit")


@routes.post("/console/templates/own/{id}/look")
@official("author")
async def live(request: web.Request) -> web.StreamResponse:
    """Say what the linter thinks of words that are not saved, and show them filled."""
    fields = await request.post()
    actor = frame.actor_of(request)
    async with request.app[POOL].acquire() as conn:
        _item, version = await template_store.read(conn, actor, SHELF.item_id(request))
    before = document.from_json(version.document)
    fill = str(fields.get("fill", FILLS[0]))
    shown = await template_look.look(
        before.with_words(_words({name: str(value) for name, value in fields.items()})),
        fill if fill in FILLS else FILLS[0],
    )
    return web.json_response(
        {
            "findings": render.text(request, "console/templates_findings.html", look=shown),
            "preview": render.text(request, "console/templates_preview.html", look=shown),
            "notes": {
                f"{lang}.{piece.name}": render.text(
                    request, "console/templates_notes.html", piece=piece
                ).strip()
                for lang in LANGS
                for piece in shown.pieces(lang)
            },
            "blocking": shown.blocking,
            "wrong": [
                f"{one.place.lang}.{one.place.piece}"
                for one in shown.report.findings
                if one.blocking and one.place.lang
            ],
        }
    )


def _words(fields: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Read the form's pieces; line ends as we write them."""
    return {
        lang: {
            piece: fields.get(f"{lang}.{piece}", "").replace("\r\n", "\n").strip()[:4000]
            for piece in PIECES
        }
        for lang in LANGS
    }


def _approvals(fields: Mapping[str, str]) -> dict[str, str] | None:
    """Read the ids of operators that want wording registered; None where none does."""
    operators = catalogue.load().registering
    if not operators:
        return None
    return {name: fields.get(f"approval.{name}", "").strip()[:60] for name in operators}


@routes.post("/console/templates/own/{id}")
@official("author")
async def save(request: web.Request) -> web.StreamResponse:
    """Save the words, and send them for review where that was the button."""
    fields = {name: str(value) for name, value in (await request.post()).items()}
    number, revision = on_the_screen(fields)
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    template_id = SHELF.item_id(request)
    async with request.app[POOL].acquire() as conn:
        try:
            async with conn.transaction():
                saved = await template_store.save(
                    conn, actor, now, template_id, number, revision,
                    _words(fields), _approvals(fields),
                )  # fmt: skip
        except Conflict as conflict:
            if conflict.code != "newer_version":
                raise
            item, version = await template_store.read(conn, actor, template_id)
            return await _edited(request, conn, item, version, fields, conflict)
    if fields.get("then") == "submit":
        async with transaction(request.app[POOL]) as conn:
            await template_store.submit(
                conn, actor, now, template_id, saved.version, saved.revision
            )
        raise web.HTTPSeeOther(f"/console/templates/own/{template_id}")
    raise web.HTTPSeeOther(f"/console/templates/own/{template_id}/edit?saved=1")


@routes.post("/console/templates/own/{id}/review")
@official("approver")
async def review(request: web.Request) -> web.StreamResponse:
    """Put the version on the screen in force, or return it with a reason."""
    return await SHELF.review(request, template_store.put_in_force)


@routes.post("/console/templates/own/{id}/restore")
@official("author")
async def restore(request: web.Request) -> web.StreamResponse:
    """Begin the next version with the words of an earlier one."""
    fields = await request.post()
    number = posted_number(str(fields.get("version", "")), "version")
    actor, now = frame.actor_of(request), request.app[CLOCK]()
    async with transaction(request.app[POOL]) as conn:
        await template_store.restore(conn, actor, now, SHELF.item_id(request), number)
    raise web.HTTPSeeOther(f"/console/templates/own/{SHELF.item_id(request)}/edit")


@routes.post("/console/templates/own/{id}/withdraw")
@official("approver", "admin")
async def withdraw(request: web.Request) -> web.StreamResponse:
    """Take a copy out of force: what holds above it holds again."""
    return await SHELF.withdraw(request)


@routes.get("/console/templates/own/{id}/file")
@official()
async def export(request: web.Request) -> web.StreamResponse:
    """Hand out a version as a file that `run.py templates import` takes."""
    actor = frame.actor_of(request)
    wanted = posted_number(request.query.get("version", "0"), "version")
    async with request.app[POOL].acquire() as conn:
        item, version = await template_store.read(
            conn, actor, SHELF.item_id(request), wanted or None
        )
    response = web.json_response(version.document)
    response.headers["Content-Disposition"] = (
        f'attachment; filename="{item.code}-v{version.version}.json"'
    )
    return response
