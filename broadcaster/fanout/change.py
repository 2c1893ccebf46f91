"""What an update changes: who is added, kept and dropped against whom its predecessor froze."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from broadcaster.alerts import lifecycle
from broadcaster.alerts.draft import Alert
from broadcaster.db import Conn
from broadcaster.fanout import listed_only, reached
from broadcaster.fanout.audience import Ids
from broadcaster.people.selection import Selector


@dataclass(frozen=True, slots=True)
class Change:
    """Person ids, each sorted; whoever has left since the predecessor is among the dropped."""

    added: Ids
    kept: Ids
    dropped: Ids


@dataclass(frozen=True, slots=True)
class Counts:
    """People of an update by what it is to them."""

    added: int
    kept: int
    left: int
    """Told that it no longer covers their place; those another live alert covers are not."""


async def carried_out(conn: Conn, alert_id: int, predecessor_id: int) -> Counts:
    """Count the frozen people of an update that has begun against those of what it follows.

    Raises LookupError, AudienceBrokenError.
    """
    after = await _covered(conn, alert_id)
    before = await _covered(conn, predecessor_id)
    kept = len(np.intersect1d(after, before, assume_unique=True))
    return Counts(len(after) - kept, kept, len(await reached.left_out(conn, alert_id)))


async def _covered(conn: Conn, alert_id: int) -> Ids:
    approved = await lifecycle.snapshot(conn, alert_id)
    return await reached.covered_by(conn, alert_id, approved.content_hash)


async def of_update(
    conn: Conn, now: datetime, selector: Selector, alert: Alert | None, area: dict[str, Any]
) -> Change | None:
    """Return what an update with this area changes; None for what is no update."""
    if alert is None or alert.kind != "update" or alert.predecessor_id is None:
        return None
    return await changed(conn, now, selector, alert.predecessor_id, area)


async def changed(
    conn: Conn, now: datetime, selector: Selector, predecessor_id: int, area: dict[str, Any]
) -> Change:
    """Compare the people an area has at this moment with the frozen ones of an earlier alert.

    The frozen ones are the truth: it is they who were sent something. An alert that never began
    to send has none, so everybody is added. Raises targeting's AreaError, AudienceBrokenError.
    """
    after = await selector.select(conn, now, area)
    # What follows an exercise goes as far as the exercise itself.
    after = await listed_only.people(conn, predecessor_id, after)
    try:
        before = await _covered(conn, predecessor_id)
    except LookupError:
        before = np.zeros(0, dtype=np.uint32)
    return Change(
        added=np.setdiff1d(after, before, assume_unique=True),
        kept=np.intersect1d(after, before, assume_unique=True),
        dropped=np.setdiff1d(before, after, assume_unique=True),
    )
