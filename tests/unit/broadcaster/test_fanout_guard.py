"""What every message asks for: a permit of a process that knows what time it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broadcaster.db import Pool
from broadcaster.fanout.guard import WRONG_BY, Guard


@pytest.mark.parametrize("direction", [1, -1])
async def test_a_machine_whose_clock_is_wrong_claims_nothing_until_it_is_right(
    pool: Pool, direction: int
) -> None:
    off = timedelta(seconds=0)
    guard = Guard(pool, lambda: datetime.now(UTC) + off)
    await guard.check()
    assert guard.may_claim
    off = direction * timedelta(seconds=WRONG_BY + 5)
    await guard.check()
    assert not guard.may_claim
    off = direction * timedelta(seconds=WRONG_BY - 5)
    await guard.check()
    assert guard.may_claim
