"""Remarks on a draft, for whoever writes it and whoever approves it; they change no version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from broadcaster import audit
from broadcaster.alerts import draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotFound, Refused
from broadcaster.people.officials import Actor

MOST_LETTERS = 1000
_FIELD_LETTERS = 80


@dataclass(frozen=True, slots=True)
class Comment:
    """One remark."""

    comment_id: int
    version: int
    field: str
    """Which field it is about, as the compose screen names it; empty: the whole draft."""
    text: str
    author_name: str
    written_at: datetime
    resolved_by_name: str | None
    resolved_at: datetime | None


async def of_alert(conn: Conn, alert_id: int) -> list[Comment]:
    """Return an alert's remarks: what is open first, then what is settled, each oldest first."""
    rows = await conn.fetch(
        "SELECT c.comment_id, c.version, c.field, c.text, w.name AS author_name, c.written_at,"
        " r.name AS resolved_by_name, c.resolved_at FROM alert_comment c"
        " JOIN official w ON w.official_id = c.written_by"
        " LEFT JOIN official r ON r.official_id = c.resolved_by"
        " WHERE c.alert_id = $1 ORDER BY c.resolved_at IS NOT NULL, c.comment_id",
        alert_id,
    )
    return [Comment(**row) for row in rows]


async def count_open(conn: Conn, alert_id: int) -> int:
    """Count the remarks that nobody has settled."""
    return int(
        await conn.fetchval(
            "SELECT count(*) FROM alert_comment WHERE alert_id = $1 AND resolved_at IS NULL",
            alert_id,
        )
    )


async def write(
    conn: Conn, actor: Actor, now: datetime, code: str, text: str, field: str = ""
) -> Alert:
    """Remark on an alert one can see; raises Refused, NotFound."""
    text = text.strip()
    if not 0 < len(text) <= MOST_LETTERS:
        raise Refused(
            "comment_length",
            f"Góp ý có {len(text)} chữ. Viết từ 1 đến {MOST_LETTERS} chữ.",
            f"The remark has {len(text)} letters. Write 1 to {MOST_LETTERS}.",
            where="text",
        )
    alert = (await draft.load(conn, actor, code)).alert
    comment_id = await conn.fetchval(
        "INSERT INTO alert_comment (alert_id, version, field, text, written_by, written_at)"
        " VALUES ($1, $2, $3, $4, $5, $6) RETURNING comment_id",
        alert.alert_id,
        alert.version,
        field[:_FIELD_LETTERS],
        text,
        actor.official_id,
        now,
    )
    await audit.record(
        conn, actor.official_id, now, "alert.commented", "alert", alert.alert_id,
        comment=comment_id,
    )  # fmt: skip
    return alert


async def resolve(conn: Conn, actor: Actor, now: datetime, code: str, comment_id: int) -> Alert:
    """Mark a remark as settled; raises NotFound, Conflict when somebody did already."""
    alert = (await draft.load(conn, actor, code)).alert
    done = await conn.fetchval(
        "UPDATE alert_comment SET resolved_by = $3, resolved_at = $4"
        " WHERE comment_id = $1 AND alert_id = $2 AND resolved_at IS NULL RETURNING comment_id",
        comment_id,
        alert.alert_id,
        actor.official_id,
        now,
    )
    if done is None:
        raise await _why_not(conn, alert.alert_id, comment_id)
    await audit.record(
        conn, actor.official_id, now, "alert.comment_resolved", "alert", alert.alert_id,
        comment=comment_id,
    )  # fmt: skip
    return alert


async def _why_not(conn: Conn, alert_id: int, comment_id: int) -> Refused:
    known = await conn.fetchval(
        "SELECT comment_id FROM alert_comment WHERE comment_id = $1 AND alert_id = $2",
        comment_id,
        alert_id,
    )
    if known is None:
        return NotFound(
            "comment_not_found",
            "Tin này không có góp ý đó. Tải lại trang.",
            "This alert has no such remark. Reload the page.",
        )
    return Conflict(
        "comment_resolved",
        "Góp ý này vừa được đánh dấu là xong. Tải lại trang.",
        "Somebody has just marked this remark as settled. Reload the page.",
    )
