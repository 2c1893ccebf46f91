"""A small city with a running service, one for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.builders import Service, database_of, service

if TYPE_CHECKING:
    from tests.conftest import Servers

PEOPLE = 2_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def city(
    servers: Servers,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Service]:
    name = f"flow_{request.module.__name__.rpartition('_')[2]}"
    async with (
        database_of(servers.postgres, name) as url,
        service(url, servers.valkey, tmp_path_factory.mktemp(name), people=PEOPLE) as running,
    ):
        yield running
