"""The console's routes, screen by screen."""

from __future__ import annotations

from aiohttp import web

from broadcaster.web.console import session


def add_to(app: web.Application) -> None:
    """Add every screen of the console."""
    for screen in (session,):
        app.add_routes(screen.routes)
