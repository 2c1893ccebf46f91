"""Why somebody got an alert, or did not: asked by staff and approvers, every question audited."""

from __future__ import annotations

from aiohttp import web

from broadcaster.errors import Refused
from broadcaster.fanout import why
from broadcaster.web.console import asking, frame
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SELECTOR
from broadcaster.web.security import official

routes = web.RouteTableDef()


@routes.get("/console/alerts/{code}/why")
@official(*why.ROLES)
async def form(request: web.Request) -> web.StreamResponse:
    """Show the form; a report may be named in the address, a telephone number never is."""
    return await _shown(request, asking.from_link(request))


@routes.post("/console/alerts/{code}/why")
@official(*why.ROLES)
async def answer(request: web.Request) -> web.StreamResponse:
    """Answer for one address, or for whoever sent a report."""
    asked = await asking.asked(request)
    app, code = request.app, request.match_info["code"]
    actor, now = frame.actor_of(request), app[CLOCK]()
    try:
        async with app[POOL].acquire() as conn, conn.transaction():
            found = await why.ask(conn, app[KEYRING], app[SELECTOR], actor, now, code, **asked)
    except Refused as refusal:
        return await _shown(request, asked, refusal=refusal)
    return await _shown(request, asked, found=found)


async def _shown(
    request: web.Request,
    asked: dict[str, str],
    *,
    found: why.Explanation | None = None,
    refusal: Refused | None = None,
) -> web.Response:
    return await asking.about_alert(request, "why.html", asked, refusal, found=found)
