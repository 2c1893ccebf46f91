"""One exercise session: what it will do before it begins, and what came of it."""

from __future__ import annotations

from aiohttp import web

from broadcaster.fanout import exercise_report
from broadcaster.people.exercise_recipients import ROLES
from broadcaster.web.console import frame
from broadcaster.web.console.exercise import PAGE
from broadcaster.web.console.numbers import posted_number
from broadcaster.web.keys import GEOGRAPHY, KEYRING, POOL
from broadcaster.web.security import official

routes = web.RouteTableDef()


@routes.get(f"{PAGE}/sessions/{{number}}")
@official(*ROLES)
async def report(request: web.Request) -> web.StreamResponse:
    """Show a session to whoever is in charge of its units."""
    app, actor = request.app, frame.actor_of(request)
    number = posted_number(request.match_info["number"], "number")
    async with app[POOL].acquire() as conn:
        found = await exercise_report.of_session(conn, app[KEYRING], actor, number)
        return await frame.screen(
            request,
            conn,
            "exercise_report.html",
            "exercises",
            report=found,
            atlas=await app[GEOGRAPHY].atlas(),
            in_exercise=True,
        )
