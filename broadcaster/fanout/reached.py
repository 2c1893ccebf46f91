"""Whom the messages of a root reached so far, and what a follow-up has to say to them.

An update goes out as a difference: whoever is newly covered gets the whole of it, whoever was
reached before the short one, and whoever was reached and is covered no longer is told so. A cancel
and a correction go to exactly those reached.

Ids come out of PostgreSQL as one value made of fixed-size rows and are compared by numpy: one
record for each of 1.5 million deliveries would take several times as long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from broadcaster.db import Conn
from broadcaster.fanout import archive, audience, deliveries
from broadcaster.fanout.audience import Ids

Endpoints = NDArray[np.int64]

WHOLE, SHORT, LEFT = 0, 1, 2
"""delivery.wording: the alert's own, the short update, “no longer covers your place”."""
EXACT = frozenset({"cancel", "correction"})
"""Kinds that are sent to those reached and to nobody else, whoever the area covers by now."""

_PIECE = 100_000
_SPARSE = 16
"""Ids further apart than this on average are looked up one by one, not read as a range."""
_LINK = np.dtype([("endpoint", ">i8"), ("person", ">i4")])

_EARLIER = (
    "SELECT b.alert_id FROM alert a JOIN alert b"
    " ON coalesce(b.root_id, b.alert_id) = coalesce(a.root_id, a.alert_id)"
    " AND b.sequence < a.sequence"
    " WHERE a.alert_id = $1 AND b.started_at IS NOT NULL ORDER BY b.sequence DESC"
)
# Unknown was written to a carrier that did not answer: it may have arrived.
_TOLD = (
    "SELECT string_agg(int8send(endpoint_id), '') FILTER (WHERE wording <> 2) AS kept,"
    " string_agg(int8send(endpoint_id), '') FILTER (WHERE wording = 2) AS left_out"
    " FROM delivery WHERE alert_id = $1"
    " AND state IN ('handed_off', 'confirmed', 'seen', 'unknown')"
)
_LINKS = (
    "SELECT string_agg(int8send(endpoint_id) || int4send(person_id), '') FROM person_endpoint"
    " WHERE "
)
_OF_CHANNELS = (
    "SELECT string_agg(int8send(endpoint_id), '') FROM endpoint"
    " WHERE channel = ANY($1::channel[]) AND "
)
# What is still pending may be handed off before the follow-up begins.
_REACHING = (
    "SELECT DISTINCT p.channel::text FROM progress p JOIN alert b USING (alert_id), alert a"
    " WHERE a.alert_id = $1 AND coalesce(b.root_id, b.alert_id) = coalesce(a.root_id, a.alert_id)"
    " AND b.sequence < a.sequence"
    " AND p.pending + p.handed_off + p.confirmed + p.seen + p.unknown > 0 ORDER BY 1"
)
_LEFT_OUT = "SELECT people FROM audience_step WHERE alert_id = $1 AND wording = 2"
_OTHERS_LIVE = (
    "SELECT o.alert_id, s.content_hash FROM alert o"
    " JOIN alert_snapshot s ON s.alert_id = o.alert_id AND s.version = o.approved_version"
    " JOIN audience u ON u.alert_id = o.alert_id, alert a"
    " WHERE a.alert_id = $1 AND o.state IN ('sending', 'sent') AND o.expires > $2"
    " AND o.superseded_by IS NULL AND o.kind IN ('alert', 'update')"
    " AND coalesce(o.root_id, o.alert_id) <> coalesce(a.root_id, a.alert_id)"
    # Whom an exercise covers is covered by nothing real, and the other way round.
    " AND (o.status, o.training) = (a.status, a.training)"
    " ORDER BY o.alert_id DESC"
)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What a follow-up knows of the messages before it."""

    alert_id: int
    kind: str
    reached: Endpoints
    """Endpoint ids, sorted: the newest message that may have arrived there still holds."""

    @property
    def exact(self) -> bool:
        """Whether it goes to those reached and nobody else."""
        return self.kind in EXACT

    def wordings(self, endpoint_ids: Endpoints) -> NDArray[np.uint8]:
        """Return the wording of each endpoint of somebody the alert covers now."""
        if self.kind != "update":
            return np.zeros(len(endpoint_ids), dtype=np.uint8)
        return np.where(_among(endpoint_ids, self.reached), SHORT, WHOLE).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Beyond:
    """Endpoints that get a follow-up because they were reached, not because they are covered."""

    endpoint_ids: Endpoints
    """Sorted."""
    wording: int
    people: Ids
    """Those behind them who get it in no other way, sorted."""


async def follow_up(conn: Conn, alert_id: int) -> FollowUp | None:
    """Read whom a follow-up's predecessors reached; None for an alert that follows nothing.

    Ask when the predecessor is superseded and what its workers have on the wire is accounted for:
    before that more people are still being reached.
    """
    kind = await conn.fetchval("SELECT kind FROM alert WHERE alert_id = $1", alert_id)
    if kind == "alert":
        return None
    ids, newest, said_left = await _told(conn, alert_id)
    # Whoever was told that the place is no longer covered has nothing that could be called off,
    # unless that very message was the error. It said that it is no all-clear: they wait for one.
    holds = ~said_left | (newest if kind == "correction" else kind == "all_clear")
    return FollowUp(alert_id, kind, ids[holds])


async def reached(conn: Conn, alert_id: int) -> Endpoints:
    """Return the sorted ids of endpoints that the messages before this one may have reached."""
    found = await follow_up(conn, alert_id)
    return np.zeros(0, dtype=np.int64) if found is None else found.reached


async def _told(
    conn: Conn, alert_id: int
) -> tuple[Endpoints, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return who got anything, whether by the predecessor itself, and whether it said "left"."""
    ids, newest, said_left = [], [], []
    for position, row in enumerate(await conn.fetch(_EARLIER, alert_id)):
        for found, left in zip(await _of_one(conn, row["alert_id"]), (False, True), strict=True):
            ids.append(found)
            newest.append(np.full(len(found), position == 0))
            said_left.append(np.full(len(found), left))
    if not ids:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    # The first of equal ids is taken, and the newest message stands first.
    unique, first = np.unique(np.concatenate(ids), return_index=True)
    return unique, np.concatenate(newest)[first], np.concatenate(said_left)[first]


async def _of_one(conn: Conn, alert_id: int) -> list[Endpoints]:
    """Return whom one message may have reached: with its words, and with "left"."""
    if (await archive.standing(conn, alert_id)).frozen:
        return [await deliveries.reached_by(conn, alert_id, said)
                for said in ((WHOLE, SHORT), (LEFT,))]  # fmt: skip
    [told] = await conn.fetch(_TOLD, alert_id)
    return [np.frombuffer(packed or b"", dtype=">i8").astype(np.int64) for packed in told]


async def beyond(conn: Conn, now: datetime, follow: FollowUp, covered: Ids) -> Beyond:
    """Return who gets a follow-up besides the people it covers now (sorted ids).

    An update tells those who are covered no longer, by this or any other live alert; an all-clear
    goes to everybody reached, those told that they are covered no longer too; a cancel and a
    correction, which cover nobody, to those for whom something can be called off.
    Raises AudienceBrokenError when the audience of another live alert is not what was frozen.
    """
    endpoint_ids, people = await _links(conn, follow.reached)
    held = _among(people.astype(np.int64), covered.astype(np.int64))
    if follow.kind == "update":
        alone = await in_no_other(conn, now, follow.alert_id, np.unique(people[~held]))
        held |= ~_among(people.astype(np.int64), alone.astype(np.int64))
    keeps = np.unique(endpoint_ids[held])
    outside = ~_among(follow.reached, keeps)
    ids = follow.reached[outside]
    return Beyond(
        ids,
        LEFT if follow.kind == "update" else WHOLE,
        np.unique(people[_among(endpoint_ids, ids)]),
    )


async def in_no_other(conn: Conn, now: datetime, alert_id: int, people: Ids) -> Ids:
    """Return those of these people (sorted ids) whom no other live alert covers.

    Raises AudienceBrokenError when the audience of another one is not what was frozen.
    """
    alone = people
    for row in await conn.fetch(_OTHERS_LIVE, alert_id, now):
        if not len(alone):
            break
        other = await covered_by(conn, row["alert_id"], row["content_hash"])
        alone = np.setdiff1d(alone, other, assume_unique=True)
    return alone


async def earlier(conn: Conn, alert_id: int) -> list[int]:
    """Return the alerts a follow-up comes after that have begun, the newest first."""
    return [row["alert_id"] for row in await conn.fetch(_EARLIER, alert_id)]


async def unheard(conn: Conn, follow: FollowUp, covered: Ids, channels: Sequence[str]) -> Beyond:
    """Return where people who are covered (sorted ids) hear of a follow-up all the same.

    They were reached by a channel it does not go by, and by none of those it goes by. The people
    take part in its other steps, so none is named.
    """
    nobody = np.zeros(0, dtype=np.uint32)
    wording = SHORT if follow.kind == "update" else WHOLE
    if set(await reaching(conn, follow.alert_id)) <= set(channels):
        return Beyond(np.zeros(0, dtype=np.int64), wording, nobody)
    endpoint_ids, people = await _links(conn, follow.reached)
    by_kept = _among(endpoint_ids, await _of_channels(conn, follow.reached, channels))
    hears = _among(people.astype(np.int64), np.unique(people[by_kept].astype(np.int64)))
    needs = ~hears & _among(people.astype(np.int64), covered.astype(np.int64))
    return Beyond(np.unique(endpoint_ids[needs]), wording, nobody)


async def reaching(conn: Conn, alert_id: int) -> tuple[str, ...]:
    """Return the channels by which a follow-up's predecessors reach people, in order of name."""
    return tuple(row[0] for row in await conn.fetch(_REACHING, alert_id))


async def _of_channels(conn: Conn, endpoint_ids: Endpoints, channels: Sequence[str]) -> Endpoints:
    """Return which of these endpoints (sorted) are of these channels, sorted."""
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(endpoint_ids), _PIECE):
        piece = endpoint_ids[start : start + _PIECE]
        low, high = int(piece[0]), int(piece[-1])
        if high - low > _SPARSE * len(piece):
            query = _OF_CHANNELS + "endpoint_id = ANY($2)"
            value = await conn.fetchval(query, channels, piece.tolist())
        else:
            query = _OF_CHANNELS + "endpoint_id BETWEEN $2 AND $3"
            value = await conn.fetchval(query, channels, low, high)
        ids = np.sort(np.frombuffer(value or b"", dtype=">i8").astype(np.int64))
        found.append(piece[_among(piece, ids)])
    return np.concatenate(found)


async def covered_by(conn: Conn, alert_id: int, content_hash: bytes) -> Ids:
    """Return the sorted people an alert covered when they were frozen.

    Of an update these are not all who were frozen: some were told that it covers them no longer.
    Raises AudienceBrokenError, LookupError (nobody is frozen).
    """
    ids = (await audience.read(conn, alert_id, content_hash)).ids
    left = await conn.fetchval(_LEFT_OUT, alert_id)
    if left is None:
        return ids
    return np.setdiff1d(
        ids, np.array(BitMap.deserialize(left), dtype=np.uint32), assume_unique=True
    )


async def left_out(conn: Conn, alert_id: int) -> BitMap:
    """Return the people an update tells that it covers them no longer."""
    left = await conn.fetchval(_LEFT_OUT, alert_id)
    return BitMap() if left is None else BitMap.deserialize(left)


async def _links(conn: Conn, endpoint_ids: Endpoints) -> tuple[Endpoints, Ids]:
    """Return endpoint and person of every link of these endpoints (sorted)."""
    found = [piece async for piece in _link_pieces(conn, endpoint_ids)]
    rows = np.concatenate(found) if found else np.zeros(0, dtype=_LINK)
    return rows["endpoint"].astype(np.int64), rows["person"].astype(np.uint32)


async def _link_pieces(conn: Conn, endpoint_ids: Endpoints) -> AsyncIterator[NDArray[np.void]]:
    for start in range(0, len(endpoint_ids), _PIECE):
        piece = endpoint_ids[start : start + _PIECE]
        low, high = int(piece[0]), int(piece[-1])
        if high - low > _SPARSE * len(piece):
            value = await conn.fetchval(_LINKS + "endpoint_id = ANY($1)", piece.tolist())
        else:
            value = await conn.fetchval(_LINKS + "endpoint_id BETWEEN $1 AND $2", low, high)
        rows = np.frombuffer(value or b"", dtype=_LINK)
        yield rows[_among(rows["endpoint"].astype(np.int64), piece)]


async def accounted_for(conn: Conn, alert_id: int) -> bool:
    """Tell whether no worker has anything of a follow-up's predecessors on the wire any more.

    What a dead worker held is closed as unknown when its lease has run out (`stages.end`).
    """
    return not await conn.fetchval(
        "SELECT EXISTS (SELECT FROM batch b JOIN alert p USING (alert_id), alert a"
        " WHERE a.alert_id = $1 AND coalesce(p.root_id, p.alert_id) = a.root_id"
        " AND p.sequence < a.sequence AND b.state = 'claimed')",
        alert_id,
    )


def _among(values: Endpoints, known: Endpoints) -> NDArray[np.bool_]:
    """Tell of each value whether it is one of the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == values
    return found
