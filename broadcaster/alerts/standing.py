"""How an alert stands: in force, or what ended it. The one place that says so, for every page.

An alert is in force from its first hand-off until its end, unless it was stopped or something
newer of its root has begun. What says that an earlier message holds no more (an all-clear, a
cancel, a correction) is never in force itself: it closes.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from broadcaster.db import Conn

CLOSES = ("all_clear", "cancel", "correction")
"""Kinds that end a matter and warn of nothing."""


class Standing(enum.StrEnum):
    """How a message that has begun stands."""

    IN_FORCE = "in_force"
    CLOSING = "closing"
    """The newest word of its root, and it says that what came before holds no more."""
    REPLACED = "replaced"
    ALL_CLEAR = "all_clear"
    CANCELLED = "cancelled"
    CORRECTED = "corrected"
    """It was sent in error."""
    STOPPED = "stopped"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Newer:
    """The newest message that has begun after another one of the same root."""

    code: str
    kind: str
    follows_id: int
    """The alert it was written about."""
    follows_kind: str


@dataclass(frozen=True, slots=True)
class Stands:
    """How one alert stands, and what took its place."""

    standing: Standing
    newer: Newer | None


def begun(alias: str) -> str:
    """Write the SQL for: sending began, whatever became of it."""
    return (
        f"({alias}.approved_version IS NOT NULL"
        f" AND coalesce({alias}.first_handoff_at, {alias}.started_at) IS NOT NULL)"
    )


def newer(alias: str) -> str:
    """Write the SQL that joins, as `n`, the newest message that took an alert's place, or nulls."""
    return f"""LEFT JOIN LATERAL (
    SELECT b.code, b.kind, b.predecessor_id AS follows_id, c.kind AS follows_kind
    FROM alert b LEFT JOIN alert c ON c.alert_id = b.predecessor_id
    WHERE coalesce(b.root_id, b.alert_id) = coalesce({alias}.root_id, {alias}.alert_id)
        AND b.sequence > {alias}.sequence AND {begun("b")}
    ORDER BY b.sequence DESC, b.alert_id DESC LIMIT 1
) n ON true"""


def in_force(alias: str, now: str) -> str:
    """Write the SQL for: an alert or update that holds at `now`, an expression such as "$1"."""
    return (
        f"({alias}.kind NOT IN {CLOSES} AND {alias}.state IN ('sending', 'sent')"
        f" AND {alias}.expires > {now} AND {begun(alias)}"
        f" AND NOT EXISTS (SELECT FROM alert b WHERE coalesce(b.root_id, b.alert_id)"
        f"  = coalesce({alias}.root_id, {alias}.alert_id)"
        f"  AND b.sequence > {alias}.sequence AND {begun('b')}))"
    )


def live(alias: str, now: str) -> str:
    """Write the SQL for: in force, or on its way: approved, waiting for its time, being sent."""
    # Said first as the index of these states says it: of a hundred thousand alerts, ten are live.
    return (
        f"({alias}.state IN ('approved', 'scheduled', 'sending', 'sent')"
        f" AND {alias}.expires > {now} AND ({alias}.state <> 'sent' OR {in_force(alias, now)}))"
    )


def over(alias: str, now: str) -> str:
    """Write the SQL for: ended, rejected, or begun and not live any more."""
    return (
        f"({alias}.state IN ('stopped', 'expired', 'rejected')"
        f" OR {alias}.started_at IS NOT NULL AND NOT {live(alias, now)})"
    )


def of(
    alert_id: int, kind: str, state: str, expires: datetime, newest: Newer | None, now: datetime
) -> Standing:
    """Say how a message that has begun stands."""
    if newest is not None:
        return _ended_by(alert_id, newest)
    if state == "stopped":
        return Standing.STOPPED
    if expires <= now or state == "expired":
        return Standing.EXPIRED
    return Standing.CLOSING if kind in CLOSES else Standing.IN_FORCE


def _ended_by(alert_id: int, newest: Newer) -> Standing:
    """Say what the newest message made of an earlier one.

    A correction says "in error" of the one message it follows. What came before that one was
    replaced, and so was an alert whose all-clear was taken back: nobody called the alert off.
    """
    match newest.kind:
        case "all_clear":
            return Standing.ALL_CLEAR
        case "correction" if newest.follows_id == alert_id:
            return Standing.CORRECTED
        case "cancel" if newest.follows_id == alert_id or newest.follows_kind != "all_clear":
            return Standing.CANCELLED
        case _:
            return Standing.REPLACED


async def stands(conn: Conn, now: datetime, alert_ids: Sequence[int]) -> dict[int, Stands]:
    """Return how alerts stand, by id; those that have not begun are left out."""
    rows = await conn.fetch(
        "SELECT a.alert_id, a.kind, a.state::text AS state, a.expires, n.code AS newer_code,"
        f" n.kind AS newer_kind, n.follows_id, n.follows_kind FROM alert a {newer('a')}"
        f" WHERE a.alert_id = ANY($1) AND {begun('a')}",
        alert_ids,
    )
    found = {}
    for row in rows:
        newest = None
        if row["newer_code"] is not None:
            newest = Newer(
                row["newer_code"], row["newer_kind"], row["follows_id"], row["follows_kind"]
            )
        standing = of(row["alert_id"], row["kind"], row["state"], row["expires"], newest, now)
        found[row["alert_id"]] = Stands(standing, newest)
    return found
