"""What training accounts send goes as far as here: no carrier sees any of it.

Claimed like any batch, under a name that no sender has (the database holds both apart), and booked
as handed off to a provider called `training`, so that every page shows what it would show. No
address is opened.
"""

from __future__ import annotations

from broadcaster.db import Conn, Pool
from broadcaster.fanout import claims, outcomes, providers
from broadcaster.fanout.claims import Claim
from broadcaster.fanout.policy import CHANNELS
from channels.base import Outcome, Result

WORKER = "training"
"""Who claims these batches; the table's CHECK knows the name."""
PROVIDER, ACCOUNT = "training", "goes nowhere"
_LANES = (0, 1, 2)
_PENDING = (
    "SELECT endpoint_id, attempts FROM delivery WHERE alert_id = $1"
    " AND endpoint_id = ANY($2::bigint[]) AND state IN ('pending', 'unknown')"
)


async def take_in(pool: Pool) -> int:
    """Book what training accounts have sent as handed off; returns how many messages."""
    taken = 0
    for channel in CHANNELS:
        while True:
            async with pool.acquire() as conn:
                claim = await claims.claim(conn, WORKER, channel, _LANES, training=True)
                if claim is None:
                    break
                provider_id = await provider(conn, channel)
            taken += await _book(pool, claim, provider_id)
        taken += await _messages(pool, channel)
    return taken


async def provider(conn: Conn, channel: str) -> int:
    """Find or make the provider that stands for nobody; it is in no sender's settings."""
    return await providers.register(conn, channel, PROVIDER, ACCOUNT)


async def _book(pool: Pool, claim: Claim, provider_id: int) -> int:
    async with pool.acquire() as conn:
        rows = await conn.fetch(_PENDING, claim.alert_id, claim.endpoint_ids)
    tries = {row["endpoint_id"]: row["attempts"] for row in rows}
    said = [Outcome(endpoint_id, Result.ACCEPTED) for endpoint_id in tries]
    await outcomes.write(pool, claim, provider_id, tries, said, last=True)
    return len(said)


async def _messages(pool: Pool, channel: str) -> int:
    """Book single messages that a training account caused."""
    async with pool.acquire() as conn:
        if not await conn.fetchval(
            "SELECT EXISTS (SELECT FROM direct_message"
            " WHERE channel = $1::channel AND state = 'pending' AND training)",
            channel,
        ):
            return 0
        rows = await conn.fetch(
            "UPDATE direct_message SET state = 'handed_off', attempts = attempts + 1,"
            " provider_id = $2 WHERE channel = $1::channel AND state = 'pending' AND training"
            " AND expires > now() RETURNING message_id",
            channel,
            await provider(conn, channel),
        )
    return len(rows)
