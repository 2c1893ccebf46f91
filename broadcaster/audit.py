"""The trail of everything officials and the service do. Rows are never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from broadcaster.db import Conn


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
