"""The permit that every message asks for: this alert is still to be sent, and by us.

One query for all batches of the process, several times a second, answers for every message in
between. When PostgreSQL cannot be asked, permits lapse: what may not be sent is worse than what
is sent a second later.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import asyncpg
import structlog

from broadcaster.db import AWAY, Pool
from broadcaster.fanout.claims import Claim, permitted
from channels.base import Permit

log = structlog.get_logger(__name__)

EVERY = 0.3
"""Seconds between checks; a stop is obeyed everywhere within half a second."""
WRONG_BY = 120.0
"""Seconds by which this machine's clock may differ from the database's. Who is further off sends
nothing: its messages would end too late or never leave, and carriers refuse the tokens it signs,
which would pause them for everybody."""
LAPSE = 1.0
"""Seconds without an answer after which nothing more is sent: so long may a stop take at most."""


class Guard:
    """Watches the batches this process holds."""

    def __init__(self, pool: Pool, clock: Callable[[], datetime] | None = None) -> None:
        """Watch by the machine's clock, or by another one."""
        self._pool = pool
        self._clock = clock or partial(datetime.now, UTC)
        self._held: dict[int, int] = {}
        self._withdrawn: set[int] = set()
        self._answered = time.monotonic()
        self._ends = math.inf
        self._astray = False

    @property
    def may_claim(self) -> bool:
        """Whether this process may take anything at all: its clock is about right."""
        return not self._astray

    def permit(self, claim: Claim) -> Permit:
        """Begin to watch a claim made this moment; call release() when it is done."""
        if not self._held:
            self._answered = time.monotonic()
        self._held[claim.batch_id] = claim.fence
        batch_id, fence = claim.batch_id, claim.fence

        def may_send() -> bool:
            return (
                self._held.get(batch_id) == fence
                and batch_id not in self._withdrawn
                and not self._astray
                and time.monotonic() < min(self._answered + LAPSE, self._ends)
            )

        return may_send

    def release(self, claim: Claim) -> None:
        """Stop watching a claim."""
        self._held.pop(claim.batch_id, None)
        self._withdrawn.discard(claim.batch_id)

    def end_within(self, seconds: float) -> None:
        """Withdraw every permit then: this process is about to end."""
        self._ends = time.monotonic() + seconds

    async def run(self) -> None:
        """Check for ever; cancelled when the process ends."""
        while True:
            await self.check()
            await asyncio.sleep(EVERY)

    async def check(self) -> None:
        """Ask once what time it is, and about every batch held."""
        claims = list(self._held.items())
        asked = time.monotonic()
        try:
            async with self._pool.acquire(timeout=LAPSE) as conn:
                self._compare(await conn.fetchval("SELECT clock_timestamp()"))
                if claims:
                    allowed = await permitted(conn, claims)
                    self._withdrawn |= {
                        batch_id
                        for batch_id, fence in claims
                        if batch_id not in allowed and self._held.get(batch_id) == fence
                    }
            self._answered = asked
        except (*AWAY, TimeoutError, asyncpg.PostgresError) as error:
            log.warning("permits cannot be checked", error=str(error))

    def _compare(self, there: datetime) -> None:
        """Look whether our clock tells the database's time, more or less."""
        wrong_by = (self._clock() - there).total_seconds()
        astray = abs(wrong_by) > WRONG_BY
        if astray and not self._astray:
            log.error("this machine's clock is wrong: nothing is sent", seconds=round(wrong_by))
        elif self._astray and not astray:
            log.warning("this machine's clock is right again")
        self._astray = astray
