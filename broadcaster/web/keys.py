"""Typed keys of what the application, a request and nothing else carries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from aiohttp import web
from asyncpg import Pool

from broadcaster.cadence.duty import Duty
from broadcaster.jobs import Waker
from broadcaster.keyring import Keyring
from broadcaster.people.selection import Selector
from broadcaster.settings import Settings
from broadcaster.web.assets_store import Assets
from broadcaster.web.geography import Geography
from broadcaster.web.security import Visitor

SETTINGS = web.AppKey("settings", Settings)
POOL: web.AppKey[Pool] = web.AppKey("pool", Pool)
KEYRING = web.AppKey("keyring", Keyring)
CLOCK: web.AppKey[Callable[[], datetime]] = web.AppKey("clock")
WAKER = web.AppKey("waker", Waker)
ASSETS = web.AppKey("assets", Assets)
WAKER = web.AppKey("waker", Waker)
"""Wakes the clockwork after a commit; never raises."""
SELECTOR = web.AppKey("selector", Selector)
GEOGRAPHY = web.AppKey("geography", Geography)
LAB: web.AppKey[Path | None] = web.AppKey("lab")
"""Where the lab's carriers keep what they received; None where there is no lab."""
NAV: web.AppKey[dict[int, tuple[datetime, dict[str, int]]]] = web.AppKey("nav")
"""By official: when the figures in the navigation were counted, and the figures."""
DUTIES: web.AppKey[dict[int, tuple[datetime, list[Duty]]]] = web.AppKey("duties")
"""By official: when the duties they answer for were looked at, and what of them presses."""

VISITOR = web.RequestKey("visitor", Visitor)
"""Who is signed in; absent on routes that read no cookie and when nobody is."""
