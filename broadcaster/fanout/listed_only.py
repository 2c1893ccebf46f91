"""Exercises go to those who agreed to them: whom an alert may be written for at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from broadcaster.db import Conn
from broadcaster.fanout.audience import Ids
from broadcaster.fanout.reached import Beyond
from broadcaster.people import exercise_recipients

Endpoints = NDArray[np.int64]

NARROWED = "status = 'Exercise' AND widened_by IS NULL"
"""SQL, of an alert: it is an exercise that nobody has opened to everybody."""


async def endpoints(conn: Conn, alert_id: int) -> Endpoints | None:
    """Return the sorted endpoints an alert may be written to; None where it may be to any."""
    narrowed = await conn.fetchval(f"SELECT {NARROWED} FROM alert WHERE alert_id = $1", alert_id)
    return (await exercise_recipients.enrolled(conn))[0] if narrowed else None


async def people(conn: Conn, alert_id: int, ids: Ids) -> Ids:
    """Return those of an area's people (sorted ids) an alert may be written for."""
    if await endpoints(conn, alert_id) is None:
        return ids
    return await exercise_recipients.only_enrolled(conn, ids)


async def beyond(conn: Conn, alert_id: int, found: list[Beyond]) -> list[Beyond]:
    """Return what a follow-up may say to those reached before."""
    allowed = await endpoints(conn, alert_id)
    if allowed is None:
        return found
    return [
        Beyond(
            np.intersect1d(one.endpoint_ids, allowed, assume_unique=True),
            one.wording,
            await exercise_recipients.only_enrolled(conn, one.people),
        )
        for one in found
    ]
