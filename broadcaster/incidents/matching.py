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
    sent = await conn.fetchval(
        "SELECT d.alert_id FROM delivery d JOIN alert a USING (alert_id)"
        " WHERE d.endpoint_id = ANY($1) AND d.state::text = ANY($2) AND a.expires > $3"
        " ORDER BY coalesce(a.first_handoff_at, a.started_at) DESC NULLS LAST, d.alert_id DESC"
        " LIMIT 1",
        endpoint_ids, _ARRIVED, now - ANSWERED_WITHIN,
    )  # fmt: skip
    return Match(sent, LAST_SENT if sent is not None else "")
