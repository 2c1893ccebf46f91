"""Servers of our own, to be killed, and a city whose carriers take their time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from broadcaster.db import migrate
from broadcaster.embedded import Postgres, Valkey, fresh_data_dir, start_postgres, start_valkey
from tests.builders import Service, service

PEOPLE = 4_000
SLOW = {"push": 1500.0, "sms": 120.0, "email": 5.0}
"""Milliseconds a carrier takes: an alert to everybody is under way for some seconds."""


@dataclass
class Fragile:
    """A running service and the servers beneath it."""

    service: Service
    postgres: Postgres
    valkey: Valkey


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def fragile(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fragile]:
    with ExitStack() as stack:
        data_dir = stack.enter_context(fresh_data_dir())
        # As in production: what is committed survives a kill.
        postgres = start_postgres(data_dir)
        stack.callback(postgres.stop)
        valkey = start_valkey(data_dir)
        stack.callback(valkey.stop)
        await migrate(postgres.url)
        async with service(
            postgres.url,
            valkey.url,
            tmp_path_factory.mktemp("chaos"),
            people=PEOPLE,
            workers=("send", "send 2", "clock", "intake"),
        ) as running:
            for channel, delay in SLOW.items():
                await running.configure(channel, delay_ms=delay)
            yield Fragile(running, postgres, valkey)
