"""Claiming work: the next batch by one SQL statement, under a lease with a fencing token.

All clocks here are the database's: a lease means the same to every worker.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broadcaster.db import Conn
from broadcaster.fanout.policy import LEASE


@dataclass(slots=True)
class Claim:
    """One batch that is ours until its lease runs out; `fence` proves it at every write."""

    batch_id: int
    fence: int
    alert_id: int
    lane: int
    root_id: int
    sequence: int
    expires: datetime
    channel: str
    endpoint_ids: list[int]
    digest: bytes
    first: bool
    """Nothing of this alert has been handed off yet, as far as we know."""
    left: float
    """Seconds from the claim to the alert's end, by the database's clock."""
    taken_over: bool = False
    """Another worker's lease on it ran out: it may have sent some."""
    written: int = 0
    """Groups of outcomes committed under this fence."""
    claimed_at: float = field(default_factory=time.monotonic)

    @property
    def made_at(self) -> datetime:
        """When it was made, by the database's clock."""
        return self.expires - timedelta(seconds=self.left)

    def seconds_left(self) -> float:
        """Return how long the alert still lasts, whatever this machine's clock says."""
        return self.left - (time.monotonic() - self.claimed_at)


# Alerts are ordered first (lane, then the sender served longest ago) and each offers its oldest
# free batch, so a claim costs the same whatever the number of batches waiting. A database that has
# just come back could not hear who is alive: it lets every holder renew before it gives a lease
# away, otherwise each restart would send some messages twice.
_CLAIM = """
WITH candidate AS (
    SELECT b.batch_id, b.taken_over, a.unit_id, a.alert_id, a.lane, a.root_id, a.sequence,
        a.expires, a.first
    FROM (
        SELECT a.alert_id, a.unit_id, a.lane, coalesce(a.root_id, a.alert_id) AS root_id,
            a.sequence, a.expires, a.first_handoff_at IS NULL AS first
        FROM alert a LEFT JOIN sender_turn t ON t.unit_id = a.unit_id AND t.channel = $1::channel
        WHERE a.state = 'sending' AND a.superseded_by IS NULL
            AND a.expires > now() AND a.lane = ANY($3::smallint[]) AND a.training = $5
        ORDER BY a.lane, coalesce(t.turn, 0), a.alert_id
        OFFSET 0
    ) a
    CROSS JOIN LATERAL (
        SELECT batch_id, state = 'claimed' AS taken_over FROM batch
        WHERE alert_id = a.alert_id AND channel = $1::channel AND state <> 'done'
            AND not_before <= now()
            AND (state = 'ready' OR (state = 'claimed' AND lease_until < now()
                AND pg_postmaster_start_time() < now() - $4::interval))
        ORDER BY batch_id LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) b
    LIMIT 1
), turn AS (
    INSERT INTO sender_turn (unit_id, channel, turn)
    SELECT unit_id, $1::channel, nextval('fence_seq') FROM candidate
    ON CONFLICT (unit_id, channel) DO UPDATE SET turn = excluded.turn
)
UPDATE batch SET state = 'claimed', fence = nextval('fence_seq'), worker = $2,
    lease_until = now() + $4::interval, written = 0
FROM candidate c WHERE batch.batch_id = c.batch_id
RETURNING batch.batch_id, batch.fence, c.alert_id, c.lane, c.root_id, c.sequence, c.expires,
    batch.channel::text AS channel, batch.endpoint_ids, batch.digest, c.first,
    extract(epoch FROM c.expires - now())::float8 AS left, c.taken_over
"""


async def claim(
    conn: Conn, worker: str, channel: str, lanes: Sequence[int], *, training: bool = False
) -> Claim | None:
    """Take the next batch of a channel, or None when there is nothing to send now.

    With `training` of what training accounts wrote, which is nobody else's to take.

    The alert is approved, unexpired and not stopped when the statement begins. It may be stopped
    or superseded before the claim is committed: look again (`Reader.addressed`) before sending.
    """
    row = await conn.fetchrow(_CLAIM, channel, worker, list(lanes), LEASE, training)
    return None if row is None else Claim(**dict(row))


async def hold(conn: Conn, claim: Claim, *, last: bool) -> bool:
    """Prolong our lease for one more group of outcomes, or close the batch with its `last`.

    False when another worker holds the batch by now.
    """
    held = await conn.fetchval(
        "UPDATE batch SET lease_until = now() + $4, written = written + 1,"
        " state = CASE WHEN $5 THEN 'done' ELSE state END"
        " WHERE batch_id = $1 AND fence = $2 AND written = $3 AND state = 'claimed'"
        " RETURNING batch_id",
        claim.batch_id,
        claim.fence,
        claim.written,
        LEASE,
        last,
    )
    return held is not None


async def has_written(conn: Conn, claim: Claim) -> bool:
    """Say whether the next group of outcomes is committed already: a COMMIT's answer was lost."""
    written = await conn.fetchval(
        "SELECT written > $3 FROM batch WHERE batch_id = $1 AND fence = $2",
        claim.batch_id,
        claim.fence,
        claim.written,
    )
    return bool(written)


async def put_back(conn: Conn, claim: Claim, seconds: float) -> None:
    """Give back a batch that could not be sent, to be claimed again after so many seconds.

    One that another worker died with stays a claim whose lease runs out: should the alert end
    first, its people count as unknown and not as never sent to.
    """
    await conn.execute(
        "UPDATE batch SET state = CASE WHEN $4 THEN state ELSE 'ready' END,"
        " not_before = now() + make_interval(secs => $3),"
        " lease_until = CASE WHEN $4 THEN now() + make_interval(secs => $3) ELSE lease_until END"
        " WHERE batch_id = $1 AND fence = $2 AND state = 'claimed'",
        claim.batch_id,
        claim.fence,
        seconds,
        claim.taken_over,
    )


async def hold_until(conn: Conn, claim: Claim, until: datetime) -> None:
    """Give back a batch and have the alert's others wait with it, those written so far.

    What other workers are at this moment taking they hold back themselves.
    """
    await put_back(conn, claim, (until - claim.made_at).total_seconds())
    await conn.execute(
        "UPDATE batch SET not_before = $2 WHERE batch_id IN ("
        "   SELECT batch_id FROM batch WHERE alert_id = $1 AND state = 'ready' AND not_before < $2"
        "   ORDER BY batch_id FOR UPDATE SKIP LOCKED)",
        claim.alert_id,
        until,
    )


async def give_up(conn: Conn, claim: Claim) -> None:
    """Let go of a batch of which we sent nothing, because its alert has ended.

    What another worker held before us may be out: such a batch keeps its lease and is closed as
    unknown when that runs out, so that a cancel goes to these people too.
    """
    if not claim.taken_over:
        await put_back(conn, claim, 0.0)


async def permitted(conn: Conn, claims: Sequence[tuple[int, int]]) -> set[int]:
    """Of (batch_id, fence) pairs, the batches that may still be sent right now.

    Prolongs their leases in the same statement, also of those that may not: who is alive to ask
    keeps what it holds, and still has to say what became of the messages it has written.
    """
    rows = await conn.fetch(
        "UPDATE batch b SET lease_until = now() + $3 FROM alert a"
        " WHERE (b.batch_id, b.fence) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))"
        " AND b.state = 'claimed' AND a.alert_id = b.alert_id"
        " RETURNING b.batch_id, a.state = 'sending' AND a.superseded_by IS NULL"
        "   AND a.expires > now() AS allowed",
        [batch_id for batch_id, _ in claims],
        [fence for _, fence in claims],
        LEASE,
    )
    return {row["batch_id"] for row in rows if row["allowed"]}
