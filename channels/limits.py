"""One account's limits shared by every process that sends through it.

Valkey's clock orders all permissions: each process reserves what the next few hundredths of a
second allow and uses it at its moments, so a message costs no round trip and no window is ever
exceeded, whatever the number of processes. When Valkey is away every process sends its part of the
limit (limit ÷ live workers) until it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

import orjson
import structlog

from channels.limits_alone import LOWEST, RECOVER, Alone
from channels.limits_clock import Clock
from channels.limits_rules import VALID, RateLimit, in_valkey, rate, spacing
from channels.limits_stock import Shortage, Stock
from channels.limits_valkey import AWAY, Reservations

__all__ = ["RECOVER", "SharedLimiter", "SharedPace"]

log = structlog.get_logger(__name__)

URGENT_LANE: Final = 0
HORIZON: Final = 0.03
"""Seconds ahead for which permissions are reserved: what an emergency waits for at most."""
_FARTHEST: Final = 0.1
"""The same where answers come slowly."""
_POLL: Final = 0.008
"""Seconds between two questions while permissions are used."""
_TICK: Final = 0.002
"""Seconds between two questions or looks at the least."""
_ALONE_TICK: Final = 0.004
_BEAT: Final = 0.15
"""Seconds between two questions otherwise: who is not heard of for MEMBER is counted out."""
MEMBER: Final = 0.5
_PATIENCE: Final = 0.5
"""Seconds an answer may take before Valkey counts as away."""
_PROBE: Final = 0.25
_RECENT: Final = 5.0
"""Seconds after its last permission in which a worker vouches for how far the rate had climbed."""
THROTTLED: Final = 1.0
"""Seconds of silence when a carrier throttles without saying for how long."""
_LONGEST_SILENCE: Final = 900.0
_FIXED: Final = {
    "member": MEMBER * 1e6,
    "ahead": _FARTHEST * 1e6,
    "recover": RECOVER * 1e6,
    "lowest": LOWEST,
}


class SharedLimiter:
    """Gives permissions for one account, in one process of several."""

    def __init__(self, redis_url: str | None, name: str, worker: str, limit: RateLimit) -> None:
        """`worker` is unique among living ones; without an address every worker is alone."""
        self.limit = limit
        self._valkey = Reservations(redis_url, name, orjson.dumps(in_valkey(limit) | _FIXED))
        self._name, self._worker = name, worker
        self._clock = Clock()
        self._alone = Alone(limit, MEMBER + _FARTHEST)
        self.shared = False
        """Whether Valkey gives the permissions at this moment."""
        self._sent_alone = True
        self._stocks: dict[tuple[bool, str], Stock] = {}
        self._waiting: dict[tuple[bool, str], deque[tuple[int, asyncio.Future[float]]]] = {}
        self._kick = asyncio.Event()
        self._serving: asyncio.TimerHandle | None = None
        self._block = 1
        self._slow = self._blocked = 0.0
        self.share = 1.0
        """Of the full rate, as Valkey knows it: less while climbing or after a throttle."""
        self.taken = 0
        """Permissions used since the start, as of the last question."""
        self._urgent_used = 0
        self._used_at = float("-inf")
        self._gap = self._answered = 0.0
        self._shortage = Shortage()

    def pace(self, lane: int) -> SharedPace:
        """Return the permissions of one lane."""
        return SharedPace(self, lane == URGENT_LANE)

    def crew(self, workers: int, rank: int) -> None:
        """Say how many workers live by the leases in PostgreSQL, and which of them this one is.

        To be called every second: who does not know the number of late sends nothing alone.
        """
        self._alone.crew(workers, rank, monotonic())

    @property
    def has_part(self) -> bool:
        """Whether this worker can send at all: alone, a tiny limit may leave it nothing."""
        return self.shared or self._alone.has_part

    @property
    def is_short(self) -> bool:
        """Whether more is wanted here than the limit gives; without Valkey nobody knows: it is."""
        return not self.shared or self._shortage.lasts

    @property
    def together(self) -> int:
        """Most permissions worth taking at one moment, by this worker's own part of the limit."""
        return self._alone.together

    @property
    def silent_for(self) -> float:
        """Seconds the carrier wants to hear nothing."""
        return max(0.0, self._blocked - monotonic())

    def stock(self, urgent: bool, group: str) -> Stock:
        """Return what is reserved for a lane's kind and a group."""
        key = (urgent, group)
        if key not in self._stocks:
            self._stocks[key] = Stock()
        return self._stocks[key]

    def take(self, urgent: bool, count: int, group: str) -> float:
        """Take permissions of every line concerned, or of none.

        Returns the moment by which they must be used, 0 for none.
        """
        now = monotonic()
        if not self.limit.of_group(group):
            group = ""
        if not self.shared:
            return self._alone.take(urgent, count, group, now)
        lines = [self.stock(urgent, line) for line in dict.fromkeys(("", group))]
        if not all(line.fits(now, count) for line in lines):
            return 0.0
        ends = min(line.ends for line in lines)
        for line in lines:
            line.use(count)
        return ends

    def wait(self, urgent: bool, count: int, group: str) -> asyncio.Future[float]:
        """Queue for permissions; the future gives the moment by which they must be used."""
        if not self.limit.of_group(group):
            group = ""
        line = urgent, group
        queue = self._waiting.setdefault(line, deque())
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if not queue:
            # Those behind the first are asked for together with it.
            self._kick.set()
        queue.append((count, done))
        self._serve_in(0.0)
        return done

    def slow_down(self, seconds: float | None) -> None:
        """Stop here at once, and everywhere with the next question."""
        silence = min(THROTTLED if seconds is None else max(0.0, seconds), _LONGEST_SILENCE)
        now = monotonic()
        self._slow = max(self._slow, silence, 0.001)
        self._silence(now + silence)
        self._alone.throttled(now, now + silence)
        self._kick.set()

    def _silence(self, until: float) -> None:
        if until > self._blocked:
            self._blocked = until
            for stock in self._stocks.values():
                stock.drop()

    def _serve(self) -> None:
        """Give those who wait what they may have: in each line the first comes first."""
        self._serving = None
        for (urgent, group), queue in list(self._waiting.items()):
            while queue:
                count, done = queue[0]
                if not done.done():
                    ends = self.take(urgent, count, group)
                    if not ends:
                        break
                    done.set_result(ends)
                queue.popleft()
            if not queue:
                del self._waiting[urgent, group]
        if self._waiting and (not self.shared or self._in_stock()):
            # With nothing in stock the next answer brings us here again.
            self._serve_in(_TICK if self.shared else _ALONE_TICK)

    def _serve_in(self, seconds: float) -> None:
        if self._serving is None:
            self._serving = asyncio.get_running_loop().call_later(seconds, self._serve)

    def _in_stock(self) -> bool:
        return any(stock.left for stock in self._stocks.values())

    # The questions

    async def run(self) -> None:
        """Keep permissions in stock for ever; cancelled when the process ends."""
        try:
            while True:
                if self.shared:
                    await self._share()
                else:
                    await self._try_sharing()
        finally:
            await self._valkey.forget()

    async def _share(self) -> None:
        self._kick.clear()
        lines = self._wanted()
        try:
            short = await self._ask(lines)
        except AWAY as error:
            await self._lost(error)
            return
        pause = _BEAT
        if short is not None:
            pause = min(short, _BEAT)
        elif lines or self._in_stock():
            pause = _POLL
        await asyncio.sleep(_TICK)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._kick.wait()

    async def _try_sharing(self) -> None:
        """Look whether Valkey is there; while its answer is awaited nothing is sent alone."""
        try:
            if not self._alone.workers:
                raise ConnectionError("not known yet who else lives")
            await self._look()
            self._alone.hold()
            await self._ask([])
        except AWAY as error:
            await self._lost(error)
            await asyncio.sleep(_PROBE)
            return
        self.shared, self._sent_alone = True, False
        for stock in self._stocks.values():
            stock.drop()
        self._kick.set()
        log.info("limit shared", account=self._name)

    def _wanted(self) -> list[dict[str, Any]]:
        """Say for each line how many permissions are wanted beyond those in stock."""
        waiting: dict[tuple[bool, str], int] = {}
        whole: dict[tuple[bool, str], int] = {}
        for (urgent, group), queue in self._waiting.items():
            for key in {(urgent, ""), (urgent, group)}:
                waiting[key] = waiting.get(key, 0) + sum(count for count, _ in queue)
                whole.setdefault(key, queue[0][0])
        lines = []
        now = monotonic()
        for key in waiting.keys() | self._stocks.keys():
            stock = self.stock(*key)
            stock.fits(now, 1)  # drops what has expired
            used, stock.used = stock.used, 0
            if used:
                self._used_at = now
                if not key[1]:
                    self.taken += used
                    self._urgent_used += used if key[0] else 0
            want = waiting.get(key, 0) + 2 * used - stock.reserved()
            if want <= 0:
                continue
            line: dict[str, Any] = {"urgent": key[0], "group": key[1], "want": want, "whole": False}
            if key[1]:
                line["rules"] = spacing(self.limit.of_group(key[1]))
            count = whole.get(key, 1)
            if count > 1 and self._far_apart(key[1], count):
                if stock.reserved() >= count:
                    continue
                line |= {"want": count, "whole": True}
                self._block = max(self._block, count)
                stock.drop()
            lines.append(line)
        return lines

    def _far_apart(self, group: str, count: int) -> bool:
        """Say whether so many permissions lie too far apart to be used together."""
        rules = self.limit.of_group(group) or self.limit.rules
        return (count - 1) / rate(rules) > VALID / 2

    async def _ask(self, lines: list[dict[str, Any]]) -> float | None:
        """Ask Valkey once; returns how long until it has more, when it gave nothing."""
        asked = monotonic()
        horizon = min(_FARTHEST, max(HORIZON, 2 * self._gap))
        slow, self._slow = self._slow, 0.0
        urgent_used, self._urgent_used = self._urgent_used, 0
        question = {
            "worker": self._worker,
            "workers": self._alone.workers,
            "rank": self._alone.rank,
            "sent_alone": self._sent_alone,
            "deadline": self._clock.theirs(asked + _PATIENCE),
            "horizon": int(horizon * 1e6),
            "block": self._block,
            "slow": int(slow * 1e6),
            "urgent_used": urgent_used,
            "share": self.share if monotonic() - self._used_at < _RECENT else 0,
            "lines": lines,
        }
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._valkey.reserve(orjson.dumps(question))
        except AWAY:
            self._slow = max(self._slow, slow)
            raise
        now = monotonic()
        self._clock.heard(asked, now, answer[0])
        # What is reserved must last until the next answer, also where processes wait for a core.
        if lines:
            self._gap = max(min(now - self._answered, _FARTHEST), 0.95 * self._gap)
        self._answered = now
        if len(answer) < 3:
            raise TimeoutError("Valkey answered too late")
        if answer[1]:
            self._silence(now + answer[1] / 1e6)
        self.share = answer[2] / 1000
        if lines:
            given = zip(answer[3::4], lines, strict=True)
            self._shortage.see(now, any(count < line["want"] for count, line in given))
        wait = self._put_in_stock(lines, answer)
        self._serve_in(0.0)
        return None if any(answer[3::4]) else wait

    def _put_in_stock(self, lines: list[dict[str, Any]], answer: Sequence[int]) -> float | None:
        """Keep what each line was given; returns how long the first of the others has to wait."""
        wait = None
        for line, (count, first, step, pause) in zip(
            lines, zip(*[iter(answer[3:])] * 4, strict=True), strict=True
        ):
            if count:
                at, sure = self._clock.ours(answer[0] + first)
                self.stock(line["urgent"], line["group"]).add(at, sure + VALID, step / 1e9, count)
            elif wait is None or pause / 1e6 < wait:
                wait = pause / 1e6
        return wait

    async def _look(self) -> None:
        """Hear Valkey's clock, so that a question can say until when it is worth answering."""
        asked = monotonic()
        async with asyncio.timeout(_PATIENCE):
            micros = await self._valkey.clock()
        self._clock.forget()
        self._clock.heard(asked, monotonic(), micros)

    async def _lost(self, error: BaseException) -> None:
        """Send alone; later than the others may still count us among theirs."""
        if self.shared:
            log.warning("limit kept alone", account=self._name, error=str(error) or repr(error))
        self.shared, self._sent_alone = False, True
        self._alone.begin(monotonic(), self.share)
        for stock in self._stocks.values():
            stock.drop()
        # Who waits was to be served with the next answer, and there is none.
        self._serve_in(0.0)
        await self._valkey.forget()


class SharedPace:
    """The permissions of one lane; see channels.base.Pace."""

    __slots__ = ("_limiter", "_stock", "_urgent")

    def __init__(self, limiter: SharedLimiter, urgent: bool) -> None:
        self._limiter = limiter
        self._urgent = urgent
        self._stock = limiter.stock(urgent, "")

    def ready(
        self, count: int = 1, group: str = "", clock: Callable[[], float] = monotonic
    ) -> bool:
        """Take `count` permissions if they may be used at this very moment."""
        stock = self._stock
        # The common case without a further call: one message, no group, permissions in stock.
        if not group and stock.left >= count:
            now = clock()
            if stock.at + (count - 1) * stock.step <= now <= stock.ends:
                stock.left -= count
                moved = count * stock.step
                stock.at += moved
                stock.ends += moved
                stock.used += count
                return True
        return self._limiter.take(self._urgent, count, group) > 0

    @property
    def together(self) -> int:
        """Most permissions worth taking at one moment; see channels.limits_alone."""
        return self._limiter.together

    async def take(self, count: int = 1, group: str = "") -> None:
        """Wait until `count` may be used, and take them."""
        while monotonic() > await self._limiter.wait(self._urgent, count, group):
            pass

    def slow_down(self, seconds: float | None) -> None:
        """Nothing leaves for so long, from any worker; then half the rate, and up again."""
        self._limiter.slow_down(seconds)
