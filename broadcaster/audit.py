"""The trail of everything officials and the service do. Rows are never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broadcaster.db import Conn


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the trail; `by` is the official's name, None for the service itself."""

    at: datetime
    action: str
    by: str | None
    detail: dict[str, Any]


async def record(
    conn: Conn,
    official_id: int | None,
    now: datetime,
    action: str,
    subject: str,
    subject_id: int | None,
    **detail: Any,
) -> None:
    """Append one row inside the caller's transaction; official None is the service itself."""
    await conn.execute(
        "INSERT INTO audit (at, official_id, action, subject, subject_id, detail)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        now,
        official_id,
        action,
        subject,
        subject_id,
        detail,
    )


async def trail(conn: Conn, subject: str, subject_id: int, limit: int = 100) -> list[Entry]:
    """Return what was done to one thing, the newest first."""
    rows = await conn.fetch(
        "SELECT t.at, t.action, o.name AS by, t.detail FROM audit t"
        " LEFT JOIN official o USING (official_id)"
        " WHERE t.subject = $1 AND t.subject_id = $2 ORDER BY t.audit_id DESC LIMIT $3",
        subject,
        subject_id,
        limit,
    )
    return [Entry(**row) for row in rows]
