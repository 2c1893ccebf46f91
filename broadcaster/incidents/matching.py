"""Which alert a message answers: by what it says itself, else by what was last sent there.

Brandname senders are one-way and replies come to another number, so there is no thread to go by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.db import Conn

ANSWERED_WITHIN = timedelta(days=3)
"""After an alert's end: a message later than that is about something else."""
REPLY_TOKEN, NAMED, LAST_SENT = "reply_token", "named", "last_sent"
_ARRIVED = ["handed_off", "confirmed", "seen", "unknown"]


@dataclass(frozen=True, slots=True)
class Match:
    """The alert and why it was chosen; without an alert the reason is empty."""

    alert_id: int | None
    reason: str


async def of_exercise(conn: Conn, now: datetime, alert_id: int | None) -> bool:
    """Say whether what answers this alert belongs to an exercise.

    Only while the exercise lasts: whoever writes afterwards means what is happening.
    """
    return bool(
        await conn.fetchval(
            "SELECT status = 'Exercise' AND expires > $2 AND state IN ('sending', 'sent')"
            " AND superseded_by IS NULL FROM alert WHERE alert_id = $1",
            alert_id,
            now,
        )
    )


async def match(
    conn: Conn,
    now: datetime,
    endpoint_ids: Sequence[int],
    *,
    replied_to: int | None = None,
    named: str = "",
) -> Match:
    """Match by the mail's own token, the code the app names, or the newest alert sent there."""
    for reason, condition, value in (
        (REPLY_TOKEN, "alert_id = $1", replied_to),
        (NAMED, "code = $1", named),
    ):
        if value:
            known = await conn.fetchval(f"SELECT alert_id FROM alert WHERE {condition}", value)
            if known is not None:
                return Match(known, reason)
    # Alert by alert, the newest first, up to the first that was sent there: one look-up each by
    # the key of its deliveries. LATERAL keeps the planner from reading the deliveries of all.
    sent = await conn.fetchval(
        "SELECT a.alert_id FROM ("
        "  SELECT alert_id, coalesce(first_handoff_at, started_at) AS at FROM alert"
        "  WHERE expires > $3 ORDER BY at DESC NULLS LAST, alert_id DESC OFFSET 0) a"
        " CROSS JOIN LATERAL (SELECT FROM delivery d WHERE d.alert_id = a.alert_id"
        "  AND d.endpoint_id = ANY($1) AND d.state::text = ANY($2) LIMIT 1) d"
        " ORDER BY a.at DESC NULLS LAST, a.alert_id DESC LIMIT 1",
        endpoint_ids, _ARRIVED, now - ANSWERED_WITHIN,
    )  # fmt: skip
    return Match(sent, LAST_SENT if sent is not None else "")
