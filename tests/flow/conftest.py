"""A small city with a running service, one for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from broadcaster.embedded import Postgres, Valkey
from tests.builders import Service, database_of, service

PEOPLE = 2_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def city(
    postgres: Postgres,
    valkey: Valkey,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Service]:
    name = f"flow_{request.module.__name__.rpartition('_')[2]}"
    async with (
        database_of(postgres, name) as url,
        service(url, valkey.url, tmp_path_factory.mktemp(name), people=PEOPLE) as running,
    ):
        yield running
