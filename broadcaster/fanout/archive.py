"""The archive's tables: who is in it, blocks in and out, and news that comes after.

An alert begins to be archived when nothing of it can move any more. From then on its rows are
frozen: what phones and carriers still say goes to `late_news`, which every reader lays over rows
and blocks alike. Rows are read until `packed_at` is set, blocks from then on, and the rows stay
for a while after it; so a reader needs no lock, and whichever it takes, the answer is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from asyncpg import Record

from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.fanout import blocks, letters, moves, progress
from broadcaster.fanout.blocks import LANGS, STATES, ArchiveBrokenError, Columns, Numbers
from broadcaster.fanout.moves import Move
from broadcaster.fanout.policy import CHANNELS
from broadcaster.states import DELIVERY_MOVES, DeliveryState

_CHANNEL = (
    "CASE d.channel "
    + " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(CHANNELS))
    + " END"
)
_STATE = (
    "CASE d.state "
    + " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(STATES))
    + " END"
)
# One value for all numbers of a column: a record for each row would take ten times as long.
_ROWS = (
    "SELECT coalesce(string_agg(int8send(endpoint_id), ''), '') AS ids,"
    " coalesce(string_agg(int2send(channel) || int2send(lang) || int2send(state)"
    "  || int2send(wording) || int2send(attempts), ''), '') AS facts,"
    " coalesce(string_agg(timestamptz_send(created_at) || timestamptz_send(updated_at), ''), '')"
    "  AS times, array_agg(reason) AS reasons"
    f" FROM (SELECT d.endpoint_id, ({_CHANNEL})::int2 AS channel,"
    f"  (CASE d.lang WHEN '{LANGS[1]}' THEN 1 ELSE 0 END)::int2 AS lang,"
    f"  ({_STATE})::int2 AS state, d.wording, d.attempts, d.created_at, d.updated_at, d.reason"
    "  FROM delivery d WHERE d.alert_id = $1 AND d.endpoint_id > $2"
    "  ORDER BY d.endpoint_id LIMIT $3) d"
)
_ATTEMPTS = (
    "SELECT coalesce(string_agg(int8send(endpoint_id), ''), '') AS ids,"
    " coalesce(string_agg(int2send(attempt) || int2send(provider_id), ''), '') AS facts,"
    " coalesce(string_agg(timestamptz_send(at), ''), '') AS times,"
    " array_agg(result) AS results, array_agg(reason) AS reasons"
    " FROM (SELECT * FROM attempt WHERE alert_id = $1 AND endpoint_id > $2 AND endpoint_id <= $3"
    "  ORDER BY endpoint_id, {order}) t"
)
IN_ORDER = "at, attempt, fence, result, reason"
"""Of the attempts of one delivery: as they happened."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an alert is on its way into the archive."""

    frozen: bool
    packed: bool


async def standing(conn: Conn, alert_id: int) -> Standing:
    """Tell whether an alert's rows are frozen, and whether its blocks have taken their place."""
    row = await conn.fetchrow("SELECT packed_at FROM archive WHERE alert_id = $1", alert_id)
    return Standing(row is not None, row is not None and row["packed_at"] is not None)


async def read_rows(conn: Conn, alert_id: int, after: int, most: int) -> Columns | None:
    """Read up to `most` deliveries behind an endpoint id with their attempts; None: no more."""
    row = await _one(conn, _ROWS, alert_id, after, most)
    ids = _numbers(row["ids"], 1)[:, 0]
    if not len(ids):
        return None
    tried = await _one(conn, _ATTEMPTS.format(order=IN_ORDER), alert_id, after, int(ids[-1]))
    of = _numbers(tried["ids"], 1)[:, 0]
    places = np.searchsorted(ids, of)
    if not np.array_equal(ids[places], of):
        raise ArchiveBrokenError(f"alert {alert_id} has attempts without a delivery")
    channels, langs, states, wordings, tries = _numbers(row["facts"], 5, ">i2").T
    created_at, updated_at = _numbers(row["times"], 2).T
    numbers, providers = _numbers(tried["facts"], 2, ">i2").T
    texts: dict[str, int] = {}
    told = [_places(texts, column)
            for column in (row["reasons"], tried["results"], tried["reasons"])]  # fmt: skip
    return Columns(
        endpoint_ids=ids, channels=channels, langs=langs, states=states, wordings=wordings,
        tries=tries, created_at=created_at, updated_at=updated_at, reasons=told[0],
        attempts=np.bincount(places, minlength=len(ids)), numbers=numbers,
        at=_numbers(tried["times"], 1)[:, 0], providers=providers, results=told[1],
        attempt_reasons=told[2], texts=tuple(texts),
    )  # fmt: skip


async def _one(conn: Conn, sql: str, *values: int) -> Record:
    (row,) = await conn.fetch(sql, *values)
    return row


def _numbers(value: bytes, width: int, kind: str = ">i8") -> Numbers:
    return np.frombuffer(value, kind).astype(np.int64).reshape(-1, width)


def _places(texts: dict[str, int], told: Sequence[str | None] | None) -> Numbers:
    """Return where each text stands among those seen so far, from 1; 0 for NULL."""
    return np.array(
        [0 if one is None else texts.setdefault(one, len(texts) + 1) for one in told or ()],
        dtype=np.int64,
    )


async def write_blocks(conn: Conn, alert_id: int, packed: Sequence[blocks.Block]) -> None:
    """Store blocks of an alert."""
    await conn.copy_records_to_table(
        "archive_block",
        records=[
            (alert_id, b.last_id, b.first_id, b.kinds, b.digest, b.ids, b.facts) for b in packed
        ],
        columns=["alert_id", "last_id", "first_id", "kinds", "digest", "ids", "facts"],
    )


def open_block(row: Record, chain_hash: bytes, wanted: Sequence[int] | None = None) -> Columns:
    """Open a row of `archive_block`, or only what it has of the wanted endpoints.

    Raises ArchiveBrokenError when it is not what was packed.
    """
    first, ids, facts = row["first_id"], row["ids"], row["facts"]
    if blocks.digest(chain_hash, first, ids, facts) != row["digest"]:
        raise ArchiveBrokenError(f"a block of alert {row['alert_id']} from endpoint {first} on")
    if wanted is None:
        return blocks.unpack(first, ids, facts)
    return blocks.pick(first, ids, facts, np.array(wanted, dtype=np.int64))


@contextmanager
def refusing() -> Iterator[None]:
    """Refuse in words when what is asked for stands in a block that is not what was packed."""
    try:
        yield
    except ArchiveBrokenError as error:
        raise Refused(
            "archive_broken",
            "Kho lưu của tin này không khớp mã kiểm tra nên không trả lời được."
            " Hãy báo người vận hành.",
            "The archive of this alert does not match its digests, so it gives no answer."
            " Tell the operators.",
        ) from error


# --- what comes after ----------------------------------------------------------------------------

_CURRENT = (
    "SELECT d.endpoint_id, d.channel::text AS channel, coalesce(n.state, d.state)::text AS state"
    " FROM delivery d LEFT JOIN late_news n USING (alert_id, endpoint_id)"
    " WHERE d.alert_id = $1 AND d.endpoint_id = ANY($2)"
)
# The last of several blocks whose range begins before an id may end before it.
_BLOCKS = (
    "SELECT DISTINCT ON (b.last_id) b.*, u.chain_hash FROM unnest($2::bigint[]) AS e(id)"
    " CROSS JOIN LATERAL (SELECT * FROM archive_block"
    "  WHERE alert_id = $1 AND last_id >= e.id ORDER BY last_id LIMIT 1) b"
    " JOIN audience u ON u.alert_id = b.alert_id WHERE b.first_id <= e.id ORDER BY b.last_id"
)


async def forward(conn: Conn, now: datetime, alert_id: int, news: Sequence[Move]) -> int:
    """Move deliveries by what came back, archived or not; returns how many moved.

    What `moves.move` does for rows: forward only, counts in the same transaction. For a frozen
    alert the news is a small row of its own. Call it before any other lock of the alert's rows.
    """
    if not news:
        return 0
    if not await conn.fetchval("SELECT deliveries_frozen($1)", alert_id):
        return await moves.move(conn, now, alert_id, news)
    # One at a time: what a delivery may become depends on the news before.
    await conn.execute("SELECT FROM archive WHERE alert_id = $1 FOR UPDATE", alert_id)
    known = await _current(conn, alert_id, sorted({one.endpoint_id for one in news}))
    moved = []
    for one in news:
        channel, state = known.get(one.endpoint_id, ("", None))
        if state is None or one.target is None:
            continue
        target = DeliveryState(one.target)
        if target in DELIVERY_MOVES[state]:
            moved.append((channel, state.value, one))
            known[one.endpoint_id] = channel, target
    await _note(conn, now, alert_id, [one for _, _, one in moved])
    for name in sorted({channel for channel, _, _ in moved}):
        steps = [(old, str(one.target), 1) for channel, old, one in moved if channel == name]
        await progress.shift(conn, alert_id, name, steps)
    await letters.drop(
        conn, alert_id, [one.endpoint_id for _, _, one in moved if one.target != "failed"]
    )
    return len(moved)


async def _current(
    conn: Conn, alert_id: int, endpoint_ids: list[int]
) -> dict[int, tuple[str, DeliveryState]]:
    """Return channel and state of those deliveries that exist."""
    if not (await standing(conn, alert_id)).packed:
        rows = await conn.fetch(_CURRENT, alert_id, endpoint_ids)
        return {row["endpoint_id"]: (row["channel"], DeliveryState(row["state"])) for row in rows}
    late = await late_news(conn, [alert_id], endpoint_ids)
    current = {}
    for row in await conn.fetch(_BLOCKS, alert_id, endpoint_ids):
        columns = open_block(row, row["chain_hash"])
        for place in np.flatnonzero(np.isin(columns.endpoint_ids, endpoint_ids)).tolist():
            endpoint_id = int(columns.endpoint_ids[place])
            said = late.get((alert_id, endpoint_id))
            state = said.state if said else STATES[int(columns.states[place])]
            current[endpoint_id] = CHANNELS[int(columns.channels[place])], DeliveryState(state)
    return current


async def _note(conn: Conn, now: datetime, alert_id: int, moved: Sequence[Move]) -> None:
    await conn.executemany(
        "INSERT INTO late_news (alert_id, endpoint_id, state, reason, updated_at)"
        " VALUES ($1, $2, $3, nullif($4, ''), $5)"
        " ON CONFLICT (alert_id, endpoint_id) DO UPDATE SET state = excluded.state,"
        "  reason = coalesce(excluded.reason, late_news.reason),"
        "  updated_at = excluded.updated_at",
        [(alert_id, one.endpoint_id, one.target, one.reason, now) for one in moved],
    )


@dataclass(frozen=True, slots=True)
class News:
    """What became known of a delivery after it was frozen."""

    state: str
    reason: str | None
    """None: nothing new was said of it."""
    updated_at: datetime


async def late_news(
    conn: Conn, alert_ids: Sequence[int], endpoint_ids: Sequence[int]
) -> dict[tuple[int, int], News]:
    """Return the late news of these endpoints by (alert, endpoint)."""
    rows = await conn.fetch(
        "SELECT alert_id, endpoint_id, state::text AS state, reason, updated_at FROM late_news"
        " WHERE alert_id = ANY($1) AND endpoint_id = ANY($2)",
        alert_ids,
        endpoint_ids,
    )
    return {
        (row["alert_id"], row["endpoint_id"]): News(row["state"], row["reason"], row["updated_at"])
        for row in rows
    }


async def late_news_between(conn: Conn, alert_id: int, first: int, last: int) -> dict[int, News]:
    """Return the late news of an alert for a range of endpoints."""
    rows = await conn.fetch(
        "SELECT endpoint_id, state::text AS state, reason, updated_at FROM late_news"
        " WHERE alert_id = $1 AND endpoint_id BETWEEN $2 AND $3",
        alert_id,
        first,
        last,
    )
    return {row["endpoint_id"]: News(row["state"], row["reason"], row["updated_at"])
            for row in rows}  # fmt: skip
