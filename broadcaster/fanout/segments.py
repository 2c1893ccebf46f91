"""The way from an endpoint to the packed alerts that were written to it.

A segment lists up to 64 alerts. For every 512 endpoints it has one row: a bit an endpoint, a plane
of bits an alert. It is built in pieces when enough packed alerts are in none, and asked once it is
whole; until then those alerts are looked up in their blocks, one by one.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout.blocks import ArchiveBrokenError, Numbers, unpack_ids

ALERTS = 64
"""Alerts of a segment: a year's thousands are some dozen rows to read for one endpoint."""
SPAN = 512
"""Endpoints of a row, so that a full row stays within a page."""
WAIT = timedelta(days=30)
"""Fewer alerts than a segment holds are listed together after this long."""
_PIECE = 256 * SPAN
_PLANE = SPAN // 8
_LEVEL = 6

_DUE = (
    "SELECT alert_id, packed_at FROM archive"
    " WHERE segment_id IS NULL AND packed_at IS NOT NULL ORDER BY alert_id LIMIT $1"
)
_NEXT_ID = (
    "SELECT min(b.first_id) FROM unnest($1::bigint[]) AS a(id) CROSS JOIN LATERAL ("
    " SELECT greatest(first_id, $2) AS first_id FROM archive_block"
    " WHERE alert_id = a.id AND last_id >= $2 ORDER BY last_id LIMIT 1) b"
)
_IDS = (
    "SELECT alert_id, first_id, ids FROM archive_block"
    " WHERE alert_id = $1 AND last_id >= $2 AND first_id < $3 ORDER BY last_id"
)
_MASKS = (
    "SELECT m.block, m.masks, s.alert_ids FROM archive_mask m JOIN archive_segment s"
    " USING (segment_id) WHERE m.block = ANY($1) AND s.built_at IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class _Open:
    """A segment under construction."""

    segment_id: int
    alert_ids: list[int]
    through: int


async def alerts_to(conn: Conn, endpoint_ids: Sequence[int]) -> set[int]:
    """Return the listed alerts that were written to one of these endpoints."""
    rows = await conn.fetch(_MASKS, sorted({endpoint // SPAN for endpoint in endpoint_ids}))
    alerts: set[int] = set()
    for block, masks, alert_ids in rows:
        planes = _open(masks)
        for endpoint in endpoint_ids:
            if endpoint // SPAN == block:
                byte, bit = divmod(endpoint % SPAN, 8)
                hit = np.flatnonzero(planes[:, byte] & (0x80 >> bit))
                alerts.update(alert_ids[place] for place in hit.tolist())
    return alerts


async def build(pool: Pool, now: datetime) -> int:
    """Build a segment if one is due, piece by piece; returns how many pieces were written."""
    pieces = 0
    while await _one_piece(pool, now):
        pieces += 1
    return pieces


async def _one_piece(pool: Pool, now: datetime) -> bool:
    """Write a piece in one transaction; whoever holds the segment's row is the one at it."""
    async with transaction(pool) as conn:
        segment = await _open_one(conn, now)
        if segment is None:
            return False
        low = await conn.fetchval(_NEXT_ID, segment.alert_ids, segment.through + 1)
        if low is None:
            await _close(conn, now, segment)
            return True
        start = low // SPAN * SPAN
        found = [await _ids(conn, alert_id, start) for alert_id in segment.alert_ids]
        rows = await asyncio.to_thread(_rows, segment.segment_id, start, found)
        await conn.copy_records_to_table(
            "archive_mask", records=rows, columns=["block", "segment_id", "masks"]
        )
        await conn.execute(
            "UPDATE archive_segment SET through = $2 WHERE segment_id = $1",
            segment.segment_id,
            start + _PIECE - 1,
        )
        return True


async def _open_one(conn: Conn, now: datetime) -> _Open | None:
    """Take the segment under construction, or begin one; None: nothing is due, or not ours."""
    row = await conn.fetchrow(
        "SELECT segment_id, alert_ids, through FROM archive_segment WHERE built_at IS NULL"
        " FOR UPDATE SKIP LOCKED"
    )
    if row is None:
        due = await conn.fetch(_DUE, ALERTS)
        if not due or (len(due) < ALERTS and now - min(r["packed_at"] for r in due) < WAIT):
            return None
        # Another process may have begun one meanwhile: there is room for one only.
        row = await conn.fetchrow(
            "INSERT INTO archive_segment (alert_ids, begun_at) VALUES ($1, $2)"
            " ON CONFLICT DO NOTHING RETURNING segment_id, alert_ids, through",
            [r["alert_id"] for r in due],
            now,
        )
    return None if row is None else _Open(row["segment_id"], row["alert_ids"], row["through"])


async def _close(conn: Conn, now: datetime, segment: _Open) -> None:
    await conn.execute(
        "UPDATE archive_segment SET built_at = $2 WHERE segment_id = $1", segment.segment_id, now
    )
    await conn.execute(
        "UPDATE archive SET segment_id = $1 WHERE alert_id = ANY($2)",
        segment.segment_id,
        segment.alert_ids,
    )


async def _ids(conn: Conn, alert_id: int, start: int) -> list[tuple[int, bytes]]:
    rows = await conn.fetch(_IDS, alert_id, start, start + _PIECE)
    return [(row["first_id"], row["ids"]) for row in rows]


def _rows(
    segment_id: int, start: int, found: Sequence[Sequence[tuple[int, bytes]]]
) -> list[tuple[int, int, bytes]]:
    """Return the rows of one piece; rows of endpoints that got nothing are left out."""
    planes = np.zeros((len(found), _PIECE), dtype=bool)
    for plane, blocks in zip(planes, found, strict=True):
        for first, ids in blocks:
            plane[_within(unpack_ids(first, ids) - start)] = True
    bits = np.packbits(planes, axis=1).reshape(len(found), -1, _PLANE).swapaxes(0, 1)
    return [
        (start // SPAN + place, segment_id, zlib.compress(bits[place].tobytes(), _LEVEL))
        for place in np.flatnonzero(bits.any(axis=(1, 2))).tolist()
    ]


def _within(places: Numbers) -> Numbers:
    return places[(places >= 0) & (places < _PIECE)]


def _open(masks: bytes) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(zlib.decompress(masks), np.uint8).reshape(-1, _PLANE)
    except (zlib.error, ValueError) as error:
        raise ArchiveBrokenError("a row of masks cannot be read") from error
