"""Serves the application on its address until it is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from aiohttp import web

from broadcaster.db import Pool
from broadcaster.settings import Settings
from broadcaster.web.app import create_app
from broadcaster.web.settling import settle

log = structlog.get_logger(__name__)

_CLOSING = 5.0
"""Seconds open requests get to finish."""


async def serve(
    settings: Settings, pool: Pool, redis_url: str, lab: Path | None, stopping: asyncio.Event
) -> None:
    """Serve until `stopping` is set; raises OSError when the address is taken."""
    app = create_app(settings, pool, redis_url=redis_url, lab=lab)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING)
    await runner.setup()
    settling = asyncio.create_task(settle(app))
    try:
        await web.TCPSite(runner, settings.http_host, settings.http_port).start()
        log.info("web ready", address=settings.public_url)
        await stopping.wait()
    finally:
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)
        await runner.cleanup()
