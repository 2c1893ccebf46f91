"""The schema and the program agree on every state, and the migrations form one line."""

from __future__ import annotations

from enum import StrEnum

import pytest

from broadcaster import db
from broadcaster.db import Pool
from broadcaster.states import (
    ALERT_MOVES,
    BATCH_MOVES,
    DELIVERY_MOVES,
    INCIDENT_MOVES,
    VERSION_MOVES,
    AlertState,
    BatchState,
    DeliveryState,
    IncidentState,
    VersionState,
)

ENUMS = {
    "alert_state": AlertState,
    "delivery_state": DeliveryState,
    "batch_state": BatchState,
    "incident_state": IncidentState,
    "version_state": VersionState,
}
MOVES = [
    (AlertState, ALERT_MOVES),
    (DeliveryState, DELIVERY_MOVES),
    (BatchState, BATCH_MOVES),
    (IncidentState, INCIDENT_MOVES),
    (VersionState, VERSION_MOVES),
]


async def test_every_state_in_the_schema_is_one_of_the_program_and_back(pool: Pool) -> None:
    rows = await pool.fetch(
        "SELECT t.typname AS name, array_agg(e.enumlabel::text) AS labels FROM pg_enum e"
        " JOIN pg_type t ON t.oid = e.enumtypid WHERE t.typname LIKE '%\\_state'"
        " AND t.typname <> 'endpoint_state' GROUP BY 1"
    )
    assert {row["name"]: set(row["labels"]) for row in rows} == {
        name: {state.value for state in enum} for name, enum in ENUMS.items()
    }


@pytest.mark.parametrize(("enum", "moves"), MOVES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_state_has_a_line_in_its_table_and_a_way_in(
    enum: type[StrEnum], moves: dict[StrEnum, frozenset[StrEnum]]
) -> None:
    assert set(moves) == set(enum)
    entered = frozenset().union(*moves.values())
    assert set(enum) - entered <= {next(iter(enum))}, "a state nothing leads to"


async def test_migrations_apply_in_one_line_and_only_once(empty_database: str) -> None:
    names = sorted(path.stem for path in db.MIGRATIONS.glob("*.sql"))
    assert [name.partition("_")[0] for name in names] == [
        f"{number:04}" for number in range(1, len(names) + 1)
    ]
    assert await db.migrate(empty_database) == names
    assert await db.migrate(empty_database) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("INSERT INTO migration (name, sha256) VALUES ('9999_later', '')", "9999_later"),
        ("UPDATE migration SET sha256 = 'x' WHERE name LIKE '0001%'", "0001"),
    ],
)
async def test_a_schema_of_another_program_stops_this_one(
    database: str, pool: Pool, change: str, named: str
) -> None:
    await pool.execute(change)
    with pytest.raises(db.MigrationError, match=named):
        await db.migrate(database)


def test_an_older_server_is_refused_with_what_to_do() -> None:
    assert db.too_old(18) is None
    assert db.too_old(19) is None
    told = db.too_old(17) or ""
    for part in ("PostgreSQL 17", "18 or later", "pg_upgrade", "BROADCASTER_DATABASE_URL"):
        assert part in told


async def test_migrate_refuses_an_older_server_and_changes_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "OLDEST", 99)
    with pytest.raises(db.MigrationError, match="99 or later"):
        await db.migrate(database)
