"""A sender over the lab's own FCM, and alerts under way for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broadcaster.alerts.content import canonical
from broadcaster.db import Conn, Pool
from broadcaster.demo import storm
from broadcaster.fanout.fleet import Carrier, Fleet
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.sending import Sender
from broadcaster.keyring import Keyring
from broadcaster.people.officials import Actor
from channels.lab import certs, fcm_store, store
from channels.lab.fcm import DEFAULTS
from channels.limits_rules import RateLimit, Rule
from channels.push import PushChannel
from tests.unit.broadcaster.sending import Sending, author, sending
from tests.unit.channels.push.lab import spawn

LIMIT = RateLimit((Rule(100_000, 1.0),))


Lab = tuple[Path, int]
"""Where the lab FCM keeps what it received, and its port."""


@contextmanager
def lab(directory: Path, port: int) -> Iterator[Lab]:
    """Run the lab FCM."""
    certs.prepare(directory, port)
    process = spawn(directory, port)
    yield directory, port
    process.terminate()
    process.wait(10)


def forget(fcm: Lab) -> None:
    """Let a lab FCM know nothing of the test before: each database counts its people anew."""
    with closing(fcm_store.connect(fcm[0])) as conn:
        found = store.settings(conn, DEFAULTS)
        broken = conn.execute("SELECT count(*) FROM fault").fetchone()[0]
        # What it was still holding back then it takes now.
        time.sleep(found["delay_ms"] / 1000)
        store.settle(conn)
        conn.execute("DELETE FROM setting")
        conn.execute("DELETE FROM fault")
        conn.execute("DELETE FROM message")
        if broken or found != DEFAULTS:
            store.settle(conn)


def channel(fcm: Lab, *, port: int | None = None, at_once: int = 500) -> PushChannel:
    directory, own = fcm
    files = certs.prepare(directory, own)
    url = f"https://127.0.0.1:{port or own}"
    return PushChannel(url, files.credentials, files.ca, concurrency=at_once)


def configure(fcm: Lab, **values: float) -> None:
    with closing(fcm_store.connect(fcm[0])) as conn:
        store.configure(conn, **values)
        store.settle(conn)


def received(fcm: Lab) -> list[tuple[int, float]]:
    """(endpoint id, when) of every message the carrier took."""
    with closing(fcm_store.connect(fcm[0])) as conn:
        store.settle(conn)
        rows = conn.execute("SELECT address, received_at FROM message").fetchall()
    return [(int(address.removeprefix("fid:")), at) for address, at in rows]


@asynccontextmanager
async def running(
    pool: Pool,
    keyring: Keyring,
    *channels: PushChannel,
    clock: Callable[[], datetime] | None = None,
) -> AsyncIterator[tuple[Sender, Guard, Fleet]]:
    carriers = [Carrier(one, "fcm", f"lab {n}", LIMIT) for n, one in enumerate(channels)]
    fleet, guard = await Fleet.enlist(pool, None, "w", carriers), Guard(pool, clock)
    sender = Sender(pool, keyring, fleet, guard, "push", "w")
    for one in channels:
        await one.open()
    tasks = [asyncio.create_task(one.run()) for one in (fleet, guard, sender)]
    yield sender, guard, fleet
    sender.drain()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for one in channels:
        await one.close()


def approved_document(code: str) -> dict[str, Any]:
    """What is approved of an alert."""
    content = storm.content(datetime.now(UTC), {"units": [{"code": "01", "vintage": "2025-07-01"}]})
    return {"content": content.to_json(), "code": code, "kind": "alert", "status": "Actual"}


async def approved(
    conn: Conn,
    keyring: Keyring,
    code: str,
    writer: Actor | None = None,
    document: dict[str, Any] | None = None,
    **how: object,
) -> Sending:
    """An alert under way, with what was approved of it."""
    data, digest = canonical(document or approved_document(code))
    made = await sending(
        conn, keyring, writer or await author(conn), code=code, content_hash=digest,
        **how,  # type: ignore[arg-type]
    )  # fmt: skip
    await conn.execute(
        "INSERT INTO alert_snapshot VALUES ($1, 1, $2, $3, now())", made.alert_id, data, digest
    )
    return made


async def handed_off(conn: Conn, alert_id: int) -> int:
    return int(await conn.fetchval("SELECT handed_off FROM progress WHERE alert_id = $1", alert_id))


async def until(true: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


async def sent(conn: Conn, alert_id: int, count: int, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while await handed_off(conn, alert_id) < count:
            await asyncio.sleep(0.02)
