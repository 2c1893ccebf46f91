"""The provider accounts of one sending process: which may take work now, and whose turn it is.

Switches, breakers and health are rows, shared by all workers; this keeps a view of them that is
never older than a second, counts what its own worker sees, and answers without asking anybody.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from broadcaster.db import AWAY, Pool, transaction
from broadcaster.fanout import breakers, link_test, providers, workers
from broadcaster.fanout.breakers import Sight, View
from broadcaster.fanout.link_test import Link
from broadcaster.fanout.turns import Speed, is_slower
from broadcaster.fanout.waits import CountedPace, Tally
from channels import health
from channels.base import Channel, Outcome, Pace, Result
from channels.health import Breaker
from channels.limits import SharedLimiter
from channels.limits_rules import RateLimit

log = structlog.get_logger(__name__)

EVERY = 0.5
"""Seconds between two looks at the rows: a switch by hand is obeyed everywhere within a second."""
ROLE = "send"
SILENCE_BORNE = 2.0
"""Seconds of silence that a batch waits for its carrier; for longer it is given back."""
_TIDY = 60.0
"""Seconds between two clearings of old health, and between two words that accounts are in use."""
EMERGENCY, _ROUTINE = 0, 2
_KEPT_FREE = 1
"""Slots of every account that only the emergency lane may fill."""


@dataclass(frozen=True, slots=True)
class LinkTest:
    """Where a provider is tested: an endpoint of the operator's own, and how often."""

    address: str
    every: float = 60.0


@dataclass(frozen=True, slots=True)
class Carrier:
    """One provider account as the settings describe it."""

    channel: Channel[Any]
    name: str
    account: str
    """What tells it from others of the same name, without secrets."""
    limit: RateLimit
    slots: int = 3
    weight: int = 100
    """Share of what its channel's accounts could all take; 0 stands by until no other is usable."""
    test: LinkTest | None = None


@dataclass(eq=False)
class Account:
    """One provider account in this process."""

    provider_id: int
    channel: Channel[Any]
    name: str
    slots: int
    weight: int
    limiter: SharedLimiter
    test: LinkTest | None = None
    view: View = field(default_factory=View)
    paused_until: float = 0.0
    """By this process's own outcomes, before the rows say it too (monotonic)."""
    busy: int = 0
    turn: float = 0.0
    """Batches given to it, divided by its weight: the lowest is next."""
    sight: Sight = field(default_factory=Sight)
    speed: Speed = field(default_factory=Speed)

    def usable(self, now: float) -> bool:
        """Say whether it may be given traffic at a (monotonic) moment."""
        if self.view.switch == "off" or not self.limiter.has_part or self.limiter.silent_for > 0:
            return False
        if self.view.switch == "on":
            return True
        if max(self.paused_until, self.view.paused_until) > now:
            return False
        # Half open: one batch at a time shows whether it is well again.
        return self.view.breaker is Breaker.CLOSED or (
            self.view.breaker is Breaker.HALF_OPEN and not self.busy
        )

    def free(self, lane: int) -> int:
        """Count the slots a lane may fill."""
        return self.slots - self.busy - (0 if lane == EMERGENCY else _KEPT_FREE)

    @property
    def step(self) -> float:
        """How far a batch moves its turn on."""
        return 1 / max(0.01, self.weight * self.view.weight_share)

    def comes_before(self, other: Account) -> bool:
        """Say whether another with a free slot leaves the next batch to this one, which is full.

        Not when this one could carry no more by its limit or its pace: a weight says who takes
        what both could take, it never leaves a carrier idle that alone could take it.
        """
        return (
            other.turn > self.turn + other.step
            and not self.limiter.is_short
            and not is_slower(self.speed, other.speed)
        )


class Fleet:
    """All accounts of this process."""

    def __init__(self, pool: Pool, worker: str, accounts: Sequence[Account]) -> None:
        self._pool = pool
        self._worker = worker
        self.accounts = list(accounts)
        self._tally = Tally()
        self._mustered_at = self._tidied_at = 0.0

    @classmethod
    async def enlist(
        cls, pool: Pool, redis_url: str | None, worker: str, carriers: Sequence[Carrier]
    ) -> Fleet:
        """Make the rows of the accounts, take in what they say, and report for duty."""
        accounts = []
        for carrier in carriers:
            async with pool.acquire() as conn:
                provider_id = await providers.register(
                    conn, carrier.channel.name, carrier.name, carrier.account
                )
                await providers.configure(conn, provider_id, carrier.weight, _setup(carrier))
            # By what the carrier counts: a row renamed while workers restart has no limit more.
            counted = f"{carrier.channel.name}:{carrier.account}"
            limiter = SharedLimiter(redis_url, counted, worker, carrier.limit)
            accounts.append(
                Account(
                    provider_id, carrier.channel, carrier.name, carrier.slots, carrier.weight,
                    limiter, carrier.test,
                )
            )  # fmt: skip
        fleet = cls(pool, worker, accounts)
        await fleet.sync()
        return fleet

    # What the sender asks

    def usable(self, channel: str) -> list[Account]:
        """Return the accounts of a channel that may be given traffic; standbys in need only."""
        now = time.monotonic()
        found = [a for a in self.accounts if a.channel.name == channel and a.usable(now)]
        return [a for a in found if a.weight] or found

    def choose(self, channel: str, lane: int) -> Account | None:
        """Return the account that is to take the next batch of a lane, None when none may.

        The one whose turn it is. While all its slots are full another goes one batch ahead of its
        share at most: slots would decide instead of weights. An emergency waits for nobody's turn.
        """
        accounts = sorted(self.usable(channel), key=lambda a: a.turn)
        now = time.monotonic()
        for account in accounts:
            account.speed.pass_to(now, account.busy > 0)
        full: list[Account] = []
        for account in accounts:
            if account.free(lane) <= 0:
                full.append(account)
            elif lane == EMERGENCY or not any(one.comes_before(account) for one in full):
                return account
        return None

    def may_go_on(self, account: Account) -> bool:
        """Say whether an account may go on with what it holds.

        Not after it was switched off, nor when its carrier wants to hear nothing for long, nor with
        no part of its limit left to this worker: another account or worker may take the rest.
        """
        limiter = account.limiter
        return (
            account.view.switch != "off" and limiter.has_part and limiter.silent_for < SILENCE_BORNE
        )

    def pace(self, account: Account, lane: int) -> Pace:
        """Return the permissions of an account for a lane."""
        return CountedPace(account.limiter.pace(lane), self._tally, account.provider_id, lane)

    def began(self, account: Account) -> None:
        """Count a batch that the account begins."""
        account.speed.pass_to(time.monotonic(), account.busy > 0)
        account.busy += 1
        # Who was away, or could take no more, does not get everything it missed.
        missed = account.turn - account.step
        for other in self.accounts:
            if other.channel.name == account.channel.name:
                other.turn = max(other.turn, missed)
        account.turn += account.step

    def ended(self, account: Account) -> None:
        """Count a batch that is done, or was taken away."""
        account.speed.pass_to(time.monotonic(), account.busy > 0)
        account.busy -= 1

    def report(self, account: Account, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Take in what became of messages; `seconds`: mean time from writing one to its answer."""
        name, sight = account.channel.name, account.sight
        if account.busy:
            account.speed.carried(sum(o.result is not Result.NOT_SENT for o in outcomes))
        for outcome in outcomes:
            if outcome.result is Result.NOT_SENT:
                continue
            sight.tried += 1
            sight.seconds += seconds
            if outcome.result is Result.ACCEPTED:
                continue
            if health.is_throttle(outcome):
                sight.throttled += 1
            elif health.is_fault(name, outcome):
                sight.faults += 1
                sight.reason = outcome.reason
            if outcome.action in providers.PAUSES:
                pause = providers.PAUSES[outcome.action].total_seconds()
                account.paused_until = max(account.paused_until, time.monotonic() + pause)

    # In the background

    async def run(self, may_test: Callable[[], bool] = lambda: True) -> None:
        """Keep the view new and the permissions coming; cancelled when the process ends.

        `may_test` says whether links may be tested at this moment.
        """
        tasks = [asyncio.create_task(a.limiter.run()) for a in self.accounts]
        tasks += [asyncio.create_task(self._test(a, may_test)) for a in self.accounts if a.test]
        try:
            while True:
                await asyncio.sleep(EVERY)
                try:
                    await self.sync()
                except AWAY as error:
                    log.warning("providers not looked at", error=str(error))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _test(self, account: Account, may_test: Callable[[], bool]) -> None:
        """Test one account's link for ever."""
        test = account.test or LinkTest("")
        pace = self.pace(account, _ROUTINE)
        link = Link(account.provider_id, account.channel, pace, test.address, test.every)
        while True:
            # Not all workers at once: they would only find each other's lease.
            await asyncio.sleep(link_test.EVERY * random.uniform(0.7, 1.3))  # noqa: S311
            if not may_test():
                continue
            try:
                outcomes = await link_test.test_if_due(self._pool, link)
            except AWAY as error:
                log.warning("link not tested", error=str(error))
                continue
            self.report(account, outcomes, account.channel.latency)

    async def sync(self) -> None:
        """Write what was seen, move breakers, and take in what the rows say."""
        if time.monotonic() - self._mustered_at >= workers.EVERY:
            await self._muster()
        sights = {a.provider_id: a.sight.taken() for a in self.accounts if a.sight.tried}
        ids = [account.provider_id for account in self.accounts]
        try:
            async with transaction(self._pool) as conn:
                await breakers.note(conn, self._worker, sights)
            async with self._pool.acquire() as conn:
                views = await breakers.look(conn, ids)
        except AWAY:
            for account in self.accounts:
                account.sight.add(sights.get(account.provider_id))
            raise
        for account in self.accounts:
            if account.provider_id in views:
                account.view = views[account.provider_id]

    async def _muster(self) -> None:
        began = time.monotonic()
        limits = {str(a.provider_id): _report(a) for a in self.accounts}
        async with self._pool.acquire() as conn:
            crew = await workers.muster(conn, self._worker, ROLE, limits)
            await self._tally.tell(conn)
            if began - self._tidied_at > _TIDY:
                await breakers.forget(conn)
                await providers.keep_in_use(conn, [a.provider_id for a in self.accounts])
                self._tidied_at = began
        self._mustered_at = began
        for account in self.accounts:
            account.limiter.crew(crew.workers, crew.rank)


def _report(account: Account) -> dict[str, Any]:
    limiter = account.limiter
    return {
        "shared": limiter.shared,
        "share": round(limiter.share, 3),
        "silent_for": round(limiter.silent_for, 1),
        "taken": limiter.taken,
        "busy": account.busy,
    }


def _setup(carrier: Carrier) -> dict[str, Any]:
    limit = carrier.limit
    return {
        "rules": [[rule.most, rule.seconds] for rule in limit.rules],
        "groups": {
            group: [[rule.most, rule.seconds] for rule in rules]
            for group, rules in limit.groups.items()
        },
        "other_groups": [[rule.most, rule.seconds] for rule in limit.other_groups],
        "ramp": bool(limit.ramp),
        "test_every": carrier.test.every if carrier.test else None,
    }
