"""The common case in one statement: everything of a group was accepted at the first try.

Fence, attempts, moves, counts, references and the batch's end: what the general way (`outcomes`)
does in nine round trips. Groups of mails and texts are small, so their round trips are most of what
they cost.
"""

from __future__ import annotations

from collections.abc import Sequence

from broadcaster.db import Conn, numbers
from broadcaster.fanout.claims import Claim
from broadcaster.fanout.policy import LEASE
from broadcaster.fanout.progress import TIMES
from broadcaster.fanout.receipts import Refs

# Only who holds the fence moves a delivery from pending to handed off, so what comes out of `moved`
# was pending. One that a receipt or a stop has moved meanwhile stays as it is; its attempt tells.
# The key's scan finds the rows in the order of their ids, in which everybody locks them.
# `sums` stands in FROM, not in the assignments: those are evaluated anew when another batch has
# just changed the counts, and a statement that writes cannot be run a second time.
_WRITE = """
WITH held AS (
    UPDATE batch SET lease_until = now() + $5, written = written + 1,
        state = CASE WHEN $4 THEN 'done' ELSE state END
    WHERE batch_id = $1 AND fence = $2 AND written = $3 AND state = 'claimed'
    RETURNING batch_id
), tried AS (
    INSERT INTO attempt (alert_id, endpoint_id, attempt, at, provider_id, fence, result)
    SELECT $6, v.endpoint_id, v.tries + 1, now(), $7, $2, 'accepted'
    FROM unnest($8::text::bigint[], $9::text::smallint[]) AS v(endpoint_id, tries)
), moved AS (
    UPDATE delivery d SET state = 'handed_off', attempts = d.attempts + 1, updated_at = now()
    FROM held
    WHERE d.alert_id = $6 AND d.endpoint_id = ANY($8::text::bigint[]) AND d.state = 'pending'
    RETURNING extract(epoch FROM now() - d.created_at)::float8 AS took
), sums AS (
    SELECT sum(count)::int AS count, sum(seconds) AS seconds,
        array_agg(count ORDER BY bucket) AS within
    FROM (
        SELECT bucket, count(took)::int AS count, coalesce(sum(took), 0) AS seconds
        FROM generate_series(1, cardinality($11::float8[]) + 1) AS bucket
        LEFT JOIN moved ON width_bucket(took, $11::float8[]) + 1 = bucket GROUP BY bucket
    ) buckets
), booked AS (
    UPDATE progress p SET pending = pending - count, handed_off = handed_off + count,
        handed_off_seconds = handed_off_seconds + sums.seconds,
        handed_off_within = ARRAY(
            SELECT coalesce(p.handed_off_within[place], 0) + added
            FROM unnest(sums.within) WITH ORDINALITY AS new(added, place) ORDER BY place)
    FROM sums WHERE p.alert_id = $6 AND p.channel = $10::channel AND sums.count > 0
)
"""
_HELD = "SELECT EXISTS (SELECT FROM held)"
_KEEP_REFS = """
, kept AS (
    INSERT INTO provider_ref (provider_id, message_id, alert_id, endpoint_id, part, parts,
        created_at)
    SELECT $7, r.message_id, $6, r.endpoint_id, r.part, r.parts, now()
    FROM held, unnest($12::text[], $13::text::bigint[], $14::text::smallint[],
        $15::text::smallint[]) AS r(message_id, endpoint_id, part, parts)
    ON CONFLICT DO NOTHING
)
"""


async def write(
    conn: Conn,
    claim: Claim,
    provider_id: int,
    endpoint_ids: Sequence[int],
    tries: Sequence[int],
    refs: Refs | None,
    *,
    last: bool,
) -> bool:
    """Write down that these were accepted; False when another worker holds the batch by now.

    `tries` counts those before this one, `refs` are what the carrier calls the messages, where
    its receipts will name them. What was tried is recorded in any case. Call it only for
    deliveries that were pending when they were claimed.
    """
    held: bool = await conn.fetchval(
        _WRITE + (_HELD if refs is None else _KEEP_REFS + _HELD),
        claim.batch_id,
        claim.fence,
        claim.written,
        last,
        LEASE,
        claim.alert_id,
        provider_id,
        numbers(endpoint_ids),
        numbers(tries),
        claim.channel,
        TIMES,
        *(() if refs is None else (refs.message_ids, *map(numbers, refs[1:]))),
    )
    return held
