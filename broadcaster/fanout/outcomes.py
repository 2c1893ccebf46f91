"""Writing down what became of each try: one transaction per group of outcomes.

The fence is checked first. A worker that lost its batch still appends its attempts, because they
happened, but moves nothing: whoever holds the batch now decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from broadcaster.alerts import lifecycle
from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import batches, letters, moves, providers, receipts
from broadcaster.fanout.claims import Claim, renew
from broadcaster.fanout.policy import (
    UNKNOWN_TRIES,
    backoff,
    tries_unknown_again,
)
from broadcaster.people import endpoints
from broadcaster.states import DeliveryState
from channels.base import Action, Outcome, Result


class LeaseLost(Exception):  # noqa: N818 - a fact, not a fault
    """The batch belongs to another worker by now: stop sending it."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one outcome means for its delivery."""

    state: str | None
    """Target state; None: stays as it is."""
    again: float | None
    """Seconds until the next try; None: no further try."""
    tried: bool = True
    """A try was made (not for messages that never left)."""

    @property
    def left_unknown(self) -> bool:
        """Whether nothing more is tried at a delivery whose fate nobody knows."""
        return self.state == DeliveryState.UNKNOWN and self.again is None


def judge(outcome: Outcome, channel: str, lane: int, attempts: int) -> _Verdict:
    """Decide a delivery's state and next try; `attempts` counts the tries before this one."""
    attempt = attempts + 1
    wait = backoff(lane, attempt, outcome.retry_after).total_seconds()
    match outcome.result:
        case Result.ACCEPTED:
            return _Verdict(DeliveryState.HANDED_OFF, None)
        case Result.NOT_SENT:
            return _Verdict(None, 1.0, tried=False)
        case Result.TEMPORARY if outcome.action is Action.AWAY:
            return _Verdict(
                None, backoff(lane, 1, outcome.retry_after).total_seconds(), tried=False
            )
        case Result.PERMANENT if outcome.action is not Action.PAUSE:
            return _Verdict(DeliveryState.FAILED, None)
        case Result.TEMPORARY | Result.PERMANENT:
            # With PAUSE our account or payload is at fault, not the address: it is kept for when
            # we are mended. Only the alert's end makes an end of trying.
            return _Verdict(None, wait)
        case Result.UNKNOWN:
            if attempt < UNKNOWN_TRIES and tries_unknown_again(channel, lane):
                return _Verdict(DeliveryState.UNKNOWN, wait)
            return _Verdict(DeliveryState.UNKNOWN, None)
    raise AssertionError(outcome.result)


async def write(
    pool: Pool,
    claim: Claim,
    provider_id: int,
    attempts: dict[int, int],
    outcomes: Sequence[Outcome],
    *,
    last: bool,
) -> None:
    """Commit a group of outcomes; `attempts` holds each endpoint's tries before this one.

    `last` closes the batch. Raises LeaseLost after recording the attempts.
    """
    now = datetime.now(UTC)
    verdicts = {o.ref: judge(o, claim.channel, claim.lane, attempts[o.ref]) for o in outcomes}
    async with transaction(pool) as conn:
        held = await renew(conn, claim.batch_id, claim.fence)
        await _append_attempts(conn, claim, provider_id, attempts, outcomes, verdicts, now)
        if held:
            # The alert's row before the counts, as in expansion: one order, no deadlock.
            if claim.first and any(o.result is Result.ACCEPTED for o in outcomes):
                await lifecycle.first_handoff(conn, now, claim.alert_id)
            await receipts.keep_refs(
                conn, now, claim.channel, provider_id, claim.alert_id,
                {o.ref: o.provider_ids for o in outcomes},
            )  # fmt: skip
            await _move(conn, claim, outcomes, verdicts, now)
            left = [ref for ref, one in verdicts.items() if one.left_unknown]
            await letters.book(conn, now, claim.alert_id, left)
            await _try_again(conn, claim, verdicts)
            await _act(conn, now, claim, provider_id, outcomes)
            if last:
                await conn.execute(
                    "UPDATE batch SET state = 'done' WHERE batch_id = $1", claim.batch_id
                )
    if not held:
        raise LeaseLost(claim.batch_id)


async def _append_attempts(
    conn: Conn,
    claim: Claim,
    provider_id: int,
    attempts: dict[int, int],
    outcomes: Sequence[Outcome],
    verdicts: dict[int, _Verdict],
    now: datetime,
) -> None:
    await conn.copy_records_to_table(
        "attempt",
        records=[
            (
                claim.alert_id,
                o.ref,
                attempts[o.ref] + 1,
                now,
                provider_id,
                claim.fence,
                o.result.value,
                o.reason or None,
            )
            for o in outcomes
            if verdicts[o.ref].tried
        ],
        columns=[
            "alert_id",
            "endpoint_id",
            "attempt",
            "at",
            "provider_id",
            "fence",
            "result",
            "reason",
        ],
    )


async def _move(
    conn: Conn,
    claim: Claim,
    outcomes: Sequence[Outcome],
    verdicts: dict[int, _Verdict],
    now: datetime,
) -> None:
    await moves.move(
        conn,
        now,
        claim.alert_id,
        [
            moves.Move(o.ref, verdicts[o.ref].state, o.reason, int(verdicts[o.ref].tried))
            for o in outcomes
        ],
    )


async def _try_again(conn: Conn, claim: Claim, verdicts: dict[int, _Verdict]) -> None:
    """Put what is to be tried again into batches of their own, a few seconds apart at most."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for endpoint_id, verdict in verdicts.items():
        if verdict.again is not None:
            waiting[round(verdict.again)].append(endpoint_id)
    await batches.add(
        conn,
        claim.alert_id,
        claim.channel,
        ((endpoint_ids, float(seconds)) for seconds, endpoint_ids in waiting.items()),
    )


async def _act(
    conn: Conn, now: datetime, claim: Claim, provider_id: int, outcomes: Sequence[Outcome]
) -> None:
    for action, pause in ((Action.PAUSE, providers.PAUSE), (Action.AWAY, providers.AWAY_PAUSE)):
        cause = next((o for o in outcomes if o.action is action), None)
        if cause is not None:
            await providers.pause(conn, now, provider_id, cause.reason, pause)
            break
    dead = {o.ref: o.reason for o in outcomes if o.action is Action.RETIRE}
    if not dead:
        return
    if await providers.retirement_allowed(conn, now, provider_id, len(dead), len(outcomes)):
        for reason in set(dead.values()):
            gone = [ref for ref, why in dead.items() if why == reason]
            await endpoints.retire(conn, now, gone, reason)
