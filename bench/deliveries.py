"""The deliveries of one alert to 1.5 million endpoints, in an embedded PostgreSQL of its own.

The real schema with all its indexes, fsync on; one alert after the other in the same partition,
as bulletins of a storm follow each other. Choosing the people is measured elsewhere.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from broadcaster import db
from broadcaster.alerts import lifecycle
from broadcaster.alerts.content import canonical
from broadcaster.db import Conn, Pool
from broadcaster.demo import storm
from broadcaster.embedded import fresh_data_dir, start_postgres
from broadcaster.fanout import stages
from broadcaster.fanout.audience import Ids
from broadcaster.states import AlertState

PEOPLE = 750_000
"""With two endpoints each."""
LARGEST = 10_000_000
"""People of the audience whose first chunk is timed."""
RUNS = 3

# One person in fifty shares their second endpoint with the one before; each has a push address
# and a number or a mail address.
_SEED = """
SET session_replication_role = replica;
INSERT INTO person (lang, created_at) SELECT 'vi', now() FROM generate_series(1, {people});
INSERT INTO endpoint (endpoint_id, channel, state, lang, hash_key_id, address_hash, address_enc,
        created_at)
    SELECT i, (CASE WHEN i % 2 = 1 THEN 'push' WHEN i % 8 = 0 THEN 'email' ELSE 'sms' END)::channel,
        'active', (CASE WHEN i % 20 < 2 THEN 'en' ELSE 'vi' END)::lang, 1, sha256(int8send(i)),
        sha256(int8send(i)) || sha256(int8send(-i)), now()
    FROM generate_series(1::bigint, 2 * {people}) AS i;
INSERT INTO person_endpoint SELECT (i + 1) / 2, i, now()
    FROM generate_series(1::bigint, 2 * {people}) AS i;
INSERT INTO person_endpoint SELECT i / 2, i - 2, now()
    FROM generate_series(100::bigint, 2 * {people}, 100) AS i;
INSERT INTO unit (code, vintage, name, name_en, kind, lon, lat, valid_from, outline,
        outline_approximate)
    VALUES ('01', '2025-07-01', '', '', 'city', 105.8, 21, '2025-07-01', '', true);
INSERT INTO official (login, name, password_hash, created_at)
    VALUES ('author', '', '', now()), ('approver', '', '', now());
SET session_replication_role = origin;
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What writing the deliveries of one alert took."""

    seconds: float
    """From the chosen people to the last of 1.5 million deliveries, median."""
    first_chunk_s: float
    """From 10 million chosen people to the first chunk committed, median."""
    samples: dict[str, list[float]]


async def measure_deliveries(people: int = PEOPLE, runs: int = RUNS) -> Written:
    """Seed people with two endpoints each and broadcast to them; raises RuntimeError on a loss."""
    with fresh_data_dir() as directory:
        server = start_postgres(directory)
        try:
            await db.migrate(server.url)
            pool = await db.connect(server.url)
            try:
                await _seed(pool, people)
                return await _measure(pool, people, runs)
            finally:
                await pool.close()
        finally:
            server.stop()


async def _seed(pool: Pool, people: int) -> None:
    async with pool.acquire() as conn:
        await conn.execute(_SEED.format(people=people), timeout=600)
        for table in ("person", "endpoint", "person_endpoint"):
            await conn.execute(f"VACUUM ANALYZE {table}", timeout=600)


async def _measure(pool: Pool, people: int, runs: int) -> Written:
    samples: dict[str, list[float]] = {"deliveries_s": [], "first_chunk_s": []}
    everybody = np.arange(1, people + 1, dtype=np.uint32)
    city = np.arange(1, LARGEST + 1, dtype=np.uint32)
    await _broadcast(pool, everybody[:1000], whole=True)
    for _ in range(runs):
        samples["first_chunk_s"].append(await _broadcast(pool, city, whole=False))
        samples["deliveries_s"].append(await _broadcast(pool, everybody, whole=True))
        found = await pool.fetchval(
            "SELECT count(*) FROM delivery WHERE alert_id = (SELECT max(alert_id) FROM audience)"
        )
        if found != 2 * people:
            raise RuntimeError(f"{found} deliveries of {2 * people} were written")
    return Written(
        statistics.median(samples["deliveries_s"]),
        statistics.median(samples["first_chunk_s"]),
        samples,
    )


async def _broadcast(pool: Pool, ids: Ids, *, whole: bool) -> float:
    """Start an alert to these people; seconds until all deliveries, or the first chunk, are in."""
    now = datetime.now(UTC)
    async with pool.acquire() as conn:
        approved = await lifecycle.snapshot(conn, await _approved(conn, now))
    start = time.perf_counter()
    await stages.begin(pool, now, approved, ids)
    if whole:
        await stages.expand_open(pool, now, _nobody_to_wake)
    seconds = time.perf_counter() - start
    async with pool.acquire() as conn:
        await lifecycle.move(conn, now, approved.alert_id, AlertState.SENT)
    return seconds


async def _nobody_to_wake() -> None:
    await asyncio.sleep(0)


async def _approved(conn: Conn, now: datetime) -> int:
    """Write an alert of the city that stands approved."""
    content = storm.content(now, {"units": [{"code": "01", "vintage": "2025-07-01"}]})
    alert_id: int = await conn.fetchval(
        "INSERT INTO alert (code, cap_identifier, state, class, lane, event, unit_id, author_id,"
        " version, created_at, updated_at, approved_version, approved_by, approved_at, expires)"
        " SELECT n, n, 'approved', 'warning', 1, 'storm', 1, 1, 1, $1, $1, 1, 2, $1, $2"
        " FROM (SELECT 'bench-' || (1 + count(*)) AS n FROM alert) RETURNING alert_id",
        now,
        now + timedelta(hours=12),
    )
    data, digest = canonical({"content": content.to_json()})
    await conn.execute(
        "INSERT INTO alert_snapshot VALUES ($1, 1, $2, $3, $4)", alert_id, data, digest, now
    )
    return alert_id
