"""A running web application over a small city, and alerts published in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from broadcaster.alerts import approval, checks, draft, lifecycle, wordings
from broadcaster.alerts.content import parse
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn, Pool
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor, Role
from broadcaster.people.selection import Selector
from broadcaster.people.units import UnitMap, load_map, seed_units
from broadcaster.settings import Settings
from broadcaster.states import AlertState
from broadcaster.web.app import create_app
from broadcaster.web.keys import SELECTOR
from templates.catalogue import load
from templates.render import render
from tests import factor
from tests.unit.broadcaster.city import official, unit_id

NOW = datetime(2026, 9, 9, 20, 17, tzinfo=UTC)
"""03:17 on the 10th in Hanoi."""
BA_DINH_AREA = {"units": [{"code": "00004", "vintage": "2025-07-01"}]}


@dataclass
class Site:
    """The application as a client sees it, and what the test needs behind it."""

    client: TestClient[Any, Any]
    pool: Pool
    settings: Settings
    keyring: Keyring
    units: UnitMap
    author: Actor
    approver: Actor
    clock: list[datetime]
    selector: Selector

    def later(self, **span: float) -> None:
        """Turn the clock on."""
        self.clock[0] += timedelta(**span)

    @property
    def now(self) -> datetime:
        return self.clock[0]


@asynccontextmanager
async def running(settings: Settings, pool: Pool, lab: Path | None = None) -> AsyncIterator[Site]:
    clock = [NOW]
    async with pool.acquire() as conn:
        await seed_units(conn, NOW)
        units = await load_map(conn)
        city = await unit_id(conn, "01")
        author = await official(conn, "ha", Role("author", city))
        approver = await official(conn, "tuan", Role("approver", city))
        await _resident(conn)
    app = create_app(settings, pool, lab=lab, clock=lambda: clock[0])
    async with TestClient(TestServer(app)) as client:
        keyring = Keyring(settings.secret_key or "")
        yield Site(client, pool, settings, keyring, units, author, approver, clock, app[SELECTOR])


async def _resident(conn: Conn) -> None:
    """Somebody in Ba Đình whom no channel reaches: an alert for nobody at all is not sent."""
    await conn.execute(
        "WITH made AS (INSERT INTO person (created_at) VALUES ($1) RETURNING person_id)"
        " INSERT INTO person_place (person_id, place_no, unit_id, by_unit_only)"
        " SELECT person_id, 0, $2, true FROM made",
        NOW, await unit_id(conn, "00004"),
    )  # fmt: skip


def content(now: datetime, event: str = "storm", **changes: Any) -> dict[str, Any]:
    known = load().events[event]
    expires = now + timedelta(hours=12)
    values = dict(known.examples()) | {
        field.name: expires.isoformat() for field in known.fields if field.fill == "expires"
    }
    return {
        "event": event,
        "class": "warning",
        "area": BA_DINH_AREA,
        "wording": {lang: render(event, lang, values).as_dict() for lang in ("vi", "en")},
        "expires": expires.isoformat(),
        "risk_level": 3,
        "source": {"issuer": "Đài KTTV <Bắc Bộ>", "number": "15/BTB", "time": now.isoformat()},
        "urgency": known.urgency,
        "severity": known.severity,
        "certainty": known.certainty,
    } | changes


async def written(
    site: Site, conn: Conn, *, kind: str = "alert", before: Alert | None = None, **changes: Any
) -> Alert:
    """A draft that was checked."""
    issuing = await unit_id(conn, "01")
    words = parse(content(site.now, **changes))
    if kind == "update":
        words = wordings.with_difference(words, words)
    made = await draft.create(
        conn, site.author, site.now, words, issuing,
        kind=kind, predecessor_id=before.alert_id if before else None,
    )  # fmt: skip
    await checks.run(conn, site.author, site.now, made.alert_id, site.selector)
    return made


async def approved(site: Site, conn: Conn, **changes: Any) -> Alert:
    made = await written(site, conn, **changes)
    await approval.submit(conn, site.author, site.now, made.alert_id, made.version)
    proof = None
    if made.alert_class == "emergency":
        proof = await factor.proof(conn, site.keyring, site.approver, site.now)
    return await approval.approve(conn, site.approver, site.now, made.alert_id, made.version, proof)


async def publish(site: Site, **changes: Any) -> Alert:
    """An alert on its way: approved, sending, first hand-off done."""
    async with site.pool.acquire() as conn:
        made = await approved(site, conn, **changes)
        await lifecycle.move(conn, site.now, made.alert_id, AlertState.SENDING)
        await lifecycle.first_handoff(conn, site.now, made.alert_id)
        return await draft.find(conn, made.alert_id)
