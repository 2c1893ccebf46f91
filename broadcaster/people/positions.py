"""The last known position: kept by a consent of its own, for hours, then deleted for good.

Writes position_consent, and place 9 of person_place and person_point.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people.problems import InvalidRegistration, Problem, Unusable
from broadcaster.people.register import (
    CLOCK_SKEW,
    DEGREE,
    LAST_POSITION,
    consent_problems,
    lock_person,
    steps,
)
from broadcaster.people.units import UnitMap

HOURS, MOST_HOURS = 24, 72
"""How long a fix is kept unless its owner says otherwise, and at most."""
_FORGOTTEN_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class PositionConsent:
    """A consent in force to keep the last known position, each fix for so many hours."""

    given_at: datetime
    source: str
    hours: int


async def consent_in_force(conn: Conn, person_id: int) -> PositionConsent | None:
    """Return the consent a person's position may be kept by, None without one."""
    row = await conn.fetchrow(
        "SELECT given_at, source, hours FROM position_consent"
        " WHERE person_id = $1 AND withdrawn_at IS NULL",
        person_id,
    )
    return PositionConsent(**row) if row else None


async def consent(
    conn: Conn, now: datetime, person_id: int, given_at: datetime, source: str, hours: int = HOURS
) -> PositionConsent:
    """Record the consent to keep a position; it takes the place of an earlier one.

    A shorter time holds at once for a position that is kept already. Raises InvalidRegistration.
    """
    problems = list(consent_problems(given_at, source, now, "at", "source"))
    if not 1 <= hours <= MOST_HOURS:
        problems.append(Unusable("hours_unfit").at("hours"))
    if problems:
        raise InvalidRegistration(problems)
    async with conn.transaction():
        await lock_person(conn, person_id)
        before = await consent_in_force(conn, person_id)
        await _withdraw(conn, now, person_id)
        await conn.execute(
            "INSERT INTO position_consent (person_id, given_at, source, hours)"
            " VALUES ($1, $2, $3, $4)",
            person_id, given_at, source.strip(), hours,
        )  # fmt: skip
        if before is not None and hours < before.hours:
            await conn.execute(
                "UPDATE person_place SET expires_at = expires_at - $3::interval"
                " WHERE person_id = $1 AND place_no = $2",
                person_id, LAST_POSITION, timedelta(hours=before.hours - hours),
            )  # fmt: skip
    return PositionConsent(given_at, source.strip(), hours)


async def withdraw(conn: Conn, now: datetime, person_id: int) -> None:
    """Withdraw the consent; the position is gone with it."""
    async with conn.transaction():
        await lock_person(conn, person_id)
        await _withdraw(conn, now, person_id)
        await _delete(conn, person_id)


async def _withdraw(conn: Conn, now: datetime, person_id: int) -> None:
    await conn.execute(
        "UPDATE position_consent SET withdrawn_at = $2"
        " WHERE person_id = $1 AND withdrawn_at IS NULL",
        person_id, now,
    )  # fmt: skip


async def put(
    conn: Conn,
    units: UnitMap,
    now: datetime,
    person_id: int,
    lon: float,
    lat: float,
    at: datetime,
) -> bool:
    """Keep where somebody was at a moment; say whether it is kept.

    Outside every unit nothing is kept, and an older position goes: it is not the last one any
    more. Raises Refused without a consent, InvalidRegistration with the fields that are wrong.
    """
    x, y = _check(now, lon, lat, at)
    unit_id = units.locate(x / DEGREE, y / DEGREE)
    async with conn.transaction():
        await lock_person(conn, person_id)
        allowed = await consent_in_force(conn, person_id)
        if allowed is None:
            raise Refused(
                "position_consent_missing",
                "Bạn chưa đồng ý cho lưu vị trí gần nhất; hãy đồng ý trước rồi gửi lại.",
                "You have not agreed to your last position being kept; agree first, then send it.",
            )
        expires_at = min(at, now) + timedelta(hours=allowed.hours)
        if expires_at <= now:
            raise InvalidRegistration([Unusable("position_old").at("at")])
        if unit_id is None:
            await _delete(conn, person_id)
            return False
        await _store(conn, person_id, unit_id, x, y, expires_at)
    return True


def _check(now: datetime, lon: float, lat: float, at: datetime) -> tuple[int, int]:
    problems: list[Problem] = []
    found = []
    for field, degrees, limit in (("lon", lon, 180), ("lat", lat, 90)):
        try:
            found.append(steps(degrees, limit))
        except Unusable as error:
            problems.append(error.at(field))
    if at.tzinfo is None or at > now + CLOCK_SKEW:
        problems.append(Unusable("position_ahead").at("at"))
    if problems:
        raise InvalidRegistration(problems)
    return found[0], found[1]


async def _store(
    conn: Conn, person_id: int, unit_id: int, x: int, y: int, expires_at: datetime
) -> None:
    """Store a fix unless a later one is there: what phones send may overtake itself."""
    stored = await conn.execute(
        "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only, expires_at)"
        " VALUES ($1, $2, $3, false, $4) ON CONFLICT (person_id, place_no)"
        " DO UPDATE SET unit_id = excluded.unit_id, expires_at = excluded.expires_at"
        "  WHERE person_place.expires_at <= excluded.expires_at",
        person_id, LAST_POSITION, unit_id, expires_at,
    )  # fmt: skip
    if stored.endswith(" 1"):
        await conn.execute(
            "INSERT INTO person_point (person_id, place_no, x, y) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (person_id, place_no) DO UPDATE SET x = excluded.x, y = excluded.y",
            person_id, LAST_POSITION, x, y,
        )  # fmt: skip


async def _delete(conn: Conn, person_id: int) -> None:
    await conn.execute(
        "DELETE FROM person_place WHERE person_id = $1 AND place_no = $2", person_id, LAST_POSITION
    )


async def forget_expired(conn: Conn, now: datetime) -> int:
    """Delete positions past their time, the coordinates with them; return how many."""
    total = 0
    while True:
        # The time is asked of the row itself too: a phone may have sent a newer fix meanwhile.
        done = await conn.execute(
            "DELETE FROM person_place p USING"
            " (SELECT person_id, place_no FROM person_place WHERE expires_at <= $1 LIMIT $2"
            "  FOR UPDATE SKIP LOCKED) past"
            " WHERE p.person_id = past.person_id AND p.place_no = past.place_no"
            " AND p.expires_at <= $1",
            now, _FORGOTTEN_AT_ONCE,
        )  # fmt: skip
        forgotten = int(done.rpartition(" ")[2])
        if not forgotten:
            return total
        total += forgotten
