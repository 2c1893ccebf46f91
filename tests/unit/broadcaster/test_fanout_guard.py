"""What every message asks for: a permit of a process that knows what time it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.db import Conn, Pool
from broadcaster.fanout import alarms, claims
from broadcaster.fanout.clocks import WRONG_BY, Clocks, Wrong
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.sending import ALL_LANES
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap
from tests.unit.broadcaster.clock import set_ahead, settable
from tests.unit.broadcaster.sending import author, sending

HOUR = timedelta(hours=1)
FAR = timedelta(seconds=WRONG_BY + 5)


def showing(ahead: timedelta) -> Callable[[], Awaitable[datetime | None]]:
    """A third clock, so far ahead."""

    async def ask() -> datetime | None:
        return datetime.now(UTC) + ahead

    return ask


@pytest.mark.parametrize("direction", [1, -1])
async def test_a_machine_whose_clock_is_wrong_claims_nothing_until_it_is_right(
    pool: Pool, conn: Conn, direction: int
) -> None:
    off = timedelta(seconds=0)
    guard = Guard(pool, lambda: datetime.now(UTC) + off, name="here:1")
    await guard.check()
    assert guard.may_claim
    off = direction * FAR
    await guard.check()
    assert not guard.may_claim
    [alarm] = await alarms.standing(conn, datetime.now(UTC))
    assert (alarm.what, alarm.subject) == ("clock_wrong", "worker:here:1")
    assert abs(alarm.detail["seconds"] - off.total_seconds()) < 2
    off = direction * timedelta(seconds=WRONG_BY - 5)
    await guard.check()
    assert guard.may_claim


@pytest.fixture
async def shifted(database: str) -> AsyncIterator[Pool]:
    async with settable(database) as pool:
        yield pool


@pytest.mark.parametrize("direction", [1, -1])
async def test_the_databases_clock_is_set_wrong_and_alerts_go_on(
    shifted: Pool, keyring: Keyring, units: UnitMap, direction: int
) -> None:
    guard = Guard(shifted)
    await guard.check()
    async with shifted.acquire() as conn:
        await sending(conn, keyring, await author(conn), code="A")
        claim = await claims.claim(conn, "w", "push", ALL_LANES)
        assert claim is not None
        permit = guard.permit(claim)
        await set_ahead(shifted, direction * HOUR)
        await guard.check()
        assert guard.may_claim
        assert permit()
        [alarm] = await alarms.standing(conn, datetime.now(UTC))
        assert (alarm.what, alarm.subject) == ("clock_wrong", "database")
        await set_ahead(shifted, timedelta(0))
        await guard.check()
        assert await alarms.standing(conn, datetime.now(UTC) + timedelta(minutes=2)) == []


async def test_where_nothing_is_known_of_before_a_third_clock_decides(shifted: Pool) -> None:
    await set_ahead(shifted, HOUR)
    for witness, sends in ((showing(timedelta()), True), (showing(HOUR), False), (None, False)):
        guard = Guard(shifted, witness=witness)
        await guard.check()
        assert guard.may_claim is sends


@given(
    ours=st.sampled_from([0, 0, 130, -130, 3600, -86_400]),
    theirs=st.sampled_from([0, 0, 130, -130, 3600, -86_400]),
    passed=st.integers(0, 10**6),
    third=st.sampled_from(["right", "with the database", "away"]),
)
async def test_who_was_set_is_the_one_that_is_wrong(
    ours: int, theirs: int, passed: int, third: str
) -> None:
    start = datetime(2026, 9, 7, tzinfo=UTC)
    at, shift = 0.0, timedelta(0)

    async def ask() -> datetime | None:
        known = {"right": timedelta(0), "with the database": timedelta(seconds=theirs)}
        return None if third == "away" else start + timedelta(seconds=at) + known[third]

    clocks = Clocks(lambda: start + timedelta(seconds=at) + shift, ask, lambda: at + 77)
    assert await clocks.judge(start) is Wrong.NOBODY
    at, shift = float(passed), timedelta(seconds=ours)
    found = await clocks.judge(start + timedelta(seconds=at + theirs))
    if abs(ours - theirs) <= WRONG_BY:
        assert found is Wrong.NOBODY
    elif not ours:
        assert found is Wrong.DATABASE
    else:
        # Ours is wrong; that the database's is too makes it no better.
        assert found is Wrong.SENDER
