from datetime import datetime, timedelta

import pytest

from broadcaster.db import Conn
from broadcaster.errors import NotFound, Refused
from broadcaster.keyring import Keyring
from broadcaster.people import kept, own_places, positions
from broadcaster.people.problems import InvalidRegistration
from broadcaster.people.register import leave, register
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import BA_DINH, BA_DINH_POINT, NOW, registration

HOUR = timedelta(hours=1)
NEAR = (105.8400, 21.0400)
OUTSIDE = (106.7, 10.8)


@pytest.fixture
async def person(conn: Conn, keyring: Keyring, units: UnitMap) -> int:
    receipt = await register(conn, keyring, units, NOW, registration(("sms", "0912345678")))
    query = "SELECT person_id FROM person WHERE public_id = $1"
    return int(await conn.fetchval(query, receipt.public_id))


async def stored(conn: Conn) -> list[tuple[object, ...]]:
    rows = await conn.fetch(
        "SELECT x, y, expires_at FROM person_place JOIN person_point USING (person_id, place_no)"
        " WHERE place_no = 9"
    )
    return [tuple(row) for row in rows]


async def test_without_a_consent_of_its_own_no_position_is_kept(
    conn: Conn, units: UnitMap, person: int
) -> None:
    with pytest.raises(Refused) as refused:
        await positions.put(conn, units, NOW, person, *NEAR, NOW)
    assert refused.value.code == "position_consent_missing"
    assert await stored(conn) == []


@pytest.mark.parametrize(
    ("given_at", "source", "hours", "field"),
    [
        (NOW.replace(tzinfo=None), "app", 24, "at"),
        (NOW + HOUR, "app", 24, "at"),
        (NOW, "  ", 24, "source"),
        (NOW, "app", 0, "hours"),
        (NOW, "app", 73, "hours"),
    ],
)
async def test_a_consent_is_proven(
    conn: Conn, person: int, given_at: datetime, source: str, hours: int, field: str
) -> None:
    with pytest.raises(InvalidRegistration) as refused:
        await positions.consent(conn, NOW, person, given_at, source, hours)
    assert [p.field for p in refused.value.problems] == [field]
    assert await positions.consent_in_force(conn, person) is None


async def test_a_position_is_kept_for_a_day_from_the_moment_it_was_taken(
    conn: Conn, keyring: Keyring, units: UnitMap, person: int
) -> None:
    await positions.consent(conn, NOW, person, NOW - HOUR, "app 1.0")
    assert await positions.put(conn, units, NOW, person, *NEAR, NOW - HOUR)
    assert await stored(conn) == [(10584000, 2104000, NOW + 23 * HOUR)]
    # An older fix that comes late takes nothing away; a newer one does.
    assert await positions.put(conn, units, NOW, person, *BA_DINH_POINT, NOW - 2 * HOUR)
    assert await stored(conn) == [(10584000, 2104000, NOW + 23 * HOUR)]
    assert await positions.put(conn, units, NOW, person, *BA_DINH_POINT, NOW)
    assert await stored(conn) == [(10583806, 2103853, NOW + 24 * HOUR)]
    [home, last] = await own_places.kept(conn, keyring, NOW, person)
    assert (last.place_no, last.unit_code, last.label) == (9, BA_DINH, "")
    # Its end needs no write: nobody is shown or found at a place that is past its time.
    assert await own_places.kept(conn, keyring, NOW + 24 * HOUR, person) == [home]
    assert await stored(conn) != []


async def test_a_fast_clock_keeps_no_position_longer(
    conn: Conn, units: UnitMap, person: int
) -> None:
    await positions.consent(conn, NOW, person, NOW, "app", positions.MOST_HOURS)
    await positions.put(conn, units, NOW, person, *NEAR, NOW + timedelta(minutes=4))
    [(_, _, expires_at)] = await stored(conn)
    assert expires_at == NOW + 72 * HOUR


async def test_outside_the_city_nothing_is_kept_nor_the_position_before(
    conn: Conn, units: UnitMap, person: int
) -> None:
    await positions.consent(conn, NOW, person, NOW, "app")
    assert not await positions.put(conn, units, NOW, person, *OUTSIDE, NOW)
    await positions.put(conn, units, NOW, person, *NEAR, NOW)
    assert not await positions.put(conn, units, NOW, person, *OUTSIDE, NOW)
    assert await stored(conn) == []


@pytest.mark.parametrize(
    ("lon", "lat", "at", "fields"),
    [
        (181.0, 21.0, NOW, ["lon"]),
        (float("nan"), float("inf"), NOW, ["lon", "lat"]),
        (21.0, 105.8, NOW, ["lat"]),
        (*NEAR, NOW + HOUR, ["at"]),
        (*NEAR, NOW.replace(tzinfo=None), ["at"]),
        (*NEAR, NOW - 24 * HOUR, ["at"]),
    ],
)
async def test_a_wrong_position_names_its_fields_and_changes_nothing(
    conn: Conn,
    units: UnitMap,
    person: int,
    lon: float,
    lat: float,
    at: datetime,
    fields: list[str],
) -> None:
    await positions.consent(conn, NOW, person, NOW, "app")
    await positions.put(conn, units, NOW, person, *NEAR, NOW)
    before = await stored(conn)
    with pytest.raises(InvalidRegistration) as refused:
        await positions.put(conn, units, NOW, person, lon, lat, at)
    assert [p.field for p in refused.value.problems] == fields
    assert await stored(conn) == before


async def test_a_withdrawn_consent_acts_at_once_and_stays_on_record(
    conn: Conn, keyring: Keyring, units: UnitMap, person: int
) -> None:
    await positions.consent(conn, NOW, person, NOW, "app")
    await positions.put(conn, units, NOW, person, *NEAR, NOW)
    await positions.withdraw(conn, NOW + HOUR, person)
    assert await stored(conn) == []
    with pytest.raises(Refused):
        await positions.put(conn, units, NOW + HOUR, person, *NEAR, NOW + HOUR)
    known = await kept.of_person(conn, keyring, NOW + HOUR, person)
    assert [(c.at, c.withdrawn_at, c.hours) for c in known.position_consents] == [
        (NOW, NOW + HOUR, 24)
    ]


async def test_a_shorter_time_holds_for_the_position_that_is_there(
    conn: Conn, units: UnitMap, person: int
) -> None:
    await positions.consent(conn, NOW, person, NOW, "app", 48)
    await positions.put(conn, units, NOW, person, *NEAR, NOW)
    await positions.consent(conn, NOW, person, NOW, "app", 2)
    [(_, _, expires_at)] = await stored(conn)
    assert expires_at == NOW + 2 * HOUR
    await positions.consent(conn, NOW, person, NOW, "app", 72)
    assert (await stored(conn))[0][2] == expires_at
    assert await conn.fetchval("SELECT count(*) FROM position_consent") == 3


async def test_who_leaves_leaves_no_position_and_no_consent(
    conn: Conn, units: UnitMap, person: int
) -> None:
    await positions.consent(conn, NOW, person, NOW, "app")
    await positions.put(conn, units, NOW, person, *NEAR, NOW)
    await leave(conn, NOW + HOUR, person)
    assert await stored(conn) == []
    assert await positions.consent_in_force(conn, person) is None
    with pytest.raises(NotFound):
        await positions.consent(conn, NOW, person, NOW, "app")


async def test_what_has_ended_is_deleted_for_good_and_nothing_else(
    conn: Conn, units: UnitMap, person: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "_FORGOTTEN_AT_ONCE", 2)
    await positions.consent(conn, NOW, person, NOW, "app")
    await positions.put(conn, units, NOW, person, *NEAR, NOW)
    await conn.execute(
        "WITH made AS (INSERT INTO person (created_at) SELECT $1 FROM generate_series(1, 5)"
        "  RETURNING person_id)"
        " INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only, expires_at)"
        " SELECT person_id, 9, (SELECT min(unit_id) FROM unit), false, $1::timestamptz FROM made",
        NOW,
    )
    await conn.execute(
        "INSERT INTO person_point SELECT person_id, 9, 1, 1 FROM person_place"
        " WHERE place_no = 9 AND person_id <> $1",
        person,
    )
    assert await positions.forget_expired(conn, NOW) == 5
    assert await positions.forget_expired(conn, NOW) == 0
    assert len(await stored(conn)) == 1
    assert await positions.forget_expired(conn, NOW + 24 * HOUR) == 1
    numbers = await conn.fetch("SELECT DISTINCT place_no FROM person_point")
    assert [row[0] for row in numbers] == [0]
