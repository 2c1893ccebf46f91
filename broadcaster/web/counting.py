"""How often one official may count people: no program can feel for a home by counting around it."""

from __future__ import annotations

import structlog
from aiohttp import web

from broadcaster.web.keys import VISITOR
from broadcaster.web.limits import Limit, TooMany, TooManyCounts

log = structlog.get_logger(__name__)

COUNTS = web.AppKey("counts", Limit)
BURST = 20
PER_MINUTE = 600
"""A hand that drags a shape asks seven times a second for as long as it moves."""


def limit() -> Limit:
    """Return the allowance of counts, for each official."""
    return Limit(BURST, PER_MINUTE, TooManyCounts)


def take(request: web.Request) -> None:
    """Take one count from the official's allowance; raises TooManyCounts, and says who it was."""
    actor = request[VISITOR].actor
    try:
        request.app[COUNTS].take(str(actor.official_id))
    except TooMany:
        log.warning("counts too often", login=actor.login)
        raise
