"""What became of deliveries: the one reader, of rows and of the archive's blocks alike.

Whoever asks gets the same answer before an alert is packed, while it is, and after. The way from a
person to alerts goes over the masks of the archive, then over what no segment lists yet; there is
no index by endpoint on deliveries, because every alert would pay for it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import numpy as np
from asyncpg import Record
from numpy.typing import NDArray

from broadcaster.db import Conn
from broadcaster.fanout import archive, segments
from broadcaster.fanout.archive import IN_ORDER, News, open_block
from broadcaster.fanout.blocks import LANGS, STATES, Columns, kind_of, unpack_ids
from broadcaster.fanout.policy import CHANNELS

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SCANNED = 50_000
"""Rows one page looks at: a rare state among a million takes several pages, each of them soon."""
_BLOCKS_AT_ONCE = 8
_BLOCKS_SCANNED = 64

Key = tuple[int, int]
"""Alert, endpoint."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a delivery."""

    number: int
    at: datetime
    provider_id: int
    result: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One alert to one endpoint, and every try at it in order."""

    alert_id: int
    endpoint_id: int
    channel: str
    lang: str
    wording: int
    state: str
    tries: int
    created_at: datetime
    updated_at: datetime
    reason: str | None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some deliveries of an alert, by endpoint id."""

    deliveries: tuple[Delivery, ...]
    after: int | None
    """Where the next page begins; None: this is the last. A page may be short, even empty, and
    have a next one: looking stops after a while."""


_COLUMNS = (
    "d.alert_id, d.endpoint_id, d.channel::text AS channel, d.lang::text AS lang, d.wording,"
    " {state} AS state, d.attempts AS tries, d.created_at,"
    " {updated_at} AS updated_at, {reason} AS reason"
)
_PLAIN = _COLUMNS.format(state="d.state::text", updated_at="d.updated_at", reason="d.reason")
_WITH_NEWS = _COLUMNS.format(
    state="coalesce(n.state, d.state)::text",
    updated_at="coalesce(n.updated_at, d.updated_at)",
    reason="coalesce(n.reason, d.reason)",
)
# OFFSET 0 keeps the planner at one look-up by the key for each.
_OF_KEYS = (
    f"SELECT {_PLAIN} FROM unnest($1::bigint[], $2::bigint[]) AS k(alert_id, endpoint_id)"
    " CROSS JOIN LATERAL (SELECT * FROM delivery WHERE alert_id = k.alert_id"
    "  AND endpoint_id = k.endpoint_id OFFSET 0) d"
)
_ATTEMPTS = (
    "SELECT t.alert_id, t.endpoint_id, t.attempt, t.at, t.provider_id, t.result, t.reason"
    " FROM unnest($1::bigint[], $2::bigint[]) AS k(alert_id, endpoint_id)"
    " CROSS JOIN LATERAL (SELECT * FROM attempt WHERE alert_id = k.alert_id"
    "  AND endpoint_id = k.endpoint_id OFFSET 0) t"
    f" ORDER BY alert_id, endpoint_id, {IN_ORDER}"
)
_BLOCKS_OF_KEYS = (
    "SELECT DISTINCT ON (b.alert_id, b.last_id) b.*, u.chain_hash"
    " FROM unnest($1::bigint[], $2::bigint[]) AS k(alert_id, endpoint_id)"
    " CROSS JOIN LATERAL (SELECT * FROM archive_block WHERE alert_id = k.alert_id"
    "  AND last_id >= k.endpoint_id ORDER BY last_id LIMIT 1) b"
    " JOIN audience u ON u.alert_id = b.alert_id WHERE b.first_id <= k.endpoint_id"
    " ORDER BY b.alert_id, b.last_id"
)


async def of_keys(conn: Conn, keys: Iterable[Key]) -> dict[Key, Delivery]:
    """Return those of these deliveries that exist; raises ArchiveBrokenError."""
    wanted = sorted(set(keys))
    alert_ids = sorted({alert_id for alert_id, _ in wanted})
    packed = await _packed(conn, alert_ids)
    found = await _from_rows(conn, [key for key in wanted if key[0] not in packed])
    found |= await _from_blocks(conn, [key for key in wanted if key[0] in packed])
    # Read after the rows: what is in neither yet would be told by both a moment later.
    late = await archive.late_news(conn, alert_ids, sorted({endpoint for _, endpoint in wanted}))
    for key, news in late.items():
        if key in found:
            found[key] = _told(found[key], news)
    return {key: found[key] for key in wanted if key in found}


async def _packed(conn: Conn, alert_ids: Sequence[int]) -> set[int]:
    rows = await conn.fetch(
        "SELECT alert_id FROM archive WHERE alert_id = ANY($1) AND packed_at IS NOT NULL",
        alert_ids,
    )
    return {row["alert_id"] for row in rows}


async def _from_rows(conn: Conn, keys: Sequence[Key]) -> dict[Key, Delivery]:
    if not keys:
        return {}
    columns = [list(column) for column in zip(*keys, strict=True)]
    rows = await conn.fetch(_OF_KEYS, *columns)
    return await _with_attempts(conn, [Delivery(**row) for row in rows])


async def _with_attempts(conn: Conn, some: Sequence[Delivery]) -> dict[Key, Delivery]:
    rows = await conn.fetch(
        _ATTEMPTS, [one.alert_id for one in some], [one.endpoint_id for one in some]
    )
    tried: dict[Key, list[Attempt]] = defaultdict(list)
    for alert_id, endpoint_id, number, at, provider_id, result, reason in rows:
        tried[alert_id, endpoint_id].append(Attempt(number, at, provider_id, result, reason))
    return {
        (one.alert_id, one.endpoint_id): replace(
            one, attempts=tuple(tried[one.alert_id, one.endpoint_id])
        )
        for one in some
    }


async def _from_blocks(conn: Conn, keys: Sequence[Key]) -> dict[Key, Delivery]:
    if not keys:
        return {}
    columns = [list(column) for column in zip(*keys, strict=True)]
    wanted: dict[int, list[int]] = defaultdict(list)
    for alert_id, endpoint_id in keys:
        wanted[alert_id].append(endpoint_id)
    found = {}
    for row in await conn.fetch(_BLOCKS_OF_KEYS, *columns):
        block = open_block(row, row["chain_hash"], wanted[row["alert_id"]])
        for one in _of_block(row["alert_id"], block, np.ones(len(block), dtype=bool)):
            found[one.alert_id, one.endpoint_id] = one
    return found


def _of_block(alert_id: int, block: Columns, asked: NDArray[np.bool_]) -> Iterator[Delivery]:
    """Take some deliveries with their attempts out of an opened block."""
    firsts = block.first_attempts
    for place in np.flatnonzero(asked).tolist():
        yield _one_of(alert_id, block, place, int(firsts[place]))


def _one_of(alert_id: int, block: Columns, place: int, first: int) -> Delivery:
    count = int(block.attempts[place])
    return Delivery(
        alert_id=alert_id,
        endpoint_id=int(block.endpoint_ids[place]),
        channel=CHANNELS[int(block.channels[place])],
        lang=LANGS[int(block.langs[place])],
        wording=int(block.wordings[place]),
        state=STATES[int(block.states[place])],
        tries=int(block.tries[place]),
        created_at=_moment(int(block.created_at[place])),
        updated_at=_moment(int(block.updated_at[place])),
        reason=_text(block, int(block.reasons[place])),
        attempts=tuple(_attempt(block, n) for n in range(first, first + count)),
    )


def _attempt(block: Columns, place: int) -> Attempt:
    return Attempt(
        int(block.numbers[place]),
        _moment(int(block.at[place])),
        int(block.providers[place]),
        _text(block, int(block.results[place])) or "",
        _text(block, int(block.attempt_reasons[place])),
    )


def _text(block: Columns, place: int) -> str | None:
    return block.texts[place - 1] if place else None


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _told(one: Delivery, news: News) -> Delivery:
    """Lay late news over a delivery."""
    return replace(
        one, state=news.state, reason=news.reason or one.reason, updated_at=news.updated_at
    )


# --- who received an alert -----------------------------------------------------------------------

_ROWS_PAGE = (
    "SELECT * FROM (SELECT {columns} FROM (SELECT * FROM delivery WHERE alert_id = $1"
    "  AND endpoint_id > $2 ORDER BY endpoint_id LIMIT $5) d {news}) d"
    " WHERE ($3::text IS NULL OR channel = $3) AND ($4::text IS NULL OR state = $4)"
    " ORDER BY endpoint_id LIMIT $6"
)
_NEWS = "LEFT JOIN late_news n ON n.alert_id = $1 AND n.endpoint_id = d.endpoint_id"
_LAST_SCANNED = (
    "SELECT endpoint_id FROM delivery WHERE alert_id = $1 AND endpoint_id > $2"
    " ORDER BY endpoint_id OFFSET $3 LIMIT 1"
)
_BLOCKS_PAGE = (
    "SELECT b.*, u.chain_hash FROM archive_block b JOIN audience u USING (alert_id)"
    " WHERE b.alert_id = $1 AND b.last_id > $2 AND (b.kinds & $3 <> 0 OR EXISTS (SELECT"
    "  FROM late_news n WHERE n.alert_id = $1 AND n.endpoint_id BETWEEN b.first_id AND b.last_id))"
    " ORDER BY b.last_id LIMIT $4"
)


async def of_alert(
    conn: Conn, alert_id: int, *, channel: str | None = None, state: str | None = None,
    after: int = -1, limit: int = 50,
) -> Page:  # fmt: skip
    """Return who received an alert, by endpoint id, perhaps one channel or state only.

    Raises ArchiveBrokenError.
    """
    if not await _has_any(conn, alert_id, channel, state):
        return Page((), None)
    standing = await archive.standing(conn, alert_id)
    if standing.packed:
        return await _page_of_blocks(conn, alert_id, channel, state, after, limit)
    sql = _ROWS_PAGE.format(
        columns=_WITH_NEWS if standing.frozen else _PLAIN, news=_NEWS if standing.frozen else ""
    )
    rows = await conn.fetch(sql, alert_id, after, channel, state, _SCANNED, limit)
    some = await _with_attempts(conn, [Delivery(**row) for row in rows])
    if len(rows) == limit:
        return Page(tuple(some.values()), rows[-1]["endpoint_id"])
    scanned: int | None = await conn.fetchval(_LAST_SCANNED, alert_id, after, _SCANNED - 1)
    return Page(tuple(some.values()), scanned)


async def _has_any(conn: Conn, alert_id: int, channel: str | None, state: str | None) -> bool:
    """Ask the counts first: of a state that nobody is in, nothing need be read."""
    counted = state if state in STATES else " + ".join(STATES)
    return bool(
        await conn.fetchval(
            f"SELECT coalesce(sum({counted}), 0) > 0 FROM progress"
            " WHERE alert_id = $1 AND ($2::text IS NULL OR channel::text = $2)",
            alert_id,
            channel,
        )
    )


async def _page_of_blocks(
    conn: Conn, alert_id: int, channel: str | None, state: str | None, after: int, limit: int
) -> Page:
    found: list[Delivery] = []
    kinds, at_once, looked_at = kind_of(channel, state), 1, 0
    while looked_at < _BLOCKS_SCANNED:
        rows = await conn.fetch(_BLOCKS_PAGE, alert_id, after, kinds, at_once)
        for row in rows:
            found += await _of_one_block(conn, row, channel, state, after, limit + 1)
            after = row["last_id"]
            if len(found) > limit:
                return Page(tuple(found[:limit]), found[limit - 1].endpoint_id)
        if len(rows) < at_once:
            return Page(tuple(found), None)
        looked_at, at_once = looked_at + len(rows), _BLOCKS_AT_ONCE
    return Page(tuple(found), after)


async def _of_one_block(
    conn: Conn, row: Record, channel: str | None, state: str | None, after: int, most: int
) -> list[Delivery]:
    alert_id, block = row["alert_id"], open_block(row, row["chain_hash"])
    late = await archive.late_news_between(conn, alert_id, row["first_id"], row["last_id"])
    told = np.isin(block.endpoint_ids, list(late))
    wanted = block.endpoint_ids > after
    if channel is not None:
        wanted &= block.channels == CHANNELS.index(channel)
    if state is not None:
        wanted &= told | (block.states == STATES.index(state))
    heard = (
        _told(one, late[one.endpoint_id]) if one.endpoint_id in late else one
        for one in _of_block(alert_id, block, wanted)
    )
    return list(islice((one for one in heard if state in (None, one.state)), most))


_WHOLE = (
    "SELECT coalesce(string_agg(int8send(endpoint_id), ''), '') FROM (SELECT d.endpoint_id"
    f"  FROM delivery d {_NEWS} WHERE d.alert_id = $1 AND d.wording = ANY($3)"
    "  AND coalesce(n.state, d.state)::text = ANY($2) ORDER BY 1) d"
)
_ALL_BLOCKS = (
    "SELECT b.*, u.chain_hash FROM archive_block b JOIN audience u USING (alert_id)"
    " WHERE b.alert_id = $1 AND b.last_id > $2 ORDER BY b.last_id LIMIT 256"
)
ARRIVED = ("handed_off", "confirmed", "seen", "unknown")
"""States of what reached somebody, or may have: unknown was written to a carrier."""


async def reached_by(
    conn: Conn, alert_id: int, wordings: Sequence[int] = (0, 1, 2)
) -> NDArray[np.int64]:
    """Return the sorted ids of all endpoints an alert may have reached with one of these wordings.

    Raises ArchiveBrokenError.
    """
    if not (await archive.standing(conn, alert_id)).packed:
        value = await conn.fetchval(_WHOLE, alert_id, ARRIVED, wordings)
        return np.frombuffer(value, ">i8").astype(np.int64)
    late = await archive.late_news_between(conn, alert_id, 0, 2**62)
    found, last = [np.zeros(0, dtype=np.int64)], -1
    while rows := await conn.fetch(_ALL_BLOCKS, alert_id, last):
        last = rows[-1]["last_id"]
        found += [await asyncio.to_thread(_arrived, row, wordings, late) for row in rows]
    return np.concatenate(found)


def _arrived(row: Record, wordings: Sequence[int], late: dict[int, News]) -> NDArray[np.int64]:
    block = open_block(row, row["chain_hash"])
    arrived = np.isin(block.states, [STATES.index(state) for state in ARRIVED])
    for endpoint_id, news in late.items():
        arrived[block.endpoint_ids == endpoint_id] = news.state in ARRIVED
    return block.endpoint_ids[arrived & np.isin(block.wordings, list(wordings))]


# --- what a person received ----------------------------------------------------------------------

_LIVE = (
    "SELECT u.alert_id FROM audience u LEFT JOIN archive c USING (alert_id)"
    " CROSS JOIN LATERAL (SELECT FROM delivery d WHERE d.alert_id = u.alert_id"
    "  AND d.endpoint_id = ANY($1) LIMIT 1) d WHERE c.packed_at IS NULL"
)
_UNLISTED = (
    "SELECT c.alert_id, e.id, b.first_id, b.ids FROM archive c"
    " CROSS JOIN unnest($1::bigint[]) AS e(id)"
    " CROSS JOIN LATERAL (SELECT first_id, ids FROM archive_block WHERE alert_id = c.alert_id"
    "  AND last_id >= e.id ORDER BY last_id LIMIT 1) b"
    " WHERE c.segment_id IS NULL AND c.packed_at IS NOT NULL AND b.first_id <= e.id"
)


async def alerts_to(conn: Conn, endpoint_ids: Sequence[int]) -> set[int]:
    """Return every alert that was written to one of these endpoints."""
    # In the order in which an alert passes through them: one on its way is met at least once.
    rows = await conn.fetch(_LIVE, endpoint_ids)
    alerts = {row["alert_id"] for row in rows}
    for alert_id, endpoint_id, first, ids in await conn.fetch(_UNLISTED, endpoint_ids):
        if alert_id not in alerts and endpoint_id in unpack_ids(first, ids):
            alerts.add(alert_id)
    return alerts | await segments.alerts_to(conn, endpoint_ids)
