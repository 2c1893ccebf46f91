"""A draft and its versions: made, saved, read and listed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from broadcaster import audit
from broadcaster.alerts import exercise, search_row
from broadcaster.alerts.content import LANES, Content, parse
from broadcaster.alerts.exercise import Nature
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotAllowed, NotFound
from broadcaster.people.officials import Actor, authority, authority_so_far
from broadcaster.states import ALERT_MOVES, AlertState, sources

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
EDITABLE = [AlertState.DRAFT.value, *sources(ALERT_MOVES, AlertState.DRAFT)]
"""States in which an alert can still be written on."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert's row, without its content."""

    alert_id: int
    code: str
    cap_identifier: str
    status: str
    kind: str
    state: AlertState
    alert_class: str
    lane: int
    event: str
    title: str
    unit_id: int
    unit_name: str
    unit_name_en: str
    author_id: int
    author_name: str
    predecessor_id: int | None
    root_id: int
    sequence: int
    version: int
    created_at: datetime
    updated_at: datetime
    submitted_by: int | None
    submitted_at: datetime | None
    approved_by: int | None
    approver_name: str | None
    approved_at: datetime | None
    scheduled_for: datetime | None
    expires: datetime | None
    started_at: datetime | None
    first_handoff_at: datetime | None
    sent_at: datetime | None
    ended_at: datetime | None
    ended_reason: str | None
    ended_by_name: str | None
    training: bool = False
    """Nothing of it is ever given to a carrier."""
    widened_by: int | None = None
    """Of an exercise: who opened it to everybody in its area."""
    widened_name: str | None = None
    follows_widened: bool = False
    """It follows an exercise that everybody got: those people hear of this too."""

    @property
    def nature(self) -> Nature:
        """Whether it is real, and whether carriers get anything of it."""
        return Nature(self.status, self.training)

    @property
    def exercise(self) -> bool:
        """Whether it is an exercise."""
        return self.nature.exercise

    @property
    def only_listed(self) -> bool:
        """Whether it is for exercise recipients alone, as things stand."""
        return self.exercise and self.widened_by is None and not self.follows_widened


@dataclass(frozen=True, slots=True)
class Draft:
    """An alert with the content of its newest version and what the checks last said of it."""

    alert: Alert
    content: Content
    problems: list[dict[str, Any]] | None


_SELECT = """
SELECT a.alert_id, a.code, a.cap_identifier, a.status, a.kind, a.state::text AS state,
    a.class::text AS alert_class, a.lane, a.event, a.title, a.unit_id, u.name AS unit_name,
    u.name_en AS unit_name_en, a.author_id,
    (SELECT name FROM official WHERE official_id = a.author_id) AS author_name,
    a.predecessor_id, coalesce(a.root_id, a.alert_id) AS root_id, a.sequence, a.version,
    a.created_at, a.updated_at, a.submitted_by, a.submitted_at, a.approved_by,
    (SELECT name FROM official WHERE official_id = a.approved_by) AS approver_name,
    a.approved_at, a.scheduled_for, a.expires, a.started_at, a.first_handoff_at, a.sent_at,
    a.ended_at, a.ended_reason,
    (SELECT name FROM official WHERE official_id = a.ended_by) AS ended_by_name,
    a.training, a.widened_by,
    (SELECT name FROM official WHERE official_id = a.widened_by) AS widened_name,
    (SELECT widened_by FROM alert WHERE alert_id = a.predecessor_id) IS NOT NULL
        AS follows_widened
FROM alert a JOIN unit u USING (unit_id)
"""
"""Names are looked up and not joined: five joins more take longer to plan than to run."""


def _row(record: Any) -> Alert:
    fields = dict(record)
    fields["state"] = AlertState(fields["state"])
    return Alert(**fields)


def no_such_alert(which: object) -> NotFound:
    """Make the refusal for an alert that is not there, or not for this official."""
    return NotFound(
        "alert_not_found",
        f"Không có tin {which}. Kiểm tra lại mã tin.",
        f"There is no alert {which}. Check the code.",
    )


async def _new_code(conn: Conn, now: datetime, nature: Nature) -> str:
    # What people say on the telephone tells an exercise too: diễn tập.
    day = now.astimezone(HANOI).strftime(f"{'DT' if nature.exercise else 'HN'}-%Y-%m%d-")
    # Two drafts in one moment must not be given one code; the lock ends with the transaction.
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('alert.code'))")
    last = await conn.fetchval(
        "SELECT max(substr(code, $2)::integer) FROM alert WHERE code LIKE $1 || '%'",
        day,
        len(day) + 1,
    )
    return f"{day}{(last or 0) + 1:03}"


def _require_author(unit_id: int, reach: frozenset[int]) -> None:
    if unit_id not in reach:
        raise NotAllowed(
            "not_author_here",
            "Bạn không có quyền soạn tin cho đơn vị này. Chọn đơn vị của bạn.",
            "You may not write for this unit. Choose your own unit.",
        )


async def create(
    conn: Conn,
    actor: Actor,
    now: datetime,
    content: Content,
    unit_id: int,
    *,
    kind: str = "alert",
    predecessor_id: int | None = None,
    as_exercise: bool | None = None,
) -> Alert:
    """Start a draft at an issuing unit; raises NotAllowed, NotFound (predecessor), Refused.

    It is an exercise or real for ever: as its predecessor is, else `as_exercise`; None leaves it to
    the session that holds for the unit.
    """
    _require_author(unit_id, await authority(conn, actor, "author"))
    predecessor = None if predecessor_id is None else await find(conn, predecessor_id)
    if predecessor is None:
        nature = await exercise.nature_of_new(conn, actor, now, unit_id, as_exercise)
    else:
        exercise.require_part(actor, predecessor.training)
        nature = predecessor.nature
    content = exercise.for_new(content, nature.status)
    alert_id = await insert(
        conn, now, content, unit_id, actor.official_id,
        kind=kind, predecessor=predecessor, nature=nature,
    )  # fmt: skip
    await write_version(conn, actor.official_id, now, alert_id, 1, content)
    await audit.record(
        conn, actor.official_id, now, "alert.created", "alert", alert_id, status=nature.status
    )
    return await find(conn, alert_id)


async def insert(
    conn: Conn,
    now: datetime,
    content: Content,
    unit_id: int,
    author_id: int,
    *,
    kind: str,
    predecessor: Alert | None,
    nature: Nature,
) -> int:
    """Write an alert's row as a draft; a follow-up gets the next number of its root.

    Raises asyncpg.UniqueViolationError when another follow-up of the root is in work.
    """
    root_id = None if predecessor is None else predecessor.root_id
    code = await _new_code(conn, now, nature)
    return int(
        await conn.fetchval(
            "INSERT INTO alert (code, cap_identifier, kind, class, lane, event, title, unit_id,"
            " author_id, predecessor_id, root_id, sequence, created_at, updated_at, expires,"
            " scheduled_for, status, training)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (SELECT"
            "  coalesce(max(sequence), 0) + 1 FROM alert WHERE coalesce(root_id, alert_id) = $11),"
            " $12, $12, $13, $14, $15, $16)"
            " RETURNING alert_id",
            code,
            f"urn:hanoi-alerts:{code}",
            kind,
            content.alert_class,
            LANES[content.alert_class],
            content.event,
            content.title,
            unit_id,
            author_id,
            predecessor and predecessor.alert_id,
            root_id,
            now,
            content.expires,
            content.scheduled_for,
            nature.status,
            nature.training,
        )
    )


async def write_version(
    conn: Conn, author_id: int, now: datetime, alert_id: int, version: int, content: Content
) -> None:
    """Keep one version of a draft, in the name of who wrote it."""
    document = content.to_json()
    await conn.execute(
        "INSERT INTO alert_version (alert_id, version, content, saved_by, saved_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        alert_id,
        version,
        document,
        author_id,
        now,
    )
    await search_row.put(conn, alert_id, document)


async def save(
    conn: Conn, actor: Actor, now: datetime, alert_id: int, expected_version: int, content: Content
) -> int:
    """Save a new version over `expected_version`; returns its number.

    An edit is a move back to draft: it voids the checks, a submission and an approval.
    Raises Conflict when somebody saved in between or sending has begun, NotAllowed, NotFound,
    Refused (an exercise's text is too long with its mark).
    """
    alert = await find(conn, alert_id)
    _require_author(alert.unit_id, await authority_so_far(conn, actor, "author"))
    exercise.require_part(actor, alert.training)
    content = exercise.with_mark(content, alert.status)
    version: int | None = await conn.fetchval(
        "UPDATE alert SET version = version + 1, state = 'draft', class = $4, lane = $5,"
        " event = $6, title = $7, expires = $8, scheduled_for = $9, updated_at = $10,"
        " submitted_by = NULL, submitted_at = NULL, approved_by = NULL, approved_at = NULL,"
        " approved_version = NULL, widened_by = NULL, widened_at = NULL"
        " WHERE alert_id = $1 AND version = $2 AND state = ANY($3::alert_state[])"
        " RETURNING version",
        alert_id,
        expected_version,
        EDITABLE,
        content.alert_class,
        LANES[content.alert_class],
        content.event,
        content.title,
        content.expires,
        content.scheduled_for,
        now,
    )
    if version is None:
        raise _why_not_saved(await find(conn, alert_id), expected_version)
    await write_version(conn, actor.official_id, now, alert_id, version, content)
    if alert.state is not AlertState.DRAFT:
        await audit.record(
            conn, actor.official_id, now, "alert.edited", "alert", alert_id,
            version=version, voids=alert.state.value,
        )  # fmt: skip
    return version


def _why_not_saved(alert: Alert, expected_version: int) -> Conflict:
    if alert.version != expected_version:
        return Conflict(
            "newer_version",
            f"Tin này vừa được lưu thành bản {alert.version}. Tải lại để xem, rồi sửa tiếp.",
            f"Somebody has just saved version {alert.version}. Reload to see it, then go on.",
            version=alert.version,
        )
    return Conflict(
        "not_editable",
        "Tin đã phát hoặc đã khép lại nên không sửa được. Soạn một tin cập nhật.",
        "The alert is out or closed and cannot be edited. Write an update instead.",
        state=alert.state.value,
    )


async def find(conn: Conn, which: int | str) -> Alert:
    """Find an alert by id or by code; raises NotFound."""
    column = "a.alert_id" if isinstance(which, int) else "a.code"
    record = await conn.fetchrow(f"{_SELECT} WHERE {column} = $1", which)
    if record is None:
        raise no_such_alert(which)
    return _row(record)


async def predecessor(conn: Conn, alert: Alert) -> Alert | None:
    """Return the alert that a follow-up comes after; None for what follows none."""
    return None if alert.predecessor_id is None else await find(conn, alert.predecessor_id)


async def load(conn: Conn, actor: Actor, which: int | str) -> Draft:
    """Read an alert with its newest content, for an official whose roles reach its unit."""
    alert = await find(conn, which)
    if alert.unit_id not in await visible_units(conn, actor):
        raise no_such_alert(which)
    return await with_content(conn, alert)


async def with_content(conn: Conn, alert: Alert) -> Draft:
    """Read the newest content of an alert, whoever asks; raises NotFound."""
    record = await conn.fetchrow(
        "SELECT content, problems FROM alert_version WHERE alert_id = $1 AND version = $2",
        alert.alert_id,
        alert.version,
    )
    if record is None:
        raise no_such_alert(alert.code)
    return Draft(alert, parse(record["content"]), record["problems"])


async def family(conn: Conn, root_id: int) -> list[Alert]:
    """Return an alert and everything that follows it, drafts too, in their order."""
    return await select(
        conn, "WHERE coalesce(a.root_id, a.alert_id) = $1 ORDER BY a.sequence", root_id
    )


async def visible_units(conn: Conn, actor: Actor) -> frozenset[int]:
    """Units whose alerts an official may see: the reach of all their roles together."""
    return await authority_so_far(conn, actor, *{role.role for role in actor.roles})


async def select(conn: Conn, rest: str, *arguments: Any) -> list[Alert]:
    """Return the alerts that the rest of a statement chooses: its WHERE, about `a`, and order."""
    return [_row(record) for record in await conn.fetch(f"{_SELECT} {rest}", *arguments)]
