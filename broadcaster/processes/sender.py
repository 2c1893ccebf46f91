"""The sending process: every configured channel, guarded, paced, woken by the queue."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from broadcaster import db, jobs
from broadcaster.db import Pool
from broadcaster.fanout import providers, workers
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.messages import Courier
from broadcaster.fanout.pace import Pace
from broadcaster.fanout.sending import ALL_LANES, Account, Sender
from broadcaster.keyring import Keyring
from broadcaster.processes.accounts import configured
from broadcaster.settings import Settings

log = structlog.get_logger(__name__)

DRAIN = 10.0
"""Seconds a worker may take to finish what it has claimed."""
ROLE = "send"


@dataclass(frozen=True, slots=True)
class _Line:
    """Everything of one channel in this process."""

    sender: Sender
    courier: Courier
    pace: Pace
    account: Account


def worker_name() -> str:
    """Host and process: unique among living workers."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def run(
    settings: Settings,
    database_url: str,
    redis_url: str,
    stopping: asyncio.Event,
    lanes: Sequence[int] = ALL_LANES,
) -> None:
    """Send until `stopping` is set, then finish what is claimed."""
    keyring = Keyring(settings.secret_key or "", settings.old_secret_keys)
    pool = await db.connect(database_url, most=16, application="sender")
    guard, name = Guard(pool), worker_name()
    lines = [
        _line(pool, keyring, account, guard, name, lanes)
        for account in await _accounts(pool, settings)
    ]
    await asyncio.gather(*(line.account.channel.open() for line in lines))

    def woken(_: str) -> None:
        for line in lines:
            line.sender.wake()
            line.courier.wake()

    background = [
        asyncio.create_task(guard.run()),
        asyncio.create_task(_heartbeat(pool, name, lines)),
        asyncio.create_task(jobs.listen(redis_url, jobs.SEND_QUEUE, woken)),
    ]
    work = [
        asyncio.create_task(each.run()) for line in lines for each in (line.sender, line.courier)
    ]
    log.info("sender ready", worker=name, channels=[line.account.channel.name for line in lines])
    try:
        await _until(stopping, work)
    finally:
        await _drain(lines, work)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await asyncio.gather(*(line.account.channel.close() for line in lines))
        with contextlib.suppress(*db.AWAY):
            async with pool.acquire() as conn:
                await workers.leave(conn, name)
        await pool.close()


async def _accounts(pool: Pool, settings: Settings) -> list[Account]:
    accounts = []
    for channel, provider, account in configured(settings):
        async with pool.acquire() as conn:
            provider_id = await providers.register(conn, channel.name, provider, account)
        accounts.append(Account(provider_id, channel))
    return accounts


def _line(
    pool: Pool,
    keyring: Keyring,
    account: Account,
    guard: Guard,
    name: str,
    lanes: Sequence[int],
) -> _Line:
    pace = Pace(account.channel.limits.per_second)
    return _Line(
        Sender(pool, keyring, account, guard, pace, name, lanes),
        Courier(pool, keyring, account, pace),
        pace,
        account,
    )


async def _heartbeat(pool: Pool, name: str, lines: list[_Line]) -> None:
    while True:
        try:
            async with pool.acquire() as conn:
                alive = await workers.beat(conn, name, ROLE)
            for line in lines:
                line.pace.shared_by(alive)
        except db.AWAY as error:
            log.warning("no heartbeat", error=str(error))
        await asyncio.sleep(workers.EVERY)


async def _until(stopping: asyncio.Event, work: list[asyncio.Task[None]]) -> None:
    """Wait for the signal; a slot that fails takes the process down, to be started anew."""
    signalled = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({signalled, *work}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    for task in done - {signalled}:
        task.result()


async def _drain(lines: list[_Line], work: list[asyncio.Task[None]]) -> None:
    for line in lines:
        line.sender.drain()
        line.courier.drain()
    _, late = await asyncio.wait(work, timeout=DRAIN)
    for task in late:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
