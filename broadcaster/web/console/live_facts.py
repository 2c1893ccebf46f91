"""What an alert's page shows: gathered once for everybody who looks, put into words for each.

`gather` asks the database and knows neither reader nor language; `spoken` adds what a language
needs; `answers` is what depends on how far a reader's roles reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from aiohttp import web

from broadcaster.alerts import (
    approval_calls,
    approver_checks,
    authority,
    draft,
    escalation,
    lifecycle,
)
from broadcaster.alerts.draft import Alert, Draft
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import Conn
from broadcaster.fanout import against, alarms, change, quiet, reach_series, tally, timeline
from broadcaster.fanout.alarms import What
from broadcaster.fanout.audience import AudienceBrokenError
from broadcaster.fanout.obstacles import Obstacle, obstacles
from broadcaster.fanout.progress import ChannelProgress, progress, reach
from broadcaster.incidents import board
from broadcaster.people.officials import Actor
from broadcaster.states import AlertState
from broadcaster.web.console import approvers, delivery, live_parts
from broadcaster.web.kept import Kept
from broadcaster.web.keys import CLOCK, GEOGRAPHY, KEYRING

MOVING = frozenset({AlertState.APPROVED, AlertState.SCHEDULED, AlertState.SENDING})
_WATCHED = frozenset({AlertState.SUBMITTED, AlertState.SENT})
"""Others may still change what the page shows: a decision, an answer, a follow-up."""
_REPLIES = 5
# People are frozen once: who has counted them need not count them again each second.
_differences: Kept[int, change.Counts] = Kept(64)
# One row says whether anything of a page has changed, but what carriers do while it is sent.
_STAMP = """
SELECT a.state::text, a.version, a.expires, a.updated_at,
    (SELECT array_agg(p::text ORDER BY p.channel) FROM progress p WHERE p.alert_id = a.alert_id),
    (SELECT max(t.audit_id) FROM audit t WHERE t.subject = 'alert' AND t.subject_id = a.alert_id),
    (SELECT t.counted_at FROM commune_tally t WHERE t.alert_id = a.alert_id),
    (SELECT max(r.at) FROM reach_point r WHERE r.alert_id = a.alert_id),
    (SELECT count(*) FROM approval_ask k WHERE k.alert_id = a.alert_id AND k.version = a.version),
    (SELECT count(*) FROM alarm l WHERE l.what = 'nobody_approves'
        AND l.subject = 'alert:' || a.alert_id AND l.cleared_at IS NULL) AS unanswered,
    (SELECT max(i.updated_at) FROM incident i WHERE i.alert_id = a.alert_id) AS newest_answer,
    (SELECT string_agg(f.state::text, '.' ORDER BY f.sequence) FROM alert f
        WHERE coalesce(f.root_id, f.alert_id) = coalesce(a.root_id, a.alert_id))
FROM alert a WHERE a.alert_id = $1
"""


async def stamp(conn: Conn, alert_id: int) -> asyncpg.Record:
    """Return what tells one state of a page from the next, by one question; raises NotFound."""
    found = await conn.fetchrow(_STAMP, alert_id)
    if found is None:
        raise draft.no_such_alert(alert_id)
    return found


async def approved_of(conn: Conn, alert: Alert) -> Snapshot | None:
    """Return what was approved; None before that."""
    if alert.approved_at is None:
        return None
    return await lifecycle.snapshot(conn, alert.alert_id)


async def gather(
    conn: Conn, app: web.Application, loaded: Draft, approved: Snapshot | None
) -> dict[str, Any]:
    """Return what the page shows, whoever reads it in whatever language."""
    alert, now = loaded.alert, app[CLOCK]()
    atlas = await app[GEOGRAPHY].atlas_for(
        loaded.content.area, approved.document if approved else None
    )
    counted = await tally.of_alert(conn, alert.alert_id)
    facts = await against.of_alert(conn, alert, approved, counted)
    channels = await progress(conn, alert.alert_id)
    whole = delivery.total_of(channels)
    line = await timeline.of_alert(conn, alert, facts)
    moving = _moving(alert, now, whole, counted)
    end = alert.sent_at or alert.ended_at or now
    return {
        "alert": alert,
        "atlas": atlas,
        "tally": counted,
        "against": facts,
        "line": line,
        "points": live_parts.thinned(facts.whole) if facts and facts.whole else [],
        "drawn": live_parts.drawn_stamp(facts),
        "refused": alert.state in (AlertState.RETURNED, AlertState.REJECTED),
        "channels": [delivery.of(channel) for channel in channels],
        "whole": whole,
        "reached": await reach(conn, alert.alert_id),
        "difference": await _difference(conn, alert),
        "obstacles": await _obstacles(conn, now, channels) if whole.pending else {},
        "held_until": _held_until(now, alert, approved) if whole.pending else None,
        "moving": moving,
        "watched": moving or alert.state in _WATCHED,
        "stoppable": alert.state in MOVING,
        "took": (end - alert.started_at).total_seconds() if alert.started_at else None,
        "held": any(one.what == "alert.scheduled" and one.detail.get("quiet") for one in line),
        "seen": await _seen(conn, alert),
        **await _awaited(conn, app, alert),
    }


def spoken(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts with what is said in the language of this request."""
    answer = facts["may_approve"]
    return {
        **facts,
        "communes": live_parts.shares(facts["tally"], facts["atlas"]),
        "approvers": approvers.said(answer, nobody=facts["nobody"]) if answer else None,
    }


async def answers(conn: Conn, actor: Actor, alert: Alert) -> dict[str, Any]:
    """Return what people answered, as far as the reader's roles reach."""
    asked = board.Filters(states=(), alert_id=alert.alert_id, exercise=None)
    listed = await board.list_incidents(conn, actor, asked, limit=_REPLIES)
    return {
        "replies": listed.incidents,
        "answered": sum((await board.count_incidents(conn, actor, asked)).values()),
    }


def _moving(alert: Alert, now: datetime, whole: delivery.Delivery, counted: Any) -> bool:
    """Tell whether the figures still change by themselves."""
    # Receipts go on arriving after the last hand-off, and what a stopped or expired alert has not
    # handed off is closed a moment later: the page keeps up until the figures stand.
    open_ends = whole.pending + whole.unknown
    if alert.state is AlertState.SENT:
        open_ends += whole.handed_off
    # Communes are counted a moment after the last message moved.
    behind = bool(whole.total) and (counted is None or not counted.exact)
    followed = alert.started_at and now - alert.started_at < reach_series.FOLLOWED
    return alert.state in MOVING or open_ends > 0 or bool(behind and followed)


async def _seen(conn: Conn, alert: Alert) -> str:
    """Return the state of an alert and of what follows it: what may be done next hangs on them."""
    family = await draft.family(conn, alert.root_id)
    later = [one.state.value for one in family if one.sequence > alert.sequence]
    return ".".join([alert.state.value, *later])


async def _awaited(conn: Conn, app: web.Application, alert: Alert) -> dict[str, Any]:
    """Return who may approve and who was asked, while that is what an alert waits for."""
    if alert.state is not AlertState.SUBMITTED:
        return {"asking": None, "may_approve": None, "nobody": None}
    answer, subject = await authority.of_alert(conn, alert), f"alert:{alert.alert_id}"
    called = await approval_calls.called(conn, app[KEYRING], [alert])
    return {
        "asking": await escalation.progress(conn, alert, answer),
        "may_approve": answer,
        "nobody": await approver_checks.check(conn, alert, answer),
        "called": called[alert.alert_id],
        "unanswered": await alarms.stands(conn, app[CLOCK](), What.NOBODY_APPROVES, subject),
    }


async def _difference(conn: Conn, alert: Alert) -> change.Counts | None:
    """Return whom an update added, kept and left out; None for others, or before it began."""
    if alert.kind != "update" or alert.started_at is None or alert.predecessor_id is None:
        return None
    found = _differences.find(alert.alert_id)
    if found is not None:
        return found
    try:
        counts = await change.carried_out(conn, alert.alert_id, alert.predecessor_id)
    except (LookupError, AudienceBrokenError):
        # The record says which link is broken; the page still has to show how far sending is.
        return None
    return _differences.keep(alert.alert_id, counts)


def _held_until(now: datetime, alert: Alert, approved: Snapshot | None) -> datetime | None:
    """Return when the quiet hours end that hold back the rest of what is being sent."""
    if alert.state is not AlertState.SENDING or approved is None:
        return None
    hours = quiet.of_snapshot(approved)
    return hours.until(now) if hours else None


async def _obstacles(
    conn: Conn, now: datetime, channels: Sequence[ChannelProgress]
) -> dict[str, list[Obstacle]]:
    """Return by channel which provider accounts keep its messages waiting."""
    waiting = [channel.channel for channel in channels if channel.pending]
    found: dict[str, list[Obstacle]] = {}
    for one in await obstacles(conn, now, waiting):
        found.setdefault(one.channel, []).append(one)
    return found
