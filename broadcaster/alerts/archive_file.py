"""What was found in the archive, as a CSV file: one line an alert, whom it went to and how far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from broadcaster import spreadsheet
from broadcaster.alerts.draft import HANOI, Alert
from broadcaster.db import Conn
from broadcaster.fanout.progress import ChannelProgress, progress_of

COLUMNS = (
    "code", "kind", "status", "class", "event", "state", "title", "unit", "author", "approver",
    "follows", "written_at", "began_at", "expires", "ended_at", "reason", "messages", "handed_off",
    "confirmed", "failed", "unknown",
)  # fmt: skip


def heading() -> str:
    """Return the first line."""
    return spreadsheet.heading(COLUMNS)


async def lines(conn: Conn, alerts: Sequence[Alert]) -> str:
    """Return alerts as lines, times on Hanoi's clock."""
    ids = [alert.alert_id for alert in alerts]
    counts = await progress_of(conn, ids)
    roots = await conn.fetch(
        "SELECT a.alert_id, p.code FROM alert a JOIN alert p ON p.alert_id = a.predecessor_id"
        " WHERE a.alert_id = ANY($1)",
        ids,
    )
    follows = {row["alert_id"]: row["code"] for row in roots}
    return spreadsheet.lines(
        (*_about(alert, follows.get(alert.alert_id, "")), *_sent(counts[alert.alert_id]))
        for alert in alerts
    )


def _about(alert: Alert, follows: str) -> tuple[str, ...]:
    return (
        alert.code, alert.kind, alert.status, alert.alert_class, alert.event, alert.state.value,
        alert.title, alert.unit_name, alert.author_name, alert.approver_name or "", follows,
        _time(alert.created_at), _time(alert.started_at), _time(alert.expires),
        _time(alert.ended_at), alert.ended_reason or "",
    )  # fmt: skip


def _sent(channels: Sequence[ChannelProgress]) -> tuple[int, ...]:
    taken = sum(one.handed_off + one.confirmed + one.seen for one in channels)
    return (
        sum(one.total for one in channels),
        taken,
        sum(one.confirmed + one.seen for one in channels),
        sum(one.failed for one in channels),
        sum(one.unknown for one in channels),
    )


def _time(moment: datetime | None) -> str:
    return moment.astimezone(HANOI).isoformat(timespec="seconds") if moment else ""
