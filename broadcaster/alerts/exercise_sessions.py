"""Exercise sessions: a time in which what some units begin is an exercise unless said otherwise."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import Conflict, NotFound, Refused
from broadcaster.people.officials import Actor, authority, require

LONGEST = timedelta(days=14)
_NAME = 120
_MOST = 100


@dataclass(frozen=True, slots=True)
class Session:
    """One session; it holds for its units and what is under them."""

    session_id: int
    name: str
    unit_ids: tuple[int, ...]
    begins_at: datetime
    ends_at: datetime
    opened_by: int | None
    opened_name: str
    closed_at: datetime | None

    def under_way(self, now: datetime) -> bool:
        """Whether it holds at a moment."""
        return self.closed_at is None and self.begins_at <= now < self.ends_at

    def over(self, now: datetime) -> bool:
        """Whether it never holds again."""
        return self.closed_at is not None or self.ends_at <= now


_SELECT = (
    "SELECT s.session_id, s.name, s.unit_ids, s.begins_at, s.ends_at, s.opened_by,"
    " coalesce(o.name, '') AS opened_name, s.closed_at FROM exercise_session s"
    " LEFT JOIN official o ON o.official_id = s.opened_by"
)
_ABOVE = (
    "WITH RECURSIVE above AS (SELECT unit_id, parent_id FROM unit WHERE unit_id = $1"
    " UNION SELECT u.unit_id, u.parent_id FROM unit u JOIN above a ON u.unit_id = a.parent_id)"
)


async def open_one(
    conn: Conn,
    actor: Actor,
    now: datetime,
    *,
    name: str,
    unit_ids: Collection[int],
    begins_at: datetime,
    ends_at: datetime,
) -> int:
    """Open a session for units an administrator is in charge of; returns its number.

    Raises NotAllowed, Refused (no name, no unit, a time that cannot be).
    """
    wanted = sorted(set(unit_ids))
    await require(conn, actor, "admin", wanted)
    said = " ".join(name.split())
    for wrong, code, vi, en in (
        (not said or len(said) > _NAME, "session_name", f"Đặt tên, tối đa {_NAME} chữ.",
         f"Give it a name of at most {_NAME} letters."),
        (not wanted, "session_units", "Chọn ít nhất một đơn vị.", "Choose at least one unit."),
        (ends_at <= max(begins_at, now), "session_time",
         "Giờ kết thúc phải sau giờ bắt đầu và sau bây giờ. Chọn giờ muộn hơn.",
         "The end has to be after the beginning and after now. Choose a later time."),
        (ends_at - begins_at > LONGEST, "session_time",
         f"Đợt diễn tập dài nhất {LONGEST.days} ngày. Chọn giờ kết thúc sớm hơn.",
         f"A session lasts {LONGEST.days} days at most. Choose an earlier end."),
    ):  # fmt: skip
        if wrong:
            raise Refused(code, vi, en)
    async with conn.transaction():
        session_id: int = await conn.fetchval(
            "INSERT INTO exercise_session (name, unit_ids, begins_at, ends_at, opened_by,"
            " opened_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING session_id",
            said, wanted, begins_at, ends_at, actor.official_id, now,
        )  # fmt: skip
        await audit.record(
            conn, actor.official_id, now, "exercise.opened", "exercise_session", session_id,
            name=said, units=wanted, begins_at=begins_at.isoformat(), ends_at=ends_at.isoformat(),
        )  # fmt: skip
    return session_id


async def close_one(conn: Conn, actor: Actor, now: datetime, session_id: int) -> None:
    """End a session before its time; raises NotFound, NotAllowed, Conflict (over already)."""
    units = await conn.fetchval(
        "SELECT unit_ids FROM exercise_session WHERE session_id = $1", session_id
    )
    if units is None:
        raise NotFound(
            "no_session",
            "Không có đợt diễn tập này. Tải lại danh sách.",
            "There is no such session. Reload the list.",
        )
    await require(conn, actor, "admin", units)
    async with conn.transaction():
        closed = await conn.fetchval(
            "UPDATE exercise_session SET closed_by = $2, closed_at = $3"
            " WHERE session_id = $1 AND closed_at IS NULL AND ends_at > $3 RETURNING session_id",
            session_id,
            actor.official_id,
            now,
        )
        if closed is None:
            raise Conflict(
                "session_over",
                "Đợt diễn tập này đã kết thúc.",
                "This session is over already.",
            )
        await audit.record(
            conn, actor.official_id, now, "exercise.closed", "exercise_session", session_id
        )


async def of_unit(conn: Conn, now: datetime, unit_id: int) -> Session | None:
    """Return the session that holds for a unit now, its own or a superior's."""
    row = await conn.fetchrow(
        f"{_ABOVE} {_SELECT} WHERE s.closed_at IS NULL AND s.begins_at <= $2 AND s.ends_at > $2"
        " AND s.unit_ids && ARRAY(SELECT unit_id FROM above) ORDER BY s.ends_at DESC LIMIT 1",
        unit_id,
        now,
    )
    return None if row is None else _session(row)


async def of_units(conn: Conn, now: datetime, unit_ids: Collection[int]) -> dict[int, Session]:
    """Return the session that holds for each of these units now; units without one are left out."""
    if not await conn.fetchval(
        "SELECT EXISTS (SELECT FROM exercise_session WHERE closed_at IS NULL AND begins_at <= $1"
        " AND ends_at > $1)",
        now,
    ):
        return {}
    found = {unit_id: await of_unit(conn, now, unit_id) for unit_id in unit_ids}
    return {unit_id: one for unit_id, one in found.items() if one is not None}


async def listing(conn: Conn, actor: Actor) -> list[Session]:
    """Return the sessions of units the official is in charge of, the newest first."""
    mine = await authority(conn, actor, "admin")
    rows = await conn.fetch(
        f"{_SELECT} WHERE s.unit_ids && $1::integer[] ORDER BY s.session_id DESC LIMIT {_MOST}",
        list(mine),
    )
    return [_session(row) for row in rows]


def _session(row: object) -> Session:
    fields = dict(row)  # type: ignore[call-overload]
    fields["unit_ids"] = tuple(fields["unit_ids"])
    return Session(**fields)
