"""The clockwork process: every stage that moves alerts along between people and senders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from broadcaster import db, jobs
from broadcaster.alerts import escalation, foretold, search_index
from broadcaster.fanout import (
    direct,
    letters,
    reach_series,
    receipts,
    retention,
    stages,
    tally,
    timings,
    training,
    watch,
)
from broadcaster.fanout.sending import read_delivery_token
from broadcaster.fanout.starting import Starter
from broadcaster.incidents import intake
from broadcaster.incidents.intake import Intake
from broadcaster.incidents.places import Gazetteer
from broadcaster.jobs import Clockwork, Stage, Waker
from broadcaster.keyring import Keyring
from broadcaster.people import asking, moving, place_index, positions, register
from broadcaster.people.selection import Selector
from broadcaster.people.sessions import expire_sessions
from broadcaster.processes import alive
from broadcaster.processes.bounces import booker
from broadcaster.settings import Settings

log = structlog.get_logger(__name__)


class Stages:
    """Every stage in the order of an alert's life; each may run at any time, in any process."""

    def __init__(
        self,
        pool: db.Pool,
        keyring: Keyring,
        mail_domain: str,
        public_url: str,
        selector: Selector,
        waker: Waker,
        rows_kept: timedelta = retention.AFTER,
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._mail_domain = mail_domain
        self._public_url = public_url
        self._selector = selector
        self._waker = waker
        self._rows_kept = rows_kept
        self._starter = Starter(pool, selector, self._wake_started)
        self._communes = tally.Counter(pool)
        self._intake: Intake | None = None
        self.again: Callable[[str], None] = lambda _: None
        """Called with a stage of this process that has more to do."""

    def table(self) -> dict[str, tuple[Stage, float]]:
        """Name each stage with the most seconds between two of its runs."""
        return {
            "ask": (self._ask_for_approval, 2.0),
            "start": (self._start, 1.0),
            "expand": (self._expand, 1.0),
            "publish": (partial(stages.publish, self._pool), 1.0),
            "training": (self._training, 0.5),
            "settle": (partial(stages.settle, self._pool), 0.5),
            "end": (partial(stages.end, self._pool), 1.0),
            "sweep": (partial(stages.sweep, self._pool), 5.0),
            "receipts": (self._join_receipts, 0.5),
            "intake": (self._read_inbound, 0.5),
            "positions": (self._forget_positions, 15.0),
            "unverified": (self._forget_unverified, 60.0),
            "places": (self._ask_for_places, 20.0),
            "index": (self._keep_index, 2.0),
            "search": (self._lay_drawn, 2.0),
            "foretell": (self._foretell, 0.5),
            "series": (partial(reach_series.keep, self._pool), 0.5),
            "communes": (self._communes.count_due, 1.0),
            "watch": (self._watch, 5.0),
            "timings": (self._fold_timings, 60.0),
            "tidy": (self._tidy, 60.0),
            "archive": (self._archive, 60.0),
        }

    async def _wake_senders(self) -> None:
        await self._waker.wake("send", jobs.SEND_QUEUE)

    async def _ask_for_approval(self, now: datetime) -> int:
        """Ask whoever may approve what waits, and the next ones where nobody answered."""
        asked = await escalation.ask_due(self._pool, now, self._public_url)
        if asked:
            await self._wake_senders()
        return asked

    async def _start(self, now: datetime) -> int:
        """Take up what is due and look again whenever something has begun: nobody waits here."""
        taken_up = await self._starter.look(now)
        for task in taken_up:
            task.add_done_callback(self._began)
        return len(taken_up)

    def _began(self, task: asyncio.Task[bool]) -> None:
        # What could not be started now is left to the clock.
        if not task.cancelled() and task.exception() is None and task.result():
            self.again("start")

    async def _wake_started(self) -> None:
        self.again("expand")
        await self._wake_senders()

    async def _training(self, _: datetime) -> int:
        return await training.take_in(self._pool)

    async def _foretell(self, now: datetime) -> int:
        return await foretold.keep_due(self._pool, now, self._keyring, self._selector)

    async def _expand(self, now: datetime) -> int:
        return await stages.expand_open(self._pool, now, self._wake_senders, self._starter.busy)

    async def _join_receipts(self, now: datetime) -> int:
        total = 0
        while joined := await receipts.join(self._pool, now):
            total += joined
        return total

    async def _read_inbound(self, now: datetime) -> int:
        reader = await self._reader()
        total = 0
        while handled := await intake.handle_open(reader, self._pool, now):
            total += handled
            await self._wake_senders()
        return total

    async def _reader(self) -> Intake:
        async with self._pool.acquire() as conn:
            units = await self._selector.map(conn)
        # Names are read once for each map, not for each message.
        if self._intake is None or self._intake.gazetteer.units is not units:
            self._intake = Intake(
                self._keyring,
                Gazetteer(units),
                self._mail_domain,
                read_delivery_token,
                booker(self._keyring),
            )
        return self._intake

    async def _forget_positions(self, now: datetime) -> int:
        async with self._pool.acquire() as conn:
            return await positions.forget_expired(conn, now)

    async def _forget_unverified(self, now: datetime) -> int:
        async with self._pool.acquire() as conn:
            return await register.forget_unverified(conn, now)

    async def _ask_for_places(self, now: datetime) -> int:
        """Take along who registered by an older map, then ask those whose unit was split."""
        async with self._pool.acquire() as conn:
            if await moving.left_behind(conn):
                units = await self._selector.map(conn)
                async with conn.transaction():
                    await moving.follow(conn, now, units, everybody=False)
            return await asking.ask_due(conn, self._keyring, now, self._public_url)

    async def _keep_index(self, now: datetime) -> int:
        """Have the next load ready, and the index at hand when an alert starts."""
        folded = await place_index.fold(self._pool)
        await self._selector.warm(now)
        return folded

    async def _lay_drawn(self, _: datetime) -> int:
        """Find the units of drawn alerts, for whoever searches the archive by place."""
        async with self._pool.acquire() as conn:
            units = await self._selector.map(conn)
        return await search_index.lay_drawn(self._pool, units)

    async def _watch(self, now: datetime) -> int:
        """Raise what an operator must look at, and book what ended alerts left unknown."""
        async with self._pool.acquire() as conn:
            await letters.book_left_unknown(conn, now)
            return await watch.look(conn, now)

    async def _fold_timings(self, now: datetime) -> int:
        return await timings.fold(self._pool)

    async def _archive(self, now: datetime) -> int:
        return await retention.pack_settled(self._pool, now, self._rows_kept)

    async def _tidy(self, now: datetime) -> int:
        async with self._pool.acquire() as conn:
            await direct.expire_due(conn)
            await expire_sessions(conn, now)
            await place_index.prune(conn, now)
            await letters.forget(conn, now)
            return await receipts.give_up(conn, now)


async def run(
    settings: Settings, database_url: str, redis_url: str, stopping: asyncio.Event
) -> None:
    """Run the clockwork until `stopping` is set."""
    keyring = Keyring(settings.secret_key or "", settings.old_secret_keys)
    pool = await db.connect(database_url, most=24, application="clockwork")
    waker = Waker(redis_url)
    selector = Selector(settings.data_dir / "index", pool)
    rows_kept = timedelta(days=settings.rows_kept_days)
    table = Stages(
        pool, keyring, settings.mail_domain, settings.public_url, selector, waker, rows_kept
    )
    clockwork = Clockwork(table.table())
    table.again = clockwork.wake
    tasks = [
        asyncio.create_task(clockwork.run()),
        asyncio.create_task(alive.beat(pool, "clock")),
        asyncio.create_task(jobs.listen(redis_url, jobs.CLOCK_QUEUE, clockwork.wake)),
    ]
    log.info("clockwork ready")
    try:
        await stopping.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await selector.close()
        await waker.close()
        await pool.close()
