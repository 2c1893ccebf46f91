"""What a web process does once, so that no page waits for it later."""

from __future__ import annotations

import gc

import structlog
from aiohttp import web

from broadcaster.db import AWAY
from broadcaster.web import i18n
from broadcaster.web.keys import CLOCK, GEOGRAPHY, SELECTOR
from templates import catalogue

log = structlog.get_logger(__name__)


async def settle(app: web.Application) -> None:
    """Load what every page needs and have the garbage collector leave it alone.

    It looked through units, words and the catalogue at every 25th page or so, and that page and
    all others waited a tenth of a second.
    """
    catalogue.load()
    for lang in i18n.LANGUAGES:
        i18n.catalogue(lang)
    try:
        await app[GEOGRAPHY].atlas()
        await app[SELECTOR].warm(app[CLOCK]())
    except AWAY as error:
        log.warning("pages begin without the map", why=str(error))
    gc.collect()
    gc.freeze()
