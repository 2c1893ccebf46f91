"""Push to phones through FCM's HTTP v1 API.

One HTTP request per phone is all FCM offers. firebase-admin's own senders reach a tenth of what
one account may send, so it gives the credentials and the message, and push_wire the transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Final

from channels.base import Action, Batch, Limits, Outcome, Pace, Permit, Recipient, Result
from channels.push_address import valid_address
from channels.push_body import (
    PAYLOAD_BYTES,
    Envelope,
    PushContent,
    payload_bytes,
    seconds_left,
)
from channels.push_errors import Verdict, judge, name_in
from channels.push_wire import Wire

__all__ = ["PAYLOAD_BYTES", "PushChannel", "PushContent", "payload_bytes", "valid_address"]

_GROUP_SECONDS: Final = 0.25
_MOST_REFUSED: Final = 3
"""Times one message is refused unread before it is given back."""

_WITHDRAWN: Final = Verdict(Result.NOT_SENT, "WITHDRAWN")
_PAUSED: Final = Verdict(Result.NOT_SENT, "PAUSED")
_EXPIRED: Final = Verdict(Result.NOT_SENT, "EXPIRED")
_REFUSED: Final = Verdict(Result.NOT_SENT, "REFUSED_STREAM")
_CLOSED: Final = Verdict(Result.NOT_SENT, "CLOSED")
_CONNECT_FAILED: Final = Verdict(Result.TEMPORARY, "CONNECT_FAILED", action=Action.AWAY)
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

    @property
    def latency(self) -> float:
        """Seconds from writing a message to FCM's answer, of late."""
        return self._wire.latency

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
        run = _Run(self._wire, batch, permit, pace, token, self.limits.per_second)
        try:
            self._wire.enter(run)
            while not run.done.is_set():
                await _set_within(run.done, _GROUP_SECONDS)
                run.look()
                if group := run.take():
                    yield group
            # The last ones may have come in while the caller was committing the group before.
            if group := run.take():
                yield group
        finally:
            run.end()


class _Run:
    """One batch on its way out: posts where there is room, and judges the answers."""

    def __init__(
        self,
        wire: Wire,
        batch: Batch[PushContent],
        permit: Permit,
        pace: Pace,
        token: str,
        per_second: int,
    ) -> None:
        self.lane = batch.lane
        self.done = asyncio.Event()
        self._wire = wire
        self._batch = batch
        self._permit = permit
        self._pace = pace
        self._token = token
        self._fields = wire.fields(token)
        self._per_second = per_second
        self._ends = batch.expires.timestamp()
        self._seconds_left = -1
        self._envelopes: dict[str, Envelope | Verdict] = {}
        self._left = deque(range(len(batch.recipients)))
        self._open = len(batch.recipients)
        self._refusals: Counter[int] = Counter()
        self._renewed: set[int] = set()
        self._renewals: set[asyncio.Task[None]] = set()
        self._outcomes: list[Outcome] = []
        self._stopped: Verdict | None = None
        self._granted = False
        self._waiting: asyncio.Task[None] | None = None
        if not self._open:
            self.done.set()

    def take(self) -> list[Outcome]:
        """Return the outcomes since the last call."""
        group, self._outcomes = self._outcomes, []
        return group

    def end(self) -> None:
        """Post nothing more."""
        self._left.clear()
        self._wire.leave(self)
        for task in (self._waiting, *self._renewals):
            if task is not None:
                task.cancel()

    def look(self) -> None:
        """See whether what is still waiting for room or for the pace may still go."""
        if self._left and not self._permit():
            self._stop(_WITHDRAWN)

    # what the wire calls

    def fill(self) -> None:
        """Post as long as there is room and the pace allows it."""
        if not self._left or self._waiting is not None:
            return
        self._renew_envelopes()
        recipients = self._batch.recipients
        connection, room = None, 0
        while self._left:
            body = self._body(recipients[self._left[0]])
            if isinstance(body, Verdict):
                self._settle(self._left.popleft(), body)
                continue
            if not room or connection is None or not connection.room(len(body)):
                connection, room = self._wire.place(len(body), self._per_second)
            if connection is None:
                break
            if not self._granted and not self._pace.ready():
                self._waiting = asyncio.create_task(self._wait_for_pace())
                break
            self._granted = False
            if not self._permit():
                self._stop(_WITHDRAWN)
                break
            connection.post(self._fields, body, self, self._left.popleft())
            room -= 1
        # A permission that was not used at once must be asked for anew.
        self._granted = False

    def answered(self, index: int, status: int, body: bytes, retry_after: str | None) -> None:
        """Judge an answer of FCM."""
        if status == 200 and (name := name_in(body)):
            ref = self._batch.recipients[index].ref
            self._note(Outcome(ref, Result.ACCEPTED, provider_ids=(name,)))
            return
        verdict = judge(status, body, retry_after, datetime.now(UTC))
        if verdict.reason == "UNAUTHENTICATED":
            self._renew_token(index, verdict)
            return
        if verdict.throttled:
            self._pace.slow_down(verdict.retry_after)
        self._settle(index, verdict)

    def unanswered(self, index: int, reason: str) -> None:
        """Note that nobody knows."""
        self._settle(index, Verdict(Result.UNKNOWN, reason))

    def refused(self, index: int) -> None:
        """Put a message back that was surely not read."""
        self._refusals[index] += 1
        if self._stopped is not None or self._refusals[index] >= _MOST_REFUSED:
            self._settle(index, self._stopped or _REFUSED)
        else:
            self._left.appendleft(index)

    def cut_off(self) -> None:
        """Give back what could not be posted."""
        self._stop(_CONNECT_FAILED if self._wire.is_open else _CLOSED)

    def _settle(self, index: int, verdict: Verdict) -> None:
        self._note(_outcome(self._batch.recipients[index], verdict))
        if verdict.action is Action.PAUSE:
            self._stop(_PAUSED)

    def _note(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._open -= 1
        if not self._open:
            self.done.set()

    def _stop(self, verdict: Verdict) -> None:
        self._stopped = self._stopped or verdict
        left, self._left = self._left, deque()
        for index in left:
            self._settle(index, verdict)

    def _body(self, recipient: Recipient) -> bytes | Verdict:
        if not valid_address(recipient.address):
            return _BAD_ADDRESS
        envelope = self._envelopes[recipient.content]
        return envelope if isinstance(envelope, Verdict) else envelope.addressed(recipient.address)

    def _renew_envelopes(self) -> None:
        """Encode the message with the time left at this moment.

        FCM counts a ttl from when it takes the message: one fixed at the start of a batch would
        let the last of it appear on phones seconds after the alert's end.
        """
        if int(self._ends - time.time()) == self._seconds_left:
            return
        now = datetime.now(UTC)
        self._seconds_left = seconds_left(self._batch.expires, now)
        over = self._seconds_left < 1
        self._envelopes = {
            key: _EXPIRED if over else _envelope(words, self._batch, now)
            for key, words in self._batch.contents.items()
        }

    async def _wait_for_pace(self) -> None:
        await self._pace.take()
        self._waiting = None
        self._granted = True
        self._wire.refill()

    def _renew_token(self, index: int, refused: Verdict) -> None:
        """Post once more under a new token: refused unread, it may be sent again."""
        if self._stopped is not None or index in self._renewed or not self._wire.is_open:
            self._settle(index, refused)
            return
        self._renewed.add(index)
        task = asyncio.create_task(self._again(index, self._token))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _again(self, index: int, used: str) -> None:
        # Google can revoke a token before its time. Many are refused at once; one asks for a new.
        token = await self._wire.bearer(refused=used)
        if isinstance(token, Verdict):
            self._settle(index, token)
        elif self._stopped is not None:
            self._settle(index, self._stopped)
        else:
            self._token, self._fields = token, self._wire.fields(token)
            self._left.append(index)
            self._wire.refill()


def _envelope(content: PushContent, batch: Batch[PushContent], now: datetime) -> Envelope | Verdict:
    try:
        return Envelope(content, batch, now)
    except ValueError:
        return _BAD_CONTENT


def _outcome(recipient: Recipient, verdict: Verdict) -> Outcome:
    return Outcome(
        recipient.ref,
        verdict.result,
        verdict.reason,
        (verdict.name,) if verdict.name else (),
        verdict.retry_after,
        verdict.action,
    )


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but not longer than this."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
