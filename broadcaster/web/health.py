"""Whether this process lives, and whether it can serve."""

from __future__ import annotations

import asyncio

import asyncpg
from aiohttp import web

from broadcaster.web.keys import POOL
from broadcaster.web.security import program

routes = web.RouteTableDef()
_PATIENCE = 2.0


def add_to(app: web.Application) -> None:
    """Add the two addresses."""
    app.add_routes(routes)


@routes.get("/healthz")
@program
async def alive(request: web.Request) -> web.StreamResponse:
    """Say that this process answers; touches nothing else."""
    return web.json_response({"status": "alive"}, headers={"Cache-Control": "no-store"})


@routes.get("/readyz")
@program
async def ready(request: web.Request) -> web.StreamResponse:
    """Say whether this process can serve: it needs the database, and nothing else."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await request.app[POOL].fetchval("SELECT 1 FROM migration LIMIT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        answer, status = {"status": "waiting", "database": "away"}, 503
    else:
        answer, status = {"status": "ready", "database": "ok"}, 200
    return web.json_response(answer, status=status, headers={"Cache-Control": "no-store"})
