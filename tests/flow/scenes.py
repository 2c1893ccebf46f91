"""What the flow tests say again and again: a warning for a ward, for the city, for later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from typing import Any

from broadcaster.alerts.content import Content
from tests.builders import CHANNELS, LAB_FILES, Service, area_of, now, unit_of, warning

WARD = "00091"
_TABLES = {"push": "message", "sms": "part", "email": "mail"}


async def ward(city: Service, where: str, **changes: Any) -> Content:
    async with city.pool.acquire() as conn:
        return warning(await area_of(conn, WARD), where, **changes)


async def everywhere(city: Service, where: str, **changes: Any) -> Content:
    async with city.pool.acquire() as conn:
        return warning(await area_of(conn, "01"), where, **changes)


async def for_later(city: Service, where: str) -> Content:
    return await ward(city, where, scheduled_for=(now() + timedelta(hours=2)).isoformat())


async def of_ward(city: Service) -> int:
    async with city.pool.acquire() as conn:
        return await unit_of(conn, WARD)


def last_taken(city: Service) -> dict[str, int]:
    """Return the number of the last message that each carrier took, so that later ones are told."""
    found = {}
    for channel in CHANNELS:
        with closing(LAB_FILES[channel](city.lab.directory)) as conn:
            row = conn.execute(f"SELECT coalesce(max(id), 0) FROM {_TABLES[channel]}").fetchone()
            found[channel] = int(row[0])
    return found


@asynccontextmanager
async def slow_carriers(city: Service, delays: Mapping[str, float]) -> AsyncIterator[None]:
    """Let each channel's carrier take so many milliseconds for a message."""
    for channel, delay in delays.items():
        await city.configure(channel, delay_ms=delay)
    try:
        yield
    finally:
        for channel in delays:
            await city.configure(channel, delay_ms=0)
