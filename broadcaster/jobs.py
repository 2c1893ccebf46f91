"""Wake-ups and clockwork: the only file that knows arq.

arq carries the name of a stage and nothing else. What has to be done stands in PostgreSQL, and
every stage is also run by the clock, so a lost wake-up costs a second. When Valkey goes away
arq's worker ends; it is started again for as long as this process lives.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from arq import func
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker
from redis.exceptions import RedisError

from broadcaster.db import AWAY

log = structlog.get_logger(__name__)

SEND_QUEUE = "broadcaster:send"
CLOCK_QUEUE = "broadcaster:clock"
_RESTART = 1.0
_PATIENCE = 0.3
"""Seconds a wake-up may take; it is worth no more than the second it saves."""

_MOST_PAUSE = 30.0

Stage = Callable[[datetime], Awaitable[int | None]]


class Waker:
    """Wakes a stage in another process. Never raises: the clock comes round anyway."""

    def __init__(self, redis_url: str | None) -> None:
        """Without an address every wake-up is left to the clock."""
        self._settings = _settings(redis_url) if redis_url else None
        self._redis: ArqRedis | None = None
        self._left: set[asyncio.Task[None]] = set()

    async def wake(self, stage: str, queue: str = CLOCK_QUEUE) -> bool:
        """Ask for a run of a stage now; False when the queue is away."""
        if self._settings is None:
            return False
        asking = asyncio.create_task(self._ask(self._settings, stage, queue))
        try:
            # Cancelled, the driver still speaks to a server that is frozen before it gives up: it
            # is not waited for.
            done, _ = await asyncio.wait({asking}, timeout=_PATIENCE)
            if not done:
                raise TimeoutError
            await asking
        except (OSError, RedisError) as error:
            log.warning("no wake-up", stage=stage, error=str(error) or type(error).__name__)
            return False
        finally:
            if not asking.done():
                self._leave(asking)
        return True

    async def _ask(self, settings: RedisSettings, stage: str, queue: str) -> None:
        if self._redis is None:
            self._redis = await create_pool(settings)
        # One job id a stage: ten wake-ups in a row are one run, and the run that is under
        # way does not swallow the next, because results are not kept.
        await self._redis.enqueue_job("wake", stage, _job_id=f"wake:{stage}", _queue_name=queue)

    def _leave(self, asking: asyncio.Task[None]) -> None:
        """Give up a question, and the connections: the next wake-up opens others."""
        asking.cancel()
        redis, self._redis = self._redis, None
        tasks = [asking]
        if redis is not None:
            tasks.append(asyncio.create_task(redis.connection_pool.disconnect()))
        for task in tasks:
            self._left.add(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else asks how it ended

    async def close(self) -> None:
        """Close the connection."""
        for task in tuple(self._left):
            task.cancel()
        if self._redis is not None:
            await self._redis.aclose()


def _settings(redis_url: str) -> RedisSettings:
    settings = RedisSettings.from_dsn(redis_url)
    settings.conn_retries = 0
    return settings


async def listen(redis_url: str, queue: str, woken: Callable[[str], None]) -> None:
    """Take wake-ups from a queue for ever, whatever becomes of Valkey; `woken` gets the stage."""

    async def wake(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        woken(*args)

    while True:
        worker = Worker(
            [func(wake, name="wake", keep_result=0, timeout=10)],
            queue_name=queue,
            redis_settings=_settings(redis_url),
            handle_signals=False,
            poll_delay=0.05,
            keep_result=0,
            max_tries=1,
            log_results=False,
        )
        try:
            await worker.async_run()
        except (OSError, RedisError, asyncio.CancelledError) as error:
            # arq cancels its own main task when it loses Redis; that is not our cancellation.
            if isinstance(error, asyncio.CancelledError) and _cancelling():
                raise
            log.warning("queue lost", queue=queue, error=str(error) or type(error).__name__)
        finally:
            await _close(worker)
        await asyncio.sleep(_RESTART)


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _close(worker: Worker) -> None:
    try:
        async with asyncio.timeout(_RESTART):
            await worker.close()
    except (OSError, RedisError, AttributeError, asyncio.CancelledError) as error:
        # arq cancels the jobs under way and waits for them: their cancellation is not ours.
        if isinstance(error, asyncio.CancelledError) and _cancelling():
            raise
        log.debug("queue not closed", error=str(error) or type(error).__name__)


class Clockwork:
    """Runs stages when woken and by the clock, one run of a stage at a time in this process."""

    def __init__(self, stages: Mapping[str, tuple[Stage, float]]) -> None:
        """Take each stage with the most seconds between two of its runs."""
        self._stages = stages
        self._woken = {name: asyncio.Event() for name in stages}

    def wake(self, stage: str) -> None:
        """Run a stage as soon as it is free; unknown names come from older programs."""
        if stage in self._woken:
            self._woken[stage].set()

    async def run(self) -> None:
        """Run every stage for ever."""
        await asyncio.gather(*(self._loop(name) for name in self._stages))

    async def _loop(self, name: str) -> None:
        stage, every = self._stages[name]
        pause = 0.0
        while True:
            self._woken[name].clear()
            try:
                await stage(datetime.now(UTC))
            except AWAY as error:
                log.warning("stage waits for the database", stage=name, error=str(error))
                await asyncio.sleep(0.2)
            except Exception:
                # A stage that fails must stop neither the others nor itself for good, and must
                # not fill the disk with its complaint either.
                pause = min(2 * pause or every, _MOST_PAUSE)
                log.exception("stage failed", stage=name, next_run_in=pause)
            else:
                pause = 0.0
            # Not wait_for(): before Python 3.12 it loses a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause or every):
                    await self._woken[name].wait()
