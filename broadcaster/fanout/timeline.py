"""Everything that was done about an alert, by whom and when, in one line from oldest to newest.

What people did stands in the trail; what the service did is read from the rows that its own
transactions wrote: versions, the first and last hand-off, the steps of a cascade, its providers.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from broadcaster import audit
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.fanout.against import Against

MOST = 500
"""Rows of the trail that are read; the newest, should there ever be more."""
_MOST_EVENTS = 100
NEARLY = 0.99


class Group(enum.StrEnum):
    """What an entry is about: a reader may look at some of them only."""

    PEOPLE = "people"
    """Written, asked, decided: what somebody answers for."""
    SENDING = "sending"
    CARRIERS = "carriers"
    LOOKED = "looked"
    """Who looked at whom it went to."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened; `by` is a name, None for the service itself."""

    at: datetime
    group: Group
    what: str
    by: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


_LOOKS = {
    "alert.explained", "alert.record_shown", "alert.recipients_shown", "alert.exported",
}  # fmt: skip
_SERVICE = {
    "alert.sending", "alert.sent", "alert.expired", "alert.scheduled", "alert.superseded",
    "alert.replayed",
}  # fmt: skip


async def of_alert(conn: Conn, alert: Alert, facts: Against | None) -> list[Entry]:
    """Return the whole line of an alert, newest last; `facts` are of the same alert."""
    entries = await _trail(conn, alert)
    # Whose edit sent an alert back to its beginning stands in the trail already.
    edited = {one.detail.get("version") for one in entries if one.what == "alert.edited"}
    entries += [one for one in await _versions(conn, alert) if one.detail["version"] not in edited]
    if alert.started_at is not None:
        entries += await _handed_off(conn, alert)
        if facts is not None:
            entries += _reached(alert.started_at, facts)
        entries += await _steps(conn, alert)
        channels = [one.channel for one in facts.series] if facts else []
        entries += await _carriers(conn, alert, channels)
    order = {group: number for number, group in enumerate(Group)}
    return sorted(entries, key=lambda one: (one.at, order[one.group]))


async def _trail(conn: Conn, alert: Alert) -> list[Entry]:
    rows = await audit.trail(conn, "alert", alert.alert_id, MOST)
    asked = {official for row in rows for official in row.detail.get("officials", ()) or ()}
    names = await _names(conn, asked) if asked else {}
    entries = []
    for row in reversed(rows):
        group = Group.PEOPLE
        if row.action in _LOOKS:
            group = Group.LOOKED
        elif row.action in _SERVICE:
            group = Group.SENDING
        detail = dict(row.detail)
        if "officials" in detail:
            detail["names"] = [names[one] for one in detail["officials"] if one in names]
        entries.append(Entry(row.at, group, row.action, row.by, detail))
    return entries


async def _names(conn: Conn, official_ids: Iterable[int]) -> dict[int, str]:
    rows = await conn.fetch(
        "SELECT official_id, name FROM official WHERE official_id = ANY($1)", list(official_ids)
    )
    return {row["official_id"]: row["name"] for row in rows}


async def _versions(conn: Conn, alert: Alert) -> list[Entry]:
    """Tell who wrote: versions that one person saved one after another are one entry."""
    rows = await conn.fetch(
        "SELECT v.version, v.saved_at, o.name AS by FROM alert_version v"
        " JOIN official o ON o.official_id = v.saved_by"
        " WHERE v.alert_id = $1 AND v.version > 1 ORDER BY v.version LIMIT $2",
        alert.alert_id,
        MOST,
    )
    entries: list[Entry] = []
    for row in rows:
        last = entries[-1] if entries else None
        first = row["version"]
        if last and last.by == row["by"] and row["saved_at"] - last.at < timedelta(minutes=10):
            entries.pop()
            first = last.detail["first"]
        detail = {"first": first, "version": row["version"]}
        entries.append(Entry(row["saved_at"], Group.PEOPLE, "alert.saved", row["by"], detail))
    return entries


async def _handed_off(conn: Conn, alert: Alert) -> list[Entry]:
    at = await conn.fetchval(
        "SELECT first_handoff_at FROM alert WHERE alert_id = $1", alert.alert_id
    )
    return [Entry(at, Group.SENDING, "sending.first")] if at else []


def _reached(began: datetime, facts: Against) -> list[Entry]:
    """Tell when each channel had nothing left to do, and when nearly all had left."""
    entries = []
    for one in facts.series:
        if one.ended is not None:
            detail = {
                "channel": one.channel,
                "messages": one.points[-1].messages,
                "seconds": one.ended,
            }
            entries.append(_after(began, one.ended, "sending.channel_ended", detail))
    nearly = facts.whole.within(NEARLY) if facts.whole else None
    if nearly is not None:
        promised = facts.told.within(NEARLY) if facts.told else None
        detail = {"share": NEARLY, "seconds": nearly, "foretold": promised}
        entries.append(_after(began, nearly, "sending.nearly", detail))
    return entries


def _after(began: datetime, seconds: float, what: str, detail: Mapping[str, Any]) -> Entry:
    return Entry(began + timedelta(seconds=seconds), Group.SENDING, what, None, detail)


async def _steps(conn: Conn, alert: Alert) -> list[Entry]:
    """Tell of the cascade's later steps, once they are written; those to come have no moment."""
    rows = await conn.fetch(
        "SELECT step, due_at, channels::text[] AS channels, filter FROM audience_step"
        " WHERE alert_id = $1 AND step > 0 AND expanded_at IS NOT NULL ORDER BY step",
        alert.alert_id,
    )
    return [
        Entry(
            row["due_at"],
            Group.SENDING,
            "sending.step",
            None,
            {"step": row["step"], "channels": row["channels"], "to": row["filter"]},
        )
        for row in rows
    ]


async def _carriers(conn: Conn, alert: Alert, channels: Sequence[str]) -> list[Entry]:
    """Tell what happened to providers of its channels while it was being sent."""
    until = alert.sent_at or alert.ended_at
    rows = await conn.fetch(
        "SELECT e.at, e.what, e.was, e.now, e.detail, p.name, p.account, p.channel::text AS channel"
        " FROM provider p CROSS JOIN LATERAL (SELECT * FROM provider_event e"
        "  WHERE e.provider_id = p.provider_id AND e.what <> 'test' AND e.at >= $1"
        "  AND ($2::timestamptz IS NULL OR e.at <= $2) ORDER BY e.event_id DESC LIMIT $4) e"
        " WHERE p.channel::text = ANY($3) ORDER BY e.at",
        alert.started_at,
        until,
        channels,
        _MOST_EVENTS,
    )
    return [
        Entry(
            row["at"],
            Group.CARRIERS,
            f"carrier.{row['what']}_{row['now']}",
            row["detail"].get("by"),
            {
                "provider": f"{row['name']} {row['account']}".strip(),
                "channel": row["channel"],
                "reason": row["detail"].get("reason", ""),
            },
        )
        for row in rows
    ]
