"""Moving deliveries of an alert of which the planner knows nothing yet."""

from __future__ import annotations

from datetime import UTC, datetime

from broadcaster.db import Conn
from broadcaster.fanout import moves
from broadcaster.fanout.moves import Move

NOW = datetime(2026, 9, 1, 8, tzinfo=UTC)
MANY = 300_000
GROUP = 1_000
ALERT = 2
_SEED = (
    "INSERT INTO delivery (alert_id, endpoint_id, channel, lang, updated_at)"
    " SELECT $1::bigint, i, 'push', 'vi', $3 FROM generate_series(1::bigint, $2::bigint) i"
)
_READ = (
    "SELECT sum(seq_tup_read)::int AS by_reading_all, sum(idx_tup_fetch)::int AS by_key"
    " FROM pg_stat_xact_user_tables WHERE relname LIKE 'delivery_%'"
)


async def _fresh(conn: Conn, count: int = MANY) -> None:
    """Write an alert after the statistics were taken, in the partition of an older, small one."""
    await conn.execute("SET LOCAL session_replication_role = replica")
    await conn.execute(_SEED, ALERT - 1, 10, NOW)
    await conn.execute("ANALYZE delivery")
    await conn.execute(_SEED, ALERT, count, NOW)
    await conn.execute(
        "INSERT INTO progress (alert_id, channel, pending) VALUES ($1, 'push', $2)", ALERT, count
    )


def _group(number: int) -> list[Move]:
    first = 1 + number * GROUP
    return [
        Move(i, "handed_off" if i % 2 else "unknown", f"reason {i % 7}", tries=1)
        for i in range(first, first + GROUP)
    ]


async def test_a_group_reads_its_own_deliveries_alone_however_often_it_is_planned(
    conn: Conn,
) -> None:
    async with conn.transaction():
        await _fresh(conn)
        for number in range(8):  # from the sixth on the server may keep one plan for all
            [before] = await conn.fetch(_READ)
            assert await moves.move(conn, NOW, ALERT, _group(number)) == GROUP
            [after] = await conn.fetch(_READ)
            assert after["by_reading_all"] == before["by_reading_all"]
            # Once to lock them, once to move them.
            assert after["by_key"] - before["by_key"] == 2 * GROUP
    rows = await conn.fetch(
        "SELECT state::text, count(*)::int, min(reason), sum(attempts)::int FROM delivery"
        " WHERE alert_id = $1 AND attempts > 0 GROUP BY 1 ORDER BY 1",
        ALERT,
    )
    assert [tuple(row) for row in rows] == [
        ("handed_off", 4 * GROUP, "reason 0", 4 * GROUP),
        ("unknown", 4 * GROUP, "reason 0", 4 * GROUP),
    ]


async def test_no_move_is_compared_with_every_delivery(conn: Conn) -> None:
    """A join of the two would be a thousand comparisons for each of a thousand."""
    async with conn.transaction():
        await _fresh(conn, MANY // 10)
        for mode in ("force_custom_plan", "force_generic_plan"):
            await conn.execute(f"SET LOCAL plan_cache_mode = {mode}")
            plan = "\n".join(
                row[0] for row in await conn.fetch("EXPLAIN " + moves._MOVE, *_arguments())
            )
            assert "Join" not in plan
            assert "Nested Loop" not in plan
            assert "Seq Scan on delivery" not in plan


def _arguments() -> list[object]:
    ids = [move.endpoint_id for move in _group(0)]
    kinds = {str(one): 1 for one in ids}
    return [
        ALERT, "{" + ",".join(map(str, ids)) + "}", kinds, ["handed_off"], [""], [1], NOW,
        ["pending"], ["handed_off"], [1.0],
    ]  # fmt: skip
