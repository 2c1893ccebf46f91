"""A clean database for each test: the one used before, with what was written taken out again.

A copy of the template is 700 files: 30 ms of a core in memory, a quarter of a second on a disk.
PostgreSQL counts what is written to each table, so only that is emptied and, where the template
has rows, filled again. Whoever changed the schema, or wrote much, is followed by a new copy.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from broadcaster.db import Conn

MUCH = 5_000
"""Rows written, beyond which a new copy is cheaper than deleting them."""
_WRITTEN = """
SELECT format('%I', relname) AS name, relnamespace = 'public'::regnamespace AS ours, rows
FROM pg_class, LATERAL (SELECT pg_stat_get_tuples_inserted(oid) + pg_stat_get_tuples_updated(oid)
                               + pg_stat_get_tuples_deleted(oid)) AS written(rows)
WHERE relkind = 'r' AND NOT relisshared AND rows > 0
"""
_DRAWN = "SELECT oid FROM pg_class WHERE relkind = 'S' AND pg_stat_get_blocks_fetched(oid) > 0"
_SET = """
SELECT EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
               WHERE d.datname = current_database())
"""
_TABLES = """
SELECT format('%I', relname) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
_SEQUENCES = """
SELECT format('%I.%I', schemaname, sequencename)::regclass::oid AS oid,
       format('SELECT setval(%L, %s, %L)', format('%I.%I', schemaname, sequencename),
              coalesce(last_value, start_value), last_value IS NOT NULL) AS back
FROM pg_sequences
"""
# As in a copy: what the planner knows of a table is nothing, not that it is empty.
_UNKNOWN = (
    "UPDATE pg_class SET relpages = 0, reltuples = -1, relallvisible = 0, relallfrozen = 0"
    " WHERE relnamespace = 'public'::regnamespace AND format('%I', relname) = ANY($1)"
)


def in_database(url: str, name: str) -> str:
    """Give the address of another database on the same server."""
    server, options = url.split("?", 1)
    return f"{server.rsplit('/', 1)[0]}/{name}?{options}"


async def execute(url: str, statement: str) -> None:
    """Run one statement on a connection of its own."""
    async with _connected(url) as conn:
        await conn.execute(statement)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Conn]:
    conn = await asyncpg.connect(url)
    try:
        yield conn
    finally:
        await conn.close()


@dataclass(frozen=True)
class _Origin:
    """What a copy of a template begins with."""

    rows: dict[str, bytes]
    """Of each table that has any, as COPY writes them."""
    sequences: dict[int, str]
    """The statement that sets each of them back."""

    @classmethod
    async def read(cls, conn: Conn) -> _Origin:
        rows = {}
        for (name,) in await conn.fetch(_TABLES):
            if await conn.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):
                copied = io.BytesIO()
                await conn.copy_from_table(name, output=copied, format="binary")
                rows[name] = copied.getvalue()
        return cls(rows, {row["oid"]: row["back"] for row in await conn.fetch(_SEQUENCES)})

    async def restore(self, conn: Conn) -> bool:
        """Take out what was written; False where a new copy is the better way."""
        written = await conn.fetch(_WRITTEN)
        names = [row["name"] for row in written]
        if not all(row["ours"] and row["rows"] < MUCH for row in written):
            return False
        if await conn.fetchval(_SET):
            return False
        for row in await conn.fetch(_DRAWN):
            await conn.execute(self.sequences[row["oid"]])
        if names:
            # Neither a guard of the records nor a foreign key has a say here.
            await conn.execute("SET session_replication_role = replica")
            await conn.execute(";".join(f"DELETE FROM {name}" for name in names))
            vacuum = "VACUUM (INDEX_CLEANUP ON, SKIP_DATABASE_STATS)"
            await conn.execute(f"{vacuum} {', '.join(names)}")
            for name in names:
                if rows := self.rows.get(name):
                    source = io.BytesIO(rows)
                    await conn.copy_to_table(name, source=source, format="binary")
            await conn.execute(_UNKNOWN, names)
        # What is written from here on is the next test's.
        await conn.execute("SELECT pg_stat_force_next_flush()")
        await conn.execute("SELECT pg_stat_reset()")
        return True


class Databases:
    """The databases of this process: at most one of each template waits for the next test."""

    def __init__(self, server: str, names: Iterator[str]) -> None:
        self._server, self._names = server, names
        self._used: dict[str, str] = {}
        self._origins: dict[str, _Origin] = {}

    async def take(self, template: str) -> str:
        """Give the name of a database as the template is; nobody had it before by that name."""
        name, used = next(self._names), self._used.pop(template, None)
        if used and await self._cleaned(template, used, name):
            return name
        for gone in (used, name) if used else ():
            await execute(self._server, f"DROP DATABASE IF EXISTS {gone} WITH (FORCE)")
        await execute(
            self._server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
        )
        if template not in self._origins:
            async with _connected(in_database(self._server, name)) as conn:
                self._origins[template] = await _Origin.read(conn)
        return name

    def give_back(self, template: str, name: str) -> None:
        """Keep what a test had for the next."""
        self._used[template] = name

    async def _cleaned(self, template: str, used: str, name: str) -> bool:
        try:
            async with _connected(self._server) as conn:
                # Whoever is left of the last test; what they wrote is counted when they are gone.
                await conn.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    f" WHERE datname = '{used}'"
                )
                await conn.execute(f"ALTER DATABASE {used} RENAME TO {name}")
            async with _connected(in_database(self._server, name)) as conn:
                return await self._origins[template].restore(conn)
        except asyncpg.PostgresError:
            return False  # dropped, renamed, closed or still in use: a new copy does
