"""Which workers live: leases in PostgreSQL by which each limiter knows its share."""

from __future__ import annotations

from datetime import timedelta

from broadcaster.db import Conn

LEASE = timedelta(seconds=6)
EVERY = 2.0
"""Seconds between heartbeats."""


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
