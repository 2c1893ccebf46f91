"""A small city with a running service, one for all modules that ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from broadcaster.fanout import channel_policy
from tests.builders import Service, database_of, now, service

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
        await _no_quiet_hours(running)
        yield running


async def _no_quiet_hours(city: Service) -> None:
    """Let information leave at once: these tests run by the wall's clock, at night too."""
    anna = await city.actor("anna")
    async with city.pool.acquire() as conn:
        before = await channel_policy.in_force(conn, "information")
        awake = before.policy.model_copy(update={"quiet_hours": None})
        await channel_policy.save(conn, anna, now(), "information", before.version, awake)
