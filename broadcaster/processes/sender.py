"""The sending process: every configured account, guarded, paced, woken by the queue."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from broadcaster import db, jobs
from broadcaster.fanout import workers
from broadcaster.fanout.clocks import Witness
from broadcaster.fanout.fleet import Fleet
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.messages import Courier
from broadcaster.fanout.sending import ALL_LANES, Sender
from broadcaster.keyring import Keyring
from broadcaster.processes.accounts import carriers
from broadcaster.settings import Settings
from channels.limits_valkey import AWAY as VALKEY_AWAY
from channels.limits_valkey import Reservations

log = structlog.get_logger(__name__)

FINISH = 2.5
"""Seconds in which a worker that is to end goes on with the batches it holds."""
ANSWERS = 4.5
"""Seconds after which it waits for no more answers: what is on the wire is written down as
unknown, because somebody else must know about it."""
DRAIN = 7.0
"""Seconds after which it ends, whatever is left."""

_WITNESS_PATIENCE = 0.4


def worker_name() -> str:
    """Host and process: unique among living workers."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _valkey_clock(redis_url: str) -> Witness:
    """Make the question what time it is by Valkey's clock."""
    valkey = Reservations(redis_url, "clock", b"")

    async def ask() -> datetime | None:
        try:
            async with asyncio.timeout(_WITNESS_PATIENCE):
                return datetime.fromtimestamp(await valkey.clock() / 1e6, UTC)
        except VALKEY_AWAY:
            return None
        finally:
            await valkey.forget()

    return ask


async def run(
    settings: Settings,
    database_url: str,
    redis_url: str,
    stopping: asyncio.Event,
    lanes: Sequence[int] = ALL_LANES,
) -> None:
    """Send until `stopping` is set, then finish what is claimed, within ten seconds."""
    keyring = Keyring(settings.secret_key or "", settings.old_secret_keys)
    pool = await db.connect(database_url, most=16, application="sender")
    name = worker_name()
    guard = Guard(pool, witness=_valkey_clock(redis_url), name=name)
    fleet = await Fleet.enlist(pool, redis_url, name, carriers(settings))
    channels = sorted({account.channel.name for account in fleet.accounts})
    senders = [Sender(pool, keyring, fleet, guard, each, name, lanes) for each in channels]
    lines: list[Sender | Courier] = [
        *senders,
        *(Courier(pool, keyring, fleet, guard, each) for each in channels),
    ]
    await asyncio.gather(guard.check(), *(account.channel.open() for account in fleet.accounts))

    def woken(_: str) -> None:
        for line in lines:
            line.wake()

    background = [
        asyncio.create_task(guard.run()),
        asyncio.create_task(fleet.run(lambda: guard.may_claim)),
        asyncio.create_task(jobs.listen(redis_url, jobs.SEND_QUEUE, woken)),
    ]
    work = [asyncio.create_task(line.run()) for line in lines]
    log.info("sender ready", worker=name, accounts=[account.name for account in fleet.accounts])
    try:
        await _until(stopping, work)
    finally:
        await _drain(fleet, guard, lines, work)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        with contextlib.suppress(*db.AWAY):
            async with pool.acquire() as conn:
                await workers.leave(conn, name)
        await pool.close()


async def _until(stopping: asyncio.Event, work: list[asyncio.Task[None]]) -> None:
    """Wait for the signal; a slot that fails takes the process down, to be started anew."""
    signalled = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({signalled, *work}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    for task in done - {signalled}:
        task.result()


async def _drain(
    fleet: Fleet, guard: Guard, lines: Sequence[Sender | Courier], work: list[asyncio.Task[None]]
) -> None:
    """Finish what is held: first whole batches, then what is on the wire, then not at all."""
    began = time.monotonic()
    guard.end_within(FINISH)
    for line in lines:
        line.drain()
    await asyncio.wait(work, timeout=ANSWERS)
    closing = asyncio.gather(*(account.channel.close() for account in fleet.accounts))
    late = [task for task in work if not task.done()]
    if late:
        _, late_still = await asyncio.wait(late, timeout=began + DRAIN - time.monotonic())
        for task in late_still:
            task.cancel()
    await asyncio.gather(closing, *work, return_exceptions=True)
