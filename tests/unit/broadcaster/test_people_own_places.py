import unicodedata

import pytest

from broadcaster.db import Conn
from broadcaster.errors import NotFound, Refused
from broadcaster.keyring import Keyring, UndecipherableError
from broadcaster.people import kept, own_places
from broadcaster.people.problems import InvalidRegistration
from broadcaster.people.register import Place, leave, register
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.city import (
    BA_DINH,
    BA_DINH_POINT,
    NGOC_HA,
    NOW,
    PHU_THUONG,
    registration,
    unit_id,
)

EVERYTHING = "SELECT p::text, t::text FROM person_place p LEFT JOIN person_point t USING (person_id, place_no) ORDER BY p.place_no"  # noqa: E501
SCHOOL = Place(unit_code=NGOC_HA, label="Trường", address="12 phố Đội Cấn")


@pytest.fixture
async def person(conn: Conn, keyring: Keyring, units: UnitMap) -> int:
    told = registration(("sms", "0912345678"), name="An", watched=(SCHOOL,))
    receipt = await register(conn, keyring, units, NOW, told)
    query = "SELECT person_id FROM person WHERE public_id = $1"
    return int(await conn.fetchval(query, receipt.public_id))


async def test_a_place_is_added_replaced_and_removed(
    conn: Conn, keyring: Keyring, units: UnitMap, person: int
) -> None:
    mother = Place(105.812345678, 21.041, label="  nhà   mẹ ", address="Ngõ 5")
    await own_places.put(conn, keyring, units, person, 4, mother)
    await own_places.put(conn, keyring, units, person, 0, Place(unit_code=PHU_THUONG))
    await own_places.put(conn, keyring, units, person, 1, Place(*BA_DINH_POINT, label="Trường"))
    places = {one.place_no: one for one in await own_places.kept(conn, keyring, NOW, person)}
    assert places[0].unit_code == PHU_THUONG
    assert places[0].lon is None
    # The school's written address went with the place it was the address of.
    assert (places[1].unit_code, places[1].label, places[1].address) == (BA_DINH, "Trường", "")
    assert (places[4].label, places[4].address) == ("nhà mẹ", "Ngõ 5")
    assert (places[4].lon, places[4].lat) == (105.81235, 21.041)
    assert await conn.fetchval("SELECT count(*) FROM person_point") == 2
    await own_places.remove(conn, person, 4)
    assert await conn.fetchval("SELECT array_agg(place_no) FROM person_point") == [1]
    for number in (4, 9):
        with pytest.raises(NotFound):
            await own_places.remove(conn, person, number)


async def test_the_unit_is_that_of_the_point_as_it_is_stored(
    conn: Conn, keyring: Keyring, units: UnitMap, person: int
) -> None:
    await own_places.put(conn, keyring, units, person, 2, Place(105.8380649, 21.0385349, label="x"))
    stored = await conn.fetchval("SELECT ARRAY[x, y] FROM person_point WHERE place_no = 2")
    assert stored == [10583806, 2103853]
    placed = await conn.fetchval("SELECT unit_id FROM person_place WHERE place_no = 2")
    assert placed == units.locate(105.83806, 21.03853) == await unit_id(conn, BA_DINH)


@pytest.mark.parametrize(
    ("number", "place", "field", "code"),
    [
        (2, Place(unit_code=NGOC_HA), "label", "label_missing"),
        (2, Place(unit_code=NGOC_HA, label=" \t "), "label", "label_missing"),
        (2, Place(unit_code=NGOC_HA, label="x" * 61), "label", "label_too_long"),
        (2, Place(unit_code=NGOC_HA, label="nhà\0mẹ"), "label", "label_unreadable"),
        (2, Place(unit_code=NGOC_HA, label="TRƯỜNG"), "label", "label_taken"),
        (0, Place(unit_code=NGOC_HA, label="trường"), "label", "label_taken"),
        (2, Place(unit_code="99999", label="mẹ"), "unit", "unit_unknown"),
        (2, Place(label="mẹ"), "unit", "place_missing"),
        (2, Place(106.7, 10.8, label="mẹ"), "lon", "point_outside"),
        (2, Place(21.0, 105.8, label="mẹ"), "lon", "point_invalid"),
        (1, Place(lon=105.8, label="mẹ"), "lon", "point_invalid"),
    ],
)
async def test_a_wrong_place_names_its_field_and_changes_nothing(
    conn: Conn,
    keyring: Keyring,
    units: UnitMap,
    person: int,
    number: int,
    place: Place,
    field: str,
    code: str,
) -> None:
    before = await conn.fetch(EVERYTHING)
    with pytest.raises(InvalidRegistration) as refused:
        await own_places.put(conn, keyring, units, person, number, place)
    assert [(p.field, p.code) for p in refused.value.problems] == [(field, code)]
    assert await conn.fetch(EVERYTHING) == before


async def test_labels_are_compared_and_stored_composed(
    conn: Conn, keyring: Keyring, units: UnitMap, person: int
) -> None:
    apart = unicodedata.normalize("NFD", "Trường")
    with pytest.raises(InvalidRegistration):
        await own_places.put(conn, keyring, units, person, 2, Place(unit_code=NGOC_HA, label=apart))
    long = unicodedata.normalize("NFD", "ệ" * 60)
    await own_places.put(conn, keyring, units, person, 2, Place(unit_code=NGOC_HA, label=long))
    assert await conn.fetchval("SELECT label FROM person_place WHERE place_no = 2") == "ệ" * 60
    # Renaming nothing is no clash with oneself.
    await own_places.put(conn, keyring, units, person, 1, SCHOOL)


async def test_a_home_is_replaced_and_never_removed(
    conn: Conn, keyring: Keyring, units: UnitMap, person: int
) -> None:
    with pytest.raises(Refused) as refused:
        await own_places.remove(conn, person, 0)
    assert refused.value.code == "home_stays"
    for number in (6, 9, -1):
        with pytest.raises(NotFound):
            await own_places.put(conn, keyring, units, person, number, SCHOOL)


async def test_written_addresses_are_sealed_for_their_place(
    conn: Conn, keyring: Keyring, person: int
) -> None:
    sealed = await conn.fetchval("SELECT address_enc FROM person_place WHERE place_no = 1")
    assert "Đội Cấn".encode() not in sealed
    await conn.execute("UPDATE person_place SET address_enc = $1 WHERE place_no = 0", sealed)
    with pytest.raises(UndecipherableError):
        await own_places.kept(conn, keyring, NOW, person)


async def test_all_that_is_kept_is_told_and_goes_when_its_owner_leaves(
    conn: Conn, keyring: Keyring, person: int
) -> None:
    known = await kept.of_person(conn, keyring, NOW, person)
    assert (known.name, known.lang) == ("An", "vi")
    assert [(p.place_no, p.label, p.address) for p in known.places] == [
        (0, "", ""), (1, "Trường", "12 phố Đội Cấn"),
    ]  # fmt: skip
    assert [(c.source, c.withdrawn_at) for c in known.consents] == [("app 1.0", None)]
    await leave(conn, NOW, person)
    for table in ("person_place", "person_point"):
        assert await conn.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert (await kept.of_person(conn, keyring, NOW, person)).name == ""
    with pytest.raises(NotFound):
        await own_places.remove(conn, person, 1)


async def test_a_place_that_may_lie_in_several_units_says_which(
    conn: Conn, keyring: Keyring, units: UnitMap, person: int
) -> None:
    for code in (NGOC_HA, PHU_THUONG):
        await conn.execute(
            "INSERT INTO place_candidate (person_id, place_no, unit_id) VALUES ($1, 1, $2)",
            person, await unit_id(conn, code),
        )  # fmt: skip
    [_, school] = await own_places.kept(conn, keyring, NOW, person)
    assert [one.code for one in school.candidates] == [NGOC_HA, PHU_THUONG]
    await own_places.put(conn, keyring, units, person, 1, SCHOOL)
    [_, school] = await own_places.kept(conn, keyring, NOW, person)
    assert school.candidates == ()
