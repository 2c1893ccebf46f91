"""Who calls: a citizen by a bearer token, or nobody we know, by a network address."""

from __future__ import annotations

from aiohttp import web

from broadcaster.people import claims
from broadcaster.web.api.operation import SignedOut
from broadcaster.web.keys import CLOCK, KEYRING, POOL
from broadcaster.web.limits import Limit

LIMIT = web.AppKey("anonymous_limit", Limit)
BURST, PER_MINUTE = 60, 60.0
"""What one network address may do without a token."""


async def citizen_of(request: web.Request) -> int | None:
    """Return the person a bearer token speaks for; None without one; raises SignedOut."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        return None
    if scheme.lower() != "bearer" or not 0 < len(token) <= 200:
        raise SignedOut
    app = request.app
    async with app[POOL].acquire() as conn:
        person_id = await claims.person_of(conn, app[KEYRING], app[CLOCK](), token.strip())
    if person_id is None:
        raise SignedOut
    return person_id


async def required(request: web.Request) -> int:
    """Return the person who calls; raises SignedOut."""
    person_id = await citizen_of(request)
    if person_id is None:
        raise SignedOut
    return person_id


def spare(request: web.Request) -> None:
    """Count one anonymous request of this network address; raises TooMany."""
    request.app[LIMIT].take(request.remote or "")
