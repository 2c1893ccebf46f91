"""The permit that every message asks for: this alert is still to be sent, and by us.

One query for all batches of the process, several times a second, answers for every message in
between. When PostgreSQL cannot be asked, permits lapse: what may not be sent is worse than what
is sent a second later.
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import structlog

from broadcaster.db import AWAY, Pool
from broadcaster.fanout import alarms
from broadcaster.fanout.claims import Claim, permitted
from broadcaster.fanout.clocks import Clock, Clocks, Witness, Wrong
from channels.base import Permit

log = structlog.get_logger(__name__)

EVERY = 0.3
"""Seconds between checks; a stop is obeyed everywhere within half a second."""
LAPSE = 1.0
"""Seconds without an answer after which nothing more is sent: so long may a stop take at most."""


_SAY_EVERY = 20.0
_STANDS = timedelta(seconds=60)
"""How long the alarm of a wrong clock outlives the last word of it."""


class Guard:
    """Watches the batches this process holds."""

    def __init__(
        self,
        pool: Pool,
        clock: Clock | None = None,
        witness: Witness | None = None,
        name: str = "sender",
    ) -> None:
        """Watch by the machine's clock, or by another one; `witness` tells a third clock's time."""
        self._pool = pool
        self._clock = clock or partial(datetime.now, UTC)
        self._clocks = Clocks(self._clock, witness)
        self._name = name
        self._wrong = Wrong.NOBODY
        self._said_at = -math.inf
        self._held: dict[int, int] = {}
        self._withdrawn: set[int] = set()
        self._answered = time.monotonic()
        self._ends = math.inf

    @property
    def may_claim(self) -> bool:
        """Whether this process may send anything at all: its clock is about right."""
        return self._wrong is not Wrong.SENDER

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
                and self._wrong is not Wrong.SENDER
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
                there = await conn.fetchval("SELECT clock_timestamp()")
                if claims:
                    allowed = await permitted(conn, claims)
                    self._withdrawn |= {
                        batch_id
                        for batch_id, fence in claims
                        if batch_id not in allowed and self._held.get(batch_id) == fence
                    }
            self._answered = asked
            await self._compare(there)
        except (*AWAY, TimeoutError, asyncpg.PostgresError) as error:
            log.warning("permits cannot be checked", error=str(error))

    async def _compare(self, there: datetime) -> None:
        """Look whether our clock tells the time, more or less."""
        wrong = await self._clocks.judge(there)
        if wrong is not self._wrong:
            said = log.warning if wrong is Wrong.NOBODY else log.error
            said(_SAID[wrong], seconds=round(self._clocks.off))
            self._said_at = -math.inf
        self._wrong = wrong
        if wrong is not Wrong.NOBODY and time.monotonic() - self._said_at > _SAY_EVERY:
            await self._call_operator(self._clock() if wrong is Wrong.DATABASE else there)
            self._said_at = time.monotonic()

    async def _call_operator(self, now: datetime) -> None:
        subject = "database" if self._wrong is Wrong.DATABASE else f"worker:{self._name}"
        async with self._pool.acquire(timeout=LAPSE) as conn, conn.transaction():
            await alarms.raise_(
                conn, now, alarms.What.CLOCK_WRONG, subject, now + _STANDS,
                seconds=round(self._clocks.off),
            )  # fmt: skip


_SAID = {
    Wrong.NOBODY: "this machine's clock and the database's agree again",
    Wrong.SENDER: "this machine's clock is wrong: nothing is sent",
    Wrong.DATABASE: "the database's clock is wrong: sending goes on by this machine's",
}
