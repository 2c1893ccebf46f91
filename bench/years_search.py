"""What the archive finds alerts by, written for a hundred thousand of them in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broadcaster.db import Conn

# Three in a row are the words of the whole, places in the text and all; those in the middle, by far
# the most, are the same for hundreds of alerts.
_SEARCHED = """
INSERT INTO alert_search
SELECT a.alert_id, alert_words(a.code, '{}') || w.words || alert_words('', v.source),
    coalesce(g.unit_ids, ARRAY[a.unit_id])
FROM variant_used v JOIN alert a USING (alert_id) JOIN variant_words w USING (variant)
JOIN area_ground g USING (area) ORDER BY a.alert_id
"""


async def write_search(
    conn: Conn,
    variants: Mapping[str, dict[str, Any]],
    used: Sequence[tuple[int, str, dict[str, Any], dict[str, Any]]],
) -> None:
    """Write what `alert_words` and `area_unit_ids` say of every alert.

    `variants` are contents without a source; `used` are each alert's id, the variant it is made
    from, the source as a content of its own, and the area.
    """
    await conn.execute(
        "CREATE TEMP TABLE variant_content (variant text, content jsonb);"
        "CREATE TEMP TABLE variant_used (alert_id bigint, variant text, source jsonb, area jsonb)"
    )
    for table, rows in (("variant_content", list(variants.items())), ("variant_used", used)):
        await conn.copy_records_to_table(table, records=rows, timeout=600)
    await conn.execute(
        "CREATE TEMP TABLE variant_words AS"
        " SELECT variant, alert_words('', content) AS words FROM variant_content;"
        "CREATE TEMP TABLE area_ground AS SELECT area, area_unit_ids(area) AS unit_ids"
        " FROM (SELECT DISTINCT area FROM variant_used) areas;"
        "ANALYZE variant_words; ANALYZE area_ground; ANALYZE variant_used", timeout=600,
    )  # fmt: skip
    indexes = await conn.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made"
        " FROM pg_index WHERE indrelid = 'alert_search'::regclass AND NOT indisprimary"
    )
    # Made at once they take a third of the time.
    for index in indexes:
        await conn.execute(f"DROP INDEX {index['name']}")
    await conn.execute(_SEARCHED, timeout=600)
    await conn.execute("SET maintenance_work_mem = '256MB'")
    for index in indexes:
        await conn.execute(index["made"], timeout=600)
