"""Records: what went to whom and what proves it, who received an alert, what somebody received."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from broadcaster.alerts import draft
from broadcaster.errors import Refused
from broadcaster.fanout import addressees, record, whom
from broadcaster.fanout.addressees import Search
from broadcaster.fanout.blocks import STATES
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.received import Cursor, ReceivedPage
from broadcaster.fanout.whom import Asked
from broadcaster.web import i18n
from broadcaster.web.console import asking, frame
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SELECTOR
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
_DIGITS = 18


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


@routes.get("/console/alerts/{code}/record")
@official(*whom.ROLES)
async def form(request: web.Request) -> web.StreamResponse:
    """Show the form; a report may be named in the address, a telephone number never is."""
    return await _record(request, asking.from_link(request))


@routes.post("/console/alerts/{code}/record")
@official(*whom.ROLES)
async def answer(request: web.Request) -> web.StreamResponse:
    """Make the record for one address, or for whoever sent a report."""
    asked = await asking.asked(request)
    app, actor = request.app, frame.actor_of(request)
    try:
        async with app[POOL].acquire() as conn, conn.transaction():
            made = await record.show(
                conn, app[KEYRING], app[SELECTOR], actor, app[CLOCK](),
                request.match_info["code"], **asked,
            )  # fmt: skip
    except Refused as refusal:
        return await _record(request, asked, refusal=refusal)
    return await _record(request, asked, made=made)


async def _record(
    request: web.Request,
    asked: dict[str, str],
    *,
    made: record.Record | None = None,
    refusal: Refused | None = None,
) -> web.Response:
    return await asking.about_alert(request, "record.html", asked, refusal, made=made)


@routes.get("/console/alerts/{code}/recipients")
@official(*whom.ROLES)
async def listing(request: web.Request) -> web.StreamResponse:
    """Show who received an alert, page by page."""
    app, actor = request.app, frame.actor_of(request)
    given = {name: request.query[name] for name in ("channel", "state") if request.query.get(name)}
    after = _number(request.query.get("after", ""))
    search = Search(given.get("channel"), given.get("state"), -1 if after is None else after)
    code = request.match_info["code"]
    page, refusal = None, None
    try:
        async with app[POOL].acquire() as conn, conn.transaction():
            page = await addressees.of_alert(conn, app[KEYRING], actor, app[CLOCK](), code, search)
    except Refused as error:
        refusal = error
    async with app[POOL].acquire() as conn:
        alert = (await draft.load(conn, actor, code)).alert
        return await frame.screen(
            request,
            conn,
            "recipients.html",
            "alerts",
            status_of(refusal) if refusal else 200,
            alert=alert,
            page=page,
            given=given,
            query=urlencode(given),
            channels=CHANNELS,
            states=STATES,
            problem=refusal.message(i18n.language()) if refusal else "",
        )


@routes.get("/console/received")
@official(*whom.ROLES)
async def received_form(request: web.Request) -> web.StreamResponse:
    """Show the form."""
    return await _received(request, asking.from_link(request))


@routes.post("/console/received")
@official(*whom.ROLES)
async def received_answer(request: web.Request) -> web.StreamResponse:
    """List what went to the people behind one address, newest first."""
    asked, fields = await asking.asked(request), await request.post()
    app, actor = request.app, frame.actor_of(request)
    before = _cursor(str(fields.get("before", "")), str(fields.get("before_alert", "")))
    try:
        async with app[POOL].acquire() as conn, conn.transaction():
            found = await record.what_received(
                conn, app[KEYRING], actor, app[CLOCK](), **asked, before=before
            )
    except Refused as refusal:
        return await _received(request, asked, refusal=refusal)
    return await _received(request, asked, found=found)


def _cursor(at: str, alert_id: str) -> Cursor | None:
    """Return where the page before ended; anything else begins anew."""
    number = _number(alert_id)
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return None if number is None or moment.tzinfo is None else Cursor(moment, number)


async def _received(
    request: web.Request,
    asked: dict[str, str],
    *,
    found: tuple[Asked, ReceivedPage] | None = None,
    refusal: Refused | None = None,
) -> web.Response:
    shown: dict[str, Any] = {"whom": None, "page": None}
    if found is not None:
        shown = {"whom": found[0], "page": found[1]}
    async with request.app[POOL].acquire() as conn:
        return await frame.screen(
            request,
            conn,
            "received.html",
            "alerts",
            status_of(refusal) if refusal else 200,
            asked=asked,
            **asking.words(refusal),
            **shown,
        )
