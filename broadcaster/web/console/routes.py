"""The console's routes, screen by screen."""

from __future__ import annotations

from aiohttp import web

from broadcaster.web.console import (
    account,
    approval_rules,
    archive,
    area,
    audit_trail,
    beginning,
    compose,
    dead_letters,
    duty,
    exercise,
    exercise_report,
    export,
    figures,
    followups,
    incidents,
    live,
    officials,
    people,
    policy,
    providers,
    records,
    review,
    scenarios,
    session,
    stream,
    templates,
    today,
    together,
    units,
    watching,
    why,
)

_SCREENS = (
    session, account, approval_rules, records, today, units, archive, beginning, compose,
    together, area, figures,
    review, live, stream, export, followups, dead_letters, why, incidents, duty, policy, providers,
    templates, scenarios, exercise, exercise_report, officials, people,
    audit_trail,
)  # fmt: skip


def add_to(app: web.Application) -> None:
    """Add every screen of the console."""
    for screen in _SCREENS:
        app.add_routes(screen.routes)
    app[watching.STREAMS] = watching.Streams(app)
    app.on_shutdown.append(watching.close)
