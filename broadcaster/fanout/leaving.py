"""Whom an update would tell that it covers their place no longer, and by which channel.

For the forecast, so it is quick before it is exact: of many people an even part is asked about.
Who is told in the end is decided at the start (`reached.beyond`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from broadcaster.db import Conn
from broadcaster.fanout import reached
from broadcaster.fanout.audience import Ids

ASKED = 20_000
"""People asked about at most; of more, the answer is scaled."""

# The newest message to an address is the one that holds: who was told "left" already is left out.
_HEARD = (
    "SELECT DISTINCT ON (d.endpoint_id) d.endpoint_id, d.channel::text AS channel,"
    " d.wording <> 2 AS holds, l.person_id"
    " FROM unnest($2::integer[]) AS p (person_id) JOIN person_endpoint l USING (person_id)"
    " JOIN delivery d ON d.endpoint_id = l.endpoint_id AND d.alert_id = ANY($1::bigint[])"
    " AND d.state IN ('pending', 'handed_off', 'confirmed', 'seen', 'unknown')"
    " ORDER BY d.endpoint_id, d.alert_id DESC"
)
_SHARED = "SELECT endpoint_id, person_id FROM person_endpoint WHERE endpoint_id = ANY($1::bigint[])"


@dataclass(frozen=True, slots=True)
class Leaving:
    """People told that an update covers them no longer, and the messages that say so."""

    people: int
    by_channel: Mapping[str, int]
    """Addresses, by the channel that reached them."""


async def leaving(conn: Conn, now: datetime, alert_id: int, dropped: Ids) -> Leaving:
    """Count whom an update tells so among the people it drops (sorted ids).

    Whom another live alert covers is not told, nor who shares an address with somebody who stays.
    Raises AudienceBrokenError when the audience of another live alert is not what was frozen.
    """
    gone = await reached.in_no_other(conn, now, alert_id, dropped)
    asked = gone[:: max(1, -(-len(gone) // ASKED))]
    heard = await conn.fetch(_HEARD, await reached.earlier(conn, alert_id), asked.tolist())
    told = [row for row in heard if row["holds"]]
    stays = await _shared_with_others(conn, [row["endpoint_id"] for row in told], gone)
    told = [row for row in told if row["endpoint_id"] not in stays]
    scale = len(gone) / len(asked) if len(asked) else 0.0
    channels = Counter(row["channel"] for row in told)
    return Leaving(
        round(scale * len({row["person_id"] for row in told})),
        {channel: round(scale * number) for channel, number in sorted(channels.items())},
    )


async def _shared_with_others(conn: Conn, endpoint_ids: list[int], gone: Ids) -> set[int]:
    """Return the endpoints that somebody has who is not among those gone."""
    links = await conn.fetch(_SHARED, endpoint_ids)
    if not links:
        return set()
    ids = np.array([row["endpoint_id"] for row in links])
    people = np.array([row["person_id"] for row in links], dtype=np.uint32)
    return set(ids[~np.isin(people, gone)].tolist())
