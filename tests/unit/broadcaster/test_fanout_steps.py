"""Steps: who gets the later ones, whatever phones answer meanwhile; nobody twice, nobody lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from broadcaster.db import Conn, Pool
from broadcaster.fanout import audience, channel_policy, chunks, expansion, stages, steps
from broadcaster.fanout.channel_policy import Policy
from broadcaster.fanout.moves import Move, move
from broadcaster.fanout.progress import progress, reach
from broadcaster.fanout.steps import Filter, Listed, Step
from broadcaster.keyring import Keyring
from broadcaster.people.synth import synth
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.sending import CONTENT, author, sending

PEOPLE = 600
CASCADE = Policy.model_validate(
    {
        "steps": [
            {"channels": ["push"]},
            {"channels": ["sms"], "to": "no_push"},
            {"channels": ["sms"], "to": "not_acknowledged", "after_minutes": 10},
        ]
    }
)
CHANNELS = ("push", "sms", "email")


async def _nothing() -> None:
    return None


@pytest.fixture
async def city(pool: Pool, conn: Conn, keyring: Keyring, units: UnitMap) -> None:
    """People with and without push, some on one number; chunks small enough to be many."""
    await synth(pool, keyring, units, datetime.now(UTC), PEOPLE, 5)
    await conn.execute(
        "UPDATE endpoint SET state = 'retired', retired_reason = 'gone' WHERE endpoint_id % 11 = 0"
    )


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "_PEOPLE", 100)
    monkeypatch.setattr(chunks, "CHUNK", 150)


async def _planned(conn: Conn, keyring: Keyring, people: list[int], plan: list[Step]) -> int:
    made = await sending(conn, keyring, await author(conn), code="A", count=0)
    await conn.execute("DELETE FROM progress")
    packed = audience.pack(CONTENT, np.array(people, dtype=np.uint32))
    await audience.freeze(conn, datetime.now(UTC), made.alert_id, packed)
    await steps.plan(conn, made.alert_id, plan)
    return made.alert_id


async def _expand(pool: Pool, alert_id: int, now: datetime) -> bool:
    return await expansion.expand(pool, now, alert_id, CONTENT, _nothing)


async def _links(conn: Conn) -> dict[int, list[tuple[int, str]]]:
    """Active endpoints of each person."""
    found: dict[int, list[tuple[int, str]]] = {}
    for person, endpoint, channel in await conn.fetch(
        "SELECT person_id, endpoint_id, channel::text FROM person_endpoint"
        " JOIN endpoint USING (endpoint_id) WHERE state = 'active'"
    ):
        found.setdefault(person, []).append((endpoint, channel))
    return found


async def _written(conn: Conn, alert_id: int) -> dict[int, str]:
    rows = await conn.fetch(
        "SELECT endpoint_id, state::text AS state FROM delivery WHERE alert_id = $1", alert_id
    )
    listed = await conn.fetch(
        "SELECT unnest(endpoint_ids) AS id FROM batch WHERE alert_id = $1", alert_id
    )
    assert sorted(row["id"] for row in listed) == sorted(row[0] for row in rows)
    return {row["endpoint_id"]: row["state"] for row in rows}


@pytest.mark.usefixtures("city", "small_chunks")
@pytest.mark.parametrize("seed", range(3))
async def test_everybody_is_reached_by_a_step_or_unreachable_or_has_acknowledged(
    pool: Pool, conn: Conn, keyring: Keyring, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    everybody = [row[0] for row in await conn.fetch("SELECT person_id FROM person ORDER BY 1")]
    people = [one for one in everybody if rng.random() < 0.8]
    start = datetime.now(UTC)
    plan = channel_policy.plan("warning", CASCADE, CHANNELS, start)
    alert_id = await _planned(conn, keyring, people, plan)
    assert await _expand(pool, alert_id, start)
    links = await _links(conn)
    pushed = await _written(conn, alert_id)
    assert await _expand(pool, alert_id, start)
    assert not await _expand(pool, alert_id, start + timedelta(minutes=9))
    answered = await _answer(conn, alert_id, sorted(pushed), rng)
    assert await _expand(pool, alert_id, start + timedelta(minutes=10))
    whole = await reach(conn, alert_id)
    assert whole is not None
    assert whole.expanded
    after = await _written(conn, alert_id)
    unreachable = 0
    for person in people:
        own = links.get(person, [])
        push = {endpoint for endpoint, channel in own if channel == "push"}
        sms = {endpoint for endpoint, channel in own if channel == "sms"}
        if not push and not sms:
            unreachable += 1
        elif push & answered:
            shared = {other for other in people if other != person
                      and sms & {endpoint for endpoint, _ in links.get(other, [])}}  # fmt: skip
            assert shared or not sms & set(after), "they had acknowledged"
        else:
            assert push | sms <= set(after)
    assert whole.unreachable == unreachable
    assert sum(one.total for one in await progress(conn, alert_id)) == len(after)


async def _answer(
    conn: Conn, alert_id: int, pushed: list[int], rng: np.random.Generator
) -> set[int]:
    """Have some phones confirm, some open, some turn out to be gone; returns who answered."""
    targets = rng.choice(["confirmed", "seen", "failed", "handed_off", ""], len(pushed))
    for target in ("confirmed", "seen", "failed", "handed_off"):
        some = [one for one, other in zip(pushed, targets, strict=True) if other == target]
        await move(conn, datetime.now(UTC), alert_id, [Move(one, target) for one in some])
    return {one for one, other in zip(pushed, targets, strict=True)
            if other in ("confirmed", "seen")}  # fmt: skip


@pytest.mark.usefixtures("city", "small_chunks")
async def test_nobody_who_acknowledged_before_a_chunk_was_written_is_in_it(
    pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    people = [row[0] for row in await conn.fetch("SELECT person_id FROM person ORDER BY 1")]
    start = datetime.now(UTC)
    late = Step(start, ("sms",), Filter.NOT_ACKNOWLEDGED)
    alert_id = await _planned(conn, keyring, people, [Step(start, ("push",)), late])
    assert await _expand(pool, alert_id, start)
    alone = await conn.fetch(
        "SELECT p.endpoint_id AS push, s.endpoint_id AS sms FROM person_endpoint p"
        " JOIN endpoint pe ON pe.endpoint_id = p.endpoint_id AND pe.channel = 'push'"
        "  AND pe.state = 'active'"
        " JOIN person_endpoint s ON s.person_id = p.person_id"
        " JOIN endpoint se ON se.endpoint_id = s.endpoint_id AND se.channel = 'sms'"
        "  AND se.state = 'active'"
        " WHERE (SELECT count(*) FROM person_endpoint o WHERE o.endpoint_id = s.endpoint_id) = 1"
    )
    sms_of = {row["push"]: row["sms"] for row in alone}
    in_time, too_late = set[int](), set[int]()

    async def acknowledge(push: int) -> None:
        async with pool.acquire() as own, own.transaction():
            await move(own, datetime.now(UTC), alert_id, [Move(push, "confirmed")])
            sent = await own.fetchval(
                "SELECT EXISTS (SELECT FROM delivery WHERE alert_id = $1 AND endpoint_id = $2)",
                alert_id, sms_of[push],
            )  # fmt: skip
            (too_late if sent else in_time).add(push)

    async def acknowledge_all() -> None:
        order = np.random.default_rng(1).permutation(sorted(sms_of)).tolist()
        for place in range(0, len(order) // 2, 4):
            await asyncio.gather(*map(acknowledge, order[place : place + 4]))

    await asyncio.gather(_expand(pool, alert_id, start), acknowledge_all())
    after = await _written(conn, alert_id)
    assert in_time
    assert too_late
    assert not {sms_of[push] for push in in_time} & set(after)
    silent = set(sms_of) - in_time
    assert {sms_of[push] for push in silent} <= set(after)


@pytest.mark.usefixtures("city", "small_chunks")
async def test_a_later_step_goes_on_where_it_was_when_its_process_dies(
    pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    people = [row[0] for row in await conn.fetch("SELECT person_id FROM person ORDER BY 1")]
    start = datetime.now(UTC)
    plan = channel_policy.plan("warning", CASCADE, CHANNELS, start)
    alert_id = await _planned(conn, keyring, people, plan)
    assert await _expand(pool, alert_id, start)

    async def die() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await expansion.expand(pool, start, alert_id, CONTENT, die)
    part = await _written(conn, alert_id)
    assert not await _expand(pool, alert_id, start), "the lease still holds"
    await conn.execute("UPDATE audience_step SET lease_until = now() - interval '1 second'")
    assert await _expand(pool, alert_id, start)
    whole = await _written(conn, alert_id)
    assert set(part) < set(whole)
    links = await _links(conn)
    assert set(whole) == {
        endpoint
        for own in links.values()
        for endpoint, channel in own
        if channel == "push" or (channel == "sms" and "push" not in {one for _, one in own})
    }


@pytest.mark.usefixtures("city", "small_chunks")
async def test_an_alert_is_settled_only_when_its_last_step_is_expanded(
    pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    start = datetime.now(UTC)
    plan = channel_policy.plan("warning", CASCADE, CHANNELS, start)
    alert_id = await _planned(conn, keyring, [1, 2, 3], plan)
    for _ in range(2):
        assert await _expand(pool, alert_id, start)
    await conn.execute("UPDATE batch SET state = 'done'")
    await conn.execute("UPDATE progress SET handed_off = handed_off + pending, pending = 0")
    assert await stages.settle(pool, start) == 0
    assert await _expand(pool, alert_id, start + timedelta(minutes=10))
    await conn.execute("UPDATE batch SET state = 'done'")
    await conn.execute("UPDATE progress SET handed_off = handed_off + pending, pending = 0")
    assert await stages.settle(pool, start) == 1


@pytest.mark.usefixtures("city", "small_chunks")
async def test_listed_endpoints_get_their_words_and_their_people_nothing_else(
    pool: Pool, conn: Conn, keyring: Keyring
) -> None:
    links = await _links(conn)
    people = sorted(links)[:300]
    apart = np.array(people[200:], dtype=np.uint32)
    ids = sorted({links[person][0][0] for person in people[200:]})
    start = datetime.now(UTC)
    listed = Listed(np.array(ids, dtype=np.int64), apart, 2)
    plan = [Step(start, CHANNELS), Step(start, CHANNELS, Filter.LISTED, listed)]
    alert_id = await _planned(conn, keyring, people, plan)
    for _ in range(2):
        assert await _expand(pool, alert_id, start)
    rows = await conn.fetch(
        "SELECT endpoint_id, wording FROM delivery WHERE alert_id = $1", alert_id
    )
    covered = {endpoint for person in people[:200] for endpoint, _ in links[person]}
    assert {row["endpoint_id"] for row in rows if row["wording"] == 0} == covered
    assert {row["endpoint_id"] for row in rows if row["wording"] == 2} == set(ids) - covered
