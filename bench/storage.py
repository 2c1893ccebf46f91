"""What is kept of deliveries and how soon it is found again, in an embedded PostgreSQL of its own.

One alert is written as rows and packed by the job itself, which gives the sizes of both forms. The
archive is then filled with generated alerts, packed as the job packs them, beside some that are
still rows; and it is asked what somebody received, and who received an alert.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias

import numpy as np

from bench.histories import ENDPOINTS, columns, sizes
from bench.report import Figure, Report
from broadcaster import db
from broadcaster.db import Conn, Pool
from broadcaster.embedded import fresh_data_dir, start_postgres
from broadcaster.fanout import archive, audience, blocks, deliveries, received, retention, segments
from broadcaster.fanout.blocks import BLOCK, LANGS, STATES, Columns
from broadcaster.fanout.policy import CHANNELS
from broadcaster.processes import runner
from broadcaster.terminal import say

DELIVERIES = 5_000_000
LIVE_SHARE, MOST_LIVE = 0.05, 600_000
SAMPLE = 200_000
"""Deliveries of the alert that is packed by the job."""
DISTINCT = 2_000_000
"""Deliveries generated and packed one by one."""
_FURTHEST = ENDPOINTS // 10
ASKED = 300
_CHAIN = b"c" * 32
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_ROW_TABLES = "'delivery_0', 'attempt_0'"
_ARCHIVE = "'archive', 'archive_block', 'archive_segment', 'archive_mask', 'late_news'"
_PIECE = 50_000

Samples: TypeAlias = dict[str, list[float]]

_SEED = """
SET session_replication_role = replica;
INSERT INTO unit (code, vintage, name, name_en, kind, lon, lat, valid_from, outline,
        outline_approximate)
    VALUES ('01', '2025-07-01', '', '', 'city', 105.8, 21, '2025-07-01', '', true);
INSERT INTO official (login, name, password_hash, created_at)
    VALUES ('author', '', '', now()), ('approver', '', '', now());
INSERT INTO provider (channel, name, account) VALUES ('push', 'a', ''), ('sms', 'a', ''),
    ('email', 'a', '');
"""


async def _alert(conn: Conn, began: datetime) -> int:
    """Write an alert that was sent and is over."""
    alert_id: int = await conn.fetchval(
        "INSERT INTO alert (code, cap_identifier, state, class, lane, event, unit_id, author_id,"
        " version, created_at, updated_at, approved_version, approved_by, approved_at, started_at,"
        " first_handoff_at, sent_at, expires)"
        " SELECT n, n, 'expired', 'warning', 1, 'storm', 1, 1, 1, $1, $1, 1, 2, $1, $1, $1, $1, $2"
        " FROM (SELECT 'bench-' || nextval('fence_seq') AS n) s RETURNING alert_id",
        began,
        began + timedelta(hours=12),
    )
    packed = audience.pack(b"c" * 32, np.arange(3, dtype=np.uint32))
    await audience.freeze(conn, began, alert_id, packed)
    await conn.execute("SELECT ensure_partitions($1)", alert_id)
    await conn.execute("UPDATE audience SET chain_hash = $2, expanded_at = frozen_at"
                       " WHERE alert_id = $1", alert_id, _CHAIN)  # fmt: skip
    return alert_id


async def _write_rows(conn: Conn, alert_id: int, whole: Columns) -> None:
    """Write deliveries, attempts and counts as they stand before they are packed."""
    for start in range(0, len(whole), _PIECE):
        some = whole.part(start, start + _PIECE)
        await conn.copy_records_to_table(
            "delivery", records=_deliveries(alert_id, some),
            columns=["alert_id", "endpoint_id", "channel", "lang", "state", "attempts",
                     "created_at", "updated_at", "reason"],
        )  # fmt: skip
        await conn.copy_records_to_table(
            "attempt", records=_attempts(alert_id, some),
            columns=["alert_id", "endpoint_id", "attempt", "at", "provider_id", "fence", "result",
                     "reason"],
        )  # fmt: skip
    await _count(conn, alert_id, whole)


async def _count(conn: Conn, alert_id: int, whole: Columns) -> None:
    for number, channel in enumerate(CHANNELS):
        counts = np.bincount(whole.states[whole.channels == number], minlength=len(STATES))
        await conn.execute(
            f"INSERT INTO progress (alert_id, channel, {', '.join(STATES)}) VALUES"
            f" ($1, $2, {', '.join(f'${n}' for n in range(3, 3 + len(STATES)))})",
            alert_id, channel, *counts.tolist(),
        )  # fmt: skip


def _deliveries(alert_id: int, some: Columns) -> list[tuple[object, ...]]:
    told = (None, *some.texts)
    return [
        (alert_id, endpoint, CHANNELS[channel], LANGS[lang], STATES[state], tries,
         _moment(created), _moment(updated), told[reason])
        for endpoint, channel, lang, state, tries, created, updated, reason in zip(
            *(getattr(some, name).tolist() for name in (
                "endpoint_ids", "channels", "langs", "states", "tries", "created_at",
                "updated_at", "reasons")), strict=True)
    ]  # fmt: skip


def _attempts(alert_id: int, some: Columns) -> list[tuple[object, ...]]:
    told = (None, *some.texts)
    endpoints = np.repeat(some.endpoint_ids, some.attempts).tolist()
    return [
        (alert_id, endpoint, number, _moment(at), provider, 1, told[result], told[reason])
        for endpoint, number, at, provider, result, reason in zip(
            endpoints, *(getattr(some, name).tolist() for name in (
                "numbers", "at", "providers", "results", "attempt_reasons")), strict=True)
    ]  # fmt: skip


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _microseconds(moment: datetime) -> int:
    return int((moment - _EPOCH).total_seconds()) * 1_000_000


async def _size(conn: Conn, tables: str) -> int:
    """Return bytes on disk with indexes and what is stored out of line."""
    total: int = await conn.fetchval(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
        f" WHERE relkind = 'r' AND relname IN ({tables})"
    )
    return total


async def _packed_by_the_job(
    pool: Pool, rng: np.random.Generator, now: datetime, count: int
) -> list[Figure]:
    """Write one alert as rows, have it packed, and compare."""
    async with pool.acquire() as conn:
        began = now - timedelta(days=30)
        alert_id = await _alert(conn, began)
        await _write_rows(conn, alert_id, columns(rng, count, _microseconds(began)))
        as_rows = await _size(conn, _ROW_TABLES)
        before = await _size(conn, _ARCHIVE)
    start = time.process_time()
    if not await retention.freeze_due(pool, now) or not await retention.pack(pool, now, alert_id):
        raise RuntimeError("the job did not pack the alert")
    seconds = time.process_time() - start
    async with pool.acquire() as conn:
        as_blocks = await _size(conn, _ARCHIVE) - before
        await conn.execute("TRUNCATE delivery, attempt")
    return [
        Figure("storage.row_bytes_per_delivery", "a delivery and its attempts as rows",
               round(as_rows / count, 1), "bytes"),
        Figure("storage.packed_bytes_per_delivery", "the same packed, without the way from people",
               round(as_blocks / count, 2), "bytes", 16),
        Figure("storage.packed_per_s", "deliveries packed a second of our processor's time",
               round(count / seconds), "/s"),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Made:
    """One generated alert, packed."""

    whole: Columns
    packed: list[blocks.Block]


def _made(rng: np.random.Generator, count: int, began: int) -> _Made:
    whole = columns(rng, count, began)
    parts = (whole.part(start, start + BLOCK) for start in range(0, count, BLOCK))
    return _Made(whole, [blocks.pack(part, _CHAIN) for part in parts])


def _moved(block: blocks.Block, by: int) -> blocks.Block:
    """Return the same deliveries to endpoints further on."""
    first = block.first_id + by
    proof = blocks.digest(_CHAIN, first, block.ids, block.facts)
    return replace(block, first_id=first, last_id=block.last_id + by, digest=proof)


async def _fill(
    pool: Pool, rng: np.random.Generator, now: datetime, total: int
) -> dict[int, tuple[int, str]]:
    """Pack generated alerts straight into the archive; returns of each one endpoint and state.

    From DISTINCT deliveries on, alerts are earlier ones moved along by some number of endpoints:
    packing each anew would measure the same once more and take most of an hour.
    """
    alerts: dict[int, tuple[int, str]] = {}
    made: list[_Made] = []
    written = 0
    async with pool.acquire() as conn:
        for number, count in enumerate(sizes(rng, min(total, DISTINCT))):
            began = now - timedelta(days=200) + timedelta(hours=number)
            made.append(_made(rng, count, _microseconds(began)))
        while written < total:
            number = len(alerts)
            one = made[number] if number < len(made) else made[int(rng.integers(len(made)))]
            by = 0 if number < len(made) else int(rng.integers(1, _FURTHEST))
            began = now - timedelta(days=200) + timedelta(hours=number)
            alert_id = await _alert(conn, began)
            async with conn.transaction():
                await _archive(conn, now, alert_id, one.whole, by)
                await archive.write_blocks(conn, alert_id, [_moved(b, by) for b in one.packed])
            await _count(conn, alert_id, one.whole)
            place = int(rng.integers(len(one.whole)))
            state = STATES[int(one.whole.states[place])]
            alerts[alert_id] = int(one.whole.endpoint_ids[place]) + by, state
            written += len(one.whole)
    return alerts


async def _check(pool: Pool, known: dict[int, tuple[int, str]]) -> None:
    """Find what was generated; raises RuntimeError."""
    async with pool.acquire() as conn:
        for alert_id, (endpoint_id, state) in known.items():
            found = await deliveries.of_keys(conn, [(alert_id, endpoint_id)])
            if alert_id not in await deliveries.alerts_to(conn, [endpoint_id]) or (
                found[alert_id, endpoint_id].state != state
            ):
                raise RuntimeError(f"alert {alert_id} to endpoint {endpoint_id} is not found again")


async def _archive(conn: Conn, now: datetime, alert_id: int, whole: Columns, by: int) -> None:
    await conn.execute(
        "INSERT INTO archive (alert_id, begun_at, through, deliveries, attempts, packed_at)"
        " VALUES ($1, $2, $3, $4, $5, $2)",
        alert_id, now, int(whole.endpoint_ids[-1]) + by, len(whole), len(whole.at),
    )  # fmt: skip


async def _live(pool: Pool, rng: np.random.Generator, now: datetime, total: int) -> list[int]:
    """Write some alerts of the last days as rows."""
    alerts: list[int] = []
    left = total
    async with pool.acquire() as conn:
        while left > 0:
            count = min(left, total // 3 + 1)
            began = now - timedelta(hours=5 + len(alerts))
            alerts.append(await _alert(conn, began))
            await _write_rows(
                conn, alerts[-1], columns(rng, count, _microseconds(began), unknown=3)
            )
            left -= count
    return alerts


async def _timed(ask: Callable[[], Awaitable[object]], samples: list[float]) -> object:
    start = time.perf_counter()
    answer = await ask()
    samples.append((time.perf_counter() - start) * 1000)
    return answer


async def _ask(pool: Pool, rng: np.random.Generator, packed: list[int], live: list[int]) -> Samples:
    """Ask about random people, and about random alerts in every way a page can."""
    samples: Samples = {"person_ms": [], "person_cpu_ms": [], "alert_ms": [], "alert_live_ms": []}
    async with pool.acquire() as conn:
        for _ in range(ASKED):
            # Two endpoints, sometimes none the alerts know.
            ids = (rng.choice(int(ENDPOINTS * 1.1), 2, replace=False) + 1).tolist()
            began = time.process_time()
            await _timed(partial(received.by_endpoints, conn, ids), samples["person_ms"])
            samples["person_cpu_ms"].append((time.process_time() - began) * 1000)
        for alerts, name in ((packed, "alert_ms"), (live, "alert_live_ms")):
            for _ in range(ASKED):
                await _ask_alert(conn, rng, int(rng.choice(alerts)), samples[name])
    return samples


async def _ask_alert(
    conn: Conn, rng: np.random.Generator, alert_id: int, samples: list[float]
) -> None:
    after = -1 if rng.random() < 0.5 else int(rng.integers(ENDPOINTS))
    state = rng.choice(["", "", "failed", "confirmed", "unknown"])
    channel = rng.choice(["", "", "sms", "email"])
    if rng.random() < 0.2:
        person = [(alert_id, int(one)) for one in rng.integers(1, ENDPOINTS, 2)]
        await _timed(lambda: deliveries.of_keys(conn, person), samples)
        return
    await _timed(
        lambda: deliveries.of_alert(
            conn, alert_id, channel=str(channel) or None, state=str(state) or None, after=after
        ),
        samples,
    )


async def _measure(total: int) -> Report:
    rng, now = np.random.default_rng(20260910), datetime.now(UTC)
    with fresh_data_dir() as directory:
        server = start_postgres(directory, options={"shared_buffers": "512MB"})
        try:
            await db.migrate(server.url)
            pool = await db.connect(server.url, most=4)
            try:
                return await _all(pool, rng, now, total)
            finally:
                await pool.close()
        finally:
            server.stop()


async def _all(pool: Pool, rng: np.random.Generator, now: datetime, total: int) -> Report:
    live_total = min(int(total * LIVE_SHARE), MOST_LIVE)
    async with pool.acquire() as conn:
        await conn.execute(_SEED)
    figures = await _packed_by_the_job(pool, rng, now, min(SAMPLE, total // 4))
    start = time.perf_counter()
    packed = await _fill(pool, rng, now, total - live_total)
    await segments.build(pool, now + segments.WAIT)
    live = await _live(pool, rng, now, live_total)
    say(f"{len(packed)} alerts packed, {len(live)} as rows, {time.perf_counter() - start:.0f} s")
    async with pool.acquire() as conn:
        for table in ("archive_block", "archive_mask", "archive", "delivery", "attempt", "alert"):
            await conn.execute(f"VACUUM ANALYZE {table}", timeout=1800)
        kept = await conn.fetchval("SELECT sum(deliveries) FROM archive")
        size, masks = await _size(conn, _ARCHIVE), await _size(conn, "'archive_mask'")
    await _check(pool, packed)
    samples = await _ask(pool, rng, list(packed), live)
    alert_ms = samples["alert_ms"] + samples["alert_live_ms"]
    figures += [
        Figure("storage.bytes_per_delivery", "everything the archive takes, a delivery",
               round(size / kept, 2), "bytes", 16),
        Figure("storage.mask_bytes_per_delivery", "of it the way from people to alerts",
               round(masks / kept, 2), "bytes"),
        Figure("storage.person_p95_ms", "what one person received, the newest page",
               round(float(np.percentile(samples["person_ms"], 95)), 1), "ms", 50),
        Figure("storage.alert_p95_ms", "who received an alert: a page, a search, one person",
               round(float(np.percentile(alert_ms, 95)), 1), "ms", 50),
    ]  # fmt: skip
    rounded = {name: [round(one, 2) for one in values] for name, values in samples.items()}
    return Report(
        "storage",
        figures,
        kept + live_total,
        f"embedded PostgreSQL, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        samples=rounded,
    )


def main() -> None:
    """Measure; raises RuntimeError when something generated is not found again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=DELIVERIES, metavar="N",
                        help="how many in all; the target is 100000000")  # fmt: skip
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runner.set_up_logging("error")

    async def measure(_: object) -> None:
        (await _measure(given.deliveries)).show()

    runner.run(measure)


if __name__ == "__main__":
    main()
