"""A city with units, for the tests that need one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import jinja2
import pytest
from argon2 import PasswordHasher
from asyncpg.connection import Connection
from jinja2.bccache import Bucket

from broadcaster.db import Conn, Pool
from broadcaster.fanout.sending import read_delivery_token
from broadcaster.incidents.intake import Intake
from broadcaster.incidents.places import Gazetteer
from broadcaster.keyring import Keyring
from broadcaster.people import endpoints, officials
from broadcaster.people.officials import Role
from broadcaster.people.register import register
from broadcaster.people.units import UnitMap, load_map
from broadcaster.settings import Settings
from broadcaster.web.assets_store import Assets
from tests.conftest import CITY_TEMPLATE
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import (
    BA_DINH,
    NGOC_HA,
    NOW,
    alert,
    delivered,
    endpoint_of,
    official,
    registration,
    unit_id,
)
from tests.unit.broadcaster.desk import Desk, Seat
from tests.unit.broadcaster.hearing import MAIL, PHONE, Bounces
from tests.unit.broadcaster.pushing import Lab, forget, lab
from tests.unit.broadcaster.site import Site
from tests.unit.channels.push.lab import free_port

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


class Compiled(jinja2.BytecodeCache):
    """The pages' code as the first application of this process compiled it."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if kept := self._kept.get(bucket.key + bucket.checksum):
            bucket.bytecode_from_string(kept)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key + bucket.checksum] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def compiled_pages() -> Iterator[None]:
    """Applications are built by the hundred; compiling their pages takes a second each.

    Reading their files takes a third of the rest.
    """
    with pytest.MonkeyPatch.context() as patch:
        set_up = partial(aiohttp_jinja2.setup, bytecode_cache=Compiled())
        patch.setattr(aiohttp_jinja2, "setup", set_up)
        patch.setattr(Assets, "load", cache(Assets.load))
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


@pytest.fixture(scope="session")
def one_fcm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("fcm"), free_port()) as running:
        yield running


@pytest.fixture
def fcm(one_fcm: Lab) -> Iterator[Lab]:
    """Where the lab FCM keeps what it received, and its port."""
    yield one_fcm
    forget(one_fcm)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the questions asked from now on."""
    questions: list[str] = []
    execute = Connection._do_execute  # type: ignore[attr-defined]

    async def noted(connection: Any, query: str, *arguments: Any, **options: Any) -> Any:
        questions.append(query)
        return await execute(connection, query, *arguments, **options)

    monkeypatch.setattr(Connection, "_do_execute", noted)
    return questions


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


@pytest.fixture
def bounces() -> Bounces:
    return Bounces()


@pytest.fixture
def intake(keyring: Keyring, units: UnitMap, bounces: Bounces) -> Intake:
    return Intake(keyring, Gazetteer(units), "hn.example", read_delivery_token, bounces)


@pytest.fixture
async def resident(conn: Conn, keyring: Keyring, units: UnitMap) -> int:
    """Somebody at home in Ba Đình, reached by SMS, mail and push."""
    told = registration(("sms", PHONE), ("email", MAIL), ("push", "fid:" + "a" * 22))
    await register(conn, keyring, units, NOW, told)
    person = int(await conn.fetchval("SELECT person_id FROM person"))
    ids = [r["endpoint_id"] for r in await conn.fetch("SELECT endpoint_id FROM endpoint")]
    await endpoints.link(conn, NOW, [(person, endpoint) for endpoint in ids])
    for endpoint in ids:
        await endpoints.activate(conn, endpoint)
    await conn.execute("DELETE FROM direct_message")
    return person


@pytest.fixture
async def sent(conn: Conn, keyring: Keyring, resident: int) -> int:
    """The alert that was last sent to the resident's phone and mailbox, after an older one."""
    author, ward = await official(conn, "lan"), await unit_id(conn, BA_DINH)
    for number, hours in ((1, 5), (2, 1)):
        made = await alert(
            conn, author, ward, code=f"HN-{number}", first_handoff_at=NOW - timedelta(hours=hours)
        )
        for channel, address in (("sms", PHONE), ("email", MAIL)):
            await delivered(conn, made, await endpoint_of(conn, keyring, channel, address), channel)
    return made
