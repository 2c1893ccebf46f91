"""Sends direct messages: a few at a time, beside the alerts and never before them in a batch."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from broadcaster.db import Pool, transaction
from broadcaster.fanout import contents, direct, letters, receipts
from broadcaster.fanout.fleet import Account, Fleet
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.outcomes import judge
from broadcaster.fanout.policy import backoff
from broadcaster.fanout.seeker import Seeker
from broadcaster.keyring import Keyring, UndecipherableError
from broadcaster.states import DeliveryState
from channels.base import Batch, Outcome, Recipient, Result

log = structlog.get_logger(__name__)

_AT_ONCE = 50
_LEASE = timedelta(seconds=30)
_LANE = 1
"""Personal messages are retried as warnings are: somebody is waiting for a code."""

_CLAIM = """
WITH due AS (
    SELECT message_id FROM direct_message
    WHERE channel = $1::channel AND state = 'pending' AND NOT training AND not_before <= now()
        AND expires > now() AND (lease_until IS NULL OR lease_until < now())
    ORDER BY message_id LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE direct_message m SET fence = nextval('fence_seq'), lease_until = now() + $3
FROM due, endpoint e
WHERE m.message_id = due.message_id AND e.endpoint_id = m.endpoint_id
RETURNING m.message_id, m.fence, m.endpoint_id, m.content, m.expires, m.attempts, e.address_enc
"""


class Courier:
    """Sends the direct messages of one channel."""

    def __init__(
        self, pool: Pool, keyring: Keyring, fleet: Fleet, guard: Guard, channel: str
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._fleet = fleet
        self._guard = guard
        self._channel = channel
        self._seeker = Seeker(f"messages {self._channel}", self.send_some)

    def wake(self) -> None:
        """There is work: look now."""
        self._seeker.wake()

    def drain(self) -> None:
        """Claim nothing more."""
        self._seeker.drain()

    async def run(self) -> None:
        """Send until drained."""
        await self._seeker.run()

    async def send_some(self) -> int:
        """Claim and send what is due; returns how many were tried."""
        usable = self._fleet.usable(self._channel)
        if not usable or not self._guard.may_claim:
            return 0
        # They are few: whichever account had the least to do takes them, beside its slots.
        account = min(usable, key=lambda one: one.turn)
        async with self._pool.acquire() as conn:
            rows = await conn.fetch(_CLAIM, self._channel, _AT_ONCE, _LEASE)
        # Each has an end of its own, and a batch carries one: send them by their end.
        for expires in {row["expires"] for row in rows}:
            await self._send(account, [row for row in rows if row["expires"] == expires])
        return len(rows)

    async def _send(self, account: Account, rows: list[asyncpg.Record]) -> None:
        by_id = {row["message_id"]: row for row in rows}
        recipients, lost = self._recipients(rows)
        if lost:
            await self._write(account, by_id, lost)
        batch = Batch(
            contents={
                str(i): contents.of_message(
                    self._channel, r["content"], direct.token_of(self._keyring, i)
                )
                for i, r in by_id.items()
            },
            recipients=recipients,
            expires=rows[0]["expires"],
            urgent=True,
        )
        groups = account.channel.send(
            batch,
            lambda: not self._seeker.draining and self._guard.may_claim,
            self._fleet.pace(account, _LANE),
        )
        async with aclosing(groups):  # type: ignore[type-var]
            async for group in groups:
                self._fleet.report(account, group, account.channel.latency)
                await self._write(account, by_id, group)

    def _recipients(self, rows: list[asyncpg.Record]) -> tuple[list[Recipient], list[Outcome]]:
        """Open the addresses; a message whose address does not open must not hold up the rest."""
        recipients, lost = [], []
        for message_id, endpoint_id, sealed in (
            (row["message_id"], row["endpoint_id"], row["address_enc"]) for row in rows
        ):
            try:
                address = self._keyring.unseal(sealed, "endpoint", "address_enc", endpoint_id)
            except UndecipherableError as error:
                log.error("address does not open", endpoint_id=endpoint_id, error=str(error))
                lost.append(Outcome(message_id, Result.PERMANENT, "UNDECIPHERABLE"))
                continue
            token = direct.token_of(self._keyring, message_id)
            recipients.append(Recipient(message_id, address.decode(), str(message_id), token))
        return recipients, lost

    async def _write(
        self, account: Account, by_id: dict[int, asyncpg.Record], group: list[Outcome]
    ) -> None:
        now = datetime.now(UTC)
        async with transaction(self._pool) as conn:
            await receipts.keep_refs(
                conn, now, self._channel, account.provider_id, receipts.NO_ALERT,
                {by_id[o.ref]["endpoint_id"]: o.provider_ids for o in group},
            )  # fmt: skip
            for outcome in group:
                row = by_id[outcome.ref]
                verdict = judge(outcome, self._channel, _LANE, row["attempts"])
                wait = verdict.again
                if wait is None:
                    again = timedelta(0)
                else:
                    again = backoff(_LANE, row["attempts"] + 1, outcome.retry_after)
                await conn.execute(
                    "UPDATE direct_message SET attempts = attempts + $8, lease_until = NULL,"
                    " state = CASE WHEN $3::text IS NULL OR $4 THEN 'pending'"
                    "   ELSE $3::delivery_state END,"
                    " reason = nullif($5, ''), not_before = now() + $6, provider_id = $7"
                    " WHERE message_id = $1 AND fence = $2 AND state = 'pending'",
                    outcome.ref,
                    row["fence"],
                    verdict.state,
                    wait is not None,
                    outcome.reason,
                    again,
                    account.provider_id,
                    int(verdict.tried),
                )
                if verdict.state in (DeliveryState.FAILED, DeliveryState.UNKNOWN):
                    await letters.book_message(conn, now, outcome.ref)
