"""The console's routes, screen by screen."""

from __future__ import annotations

from aiohttp import web

from broadcaster.web.console import (
    account,
    archive,
    area,
    compose,
    dead_letters,
    duty,
    figures,
    followups,
    incidents,
    live,
    policy,
    providers,
    records,
    review,
    scenarios,
    session,
    templates,
    today,
    units,
    why,
)

_SCREENS = (
    session, account, records, today, units, archive, compose, area, figures, review, live,
    followups, dead_letters, why, incidents, duty, policy, providers, templates, scenarios,
)  # fmt: skip


def add_to(app: web.Application) -> None:
    """Add every screen of the console."""
    for screen in _SCREENS:
        app.add_routes(screen.routes)
