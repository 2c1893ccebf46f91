"""The way to PostgreSQL: one pool, one transaction helper, numbered migrations.

PostgreSQL is the truth of this service. A transaction is never held across a network call to
anything else: open one, write, leave.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import orjson

MIGRATIONS = Path(__file__).parent / "migrations"

Conn: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection that dies under a statement may raise too
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.TransactionRollbackError,
)
"""The database is away or busy with somebody else: nothing is wrong with the work, do it later."""


OLDEST = 18
"""The first PostgreSQL whose RETURNING gives old and new values, by which deliveries are moved."""


class MigrationError(RuntimeError):
    """The server is too old, or the migrations on disk and those applied are not one line."""


def too_old(major: int) -> str | None:
    """Say what to do about a server of this major version, None when it will do."""
    if major >= OLDEST:
        return None
    return (
        f"PostgreSQL {major} is too old: {OLDEST} or later is needed. Upgrade the server "
        "(pg_upgrade, or dump and restore), or name another in BROADCASTER_DATABASE_URL"
    )


async def _prepare(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    await conn.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
        format="binary",
    )


async def _as_it_is(_: object) -> None:
    """Take a connection back without asking the server to forget everything about its session.

    Nothing here leaves anything on one: settings are SET LOCAL, locks end with their transaction
    (or their holder closes the connection). An open transaction is rolled back all the same. The
    question would be one more round trip for every group of outcomes and every claim.
    """


async def connect(url: str, *, most: int = 10, application: str = "broadcaster") -> Pool:
    """Open a pool of at most `most` connections; raises what asyncpg raises when it cannot."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=most,
        init=_prepare,
        reset=_as_it_is,
        command_timeout=60,
        server_settings={"application_name": application, "timezone": "UTC"},
    )


def numbers(values: Iterable[int]) -> str:
    """Write an array of numbers as text, for `$1::text::bigint[]`.

    The driver asks of every element of a list whether it is itself an array: of a group of
    outcomes that was a tenth of all our work.
    """
    return "{" + ",".join(map(str, values)) + "}"


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Conn]:
    """Take a connection and hold one transaction on it for the length of the block."""
    async with pool.acquire() as conn, conn.transaction():
        yield conn


def _scripts() -> list[tuple[str, str]]:
    return [(path.stem, path.read_text("utf-8")) for path in sorted(MIGRATIONS.glob("*.sql"))]


async def migrate(url: str) -> list[str]:
    """Apply every migration the database lacks, in order; return the names applied.

    Raises MigrationError when an applied migration was edited or is missing on disk, or the
    server is too old; nothing is changed then.
    """
    conn = await asyncpg.connect(url)
    try:
        if problem := too_old(conn.get_server_version().major):
            raise MigrationError(problem)
        # Two programs may start at once: the second waits here and finds nothing left to do.
        await conn.execute("SELECT pg_advisory_lock(hashtext('broadcaster.migrate'))")
        await conn.execute(
            "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        seen = {row["name"]: row["sha256"] for row in await conn.fetch("SELECT * FROM migration")}
        applied = []
        for name, sql in _scripts():
            digest = hashlib.sha256(sql.encode()).hexdigest()
            if name in seen:
                if seen.pop(name) != digest:
                    raise MigrationError(f"{name} was changed after it was applied: add a new one")
                continue
            async with conn.transaction():
                await conn.execute(sql)
                await conn.execute(
                    "INSERT INTO migration (name, sha256) VALUES ($1, $2)", name, digest
                )
            applied.append(name)
        if seen:
            raise MigrationError(
                f"the database knows {', '.join(sorted(seen))}; this program does not"
            )
        return applied
    finally:
        await conn.close()
