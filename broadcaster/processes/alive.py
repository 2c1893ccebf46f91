"""A sign of life of a process that sends nothing: how operators see that it is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import structlog

from broadcaster import db
from broadcaster.db import Pool
from broadcaster.fanout import workers

log = structlog.get_logger(__name__)


async def beat(pool: Pool, role: str) -> None:
    """Say every second that a process of this role lives, until cancelled; then take leave."""
    # One process may have several roles, and each is a worker of its own.
    name = f"{socket.gethostname()}:{os.getpid()}:{role}"
    try:
        while True:
            try:
                async with pool.acquire() as conn:
                    await workers.beat(conn, name, role)
            except db.AWAY as error:
                log.warning("no heartbeat", role=role, error=str(error))
            await asyncio.sleep(workers.EVERY)
    finally:
        with contextlib.suppress(*db.AWAY):
            async with pool.acquire() as conn:
                await workers.leave(conn, name)
