"""The API's routes."""

from __future__ import annotations

from aiohttp import web

from broadcaster.web.api import (
    alerts,
    approvals,
    areas,
    citizen,
    dead_letters,
    exercises,
    follow_ups,
    forecast,
    openapi,
    own_places,
    people,
    places,
    providers,
    receipts,
    records,
    reports,
    templates,
    why,
)
from broadcaster.web.limits import Limit


def add_to(app: web.Application) -> None:
    """Add every route of the API."""
    app[citizen.LIMIT] = Limit(citizen.BURST, citizen.PER_MINUTE)
    for part in (
        people,
        own_places,
        alerts,
        approvals,
        follow_ups,
        exercises,
        receipts,
        dead_letters,
        reports,
        areas,
        forecast,
        places,
        providers,
        why,
        records,
        templates,
        openapi,
    ):
        app.add_routes(part.routes)
