"""Looking for work: at once while there is some, otherwise when woken or once a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from broadcaster.db import AWAY

log = structlog.get_logger(__name__)

IDLE = 1.0
"""Seconds between looks when nothing wakes us: what losing the queue costs."""


class Seeker:
    """One loop over work that stands in the database, until it is drained."""

    def __init__(self, name: str, look: Callable[[], Awaitable[object]]) -> None:
        """Take what looks for work and does it; it says whether there was any."""
        self._name = name
        self._look = look
        self._woken = asyncio.Event()
        self.draining = False

    def wake(self) -> None:
        """There is work: look now."""
        self._woken.set()

    def drain(self) -> None:
        """Take nothing more; what is taken is finished."""
        self.draining = True
        self._woken.set()

    async def run(self) -> None:
        """Look until drained."""
        while not self.draining:
            self._woken.clear()
            if await self._worked() or self.draining:
                continue
            # Not wait_for(): before Python 3.12 it loses a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE):
                    await self._woken.wait()

    async def _worked(self) -> bool:
        try:
            return bool(await self._look())
        except AWAY as error:
            log.warning("waiting for the database", work=self._name, error=str(error))
        except Exception:
            # What beside it can be done goes on; what failed is found again by its rows.
            log.exception("work failed", work=self._name)
        return False
