"""How many addresses people have beyond their first: a forecast must not leave them out.

Asked of an even part of the people and told with its error on top, so that it is quick before it
is exact, and too high before it is too low.
"""

from __future__ import annotations

import math

from broadcaster.db import Conn

ASKED = 5_000
"""People asked about at most."""

_HELD = (
    "WITH bounds AS (SELECT greatest(1, coalesce(max(person_id), 0) / $1 + 1) AS step,"
    "  coalesce(max(person_id), 0) AS last FROM person),"
    " held AS (SELECT e.channel::text AS channel, l.person_id, count(*) - 1 AS more"
    "  FROM bounds b CROSS JOIN LATERAL generate_series(1, b.last, b.step) AS n(person_id)"
    "  JOIN person_endpoint l ON l.person_id = n.person_id"
    "  JOIN endpoint e ON e.endpoint_id = l.endpoint_id AND e.state = 'active'"
    "  GROUP BY 1, 2)"
    " SELECT channel, count(*) AS people, sum(more)::int AS more FROM held GROUP BY 1"
)


async def second_addresses(conn: Conn) -> dict[str, float]:
    """Return by channel the addresses beyond the first of a person who has it, at most."""
    found = {}
    for row in await conn.fetch(_HELD, ASKED):
        share = row["more"] / row["people"]
        found[row["channel"]] = share + 3 * math.sqrt(share / row["people"])
    return found
