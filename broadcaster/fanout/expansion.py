"""Audience → deliveries: COPYed in chunks, each with the batches that will send it.

A chunk's deliveries, batches and counts, and the mark of how far we are, are one transaction, so
a crash at any point leaves whole chunks only, and sending starts with the first of them. The
first chunk is written with the audience itself (`starting.begin`). Of the others two are written
at a time while the next is read; their marks are set one after the other.
"""

from __future__ import annotations

import asyncio
import io
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import numpy as np
import structlog
from numpy.typing import NDArray

from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import audience, batches, chunks, copy_rows, listed_only, reached, steps
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.chunks import Ask, Chunk, Seen, Words
from broadcaster.fanout.policy import CHANNELS, FIRST_CHUNK
from broadcaster.fanout.steps import Endpoints, Filter, Held, Listed, Step

log = structlog.get_logger(__name__)

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


class _Source(ABC):
    """What a step has still to write, chunk after chunk."""

    def __init__(self, held: Held, seen: Seen, start: int, ids: NDArray[Any]) -> None:
        self._held = held
        self._seen = seen
        self._ids = ids
        self._start = start

    @property
    def left(self) -> bool:
        """Whether anything is left."""
        return self._start < len(self._ids)

    async def read(self, conn: Conn) -> Chunk:
        """Read the next chunk."""
        chunk = await self._read(conn, self._ids[self._start : self._start + _PEOPLE])
        self._start = after(self._ids, chunk.through)
        return chunk

    @abstractmethod
    async def _read(self, conn: Conn, some: NDArray[Any]) -> Chunk:
        """Read the deliveries of some of the ids."""


class _People(_Source):
    """The people of a step, with the endpoints that are not yet written."""

    def __init__(
        self, held: Held, seen: Seen, ids: Ids, words: Words | None, only: Endpoints | None
    ) -> None:
        super().__init__(held, seen, after(ids, held.expanded_through), ids)
        spares = partial(_spared, held) if held.to is not Filter.ALL else None
        self._ask = Ask(held.channels, held.counted, words, spares, only)

    async def _read(self, conn: Conn, some: Ids) -> Chunk:
        return await chunks.read(conn, some, self._ask, self._seen)


class _List(_Source):
    """The endpoints a step lists."""

    def __init__(self, held: Held, seen: Seen, listed: Listed) -> None:
        ids = listed.endpoint_ids
        super().__init__(held, seen, after(ids, held.expanded_through), ids)
        self._wording = listed.wording

    async def _read(self, conn: Conn, some: Endpoints) -> Chunk:
        return await chunks.read_listed(conn, some, self._held.channels, self._wording, self._seen)


# The locks hold until the chunk is committed: an acknowledgement is either in time to be seen
# here, or comes after the chunk. OFFSET 0 keeps the condition on what was locked outside: within,
# only those acknowledged would be locked. Whether a push was written needs no lock: pushes are
# written by earlier steps only.
_ACKNOWLEDGED = (
    "SELECT string_agg(int8send(endpoint_id), '') FROM ("
    " SELECT endpoint_id, state FROM delivery WHERE alert_id = $1 AND endpoint_id = ANY($2)"
    "   AND channel = 'push' ORDER BY endpoint_id OFFSET 0 FOR SHARE) locked"
    " WHERE state IN ('confirmed', 'seen')"
)
_PUSHED = (
    "SELECT string_agg(int8send(endpoint_id), '') FROM delivery WHERE alert_id = $1"
    " AND endpoint_id = ANY($2) AND channel = 'push' AND state <> 'failed'"
)


async def _spared(held: Held, conn: Conn, endpoint_ids: Endpoints) -> Endpoints:
    """Return which endpoints say that their people need nothing of this step."""
    query = _PUSHED if held.to is Filter.NO_PUSH else _ACKNOWLEDGED
    packed = await conn.fetchval(query, held.alert_id, endpoint_ids.tolist())
    return np.frombuffer(packed or b"", dtype=">i8").astype(np.int64)


async def read_first(
    conn: Conn,
    plan: Sequence[Step],
    ids: Ids,
    words: Words | None,
    only: Endpoints | None = None,
) -> Chunk | None:
    """Read the small first chunk of an alert's first step from memory; None when it is empty.

    `only` are the endpoints it may be written to; None: any.
    """
    if not plan:
        return None
    step = plan[0]
    if step.listed is not None:
        endpoint_ids = step.listed.endpoint_ids[:FIRST_CHUNK]
        if not len(endpoint_ids):
            return None
        return await chunks.read_listed(
            conn, endpoint_ids, step.channels, step.listed.wording, Seen()
        )
    people = ids[:FIRST_CHUNK]
    ask = Ask(step.channels, steps.counting(plan), words, only=only)
    return await chunks.read(conn, people, ask, Seen()) if len(people) else None


async def write_first(
    conn: Conn, now: datetime, alert_id: int, chain_hash: bytes, chunk: Chunk
) -> None:
    """Write the first chunk of step 0 in the transaction that freezes the audience."""
    order = _Order(now, Held(alert_id, 0, 0, ()), chain_hash)
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
            source = await _source(conn, held, frozen.ids)
            if held.to in (Filter.ALL, Filter.LISTED):
                whole = await _write_all(pool, order, _read_all(conn, source, gives_way), wake)
            else:
                whole = await _write_in_turn(pool, order, source, wake, gives_way)
        except _Stopped:
            whole = True
        except _TakenOver:
            return False
        except asyncpg.UniqueViolationError as error:
            # Whoever took over may write the rows we were at before it comes to our fence. Told
            # all the same: should nobody have taken over, this alert never ends by itself.
            log.warning("a chunk is there already", alert_id=alert_id, error=str(error))
            return False
        await steps.leave(conn, held, whole=whole)
    return whole


async def _source(conn: Conn, held: Held, ids: Ids) -> _Source:
    """Return what is left of a step, whoever began it."""
    seen = Seen()
    if held.expanded_through >= 0 or held.step > 0:
        seen = await Seen.of_alert(conn, held.alert_id)
    listed = await steps.listed(conn, held.alert_id)
    if held.to is Filter.LISTED:
        return _List(held, seen, listed[held.step])
    for apart in listed.values():
        ids = np.setdiff1d(ids, apart.people, assume_unique=True)
    follow = await reached.follow_up(conn, held.alert_id)
    only = await listed_only.endpoints(conn, held.alert_id)
    return _People(held, seen, ids, follow.wordings if follow else None, only)


def after(ids: NDArray[Any], through: int) -> int:
    """Return the position behind an id, -1 for none yet."""
    return 0 if through < 0 else int(np.searchsorted(ids, through, side="right"))


async def _read_all(
    conn: Conn, source: _Source, gives_way: GivesWay | None
) -> AsyncIterator[Chunk | None]:
    """Yield chunk after chunk; None at last when somebody else comes first."""
    while source.left:
        if gives_way is not None and await gives_way(conn):
            yield None
            return
        yield await source.read(conn)


async def _write_in_turn(
    pool: Pool,
    order: _Order,
    source: _Source,
    wake: Callable[[], Awaitable[None]],
    gives_way: GivesWay | None,
) -> bool:
    """Read and write each chunk in one transaction, so that what it was chosen by still holds."""
    while source.left:
        async with transaction(pool) as conn:
            if gives_way is not None and await gives_way(conn):
                return False
            # The alert's row before the deliveries, as everywhere.
            await _still_sending(conn, order.alert_id)
            chunk = await source.read(conn)
            await _insert(conn, order, chunk)
            await _book(conn, order, chunk)
        await wake()
    return True


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
        await _still_sending(conn, order.alert_id)
        await _book(conn, order, chunk)


async def _still_sending(conn: Conn, alert_id: int) -> None:
    """Raise _Stopped when nothing more of the alert is to be written.

    The row lock orders us against a stop: either it sees this chunk or we see it.
    """
    sending = await conn.fetchval(
        "SELECT state = 'sending' AND superseded_by IS NULL FROM alert"
        " WHERE alert_id = $1 FOR SHARE",
        alert_id,
    )
    if not sending:
        raise _Stopped


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
