"""Audience → deliveries: COPYed in chunks, each with the batches that will send it.

A chunk's deliveries, batches and counts, and the mark of how far we are, are one transaction, so
a crash at any point leaves whole chunks only, and sending starts with the first of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from pyroaring import BitMap64

from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import audience
from broadcaster.fanout.audience import Audience, Ids
from broadcaster.fanout.policy import CHUNK, EXPANSION_LEASE, FIRST_CHUNK, POLICIES

# A person has about two endpoints, so this many people stay under CHUNK deliveries.
_PEOPLE = CHUNK // 4


@dataclass
class _Chunk:
    """Deliveries of one chunk, by channel."""

    rows: list[tuple[int, int, str, str, str, int, datetime]] = field(default_factory=list)
    by_channel: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    unreachable: int = 0


def _pieces(ids: Ids, after: int) -> Iterator[Ids]:
    rest = ids[np.searchsorted(ids, after, side="right") :] if after >= 0 else ids
    start, size = 0, FIRST_CHUNK if after < 0 else _PEOPLE
    while start < len(rest):
        yield rest[start : start + size]
        start, size = start + size, _PEOPLE


async def _lease(conn: Conn, alert_id: int) -> int | None:
    """Take the expansion for ourselves; None while somebody else holds it or it is done."""
    fence: int | None = await conn.fetchval(
        "UPDATE audience SET fence = nextval('fence_seq'), lease_until = now() + $2"
        " WHERE alert_id = $1 AND expanded_at IS NULL"
        " AND (lease_until IS NULL OR lease_until < now()) RETURNING fence",
        alert_id,
        EXPANSION_LEASE,
    )
    return fence


async def _seen(conn: Conn, frozen: Audience) -> BitMap64:
    """Endpoints that earlier chunks have already written: a household appears in several."""
    seen = BitMap64()
    if frozen.expanded_through >= 0:
        rows = await conn.fetch(
            "SELECT endpoint_id FROM delivery WHERE alert_id = $1", frozen.alert_id
        )
        seen.update(row["endpoint_id"] for row in rows)
    return seen


async def _read_chunk(
    conn: Conn, alert_id: int, now: datetime, people: Ids, channels: Sequence[str], seen: BitMap64
) -> _Chunk:
    rows = await conn.fetch(
        "SELECT pe.person_id, e.endpoint_id, e.channel::text AS channel, e.lang::text AS lang"
        " FROM person_endpoint pe JOIN endpoint e USING (endpoint_id)"
        " WHERE pe.person_id = ANY($1::integer[]) AND e.state = 'active'"
        " AND e.channel = ANY($2::channel[])",
        people.tolist(),
        list(channels),
    )
    chunk = _Chunk()
    reached = set()
    for person_id, endpoint_id, channel, lang in rows:
        reached.add(person_id)
        if endpoint_id in seen:
            continue
        seen.add(endpoint_id)
        chunk.rows.append((alert_id, endpoint_id, channel, lang, "pending", 0, now))
        chunk.by_channel[channel].append(endpoint_id)
    chunk.unreachable = len(people) - len(reached)
    return chunk


async def _write_chunk(
    conn: Conn, alert_id: int, now: datetime, fence: int, through: int, chunk: _Chunk
) -> bool:
    held = await conn.fetchval(
        "UPDATE audience SET expanded_through = $3, unreachable = unreachable + $4,"
        " lease_until = now() + $5 WHERE alert_id = $1 AND fence = $2 RETURNING alert_id",
        alert_id,
        fence,
        through,
        chunk.unreachable,
        EXPANSION_LEASE,
    )
    if held is None:
        return False
    await conn.copy_records_to_table(
        "delivery",
        records=chunk.rows,
        columns=["alert_id", "endpoint_id", "channel", "lang", "state", "attempts", "updated_at"],
    )
    for channel, endpoint_ids in chunk.by_channel.items():
        size = POLICIES[channel].batch
        await conn.executemany(
            "INSERT INTO batch (alert_id, channel, endpoint_ids, not_before)"
            " VALUES ($1, $2, $3, now())",
            [
                (alert_id, channel, endpoint_ids[start : start + size])
                for start in range(0, len(endpoint_ids), size)
            ],
        )
        await conn.execute(
            "INSERT INTO progress (alert_id, channel, pending) VALUES ($1, $2, $3)"
            " ON CONFLICT (alert_id, channel)"
            " DO UPDATE SET pending = progress.pending + excluded.pending",
            alert_id,
            channel,
            len(endpoint_ids),
        )
    return True


async def expand(
    pool: Pool,
    now: datetime,
    alert_id: int,
    content_hash: bytes,
    channels: Sequence[str],
    wake: Callable[[], Awaitable[None]],
) -> bool:
    """Write what is missing of an alert's deliveries; True when all of them are there.

    False: another process is at it, or took over, or the alert was stopped meanwhile.
    `wake` is called once the first chunk is committed.
    """
    async with pool.acquire() as conn:
        fence = await _lease(conn, alert_id)
        if fence is None:
            return False
        frozen = await audience.read(conn, alert_id, content_hash)
        seen = await _seen(conn, frozen)
    for people in _pieces(frozen.ids, frozen.expanded_through):
        async with transaction(pool) as conn:
            chunk = await _read_chunk(conn, alert_id, now, people, channels, seen)
            # The row lock orders us against a stop: either it sees this chunk or we see it.
            state = await conn.fetchval(
                "SELECT state::text FROM alert WHERE alert_id = $1 FOR SHARE", alert_id
            )
            if state != "sending":
                break
            if not await _write_chunk(conn, alert_id, now, fence, int(people[-1]), chunk):
                return False
        await wake()
    async with pool.acquire() as conn:
        await conn.execute(
            "UPDATE audience SET expanded_at = now(), lease_until = NULL"
            " WHERE alert_id = $1 AND fence = $2",
            alert_id,
            fence,
        )
    return True
