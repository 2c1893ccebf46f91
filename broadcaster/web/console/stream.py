"""An alert's page kept up by server-sent events: what changed, when it has changed.

Every look is one event. It carries the pieces that differ from those the page has, and its id says
which those are: whoever comes back with it (`Last-Event-ID`, or `have` the first time), to this
process or another, gets what they missed and nothing twice. An event without pieces is the
heartbeat: it says that the figures shown are those of its moment.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from aiohttp import web

from broadcaster.alerts import draft
from broadcaster.db import AWAY
from broadcaster.people.officials import ROLES, reach_so_far
from broadcaster.web import formats
from broadcaster.web.console import frame, live_parts
from broadcaster.web.console.live_parts import Piece
from broadcaster.web.console.watching import STREAMS, Look, Watch
from broadcaster.web.keys import POOL
from broadcaster.web.security import official

log = structlog.get_logger(__name__)
routes = web.RouteTableDef()

RETRY_MS = 1_000
_LIFE = 120.0
"""Seconds, more or less: whoever has signed out or lost a role is found when they come back."""
_QUIET = 5.0
"""Seconds until a comment is written though no look came: proxies close what says nothing."""
_STUCK = 15.0
"""Seconds a reader may take to receive one event."""
_LONGEST_MARKS = 1_000


@routes.get("/console/alerts/{code}/stream")
@official()
async def stream(request: web.Request) -> web.StreamResponse:
    """Follow one alert; raises StreamsFull where too many do."""
    actor = frame.actor_of(request)
    async with request.app[POOL].acquire() as conn:
        alert = (await draft.load(conn, actor, request.match_info["code"])).alert
        reach = await reach_so_far(conn, actor, *ROLES)
    have = request.headers.get("Last-Event-ID") or request.query.get("have", "")
    with request.app[STREAMS].watch(alert.alert_id, actor.official_id) as watch:
        # nginx keeps an answer back until it is whole unless it is told not to.
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        try:
            await _follow(Reader(request, response, watch, reach), have[:_LONGEST_MARKS])
        except (TimeoutError, *AWAY) as error:
            # They come back by themselves, when the network or the database does.
            log.debug("a stream has ended", alert=alert.code, why=str(error))
    return response


@dataclass(frozen=True, slots=True)
class Reader:
    """One page that is kept up."""

    request: web.Request
    response: web.StreamResponse
    watch: Watch
    reach: object
    """How far their roles reach: those of one reach are told the same."""

    async def write(self, event: bytes) -> None:
        """Send an event; raises TimeoutError when the reader does not take it."""
        async with asyncio.timeout(_STUCK):
            await self.response.write(event)

    async def pieces(self, look: Look) -> dict[str, Piece]:
        """Return every piece as this reader sees it."""
        actor = frame.actor_of(self.request)
        own = await self.watch.answers(self.request, actor, self.reach, look)
        return look.pieces(self.request) | {live_parts.OWN: own}


async def _follow(reader: Reader, have: str) -> None:
    # Those who came together do not come back together.
    until = time.monotonic() + _LIFE * random.uniform(0.75, 1.25)  # noqa: S311
    closing = reader.request.app[STREAMS].closing
    await reader.write(b"retry: %d\n\n" % RETRY_MS)
    look: Look | None = None
    while time.monotonic() < until and not closing.is_set():
        newer = await reader.watch.newer(look, _QUIET)
        if newer is None:
            await reader.write(b": no news\n\n")
            continue
        look = newer
        event, have = _event(look, await reader.pieces(look), have)
        await reader.write(event)
        if not look.facts["watched"]:
            await reader.write(b"event: over\ndata: {}\n\n")
            return


def _event(look: Look, made: dict[str, Piece], have: str) -> tuple[bytes, str]:
    """Return the event that brings a page from what it has to this look, and what it has then."""
    changed, now_has = live_parts.news(made, have.split())
    said: dict[str, Any] = {
        "at": formats.clock_s(look.at),
        "seen": look.facts["seen"],
        "moving": look.facts["moving"],
    }
    drawn = f"plot:{look.facts['drawn']}"
    if drawn not in have.split():
        said["plot"] = live_parts.plot(look.facts["against"], look.alert, _seconds(look))
    if changed:
        said["pieces"] = changed
    now_has = f"{now_has} {drawn}"
    event = b"event: look\ndata: " + orjson.dumps(said) + b"\n\n"
    return (b"id: " + now_has.encode() + b"\n" + event if now_has != have else event), now_has


def _seconds(look: Look) -> float:
    began = look.alert.started_at
    return (look.at - began).total_seconds() if began else 0.0
