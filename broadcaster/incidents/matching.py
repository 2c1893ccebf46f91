"""Which alert a message answers: by what it says itself, else by what was last sent there.

Brandname senders are one-way and replies come to another number, so there is no thread to go by.
Where a real alert in force and an exercise may both be meant, it is the real one: somebody in
danger must not be taken for part of a rehearsal.
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

    Only while the exercise lasts, in whichever message of its line: whoever writes afterwards, also
    after its all-clear, means what is happening.
    """
    return bool(
        await conn.fetchval(
            "SELECT EXISTS (SELECT FROM alert a JOIN alert b"
            "  ON coalesce(b.root_id, b.alert_id) = coalesce(a.root_id, a.alert_id)"
            "  WHERE a.alert_id = $1 AND a.status = 'Exercise' AND NOT a.training"
            "  AND b.kind IN ('alert', 'update') AND b.expires > $2"
            "  AND b.state IN ('sending', 'sent') AND b.superseded_by IS NULL)",
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
    sent = await _last_sent(conn, now, endpoint_ids)
    if sent is not None and await of_exercise(conn, now, sent):
        sent = await _last_sent(conn, now, endpoint_ids, real_in_force=True) or sent
    return Match(sent, LAST_SENT if sent is not None else "")


async def _last_sent(
    conn: Conn, now: datetime, endpoint_ids: Sequence[int], *, real_in_force: bool = False
) -> int | None:
    """Return the newest alert sent to any of these endpoints, of all or of those real and in force.

    Alert by alert, the newest first, up to the first that was sent there: one look-up each by the
    key of its deliveries. LATERAL keeps the planner from reading the deliveries of all.
    """
    sent: int | None = await conn.fetchval(
        "SELECT a.alert_id FROM ("
        "  SELECT alert_id, coalesce(first_handoff_at, started_at) AS at FROM alert"
        # What training accounts send is booked as handed off and has reached nobody.
        "  WHERE expires > $3 AND NOT training AND (NOT $4 OR (status = 'Actual' AND expires > $5"
        "   AND state IN ('sending', 'sent') AND superseded_by IS NULL))"
        "  ORDER BY at DESC NULLS LAST, alert_id DESC OFFSET 0) a"
        " CROSS JOIN LATERAL (SELECT FROM delivery d WHERE d.alert_id = a.alert_id"
        "  AND d.endpoint_id = ANY($1) AND d.state::text = ANY($2) LIMIT 1) d"
        " ORDER BY a.at DESC NULLS LAST, a.alert_id DESC LIMIT 1",
        endpoint_ids, _ARRIVED, now - ANSWERED_WITHIN, real_in_force, now,
    )  # fmt: skip
    return sent
