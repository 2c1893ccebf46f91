"""SMS over SMPP 3.4: submit_sm through one transmitter bind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

from channels.base import (
    UNFINISHED,
    WITHDRAWN,
    Action,
    Batch,
    Limits,
    Outcome,
    Pace,
    Permit,
    Recipient,
    Result,
    permission,
)
from channels.sms_errors import RETRY_AFTER, ROK, judge, written
from channels.sms_flavours import Reading
from channels.sms_link import (
    BIND_TRANSMITTER,
    Bind,
    Frame,
    Link,
    NotBoundError,
    Silence,
    c_string,
)
from channels.sms_submit import BRAND, SmsContent, Submit, address_type, destination, submits
from channels.window import Flight, Window

__all__ = ["SmsChannel", "SmsContent"]

_HEADER: Final = 16
_WORST_FIRST: Final = (Result.PERMANENT, Result.TEMPORARY, Result.UNKNOWN, Result.ACCEPTED)
_LONGEST_BRAND: Final = 11
FINISH: Final = 3.0
"""Seconds in which a message that is begun is finished although its permit has ended."""


@dataclass(slots=True)
class _Run:
    """One call of send: what its messages share."""

    flight: Flight
    permit: Permit
    pace: Pace
    expires: float
    patience: float
    halted: str = ""
    """Why nothing more of this batch is sent: a pause that one of its parts met."""

    def over(self) -> bool:
        """Say whether the alert's end has come."""
        return time.time() >= self.expires

    def may_go_on(self) -> bool:
        """Say whether messages may still be begun."""
        return self.permit() and not self.over()


class SmsChannel:
    """One account at one SMSC.

    A message is one or more submit_sm, all written before any answer is awaited. Its outcome is
    its worst part's: PERMANENT, then TEMPORARY, then UNKNOWN, and ACCEPTED only when every part
    was. A part surely refused means the handset can never show the text, so the whole message is
    tried again even when another part is in doubt; the concatenation reference is the same on
    every try, so the new parts complete the old. `provider_ids` holds one id for each part, in
    order and whatever the outcome, because receipts will come; "" for a part not accepted.

    The parts of a message are written together: their permissions are taken before the first of
    them. Where the limit is too small for that, the rest of a message that is begun may still go
    for FINISH seconds after the permit ended; then it counts as refused, for it shows nowhere.

    Never more than `window` parts are written and not yet committed by the caller, whatever the
    number of batches sent at once; while one group is committed, the next is written. The pace
    counts submits (parts), as carriers do.
    """

    name: ClassVar[str] = "sms"
    limits: ClassVar[Limits] = Limits(per_second=1000, batch=1000, in_doubt=50)

    def __init__(
        self,
        url: str,
        source_addr: str,
        window: int = 50,
        *,
        answer_timeout: float = 10.0,
        connect_patience: float = 5.0,
    ) -> None:
        if not 2 <= window <= self.limits.in_doubt:
            raise ValueError(f"an SMPP window is 2 to {self.limits.in_doubt}")
        brand = address_type(source_addr)[0] == BRAND
        if brand and not (source_addr.isascii() and 1 <= len(source_addr) <= _LONGEST_BRAND):
            raise ValueError(f"a sender name is 1 to {_LONGEST_BRAND} characters")
        Reading.of(url)  # a mistake there must show before anything is sent
        self._source = source_addr
        self._patience = connect_patience
        self._window = Window(window)
        self._bind = Bind(url, BIND_TRANSMITTER, window=window, answer_timeout=answer_timeout)

    @property
    def latency(self) -> float:
        """Seconds from writing a part to its answer, of late."""
        return self._window.latency

    async def open(self) -> None:
        """Begin to bind, and give it a moment."""
        self._bind.start()
        try:
            await self._bind.ready(min(2.0, self._patience))
        except NotBoundError:
            return

    async def close(self) -> None:
        """Unbind."""
        await self._bind.stop()

    async def send(
        self, batch: Batch[SmsContent], permit: Permit, pace: Pace
    ) -> AsyncIterator[list[Outcome]]:
        """Send a batch; groups are half the window or less, so that the other half is written."""
        ready = submits(batch.contents, self._source, batch.expires, urgent=batch.urgent)
        flight = Flight(self._window, len(batch.recipients), batch.lane)
        run = _Run(flight, permit, pace, batch.expires.timestamp(), self._patience)
        writer = asyncio.create_task(self._write_all(run, batch.recipients, ready))
        async with aclosing(flight.groups(writer)) as groups:
            async for group in groups:
                yield group

    async def _write_all(
        self, run: _Run, recipients: Sequence[Recipient], ready: Mapping[str, Submit | None]
    ) -> None:
        for recipient in recipients:
            submit = ready[recipient.content]
            number = destination(recipient.address)
            if submit is None or number is None:
                reason = "not a number" if submit else "too long for SMS"
                run.flight.settled(Outcome(recipient.ref, Result.PERMANENT, reason))
                continue
            places = min(len(submit.tails), self._window.most)
            await run.flight.board(places)
            try:
                link = self._bind.link or await self._bind.ready(
                    run.patience if run.permit() else 0
                )
            except NotBoundError as error:
                run.patience = 0.0  # one wait for the bind is enough for a batch
                run.flight.settled(_not_bound(recipient.ref, error, run.permit), places)
                continue
            refusal = await _write(run, link, recipient.ref, places, submit, number)
            if refusal:
                run.flight.settled(refusal, places)


async def _write(
    run: _Run, link: Link, ref: int, places: int, submit: Submit, number: str
) -> Outcome | None:
    """Write a message's parts; an outcome when it may not go and nothing was written."""
    parts = len(submit.tails)
    message = _Message(run, ref, places, parts)
    together = min(places, run.pace.together) if parts > 1 else 1
    permit = run.may_go_on
    for part in range(parts):
        if part % together == 0:
            count = min(together, parts - part)
            for _ in range(count):
                await link.room.acquire()
            if not await permission(run.pace, permit, count):
                if part:
                    _give_room(link, count)
                    message.unfinished(part)
                    return None
                run.halted = run.halted or ("expired" if run.over() else WITHDRAWN)
            if not part:
                if refusal := _refusal(run, link, ref):
                    _give_room(link, count)
                    return refusal
                permit = _Begun(run).may_go_on
        sequence = link.next_sequence()
        message.written_at = time.monotonic()
        link.request(submit.wire(number, part, sequence), sequence, partial(message.answered, part))
    return None


def _give_room(link: Link, count: int) -> None:
    for _ in range(count):
        link.room.release()


class _Begun:
    """The permit of a message that is begun: half of it would never be shown."""

    __slots__ = ("_ended", "_run")

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._ended = 0.0

    def may_go_on(self) -> bool:
        """Say whether its other parts may be waited for."""
        if self._run.may_go_on():
            self._ended = 0.0
            return True
        self._ended = self._ended or time.monotonic()
        return time.monotonic() < self._ended + FINISH


def _refusal(run: _Run, link: Link, ref: int) -> Outcome | None:
    if run.halted:
        return Outcome(ref, Result.NOT_SENT, run.halted)
    if not run.permit():
        return Outcome(ref, Result.NOT_SENT, WITHDRAWN)
    if run.over():
        return Outcome(ref, Result.NOT_SENT, "expired")
    if link.closed:
        return Outcome(ref, Result.TEMPORARY, Silence.LOST, action=Action.AWAY)
    return None


class _Message:
    """One message on its way: gathers its parts' answers into its outcome."""

    __slots__ = ("_missing", "_parts", "_places", "_ref", "_run", "written_at")

    def __init__(self, run: _Run, ref: int, places: int, parts: int) -> None:
        self._run = run
        self._ref = ref
        self._places = places
        self._parts: list[Outcome | None] = [None] * parts
        self._missing = parts
        self.written_at = 0.0

    def unfinished(self, first: int) -> None:
        """Take it that the parts from this one on are never written."""
        for part in range(first, len(self._parts)):
            self._note(part, Outcome(self._ref, Result.TEMPORARY, UNFINISHED))

    def answered(self, part: int, answer: Frame | Silence) -> None:
        """Note one part's answer; the last one settles the message."""
        outcome = _judge(self._ref, answer)
        self._run.flight.answered_after(time.monotonic() - self.written_at)
        if outcome.retry_after is not None:
            self._run.pace.slow_down(outcome.retry_after)
        if outcome.action is Action.PAUSE:
            self._run.halted = f"paused: {outcome.reason}"
        self._note(part, outcome)

    def _note(self, part: int, outcome: Outcome) -> None:
        self._parts[part] = outcome
        self._missing -= 1
        if not self._missing:
            whole = outcome if len(self._parts) == 1 else _worst(self._ref, self._parts)
            self._run.flight.settled(whole, self._places)


def _not_bound(ref: int, error: NotBoundError, permit: Permit) -> Outcome:
    if not permit():
        return Outcome(ref, Result.NOT_SENT, WITHDRAWN)
    if error.status is not None:
        return Outcome(ref, Result.NOT_SENT, str(error), action=Action.PAUSE)
    return Outcome(ref, Result.TEMPORARY, str(error), action=Action.AWAY)


def _judge(ref: int, answer: Frame | Silence) -> Outcome:
    """Return one part's outcome."""
    if isinstance(answer, Silence):
        return Outcome(ref, Result.UNKNOWN, answer)
    if answer.status == ROK:
        return Outcome(ref, Result.ACCEPTED, provider_ids=(c_string(answer.wire[_HEADER:]),))
    result, action = judge(answer.status)
    return Outcome(
        ref,
        result,
        written(answer.status),
        retry_after=RETRY_AFTER.get(answer.status),
        action=action,
    )


def _worst(ref: int, answered: Sequence[Outcome | None]) -> Outcome:
    """Return a message's outcome from its parts': the worst one's, with what all of them told."""
    parts = [part for part in answered if part is not None]
    worst = min(parts, key=lambda part: _WORST_FIRST.index(part.result))
    waits = [part.retry_after for part in parts if part.retry_after is not None]
    ids = tuple(part.provider_ids[0] if part.provider_ids else "" for part in parts)
    return Outcome(
        ref,
        worst.result,
        worst.reason,
        provider_ids=ids if any(ids) else (),
        retry_after=max(waits, default=None),
        action=next((part.action for part in parts if part.action is not Action.NONE), Action.NONE),
    )
