"""Asking again at once, by hand, those who were asked for an approval and have not answered."""

from __future__ import annotations

from datetime import datetime, timedelta

from broadcaster import audit
from broadcaster.alerts import approval_calls, authority, draft
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, Refused
from broadcaster.people.officials import Actor, authority_so_far

EVERY = timedelta(minutes=5)
"""Between two messages about one alert that somebody may cause: a telephone that never rests is
switched off."""
_ACTION = "alert.approval_reminded"
_ABLE = (None, authority.Bar.NOT_ENROLLED)


async def remind(conn: Conn, actor: Actor, now: datetime, public_url: str, code: str) -> int:
    """Ask again everybody who was asked and may decide; returns how many messages go out.

    Raises NotFound, NotAllowed, Conflict (decided meanwhile, nobody asked yet, asked lately) and
    Refused where none of them has an address.
    """
    found = (await draft.load(conn, actor, code)).alert
    if found.unit_id not in await authority_so_far(conn, actor, "author", "approver"):
        raise NotAllowed(
            "not_yours_to_remind",
            "Bạn không có quyền ở đơn vị phát tin này. Gọi điện cho người duyệt.",
            "Your roles do not reach the unit that issues this alert. Call the approver.",
        )
    async with conn.transaction():
        held = await conn.fetchval(
            "SELECT alert_id FROM alert WHERE alert_id = $1 AND state = 'submitted' FOR UPDATE",
            found.alert_id,
        )
        if held is None:
            raise Conflict(
                "not_waiting",
                "Tin này không còn chờ duyệt. Tải lại trang để xem.",
                "This alert no longer waits for its approval. Reload the page to see.",
            )
        alert = await draft.find(conn, found.alert_id)
        await _rested(conn, now, alert)
        officials = await _unanswered(conn, alert)
        mark = f"by:{actor.official_id}:{int(now.timestamp())}"
        told = await approval_calls.send(
            conn, now, public_url, alert, officials, mark, by=actor.name
        )
        if not told:
            raise Refused(
                "nobody_to_remind",
                "Những người được hỏi không có địa chỉ nào để nhắc. Gọi điện cho họ.",
                "None of those who were asked has an address to remind. Call them.",
            )
        await audit.record(
            conn, actor.official_id, now, _ACTION, "alert", alert.alert_id,
            version=alert.version, officials=officials, messages=told,
        )  # fmt: skip
    return told


async def _rested(conn: Conn, now: datetime, alert: Alert) -> None:
    """Refuse while those who were asked have not had time to answer."""
    last: datetime | None = await conn.fetchval(
        "SELECT greatest((SELECT max(asked_at) FROM approval_ask"
        "  WHERE alert_id = $1 AND version = $2),"
        " (SELECT max(at) FROM audit WHERE subject = 'alert' AND subject_id = $1"
        "  AND action = $3))",
        alert.alert_id,
        alert.version,
        _ACTION,
    )
    if last is None:
        raise Conflict(
            "not_asked_yet",
            "Người duyệt được hỏi trong vài giây nữa. Chờ một chút.",
            "The approvers are asked within seconds. Wait a moment.",
        )
    left = last + EVERY - now
    if left > timedelta():
        minutes = -(-int(left.total_seconds()) // 60)
        raise Conflict(
            "reminded_lately",
            f"Vừa hỏi xong. Nhắc lại được sau {minutes} phút; cần ngay thì gọi điện.",
            f"They have just been asked. Remind them in {minutes} minutes; call if it is urgent.",
            minutes=minutes,
        )


async def _unanswered(conn: Conn, alert: Alert) -> list[int]:
    """Return those who were asked and may still decide."""
    rows = await conn.fetch(
        "SELECT DISTINCT unnest(officials) AS official_id FROM approval_ask"
        " WHERE alert_id = $1 AND version = $2 ORDER BY 1",
        alert.alert_id,
        alert.version,
    )
    answer = await authority.of_alert(conn, alert)
    return [row["official_id"] for row in rows if answer.bar_of(row["official_id"]) in _ABLE]
