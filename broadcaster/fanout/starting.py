"""Starting what was approved: people frozen, the steps laid out, the first chunk written.

The most urgent start first, several at a time, and an emergency waits for no other's people to be
chosen. Whatever dies here is found again: an order stays open until its alert has begun.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import numpy as np
import structlog

from broadcaster import db
from broadcaster.alerts import lifecycle, outbox
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import (
    audience,
    channel_policy,
    expansion,
    listed_only,
    reached,
    steps,
)
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.policy import CHANNELS
from broadcaster.fanout.reached import EXACT, FollowUp
from broadcaster.fanout.steps import Filter, Listed, Step
from broadcaster.people.selection import Selector
from broadcaster.states import AlertState

log = structlog.get_logger(__name__)

Wake = Callable[[], Awaitable[None]]

SLOTS = {True: 6, False: 3}
"""Alerts started at a time: emergencies, and all others."""
_PATIENCE = 2.0
"""Seconds a follow-up waits at a time for what its predecessor has on the wire."""
_LOOKS = 0.05

_OPEN = (
    "SELECT o.outbox_id, a.alert_id, a.lane FROM outbox o JOIN alert a ON a.alert_id = o.subject_id"
    " WHERE o.topic = $1 AND o.done_at IS NULL AND a.alert_id <> ALL($2::bigint[])"
    # What is scheduled for later keeps its order open.
    " AND (a.state <> 'scheduled' OR a.scheduled_for IS NULL OR a.scheduled_for <= $3"
    "   OR a.expires <= $3)"
    " ORDER BY a.lane, o.outbox_id LIMIT $4"
)


@dataclass(frozen=True, slots=True)
class Order:
    """An open order to start an alert."""

    outbox_id: int
    alert_id: int
    lane: int

    @property
    def emergency(self) -> bool:
        """Whether it may not wait for others."""
        return self.lane == 0


class Starter:
    """Carries out orders to start; one for each process that does."""

    def __init__(self, pool: Pool, selector: Selector, wake: Wake) -> None:
        """Call `wake` whenever an alert has begun."""
        self._pool = pool
        self._selector = selector
        self._wake = wake
        self._under_way: dict[int, tuple[Order, asyncio.Task[bool]]] = {}

    def busy(self, lane: int) -> bool:
        """Whether an alert of a more urgent lane is being started."""
        return any(order.lane < lane for order, _ in self._under_way.values())

    async def look(self, now: datetime) -> list[asyncio.Task[bool]]:
        """Take up the most urgent open orders for which there is a slot."""
        async with self._pool.acquire() as conn:
            rows = await conn.fetch(
                _OPEN, outbox.Topic.START.value, list(self._under_way), now, sum(SLOTS.values())
            )
        taken_up = []
        for order in (Order(*row) for row in rows):
            at_work = [one for one, _ in self._under_way.values()]
            slots = SLOTS[order.emergency]
            if sum(one.emergency == order.emergency for one in at_work) < slots:
                task = asyncio.create_task(self._carry_out(now, order))
                self._under_way[order.alert_id] = order, task
                taken_up.append(task)
        return taken_up

    async def run(self, now: datetime) -> int:
        """Start everything that is due now; returns how many orders were carried out."""
        tasks, done = set(await self.look(now)), 0
        try:
            while tasks:
                ended, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                done += sum(task.result() for task in ended)
                # One that could not be carried out stays open: it is for the next run.
                if any(task.result() for task in ended):
                    tasks |= set(await self.look(now))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return done

    async def _carry_out(self, now: datetime, order: Order) -> bool:
        """Carry out one order; one that cannot be carried out must not hold up the others."""
        try:
            done = await _start_one(self._pool, now, self._selector, order.alert_id)
        except db.AWAY:
            raise
        except Exception:
            log.exception("alert cannot be started", alert_id=order.alert_id)
            done = False
        else:
            if done:
                await self._wake()
                async with self._pool.acquire() as conn:
                    await outbox.done(conn, now, [order.outbox_id])
        finally:
            del self._under_way[order.alert_id]
        return done


async def start(pool: Pool, now: datetime, selector: Selector, wake: Wake) -> int:
    """Begin what was approved: people frozen, first chunk written, alert → sending.

    Returns how many orders were carried out. The other chunks are the expansion's, so that a
    large alert keeps no other from starting.
    """
    return await Starter(pool, selector, wake).run(now)


async def _start_one(pool: Pool, now: datetime, selector: Selector, alert_id: int) -> bool:
    """Carry out one order; True when it is done: started, or no longer wanted."""
    async with pool.acquire() as conn:
        row = await conn.fetchrow(
            "SELECT state::text AS state, kind, scheduled_for, expires,"
            " superseded_by IS NOT NULL AS superseded FROM alert WHERE alert_id = $1",
            alert_id,
        )
        if row is None or row["state"] not in ("approved", "scheduled") or row["expires"] <= now:
            return True
        if row["superseded"]:
            return True
        approved = await lifecycle.snapshot(conn, alert_id)
        due = _due(approved, row, now)
        if due > now:
            quiet = due > (row["scheduled_for"] or now)
            await lifecycle.hold(conn, now, alert_id, due, quiet=quiet)
            return False
        await conn.execute("SELECT ensure_partitions($1)", alert_id + 100)
        if row["kind"] == "alert":
            ids = await selector.select(conn, now, approved.content.area)
            ids = await listed_only.people(conn, alert_id, ids)
        elif not await _superseded(conn, now, alert_id):
            return False
    if row["kind"] == "alert":
        await begin(pool, now, approved, ids)
    else:
        await _begin_follow_up(pool, now, selector, approved)
    return True


def _due(approved: Snapshot, row: asyncpg.Record, now: datetime) -> datetime:
    """Return when an alert is to start: at its time, and class information not in quiet hours.

    What calls an alert off goes to those who were disturbed by it already, and at once.
    """
    due = max(now, row["scheduled_for"] or now)
    if row["kind"] in EXACT:
        return due
    policy = channel_policy.of_snapshot(approved.document)
    return channel_policy.quiet_until(approved.content.alert_class, policy, due)


async def _superseded(conn: Conn, now: datetime, alert_id: int) -> bool:
    """End what a follow-up follows; False when some of it is still on the wire.

    From here on nothing of the predecessors leaves: no claim and no permit is given for them. That
    is committed before the follow-up begins and cannot be with it: workers obey what is committed,
    and only when they have is it known whom the follow-up goes to. Whoever dies in between leaves
    the order open; the next start finds this done.
    """
    async with conn.transaction():
        await steps.drop(conn, await lifecycle.supersede(conn, now, alert_id))
    patience = time.monotonic() + _PATIENCE
    while not await reached.accounted_for(conn, alert_id):
        if time.monotonic() > patience:
            return False
        await asyncio.sleep(_LOOKS)
    return True


async def _begin_follow_up(
    pool: Pool, now: datetime, selector: Selector, approved: Snapshot
) -> None:
    """Begin an update, an all-clear, a cancel or a correction as a difference to those before."""
    covered = np.zeros(0, dtype=np.uint32)
    async with pool.acquire() as conn:
        follow = await reached.follow_up(conn, approved.alert_id)
        if follow is None:
            raise LookupError(f"alert {approved.alert_id} follows nothing")
        if not follow.exact:
            covered = await selector.select(conn, now, approved.content.area)
            covered = await listed_only.people(conn, approved.alert_id, covered)
        lists = [await reached.beyond(conn, now, follow, covered)]
        if not follow.exact:
            lists.append(await reached.unheard(conn, follow, covered, approved.content.channels))
        lists = await listed_only.beyond(conn, approved.alert_id, lists)
    listed = [Listed(one.endpoint_ids, one.people, one.wording) for one in lists]
    await begin(pool, now, approved, covered, follow, listed)


async def begin(
    pool: Pool,
    now: datetime,
    approved: Snapshot,
    ids: Ids,
    follow: FollowUp | None = None,
    listed: Sequence[Listed] = (),
) -> None:
    """Freeze the people of an approved alert, write its first chunk and move it to sending.

    `ids` are those it covers, `listed` the endpoints a follow-up goes to besides. One
    transaction: an alert that is being sent has its audience and something to send. Does nothing
    for an alert that is not approved any more.
    """
    plan = _plan(approved, now, listed, exact=follow is not None and follow.exact)
    everybody = ids
    for one in listed:
        everybody = np.union1d(everybody, one.people)
    words = follow.wordings if follow is not None else None
    async with pool.acquire() as conn:
        only = await listed_only.endpoints(conn, approved.alert_id)
        packed, chunk = await asyncio.gather(
            asyncio.to_thread(audience.pack, approved.content_hash, everybody),
            expansion.read_first(conn, plan, ids, words, only),
        )
    async with transaction(pool) as conn:
        version = await conn.fetchval(
            "SELECT approved_version FROM alert WHERE alert_id = $1 FOR UPDATE", approved.alert_id
        )
        # Edited, perhaps approved anew, while its people were looked up: that has its own order.
        if version != approved.version:
            return
        if await lifecycle.move(conn, now, approved.alert_id, AlertState.SENDING):
            await audience.freeze(conn, now, approved.alert_id, packed)
            await steps.plan(conn, approved.alert_id, plan)
            if chunk is not None:
                await expansion.write_first(conn, now, approved.alert_id, packed.chain_hash, chunk)


def _plan(
    approved: Snapshot, now: datetime, listed: Sequence[Listed], *, exact: bool
) -> list[Step]:
    """Lay out the steps: those of the policy, and the listed endpoints behind the first.

    Who is listed was reached before, by channels that this message need not use for anybody else:
    each hears of it by the one that reached them.
    """
    content = approved.content
    policy = channel_policy.of_snapshot(approved.document)
    plan = channel_policy.plan(content.alert_class, policy, content.channels, now)
    own = [Step(now, CHANNELS, Filter.LISTED, one) for one in listed]
    return own if exact else [*plan[:1], *own, *plan[1:]]
