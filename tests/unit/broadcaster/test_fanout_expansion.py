"""Expansion: every endpoint of the audience once, whatever happens between two chunks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import audience, chunks, expansion, policy
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.progress import progress, reach
from broadcaster.keyring import Keyring
from broadcaster.people.synth import synth
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.sending import CONTENT, author, frozen, sending

CHANNELS = ["push", "sms", "email"]
ASK = chunks.Ask(CHANNELS, CHANNELS)
PEOPLE = 1_500
Row = tuple[int, str, str]


async def _nothing() -> None:
    return None


@pytest.fixture
async def city(pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap) -> None:
    """People of whom some share a number, some have two, and some addresses do not work."""
    await synth(pool, keyring, units, datetime.now(UTC), PEOPLE, 11)
    await conn.execute(
        "UPDATE endpoint SET state = 'retired', retired_reason = 'gone' WHERE endpoint_id % 17 = 0"
    )
    await conn.execute("UPDATE endpoint SET state = 'unverified' WHERE endpoint_id % 17 = 1")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 300 people, cut where they have more than 400 endpoints."""
    monkeypatch.setattr(expansion, "_PEOPLE", 300)
    monkeypatch.setattr(chunks, "CHUNK", 400)


async def _frozen(conn: Conn, keyring: Keyring, people: Ids, channels: list[str] = CHANNELS) -> int:
    made = await sending(conn, keyring, await author(conn), code="A", count=0)
    await conn.execute("DELETE FROM progress")
    await frozen(conn, made.alert_id, people.tolist(), channels=channels)
    return made.alert_id


async def _some(conn: Conn) -> Ids:
    """Two thirds of everybody, with gaps of every width."""
    ids = np.array([row[0] for row in await conn.fetch("SELECT person_id FROM person ORDER BY 1")])
    kept = np.random.default_rng(3).random(len(ids)) < 2 / 3
    kept[200:260] = False
    return ids[kept].astype(np.uint32)


async def _brute_force(conn: Conn, people: Ids, channels: list[str]) -> tuple[list[Row], int]:
    """What should be written: one row an endpoint, and how many people have none."""
    links = await conn.fetch(
        "SELECT l.person_id, e.endpoint_id, e.channel::text, e.lang::text, e.state::text"
        " FROM person_endpoint l JOIN endpoint e USING (endpoint_id)"
    )
    chosen = set(people.tolist())
    good = [row for row in links
            if row[0] in chosen and row[4] == "active" and row[2] in channels]  # fmt: skip
    rows = sorted({(row[1], row[2], row[3]) for row in good})
    assert len(rows) < len(good), "no household in this city"
    return rows, len(chosen - {row[0] for row in good})


async def _written(conn: Conn, alert_id: int) -> list[Row]:
    rows = await conn.fetch(
        "SELECT endpoint_id, channel::text, lang::text FROM delivery"
        " WHERE alert_id = $1 AND state = 'pending' AND attempts = 0 ORDER BY 1",
        alert_id,
    )
    return [tuple(row) for row in rows]


async def _listed(conn: Conn, alert_id: int) -> list[tuple[int, str]]:
    rows = await conn.fetch(
        "SELECT unnest(endpoint_ids), channel::text FROM batch WHERE alert_id = $1 ORDER BY 1",
        alert_id,
    )
    return [tuple(row) for row in rows]


async def _expand(pool: Pool, alert_id: int) -> bool:
    return await expansion.expand(pool, datetime.now(UTC), alert_id, CONTENT, _nothing)


@pytest.mark.usefixtures("city", "small_chunks")
@pytest.mark.parametrize("channels", [CHANNELS, ["sms", "email"]])
async def test_deliveries_are_those_of_a_plain_look_at_every_link(
    pool: Pool, conn: Conn, keyring: Keyring, channels: list[str]
) -> None:
    people = await _some(conn)
    alert_id = await _frozen(conn, keyring, people, channels)
    assert await _expand(pool, alert_id)
    expected, unreachable = await _brute_force(conn, people, channels)
    assert await _written(conn, alert_id) == expected
    assert await _listed(conn, alert_id) == [(row[0], row[1]) for row in expected]
    counts = {one.channel: one.pending for one in await progress(conn, alert_id)}
    assert counts == {name: sum(row[1] == name for row in expected) for name in channels}
    summary = await reach(conn, alert_id)
    assert summary is not None
    assert (summary.unreachable, summary.expanded) == (unreachable, True)
    largest = await conn.fetchval("SELECT max(cardinality(endpoint_ids)) FROM batch")
    assert largest <= min(policy.POLICIES[name].batch for name in channels)


@pytest.mark.usefixtures("city")
async def test_no_chunk_has_more_deliveries_than_allowed_even_where_people_have_many(
    pool: Pool, conn: Conn, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 100)
    people = await _some(conn)
    seen, start, sizes, unreachable = chunks.Seen(), 0, [], 0
    while start < len(people):
        chunk = await chunks.read(conn, people[start:], ASK, seen)
        sizes.append(len(chunk))
        unreachable += chunk.unreachable
        start = int(np.searchsorted(people, chunk.through, side="right"))
    expected, without = await _brute_force(conn, people, CHANNELS)
    assert max(sizes) <= 100
    assert min(sizes[:-1]) > 90
    assert (sum(sizes), unreachable) == (len(expected), without)


@pytest.mark.usefixtures("city", "small_chunks")
async def test_two_at_once_write_nothing_twice(pool: Pool, conn: Conn, keyring: Keyring) -> None:
    people = await _some(conn)
    alert_id = await _frozen(conn, keyring, people)
    done = await asyncio.gather(*(_expand(pool, alert_id) for _ in range(3)))
    assert sorted(done) == [False, False, True]
    assert await _written(conn, alert_id) == (await _brute_force(conn, people, CHANNELS))[0]


@pytest.mark.usefixtures("city", "small_chunks")
async def test_who_lost_the_lease_leaves_no_trace_and_the_next_one_ends_it(
    pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    people = await _some(conn)
    alert_id = await _frozen(conn, keyring, people)

    async def lose() -> None:
        await conn.execute(
            "UPDATE audience_step SET fence = nextval('fence_seq'), lease_until = now()"
        )

    now = datetime.now(UTC)
    assert not await expansion.expand(pool, now, alert_id, CONTENT, lose)
    through = await conn.fetchval("SELECT expanded_through FROM audience_step")
    whole, _ = await _brute_force(conn, people[people <= through], CHANNELS)
    assert await _written(conn, alert_id) == whole
    assert len(whole) > 0
    assert await _expand(pool, alert_id)
    assert await _written(conn, alert_id) == (await _brute_force(conn, people, CHANNELS))[0]


@pytest.mark.usefixtures("city", "small_chunks")
async def test_a_stop_in_the_middle_is_seen_by_the_next_chunk(
    pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    people = await _some(conn)
    alert_id = await _frozen(conn, keyring, people)

    async def stop() -> None:
        await conn.execute("UPDATE alert SET state = 'stopped', ended_reason = 'x'")

    now = datetime.now(UTC)
    assert await expansion.expand(pool, now, alert_id, CONTENT, stop)
    written = await _written(conn, alert_id)
    everybody, _ = await _brute_force(conn, people, CHANNELS)
    assert 0 < len(written) < len(everybody)
    assert [row[0] for row in await _listed(conn, alert_id)] == [row[0] for row in written]
    assert sum(one.pending for one in await progress(conn, alert_id)) == len(written)


@pytest.mark.usefixtures("city", "small_chunks")
async def test_an_alert_gives_way_between_chunks_and_goes_on_where_it_was(
    pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    people = await _some(conn)
    alert_id = await _frozen(conn, keyring, people)
    asked = 0

    async def after_two(_: Conn) -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    now = datetime.now(UTC)
    assert not await expansion.expand(pool, now, alert_id, CONTENT, _nothing, gives_way=after_two)
    assert len(await _written(conn, alert_id)) > 0
    assert await _expand(pool, alert_id), "the lease was given back"
    assert await _written(conn, alert_id) == (await _brute_force(conn, people, CHANNELS))[0]


OTHERS = audience.pack(CONTENT, np.arange(1, 99, dtype=np.uint32))


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize(
    ("column", "value"),
    [("ids", OTHERS.bitmap), ("ids", b""), ("ids", b"no bitmap"), ("ids_hash", OTHERS.ids_hash)],
    ids=["others", "empty", "unreadable", "hash"],
)
async def test_nothing_is_written_for_an_audience_that_was_tampered_with(
    pool: Pool, conn: Conn, keyring: Keyring, column: str, value: bytes
) -> None:
    alert_id = await _frozen(conn, keyring, await _some(conn))
    await conn.execute(f"UPDATE audience SET {column} = $1", value)
    with pytest.raises(audience.AudienceBrokenError):
        await _expand(pool, alert_id)
    assert await _written(conn, alert_id) == []
