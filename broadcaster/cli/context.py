"""What a command needs: settings, servers, a pool; and how it speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from broadcaster import db, embedded
from broadcaster.db import Pool
from broadcaster.keyring import Keyring
from broadcaster.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """An open database for the length of one command."""

    settings: Settings
    pool: Pool
    keyring: Keyring
    database_url: str
    redis_url: str


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Context]:
    """Servers found or started, migrated where they are our own, and a pool."""
    async with embedded.servers(settings) as found:
        if settings.database_url is None:
            await db.migrate(found.database_url)
        pool = await db.connect(found.database_url, application="command")
        try:
            keyring = Keyring(settings.secret_key or "", settings.old_secret_keys)
            yield Context(settings, pool, keyring, found.database_url, found.redis_url)
        finally:
            await pool.close()
