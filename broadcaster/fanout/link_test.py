"""The link test: a tiny message through the real channel to an endpoint of the operator's own.

It goes out when a provider has had no other traffic for a while, and while its breaker is open:
then it decides whether traffic may return. One worker tests at a time, whoever takes the lease.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from broadcaster.db import AWAY, Conn, Pool, transaction
from channels import health
from channels.base import Batch, Channel, Outcome, Pace, Recipient, Result
from channels.email import EmailContent
from channels.push import PushContent
from channels.sms import SmsContent

log = structlog.get_logger(__name__)

EVERY = 1.0
"""Seconds between two looks whether a test is due."""
_TIMEOUT = 30.0
_LEASE = timedelta(seconds=_TIMEOUT + 5)
_BETWEEN = timedelta(seconds=2)
"""Between two tests of a provider in doubt."""
_ROUTINE = 2


@dataclass(frozen=True, slots=True)
class Link:
    """What is tested: an account's channel, towards one address."""

    provider_id: int
    channel: Channel[Any]
    pace: Pace
    address: str
    every: float
    """Seconds without other traffic after which a test is due."""


_DUE = """
UPDATE provider p SET test_lease_until = now() + $3
WHERE provider_id = $1 AND switch <> 'off'
    AND (test_lease_until IS NULL OR test_lease_until < now())
    AND CASE breaker
        WHEN 'open' THEN coalesce(next_try <= now(), true)
        WHEN 'half_open' THEN coalesce(tested_at < now() - $4::interval, true)
        ELSE coalesce(tested_at < now() - $2::interval, true)
            AND (tested_at IS NULL OR NOT EXISTS (SELECT FROM provider_health h
                WHERE h.provider_id = p.provider_id AND h.slot > now() - $2::interval))
    END
RETURNING provider_id
"""


async def test_if_due(pool: Pool, link: Link) -> list[Outcome]:
    """Test a link when it is due and nobody else does; returns what became of it, if anything."""
    every = timedelta(seconds=link.every)
    async with pool.acquire() as conn:
        due = await conn.fetchval(_DUE, link.provider_id, every, _LEASE, _BETWEEN)
    if due is None:
        return []
    began = time.monotonic()
    outcome = await _send(link)
    if outcome.result is Result.NOT_SENT:
        # Nothing left our house, so nothing was learnt: the lease ends by itself.
        return []
    try:
        async with transaction(pool) as conn:
            await _note(conn, link.provider_id, outcome, time.monotonic() - began)
    except AWAY as error:
        log.warning("link test not written down", error=str(error))
    return [outcome]


async def _send(link: Link) -> Outcome:
    batch: Batch[object] = Batch(
        contents={"test": _content(link.channel.name)},
        recipients=[Recipient(0, link.address, "test", f"linktest{link.provider_id}")],
        expires=datetime.now(UTC) + timedelta(minutes=2),
        urgent=False,
        tag="link-test",
        lane=_ROUTINE,
    )
    deadline = time.monotonic() + _TIMEOUT
    found = Outcome(0, Result.UNKNOWN, "TIMED_OUT")
    try:
        async with asyncio.timeout(_TIMEOUT):
            groups = link.channel.send(batch, lambda: time.monotonic() < deadline, link.pace)
            async with aclosing(groups):  # type: ignore[type-var]
                async for group in groups:
                    found = group[-1] if group else found
    except TimeoutError:
        log.warning("link test timed out", provider_id=link.provider_id)
    return found


def _content(channel: str) -> object:
    """Return the least a channel can carry: a push shows nothing on the phone."""
    at = f"{datetime.now(UTC):%H:%M:%S}Z"
    match channel:
        case "push":
            return PushContent(title="", body="", data={"test": at})
        case "sms":
            return SmsContent(text=f"Link test {at}")
        case _:
            return EmailContent(subject=f"Link test {at}", text=f"Link test {at}\n")


async def _note(conn: Conn, provider_id: int, outcome: Outcome, seconds: float) -> None:
    good = outcome.result is Result.ACCEPTED
    row = await conn.fetchrow(
        "SELECT test_good, breaker_opened FROM provider WHERE provider_id = $1 FOR UPDATE",
        provider_id,
    )
    if row is None:
        return
    await conn.execute(
        "UPDATE provider SET tested_at = now(), test_good = $2, test_reason = nullif($3, ''),"
        " test_seconds = $4, test_lease_until = NULL,"
        " good_tests = CASE WHEN $2 THEN least(good_tests + 1, 100) ELSE 0 END,"
        " next_try = CASE WHEN breaker = 'open' AND NOT $2"
        "   THEN now() + make_interval(secs => $5) ELSE next_try END"
        " WHERE provider_id = $1",
        provider_id,
        good,
        outcome.reason,
        seconds,
        health.wait(max(1, row["breaker_opened"])),
    )
    if row["test_good"] is not good:
        await conn.execute(
            "INSERT INTO provider_event (provider_id, at, what, was, now, detail)"
            " VALUES ($1, now(), 'test', $2, $3, $4)",
            provider_id,
            _said(row["test_good"]),
            _said(good),
            {"reason": outcome.reason},
        )
        write = log.info if good else log.error
        write("link test", provider_id=provider_id, good=good, reason=outcome.reason)


def _said(good: bool | None) -> str:
    return {True: "good", False: "bad", None: "none"}[good]
