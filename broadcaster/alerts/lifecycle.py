"""Moves of an alert after approval: started, sent, stopped, expired; and its frozen snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from broadcaster import audit
from broadcaster.alerts import exercise, outbox
from broadcaster.alerts.content import Content, canonical, parse
from broadcaster.alerts.draft import Alert, find, load
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.people.officials import Actor, authority_so_far
from broadcaster.states import ALERT_MOVES, ALERT_REPLAYS, AlertState, sources


class SnapshotBrokenError(RuntimeError):
    """A snapshot's bytes do not match the hash that was approved: nothing may be sent."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was approved. Senders read this and nothing else about an alert."""

    alert_id: int
    version: int
    content_hash: bytes
    document: dict[str, Any]
    content: Content


async def snapshot(conn: Conn, alert_id: int) -> Snapshot:
    """Read and verify the approved snapshot; raises SnapshotBrokenError, LookupError."""
    row = await conn.fetchrow(
        "SELECT s.version, s.canonical, s.content_hash FROM alert_snapshot s"
        " JOIN alert a ON a.alert_id = s.alert_id AND a.approved_version = s.version"
        " WHERE s.alert_id = $1",
        alert_id,
    )
    if row is None:
        raise LookupError(f"alert {alert_id} has no approved snapshot")
    document = orjson.loads(row["canonical"])
    if canonical(document) != (row["canonical"], row["content_hash"]):
        raise SnapshotBrokenError(f"alert {alert_id}, version {row['version']}")
    content = parse(document["content"])
    return Snapshot(alert_id, row["version"], row["content_hash"], document, content)


def conflict_of(alert: Alert, version: int) -> Conflict:
    """Make the refusal for when a move finds the alert changed or decided by somebody else."""
    if alert.version != version:
        return Conflict(
            "newer_version",
            f"Tin đã được sửa thành bản {alert.version}. Tải lại để xem bản mới.",
            f"The alert was edited: it is version {alert.version} now. Reload to see it.",
            version=alert.version,
        )
    return Conflict(
        "decided_already",
        "Tin này vừa được người khác xử lý. Tải lại để xem.",
        "Somebody else has just decided on this alert. Reload to see.",
        state=alert.state.value,
    )


async def move(conn: Conn, now: datetime, alert_id: int, target: AlertState) -> bool:
    """Make a move of the service's own (to sending, sent, …); False: not from this state."""
    stamp = {AlertState.SENDING: ", started_at = $2", AlertState.SENT: ", sent_at = $2"}
    moved = await conn.fetchval(
        f"UPDATE alert SET state = $3::alert_state, updated_at = $2{stamp.get(target, '')}"
        " WHERE alert_id = $1 AND state = ANY($4::alert_state[]) RETURNING alert_id",
        alert_id,
        now,
        target.value,
        sources(ALERT_MOVES, target),
    )
    if moved is None:
        return False
    await audit.record(conn, None, now, f"alert.{target.value}", "alert", alert_id)
    return True


async def reopen(conn: Conn, now: datetime, alert_id: int) -> bool:
    """Let an alert in force go on sending, for dead letters that are sent again.

    Inside the caller's transaction, which holds the alert from here on. False when it is not being
    sent any more, is over, or something newer has begun to take its place.
    """
    row = await conn.fetchrow(
        "SELECT state::text AS state, expires > $2 AS lasts, EXISTS (SELECT FROM alert n"
        "  WHERE coalesce(n.root_id, n.alert_id) = coalesce(a.root_id, a.alert_id)"
        "  AND n.sequence > a.sequence AND n.started_at IS NOT NULL) AS superseded"
        " FROM alert a WHERE alert_id = $1 FOR UPDATE",
        alert_id,
        now,
    )
    if row is None or not row["lasts"] or row["superseded"]:
        return False
    if row["state"] in sources(ALERT_REPLAYS, AlertState.SENDING):
        await conn.execute(
            "UPDATE alert SET state = 'sending', updated_at = $2 WHERE alert_id = $1",
            alert_id,
            now,
        )
        return True
    return str(row["state"]) == AlertState.SENDING


async def hold(conn: Conn, now: datetime, alert_id: int, until: datetime, *, quiet: bool) -> bool:
    """Have an approved alert wait until a moment, or until quiet hours end.

    False when it waits or has begun already.
    """
    held = await conn.fetchval(
        "UPDATE alert SET state = 'scheduled', scheduled_for = $3, updated_at = $2"
        " WHERE alert_id = $1 AND state IN ('approved', 'scheduled')"
        " AND (state <> 'scheduled' OR scheduled_for <> $3) RETURNING alert_id",
        alert_id,
        now,
        until,
    )
    if held is None:
        return False
    await audit.record(
        conn, None, now, "alert.scheduled", "alert", alert_id, until=until.isoformat(), quiet=quiet
    )
    return True


async def supersede(conn: Conn, now: datetime, alert_id: int) -> list[int]:
    """End hand-off of everything a follow-up follows; returns the alerts that were sending.

    Senders ask for it at every claim and permit, so from the commit on nothing of them leaves.
    """
    follow = await find(conn, alert_id)
    # Whoever decides what comes next in a root does so one at a time.
    await conn.execute("SELECT FROM alert WHERE alert_id = $1 FOR UPDATE", follow.root_id)
    rows = await conn.fetch(
        "UPDATE alert b SET superseded_by = $1, updated_at = $4,"
        " state = CASE WHEN o.sending THEN 'stopped' ELSE b.state END,"
        " ended_at = CASE WHEN o.sending THEN $4 ELSE b.ended_at END,"
        " ended_reason = CASE WHEN o.sending THEN $5 ELSE b.ended_reason END"
        " FROM (SELECT alert_id, state = 'sending' AS sending FROM alert"
        "  WHERE coalesce(root_id, alert_id) = $2 AND sequence < $3 AND superseded_by IS NULL"
        "  AND started_at IS NOT NULL ORDER BY alert_id FOR UPDATE) o"
        " WHERE b.alert_id = o.alert_id RETURNING b.alert_id, o.sending",
        alert_id,
        follow.root_id,
        follow.sequence,
        now,
        follow.code,
    )
    for row in rows:
        await audit.record(
            conn, None, now, "alert.superseded", "alert", row["alert_id"], code=follow.code
        )
    return [row["alert_id"] for row in rows if row["sending"]]


async def stop(conn: Conn, actor: Actor, now: datetime, alert_id: int, reason: str) -> Alert:
    """End hand-off of an approved, scheduled or sending alert.

    Senders see it at their next permit check, within half a second; what they already handed off
    stays handed off. Raises NotAllowed, Refused (no reason), Conflict (nothing left to stop).
    """
    alert = (await load(conn, actor, alert_id)).alert
    exercise.require_part(actor, alert.training)
    if alert.unit_id not in await authority_so_far(conn, actor, "author", "approver"):
        raise NotAllowed(
            "may_not_stop",
            "Quyền của bạn không gồm đơn vị phát tin này.",
            "Your roles do not reach the unit that issues this alert.",
        )
    if not reason.strip():
        raise Refused("reason_missing", "Ghi lý do dừng phát.", "Say why it is stopped.")
    async with conn.transaction():
        moved = await conn.fetchval(
            "UPDATE alert SET state = 'stopped', ended_by = $2, ended_at = $3, ended_reason = $4,"
            " updated_at = $3 WHERE alert_id = $1 AND state = ANY($5::alert_state[])"
            " RETURNING alert_id",
            alert_id,
            actor.official_id,
            now,
            reason.strip(),
            sources(ALERT_MOVES, AlertState.STOPPED),
        )
        if moved is None:
            raise Conflict(
                "nothing_to_stop",
                "Tin không còn đang phát nên không có gì để dừng.",
                "The alert is not being sent any more; there is nothing to stop.",
                state=(await find(conn, alert_id)).state.value,
            )
        await audit.record(
            conn, actor.official_id, now, "alert.stopped", "alert", alert_id, reason=reason.strip()
        )
    return await find(conn, alert_id)


async def expire_due(conn: Conn, now: datetime) -> int:
    """Move every alert whose end has come; returns how many."""
    due = await conn.fetch(
        "SELECT alert_id FROM alert WHERE expires <= $1 AND state = ANY($2::alert_state[])"
        " LIMIT 500",
        now,
        sources(ALERT_MOVES, AlertState.EXPIRED),
    )
    for row in due:
        async with conn.transaction():
            await move(conn, now, row["alert_id"], AlertState.EXPIRED)
    return len(due)


async def first_handoff(conn: Conn, now: datetime, alert_id: int) -> None:
    """Note the first successful hand-off, once, and order what follows from it."""
    first = await conn.fetchval(
        "UPDATE alert SET first_handoff_at = $2 WHERE alert_id = $1"
        " AND first_handoff_at IS NULL RETURNING alert_id",
        alert_id,
        now,
    )
    if first is not None:
        await outbox.order(conn, now, outbox.Topic.FIRST_HANDOFF, alert_id)
