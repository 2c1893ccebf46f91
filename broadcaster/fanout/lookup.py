"""Somebody registered, looked up for a reason: how they are reached and what they received.

For staff and approvers. Whoever has no place in their units is told of as nobody to look into.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, Refused
from broadcaster.fanout import archive, received, whom
from broadcaster.fanout.received import Cursor, ReceivedPage
from broadcaster.fanout.whom import Asked, Reached
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor, reach_so_far

BY_ID = "id:"
_LEAST_REASON = 5


@dataclass(frozen=True, slots=True)
class Person:
    """One person with a place in the units of whoever asks."""

    lang: str
    created_at: datetime
    unit_ids: tuple[int, ...]
    """Of their places within those units: never where exactly."""
    ways: tuple[Reached, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    asked: Asked
    people: tuple[Person, ...]
    elsewhere: int
    """How many more there are without a place in the units of whoever asks."""
    page: ReceivedPage
    """Alerts of those units that went to any of their endpoints."""


async def look_up(
    conn: Conn, keyring: Keyring, actor: Actor, now: datetime, who: str, reason: str,
    before: Cursor | None = None,
) -> Found:  # fmt: skip
    """Look up whoever is behind a number, a mail address, or `id:` and their registered id.

    It is in the trail, with the reason and the ids, never with the address. Raises Refused (no
    reason, no such number), NotAllowed.
    """
    units, whole = await reach_so_far(conn, actor, *whom.ROLES)
    if not units:
        raise NotAllowed(
            "may_not_look_up",
            "Chỉ cán bộ trực và người duyệt được tra cứu một người.",
            "Only staff and approvers look somebody up.",
        )
    if len(reason.strip()) < _LEAST_REASON:
        raise Refused(
            "reason_missing",
            "Ghi lý do tra cứu: lý do được lưu cùng tên bạn.",
            "Say why you look them up: it is kept with your name.",
            where="reason",
        )
    asked = await _asked(conn, keyring, who.strip())
    await audit.record(
        conn, actor.official_id, now, "person.looked_up", "endpoint", asked.endpoint_id,
        person_ids=asked.person_ids, reason=reason.strip(), **asked.by,
    )  # fmt: skip
    near = await _near(conn, asked.person_ids, None if whole else units)
    people = [await _person(conn, keyring, one, units) for one in near]
    ways = {way.endpoint_id for person in people for way in person.ways}
    with archive.refusing():
        page = await received.by_endpoints(conn, sorted(ways), units=units, before=before)
    return Found(asked, tuple(people), len(asked.person_ids) - len(near), page)


async def _asked(conn: Conn, keyring: Keyring, who: str) -> Asked:
    if not who.lower().startswith(BY_ID):
        return await whom.find(conn, keyring, None, address=who)
    given = who[len(BY_ID) :].strip()
    rows = await conn.fetch(
        "SELECT person_id FROM person WHERE left_at IS NULL"
        " AND (external_id = $1 OR public_id = $2) ORDER BY person_id",
        given, _uuid(given),
    )  # fmt: skip
    return Asked(None, [row["person_id"] for row in rows], {"by": "id"})


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _near(conn: Conn, person_ids: Sequence[int], units: Collection[int] | None) -> list[int]:
    """Return those with a place in these units; of the whole city (None) everybody."""
    if units is None:
        return list(person_ids)
    rows = await conn.fetch(
        "SELECT DISTINCT person_id FROM person_place WHERE person_id = ANY($1)"
        " AND unit_id = ANY($2) ORDER BY person_id",
        person_ids, list(units),
    )  # fmt: skip
    return [row["person_id"] for row in rows]


async def _person(conn: Conn, keyring: Keyring, person_id: int, units: Collection[int]) -> Person:
    row: Any = await conn.fetchrow(
        "SELECT lang::text AS lang, created_at, ARRAY(SELECT DISTINCT unit_id FROM person_place l"
        " WHERE l.person_id = p.person_id AND unit_id = ANY($2)) AS units"
        " FROM person p WHERE person_id = $1",
        person_id, list(units),
    )  # fmt: skip
    ways = await whom.ways_to(conn, keyring, [person_id])
    return Person(row["lang"], row["created_at"], tuple(row["units"]), tuple(ways.values()))
