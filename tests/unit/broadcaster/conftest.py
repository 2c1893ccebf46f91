"""A city with units, for the tests that need one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broadcaster.db import Conn, Pool
from broadcaster.keyring import Keyring
from broadcaster.people.units import UnitMap, load_map, seed_units
from tests.unit.broadcaster.city import NOW

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring("a secret of the tests, long enough for anybody")


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Conn]:
    async with pool.acquire() as taken:
        yield taken


@pytest.fixture
async def units(conn: Conn) -> UnitMap:
    """The city's units, with drawn outlines."""
    await seed_units(conn, NOW)
    return await load_map(conn)


@pytest.fixture(scope="session")
def boundaries() -> Path:
    shared = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("BOUNDARIES_DIR", shared)) / "hanoi"
    if not (folder / "hanoi_communes_2025.geojson").exists():
        pytest.skip("the real boundary files are not here")
    return folder
