"""Whose clock is wrong where this machine's and the database's differ: no alert waits for that.

Two clocks cannot tell which of them is wrong, so others bear witness. Clocks that only count, and
are never set, say which of the two was set since both agreed; where nothing is known of that time,
or both were set, the clock of Valkey decides. Without a witness the database is believed: it is the
one that all senders share.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

WRONG_BY = 120.0
"""Seconds by which this machine's clock may differ from the database's. Who is further off sends
nothing: its messages would end too late or never leave, and carriers refuse the tokens it signs,
which would pause them for everybody."""
_SET_BY = WRONG_BY / 2
"""Seconds by which a clock has moved when it was set; less is drift."""

Clock = Callable[[], datetime]
Witness = Callable[[], Awaitable[datetime | None]]
"""Tells a third clock's time; None when it cannot be asked."""


class Wrong(enum.StrEnum):
    """Who is wrong."""

    NOBODY = "nobody"
    SENDER = "sender"
    DATABASE = "database"


class Clocks:
    """This machine's clock beside the database's, and what is known of both."""

    def __init__(
        self, clock: Clock, witness: Witness | None, counter: Callable[[], float] = time.monotonic
    ) -> None:
        """`counter` counts seconds and is never set."""
        self._clock = clock
        self._witness = witness
        self._counter = counter
        self._agreed: tuple[datetime, datetime] | None = None
        """What both showed when the counter began, as of the last time they agreed."""
        self.off = 0.0
        """Seconds by which this machine's is ahead."""

    async def judge(self, there: datetime) -> Wrong:
        """Say who is wrong; `there` is what the database's clock shows at this moment."""
        here, counted = self._clock(), timedelta(seconds=self._counter())
        self.off = (here - there).total_seconds()
        if abs(self.off) <= WRONG_BY:
            self._agreed = here - counted, there - counted
            return Wrong.NOBODY
        if self._agreed is not None:
            was_here, was_there = self._agreed
            ours, theirs = _set(here - counted, was_here), _set(there - counted, was_there)
            if ours != theirs:
                return Wrong.SENDER if ours else Wrong.DATABASE
        third = await self._witness() if self._witness else None
        if third is not None and _near(here, third) and not _near(there, third):
            return Wrong.DATABASE
        return Wrong.SENDER


def _set(now: datetime, before: datetime) -> bool:
    return abs((now - before).total_seconds()) > _SET_BY


def _near(one: datetime, other: datetime) -> bool:
    return abs((one - other).total_seconds()) <= WRONG_BY
