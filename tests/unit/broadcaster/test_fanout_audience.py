"""Audience and expansion: frozen, chained, resumed; a household once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from broadcaster.db import Conn, Pool
from broadcaster.fanout import audience, expansion, stages
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.progress import progress, reach
from broadcaster.keyring import Keyring
from broadcaster.people.synth import synth
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.sending import CONTENT, author, frozen, sending


@given(st.sets(st.integers(0, 2**31 - 1), max_size=50))
def test_the_hash_is_of_the_ids_and_of_nothing_else(ids: set[int]) -> None:
    sorted_ids = np.array(sorted(ids), dtype=np.uint32)
    assert audience.hash_ids(sorted_ids) == audience.hash_ids(sorted_ids.astype(">u4"))
    more = np.append(sorted_ids, np.uint32(2**31))
    assert audience.hash_ids(more) != audience.hash_ids(sorted_ids)


@given(st.lists(st.tuples(st.integers(0, 4_000_000), st.integers(1, 2_000)), max_size=5))
def test_runs_and_single_ids_are_packed_alike(runs: list[tuple[int, int]]) -> None:
    ids = sorted({one for low, length in runs for one in range(low, low + length)})
    packed = audience.pack(CONTENT, np.array(ids, dtype=np.uint32))
    assert BitMap.deserialize(packed.bitmap) == BitMap(ids)
    assert packed.people == len(ids)


async def _frozen(
    conn: Conn, keyring: Keyring, ids: list[int], channels: Sequence[str] = CHANNELS
) -> int:
    made = await sending(conn, keyring, await author(conn), code="A", count=0)
    await conn.execute("DELETE FROM progress")
    await frozen(conn, made.alert_id, ids, channels=channels)
    return made.alert_id


async def _nothing() -> None:
    return None


async def test_a_frozen_audience_comes_back_and_hangs_on_its_content(
    conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    ids = [1, 2, 3, 70_000, 5_000_000]
    alert_id = await _frozen(conn, keyring, ids)
    assert (await audience.read(conn, alert_id, CONTENT)).ids.tolist() == ids
    with pytest.raises(audience.AudienceBrokenError):
        await audience.read(conn, alert_id, b"\2" * 32)
    await conn.execute("UPDATE audience SET ids_hash = chain_hash")
    with pytest.raises(audience.AudienceBrokenError):
        await audience.read(conn, alert_id, CONTENT)


async def test_every_endpoint_once_even_when_killed_between_chunks(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    await synth(pool, keyring, units, datetime.now(UTC), 3_000, 7)
    people = [row["person_id"] for row in await conn.fetch("SELECT person_id FROM person")]
    alert_id = await _frozen(conn, keyring, sorted(people))
    monkeypatch.setattr(expansion, "_PEOPLE", 500)
    chunks = 0

    async def die_after_two() -> None:
        nonlocal chunks
        chunks += 1
        if chunks == 2:
            raise asyncio.CancelledError

    now = datetime.now(UTC)
    with pytest.raises(asyncio.CancelledError):
        await expansion.expand(pool, now, alert_id, CONTENT, die_after_two)
    assert not await expansion.expand(pool, now, alert_id, CONTENT, _nothing)
    await conn.execute("UPDATE audience_step SET lease_until = now() - interval '1 second'")
    assert await expansion.expand(pool, now, alert_id, CONTENT, _nothing)
    expected = await conn.fetchval(
        "SELECT count(DISTINCT endpoint_id) FROM person_endpoint JOIN endpoint USING (endpoint_id)"
        " WHERE state = 'active'"
    )
    assert await conn.fetchval("SELECT count(*) FROM delivery") == expected
    listed = await conn.fetchval("SELECT sum(cardinality(endpoint_ids)) FROM batch")
    assert listed == expected
    assert sum(count.pending for count in await progress(conn, alert_id)) == expected
    unreached = await conn.fetchval(
        "SELECT count(*) FROM person p WHERE NOT EXISTS"
        " (SELECT FROM person_endpoint e WHERE e.person_id = p.person_id)"
    )
    summary = await reach(conn, alert_id)
    assert summary is not None
    assert (summary.people, summary.unreachable, summary.expanded) == (3_000, unreached, True)


async def test_only_the_channels_of_the_alert_are_written(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    await synth(pool, keyring, units, datetime.now(UTC), 200, 7)
    alert_id = await _frozen(conn, keyring, list(range(1, 201)), ["sms"])
    await expansion.expand(pool, datetime.now(UTC), alert_id, CONTENT, _nothing)
    rows = await conn.fetch("SELECT DISTINCT channel::text AS channel FROM delivery")
    assert [row["channel"] for row in rows] == ["sms"]


async def test_a_stopped_alert_is_closed_down_to_the_last_delivery(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", count=5, batch=2)
    await conn.execute("UPDATE alert SET state = 'stopped', ended_reason = 'x'")
    await stages.end(pool, datetime.now(UTC))
    [count] = await progress(conn, made.alert_id)
    assert (count.stopped, count.pending, count.total) == (5, 0, 5)
    assert await conn.fetchval("SELECT count(*) FROM batch WHERE state <> 'done'") == 0


async def test_the_sweeper_finds_deliveries_without_a_batch(
    pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap
) -> None:
    made = await sending(conn, keyring, await author(conn), code="A", count=1_200)
    await conn.execute("UPDATE audience SET expanded_at = now()")
    assert await stages.sweep(pool, datetime.now(UTC)) == 0
    await conn.execute("DELETE FROM batch")
    assert await stages.settle(pool, datetime.now(UTC)) == 0
    assert await stages.sweep(pool, datetime.now(UTC)) == 1
    listed = await conn.fetch("SELECT unnest(endpoint_ids) AS e FROM batch ORDER BY 1")
    assert [row["e"] for row in listed] == made.endpoint_ids
