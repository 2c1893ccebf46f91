"""What a carrier's limit and window do to a message: waits, slowing down, a stop meanwhile."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from channels.base import UNFINISHED, WITHDRAWN, Batch, Result, Unlimited
from channels.sms import SmsChannel
from tests.unit.channels.sms.lab import LONG, Lab, batch, fresh, sent, shown, until


class Silence(Unlimited):
    """A carrier that wants to hear nothing for minutes."""

    def __init__(self) -> None:
        self.awaited = asyncio.Event()

    def ready(self, count: int = 1, group: str = "") -> bool:
        return False

    async def take(self, count: int = 1, group: str = "") -> None:
        self.awaited.set()
        await asyncio.sleep(600)


async def test_what_is_stopped_does_not_sit_out_the_silence_a_carrier_asked_for(
    lab: Lab, channel: SmsChannel
) -> None:
    numbers, going, pace = fresh(3), [True], Silence()
    sending = asyncio.create_task(sent(channel, batch(numbers, "x"), lambda: going[0], pace))
    await pace.awaited.wait()
    going[0] = False
    async with asyncio.timeout(30):
        outcomes = await sending
    assert {(o.result, o.reason) for o in outcomes} == {(Result.NOT_SENT, WITHDRAWN)}
    assert await shown(lab, numbers, 0) == []
    assert {o.result for o in await sent(channel, batch(numbers, "x"))} == {Result.ACCEPTED}


class Drip(Unlimited):
    """One permission now, and another every so many seconds."""

    def __init__(self, together: int, every: float) -> None:
        self.together, self.every = together, every
        self.begins = time.monotonic()
        self.used = 0

    def ready(self, count: int = 1, group: str = "") -> bool:
        there = 1 + (time.monotonic() - self.begins) / self.every
        if count > self.together or self.used + count > there:
            return False
        self.used += count
        return True

    async def take(self, count: int = 1, group: str = "") -> None:
        while not self.ready(count):
            await asyncio.sleep(0.01)


async def test_a_stop_before_all_parts_may_go_sends_none_of_them(
    lab: Lab, channel: SmsChannel
) -> None:
    numbers, going = fresh(2), [True]
    sending = asyncio.create_task(sent(channel, batch(numbers, LONG), lambda: going[0], Drip(2, 9)))
    await asyncio.sleep(0.1)
    going[0] = False
    async with asyncio.timeout(7):  # the second permission comes after nine
        outcomes = await sending
    assert {(o.result, o.reason) for o in outcomes} == {(Result.NOT_SENT, WITHDRAWN)}
    await asyncio.sleep(0.1)
    assert lab.rows("part", numbers) == []
    assert {o.result for o in await sent(channel, batch(numbers, LONG))} == {Result.ACCEPTED}


async def test_under_a_tiny_limit_a_message_begun_is_finished_after_a_stop_and_no_other_begins(
    lab: Lab, channel: SmsChannel
) -> None:
    numbers, going = fresh(3), [True]
    sending = asyncio.create_task(
        sent(channel, batch(numbers, LONG), lambda: going[0], Drip(1, 1.5))
    )
    await until(lambda: lab.rows("part", numbers))
    going[0] = False
    first, *others = await sending
    assert (first.result, len(first.provider_ids)) == (Result.ACCEPTED, 2)
    assert {o.result for o in others} == {Result.NOT_SENT}
    assert await shown(lab, numbers, 1) == [LONG]
    assert len(lab.rows("part", numbers)) == 2


async def test_a_message_whose_rest_may_not_go_in_time_counts_as_not_sent_whole(
    lab: Lab, channel: SmsChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels.sms.FINISH", 0.3)
    numbers, ends = fresh(2), timedelta(seconds=2.5)
    what = batch(numbers, LONG)
    ending = Batch(what.contents, what.recipients, datetime.now(UTC) + ends, urgent=True)
    async with asyncio.timeout(30):
        first, second = await sent(channel, ending, pace=Drip(1, 60))
    assert (first.result, first.reason) == (Result.TEMPORARY, UNFINISHED)
    assert [bool(one) for one in first.provider_ids] == [True, False]
    assert (second.result, second.reason) == (Result.NOT_SENT, "expired")
    assert {o.result for o in await sent(channel, batch(numbers, LONG))} == {Result.ACCEPTED}
    assert await shown(lab, numbers) == [LONG] * 2


class Counting(Unlimited):
    """Lets everything go, and notes what it was asked and told."""

    def __init__(self) -> None:
        self.taken = 0
        self.slowed: list[float | None] = []

    def ready(self, count: int = 1, group: str = "") -> bool:
        self.taken += count
        return True

    def slow_down(self, seconds: float | None) -> None:
        self.slowed.append(seconds)


async def test_throttled_in_the_middle_of_a_batch_slows_the_account_and_loses_nobody(
    lab: Lab, channel: SmsChannel
) -> None:
    await lab.set(throttle_rate=0.3)
    numbers, pace = fresh(200), Counting()
    outcomes = await sent(channel, batch(numbers, "x"), pace=pace)
    throttled = [one for one in outcomes if one.result is Result.TEMPORARY]
    assert {one.reason for one in throttled} == {"0x00000058"}
    assert len(throttled) + [one.result for one in outcomes].count(Result.ACCEPTED) == 200
    assert 20 < len(throttled) < 120
    assert pace.slowed == [1.0] * len(throttled)
    assert pace.taken == 200
    taken = [numbers[one.ref] for one in outcomes if one.result is Result.ACCEPTED]
    assert await shown(lab, taken) == ["x"] * len(taken)


async def test_every_part_takes_a_permission_of_its_own(lab: Lab, channel: SmsChannel) -> None:
    pace = Counting()
    await sent(channel, batch(fresh(20), LONG), pace=pace)
    assert pace.taken == 40


async def test_never_more_than_the_window_written_and_not_committed(
    lab: Lab, channel: SmsChannel
) -> None:
    numbers = fresh(300)
    committed = 0
    async for group in channel.send(batch(numbers, "x"), lambda: True, Unlimited()):
        await asyncio.sleep(0.06)
        assert len(lab.rows("part", numbers)) - committed <= channel.limits.in_doubt
        committed += len(group)
    assert committed == 300


async def test_batches_at_once_share_the_window(lab: Lab) -> None:
    await lab.set(delay_ms=20)
    channel = SmsChannel(lab.url, "HANOI", 10)
    await channel.open()
    began = time.monotonic()
    results = await asyncio.gather(*(sent(channel, batch(fresh(50), "x")) for _ in range(4)))
    took = time.monotonic() - began
    assert all(one.result is Result.ACCEPTED for outcomes in results for one in outcomes)
    assert took >= 200 / 10 * 0.02 * 0.85
    await channel.close()
