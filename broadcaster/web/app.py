"""Builds the web application: keys, resources, middleware, routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from aiohttp import web

from broadcaster.db import Pool
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.people.selection import Selector
from broadcaster.settings import Settings
from broadcaster.web import assets_store, counting, health, metrics, middleware, render, security
from broadcaster.web.api import routes as api
from broadcaster.web.api.shape import shape
from broadcaster.web.assets_store import Assets
from broadcaster.web.citizen import routes as citizen
from broadcaster.web.console import routes as console
from broadcaster.web.feeds import routes as feeds
from broadcaster.web.geography import Geography
from broadcaster.web.keys import (
    ASSETS,
    CLOCK,
    DUTIES,
    GEOGRAPHY,
    KEYRING,
    LAB,
    NAV,
    POOL,
    SELECTOR,
    SETTINGS,
    WAKER,
)
from broadcaster.web.lab import routes as lab_pages

log = structlog.get_logger(__name__)

_MOST_BODY = 2 * 1024 * 1024


def _utc_now() -> datetime:
    return datetime.now(UTC)


@security.public
async def _asset(request: web.Request) -> web.StreamResponse:
    assets = request.app[ASSETS]
    asset = assets.find(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    fresh = request.match_info["digest"] == assets.digest
    return assets_store.respond(asset, request.headers.get("Accept-Encoding", ""), fresh)


@security.public
async def _front(request: web.Request) -> web.StreamResponse:
    raise web.HTTPSeeOther("/console")


def create_app(
    settings: Settings,
    pool: Pool,
    *,
    redis_url: str | None = None,
    lab: Path | None = None,
    clock: Callable[[], datetime] = _utc_now,
) -> web.Application:
    """Build the application; raises when a route declares no permission.

    Without a queue (`redis_url`) the workers find an approval by their own clock. `lab` is where
    the lab's carriers keep what they received.
    """
    app = web.Application(
        middlewares=[
            middleware.pack,
            middleware.speak,
            shape,
            middleware.explain,
            middleware.guard,
        ],
        client_max_size=_MOST_BODY,
    )
    app[SETTINGS] = settings
    app[POOL] = pool
    app[CLOCK] = clock
    app[LAB] = lab
    app[KEYRING] = Keyring(settings.secret_key or "", settings.old_secret_keys)
    app[NAV] = {}
    app[DUTIES] = {}
    app[counting.COUNTS] = counting.limit()
    app[WAKER] = Waker(redis_url)
    app[SELECTOR] = Selector(settings.data_dir / "index", pool)
    app[ASSETS] = Assets.load()
    app[GEOGRAPHY] = Geography(pool)
    app.cleanup_ctx.extend((_queue, _index))
    app.router.add_get(f"{assets_store.PREFIX}/{{digest:[0-9a-f]+}}/{{name:.+}}", _asset)
    app.router.add_get("/", _front)
    console.add_to(app)
    api.add_to(app)
    feeds.add_to(app)
    citizen.add_to(app)
    health.add_to(app)
    metrics.add_to(app)
    if lab is not None:
        lab_pages.add_to(app, lab)
    render.set_up(app)
    app.on_response_prepare.append(middleware.finish)
    forgotten = security.undeclared(app)
    if forgotten:
        raise RuntimeError(f"routes without a permission: {', '.join(forgotten)}")
    return app


async def _queue(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[WAKER].close()


async def _index(app: web.Application) -> AsyncIterator[None]:
    """Load the people index while the first requests come in; they wait where they need it."""
    loading = asyncio.create_task(_warm(app))
    yield
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    await app[SELECTOR].close()


async def _warm(app: web.Application) -> None:
    try:
        await app[SELECTOR].warm(app[CLOCK]())
    except Exception:
        # Whoever asks about an area gets the reason, or an answer when it has gone.
        log.exception("the people index is not loaded yet")
