"""The clockwork process: every stage that moves alerts along between people and senders."""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from broadcaster import db, jobs
from broadcaster.fanout import direct, receipts, stages
from broadcaster.fanout.sending import read_delivery_token
from broadcaster.incidents import intake
from broadcaster.incidents.intake import Intake
from broadcaster.incidents.places import Gazetteer
from broadcaster.jobs import Clockwork, Stage, Waker
from broadcaster.keyring import Keyring
from broadcaster.people.selection import Selector
from broadcaster.people.sessions import expire_sessions
from broadcaster.processes.bounces import booker
from broadcaster.settings import Settings

log = structlog.get_logger(__name__)


def stages_of(
    pool: db.Pool, keyring: Keyring, settings: Settings, waker: Waker
) -> dict[str, tuple[Stage, float]]:
    """Every stage in the order of an alert's life, with the most seconds between two runs."""
    selector = Selector()
    on_bounce = booker(keyring)
    readers: list[Intake] = []

    async def wake_senders() -> None:
        await waker.wake("send", jobs.SEND_QUEUE)

    async def start(now: datetime) -> int:
        return await stages.start(pool, now, selector, wake_senders)

    async def publish(now: datetime) -> int:
        return await stages.publish(pool, now)

    async def settle(now: datetime) -> int:
        return await stages.settle(pool, now)

    async def end(now: datetime) -> int:
        return await stages.end(pool, now)

    async def sweep(now: datetime) -> int:
        return await stages.sweep(pool, now)

    async def join_receipts(now: datetime) -> int:
        total = 0
        while joined := await receipts.join(pool, now):
            total += joined
        return total

    async def tidy(now: datetime) -> int:
        async with pool.acquire() as conn:
            await direct.expire_due(conn)
            await expire_sessions(conn, now)
            return await receipts.give_up(conn, now)

    async def handle_inbound(now: datetime) -> int:
        async with pool.acquire() as conn:
            units = await selector.map(conn)
        # Names are read once for each map, not for each message.
        if not readers or readers[0].gazetteer.units is not units:
            readers[:] = [
                Intake(
                    keyring, Gazetteer(units), settings.mail_domain, read_delivery_token, on_bounce
                )
            ]
        total = 0
        while handled := await intake.handle_open(readers[0], pool, now):
            total += handled
            await wake_senders()
        return total

    return {
        "start": (start, 1.0),
        "publish": (publish, 1.0),
        "settle": (settle, 0.5),
        "end": (end, 1.0),
        "sweep": (sweep, 5.0),
        "receipts": (join_receipts, 0.5),
        "tidy": (tidy, 60.0),
        "intake": (handle_inbound, 0.5),
    }


async def run(
    settings: Settings, database_url: str, redis_url: str, stopping: asyncio.Event
) -> None:
    """Run the clockwork until `stopping` is set."""
    keyring = Keyring(settings.secret_key or "", settings.old_secret_keys)
    pool = await db.connect(database_url, most=16, application="clockwork")
    waker = Waker(redis_url)
    clockwork = Clockwork(stages_of(pool, keyring, settings, waker))
    tasks = [
        asyncio.create_task(clockwork.run()),
        asyncio.create_task(jobs.listen(redis_url, jobs.CLOCK_QUEUE, clockwork.wake)),
    ]
    log.info("clockwork ready")
    try:
        await stopping.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await waker.close()
        await pool.close()
