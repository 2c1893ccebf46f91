import numpy as np
import pytest

from broadcaster.db import Conn, Pool
from broadcaster.keyring import Keyring
from broadcaster.people import place_index
from broadcaster.people.addresses import normalise
from broadcaster.people.register import leave
from broadcaster.people.synth import synth
from broadcaster.people.units import UnitMap
from targeting.index import CHANNELS, NO_POINT, PeopleIndex
from tests.unit.broadcaster.city import NOW

PEOPLE = 5_000
SHARING = (
    "SELECT FROM person_endpoint WHERE endpoint_id IN"
    " (SELECT endpoint_id FROM person_endpoint GROUP BY 1 HAVING count(*) > 1)"
)
UNREACHABLE = "SELECT FROM person WHERE person_id NOT IN (SELECT person_id FROM person_endpoint)"


async def addresses(conn: Conn, keyring: Keyring) -> list[tuple[str, str]]:
    rows = await conn.fetch("SELECT endpoint_id, channel::text, address_enc FROM endpoint")
    return sorted(
        (
            row["channel"],
            keyring.unseal(
                row["address_enc"], "endpoint", "address_enc", row["endpoint_id"]
            ).decode(),
        )
        for row in rows
    )


async def share(conn: Conn, query: str) -> float:
    return float(await conn.fetchval(f"SELECT count(*) FROM ({query}) q")) / PEOPLE


async def test_the_made_up_city_is_as_untidy_as_a_real_one(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    told: list[int] = []
    assert await synth(pool, keyring, units, NOW, PEOPLE, 7, told.append) == PEOPLE
    assert sum(told) == await conn.fetchval("SELECT count(*) FROM person") == PEOPLE
    shares = "SELECT {} FROM person_endpoint JOIN endpoint USING (endpoint_id) WHERE channel = '{}'"
    for query, wanted, slack in (
        ("SELECT FROM person_place WHERE place_no = 0 AND by_unit_only", 0.20, 0.03),
        ("SELECT FROM person_place WHERE place_no = 1", 0.30, 0.03),
        ("SELECT FROM person_place WHERE place_no = 9", 0.05, 0.02),
        ("SELECT FROM person WHERE lang = 'en'", 0.10, 0.02),
        (shares.format("DISTINCT person_id", "push"), 0.85, 0.03),
        (shares.format("DISTINCT person_id", "sms"), 0.71, 0.04),
        (shares.format("DISTINCT person_id", "email"), 0.25, 0.03),
        (SHARING, 0.08, 0.02),
        (shares.format("person_id", "sms") + " GROUP BY 1 HAVING count(*) > 1", 0.05, 0.02),
        (UNREACHABLE, 0.01, 0.006),
    ):  # fmt: skip
        assert await share(conn, query) == pytest.approx(wanted, abs=slack), query
    made = await addresses(conn, keyring)
    assert len(set(made)) == len(made)
    assert all(normalise(channel, value) == value for channel, value in made[::50])
    households = await conn.fetch(
        "SELECT DISTINCT array_agg(DISTINCT p.unit_id) FROM person_endpoint"
        " JOIN person_place p USING (person_id) WHERE p.place_no = 0 GROUP BY endpoint_id"
        " HAVING count(*) > 1"
    )
    assert all(len(row[0]) == 1 for row in households)


async def test_people_live_in_proportion_to_population(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await synth(pool, keyring, units, NOW, PEOPLE, 7)
    rows = await conn.fetch(
        "SELECT u.population::float / sum(u.population) OVER () * $1 AS wanted,"
        " (SELECT count(*) FROM person_place p WHERE p.unit_id = u.unit_id AND p.place_no = 0)"
        " AS living FROM unit u WHERE u.parent_id IS NOT NULL",
        PEOPLE,
    )
    assert all(abs(row["wanted"] - row["living"]) <= 1 for row in rows)
    columns = (await place_index.load(conn, NOW)).columns
    known = columns.lons != NO_POINT
    points = np.column_stack((columns.lons[known], columns.lats[known])) / 1e5
    assert units.locate_many(points).tolist() == columns.unit_ids[known].tolist()


async def test_the_same_seed_makes_the_same_people_and_more_can_be_added(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    everything = (
        "SELECT md5(string_agg(concat_ws(',', person_id, place_no, x, y), ' '"
        " ORDER BY person_id, place_no)) FROM person_point"
    )
    seen = []
    for _ in range(2):
        await conn.execute("TRUNCATE person, endpoint RESTART IDENTITY CASCADE")
        await synth(pool, keyring, units, NOW, 300, 3)
        seen.append((await conn.fetchval(everything), await addresses(conn, keyring)))
    assert seen[0] == seen[1]
    await synth(pool, keyring, units, NOW, 300, 3)
    assert await conn.fetchval("SELECT count(*) FROM person") == 600


async def test_the_columns_hold_whoever_is_registered_and_what_reaches_them(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await synth(pool, keyring, units, NOW, 400, 5)
    await leave(conn, NOW, 1)
    await conn.execute(
        "UPDATE endpoint SET state = 'retired', retired_reason = 'x' WHERE endpoint_id % 3 = 0"
    )
    columns = (await place_index.load(conn, NOW)).columns
    index = PeopleIndex.build(*columns)
    counts = index.breakdown(units.outlines.whole, units.lowest_ids.tolist())
    assert counts.people == index.people == 399
    for channel in CHANNELS:
        reached = await conn.fetchval(
            "SELECT count(DISTINCT person_id) FROM person_endpoint JOIN endpoint"
            " USING (endpoint_id) WHERE channel = $1 AND state = 'active'",
            channel,
        )
        assert counts.by_channel[channel] == reached
    english = await conn.fetchval(
        "SELECT count(*) FROM person WHERE lang = 'en' AND left_at IS NULL"
    )
    assert counts.by_lang["en"] == english
    places = await conn.fetchval("SELECT count(*) FROM person_place")
    assert index.places == places
    past = await conn.fetchval("SELECT count(*) FROM person_place WHERE place_no = 9")
    later = (await place_index.load(conn, NOW.replace(year=NOW.year + 1))).columns
    assert len(later.lons) == places - past


async def test_an_empty_city_has_empty_columns(conn: Conn) -> None:
    columns = (await place_index.load(conn, NOW)).columns
    assert PeopleIndex.build(*columns).people == 0
