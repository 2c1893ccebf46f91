"""One chunk of an audience: the endpoints of its people, as columns, each endpoint once.

Rows come out of PostgreSQL as one value made of fixed-size rows: at 1.5 million endpoints that
costs a quarter of what one record for each would.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.policy import CHANNELS, CHUNK

_GAP = 8
"""Ids further apart than this are read as two ranges: skipping fewer costs more than reading."""
_LINK = np.dtype([("person", ">i4"), ("endpoint", ">i8")])
_ENDPOINT = np.dtype([("endpoint", ">i8"), ("channel", ">i2"), ("english", ">i2")])

# OFFSET 0 keeps the planner from joining the ranges in any other way than one index scan each.
_LINKS = (
    "SELECT string_agg(int4send(l.person_id) || int8send(l.endpoint_id), '')"
    " FROM unnest($1::integer[], $2::integer[]) AS r(low, high) CROSS JOIN LATERAL ("
    "  SELECT person_id, endpoint_id FROM person_endpoint"
    "  WHERE person_id BETWEEN r.low AND r.high OFFSET 0) l"
)
_ENDPOINTS = (
    "SELECT string_agg(int8send(e.endpoint_id) || int2send(e.channel) || int2send(e.english), '')"
    " FROM unnest($1::bigint[], $2::bigint[]) AS r(low, high) CROSS JOIN LATERAL ("
    "  SELECT endpoint_id, (lang = 'en')::int::int2 AS english, (CASE channel "
    + " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(CHANNELS))
    + " END)::int2 AS channel FROM endpoint WHERE endpoint_id BETWEEN r.low AND r.high"
    "  AND state = 'active' AND channel = ANY($3::channel[]) OFFSET 0) e"
)
_WRITTEN = "SELECT string_agg(int8send(endpoint_id), '') FROM delivery WHERE alert_id = $1"

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Deliveries to write in one transaction, one entry an endpoint, ids ascending."""

    through: int
    """Person id, of a listed step endpoint id: with this chunk everyone up to here is expanded."""
    unreachable: int
    """People of the chunk without one active endpoint on any channel of any step."""
    endpoint_ids: Numbers
    channels: NDArray[np.uint8]
    """Position in CHANNELS."""
    english: NDArray[np.bool_]
    wording: NDArray[np.uint8]
    """Which of the alert's words each gets: 0 its own."""

    def __len__(self) -> int:
        """Count the deliveries."""
        return len(self.endpoint_ids)


class Seen:
    """Endpoints that are written already: a household's appears in several chunks.

    Ids are dense, so a byte for each, in an array that grows, is small and found at once.
    """

    def __init__(self) -> None:
        self._flags: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    @classmethod
    async def of_alert(cls, conn: Conn, alert_id: int) -> Seen:
        """Return what earlier chunks of an alert have written."""
        seen = cls()
        seen.add(_rows(await conn.fetchval(_WRITTEN, alert_id), np.dtype(">i8")).astype(np.int64))
        return seen

    def add(self, ids: Numbers) -> None:
        """Remember endpoints."""
        if len(ids):
            self._grow(int(ids.max()) + 1)
            self._flags[ids] = True

    def holds(self, ids: Numbers) -> NDArray[np.bool_]:
        """Tell of each endpoint whether it was written."""
        if len(ids):
            self._grow(int(ids.max()) + 1)
        return self._flags[ids]

    def _grow(self, size: int) -> None:
        if size > len(self._flags):
            larger = np.zeros(max(size, 2 * len(self._flags)), dtype=bool)
            larger[: len(self._flags)] = self._flags
            self._flags = larger


Words = Callable[[Numbers], NDArray[np.uint8]]
"""From endpoint ids to the wording each of them gets."""
Spares = Callable[[Conn, Numbers], Awaitable[Numbers]]
"""From endpoint ids to those whose people are left out of this step."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one step wants of the endpoints of its people."""

    channels: Sequence[str]
    counted: Sequence[str] = ()
    """Channels by which somebody is reachable at all; none: nobody is counted in this step."""
    words: Words | None = None
    spares: Spares | None = None
    only: Numbers | None = None
    """The endpoints an exercise may be written to, sorted; None: any."""


async def read(conn: Conn, people: Ids, ask: Ask, seen: Seen) -> Chunk:
    """Read the deliveries of these people (sorted, at least one) that are not yet `seen`.

    Takes fewer people where they have more than CHUNK endpoints: `through` says how many.
    """
    links = _rows(await conn.fetchval(_LINKS, *_ranges(people)), _LINK)
    links = links[among(links["person"].astype(np.int64), people.astype(np.int64))]
    if ask.only is not None:
        links = links[among(links["endpoint"].astype(np.int64), ask.only)]
    links = links[np.argsort(links["person"], kind="stable")]
    if ask.spares is not None:
        links = await _without(conn, links, ask.spares)
    wanted = _ranges(links["endpoint"].astype(np.int64))
    channels = sorted({*ask.channels, *ask.counted})
    found = _rows(await conn.fetchval(_ENDPOINTS, *wanted, channels), _ENDPOINT)
    return _chunk(people, links, found[np.argsort(found["endpoint"])], ask, seen)


async def _without(conn: Conn, links: NDArray[Any], spares: Spares) -> NDArray[Any]:
    """Drop every link of people of whom one endpoint says that they need nothing more."""
    endpoints = np.unique(links["endpoint"].astype(np.int64))
    spared = among(links["endpoint"].astype(np.int64), await spares(conn, endpoints))
    people = np.unique(links["person"][spared].astype(np.int64))
    return links[~among(links["person"].astype(np.int64), people)]


async def read_listed(
    conn: Conn, endpoint_ids: Numbers, channels: Sequence[str], wording: int, seen: Seen
) -> Chunk:
    """Read the deliveries to these endpoints (sorted, at least one) that are not yet `seen`.

    Those retired since they were listed are left out.
    """
    rows = _rows(await conn.fetchval(_ENDPOINTS, *_ranges(endpoint_ids), channels), _ENDPOINT)
    found = rows[np.argsort(rows["endpoint"])]
    ids = found["endpoint"].astype(np.int64)
    taken = among(ids, endpoint_ids) & ~seen.holds(ids)
    seen.add(ids[taken])
    return _columns(int(endpoint_ids[-1]), 0, found[taken], lambda some: _same(some, wording))


def _same(ids: Numbers, wording: int) -> NDArray[np.uint8]:
    return np.full(len(ids), wording, dtype=np.uint8)


def _chunk(people: Ids, links: NDArray[Any], found: NDArray[Any], ask: Ask, seen: Seen) -> Chunk:
    """Join links with endpoints; `links` are sorted by person, `found` by endpoint."""
    known = found["endpoint"].astype(np.int64)
    reaching = among(links["endpoint"].astype(np.int64), known)
    person = links["person"][reaching].astype(np.int64)
    endpoint = links["endpoint"][reaching].astype(np.int64)
    fresh = ~seen.holds(endpoint)
    if not set(ask.counted) <= set(ask.channels):
        numbers = [CHANNELS.index(channel) for channel in ask.channels]
        fresh &= np.isin(found["channel"][np.searchsorted(known, endpoint)], numbers)
    # The first of those who share an endpoint brings it along.
    ids, first = np.unique(endpoint[fresh], return_index=True)
    brought_by = person[fresh][first]
    through = int(people[-1])
    if len(ids) > CHUNK:
        through = _cut(people, brought_by)
        ids = ids[brought_by <= through]
    unreachable = 0
    if ask.counted:
        taken = int(np.searchsorted(people, through, side="right"))
        reached = int(np.count_nonzero(np.diff(person[person <= through], prepend=-1)))
        unreachable = taken - reached
    seen.add(ids)
    rows = found[np.searchsorted(known, ids)]
    return _columns(through, unreachable, rows, ask.words or (lambda some: _same(some, 0)))


def _columns(through: int, unreachable: int, rows: NDArray[Any], words: Words) -> Chunk:
    ids = rows["endpoint"].astype(np.int64)
    return Chunk(
        through=through,
        unreachable=unreachable,
        endpoint_ids=ids,
        channels=rows["channel"].astype(np.uint8),
        english=rows["english"].astype(bool),
        wording=words(ids),
    )


def _cut(people: Ids, brought_by: Numbers) -> int:
    """Return the last person with whom the endpoints are at most CHUNK; the first one at least."""
    one_too_many = np.sort(brought_by)[CHUNK]
    return int(people[max(0, int(np.searchsorted(people, one_too_many)) - 1)])


def _rows(value: bytes | None, shape: np.dtype[Any]) -> NDArray[Any]:
    return np.frombuffer(value or b"", dtype=shape)


def among(values: Numbers, known: Numbers) -> NDArray[np.bool_]:
    """Tell of each value whether it is one of the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == values
    return found


def _ranges(ids: NDArray[Any]) -> tuple[list[int], list[int]]:
    """Return (lows, highs) of the ranges that hold the ids, with small gaps read along."""
    if not len(ids):
        return [], []
    ordered = np.sort(ids.astype(np.int64))
    breaks = np.flatnonzero(np.diff(ordered) > _GAP)
    lows = ordered[np.append(0, breaks + 1)]
    highs = ordered[np.append(breaks, len(ordered) - 1)]
    return lows.tolist(), highs.tolist()
