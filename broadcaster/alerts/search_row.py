"""What alerts are found by in the archive: their words and their units. Writes alert_search.

It is kept in step by whoever writes a version, senders too, so nothing here knows geometry: which
units a drawn shape lies in is worked out by search_index, a moment later, so that no save waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from broadcaster.db import Conn


async def put(conn: Conn, alert_id: int, content: dict[str, Any]) -> None:
    """Keep what an alert is found by from now on, in the transaction that writes its version."""
    await conn.execute(
        "INSERT INTO alert_search (alert_id, words, unit_ids)"
        " SELECT alert_id, alert_words(code, $2::jsonb), area_unit_ids($2::jsonb -> 'area')"
        " FROM alert WHERE alert_id = $1 ON CONFLICT (alert_id)"
        " DO UPDATE SET words = excluded.words, unit_ids = excluded.unit_ids",
        alert_id,
        content,
    )


async def put_units(conn: Conn, alert_id: int, unit_ids: Sequence[int]) -> None:
    """Keep the units that an alert's drawn area lies in."""
    await conn.execute(
        "UPDATE alert_search SET unit_ids = $2 WHERE alert_id = $1", alert_id, list(unit_ids)
    )
