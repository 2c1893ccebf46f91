"""What the flow tests say again and again: a warning for a ward, for the city, for later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from broadcaster.alerts.content import Content
from tests.builders import Service, area_of, now, unit_of, warning

WARD = "00091"


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
