"""The sender: claims batches of one channel, sends them, commits what became of them.

Rows are the truth and the queue only wakes: every slot looks for work by itself each second, so
losing the queue costs a second of delay and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog

from broadcaster.alerts import lifecycle
from broadcaster.db import AWAY, Conn, Pool
from broadcaster.fanout import claims, contents, outcomes
from broadcaster.fanout.claims import Claim
from broadcaster.fanout.contents import ChannelContent
from broadcaster.fanout.guard import Guard
from broadcaster.fanout.pace import Pace
from broadcaster.fanout.policy import POLICIES
from broadcaster.fanout.seeker import Seeker
from broadcaster.keyring import Keyring, UndecipherableError
from channels.base import Batch, Channel, Outcome, Recipient, Result

log = structlog.get_logger(__name__)

ALL_LANES = (0, 1, 2)
DELIVERY_LINK = "delivery"
"""Purpose under which a delivery's token is signed (return paths, replies, unsubscribe)."""
_ALERTS_KEPT = 16


@dataclass(frozen=True, slots=True)
class Account:
    """One provider account: the channel that speaks to it and its row."""

    provider_id: int
    channel: Channel[Any]


def delivery_token(keyring: Keyring, alert_id: int, endpoint_id: int) -> str:
    """Make the opaque token of one delivery: the same on every try, and only ours."""
    return keyring.sign_link(DELIVERY_LINK, f"a{alert_id}e{endpoint_id}")


def read_delivery_token(keyring: Keyring, token: str) -> tuple[int, int] | None:
    """(alert_id, endpoint_id) of a token that came back, None when it is not ours."""
    value = keyring.read_link(DELIVERY_LINK, token)
    if value is None:
        return None
    alert_id, _, endpoint_id = value.lower().removeprefix("a").partition("e")
    return int(alert_id), int(endpoint_id)


class Sender:
    """Sends one channel's batches through one account, `slots` at a time."""

    def __init__(
        self,
        pool: Pool,
        keyring: Keyring,
        account: Account,
        guard: Guard,
        pace: Pace,
        worker: str,
        lanes: Sequence[int] = ALL_LANES,
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._account = account
        self._channel = account.channel.name
        self._guard = guard
        self._pace = pace
        self._worker = worker
        self._lanes = lanes
        self._contents: OrderedDict[int, dict[str, ChannelContent]] = OrderedDict()
        self._slots = [
            Seeker(f"send {self._channel}", self.send_one)
            for _ in range(POLICIES[self._channel].slots)
        ]

    def wake(self) -> None:
        """There is work: look now instead of at the next second."""
        for slot in self._slots:
            slot.wake()

    def drain(self) -> None:
        """Claim nothing more; what is claimed is finished."""
        for slot in self._slots:
            slot.drain()

    async def run(self) -> None:
        """Send until drained."""
        await asyncio.gather(*(slot.run() for slot in self._slots))

    async def send_one(self) -> bool:
        """Claim and send one batch; False when there was nothing to claim."""
        async with self._pool.acquire() as conn:
            claim = await claims.claim(conn, self._worker, self._channel, self._lanes)
        if claim is None:
            return False
        # Released whatever happens: the guard keeps alive what it holds, and a batch that is
        # held and not sent would never be anybody else's.
        permit = self._guard.permit(claim)
        try:
            await self._send(claim, permit)
        except outcomes.LeaseLost:
            log.warning("batch taken over", batch_id=claim.batch_id, alert_id=claim.alert_id)
        except AWAY:
            raise
        except Exception:
            log.exception("batch cannot be sent", batch_id=claim.batch_id, alert_id=claim.alert_id)
            async with self._pool.acquire() as conn:
                await claims.set_aside(conn, claim.batch_id, claim.fence)
        finally:
            self._guard.release(claim)
        return True

    async def _send(self, claim: Claim, permit: Callable[[], bool]) -> None:
        async with self._pool.acquire() as conn:
            wordings = await self._contents_of(conn, claim.alert_id)
            recipients, attempts, lost = await self._recipients(conn, claim)
        write = self._writer(claim, attempts)
        if lost:
            await write(lost, last=False)
        if recipients:
            batch = Batch(
                contents=wordings,
                recipients=recipients,
                expires=claim.expires,
                urgent=claim.lane < 2,
                tag=str(claim.root_id),
                sequence=claim.sequence,
            )
            missing = {recipient.ref for recipient in recipients}
            async with aclosing(self._account.channel.send(batch, permit, self._pace)) as groups:  # type: ignore[type-var]
                async for group in groups:
                    missing -= {outcome.ref for outcome in group}
                    await write(group, last=not missing)
            if not missing:
                return
            log.error("channel left recipients without an outcome", missing=len(missing))
            # A channel's mistake must not lose anybody: what it does not answer for is in doubt.
            lost = [Outcome(ref, Result.UNKNOWN, "NO_OUTCOME") for ref in sorted(missing)]
            await write(lost, last=True)
            return
        await write([], last=True)

    def _writer(self, claim: Claim, attempts: dict[int, int]) -> Callable[..., Awaitable[None]]:
        async def write(group: list[Outcome], *, last: bool) -> None:
            """Commit, and keep at it while the database restarts: the messages are out."""
            while True:
                try:
                    await outcomes.write(
                        self._pool, claim, self._account.provider_id, attempts, group, last=last
                    )
                except AWAY as error:
                    log.warning("outcomes wait for the database", error=str(error))
                    await asyncio.sleep(0.2)
                else:
                    return

        return write

    async def _contents_of(self, conn: Conn, alert_id: int) -> dict[str, ChannelContent]:
        if alert_id not in self._contents:
            snapshot = await lifecycle.snapshot(conn, alert_id)
            self._contents[alert_id] = contents.of_alert(snapshot, self._channel)
            while len(self._contents) > _ALERTS_KEPT:
                self._contents.popitem(last=False)
        return self._contents[alert_id]

    async def _recipients(
        self, conn: Conn, claim: Claim
    ) -> tuple[list[Recipient], dict[int, int], list[Outcome]]:
        """Who of the batch is still to be sent to: recipients, tries so far, and the lost ones.

        A batch taken over from a dead worker holds some that are done: those are left out.
        """
        rows = await conn.fetch(
            "SELECT d.endpoint_id, d.lang::text AS lang, d.attempts, e.address_enc,"
            " e.state = 'retired' AS retired"
            " FROM delivery d JOIN endpoint e USING (endpoint_id)"
            " WHERE d.alert_id = $1 AND d.endpoint_id = ANY($2::bigint[])"
            " AND d.state IN ('pending', 'unknown')",
            claim.alert_id,
            claim.endpoint_ids,
        )
        recipients, lost = [], []
        for endpoint_id, lang, _, sealed, retired in rows:
            if retired:
                lost.append(Outcome(endpoint_id, Result.PERMANENT, "RETIRED"))
                continue
            try:
                address = self._keyring.unseal(sealed, "endpoint", "address_enc", endpoint_id)
            except UndecipherableError as error:
                log.error("address does not open", endpoint_id=endpoint_id, error=str(error))
                lost.append(Outcome(endpoint_id, Result.PERMANENT, "UNDECIPHERABLE"))
                continue
            recipients.append(
                Recipient(
                    endpoint_id,
                    address.decode(),
                    lang,
                    delivery_token(self._keyring, claim.alert_id, endpoint_id),
                )
            )
        return recipients, {row["endpoint_id"]: row["attempts"] for row in rows}, lost
