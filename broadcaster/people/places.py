"""The places of people as the index wants them: read from the tables, and packed into records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from broadcaster.db import Conn
from broadcaster.people.columns import copy_columns
from targeting.index import CHANNELS, NO_POINT, Columns

RECORD = np.dtype(
    [
        ("person", "<i4"),
        ("unit", "<i4"),
        ("x", "<i4"),
        ("y", "<i4"),
        ("ends", "<i8"),
        ("place", "u1"),
        ("reach", "u1"),
    ]
)
"""One row a place: x and y in 1e-5 degree or NO_POINT, `ends` in microseconds since 1970 or NEVER,
`reach` the bits of the channels that are active and ENGLISH. Records stand by person and place."""
NEVER = 2**63 - 1
ENGLISH = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Places: TypeAlias = NDArray[np.void]

_BIT = (
    "CASE e.channel "
    + " ".join(f"WHEN '{name}' THEN {bit}" for name, bit in CHANNELS.items())
    + " ELSE 0 END"
)
# One statement, so that what it returns was true at one moment. A point is worth more than any
# unit; candidates count only where there is none. Who claimed addresses and has proven none of
# them is no one yet; a list or a drawn city claims none.
_PLACES = f"""
WITH wanted AS MATERIALIZED (SELECT unnest('{{{{{{}}}}}}'::int[]) AS person_id)
SELECT l.person_id, coalesce(c.unit_id, l.unit_id) AS unit_id,
    coalesce(t.x, {NO_POINT}), coalesce(t.y, {NO_POINT}),
    coalesce((extract(epoch FROM nullif(l.expires_at, 'infinity')) * 1000000)::bigint, {NEVER}),
    l.place_no, CASE p.lang WHEN 'en' THEN {ENGLISH} ELSE 0 END + coalesce(r.channels, 0)
FROM wanted JOIN person p USING (person_id) JOIN person_place l USING (person_id)
LEFT JOIN person_point t USING (person_id, place_no)
LEFT JOIN place_candidate c ON c.person_id = l.person_id AND c.place_no = l.place_no AND t.x IS NULL
LEFT JOIN (SELECT person_id, bit_or(CASE e.state WHEN 'active' THEN {_BIT} ELSE 0 END) AS channels
    FROM wanted JOIN person_endpoint USING (person_id) JOIN endpoint e USING (endpoint_id)
    GROUP BY person_id) r ON r.person_id = l.person_id
WHERE p.left_at IS NULL AND (r.person_id IS NOT NULL OR NOT EXISTS (
    SELECT FROM endpoint_claim o WHERE o.person_id = p.person_id AND o.used_at IS NULL))
ORDER BY l.person_id, l.place_no, unit_id
"""
_SENT = [
    ("person", "i4"),
    ("unit", "i4"),
    ("x", "i4"),
    ("y", "i4"),
    ("ends", "i8"),
    ("place", "i2"),
    ("reach", "i4"),
]


async def read_places(conn: Conn, person_ids: ArrayLike) -> Places:
    """Read the places of some people from the tables they are kept in: 10 to 20 µs a person.

    Who has left has none; what has ended or not is left to whoever asks.
    """
    ids = np.unique(np.asarray(person_ids, dtype=np.int32))
    if not len(ids):
        return np.empty(0, RECORD)
    # COPY takes no parameters, and these are numbers.
    query = _PLACES.format(",".join(map(str, ids.tolist())))
    return pack(await copy_columns(conn, query, _SENT))


def pack(rows: NDArray[np.void]) -> Places:
    """Return rows that have the fields of RECORD as records."""
    places = np.empty(len(rows), RECORD)
    for name in RECORD.names or ():
        places[name] = rows[name]
    return places


def in_force(places: Places, now: datetime) -> Columns:
    """Return the places that have not ended, as the columns of an index."""
    moment = (now - _EPOCH) // timedelta(microseconds=1)
    if len(places) and int(places["ends"].min()) <= moment:
        places = places[places["ends"] > moment]
    return Columns(
        person_ids=places["person"].astype(np.uint32),
        lons=places["x"].astype(np.int32),
        lats=places["y"].astype(np.int32),
        unit_ids=places["unit"].astype(np.uint32),
        channels=places["reach"] & np.uint8(ENGLISH - 1),
        langs=places["reach"] // np.uint8(ENGLISH),
    )


def join(parts: Sequence[Columns]) -> Columns:
    """Return the rows of all parts, one part after the other."""
    none = in_force(np.empty(0, RECORD), _EPOCH)
    return Columns(*(np.concatenate(columns) for columns in zip(none, *parts, strict=True)))


def rows_of(columns: Columns, rows: NDArray[np.bool_]) -> Columns:
    """Return the rows that are set."""
    return Columns(
        person_ids=columns.person_ids[rows],
        lons=columns.lons[rows],
        lats=columns.lats[rows],
        unit_ids=columns.unit_ids[rows],
        channels=columns.channels[rows],
        langs=columns.langs[rows],
    )
