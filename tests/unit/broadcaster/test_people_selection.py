"""Whatever changes about a person is in the next answer; processes share one index file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest

from broadcaster.db import Conn, Pool
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints, place_index, selection
from broadcaster.people.importing import import_csv
from broadcaster.people.register import leave
from broadcaster.people.selection import Selector
from broadcaster.people.synth import synth
from broadcaster.people.units import UnitMap
from targeting.area import Area
from targeting.index import PeopleIndex
from targeting.select import count_people, select_people
from tests.unit.broadcaster.city import BA_DINH, BA_DINH_POINT, NGOC_HA, NOW, unit_id

CITY = {"units": [{"code": "01", "vintage": "2025-07-01"}]}
BA_DINH_AREA = {"units": [{"code": BA_DINH, "vintage": "2025-07-01"}]}
NGOC_HA_AREA = {"units": [{"code": NGOC_HA, "vintage": "2025-07-01"}]}
AREAS = (CITY, BA_DINH_AREA, NGOC_HA_AREA)
X, Y = (round(degrees * 1e5) for degrees in BA_DINH_POINT)


@pytest.fixture(autouse=True)
def looks_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count looks at the database each time, instead of twice a second."""
    monkeypatch.setattr(selection, "LOOK", 0.0)


@pytest.fixture
async def selector(pool: Pool, tmp_path: Path) -> AsyncIterator[Selector]:
    made = Selector(tmp_path / "index", pool)
    yield made
    await made.close()


async def add(conn: Conn, code: str = BA_DINH, *, point: bool = True) -> int:
    """Somebody who lives in a unit, at its point or known by it only, and is reached by nothing."""
    person = await conn.fetchval(
        "INSERT INTO person (created_at) VALUES ($1) RETURNING person_id", NOW
    )
    await place(conn, person, code, point=point)
    return int(person)


async def place(conn: Conn, person: int, code: str, number: int = 0, *, point: bool = True) -> None:
    row = await conn.fetchrow("SELECT unit_id, lon, lat FROM unit WHERE code = $1", code)
    assert row is not None
    ends = NOW + timedelta(hours=1) if number == 9 else None
    await conn.execute(
        "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only, expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        person, number, row["unit_id"], not point, ends,
    )  # fmt: skip
    if point:
        x, y = (X, Y) if code == BA_DINH else (round(row["lon"] * 1e5), round(row["lat"] * 1e5))
        await conn.execute(
            "INSERT INTO person_point (person_id, place_no, x, y) VALUES ($1, $2, $3, $4)",
            person, number, x, y,
        )  # fmt: skip


async def add_phone(conn: Conn, person: int) -> int:
    endpoint: int = await conn.fetchval(
        "INSERT INTO endpoint (channel, state, hash_key_id, address_hash, address_enc, created_at)"
        " VALUES ('sms', 'active', 1, $1, '', $2) RETURNING endpoint_id",
        str(person).encode(), NOW,
    )  # fmt: skip
    await endpoints.link(conn, NOW, [(person, endpoint)])
    return endpoint


async def truth(conn: Conn, units: UnitMap, area: dict[str, Any], now: Any = NOW) -> Any:
    """What an index built this moment says."""
    index = PeopleIndex.build(*(await place_index.load(conn, now)).columns)
    parsed = Area.from_json(area)
    counts = count_people(parsed, units.outlines, index, units.ids)
    return counts, select_people(parsed, units.outlines, index, units.ids).person_ids.tolist()


async def answers(selector: Selector, conn: Conn, area: dict[str, Any], now: Any = NOW) -> Any:
    counts = await selector.count(conn, now, area)
    assert await selector.people(conn, now, area) == counts.people
    return counts, (await selector.select(conn, now, area)).tolist()


Change = Callable[[Conn, int], Awaitable[Any]]


async def goes_to_ngoc_ha(conn: Conn, person: int) -> None:
    await conn.execute("DELETE FROM person_place WHERE person_id = $1", person)
    await place(conn, person, NGOC_HA)


async def is_retired(conn: Conn, person: int) -> None:
    await endpoints.retire(conn, NOW, await phones(conn, person), "UNREGISTERED")


async def comes_back(conn: Conn, person: int) -> None:
    await is_retired(conn, person)
    for phone in await phones(conn, person):
        await endpoints.activate(conn, phone)


async def phones(conn: Conn, person: int) -> list[int]:
    rows = await conn.fetch("SELECT endpoint_id FROM person_endpoint WHERE person_id = $1", person)
    return [row[0] for row in rows]


async def may_be_in_two(conn: Conn, person: int) -> None:
    await conn.execute("DELETE FROM person_point WHERE person_id = $1", person)
    await conn.executemany(
        "INSERT INTO place_candidate (person_id, place_no, unit_id) VALUES ($1, 0, $2)",
        [(person, await unit_id(conn, code)) for code in (NGOC_HA, "00091")],
    )


CHANGES: dict[str, Change] = {
    "moves": goes_to_ngoc_ha,
    "leaves": lambda conn, person: leave(conn, NOW, person),
    "reads English": lambda conn, person: conn.execute(
        "UPDATE person SET lang = 'en' WHERE person_id = $1", person
    ),
    "watches a place": lambda conn, person: place(conn, person, NGOC_HA, 1),
    "is somewhere": lambda conn, person: place(conn, person, NGOC_HA, 9),
    "is known by unit only": lambda conn, person: conn.execute(
        "DELETE FROM person_point WHERE person_id = $1", person
    ),
    "may live in two units": may_be_in_two,
    "gets a phone": add_phone,
    "changes the number": lambda conn, person: conn.execute(
        "DELETE FROM person_endpoint WHERE person_id = $1", person
    ),
    "is retired by a carrier": is_retired,
    "is retired and comes back": comes_back,
    "another comes": lambda conn, person: add(conn, NGOC_HA, point=False),
    "everybody is gone": lambda conn, person: conn.execute("TRUNCATE person CASCADE"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_in_the_next_answer(
    pool: Pool, conn: Conn, units: UnitMap, selector: Selector, change: str
) -> None:
    people = [await add(conn), await add(conn, NGOC_HA), await add(conn, NGOC_HA, point=False)]
    if change != "gets a phone":
        await add_phone(conn, people[0])
    before = [await answers(selector, conn, area) for area in AREAS]
    assert before[0][0].people == 3
    await CHANGES[change](conn, people[0])
    after = [await answers(selector, conn, area) for area in AREAS]
    assert after == [await truth(conn, units, area) for area in AREAS]
    await place_index.fold(pool)
    assert after == [await truth(conn, units, area) for area in AREAS]
    assert (after == before) == (change == "is retired and comes back")


async def test_a_position_that_ends_leaves_without_a_word_in_the_database(
    pool: Pool, conn: Conn, units: UnitMap, selector: Selector
) -> None:
    person = await add(conn)
    await place(conn, person, NGOC_HA, 9)
    for folded in (False, True):
        if folded:
            await place_index.fold(pool)
        for minutes, there in ((59, 1), (60, 0), (59, 1)):
            moment = NOW + timedelta(minutes=minutes)
            assert await selector.people(conn, moment, NGOC_HA_AREA) == there, (folded, minutes)


async def test_files_and_made_up_people_are_counted(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, selector: Selector, tmp_path: Path
) -> None:
    assert await selector.people(conn, NOW, CITY) == 0
    await synth(pool, keyring, units, NOW, 300, 3)
    assert await answers(selector, conn, CITY) == await truth(conn, units, CITY)
    file = tmp_path / "people.csv"
    file.write_text(
        "external_id,lang,lon,lat,unit_code,phone,email,push,consent_at,consent_source,watched\n"
        f"a,vi,{BA_DINH_POINT[0]},{BA_DINH_POINT[1]},,0912345678,,,2026-01-01T00:00:00Z,form,\n"
    )
    before = await selector.people(conn, NOW, BA_DINH_AREA)
    assert (await import_csv(pool, keyring, units, None, NOW, file)).saved == 1
    assert await selector.people(conn, NOW, BA_DINH_AREA) == before + 1
    file.write_text(file.read_text().replace(str(BA_DINH_POINT[0]), "105.9"))
    await import_csv(pool, keyring, units, None, NOW, file)
    assert await selector.people(conn, NOW, BA_DINH_AREA) == before


async def test_a_transaction_that_commits_after_a_later_one_is_not_lost(
    pool: Pool, conn: Conn, selector: Selector
) -> None:
    await add(conn)
    assert await selector.people(conn, NOW, CITY) == 1
    async with pool.acquire() as slow:
        under_way = slow.transaction()
        await under_way.start()
        await add(slow)
        await add(conn)
        assert await selector.people(conn, NOW, CITY) == 2
        assert await place_index.fold(pool) == 2
        assert (await selector.select(conn, NOW, CITY)).tolist() == [1, 3]
        await under_way.commit()
    assert await selector.people(conn, NOW, CITY) == 3
    assert await place_index.fold(pool) == 1
    assert len((await place_index.load(conn, NOW)).columns.lons) == 3


async def test_what_a_transaction_has_not_committed_it_alone_sees(
    pool: Pool, conn: Conn, selector: Selector
) -> None:
    await add(conn)
    async with pool.acquire() as writer:
        for opened in (False, True):
            attempt = writer.transaction()
            await attempt.start()
            await add(writer)
            assert len(await selector.select(writer, NOW, CITY)) == 2
            assert await selector.people(conn, NOW, CITY) == 1, opened
            await attempt.rollback()
            assert len(await selector.select(writer, NOW, CITY)) == 1


async def test_a_transaction_with_an_earlier_view_is_answered_from_it(
    pool: Pool, conn: Conn, selector: Selector
) -> None:
    await add(conn)
    async with pool.acquire() as reader, reader.transaction(isolation="repeatable_read"):
        assert await reader.fetchval("SELECT count(*) FROM person") == 1
        await add(conn)
        assert await selector.people(conn, NOW, CITY) == 2
        assert len(await selector.select(reader, NOW, CITY)) == 1
        assert await selector.people(conn, NOW, CITY) == 2


async def test_many_questions_at_once_look_once(
    pool: Pool, conn: Conn, selector: Selector, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(conn)
    await selector.people(conn, NOW, CITY)
    monkeypatch.setattr(selection, "LOOK", 60.0)
    assert await selector.people(conn, NOW, CITY) == 1
    await add(conn)
    assert await selector.people(conn, NOW, CITY) == 1
    assert len(await selector.select(conn, NOW, CITY)) == 2

    async def ask() -> int:
        async with pool.acquire() as own:
            return await selector.people(own, NOW, CITY)

    assert await asyncio.gather(*(ask() for _ in range(8))) == [2] * 8


async def test_two_areas_are_compared_and_few_people_are_not_pointed_at(
    conn: Conn, selector: Selector, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, gone, new = await add(conn), await add(conn), await add(conn, NGOC_HA)
    await place(conn, both, NGOC_HA, 1)
    compared = await selector.compare(conn, NOW, BA_DINH_AREA, NGOC_HA_AREA)
    assert [ids.tolist() for ids in (compared.added, compared.kept, compared.dropped)] == [
        [new], [both], [gone],
    ]  # fmt: skip
    around = (105.2, 20.5, 106.1, 21.5)
    assert (await selector.density(conn, NOW, around, 1, 1)).tolist() == [[0]]
    for _ in range(2):
        await add(conn)
    assert (await selector.density(conn, NOW, around, 1, 1)).tolist() == [[0]], "kept for a moment"
    monkeypatch.setattr(selection, "RASTER_KEPT", 0.0)
    assert (await selector.density(conn, NOW, around, 1, 1)).tolist() == [[5]]


async def test_a_live_view_equals_a_fresh_index_whatever_happens(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, selector: Selector
) -> None:
    rng = np.random.default_rng(11)
    await synth(pool, keyring, units, NOW, 120, 5)
    steps: list[Change] = [CHANGES[name] for name in CHANGES if name != "everybody is gone"]
    await answers(selector, conn, CITY)
    for step in rng.integers(0, len(steps), 60).tolist():
        person = int(rng.integers(1, 120))
        try:
            async with conn.transaction():
                await steps[step](conn, person)
        except asyncpg.UniqueViolationError:
            continue  # has such a place already
        if rng.random() < 0.2:
            await place_index.fold(pool)
        if rng.random() < 0.3:
            area = AREAS[int(rng.integers(0, 3))]
            assert await answers(selector, conn, area) == await truth(conn, units, area)
    for area in AREAS:
        assert await answers(selector, conn, area) == await truth(conn, units, area)
