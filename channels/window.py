"""What is on the wire and not yet committed: one bound for all batches of an account.

A crash loses the outcomes the caller had not committed, and those messages are sent again. So a
message takes its place before it is written and gives it back only when the caller comes for the
next group, which it does after its commit. Writing goes on while the caller commits.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from channels.base import Outcome

_LINGER: Final = 0.01
"""Seconds the first outcome waits for others: one commit for many, not one for each."""
_LATENCY_WEIGHT: Final = 0.05


class Window:
    """At most `most` places; of those that wait the lowest lane is first, then who came first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.latency = 0.0
        """Seconds from writing a message to its answer, of late."""
        self._free = most
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._turns = itertools.count()

    def answered_after(self, seconds: float) -> None:
        """Take in how long one answer took."""
        self.latency += _LATENCY_WEIGHT * (seconds - self.latency)

    def ready(self, count: int = 1, lane: int = 1) -> bool:
        """Take places if they are free and nobody as urgent waits for them."""
        if self._free < count or (self._waiting and self._waiting[0][0] <= lane):
            return False
        self._free -= count
        return True

    async def take(self, count: int = 1, lane: int = 1) -> None:
        """Wait for places and take them; no more than `most` may be asked for."""
        if self.ready(count, lane):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (lane, next(self._turns), count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(count)
            else:
                self.give_back(0)
            raise

    def give_back(self, count: int) -> None:
        """Free places, and let in who waits for them."""
        self._free += count
        while self._waiting:
            _, _, wanted, turn = self._waiting[0]
            if not turn.done():
                if self._free < wanted:
                    return
                self._free -= wanted
                turn.set_result(None)
            heapq.heappop(self._waiting)


class Flight:
    """The messages of one batch on their way: what became of them gathers here for the caller."""

    def __init__(self, window: Window, count: int, lane: int = 1) -> None:
        """Prepare for `count` outcomes of a batch of this lane."""
        self._window = window
        self._lane = lane
        self._left = count
        self._enough = max(1, window.most // 2)
        self._flying = 0
        self._held = 0
        self._done: deque[tuple[Outcome, int]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    async def board(self, places: int) -> None:
        """Take a message's places; it must be settled with as many."""
        if not self._window.ready(places, self._lane):
            await self._window.take(places, self._lane)
        self._held += places
        self._flying += 1

    def answered_after(self, seconds: float) -> None:
        """Take in how long the carrier took to answer."""
        self._window.answered_after(seconds)

    def board_now(self, places: int) -> bool:
        """Take a message's places if they are free this moment."""
        if not self._window.ready(places, self._lane):
            return False
        self._held += places
        self._flying += 1
        return True

    def leave(self, places: int) -> None:
        """Give up a message's places: it is not written yet, and others need not wait for it."""
        self._flying -= 1
        self._release(places)
        self._nudge()

    def settled(self, outcome: Outcome, places: int = 0) -> None:
        """Note what became of a message; `places` is what it boarded with, 0 if it never did."""
        if self._over:
            return
        if places:
            self._flying -= 1
        self._done.append((outcome, places))
        self._nudge()

    async def groups(self, writer: asyncio.Task[None]) -> AsyncGenerator[list[Outcome], None]:
        """Yield what is settled, in groups of at most the window, until everything is.

        Ends the writer when the caller leaves early; raises what the writer raised.
        """
        writer.add_done_callback(lambda _: self._wake())
        try:
            while self._left:
                await self._some(writer)
                if not self._done:
                    writer.result()
                    return
                some = [
                    self._done.popleft() for _ in range(min(len(self._done), self._window.most))
                ]
                self._left -= len(some)
                yield [outcome for outcome, _ in some]
                self._release(sum(places for _, places in some))
        finally:
            self._over = True
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            self._release(self._held)

    def _release(self, places: int) -> None:
        self._held -= places
        self._window.give_back(places)

    async def _some(self, writer: asyncio.Task[None]) -> None:
        """Wait for enough outcomes, or for the few there are when no more are on their way."""
        while not self._done or (self._flying and len(self._done) < self._enough):
            if writer.done() and not (self._flying or self._done):
                return
            self._waiter = asyncio.get_running_loop().create_future()
            self._nudge()
            await self._waiter
            if self._done:
                return

    def _nudge(self) -> None:
        if self._waiter is None or not self._done:
            return
        if not self._flying or len(self._done) >= self._enough:
            self._wake()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LINGER, self._wake)

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
