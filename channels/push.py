"""Push to phones through FCM's HTTP v1 API.

One HTTP request per phone is all FCM offers. firebase-admin's own senders reach a tenth of what
one account may send, so it gives the credentials and the message, and push_wire the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Final

from channels.base import Action, Batch, Limits, Outcome, Pace, Permit, Recipient, Result
from channels.push_body import (
    PAYLOAD_BYTES,
    Envelope,
    PushContent,
    payload_bytes,
    seconds_left,
    valid_address,
)
from channels.push_errors import Verdict
from channels.push_wire import Wire

__all__ = ["PAYLOAD_BYTES", "PushChannel", "PushContent", "payload_bytes", "valid_address"]

_GROUP_SECONDS: Final = 0.25

_WITHDRAWN: Final = Verdict(Result.NOT_SENT, "WITHDRAWN")
_PAUSED: Final = Verdict(Result.NOT_SENT, "PAUSED")
_EXPIRED: Final = Verdict(Result.NOT_SENT, "EXPIRED")
_BAD_ADDRESS: Final = Verdict(Result.PERMANENT, "INVALID_ADDRESS")
_BAD_CONTENT: Final = Verdict(Result.PERMANENT, "INVALID_ARGUMENT", action=Action.PAUSE)


class PushChannel:
    """One Firebase project."""

    name: ClassVar[str] = "push"
    limits: ClassVar[Limits] = Limits(per_second=10_000, batch=1000, in_doubt=1000)

    def __init__(
        self,
        url: str,
        credentials_path: Path,
        ca_path: Path | None = None,
        concurrency: int = 500,
        timeout: timedelta = timedelta(seconds=10),
        connect_timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        """Read the credentials and the CA; ValueError or OSError when they are no good."""
        self._wire = Wire(url, credentials_path, ca_path, concurrency, timeout, connect_timeout)

    async def open(self) -> None:
        """Prepare the connections and fetch the first token, if Google is there to give one."""
        self._wire.open()
        await self._wire.bearer()

    async def close(self) -> None:
        """Close every connection."""
        await self._wire.close()

    async def send(
        self, batch: Batch[PushContent], permit: Permit, pace: Pace
    ) -> AsyncIterator[list[Outcome]]:
        """Send a batch; yield what is known every quarter of a second."""
        if len(batch.recipients) > self.limits.batch:
            raise ValueError(f"a batch has at most {self.limits.batch} recipients")
        if not self._wire.is_open:
            raise RuntimeError("the channel is not open")
        now = datetime.now(UTC)
        token = _EXPIRED if seconds_left(batch.expires, now) < 1 else await self._wire.bearer()
        if isinstance(token, Verdict):
            yield [_outcome(recipient, token) for recipient in batch.recipients]
            return
        run = _Run(self._wire, batch, permit, pace, token)
        workers = min(self._wire.wanted(self.limits.per_second), len(batch.recipients))
        task = asyncio.create_task(run.all(workers))
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_GROUP_SECONDS)
                if group := run.take():
                    yield group
            task.result()
            # The last ones may have come in while the caller was committing the group before.
            if group := run.take():
                yield group
        finally:
            task.cancel()


class _Run:
    """One batch on its way out."""

    def __init__(
        self,
        wire: Wire,
        batch: Batch[PushContent],
        permit: Permit,
        pace: Pace,
        token: str,
    ) -> None:
        self._wire = wire
        self._batch = batch
        self._permit = permit
        self._pace = pace
        self._token = token
        self._seconds_left = -1
        self._envelopes: dict[str, Envelope | Verdict] = {}
        self._queue = iter(batch.recipients)
        self._outcomes: list[Outcome] = []
        self._paused = False

    def take(self) -> list[Outcome]:
        """Return the outcomes since the last call."""
        group, self._outcomes = self._outcomes, []
        return group

    async def all(self, workers: int) -> None:
        """Send the whole batch, so many at a time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        for recipient in self._queue:
            verdict = await self._one(recipient)
            self._paused = self._paused or verdict.action is Action.PAUSE
            self._outcomes.append(_outcome(recipient, verdict))

    async def _one(self, recipient: Recipient) -> Verdict:
        if not valid_address(recipient.address):
            return _BAD_ADDRESS
        async with self._wire.slots:
            if not self._pace.ready():
                await self._pace.take()
            if not self._permit():
                return _WITHDRAWN
            if self._paused:
                return _PAUSED
            envelope = self._envelope(recipient.content)
            if isinstance(envelope, Verdict):
                return envelope
            return await self._try(envelope.addressed(recipient.address))

    def _envelope(self, content: str) -> Envelope | Verdict:
        """Return the encoded message with the time left at this moment.

        FCM counts a ttl from when it takes the message: one fixed at the start of a batch would
        let the last of it appear on phones seconds after the alert's end.
        """
        now = datetime.now(UTC)
        left = seconds_left(self._batch.expires, now)
        if left < 1:
            return _EXPIRED
        if left != self._seconds_left:
            self._seconds_left = left
            self._envelopes = {
                key: _envelope(words, self._batch, now)
                for key, words in self._batch.contents.items()
            }
        return self._envelopes[content]

    async def _try(self, body: bytes) -> Verdict:
        used = self._token
        verdict = await self._wire.post(body, used)
        if verdict.throttled:
            self._pace.slow_down(verdict.retry_after)
        if verdict.reason != "UNAUTHENTICATED":
            return verdict
        # Refused unread, so it may be sent again: Google can revoke a token before its time.
        renewed = await self._wire.bearer(refused=used)
        if isinstance(renewed, Verdict):
            return renewed
        self._token = renewed
        await self._pace.take()
        return await self._wire.post(body, renewed) if self._permit() else _WITHDRAWN


def _envelope(content: PushContent, batch: Batch[PushContent], now: datetime) -> Envelope | Verdict:
    try:
        return Envelope(content, batch, now)
    except ValueError:
        return _BAD_CONTENT


def _outcome(recipient: Recipient, verdict: Verdict) -> Outcome:
    return Outcome(
        ref=recipient.ref,
        result=verdict.result,
        reason=verdict.reason,
        provider_ids=(verdict.name,) if verdict.name else (),
        retry_after=verdict.retry_after,
        action=verdict.action,
    )
