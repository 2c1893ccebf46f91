"""How often and how long messages waited for the limits of an account, over all workers.

Each worker adds what came since it last did, so that the sums survive any of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from broadcaster.db import Conn
from channels.base import Pace


@dataclass(frozen=True, slots=True)
class Wait:
    """What one worker waited for one account in one lane since it last said so."""

    provider_id: int
    lane: int
    waits: int
    seconds: float


async def add(conn: Conn, since: Iterable[Wait]) -> None:
    """Add to the sums; in one order, so that workers do not block each other."""
    told = sorted((w for w in since if w.waits), key=lambda w: (w.provider_id, w.lane))
    await conn.executemany(
        "INSERT INTO limiter_wait AS w (provider_id, lane, waits, seconds) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (provider_id, lane) DO UPDATE SET waits = w.waits + excluded.waits,"
        " seconds = w.seconds + excluded.seconds",
        [(w.provider_id, w.lane, w.waits, w.seconds) for w in told],
    )


class Tally:
    """What one worker waited since it last said so."""

    def __init__(self) -> None:
        self._waits: dict[tuple[int, int], tuple[int, float]] = {}

    def note(self, provider_id: int, lane: int, seconds: float) -> None:
        """Count one wait."""
        waits, whole = self._waits.get((provider_id, lane), (0, 0.0))
        self._waits[provider_id, lane] = waits + 1, whole + seconds

    async def tell(self, conn: Conn) -> None:
        """Add it to the sums, and begin anew; kept for the next time when that fails."""
        told, self._waits = self._waits, {}
        try:
            await add(conn, [Wait(*key, *waited) for key, waited in told.items()])
        except BaseException:
            for key, (waits, seconds) in told.items():
                now_waits, now_seconds = self._waits.get(key, (0, 0.0))
                self._waits[key] = waits + now_waits, seconds + now_seconds
            raise


class CountedPace:
    """Permissions whose waits are counted; those that are there at once cost nothing more."""

    __slots__ = ("_lane", "_pace", "_provider_id", "_tally", "ready", "slow_down")

    def __init__(self, pace: Pace, tally: Tally, provider_id: int, lane: int) -> None:
        self._pace = pace
        self._tally = tally
        self._provider_id = provider_id
        self._lane = lane
        self.ready = pace.ready
        self.slow_down = pace.slow_down

    @property
    def together(self) -> int:
        """Most permissions worth taking at one moment."""
        return self._pace.together

    async def take(self, count: int = 1, group: str = "") -> None:
        """Wait until `count` may leave, and take them."""
        began = time.monotonic()
        await self._pace.take(count, group)
        self._tally.note(self._provider_id, self._lane, time.monotonic() - began)
