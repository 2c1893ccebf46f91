"""Somebody has to be left who may approve: told while it is written, and no later than sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from broadcaster.alerts import authority
from broadcaster.alerts.authority import Answer
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.problem import Problem
from broadcaster.db import Conn
from broadcaster.errors import Refused

CODE = "nobody_approves"


@dataclass(frozen=True, slots=True)
class Left:
    """Who is left to approve an alert as it stands."""

    answer: Answer
    approvers: tuple[int, ...]
    standing_in: tuple[int, ...]
    """Named for the issuing unit; they may once they are asked."""
    wrote: tuple[str, ...]
    """Names of those who might, had they not written on it."""

    @property
    def anybody(self) -> bool:
        """Whether somebody may approve it."""
        return bool(self.approvers or self.standing_in)


async def left(conn: Conn, alert: Alert, answer: Answer, sender: int | None = None) -> Left:
    """Say who may approve an alert; `sender` is who is about to send it and may not either."""
    found = tuple(
        replace(one, wrote=True) if one.official_id == sender else one for one in answer.candidates
    )
    case = replace(answer, candidates=found)
    stand_ins = [one for one in await standing_in(conn, alert) if one != sender]
    return Left(
        answer,
        tuple(one.official_id for one in case.approvers),
        tuple(stand_ins),
        tuple(
            one.name
            for one in found
            if one.wrote
            and authority.bar(case.need, replace(one, wrote=False), training=case.training)
            in authority.MAY
        ),
    )


async def check(conn: Conn, alert: Alert, answer: Answer | None = None) -> Problem | None:
    """Find that nobody may approve an alert as it stands, with the reason.

    `answer` is `authority.of_alert` of it, where the caller has asked that already.
    """
    found = await left(conn, alert, answer or await authority.of_alert(conn, alert))
    return None if found.anybody else problem(found, alert)


async def require_somebody(conn: Conn, alert: Alert, sender: int) -> None:
    """Hold back what nobody could approve once this official has sent it; raises Refused."""
    found = await left(conn, alert, await authority.of_alert(conn, alert), sender)
    if not found.anybody:
        said = problem(found, alert)
        raise Refused(said.code, said.message_vi, said.message_en)


def problem(found: Left, alert: Alert) -> Problem:
    """Say why nobody may approve it, and what to do."""
    if not found.wrote:
        return Problem(
            CODE, True, "approval",
            "Không ai có quyền duyệt tin này. Nhờ người quản trị giao quyền cho một người, hoặc"
            " thu nhỏ vùng.",
            "Nobody may approve this alert. Ask an administrator to give somebody the role, or"
            " make the area smaller.",
        )  # fmt: skip
    names = ", ".join(found.wrote)
    return Problem(
        CODE, True, "approval",
        f"Không còn ai duyệt được tin này: {names} có quyền duyệt nhưng đã soạn, sửa hoặc gửi"
        f" tin. Nhờ người quản trị cử người duyệt thay cho {alert.unit_name}, hoặc soạn lại thành"
        f" tin mới mà {names} không sửa.",
        f"Nobody is left to approve this alert: {names} may approve such alerts but wrote, edited"
        f" or sent this one. Ask an administrator to name a stand-in for {alert.unit_name_en}, or"
        f" write it as a new alert that {names} does not touch.",
    )  # fmt: skip


async def standing_in(conn: Conn, alert: Alert) -> list[int]:
    """Return who stands in for the issuing unit's approvers and did not write the alert."""
    rows = await conn.fetch(
        "SELECT s.official_id FROM approval_substitute s JOIN official o USING (official_id)"
        " WHERE s.unit_id = $1 AND s.ended_at IS NULL AND o.active AND NOT o.training"
        " AND EXISTS (SELECT FROM official_role r WHERE r.official_id = s.official_id"
        "  AND r.role = 'approver')"
        " AND s.official_id NOT IN (SELECT v.saved_by FROM alert_version v WHERE v.alert_id = $2)"
        " AND s.official_id NOT IN ($3, coalesce($4, 0)) ORDER BY s.substitute_id",
        alert.unit_id,
        alert.alert_id,
        alert.author_id,
        alert.submitted_by,
    )
    return [row["official_id"] for row in rows]
