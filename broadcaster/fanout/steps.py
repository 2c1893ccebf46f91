"""The steps of an alert: to whom at once, to whom later, and how far each has been expanded.

The steps are written with the frozen audience. The clock finds those that are due; a step is
leased to one process at a time and begins when the one before it is whole.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap, BitMap64

from broadcaster.db import Conn
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.policy import EXPANSION_LEASE

Endpoints = NDArray[np.int64]


class Filter(enum.StrEnum):
    """Which of the audience a step is for."""

    ALL = "all"
    NO_PUSH = "no_push"
    """Those to whom no earlier step wrote a push."""
    NOT_ACKNOWLEDGED = "not_acknowledged"
    """Those of whom no phone has confirmed or opened the alert's push."""
    LISTED = "listed"
    """Endpoints that were reached before, each by itself; see `Listed`."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Endpoints that get a follow-up because they were reached, whatever its channels are."""

    endpoint_ids: Endpoints
    """Sorted."""
    people: Ids
    """People who take no part in the other steps, sorted: those it does not cover now."""
    wording: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step as it is planned."""

    due_at: datetime
    channels: tuple[str, ...]
    to: Filter = Filter.ALL
    listed: Listed | None = None
    """Of a step to those who are listed, and of no other."""


@dataclass(frozen=True, slots=True)
class Held:
    """A step whose lease is ours; `fence` proves it at every chunk."""

    alert_id: int
    step: int
    fence: int
    channels: tuple[str, ...]
    to: Filter = Filter.ALL
    expanded_through: int = -1
    counted: tuple[str, ...] = ()
    """Channels of all steps that list nobody, in the one that counts who is reachable by none."""


async def plan(conn: Conn, alert_id: int, steps: Sequence[Step]) -> None:
    """Write an alert's steps, in the transaction that freezes its audience."""
    await conn.executemany(
        "INSERT INTO audience_step (alert_id, step, due_at, channels, filter, listed, people,"
        " wording) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (alert_id, number, step.due_at, list(step.channels), step.to.value, *_packed(step))
            for number, step in enumerate(steps)
        ],
    )


def _packed(step: Step) -> tuple[bytes | None, bytes | None, int | None]:
    if step.listed is None:
        return None, None, None
    one = step.listed
    endpoints = BitMap64(one.endpoint_ids.tolist()).serialize()
    return endpoints, BitMap(one.people.tolist()).serialize(), one.wording


async def listed(conn: Conn, alert_id: int) -> dict[int, Listed]:
    """Return whom the steps of this alert list, by step; steps that list nobody are left out."""
    rows = await conn.fetch(
        "SELECT step, listed, people, wording FROM audience_step"
        " WHERE alert_id = $1 AND filter = 'listed'",
        alert_id,
    )
    return {
        row["step"]: Listed(
            np.array(BitMap64.deserialize(row["listed"]), dtype=np.int64),
            np.array(BitMap.deserialize(row["people"]), dtype=np.uint32),
            row["wording"],
        )
        for row in rows
    }


async def drop(conn: Conn, alert_ids: Sequence[int]) -> None:
    """End every open step of these alerts: nothing more of them is written."""
    await conn.execute(
        "UPDATE audience_step SET expanded_at = now(), lease_until = NULL,"
        " fence = nextval('fence_seq') WHERE alert_id = ANY($1) AND expanded_at IS NULL",
        alert_ids,
    )
    await conn.execute(
        "UPDATE audience SET expanded_at = now() WHERE alert_id = ANY($1) AND expanded_at IS NULL",
        alert_ids,
    )


def counting(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return the channels by which the people of the first step count as reachable."""
    if not steps or steps[0].to is not Filter.ALL:
        return ()
    own = (step for step in steps if step.to is not Filter.LISTED)
    return tuple({channel: None for step in own for channel in step.channels})


async def lease(conn: Conn, now: datetime, alert_id: int) -> Held | None:
    """Take the first open step of an alert for ourselves.

    None while it is not due, somebody else holds it, or every step is expanded.
    """
    row = await conn.fetchrow(
        "UPDATE audience_step SET fence = nextval('fence_seq'), lease_until = now() + $2"
        " WHERE alert_id = $1 AND expanded_at IS NULL AND due_at <= $3"
        " AND (lease_until IS NULL OR lease_until < now())"
        " AND step = (SELECT min(step) FROM audience_step"
        "   WHERE alert_id = $1 AND expanded_at IS NULL)"
        " RETURNING alert_id, step, fence, channels::text[], filter, expanded_through,"
        " CASE WHEN step = 0 AND filter = 'all' THEN (SELECT array_agg(DISTINCT one::text)"
        "   FROM audience_step a, unnest(a.channels) one"
        "   WHERE a.alert_id = $1 AND a.filter <> 'listed') END AS counted",
        alert_id,
        EXPANSION_LEASE,
        now,
    )
    if row is None:
        return None
    return Held(
        row["alert_id"],
        row["step"],
        row["fence"],
        tuple(row["channels"]),
        Filter(row["filter"]),
        row["expanded_through"],
        tuple(row["counted"] or ()),
    )


async def advance(conn: Conn, held: Held, through: int) -> bool:
    """Set the mark of how far the step is; False when the lease is another's by now."""
    moved = await conn.fetchval(
        "UPDATE audience_step SET expanded_through = $4,"
        " lease_until = CASE WHEN lease_until IS NULL THEN NULL ELSE now() + $5 END"
        " WHERE alert_id = $1 AND step = $2 AND fence = $3 RETURNING step",
        held.alert_id,
        held.step,
        held.fence,
        through,
        EXPANSION_LEASE,
    )
    return moved is not None


async def leave(conn: Conn, held: Held, *, whole: bool) -> None:
    """Give the lease back; when the step is whole and was the last, so is the audience."""
    async with conn.transaction():
        left = await conn.fetchval(
            "UPDATE audience_step SET lease_until = NULL,"
            " expanded_at = CASE WHEN $4 THEN now() ELSE expanded_at END"
            " WHERE alert_id = $1 AND step = $2 AND fence = $3 RETURNING expanded_at",
            held.alert_id,
            held.step,
            held.fence,
            whole,
        )
        if left is not None:
            await conn.execute(
                "UPDATE audience SET expanded_at = $2 WHERE alert_id = $1 AND NOT EXISTS ("
                "   SELECT FROM audience_step WHERE alert_id = $1 AND expanded_at IS NULL)",
                held.alert_id,
                left,
            )
