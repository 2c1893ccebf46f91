"""A small city with a running service, one for all modules that ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.builders import Service, database_of, service

if TYPE_CHECKING:
    from tests.conftest import Servers

PEOPLE = 2_000


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def city(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Alerts of other tests are there too: a test tells its own by their words."""
    async with (
        database_of(servers.postgres, "flow_city") as url,
        service(url, servers.valkey, tmp_path_factory.mktemp("city"), people=PEOPLE) as running,
    ):
        yield running
