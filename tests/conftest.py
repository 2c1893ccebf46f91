"""Real servers for every test: one PostgreSQL and one Valkey a run, a clean database a test.

A test that kills or stops a server starts its own with `data_dir` and start_postgres() or
start_valkey(), so that it disturbs nobody.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import itertools
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis.asyncio
import structlog

from broadcaster import db
from broadcaster.embedded import (
    fresh_data_dir,
    start_postgres,
    start_valkey,
)
from broadcaster.people.units import seed_units
from broadcaster.settings import Settings
from tests.databases import Databases, execute, in_database

TEMPLATE, CITY_TEMPLATE = "template_migrated", "template_city"
# What a test writes need not survive the machine; the servers themselves are the real ones.
TEST_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "autovacuum_naptime": "1h",
    "max_wal_size": "256MB",
    "min_wal_size": "64MB",
}
MEMORY, ROOM = Path("/dev/shm"), 2 << 30
"""A file system in memory, and the free bytes there that the servers' files ask for: they take a
few hundred megabytes."""
LOCK = "run.lock"
"""Held for as long as a run uses its folder."""
SECRET_KEY = "only-for-tests-" + "0123456789abcdef" * 2

# Enough examples to find what is often wrong; make test-long looks for the rest.
hypothesis.settings.register_profile("quick", max_examples=20, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
_names = (f"test_{WORKER}_{number}" for number in itertools.count(1))


def _stay_home(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse every connection from this process that leaves the machine."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
    elif event == "socket.getaddrinfo" and arguments[0]:
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0])
    else:
        return
    if host in {"localhost", socket.gethostname()}:
        return
    try:
        home = ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        home = None
    if home is None or not (home.is_loopback or home.is_unspecified):
        raise PermissionError(f"tests talk to this machine only, not to {host}")


sys.addaudithook(_stay_home)


@dataclass(frozen=True)
class Servers:
    """The addresses of the run's own servers."""

    postgres: str
    valkey: str


def _quick_place() -> Path | None:
    """Memory where there is room for the servers' files, otherwise the temporary folder.

    Before ext4 makes a file it looks at every one deleted in the last minutes. A database copied
    and dropped, 700 files, costs a quarter of a second there, in memory 20 ms.
    """
    if not os.access(MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        return None
    return MEMORY


@contextmanager
def _servers_dir() -> Iterator[Path]:
    """Give the servers' folder, and remove those of runs that were killed: memory is dear."""
    place = _quick_place()
    for left in place.glob(f"broadcaster-*/{LOCK}") if place else ():
        with suppress(OSError), left.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
    with fresh_data_dir(place) as folder, (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@contextmanager
def _servers() -> Iterator[Servers]:
    """Start one PostgreSQL with its templates, and one Valkey."""
    with ExitStack() as stack:
        folder = stack.enter_context(_servers_dir())
        postgres = start_postgres(folder, options=TEST_OPTIONS)
        stack.callback(postgres.stop)
        valkey = start_valkey(folder)
        stack.callback(valkey.stop)
        asyncio.run(_make_templates(postgres.url))
        yield Servers(postgres.url, valkey.url)


_OF_THE_RUN = pytest.StashKey[ExitStack]()
_ADDRESSES = pytest.StashKey[Servers]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Let all processes of a parallel run share one pair of servers, held by the first."""
    stash = node.config.stash
    if _OF_THE_RUN not in stash:
        stash[_OF_THE_RUN] = ExitStack()
        stash[_ADDRESSES] = stash[_OF_THE_RUN].enter_context(_servers())
    node.workerinput["servers"] = astuple(stash[_ADDRESSES])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what a parallel run shared."""
    if _OF_THE_RUN in config.stash:
        config.stash[_OF_THE_RUN].close()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The run's servers: shared by a parallel run, otherwise this process's own."""
    shared = getattr(request.config, "workerinput", {}).get("servers")
    if shared:
        yield Servers(*shared)
        return
    with _servers() as started:
        yield started


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A command run by one test must not leave its log, on a file that is closed, to the next."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Databases:
    """The databases of this process."""
    return Databases(servers.postgres, _names)


@pytest.fixture
def template() -> str:
    """The template a test's own database is as; a package may choose CITY_TEMPLATE instead."""
    return TEMPLATE


@pytest.fixture
async def database(servers: Servers, databases: Databases, template: str) -> AsyncIterator[str]:
    """The address of a migrated database for one test."""
    name = await databases.take(template)
    yield in_database(servers.postgres, name)
    databases.give_back(template, name)


@pytest.fixture
async def empty_database(servers: Servers) -> AsyncIterator[str]:
    """The address of a database no migration has seen."""
    name = next(_names)
    await execute(servers.postgres, f"CREATE DATABASE {name}")
    yield in_database(servers.postgres, name)
    await execute(servers.postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[db.Pool]:
    """A pool on the test's own database."""
    opened = await db.connect(database)
    yield opened
    await opened.close()


@pytest.fixture
async def redis_url(servers: Servers) -> str:
    """The address of an empty database of Valkey, another one for each process of the run."""
    url = f"{servers.valkey}?db={int(WORKER.removeprefix('gw') or 0)}"
    client = redis.asyncio.from_url(url)
    await client.flushdb()
    await client.aclose()
    return url


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder for one test, which embedded servers can use under root as well."""
    with fresh_data_dir() as path:
        yield path


@pytest.fixture
def lab_dir(tmp_path: Path) -> Path:
    """A folder for what the lab carriers of one test keep."""
    path = tmp_path / "lab"
    path.mkdir()
    return path


@pytest.fixture
def settings(database: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings on the test's own database and the run's Valkey."""
    return Settings(
        database_url=database, redis_url=redis_url, secret_key=SECRET_KEY, data_dir=tmp_path
    )


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Give a port of 127.0.0.1 nobody listens on, another one at every call."""
    given: set[int] = set()

    def find() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in given:
                given.add(port)
                return port

    return find


async def _make_templates(url: str) -> None:
    await execute(url, f"CREATE DATABASE {TEMPLATE}")
    await db.migrate(in_database(url, TEMPLATE))
    await execute(url, f"CREATE DATABASE {CITY_TEMPLATE} TEMPLATE {TEMPLATE}")
    pool = await db.connect(in_database(url, CITY_TEMPLATE), most=1)
    async with pool.acquire() as conn:
        await seed_units(conn, datetime(2026, 1, 1, tzinfo=UTC))
    await pool.close()
