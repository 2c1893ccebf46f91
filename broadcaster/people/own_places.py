"""The places somebody keeps for themselves after registering: home, and those they worry about.

Every change is done under a lock on the person, so that two devices do not undo each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from broadcaster.db import Conn
from broadcaster.errors import NotFound, Refused
from broadcaster.keyring import Keyring
from broadcaster.people import register
from broadcaster.people.problems import InvalidRegistration, Problem, Unusable
from broadcaster.people.register import DEGREE, HOME, MOST_WATCHED, Place
from broadcaster.people.units import UnitMap

_FIELDS = {"unit_unknown": "unit", "place_missing": "unit"}
"""The field of a place that each problem speaks of; the others are about its point."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit that a place may lie in."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class KeptPlace:
    """A place as its owner may see it, `place_no` 9 being the last known position."""

    place_no: int
    label: str
    address: str
    unit_code: str
    unit_name: str
    lon: float | None
    lat: float | None
    expires_at: datetime | None
    candidates: tuple[Candidate, ...]
    """Where the unit was split: its owner is to say which of these it is."""


async def kept(conn: Conn, keyring: Keyring, now: datetime, person_id: int) -> list[KeptPlace]:
    """Return everything kept of a person's places, in order of their number."""
    rows = await conn.fetch(
        "SELECT p.place_no, p.label, p.address_enc, u.code, u.name, t.x, t.y, p.expires_at,"
        " ARRAY(SELECT (c.code, c.name) FROM place_candidate k JOIN unit c USING (unit_id)"
        "  WHERE k.person_id = p.person_id AND k.place_no = p.place_no ORDER BY c.code)"
        " AS candidates"
        " FROM person_place p JOIN unit u USING (unit_id)"
        " LEFT JOIN person_point t USING (person_id, place_no)"
        " WHERE p.person_id = $1 AND (p.expires_at IS NULL OR p.expires_at > $2)"
        " ORDER BY p.place_no",
        person_id, now,
    )  # fmt: skip
    return [
        KeptPlace(
            place_no=row["place_no"],
            label=row["label"],
            address=_open(keyring, person_id, row["place_no"], row["address_enc"]),
            unit_code=row["code"],
            unit_name=row["name"],
            lon=None if row["x"] is None else row["x"] / DEGREE,
            lat=None if row["y"] is None else row["y"] / DEGREE,
            expires_at=row["expires_at"],
            candidates=tuple(Candidate(*one) for one in row["candidates"]),
        )
        for row in rows
    ]


def _open(keyring: Keyring, person_id: int, place_no: int, sealed: bytes | None) -> str:
    if sealed is None:
        return ""
    scope = register.address_scope(place_no)
    return keyring.unseal(sealed, scope, "address_enc", person_id).decode()


async def put(
    conn: Conn,
    keyring: Keyring,
    units: UnitMap,
    person_id: int,
    place_no: int,
    place: Place,
) -> None:
    """Set the home (0) or a watched place (1 to 5), whether it was there or not.

    Raises InvalidRegistration with the fields that are wrong; NotFound for another number.
    """
    if not HOME <= place_no <= MOST_WATCHED:
        raise _no_place()
    async with conn.transaction():
        await register.lock_person(conn, person_id)
        others = await conn.fetch(
            "SELECT label FROM person_place WHERE person_id = $1 AND place_no <> $2",
            person_id, place_no,
        )  # fmt: skip
        checked = _check(place_no, place, units, {row["label"].casefold() for row in others})
        # Its point, its candidates and questions about it go with the place that was.
        await _delete(conn, person_id, place_no)
        await register.store_places(conn, keyring, person_id, (checked,))


def _check(place_no: int, place: Place, units: UnitMap, taken: set[str]) -> register.PlacedAt:
    problems: list[Problem] = []
    label = ""
    try:
        label = register.read_label(place.label, taken, required=place_no != HOME)
    except Unusable as error:
        problems.append(error.at("label"))
    try:
        checked = register.placed(place_no, place, label, units)
    except Unusable as error:
        problems.append(error.at(_FIELDS.get(error.code, "lon")))
    if problems:
        raise InvalidRegistration(problems)
    return checked


async def remove(conn: Conn, person_id: int, place_no: int) -> None:
    """Remove a watched place, or the last position; a home is only ever replaced."""
    if place_no == HOME:
        raise Refused(
            "home_stays",
            "Không xoá được nơi ở; hãy thay bằng nơi khác, hoặc huỷ đăng ký.",
            "A home cannot be removed; replace it, or leave the service.",
        )
    async with conn.transaction():
        await register.lock_person(conn, person_id)
        if not await _delete(conn, person_id, place_no):
            raise _no_place()


async def _delete(conn: Conn, person_id: int, place_no: int) -> bool:
    done = await conn.execute(
        "DELETE FROM person_place WHERE person_id = $1 AND place_no = $2", person_id, place_no
    )
    return done.endswith(" 1")


def _no_place() -> NotFound:
    return NotFound(
        "no_place",
        "Bạn không có nơi mang số này; 0 là nơi ở, 1 đến 5 là các nơi theo dõi, 9 là vị trí gần"
        " nhất.",
        "You have no place of this number; 0 is home, 1 to 5 are places you watch, 9 is your last"
        " position.",
    )
