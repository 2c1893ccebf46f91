"""The sender: claims batches of one channel, sends them, commits what became of them.

Rows are the truth and the queue only wakes: it looks for work by itself each second, so losing
the queue costs a second of delay and nothing else. A batch takes a slot of an account; some slots
are kept free for emergencies, which find one at once however much else is under way.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import structlog

from broadcaster.db import AWAY, Pool, transaction
from broadcaster.fanout import alarms, claims, outcomes
from broadcaster.fanout.claims import Claim
from broadcaster.fanout.fleet import Account, Fleet
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.policy import ASIDE
from broadcaster.fanout.reader import (
    Addressed,
    AlertEnded,
    Approved,
    Reader,
    UnprovenError,
    delivery_token,
    read_delivery_token,
)
from broadcaster.fanout.seeker import Seeker
from broadcaster.keyring import Keyring
from channels.base import Action, Batch, Outcome, Permit, Result

log = structlog.get_logger(__name__)

__all__ = ["ALL_LANES", "Sender", "delivery_token", "read_delivery_token"]

ALL_LANES = (0, 1, 2)
_RETRY_SECONDS = 0.2
"""Between tries at writing outcomes while the database is away: the messages are out."""

Write = Callable[..., Awaitable[None]]


class Sender:
    """Sends one channel's batches through its accounts, as many at a time as they have slots."""

    def __init__(
        self,
        pool: Pool,
        keyring: Keyring,
        fleet: Fleet,
        guard: Guard,
        channel: str,
        worker: str,
        lanes: Sequence[int] = ALL_LANES,
    ) -> None:
        self._pool = pool
        self._fleet = fleet
        self._guard = guard
        self._channel = channel
        self._worker = worker
        self._lanes = lanes
        self._reader = Reader(keyring, channel)
        self._under_way: set[asyncio.Task[None]] = set()
        self._seeker = Seeker(f"send {channel}", self.begin_one)

    def wake(self) -> None:
        """There is work: look now instead of at the next second."""
        self._seeker.wake()

    def drain(self) -> None:
        """Claim nothing more; what is claimed is finished."""
        self._seeker.drain()

    async def run(self) -> None:
        """Send until drained, and to the end of what is under way."""
        try:
            await self._seeker.run()
            while self._under_way:
                await asyncio.wait(self._under_way)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def begin_one(self) -> bool:
        """Claim one batch and begin to send it; False when no slot or no work is to be had."""
        lanes = [lane for lane in self._lanes if self._fleet.choose(self._channel, lane)]
        if not lanes or not self._guard.may_claim:
            return False
        async with self._pool.acquire() as conn:
            claim = await claims.claim(conn, self._worker, self._channel, lanes)
        if claim is None:
            return False
        account = self._fleet.choose(self._channel, claim.lane)
        if account is None:
            # Switched off or paused while we asked: it is anybody's again, at once.
            await self._put_back(claim, seconds=0.0)
            return False
        self._fleet.began(account)
        task = asyncio.create_task(self._finish(claim, account))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return True

    async def _finish(self, claim: Claim, account: Account) -> None:
        """Send a batch, whatever becomes of it; the slot is free afterwards."""
        about = {"batch_id": claim.batch_id, "alert_id": claim.alert_id}
        permit = self._guard.permit(claim)
        try:
            await self._send(claim, account, permit)
        except outcomes.LeaseLost:
            log.warning("batch taken over", **about)
        except AlertEnded:
            await self._give_up(claim)
        except UnprovenError as error:
            log.error("batch is not what was approved", why=str(error), **about)
            await self._refuse(claim, str(error))
        except AWAY as error:
            log.warning("waiting for the database", error=str(error), **about)
        except Exception:
            log.exception("batch cannot be sent", **about)
            await self._put_back(claim, seconds=ASIDE.total_seconds())
        finally:
            # Released whatever happens: the guard keeps alive what it holds, and a batch that is
            # held and not sent would never be anybody else's.
            self._guard.release(claim)
            self._fleet.ended(account)
            self._seeker.wake()

    async def _send(self, claim: Claim, account: Account, permit: Permit) -> None:
        async with self._pool.acquire() as conn:
            approved = await self._reader.approved(conn, claim)
            if approved.quiet and (until := approved.quiet.until(claim.made_at)):
                await claims.hold_until(conn, claim, until)
                return
            to = await self._reader.addressed(conn, claim)
        write = self._writer(claim, account, to)
        if to.lost or not to.recipients:
            await write(to.lost, last=not to.recipients)
        if not to.recipients:
            return
        missing = {recipient.ref for recipient in to.recipients}
        loud = _until_quiet(claim, approved)
        groups = account.channel.send(
            _batch(claim, approved, to),
            lambda: permit() and self._fleet.may_go_on(account) and time.monotonic() < loud,
            self._fleet.pace(account, claim.lane),
        )
        async with aclosing(groups):  # type: ignore[type-var]
            async for group in groups:
                missing.difference_update([outcome.ref for outcome in group])
                await write(group, last=not missing)
        if missing:
            # A channel's mistake must not lose anybody: what it does not answer for is in doubt.
            log.error("channel left recipients without an outcome", missing=len(missing))
            unanswered = [Outcome(ref, Result.UNKNOWN, "NO_OUTCOME") for ref in sorted(missing)]
            await write(unanswered, last=True)

    def _writer(self, claim: Claim, account: Account, to: Addressed) -> Write:
        async def write(group: list[Outcome], *, last: bool) -> None:
            """Commit, and keep at it while the database restarts."""
            self._fleet.report(account, group, account.channel.latency)
            in_doubt = to.in_doubt and to.in_doubt.intersection(o.ref for o in group)
            repeated = False
            while True:
                try:
                    await outcomes.write(
                        self._pool, claim, account.provider_id, to.tries, group,
                        last=last, in_doubt=in_doubt, repeated=repeated,
                        elsewhere=self._elsewhere(account, group),
                    )  # fmt: skip
                except AWAY as error:
                    log.warning("outcomes wait for the database", error=str(error))
                    await asyncio.sleep(_RETRY_SECONDS)
                    repeated = True
                else:
                    return

        return write

    def _elsewhere(self, account: Account, group: Sequence[Outcome]) -> bool:
        """Say whether another account takes at once what this one did not send."""
        if not any(o.result is Result.NOT_SENT or o.action is Action.AWAY for o in group):
            return False
        return any(other is not account for other in self._fleet.usable(self._channel))

    async def _put_back(self, claim: Claim, *, seconds: float) -> None:
        try:
            async with self._pool.acquire() as conn:
                await claims.put_back(conn, claim, seconds)
        except AWAY as error:
            # Its lease ends by itself.
            log.warning("waiting for the database", batch_id=claim.batch_id, error=str(error))

    async def _give_up(self, claim: Claim) -> None:
        try:
            async with self._pool.acquire() as conn:
                await claims.give_up(conn, claim)
        except AWAY as error:
            log.warning("waiting for the database", batch_id=claim.batch_id, error=str(error))

    async def _refuse(self, claim: Claim, why: str) -> None:
        """Set a batch aside that is not what was approved, and call an operator."""
        now = datetime.now(UTC)
        try:
            async with transaction(self._pool) as conn:
                await claims.put_back(conn, claim, ASIDE.total_seconds())
                await alarms.raise_(
                    conn, now, alarms.What.BATCH_UNPROVEN, f"alert:{claim.alert_id}",
                    now + 2 * ASIDE, batch=claim.batch_id, why=why,
                )  # fmt: skip
        except AWAY as error:
            log.warning("waiting for the database", batch_id=claim.batch_id, error=str(error))


def _until_quiet(claim: Claim, approved: Approved) -> float:
    """Return the (monotonic) moment at which what is not sent yet has to wait."""
    begins = approved.quiet and approved.quiet.begins(claim.made_at)
    if not begins:
        return math.inf
    return claim.claimed_at + (begins - claim.made_at).total_seconds()


def _batch(claim: Claim, approved: Approved, to: Addressed) -> Batch[object]:
    return Batch(
        contents=approved.contents,
        recipients=to.recipients,
        expires=claim.expires,
        urgent=claim.lane < 2,
        tag=str(claim.root_id),
        sequence=claim.sequence,
        lane=claim.lane,
    )
