"""The rule by which accounts share a channel: by weight while both can, all to whoever can."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.fanout.fleet import EMERGENCY, Account, Fleet
from broadcaster.fanout.seeker import Seeker
from broadcaster.fanout.turns import Speed, is_slower
from channels.limits import SharedLimiter
from channels.limits_rules import RateLimit, Rule
from channels.limits_stock import Shortage
from channels.sms import SmsChannel

ROUTINE = 2


def fleet_of(weights: Sequence[int], slots: Sequence[int], *, shared: bool = True) -> Fleet:
    """Accounts of one channel that nobody asks for anything but turns."""
    accounts = []
    for number, (weight, most) in enumerate(zip(weights, slots, strict=True)):
        limiter = SharedLimiter(None, str(number), "w", RateLimit((Rule(1000, 1.0),)))
        limiter.crew(1, 0)
        limiter.shared = shared
        own = SmsChannel("smpp://a:b@127.0.0.1:1", "HANOI")
        accounts.append(Account(number, own, str(number), most, weight, limiter))
    return Fleet(None, "w", accounts)  # type: ignore[arg-type]


def shared_out(fleet: Fleet, seconds: Sequence[float], lane: int, batches: int) -> list[float]:
    """Give out batches, each as long as its account takes, to every slot that may have one."""
    under_way: list[tuple[float, int]] = []
    counts: Counter[int] = Counter()
    now = 0.0
    while sum(counts.values()) < batches:
        while (account := fleet.choose("sms", lane)) is not None:
            number = account.provider_id
            fleet.began(account)
            counts[number] += 1
            heapq.heappush(under_way, (now + seconds[number], number))
        now, number = heapq.heappop(under_way)
        fleet.ended(fleet.accounts[number])
    return [counts[account.provider_id] / sum(counts.values()) for account in fleet.accounts]


@settings(deadline=None)
@given(
    weights=st.lists(st.integers(5, 100), min_size=2, max_size=4),
    slots=st.integers(2, 9),
    seconds=st.lists(st.floats(0.9, 1.2), min_size=4, max_size=4),
)
def test_full_accounts_share_by_weight_whatever_slots_they_have(
    weights: list[int], slots: int, seconds: list[float]
) -> None:
    most = [slots + number for number in range(len(weights))]
    shares = shared_out(fleet_of(weights, most), seconds, ROUTINE, 600)
    for weight, share in zip(weights, shares, strict=True):
        assert share == pytest.approx(weight / sum(weights), abs=0.05)


def test_without_valkey_and_for_an_emergency_no_slot_waits() -> None:
    weights, slots, seconds = (90, 10), (3, 3), (1.0, 1.0)
    assert shared_out(fleet_of(weights, slots), seconds, EMERGENCY, 300)[1] > 0.45
    assert shared_out(fleet_of(weights, slots, shared=False), seconds, ROUTINE, 300)[1] > 0.45


def test_what_a_slow_account_cannot_take_goes_to_the_other() -> None:
    fleet = fleet_of((90, 10), (3, 4))
    slow, fast = fleet.accounts
    for account in (slow, slow, fast, fast):
        fleet.began(account)
    assert fleet.choose("sms", ROUTINE) is None
    for account, rate in ((slow, 100), (fast, 200)):
        seen(account.speed, rate, start=time.monotonic() - 3)
    assert fleet.choose("sms", ROUTINE) is fast


def test_at_its_limit_an_account_holds_nobody_up() -> None:
    fleet = fleet_of((90, 10), (3, 4))
    first, second = fleet.accounts
    for account in (first, first, second, second):
        fleet.began(account)
    assert fleet.choose("sms", ROUTINE) is None
    first.limiter.shared = False
    assert fleet.choose("sms", ROUTINE) is second


def test_who_was_away_does_not_get_everything_it_missed() -> None:
    fleet = fleet_of((50, 50), (3, 3))
    first = fleet.accounts[0]
    first.paused_until = math.inf
    assert shared_out(fleet, (1.0, 1.0), ROUTINE, 200) == [0.0, 1.0]
    first.paused_until = 0.0
    for account in fleet.accounts:
        account.busy = 0
    assert shared_out(fleet, (1.0, 1.0), ROUTINE, 20)[1] >= 0.4


def seen(speed: Speed, rate: int, *, start: float = 0.0, idle: float = 0.0) -> None:
    """Carry so many a second for three seconds, with pauses in between."""
    for step in range(30):
        now = start + step * (0.1 + idle)
        speed.pass_to(now, working=False)
        speed.pass_to(now + 0.1, working=True)
        speed.carried(rate // 10)


def test_speed_is_that_of_the_time_at_work() -> None:
    busy, often_idle, slow, new = Speed(), Speed(), Speed(), Speed()
    seen(busy, 1000)
    seen(often_idle, 1000, idle=0.3)
    seen(slow, 500)
    assert busy.rate == pytest.approx(1000, rel=0.1)
    assert often_idle.rate == pytest.approx(1000, rel=0.1)
    assert not is_slower(busy, often_idle)
    assert not is_slower(often_idle, busy)
    assert is_slower(slow, busy)
    assert not is_slower(busy, slow)
    assert not is_slower(new, busy)
    assert not is_slower(slow, new)


def test_a_fast_account_is_known_though_it_waits_most_of_the_time() -> None:
    slow, waiting = Speed(), Speed()
    seen(slow, 50)
    seen(waiting, 500, idle=5.0)
    assert is_slower(slow, waiting)


def test_an_account_that_answers_nothing_more_becomes_slow_within_seconds() -> None:
    stuck, other = Speed(), Speed()
    seen(stuck, 1000)
    seen(other, 1000)
    for speed, working in ((stuck, True), (other, False)):
        speed.pass_to(3.0 + 1.5, working)
    assert is_slower(stuck, other)


def test_a_burst_is_no_shortage_and_lasting_want_is() -> None:
    shortage = Shortage()
    shortage.see(100.0, short=True)
    assert not shortage.lasts
    for tick in range(60):
        shortage.see(100.0 + tick * 0.01, short=True)
    assert shortage.lasts
    for tick in range(60):
        shortage.see(101.0 + tick * 0.01, short=False)
    assert not shortage.lasts


@pytest.mark.parametrize("ticks", range(5))
async def test_a_seeker_ends_though_it_is_woken_at_the_same_moment(ticks: int) -> None:
    async def look() -> bool:
        return False

    seeker = Seeker("nothing", look)
    task = asyncio.create_task(seeker.run())
    await asyncio.sleep(0.01)
    seeker.wake()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=30)
    seeker.drain()
    assert done
