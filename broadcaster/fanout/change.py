"""What an update changes: who is added, kept and dropped against whom its predecessor froze."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from broadcaster.alerts import lifecycle
from broadcaster.db import Conn
from broadcaster.fanout import reached
from broadcaster.fanout.audience import Ids
from broadcaster.people.selection import Selector


@dataclass(frozen=True, slots=True)
class Change:
    """Person ids, each sorted; whoever has left since the predecessor is among the dropped."""

    added: Ids
    kept: Ids
    dropped: Ids


async def changed(
    conn: Conn, now: datetime, selector: Selector, predecessor_id: int, area: dict[str, Any]
) -> Change:
    """Compare the people an area has at this moment with the frozen ones of an earlier alert.

    The frozen ones are the truth: it is they who were sent something. An alert that never began
    to send has none, so everybody is added. Raises targeting's AreaError, AudienceBrokenError.
    """
    after = await selector.select(conn, now, area)
    try:
        approved = await lifecycle.snapshot(conn, predecessor_id)
        before = await reached.covered_by(conn, predecessor_id, approved.content_hash)
    except LookupError:
        before = np.zeros(0, dtype=np.uint32)
    return Change(
        added=np.setdiff1d(after, before, assume_unique=True),
        kept=np.intersect1d(after, before, assume_unique=True),
        dropped=np.setdiff1d(before, after, assume_unique=True),
    )
