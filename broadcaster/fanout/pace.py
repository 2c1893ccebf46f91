"""A smooth rate, shared fairly: the account's limit divided by the workers that live."""

from __future__ import annotations

import asyncio


class Pace:
    """Spaces messages of one account in this process, in messages a second."""

    def __init__(self, per_second: float) -> None:
        self._limit = per_second
        self._share = 1
        self._free_at = 0.0

    def shared_by(self, workers: int) -> None:
        """Divide the limit by this many workers (at least one)."""
        self._share = max(1, workers)

    async def take(self, count: int) -> None:
        """Wait until `count` messages may leave."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        starts = max(now, self._free_at)
        self._free_at = starts + count * self._share / self._limit
        if starts > now:
            await asyncio.sleep(starts - now)
