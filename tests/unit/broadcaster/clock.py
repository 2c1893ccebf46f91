"""A database whose clock a test can set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

from broadcaster import db
from broadcaster.db import Pool

_SETTABLE = """
CREATE SCHEMA clock;
CREATE TABLE clock.ahead (by interval);
INSERT INTO clock.ahead VALUES ('0');
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE AS
    'SELECT pg_catalog.now() + by FROM clock.ahead';
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
    'SELECT pg_catalog.clock_timestamp() + by FROM clock.ahead';
"""


@asynccontextmanager
async def settable(database: str) -> AsyncIterator[Pool]:
    """Open a pool whose statements go by the clock that `set_ahead` sets."""
    name = urlsplit(database).path.removeprefix("/")
    path = f"ALTER DATABASE {name} SET search_path = clock, public, pg_catalog"
    plain = await db.connect(database, most=1)
    await plain.execute(_SETTABLE + path)
    await plain.close()
    opened = await db.connect(database)
    yield opened
    await opened.close()


async def set_ahead(pool: Pool, by: timedelta) -> None:
    """Set the database's clock so far ahead of the machine's."""
    await pool.execute("UPDATE clock.ahead SET by = $1", by)
