"""What stands around every screen: who is signed in, and how much needs them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.waiting import waiting_for
from broadcaster.cadence import duty
from broadcaster.cadence.duty import Duty
from broadcaster.cadence.rules import Status
from broadcaster.db import Conn
from broadcaster.fanout import alarms
from broadcaster.incidents import board
from broadcaster.people import officials
from broadcaster.people.officials import Actor
from broadcaster.web import render
from broadcaster.web.console import alarm_words
from broadcaster.web.keys import CLOCK, DUTIES, NAV, VISITOR

_MOST = 200
_NAV_KEEPS = timedelta(seconds=3)
"""Gathering what waits takes a dozen queries: not for every page of a fast reader."""
_DUTIES_KEEP = timedelta(seconds=15)
"""Of a city's 126 units it takes longest, and hours pass before one of them falls due."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Everything that waits for one official, the most urgent first."""

    visible: frozenset[int]
    """Units whose alerts they may see."""
    to_approve: list[Alert]
    returned: list[Alert]
    overdue: list[Duty]
    due_soon: list[Duty]
    incidents: dict[str, int]
    """How many are open, by urgency."""

    @property
    def count(self) -> int:
        """How many things only this official can move on; exercises are counted apart."""
        real = sum(not one.exercise for one in (*self.to_approve, *self.returned))
        return real + len(self.overdue)

    @property
    def exercises(self) -> int:
        """How many exercises wait for this official."""
        return sum(one.exercise for one in (*self.to_approve, *self.returned))


def actor_of(request: web.Request) -> Actor:
    """Return who is signed in; the guard has made sure that somebody is."""
    return request[VISITOR].actor


async def needs(conn: Conn, actor: Actor, now: datetime, duties: list[Duty] | None = None) -> Needs:
    """Gather what waits for an official; `duties` where they are known already."""
    visible = await draft.visible_units(conn, actor)
    duties = await _duties(conn, actor, now) if duties is None else duties
    return Needs(
        visible=visible,
        to_approve=await waiting_for(conn, actor, _MOST),
        returned=await draft.select(
            conn,
            "WHERE a.state = 'returned' AND a.author_id = $1 AND a.unit_id = ANY($2::integer[])"
            " ORDER BY a.lane, a.ended_at LIMIT $3",
            actor.official_id,
            list(visible),
            _MOST,
        ),
        overdue=[one for one in duties if one.status is Status.OVERDUE],
        due_soon=[one for one in duties if one.status is Status.DUE_SOON],
        incidents=await board.count_incidents(conn, actor, board.Filters()),
    )


async def _duties(conn: Conn, actor: Actor, now: datetime) -> list[Duty]:
    """Return the duties an official answers for; who only works incidents has none."""
    reach = await officials.authority(conn, actor, "author", "approver", "monitor", "admin")
    return await duty.duty_table(conn, now, reach) if reach else []


async def screen(
    request: web.Request,
    conn: Conn,
    template: str,
    section: str,
    status: int = 200,
    **context: Any,
) -> web.Response:
    """Render a screen inside the console's frame."""
    nav = await _nav(request, conn, context.pop("needs", None))
    standing = await alarms.standing(conn, request.app[CLOCK]())
    return render.page(
        request, f"console/{template}", status, section=section, nav=nav, alarms=standing,
        alarm_subject=alarm_words.subject, alarm_words=alarm_words.words, **context
    )  # fmt: skip


async def _nav(request: web.Request, conn: Conn, waiting: Needs | None) -> dict[str, int]:
    """Return the navigation's figures: fresh where they were just gathered, else a moment old."""
    actor, now, kept = actor_of(request), request.app[CLOCK](), request.app[NAV]
    counted, figures = kept.get(actor.official_id, (None, {}))
    if waiting is None and counted is not None and now - counted < _NAV_KEEPS:
        return figures
    if waiting is None:
        waiting = await needs(conn, actor, now, await _pressing(request, conn, now))
    else:
        request.app[DUTIES][actor.official_id] = (now, [*waiting.overdue, *waiting.due_soon])
    figures = {
        "today": waiting.count,
        "duty": len(waiting.overdue),
        "incidents": sum(waiting.incidents.values()),
    }
    kept[actor.official_id] = (now, figures)
    return figures


async def _pressing(request: web.Request, conn: Conn, now: datetime) -> list[Duty]:
    """Return the duties that press, as they were some seconds ago."""
    actor, kept = actor_of(request), request.app[DUTIES]
    looked, duties = kept.get(actor.official_id, (None, []))
    if looked is None or now - looked >= _DUTIES_KEEP:
        duties = [
            one
            for one in await _duties(conn, actor, now)
            if one.status in (Status.OVERDUE, Status.DUE_SOON)
        ]
        kept[actor.official_id] = (now, duties)
    return duties
