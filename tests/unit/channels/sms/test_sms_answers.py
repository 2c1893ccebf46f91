"""What an SMSC's answers are called: every row of the table, over a real bind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from channels.base import Action, Outcome, Result, Unlimited
from channels.sms import SmsChannel
from channels.sms_errors import COMMAND_STATUS, RETRY_AFTER, ROK, RTHROTTLED, written
from channels.sms_link import SUBMIT_SM, Frame, Link
from tests.unit.channels.sms.lab import batch, fresh, sent

UNLISTED = (0x00000400, 0x000004FF, 0x00000021)


@asynccontextmanager
async def answering(status: Callable[[int], int]) -> AsyncIterator[SmsChannel]:
    """A bound channel whose n-th submit is answered with status(n)."""
    submits = 0

    def on_request(link: Link, frame: Frame) -> None:
        nonlocal submits
        if frame.command != SUBMIT_SM:
            link.answer(frame, ROK, b"test\0")
            return
        given = status(submits)
        submits += 1
        link.answer(frame, given, f"{submits:x}\0".encode() if given == ROK else b"")

    links: list[Link] = []

    def connection() -> Link:
        links.append(Link(on_request, 50, 5.0))
        return links[-1]

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = SmsChannel(f"smpp://city:word@127.0.0.1:{port}", "HANOI")
    await channel.open()
    try:
        yield channel
    finally:
        await channel.close()
        server.close()
        for link in links:
            link.close()


class Slowed(Unlimited):
    def __init__(self) -> None:
        self.by: list[float | None] = []

    def slow_down(self, seconds: float | None) -> None:
        self.by.append(seconds)


@pytest.mark.parametrize("status", [*COMMAND_STATUS, *UNLISTED], ids=written)
async def test_every_answer_means_what_the_table_says(status: int) -> None:
    async with answering(lambda _: status) as channel:
        pace = Slowed()
        (outcome,) = await sent(channel, batch(fresh(1), "x"), pace=pace)
        result, action = COMMAND_STATUS.get(status, (Result.TEMPORARY, Action.NONE))
        assert (outcome.result, outcome.action) == (result, action)
        assert outcome.reason == ("" if status == ROK else written(status))
        assert outcome.provider_ids == (("1",) if status == ROK else ())
        assert pace.by == ([RETRY_AFTER[status]] if status in RETRY_AFTER else [])
        assert outcome.action is not Action.RETIRE, "no answer of an SMSC retires a number"


OURS = [status for status, (_, action) in COMMAND_STATUS.items() if action is Action.PAUSE]


@pytest.mark.parametrize("status", OURS, ids=written)
async def test_what_is_our_fault_ends_the_batch(status: int) -> None:
    async with answering(lambda n: status if n == 3 else ROK) as channel:
        outcomes = await sent(channel, batch(fresh(300), "x"))
        [paused] = [one for one in outcomes if one.action is Action.PAUSE]
        assert paused == Outcome(3, Result.TEMPORARY, written(status), action=Action.PAUSE)
        accepted = [one.ref for one in outcomes if one.result is Result.ACCEPTED]
        assert 3 <= len(accepted) <= 150, "only what was written by then"
        rest = {(one.result, one.reason) for one in outcomes[160:]}
        assert rest == {(Result.NOT_SENT, f"paused: {written(status)}")}


async def test_the_worst_part_speaks_for_the_message_and_the_others_keep_their_places() -> None:
    text = "Nước sông Hồng lên nhanh, di chuyển ngay tới điểm sơ tán gần nhất. " * 4
    async with answering(lambda n: RTHROTTLED if n % 4 == 2 else ROK) as channel:
        pace = Slowed()
        (outcome,) = await sent(channel, batch(fresh(1), text), pace=pace)
        assert outcome == Outcome(
            0, Result.TEMPORARY, written(RTHROTTLED), ("1", "2", "", "4"), retry_after=1.0
        )
        assert pace.by == [1.0]
