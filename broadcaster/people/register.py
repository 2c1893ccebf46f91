"""Citizens come, and leave. Writes person, person_place, person_point and consent.

Who leaves withdraws the consent to keep a position as well.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from broadcaster import audit
from broadcaster.db import Conn
from broadcaster.errors import NotFound
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
LONGEST_LABEL = 60
UNVERIFIED_KEPT = timedelta(hours=24)
"""How long after their last code somebody is kept who has proven no address."""
_FORGOTTEN_AT_ONCE = 500
CLOCK_SKEW = timedelta(minutes=5)
"""What the clock of somebody's device may be ahead."""


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


def check(
    registration: Registration, units: UnitMap, now: datetime, *, named: bool = False
) -> Checked:
    """Check everything; raises InvalidRegistration with every problem, each naming its field.

    `named`: every watched place needs a label, as when its owner tells it; lists have none.
    """
    problems: list[Problem] = []
    if registration.lang not in LANGUAGES:
        problems.append(Unusable("lang_unknown").at("lang"))
    given, source = registration.consent_at, registration.consent_source.strip()
    problems += consent_problems(given, source, now, "consent_at", "consent_source")
    if len(registration.watched) > MOST_WATCHED:
        problems.append(Unusable("too_many_places").at("watched"))
    places = tuple(_checked_places(registration, units, problems, named))
    addresses = tuple(_checked_addresses(registration, problems))
    if problems or given is None:
        raise InvalidRegistration(problems)
    return Checked(places, addresses, registration.lang, given, source)


def consent_problems(
    at: datetime | None, source: str, now: datetime, at_field: str, source_field: str
) -> Iterator[Problem]:
    """Say what a consent lacks as a proof: the moment with its zone, and where it was given."""
    if at is None or at.tzinfo is None:
        yield Unusable("consent_missing").at(at_field)
    elif at > now + CLOCK_SKEW:
        yield Unusable("consent_ahead").at(at_field)
    if not source.strip():
        yield Unusable("consent_missing").at(source_field)


def _checked_places(
    registration: Registration, units: UnitMap, problems: list[Problem], named: bool
) -> Iterator[PlacedAt]:
    numbered = [("home", registration.home)]
    numbered += [(f"watched[{n}]", place) for n, place in enumerate(registration.watched)]
    labels: set[str] = set()
    for place_no, (field, place) in enumerate(numbered):
        try:
            label = read_label(place.label, labels, required=named and place_no != HOME)
        except Unusable as error:
            problems.append(error.at(f"{field}.label"))
            label = ""
        labels.add(label.casefold())
        try:
            yield placed(place_no, place, label, units)
        except Unusable as error:
            problems.append(error.at(field))


def read_label(text: str, taken: Collection[str], *, required: bool) -> str:
    """Return the name of a place in its stored form; `taken` are the others, case folded.

    Raises Unusable.
    """
    label = unicodedata.normalize("NFC", " ".join(text.split()))
    if required and not label:
        raise Unusable("label_missing")
    if len(label) > LONGEST_LABEL:
        raise Unusable("label_too_long")
    if any(unicodedata.category(letter) == "Cc" for letter in label):
        raise Unusable("label_unreadable")
    if label and label.casefold() in taken:
        raise Unusable("label_taken")
    return label


def placed(place_no: int, place: Place, label: str, units: UnitMap) -> PlacedAt:
    """Find the unit of a place; raises Unusable when it lies in none, or is no place."""
    address = place.address.strip()
    if place.lon is None and place.lat is None:
        if not place.unit_code:
            raise Unusable("place_missing")
        unit_id = units.by_code.get(place.unit_code)
        if unit_id is None:
            raise Unusable("unit_unknown")
        return PlacedAt(place_no, unit_id, None, None, label, address)
    x, y = steps(place.lon, 180), steps(place.lat, 90)
    found = units.locate(x / DEGREE, y / DEGREE)
    if found is None:
        raise Unusable("point_outside")
    return PlacedAt(place_no, found, x, y, label, address)


def steps(degrees: float | None, limit: int) -> int:
    """Return a coordinate as it is stored; raises Unusable beyond ±`limit`."""
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
    checked = check(registration, units, now, named=True)
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
        await store_places(conn, keyring, person_id, checked.places)
        await conn.execute(
            "INSERT INTO consent (person_id, given_at, source) VALUES ($1, $2, $3)",
            person_id, checked.consent_at, checked.consent_source,
        )  # fmt: skip
        made = [
            await claims.claim(conn, keyring, now, person_id, address, checked.lang)
            for address in checked.addresses
        ]
    return RegistrationReceipt(public_id, tuple(made))


async def store_places(
    conn: Conn, keyring: Keyring, person_id: int, places: tuple[PlacedAt, ...]
) -> None:
    """Store places that were checked and are not there yet."""
    for place in places:
        sealed = None
        if place.address:
            # Bound to person and place together, so that it opens for no other place.
            sealed = keyring.seal(
                place.address.encode(), address_scope(place.place_no), "address_enc", person_id
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


async def lock_person(conn: Conn, person_id: int) -> None:
    """Hold a person until the transaction ends; raises NotFound for who has left."""
    if not await conn.fetchval(
        "SELECT true FROM person WHERE person_id = $1 AND left_at IS NULL FOR NO KEY UPDATE",
        person_id,
    ):
        raise NotFound(
            "no_person",
            "Bạn đã huỷ đăng ký; hãy đăng ký lại.",
            "You have left the service; register again.",
        )


def address_scope(place_no: int) -> str:
    """Return what the address of a place is sealed for, in place of its table's name."""
    return f"person_place/{place_no}"


async def leave(conn: Conn, now: datetime, person_id: int, action: str = "person.left") -> None:
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
        await conn.execute(
            "UPDATE position_consent SET withdrawn_at = $2"
            " WHERE person_id = $1 AND withdrawn_at IS NULL",
            person_id, now,
        )  # fmt: skip
        await conn.execute("DELETE FROM person_place WHERE person_id = $1", person_id)
        await claims.forget_tokens(conn, person_id)
        await endpoints.unlink_person(conn, now, person_id)
        await audit.record(conn, None, now, action, "person", person_id)


async def forget_unverified(conn: Conn, now: datetime) -> int:
    """Forget who registered and proved no address until a day after the last code; return how many.

    They are forgotten as if they had left, and the consent with them: nobody ever stood by it.
    """
    people = await conn.fetch(
        "SELECT c.person_id FROM endpoint_claim c WHERE c.used_at IS NULL"
        " AND NOT EXISTS (SELECT FROM person_endpoint l WHERE l.person_id = c.person_id)"
        " GROUP BY c.person_id HAVING max(c.expires_at) <= $1 ORDER BY c.person_id LIMIT $2",
        now - UNVERIFIED_KEPT, _FORGOTTEN_AT_ONCE,
    )  # fmt: skip
    for row in people:
        async with conn.transaction():
            await leave(conn, now, row["person_id"], "person.unverified")
            await conn.execute("DELETE FROM consent WHERE person_id = $1", row["person_id"])
    return len(people)
