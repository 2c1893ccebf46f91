"""A city with units, for the tests that need one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from broadcaster.db import Conn, Pool
from broadcaster.keyring import Keyring
from broadcaster.people import officials
from broadcaster.people.officials import Role
from broadcaster.people.units import UnitMap, load_map
from broadcaster.settings import Settings
from tests.conftest import CITY_TEMPLATE
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import BA_DINH, NGOC_HA, official, unit_id
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.site import Site

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Accounts of the tests are made by the hundred, so their hashes are cheap.

    Verifying reads the cost from the hash; test_people_signin measures the real one.
    """
    with pytest.MonkeyPatch.context() as patch:
        cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(officials, "HASHER", cheap)
        yield


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring("a secret of the tests, long enough for anybody")


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Conn]:
    async with pool.acquire() as taken:
        yield taken


@pytest.fixture
def template() -> str:
    """Most of these tests need the city's units: drawing them takes longer than the test."""
    return CITY_TEMPLATE


@pytest.fixture
async def units(conn: Conn) -> UnitMap:
    """The city's units, with drawn outlines."""
    return await load_map(conn)


@pytest.fixture(scope="session")
def boundaries() -> Path:
    shared = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("BOUNDARIES_DIR", shared)) / "hanoi"
    if not (folder / "hanoi_communes_2025.geojson").exists():
        pytest.skip("the real boundary files are not here")
    return folder


@pytest.fixture
async def city(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with site.running(settings, pool) as running:
        async with pool.acquire() as conn:
            ward = await unit_id(conn, BA_DINH)
            await official(conn, "lan", Role("author", ward), Role("staff", ward))
            other = await unit_id(conn, NGOC_HA)
            await official(conn, "long", Role("author", other), Role("approver", other))
        yield running


@pytest.fixture
async def author(city: Site) -> AsyncIterator[Desk]:
    async with Seat(city, "ha") as desk:
        yield await desk


@pytest.fixture
async def approver(city: Site) -> AsyncIterator[Desk]:
    async with Seat(city, "tuan") as desk:
        yield await desk
