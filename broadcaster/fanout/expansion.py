"""Audience → deliveries: COPYed in chunks, each with the batches that will send it.

A chunk's deliveries, batches and counts, and the mark of how far we are, are one transaction, so
a crash at any point leaves whole chunks only, and sending starts with the first of them. The
first chunk is written with the audience itself (`stages.begin`). Of the others two are written
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
from broadcaster.fanout import audience, batches, chunks, copy_rows, steps
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.chunks import Chunk, Seen
from broadcaster.fanout.policy import CHANNELS, FIRST_CHUNK
from broadcaster.fanout.steps import Filter, Held

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

    now: datetime
    held: Held
    chain_hash: bytes

    @property
    def alert_id(self) -> int:
        """The alert whose deliveries are written."""
        return self.held.alert_id


async def read_first(conn: Conn, ids: Ids, channels: Sequence[str]) -> Chunk | None:
    """Read the small first chunk of an audience from memory; None when nobody is in it."""
    people = ids[:FIRST_CHUNK]
    return await chunks.read(conn, people, channels, Seen()) if len(people) else None


async def write_first(
    conn: Conn, now: datetime, alert_id: int, chain_hash: bytes, chunk: Chunk
) -> None:
    """Write the first chunk of step 0 in the transaction that freezes the audience."""
    order = _Order(now, Held(alert_id, 0, 0, (), Filter.ALL, -1), chain_hash)
    await _insert(conn, order, chunk)
    await _book(conn, order, chunk)


async def expand(
    pool: Pool,
    now: datetime,
    alert_id: int,
    content_hash: bytes,
    wake: Callable[[], Awaitable[None]],
    gives_way: GivesWay | None = None,
) -> bool:
    """Write what is missing of the first step of an alert that is open; True when it is whole.

    False: no step is due, another process is at it or took over, or `gives_way`, asked before
    each chunk, said that something else comes first. `wake` is called whenever a chunk is
    committed. Raises AudienceBrokenError when the stored audience is not what was frozen.
    """
    async with pool.acquire() as conn:
        held = await steps.lease(conn, now, alert_id)
        if held is None:
            return False
        whole = True
        try:
            frozen = await audience.read(conn, alert_id, content_hash)
            order = _Order(now, held, frozen.chain_hash)
            seen = Seen()
            if held.expanded_through >= 0 or held.step > 0:
                seen = await Seen.of_alert(conn, alert_id)
            rest = frozen.ids[_after(frozen.ids, held.expanded_through) :]
            whole = await _write_all(
                pool, order, _read_all(conn, rest, held.channels, seen, gives_way), wake
            )
        except _Stopped:
            whole = True
        except (_TakenOver, asyncpg.UniqueViolationError):
            # Whoever took over may write the rows we were at before it comes to our fence.
            return False
        await steps.leave(conn, held, whole=whole)
    return whole


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
    await batches.copy(conn, order.alert_id, order.chain_hash, chunk)


async def _book(conn: Conn, order: _Order, chunk: Chunk) -> None:
    """Set the mark and add to the counts; raises _TakenOver when the lease is not ours."""
    if not await steps.advance(conn, order.held, chunk.through):
        raise _TakenOver
    await conn.execute(
        "UPDATE audience SET unreachable = unreachable + $2 WHERE alert_id = $1",
        order.alert_id,
        chunk.unreachable,
    )
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
