"""The steps of an alert: to whom at once, to whom later, and how far each has been expanded.

The steps are written with the frozen audience. The clock finds those that are due; a step is
leased to one process at a time and begins when the one before it is whole.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from broadcaster.db import Conn
from broadcaster.fanout.policy import EXPANSION_LEASE


class Filter(enum.StrEnum):
    """Which of the audience a step is for."""

    ALL = "all"
    NO_PUSH = "no_push"
    """Those to whom no earlier step wrote a push."""
    NOT_ACKNOWLEDGED = "not_acknowledged"
    """Those of whom no phone has confirmed or opened the alert's push."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step as it is planned."""

    due_at: datetime
    channels: tuple[str, ...]
    to: Filter = Filter.ALL


@dataclass(frozen=True, slots=True)
class Held:
    """A step whose lease is ours; `fence` proves it at every chunk."""

    alert_id: int
    step: int
    fence: int
    channels: tuple[str, ...]
    to: Filter
    expanded_through: int


async def plan(conn: Conn, alert_id: int, steps: Sequence[Step]) -> None:
    """Write an alert's steps, in the transaction that freezes its audience."""
    await conn.executemany(
        "INSERT INTO audience_step (alert_id, step, due_at, channels, filter)"
        " VALUES ($1, $2, $3, $4, $5)",
        [
            (alert_id, number, step.due_at, list(step.channels), step.to.value)
            for number, step in enumerate(steps)
        ],
    )


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
        " RETURNING alert_id, step, fence, channels::text[], filter, expanded_through",
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
