"""Alerts with many deliveries on one channel, ready to be sent, and the worker that sends them.

The real schema in an embedded PostgreSQL with fsync on, addresses sealed as registration seals
them, batches as expansion writes them. Our process has one core to itself; PostgreSQL and the
carrier have the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np

from broadcaster import db
from broadcaster.alerts.content import canonical
from broadcaster.db import Conn, Pool
from broadcaster.demo import storm
from broadcaster.demo.carriers import free_port
from broadcaster.embedded import fresh_data_dir, start_postgres
from broadcaster.fanout import audience, batches, providers, steps
from broadcaster.fanout.fleet import Account, Fleet
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.policy import POLICIES
from broadcaster.fanout.sending import Sender
from broadcaster.keyring import Keyring
from channels.base import Channel, Unlimited
from channels.limits import SharedLimiter

SECRET = "only-for-measuring-" + "0123456789abcdef" * 2
_PATIENCE = 120.0
_START = 20.0

_SEED = """
SET session_replication_role = replica;
INSERT INTO unit (code, vintage, name, name_en, kind, lon, lat, valid_from, outline,
        outline_approximate)
    VALUES ('01', '2025-07-01', '', '', 'city', 105.8, 21, '2025-07-01', '', true);
INSERT INTO official (login, name, password_hash, created_at)
    VALUES ('author', '', '', now()), ('approver', '', '', now());
SET session_replication_role = origin;
"""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which processors are ours and which the servers', as far as there are two."""

    ours: set[int]
    servers: set[int]

    @classmethod
    def share(cls) -> Cores:
        """Divide what this process may use."""
        first, *rest = sorted(os.sched_getaffinity(0))
        return cls({first}, set(rest[:1]) or {first})

    @contextmanager
    def for_servers(self) -> Iterator[None]:
        """Start servers inside: they inherit their core. Afterwards we are on ours."""
        os.sched_setaffinity(0, self.servers)
        try:
            yield
        finally:
            os.sched_setaffinity(0, self.ours)


@dataclass(frozen=True, slots=True)
class Took:
    """What sending one alert took."""

    seconds: float
    cpu: float
    """Seconds of our process on the processor, user and system."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier for volume in a process of its own."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def cpu(self) -> float:
        """Seconds it has spent on the processor."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text("ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class _Free:
    """A limiter without a limit: what is measured is how fast we are, not how fast we may be."""

    has_part = True
    is_short = False
    silent_for = 0.0

    def pace(self, _: int) -> Unlimited:
        """Grant everything."""
        return Unlimited()


class Outbox:
    """A database with alerts to send."""

    def __init__(self, pool: Pool, url: str) -> None:
        self.pool = pool
        self.url = url
        self.keyring = Keyring(SECRET)

    async def alert(self, channel: str, count: int, address: Callable[[int], str]) -> int:
        """Write a sending alert with so many deliveries to new endpoints; returns its id."""
        now = datetime.now(UTC)
        async with self.pool.acquire() as conn, conn.transaction():
            alert_id, digest = await _alert(conn, now)
            ids = await self._endpoints(conn, channel, count, address)
            await conn.execute(
                "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, updated_at)"
                " SELECT $1, e, $2, 'vi', now() FROM unnest($3::bigint[]) AS e",
                alert_id, channel, ids,
            )  # fmt: skip
            packed = audience.pack(digest, np.arange(1, 2, dtype=np.uint32))
            await audience.freeze(conn, now, alert_id, packed)
            await steps.plan(conn, alert_id, [steps.Step(now, (channel,))])
            size = POLICIES[channel].batch
            slices = [(ids[at : at + size], 0.0) for at in range(0, count, size)]
            await batches.add(conn, alert_id, channel, slices)
            await conn.execute(
                "INSERT INTO progress (alert_id, channel, pending) VALUES ($1, $2, $3)",
                alert_id, channel, count,
            )  # fmt: skip
        async with self.pool.acquire() as conn:
            await conn.execute("VACUUM ANALYZE endpoint, delivery, batch")
        return alert_id

    async def _endpoints(
        self, conn: Conn, channel: str, count: int, address: Callable[[int], str]
    ) -> list[int]:
        rows = await conn.fetch(
            "SELECT nextval('endpoint_endpoint_id_seq') FROM generate_series(1, $1::int)", count
        )
        ids = [row[0] for row in rows]
        now = datetime.now(UTC)
        await conn.copy_records_to_table(
            "endpoint",
            records=[
                (
                    one, channel, "active", self.keyring.key_id,
                    self.keyring.address_hash(channel, address(one)),
                    self.keyring.seal(address(one).encode(), "endpoint", "address_enc", one), now,
                )
                for one in ids
            ],
            columns=(
                "endpoint_id", "channel", "state", "hash_key_id", "address_hash", "address_enc",
                "created_at",
            ),
        )  # fmt: skip
        return ids

    async def provider(self, channel: str, name: str) -> int:
        """Register the account; returns its id."""
        async with self.pool.acquire() as conn:
            return await providers.register(conn, channel, name, "bench")

    async def send(self, channel: Channel[Any], provider_id: int, alert_id: int, over: str) -> Took:
        """Send one alert by a real sender until `over`, a query with the alert as $1, is true.

        Raises TimeoutError, and RuntimeError when a delivery was not handed off.
        """
        guard = Guard(self.pool)
        account = Account(
            provider_id, channel, "bench", slots=3, weight=100, limiter=cast(SharedLimiter, _Free())
        )
        fleet = Fleet(self.pool, "bench", [account])
        sender = Sender(self.pool, self.keyring, fleet, guard, channel.name, "bench")
        watch = asyncio.create_task(guard.run())
        cpu, start = time.process_time(), time.perf_counter()
        sending = asyncio.create_task(sender.run())
        async with asyncio.timeout(_PATIENCE):
            while not await self.pool.fetchval(over, alert_id):  # noqa: ASYNC110 - asks rows
                await asyncio.sleep(0.02)
        took = Took(time.perf_counter() - start, time.process_time() - cpu)
        sender.drain()
        await sending
        watch.cancel()
        lost = await self.pool.fetchval(
            "SELECT count(*) FROM delivery WHERE alert_id = $1"
            " AND state NOT IN ('handed_off', 'confirmed')",
            alert_id,
        )
        if lost:
            raise RuntimeError(f"{lost} deliveries were not handed off")
        return took


async def _alert(conn: Conn, now: datetime) -> tuple[int, bytes]:
    """Write an alert that is being sent; returns its id and the hash of its content."""
    content = storm.content(now, {"units": [{"code": "01", "vintage": "2025-07-01"}]})
    alert_id: int = await conn.fetchval(
        "INSERT INTO alert (code, cap_identifier, state, class, lane, event, unit_id, author_id,"
        " version, created_at, updated_at, approved_version, approved_by, approved_at, expires)"
        " SELECT n, n, 'sending', 'warning', 1, 'storm', 1, 1, 1, $1, $1, 1, 2, $1, $2"
        " FROM (SELECT 'bench-' || (1 + count(*)) AS n FROM alert) AS named RETURNING alert_id",
        now,
        now + timedelta(hours=12),
    )
    data, digest = canonical({"content": content.to_json(), "code": "B", "kind": "alert"})
    await conn.execute(
        "INSERT INTO alert_snapshot VALUES ($1, 1, $2, $3, $4)", alert_id, data, digest, now
    )
    return alert_id, digest


@asynccontextmanager
async def outbox(cores: Cores) -> AsyncIterator[Outbox]:
    """Run a database for one measurement."""
    with fresh_data_dir() as directory:
        with cores.for_servers():
            server = start_postgres(directory)
        try:
            await db.migrate(server.url)
            pool = await db.connect(server.url)
            try:
                async with pool.acquire() as conn:
                    await conn.execute(_SEED)
                yield Outbox(pool, server.url)
            finally:
                await pool.close()
        finally:
            server.stop()


@contextmanager
def carrier(module: str, cores: Cores) -> Iterator[Carrier]:
    """Run a carrier of `bench.sinks` on the servers' core; raises RuntimeError when it ends."""
    port, control = free_port(), free_port()
    with fresh_data_dir() as directory:
        with cores.for_servers():
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", f"bench.sinks.{module}", "--dir", str(directory)),
                    *("--port", str(port), "--control", str(control)),
                ]
            )
        try:
            _await_port(port, process)
            yield Carrier(port, process)
        finally:
            process.terminate()
            process.wait(10)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the carrier ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the carrier does not listen")
