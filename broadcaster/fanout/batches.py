"""The one way to write a batch: what it lists is tied to the frozen audience by its digest."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from broadcaster.db import Conn
from broadcaster.fanout import copy_rows
from broadcaster.fanout.chunks import Chunk
from broadcaster.fanout.policy import POLICIES
from broadcaster.fanout.proof import digest


async def add(
    conn: Conn, alert_id: int, channel: str, waiting: Iterable[tuple[Sequence[int], float]]
) -> None:
    """Write batches of (endpoint ids, seconds until they may be claimed), at most a batch's size.

    Longer lists are cut. Raises LookupError when the alert has no frozen audience.
    """
    size = POLICIES[channel].batch
    pieces = [
        (ids[start : start + size], seconds)
        for ids, seconds in waiting
        for start in range(0, len(ids), size)
    ]
    if not pieces:
        return
    chain_hash = await chain_of(conn, alert_id)
    await conn.executemany(
        "INSERT INTO batch (alert_id, channel, endpoint_ids, digest, not_before)"
        " VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5))",
        [
            (alert_id, channel, ids, digest(chain_hash, channel, ids), float(seconds))
            for ids, seconds in pieces
        ],
    )


async def copy(conn: Conn, alert_id: int, chain_hash: bytes, chunk: Chunk) -> None:
    """Write the batches of a chunk's deliveries, due now."""
    # The database's clock, because it is by that one that batches are claimed.
    not_before = await conn.fetchval("SELECT now()")
    await conn.copy_to_table(
        "batch",
        source=io.BytesIO(copy_rows.batches(alert_id, chain_hash, not_before, chunk)),
        format="binary",
        columns=copy_rows.BATCH,
    )


async def chain_of(conn: Conn, alert_id: int) -> bytes:
    """Return what a frozen audience is chained by; raises LookupError."""
    chain_hash: bytes | None = await conn.fetchval(
        "SELECT chain_hash FROM audience WHERE alert_id = $1", alert_id
    )
    if chain_hash is None:
        raise LookupError(f"alert {alert_id} has no audience yet")
    return chain_hash
