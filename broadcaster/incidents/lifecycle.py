"""The life of an incident: opened by a report, moved by staff along one table of moves.

Writes the tables incident and incident_report.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.incidents.codes import INCIDENT_PREFIX, tracking_code
from broadcaster.people.officials import Actor, authority_so_far
from broadcaster.states import INCIDENT_MOVES, IncidentState, sources

NEEDS_REASON = frozenset(
    {IncidentState.DUPLICATE, IncidentState.OUT_OF_REMIT, IncidentState.REOPENED}
)
"""Moves that somebody will ask about: closing without work, and opening again."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of an incident when its first report comes."""

    title: str
    category: str
    urgency: str
    alert_id: int | None
    unit_id: int | None
    x: int | None
    y: int | None
    place_source: str
    exercise: bool = False
    """It answers an exercise: kept apart from what happened."""


async def open_incident(conn: Conn, now: datetime, report_id: int, opening: Opening) -> int:
    """Open an incident for a report and link them; return its id."""
    incident_id, tries = None, 0
    while incident_id is None:
        incident_id = await conn.fetchval(
            "INSERT INTO incident (code, category, urgency, title, alert_id, unit_id, x, y,"
            " place_source, opened_at, updated_at, exercise)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)"
            " ON CONFLICT (code) DO NOTHING RETURNING incident_id",
            tracking_code(INCIDENT_PREFIX, tries), opening.category, opening.urgency,
            opening.title, opening.alert_id, opening.unit_id, opening.x, opening.y,
            opening.place_source, now, opening.exercise,
        )  # fmt: skip
        tries += 1
    await conn.execute(
        "INSERT INTO incident_report (report_id, to_incident, at) VALUES ($1, $2, $3)",
        report_id, incident_id, now,
    )  # fmt: skip
    await audit.record(
        conn, None, now, "incident.received", "incident", incident_id, report=report_id
    )
    return int(incident_id)


async def move(
    conn: Conn,
    actor: Actor,
    now: datetime,
    code: str,
    target: IncidentState,
    *,
    reason: str = "",
    assign_to: int | None = None,
) -> None:
    """Move an incident to another state, or refuse and say why; one audit row for each move.

    `assign_to` names an official who is staff where the incident is.
    """
    async with conn.transaction():
        row = await conn.fetchrow(
            "SELECT incident_id, unit_id, state, exercise FROM incident WHERE code = $1 FOR UPDATE",
            code,
        )
        if row is None or not await _reaches(conn, actor, row["unit_id"]):
            raise _not_found(row is not None)
        if actor.training and not row["exercise"]:
            raise NotAllowed(
                "training_account",
                "Sự cố này là thật; tài khoản tập huấn không xử lý được. Báo người trực.",
                "This incident is real, and a training account has no part in it. Tell whoever is"
                " on duty.",
            )
        if target in NEEDS_REASON and not reason.strip():
            raise Refused(
                "reason_missing",
                "Bước này cần lý do; hãy ghi ngắn gọn vì sao.",
                "This step needs a reason; say shortly why.",
            )
        if assign_to is not None:
            await _check_assignee(conn, assign_to, row["unit_id"])
        done = await conn.execute(
            "UPDATE incident SET state = $2, updated_at = $3,"
            " assigned_to = coalesce($4, assigned_to)"
            " WHERE incident_id = $1 AND state::text = ANY($5)",
            row["incident_id"], target, now, assign_to, sources(INCIDENT_MOVES, target),
        )  # fmt: skip
        if done != "UPDATE 1":
            raise _no_such_move(row["state"], target)
        await audit.record(
            conn, actor.official_id, now, f"incident.{target}", "incident", row["incident_id"],
            was=row["state"], reason=reason.strip(), assigned_to=assign_to,
        )  # fmt: skip


async def make_real(conn: Conn, actor: Actor, now: datetime, code: str) -> None:
    """Take an incident out of its exercise: somebody in danger answered a rehearsal.

    There is no way back. Raises NotFound, NotAllowed, Conflict (it is real already).
    """
    async with conn.transaction():
        row = await conn.fetchrow(
            "SELECT incident_id, unit_id, exercise FROM incident WHERE code = $1 FOR UPDATE", code
        )
        if row is None or not await _reaches(conn, actor, row["unit_id"]):
            raise _not_found(row is not None)
        if not row["exercise"]:
            raise Conflict(
                "real_already",
                "Sự cố này đã là sự cố thật.",
                "This incident is real already.",
            )
        await conn.execute(
            "UPDATE incident SET exercise = false, updated_at = $2 WHERE incident_id = $1",
            row["incident_id"],
            now,
        )
        await audit.record(
            conn, actor.official_id, now, "incident.made_real", "incident", row["incident_id"]
        )


async def _reaches(conn: Conn, actor: Actor, unit_id: int | None) -> bool:
    reached = await authority_so_far(conn, actor, "staff")
    if unit_id in reached:
        return True
    # What lies nowhere, or in a unit nobody took over, belongs to whoever has the whole city.
    return bool(
        await conn.fetchval(
            "SELECT EXISTS (SELECT FROM unit WHERE unit_id = ANY($1) AND parent_id IS NULL)",
            list(reached),
        )
    )


async def _check_assignee(conn: Conn, official_id: int, unit_id: int | None) -> None:
    known = await conn.fetchval(
        "WITH RECURSIVE line AS (SELECT $2::int AS unit_id UNION SELECT s.successor_id"
        "  FROM unit_successor s JOIN line USING (unit_id)), up AS ("
        " SELECT unit_id, parent_id FROM unit JOIN line USING (unit_id)"
        " UNION SELECT u.unit_id, u.parent_id FROM unit u JOIN up ON u.unit_id = up.parent_id"
        ") SELECT EXISTS (SELECT FROM official o JOIN official_role r USING (official_id)"
        " WHERE o.official_id = $1 AND o.active AND r.role = 'staff' AND ($2::int IS NULL"
        "  OR r.unit_id IN (SELECT unit_id FROM up)"
        "  OR r.group_id IN (SELECT m.group_id FROM unit_group_member m"
        "    JOIN up ON up.unit_id = m.unit_id)))",
        official_id, unit_id,
    )  # fmt: skip
    if not known:
        raise Refused(
            "assignee_elsewhere",
            "Người được giao không phụ trách địa bàn này; hãy chọn người khác.",
            "Whoever is to take this is not staff for this place; choose somebody else.",
        )


def _not_found(exists: bool) -> Refused:
    if exists:
        return NotAllowed(
            "not_allowed",
            "Sự cố này ngoài địa bàn bạn phụ trách.",
            "This incident lies outside what you are in charge of.",
        )
    return NotFound("no_incident", "Không có sự cố này.", "There is no such incident.")


def _no_such_move(was: str, target: IncidentState) -> Conflict:
    return Conflict(
        "no_such_move",
        "Sự cố không còn ở trạng thái cho phép bước này; hãy tải lại rồi thử lại.",
        "The incident is no longer in a state that allows this step; reload and try again.",
        was=was,
        target=str(target),
    )
