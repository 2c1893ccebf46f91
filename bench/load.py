"""An index of millions out of the database, and how soon a change is in its answers."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.population import Population
from broadcaster import db
from broadcaster.db import Pool
from broadcaster.embedded import fresh_data_dir, start_postgres
from broadcaster.people import place_index, units
from broadcaster.people.places import ENGLISH, NEVER, RECORD, Places
from broadcaster.people.selection import Selector
from targeting.units import UnitKey

CHANGES = 5
_BLOCKS = 2_000
_GIVE_UP_S = 30.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a process that starts waits for, and what one that runs lags behind."""

    seconds: float
    """From the database to an index that is mapped from its file and has answered."""
    change_visible_s: float
    """From a commit to the first count that has it, median."""


async def measure(population: Population, ids: dict[UnitKey, int]) -> Loaded:
    """Write the population into the schema as folding would leave it; load, and change somebody."""
    with fresh_data_dir() as directory:
        server = start_postgres(directory)
        try:
            await db.migrate(server.url)
            pool = await db.connect(server.url)
            try:
                await _seed(pool, population, ids)
                return await _load(pool)
            finally:
                await pool.close()
        finally:
            server.stop()


async def _seed(pool: Pool, population: Population, ids: dict[UnitKey, int]) -> None:
    async with pool.acquire() as conn:
        await units.seed_units(conn, datetime.now(UTC))
        known = (await units.load_map(conn)).ids
        stored = np.zeros(1 + max(ids.values()), dtype=np.int32)
        for key, number in ids.items():
            stored[number] = known[key]
        await write_places(conn, population, stored)


async def write_places(conn: db.Conn, population: Population, stored: NDArray[np.int32]) -> None:
    """Pack everybody's places; `stored` tells the unit_id of each of the population's units."""
    places = _records(population, stored)
    of_place = places["person"] // place_index.BLOCK
    blocks = np.unique(of_place)
    for start in range(0, len(blocks), _BLOCKS):
        some = blocks[start : start + _BLOCKS]
        first, last = np.searchsorted(of_place, (some[0], some[-1] + 1)).tolist()
        await place_index.write_blocks(conn, places[first:last], some)
    await conn.execute("UPDATE place_index_mark SET snapshot = pg_current_snapshot()")
    await conn.execute("VACUUM ANALYZE place_index", timeout=600)


def _records(population: Population, stored_units: NDArray[np.int32]) -> Places:
    order = np.argsort(population.person_ids, kind="stable")
    places = np.empty(len(order), RECORD)
    places["person"] = population.person_ids[order]
    places["unit"] = stored_units[population.unit_ids[order]]
    places["x"], places["y"] = population.x[order], population.y[order]
    places["ends"] = NEVER
    places["place"] = np.arange(len(order)) - np.searchsorted(places["person"], places["person"])
    places["reach"] = population.channels[order] | population.langs[order] * np.uint8(ENGLISH)
    return places


async def _load(pool: Pool) -> Loaded:
    with tempfile.TemporaryDirectory(prefix="bench-index-") as folder:
        selector = Selector(Path(folder), pool)
        try:
            async with pool.acquire() as conn:
                city = {"units": [await _city(conn)]}
                start = time.perf_counter()
                await selector.people(conn, datetime.now(UTC), city)
                seconds = time.perf_counter() - start
            lags = [await _lag(pool, selector, city) for _ in range(CHANGES)]
        finally:
            await selector.close()
    return Loaded(seconds, statistics.median(lags))


async def _city(conn: db.Conn) -> dict[str, str]:
    row = await conn.fetchrow("SELECT code, vintage FROM unit WHERE parent_id IS NULL")
    if row is None:
        raise LookupError("the city itself is no unit")
    return {"code": row["code"], "vintage": row["vintage"].isoformat()}


async def _lag(pool: Pool, selector: Selector, area: dict[str, Any]) -> float:
    """Add somebody, and ask until they are counted; raises TimeoutError."""
    async with pool.acquire() as conn:
        before = await selector.people(conn, datetime.now(UTC), area)
        async with conn.transaction():
            await _newcomer(conn)
        start = time.perf_counter()
        while await selector.people(conn, datetime.now(UTC), area) == before:
            if time.perf_counter() - start > _GIVE_UP_S:
                raise TimeoutError("a newcomer is not counted")
            await asyncio.sleep(0.02)
        return time.perf_counter() - start


async def _newcomer(conn: db.Conn) -> None:
    person_id = await conn.fetchval(
        "INSERT INTO person (person_id, created_at) OVERRIDING SYSTEM VALUE"
        " SELECT greatest((SELECT max(block) + 1 FROM place_index) * $1,"
        "  coalesce(max(person_id), 0)) + 1, now() FROM person RETURNING person_id",
        place_index.BLOCK,
    )
    await conn.execute(
        "INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only)"
        " SELECT $1, 0, max(unit_id), true FROM unit WHERE parent_id IS NOT NULL",
        person_id,
    )
