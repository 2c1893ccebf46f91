"""The places of what is written and not yet committed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.base import Outcome, Result
from channels.window import Flight, Window


async def test_the_lowest_lane_is_first_and_within_a_lane_who_came_first() -> None:
    window = Window(2)
    await window.take(2)
    order: list[str] = []

    async def wait(name: str, lane: int) -> None:
        await window.take(1, lane)
        order.append(name)

    names = [("bulk", 2), ("warning", 1), ("bulk too", 2), ("emergency", 0)]
    waiting = [asyncio.create_task(wait(*one)) for one in names]
    await asyncio.sleep(0)
    assert not window.ready(1, 2), "nobody passes those who wait"
    for _ in names:
        window.give_back(1)
        await asyncio.sleep(0)
    assert order == ["emergency", "warning", "bulk", "bulk too"]
    await asyncio.gather(*waiting)


async def test_who_gives_up_waiting_leaves_no_place_taken() -> None:
    window = Window(3)
    await window.take(3)
    big = asyncio.create_task(window.take(3))
    small = asyncio.create_task(window.take(1))
    await asyncio.sleep(0)
    window.give_back(1)
    await asyncio.sleep(0)
    assert not small.done(), "the first in turn waits for three"
    big.cancel()
    await asyncio.gather(big, return_exceptions=True)
    await asyncio.wait_for(small, 30)
    window.give_back(1)
    window.give_back(2)
    assert window.ready(3)


async def test_a_place_given_to_who_is_cancelled_meanwhile_comes_back() -> None:
    window = Window(1)
    await window.take()
    waiting = asyncio.create_task(window.take())
    await asyncio.sleep(0)
    window.give_back(1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert window.ready()


@given(
    most=st.integers(1, 6),
    batches=st.lists(st.lists(st.integers(1, 8), max_size=12), min_size=1, max_size=4),
)
def test_never_more_than_the_window_is_uncommitted_and_everybody_is_answered(
    most: int, batches: list[list[int]]
) -> None:
    window, uncommitted, highest = Window(most), 0, 0

    async def send(sizes: list[int]) -> None:
        nonlocal uncommitted, highest
        flight = Flight(window, len(sizes))
        taken = [min(size, most) for size in sizes]

        async def write() -> None:
            nonlocal uncommitted, highest
            for ref, places in enumerate(taken):
                await flight.board(places)
                uncommitted += places
                highest = max(highest, uncommitted)
                loop.call_later(
                    0.0001 * (ref % 3), flight.settled, Outcome(ref, Result.ACCEPTED), places
                )

        seen: list[int] = []
        async for group in flight.groups(asyncio.create_task(write())):
            await asyncio.sleep(0)
            seen += [one.ref for one in group]
            uncommitted -= sum(taken[one.ref] for one in group)
        assert sorted(seen) == list(range(len(sizes)))

    async def run() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(asyncio.gather(*map(send, batches)), 30)

    loop: asyncio.AbstractEventLoop
    asyncio.run(run())
    assert highest <= most
    assert window.ready(most), "every place came back"


async def test_a_writer_that_fails_is_heard() -> None:
    async def write() -> None:
        raise LookupError("a mistake")

    flight = Flight(Window(2), 3)
    with pytest.raises(LookupError, match="a mistake"):
        await anext(flight.groups(asyncio.create_task(write())))
