"""Messages that did not arrive: why, in groups, as a file, and sending them again."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiMapping

from broadcaster.errors import Refused
from broadcaster.fanout import dead_letters, letter_file, replay
from broadcaster.fanout.dead_letters import Filters
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.reasons import Family
from broadcaster.jobs import SEND_QUEUE
from broadcaster.web import i18n
from broadcaster.web.console import frame
from broadcaster.web.keys import CLOCK, KEYRING, POOL, WAKER
from broadcaster.web.middleware import status_of
from broadcaster.web.security import official

routes = web.RouteTableDef()
_FILTERS = ("alert", "channel", "provider", "family", "reason", "state", "show")


_ID = re.compile("[0-9]{1,18}", re.ASCII)


def _given(values: MultiMapping[Any]) -> dict[str, str]:
    """Return the filters that say something; of an alert's code and `direct`, the later one."""
    found = {name: [str(one) for one in values.getall(name, []) if one] for name in _FILTERS}
    return {name: some[-1] for name, some in found.items() if some}


def _number(text: str) -> int | None:
    return int(text) if _ID.fullmatch(text) else None


@routes.get("/console/dead-letters")
@official()
async def listing(request: web.Request) -> web.StreamResponse:
    """Show groups and letters."""
    given, refusal = _given(request.query), None
    app, actor, now = request.app, frame.actor_of(request), request.app[CLOCK]()
    after = _number(request.query.get("after", ""))
    async with app[POOL].acquire() as conn:
        try:
            filters = await dead_letters.filters_of(conn, actor, given, now)
        except Refused as error:
            refusal, given, filters = error, {}, Filters(until=now)
        scope = await dead_letters.scope_of(conn, actor)
        return await frame.screen(
            request,
            conn,
            "dead_letters.html",
            "dead_letters",
            status_of(refusal) if refusal else 200,
            groups=await dead_letters.groups(conn, now, scope, filters),
            page=await dead_letters.letters(conn, app[KEYRING], now, scope, filters, after=after),
            given=given,
            query=urlencode(given),
            until=now.isoformat(),
            may_replay=any(actor.holds(role) for role in replay.ROLES),
            channels=CHANNELS,
            families=[(family.value, dead_letters.meaning_of(family)) for family in Family],
            states=dead_letters.STATES,
            direct=scope.direct,
            again=_number(request.query.get("again", "")),
            left=_number(request.query.get("left", "")) or 0,
            problem=_problem(refusal, request.query),
        )


def _problem(refusal: Refused | None, query: MultiMapping[str]) -> str:
    if refusal is None and query.get("chosen") == "0":
        refusal = replay.nothing_chosen()
    return refusal.message(i18n.language()) if refusal else ""


@routes.get("/console/dead-letters.csv")
@official()
async def file(request: web.Request) -> web.StreamResponse:
    """Give every letter of the filters as CSV, written while it is read."""
    app, actor, now = request.app, frame.actor_of(request), request.app[CLOCK]()
    async with app[POOL].acquire() as conn:
        filters = await dead_letters.filters_of(conn, actor, _given(request.query), now)
        scope = await dead_letters.scope_of(conn, actor)
        answer = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": 'attachment; filename="dead-letters.csv"',
                "Cache-Control": "no-store",
            }
        )
        await answer.prepare(request)
        await answer.write(letter_file.heading().encode())
        async for some in dead_letters.every(conn, app[KEYRING], now, scope, filters):
            await answer.write(letter_file.lines(some, i18n.language()).encode())
    await answer.write_eof()
    return answer


@routes.post("/console/dead-letters/replay")
@official(*replay.ROLES)
async def send_again(request: web.Request) -> web.StreamResponse:
    """Send a group or chosen letters again."""
    fields = await request.post()
    given = _given(fields)
    app, actor, now = request.app, frame.actor_of(request), request.app[CLOCK]()
    chosen = tuple(filter(None, (_number(str(one)) for one in fields.getall("letter", []))))
    try:
        async with app[POOL].acquire() as conn:
            # A group names its code, which may be empty: then it is those without one.
            if "reason" in fields:
                given["reason"] = str(fields["reason"])
            filters = await dead_letters.filters_of(
                conn, actor, given, _moment(fields.get("until"))
            )
        if "chosen" in fields:
            filters = Filters(letter_ids=chosen, until=filters.until)
        done = await replay.replay(app[POOL], actor, now, filters, retired="retired" in fields)
    except Refused as refusal:
        if refusal.code != replay.nothing_chosen().code:
            raise
        # Back to the list: the address of the form is no page, and reloading it would send again.
        raise _back(fields, {"chosen": 0}) from refusal
    await app[WAKER].wake("send", SEND_QUEUE)
    raise _back(fields, {"again": done.again, "left": done.left})


def _back(fields: MultiMapping[Any], said: dict[str, int]) -> web.HTTPSeeOther:
    """Return to the list as it was filtered, with what is to be said there."""
    back = {name: str(value) for name, value in fields.items() if name.startswith("back_")}
    shown = {name.removeprefix("back_"): value for name, value in back.items() if value}
    return web.HTTPSeeOther(f"/console/dead-letters?{urlencode({**shown, **said})}")


def _moment(given: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
