"""A smooth rate, shared fairly: the account's limit divided by the workers that live."""

from __future__ import annotations

import asyncio

_SLICE = 0.02
"""Seconds of a rate that may leave together: a timer is no finer."""
_SLOW = 1.0
"""Seconds of silence when a carrier does not say how long."""


class Pace:
    """Spaces messages of one account in this process, in messages a second."""

    def __init__(self, per_second: float) -> None:
        self._limit = per_second
        self._share = 1
        self._free_at = 0.0

    def shared_by(self, workers: int) -> None:
        """Divide the limit by this many workers (at least one)."""
        self._share = max(1, workers)

    def ready(self, count: int = 1, group: str = "") -> bool:
        """Take `count` if they may leave now."""
        now = asyncio.get_running_loop().time()
        if self._free_at > now:
            return False
        self._free_at = max(self._free_at, now - _SLICE) + count * self._share / self._limit
        return True

    async def take(self, count: int = 1, group: str = "") -> None:
        """Wait until `count` messages may leave."""
        while not self.ready(count):  # noqa: ASYNC110 - the moment is known, and may move
            await asyncio.sleep(self._free_at - asyncio.get_running_loop().time())

    def slow_down(self, seconds: float | None) -> None:
        """Let nothing leave for so long."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now + (seconds or _SLOW))
