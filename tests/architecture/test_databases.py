"""A test finds its database as the template is, whatever the test before did to its own."""

from __future__ import annotations

import asyncpg
import pytest

from tests.conftest import CITY_TEMPLATE, TEMPLATE, Servers
from tests.databases import Databases, in_database

TABLES = """
SELECT c.relname, c.relpages, c.reltuples FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname
"""
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
PERSON = "INSERT INTO person (created_at) SELECT now() FROM generate_series(1, 100)"
DONE = {
    "nothing": "SELECT 1",
    "rows": f"{PERSON}; UPDATE unit SET population = 1; DELETE FROM unit_group_member",
    "many rows": PERSON.replace("100", "6000"),
    "emptied": f"{PERSON}; TRUNCATE person RESTART IDENTITY CASCADE",
    "rolled back": f"BEGIN; {PERSON}; ROLLBACK",
    "a number drawn": "SELECT nextval('person_person_id_seq')",
    "a guard is off": "ALTER TABLE audit DISABLE TRIGGER USER",
    "a table more": "CREATE TABLE one_more (number int)",
}


async def look(url: str) -> list[object]:
    """What is in each table, in order, and what the planner and the sequences know."""
    conn = await asyncpg.connect(url)
    tables = [tuple(row) for row in await conn.fetch(TABLES)]
    content = [
        (name, [tuple(row) for row in await conn.fetch(f"SELECT * FROM {name}")])
        for name, *_ in tables
        if name != "migration"
    ]
    guards = await conn.fetchval("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'D'")
    found = [tables, content, guards, [tuple(row) for row in await conn.fetch(SEQUENCES)]]
    await conn.close()
    return found


@pytest.mark.parametrize("template", [TEMPLATE, CITY_TEMPLATE])
async def test_every_database_is_as_the_template(
    servers: Servers, databases: Databases, template: str
) -> None:
    first = await databases.take(template)
    clean, names = await look(in_database(servers.postgres, first)), {first}
    databases.give_back(template, first)
    for done, statement in DONE.items():
        url = in_database(servers.postgres, used := await databases.take(template))
        conn = await asyncpg.connect(url)  # and left open, as by a worker that nobody ended
        await conn.execute(statement)
        names.add(used)
        databases.give_back(template, used)
        after = await databases.take(template)
        assert await look(in_database(servers.postgres, after)) == clean, done
        assert after not in names
        databases.give_back(template, after)
        conn.terminate()
