"""Citizens come, and leave. Writes person, person_place, person_point and consent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.keyring import Keyring
from broadcaster.people import claims, endpoints
from broadcaster.people.addresses import normalise
from broadcaster.people.problems import InvalidRegistration, Problem, Unusable
from broadcaster.people.units import UnitMap

LANGUAGES = ("vi", "en")
DEGREE = 100_000
"""Coordinates are stored as whole steps of 1e-5 degree."""
HOME, LAST_POSITION = 0, 9
MOST_WATCHED = 5
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody lives or whom they worry about: a point, or the unit by its code."""

    lon: float | None = None
    lat: float | None = None
    unit_code: str = ""
    label: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a citizen, or a row of a file, tells us. Endpoints are (channel, address as typed)."""

    home: Place
    endpoints: tuple[tuple[str, str], ...]
    consent_at: datetime | None
    consent_source: str
    lang: str = "vi"
    name: str = ""
    watched: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class PlacedAt:
    """A place that was checked: its number, unit, and point if there is one."""

    place_no: int
    unit_id: int
    x: int | None
    y: int | None
    label: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A registration without a problem."""

    places: tuple[PlacedAt, ...]
    addresses: tuple[endpoints.Address, ...]
    lang: str
    consent_at: datetime
    consent_source: str


@dataclass(frozen=True, slots=True)
class RegistrationReceipt:
    """What registering answers, whoever was known before: the codes that are under way."""

    public_id: UUID
    claims: tuple[claims.Claim, ...]


def check(registration: Registration, units: UnitMap, now: datetime) -> Checked:
    """Check everything; raises InvalidRegistration with every problem, each naming its field."""
    problems: list[Problem] = []
    if registration.lang not in LANGUAGES:
        problems.append(Unusable("lang_unknown").at("lang"))
    given = registration.consent_at
    if given is None or given.tzinfo is None:
        problems.append(Unusable("consent_missing").at("consent_at"))
    elif given > now + _CLOCK_SKEW:
        problems.append(Unusable("consent_ahead").at("consent_at"))
    if not registration.consent_source.strip():
        problems.append(Unusable("consent_missing").at("consent_source"))
    if len(registration.watched) > MOST_WATCHED:
        problems.append(Unusable("too_many_places").at("watched"))
    places = tuple(_checked_places(registration, units, problems))
    addresses = tuple(_checked_addresses(registration, problems))
    if problems or given is None:
        raise InvalidRegistration(problems)
    return Checked(places, addresses, registration.lang, given, registration.consent_source.strip())


def _checked_places(
    registration: Registration, units: UnitMap, problems: list[Problem]
) -> Iterator[PlacedAt]:
    numbered = [("home", registration.home)]
    numbered += [(f"watched[{n}]", place) for n, place in enumerate(registration.watched)]
    for place_no, (field, place) in enumerate(numbered):
        try:
            yield _placed(place_no, place, units)
        except Unusable as error:
            problems.append(error.at(field))


def _placed(place_no: int, place: Place, units: UnitMap) -> PlacedAt:
    label, address = place.label.strip(), place.address.strip()
    if place.lon is None and place.lat is None:
        if not place.unit_code:
            raise Unusable("place_missing")
        unit_id = units.by_code.get(place.unit_code)
        if unit_id is None:
            raise Unusable("unit_unknown")
        return PlacedAt(place_no, unit_id, None, None, label, address)
    x, y = _steps(place.lon, 180), _steps(place.lat, 90)
    found = units.locate(x / DEGREE, y / DEGREE)
    if found is None:
        raise Unusable("point_outside")
    return PlacedAt(place_no, found, x, y, label, address)


def _steps(degrees: float | None, limit: int) -> int:
    if degrees is None or not math.isfinite(degrees) or abs(degrees) > limit:
        raise Unusable("point_invalid")
    return round(degrees * DEGREE)


def _checked_addresses(
    registration: Registration, problems: list[Problem]
) -> Iterator[endpoints.Address]:
    if not registration.endpoints:
        problems.append(Unusable("endpoint_missing").at("endpoints"))
    seen = set()
    for number, (channel, text) in enumerate(registration.endpoints):
        try:
            address = endpoints.Address(channel, normalise(channel, text))
        except Unusable as error:
            problems.append(error.at(f"endpoints[{number}]"))
            continue
        if address not in seen:
            seen.add(address)
            yield address


async def register(
    conn: Conn, keyring: Keyring, units: UnitMap, now: datetime, registration: Registration
) -> RegistrationReceipt:
    """Register a citizen; nothing is sent there until an address answers with its code.

    A known address is answered exactly as a new one. Raises InvalidRegistration.
    """
    checked = check(registration, units, now)
    async with conn.transaction():
        public_id = uuid4()
        person_id: int = await conn.fetchval(
            "INSERT INTO person (public_id, lang, created_at) VALUES ($1, $2, $3)"
            " RETURNING person_id",
            public_id, checked.lang, now,
        )  # fmt: skip
        if registration.name.strip():
            sealed = keyring.seal(
                registration.name.strip().encode(), "person", "name_enc", person_id
            )
            await conn.execute(
                "UPDATE person SET name_enc = $2 WHERE person_id = $1", person_id, sealed
            )
        await _store_places(conn, keyring, person_id, checked.places)
        await conn.execute(
            "INSERT INTO consent (person_id, given_at, source) VALUES ($1, $2, $3)",
            person_id, checked.consent_at, checked.consent_source,
        )  # fmt: skip
        made = [
            await claims.claim(conn, keyring, now, person_id, address, checked.lang)
            for address in checked.addresses
        ]
    return RegistrationReceipt(public_id, tuple(made))


async def _store_places(
    conn: Conn, keyring: Keyring, person_id: int, places: tuple[PlacedAt, ...]
) -> None:
    for place in places:
        sealed = None
        if place.address:
            # Bound to person and place together, so that it opens for no other place.
            sealed = keyring.seal(
                place.address.encode(), f"person_place/{place.place_no}", "address_enc", person_id
            )
        await conn.execute(
            "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only, label,"
            " address_enc) VALUES ($1, $2, $3, $4, $5, $6)",
            person_id, place.place_no, place.unit_id, place.x is None, place.label, sealed,
        )  # fmt: skip
        if place.x is not None:
            await conn.execute(
                "INSERT INTO person_point (person_id, place_no, x, y) VALUES ($1, $2, $3, $4)",
                person_id, place.place_no, place.x, place.y,
            )  # fmt: skip


async def leave(conn: Conn, now: datetime, person_id: int) -> None:
    """Withdraw consent: forget name, places and links; keep that and when they left."""
    async with conn.transaction():
        left = await conn.execute(
            "UPDATE person SET left_at = $2, name_enc = NULL"
            " WHERE person_id = $1 AND left_at IS NULL",
            person_id, now,
        )  # fmt: skip
        if left != "UPDATE 1":
            return
        await conn.execute(
            "UPDATE consent SET withdrawn_at = $2 WHERE person_id = $1 AND withdrawn_at IS NULL",
            person_id, now,
        )  # fmt: skip
        await conn.execute("DELETE FROM person_place WHERE person_id = $1", person_id)
        await claims.forget_tokens(conn, person_id)
        await endpoints.unlink_person(conn, now, person_id)
        await audit.record(conn, None, now, "person.left", "person", person_id)
