"""Audience → deliveries: COPYed in chunks, each with the batches that will send it.

A chunk's deliveries, batches and counts, and the mark of how far we are, are one transaction, so
a crash at any point leaves whole chunks only, and sending starts with the first of them. The
first chunk is written with the audience itself (`stages.start`). Of the others two are written
at a time while the next is read; their marks are set one after the other.
"""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import numpy as np

from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import audience, chunks, copy_rows
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.chunks import Chunk, Seen
from broadcaster.fanout.policy import CHANNELS, EXPANSION_LEASE, FIRST_CHUNK

WRITERS = 2
"""Chunks written at a time. Most of the work is the server's, and one connection is one core."""
_PEOPLE = 20_000
"""People read for a chunk; those who have more than CHUNK endpoints are cut off there."""


GivesWay = Callable[[Conn], Awaitable[bool]]
"""Asked before each chunk: does another alert come first?"""


class _Stopped(Exception):  # noqa: N818 - how an expansion ends, no error
    """The alert is not being sent any more."""


class _TakenOver(Exception):  # noqa: N818 - how an expansion ends, no error
    """Another process has our lease by now."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What every chunk of one expansion has in common."""

    alert_id: int
    now: datetime
    fence: int


async def read_first(conn: Conn, ids: Ids, channels: Sequence[str]) -> Chunk | None:
    """Read the small first chunk of an audience from memory; None when nobody is in it."""
    people = ids[:FIRST_CHUNK]
    return await chunks.read(conn, people, channels, Seen()) if len(people) else None


async def write_first(conn: Conn, now: datetime, alert_id: int, chunk: Chunk) -> None:
    """Write the first chunk in the transaction that freezes the audience."""
    order = _Order(alert_id, now, fence=0)
    await _insert(conn, order, chunk)
    await _book(conn, order, chunk)


async def expand(
    pool: Pool,
    now: datetime,
    alert_id: int,
    content_hash: bytes,
    channels: Sequence[str],
    wake: Callable[[], Awaitable[None]],
    gives_way: GivesWay | None = None,
) -> bool:
    """Write what is missing of an alert's deliveries; True when all of them are there.

    False: another process is at it or took over, or `gives_way`, asked before each chunk, said
    that something else comes first. `wake` is called whenever a chunk is committed. Raises
    AudienceBrokenError when the stored audience is not what was frozen.
    """
    async with pool.acquire() as conn:
        fence = await _lease(conn, alert_id)
        if fence is None:
            return False
        order, whole = _Order(alert_id, now, fence), True
        try:
            frozen = await audience.read(conn, alert_id, content_hash)
            seen = Seen()
            if frozen.expanded_through >= 0:
                seen = await Seen.of_alert(conn, alert_id)
            rest = frozen.ids[_after(frozen.ids, frozen.expanded_through) :]
            whole = await _write_all(
                pool, order, _read_all(conn, rest, channels, seen, gives_way), wake
            )
        except _Stopped:
            whole = True
        except (_TakenOver, asyncpg.UniqueViolationError):
            # Whoever took over may write the rows we were at before it comes to our fence.
            return False
        await _leave(conn, order, whole=whole)
    return whole


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


async def _leave(conn: Conn, order: _Order, *, whole: bool) -> None:
    """Give the lease back, with the note that everything is written when it is."""
    await conn.execute(
        "UPDATE audience SET lease_until = NULL,"
        " expanded_at = CASE WHEN $3 THEN now() ELSE expanded_at END"
        " WHERE alert_id = $1 AND fence = $2",
        order.alert_id,
        order.fence,
        whole,
    )


def _after(ids: Ids, through: int) -> int:
    """Return the position behind a person id, -1 for none yet."""
    return 0 if through < 0 else int(np.searchsorted(ids, through, side="right"))


async def _read_all(
    conn: Conn,
    ids: Ids,
    channels: Sequence[str],
    seen: Seen,
    gives_way: GivesWay | None,
) -> AsyncIterator[Chunk | None]:
    """Yield chunk after chunk; None at last when somebody else comes first."""
    start = 0
    while start < len(ids):
        if gives_way is not None and await gives_way(conn):
            yield None
            return
        chunk = await chunks.read(conn, ids[start : start + _PEOPLE], channels, seen)
        start = _after(ids, chunk.through)
        yield chunk


async def _write_all(
    pool: Pool,
    order: _Order,
    read: AsyncIterator[Chunk | None],
    wake: Callable[[], Awaitable[None]],
) -> bool:
    """Write every chunk, two at a time; False when the reader gave way."""
    writing: deque[asyncio.Task[None]] = deque()
    whole = True
    try:
        async for chunk in read:
            if chunk is None:
                whole = False
                break
            if len(writing) == WRITERS:
                await writing.popleft()
                await wake()
            before = writing[-1] if writing else None
            writing.append(asyncio.create_task(_write(pool, order, chunk, before)))
        while writing:
            await writing.popleft()
            await wake()
    finally:
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
    return whole


async def _write(
    pool: Pool, order: _Order, chunk: Chunk, before: asyncio.Task[None] | None
) -> None:
    """Write one chunk; its mark waits for the commit of the chunk before it."""
    async with transaction(pool) as conn:
        await _insert(conn, order, chunk)
        if before is not None:
            await before
        # The row lock orders us against a stop: either it sees this chunk or we see it.
        state = await conn.fetchval(
            "SELECT state::text FROM alert WHERE alert_id = $1 FOR SHARE", order.alert_id
        )
        if state != "sending":
            raise _Stopped
        await _book(conn, order, chunk)


async def _insert(conn: Conn, order: _Order, chunk: Chunk) -> None:
    """Insert deliveries and the batches that list them: rows nobody else can want yet."""
    await conn.copy_to_table(
        "delivery",
        source=io.BytesIO(copy_rows.deliveries(order.alert_id, order.now, chunk)),
        format="binary",
        columns=copy_rows.DELIVERY,
    )
    # The database's clock, because it is by that one that batches are claimed.
    not_before = await conn.fetchval("SELECT now()")
    await conn.copy_to_table(
        "batch",
        source=io.BytesIO(copy_rows.batches(order.alert_id, not_before, chunk)),
        format="binary",
        columns=copy_rows.BATCH,
    )


async def _book(conn: Conn, order: _Order, chunk: Chunk) -> None:
    """Set the mark and add to the counts; raises _TakenOver when the lease is not ours."""
    held = await conn.fetchval(
        "UPDATE audience SET expanded_through = $3, unreachable = unreachable + $4,"
        " lease_until = CASE WHEN lease_until IS NULL THEN NULL ELSE now() + $5 END"
        " WHERE alert_id = $1 AND fence = $2 RETURNING alert_id",
        order.alert_id,
        order.fence,
        chunk.through,
        chunk.unreachable,
        EXPANSION_LEASE,
    )
    if held is None:
        raise _TakenOver
    for number, channel in enumerate(CHANNELS):
        count = int(np.count_nonzero(chunk.channels == number))
        if count:
            await conn.execute(
                "INSERT INTO progress (alert_id, channel, pending) VALUES ($1, $2, $3)"
                " ON CONFLICT (alert_id, channel)"
                " DO UPDATE SET pending = progress.pending + excluded.pending",
                order.alert_id,
                channel,
                count,
            )
