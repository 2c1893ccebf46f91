"""Which workers live: leases in PostgreSQL by which each limiter knows its share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from broadcaster.db import Conn

LEASE = timedelta(seconds=5)
"""Longer than channels.limits_alone.STALE: who cannot renew it has stopped sending alone before
the others share out its part."""
EVERY = 1.0
"""Seconds between heartbeats."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who lives: how many of a role, and which of them this worker is (from 0)."""

    workers: int
    rank: int


async def muster(conn: Conn, worker: str, role: str, limits: Mapping[str, Any]) -> Crew:
    """Prolong this worker's lease and count its role; `limits` is kept for people to read."""
    await conn.execute(
        "INSERT INTO worker (worker, role, started_at, lease_until, limits)"
        " VALUES ($1, $2, now(), now() + $3, $4)"
        " ON CONFLICT (worker) DO UPDATE SET lease_until = excluded.lease_until,"
        " limits = excluded.limits",
        worker,
        role,
        LEASE,
        dict(limits),
    )
    row = await conn.fetchrow(
        "SELECT count(*) AS workers, count(*) FILTER (WHERE worker < $2) AS rank"
        " FROM worker WHERE role = $1 AND lease_until > now()",
        role,
        worker,
    )
    return Crew(row["workers"], row["rank"]) if row else Crew(1, 0)


async def beat(conn: Conn, worker: str, role: str) -> int:
    """Prolong this worker's lease; returns how many of its role live, itself included."""
    await conn.execute(
        "INSERT INTO worker (worker, role, started_at, lease_until)"
        " VALUES ($1, $2, now(), now() + $3)"
        " ON CONFLICT (worker) DO UPDATE SET lease_until = excluded.lease_until",
        worker,
        role,
        LEASE,
    )
    alive: int = await conn.fetchval(
        "SELECT count(*) FROM worker WHERE role = $1 AND lease_until > now()", role
    )
    return alive


async def leave(conn: Conn, worker: str) -> None:
    """Give the lease up at a clean end, and forget workers that died long ago."""
    await conn.execute(
        "DELETE FROM worker WHERE worker = $1 OR lease_until < now() - interval '1 day'", worker
    )
