"""An alert that was sent to one resident with a number, and who asks about it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from broadcaster.alerts.draft import Alert
from broadcaster.db import Pool
from broadcaster.fanout import stages
from broadcaster.people import endpoints
from broadcaster.people.endpoints import Address
from broadcaster.settings import Settings
from tests.unit.broadcaster import site
from tests.unit.broadcaster.city import PASSWORD
from tests.unit.broadcaster.desk import Desk
from tests.unit.broadcaster.site import NOW, Site

TYPED = "0912 345 678"


async def _nothing() -> None:
    return None


@pytest.fixture
async def city(settings: Settings, pool: Pool) -> AsyncIterator[Site]:
    async with site.running(settings, pool) as running:
        yield running


@pytest.fixture
async def alert(city: Site) -> Alert:
    """Sent to Ba Đình, where one resident has a number."""
    async with city.pool.acquire() as conn:
        number = Address("sms", "+84912345678")
        known = await endpoints.ensure_active(conn, city.keyring, NOW, [number])
        await endpoints.link(conn, NOW, [(1, known[number])])
        made = await site.approved(city, conn)
    await stages.start(city.pool, city.now, city.selector, _nothing)
    return made


async def signed_in(city: Site, login: str) -> Desk:
    desk = Desk(city.client)
    assert (await desk.sign_in(login, PASSWORD)).status == 303
    return desk
