"""Writing down what became of each try: one transaction per group of outcomes.

The fence is checked first. A worker that lost its batch still appends its attempts, because they
happened, but moves nothing: whoever holds the batch now decides.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from broadcaster.alerts import lifecycle
from broadcaster.db import Conn, Pool, transaction
from broadcaster.fanout import batches, claims, handed_off, letters, moves, providers, receipts
from broadcaster.fanout.claims import Claim
from broadcaster.fanout.policy import POLICIES, UNKNOWN_TRIES, backoff, tries_unknown_again
from broadcaster.people import endpoints
from broadcaster.states import DeliveryState
from channels.base import Action, Outcome, Result

WORKER_LOST = "WORKER_LOST"
"""Reason of a delivery whose worker died with it in hand: it may have been sent."""
_WITHDRAWN = 1.0
"""Seconds until what never left is tried again: its permit or its connections have to come back."""


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


def judge(
    outcome: Outcome,
    channel: str,
    lane: int,
    attempts: int,
    left: float = math.inf,
    *,
    elsewhere: bool = False,
    held_before: bool = False,
) -> _Verdict:
    """Decide a delivery's state and next try; `attempts` counts the tries before this one.

    `left` is how many seconds the alert still lasts: a try that would begin after its end is not
    planned, the delivery is expired. `elsewhere`: another provider of the channel takes at once
    what never left here. `held_before`: a worker died with the delivery in hand, so what we do not
    know to be sent or dead may have been sent by that one.
    """
    verdict = _judge(outcome, channel, lane, attempts, elsewhere=elsewhere)
    if held_before and verdict.state is None:
        verdict = replace(verdict, state=DeliveryState.UNKNOWN)
    if verdict.again is None or verdict.again < left:
        return verdict
    state = DeliveryState.UNKNOWN if verdict.state is not None else DeliveryState.EXPIRED
    return _Verdict(state, None, verdict.tried)


def _judge(
    outcome: Outcome, channel: str, lane: int, attempts: int, *, elsewhere: bool
) -> _Verdict:
    attempt = attempts + 1
    match outcome.result:
        case Result.ACCEPTED:
            return _Verdict(DeliveryState.HANDED_OFF, None)
        case Result.NOT_SENT:
            return _Verdict(None, 0.0 if elsewhere else _WITHDRAWN, tried=False)
        case Result.TEMPORARY if outcome.action is Action.AWAY:
            away = backoff(lane, 1, outcome.retry_after).total_seconds()
            return _Verdict(None, 0.0 if elsewhere else away, tried=False)
        case Result.PERMANENT if outcome.action is not Action.PAUSE:
            return _Verdict(DeliveryState.FAILED, None)
        case Result.UNKNOWN if attempt >= UNKNOWN_TRIES or not tries_unknown_again(channel, lane):
            return _Verdict(DeliveryState.UNKNOWN, None)
    # With PAUSE our account or payload is at fault, not the address: it is kept for when we are
    # mended. Only the alert's end makes an end of trying.
    wait = backoff(lane, attempt, outcome.retry_after).total_seconds()
    return _Verdict(DeliveryState.UNKNOWN if outcome.result is Result.UNKNOWN else None, wait)


async def write(
    pool: Pool,
    claim: Claim,
    provider_id: int,
    attempts: Mapping[int, int],
    outcomes: Sequence[Outcome],
    *,
    last: bool,
    in_doubt: Collection[int] = (),
    elsewhere: bool = False,
    repeated: bool = False,
) -> None:
    """Commit a group of outcomes; `attempts` holds each endpoint's tries before this one.

    `last` closes the batch. `in_doubt` are endpoints whose earlier try is unknown, `elsewhere` as
    for judge(). `repeated`: the same call failed and may have been committed all the same; whatever
    it did is not done twice. Raises LeaseLost after recording the attempts.
    """
    if repeated:
        async with pool.acquire() as conn:
            if await claims.has_written(conn, claim):
                claim.written += 1
                return
    if repeated or claim.first or in_doubt or any(o.result is not _ACCEPTED for o in outcomes):
        held = await _write(
            pool, claim, provider_id, attempts, outcomes,
            last=last, elsewhere=elsewhere, repeated=repeated,
        )  # fmt: skip
    else:
        held = await _write_accepted(pool, claim, provider_id, attempts, outcomes, last=last)
    if not held:
        raise LeaseLost(claim.batch_id)
    claim.written += 1


_ACCEPTED = Result.ACCEPTED


async def _write_accepted(
    pool: Pool,
    claim: Claim,
    provider_id: int,
    attempts: Mapping[int, int],
    outcomes: Sequence[Outcome],
    *,
    last: bool,
) -> bool:
    refs = None
    if POLICIES[claim.channel].keeps_refs:
        refs = receipts.Refs.of({o.ref: o.provider_ids for o in outcomes})
    ids = [o.ref for o in outcomes]
    async with pool.acquire() as conn:
        return await handed_off.write(
            conn, claim, provider_id, ids, [attempts[ref] for ref in ids], refs, last=last
        )


async def _write(
    pool: Pool,
    claim: Claim,
    provider_id: int,
    attempts: Mapping[int, int],
    outcomes: Sequence[Outcome],
    *,
    last: bool,
    elsewhere: bool,
    repeated: bool,
) -> bool:
    left = claim.seconds_left()
    verdicts = {
        o.ref: judge(
            o, claim.channel, claim.lane, attempts[o.ref], left,
            elsewhere=elsewhere, held_before=claim.taken_over,
        )
        for o in outcomes
    }  # fmt: skip
    async with transaction(pool) as conn:
        # A pause written by a worker whose clock is hours ahead would last for hours.
        now: datetime = await conn.fetchval("SELECT now()")
        held = await claims.hold(conn, claim, last=last)
        tried = [o for o in outcomes if verdicts[o.ref].tried]
        await _append_attempts(conn, claim, provider_id, attempts, tried, repeated=repeated)
        if held:
            # The alert's row before the counts, as in expansion: one order, no deadlock.
            if claim.first and any(o.result is Result.ACCEPTED for o in outcomes):
                await lifecycle.first_handoff(conn, now, claim.alert_id)
            await _keep_refs(conn, now, claim, provider_id, outcomes)
            await _move(conn, claim, outcomes, verdicts, now)
            unknown = [ref for ref, one in verdicts.items() if one.left_unknown]
            await letters.book(conn, now, claim.alert_id, unknown)
            await _try_again(conn, claim, verdicts)
            await _act(conn, now, claim, provider_id, outcomes)
    if held and any(o.result is Result.ACCEPTED for o in outcomes):
        claim.first = False
    return held


async def _append_attempts(
    conn: Conn,
    claim: Claim,
    provider_id: int,
    attempts: Mapping[int, int],
    outcomes: Sequence[Outcome],
    *,
    repeated: bool,
) -> None:
    if not outcomes:
        return
    await conn.execute(
        "INSERT INTO attempt (alert_id, endpoint_id, attempt, at, provider_id, fence, result,"
        "  reason)"
        " SELECT $1, v.endpoint_id, v.tries + 1, now(), $2, $3, v.result, nullif(v.reason, '')"
        " FROM unnest($4::bigint[], $5::smallint[], $6::text[], $7::text[])"
        "  AS v(endpoint_id, tries, result, reason)"
        " WHERE NOT $8 OR NOT EXISTS (SELECT FROM attempt a WHERE a.alert_id = $1"
        "  AND a.endpoint_id = v.endpoint_id AND a.fence = $3 AND a.attempt = v.tries + 1)",
        claim.alert_id,
        provider_id,
        claim.fence,
        [o.ref for o in outcomes],
        [attempts[o.ref] for o in outcomes],
        [o.result.value for o in outcomes],
        [o.reason for o in outcomes],
        repeated,
    )


async def _keep_refs(
    conn: Conn, now: datetime, claim: Claim, provider_id: int, outcomes: Sequence[Outcome]
) -> None:
    await receipts.keep_refs(
        conn, now, claim.channel, provider_id, claim.alert_id,
        {o.ref: o.provider_ids for o in outcomes},
    )  # fmt: skip


async def _move(
    conn: Conn,
    claim: Claim,
    outcomes: Sequence[Outcome],
    verdicts: Mapping[int, _Verdict],
    now: datetime,
) -> None:
    await moves.move(
        conn,
        now,
        claim.alert_id,
        [
            moves.Move(o.ref, one.state, _reason(o, one), int(one.tried))
            for o in outcomes
            for one in (verdicts[o.ref],)
        ],
    )


def _reason(outcome: Outcome, verdict: _Verdict) -> str:
    doubted = verdict.state == DeliveryState.UNKNOWN and not verdict.tried
    return WORKER_LOST if doubted else outcome.reason


async def _try_again(conn: Conn, claim: Claim, verdicts: Mapping[int, _Verdict]) -> None:
    """Put what is to be tried again into batches of their own, a few seconds apart at most."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for endpoint_id, verdict in verdicts.items():
        if verdict.again is not None:
            waiting[math.ceil(verdict.again)].append(endpoint_id)
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
    batch = providers.Seen(len(dead), len(outcomes))
    before = await providers.lately_answered(conn, now, provider_id)
    # Its own outcomes are counted a moment later, its dead letters are there already.
    lately = before._replace(outcomes=before.outcomes + len(outcomes))
    if await providers.retirement_allowed(conn, now, provider_id, batch, lately):
        for reason in set(dead.values()):
            gone = [ref for ref, why in dead.items() if why == reason]
            await endpoints.retire(conn, now, gone, reason)
