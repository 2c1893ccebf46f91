"""SMS over SMPP 3.4: submit_sm through one transmitter bind."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Final

import smpp34

from channels.base import Action, Batch, Limits, Outcome, Pace, Permit, Recipient, Result
from channels.sms_errors import RETRY_AFTER, ROK, judge, written
from channels.sms_link import (
    BIND_TRANSMITTER,
    Answer,
    Bind,
    Frame,
    Link,
    NotBoundError,
    Silence,
    c_string,
)
from channels.sms_text import Encoded, encode

_HEADER: Final = 16
_WORST_FIRST: Final = (Result.PERMANENT, Result.TEMPORARY, Result.UNKNOWN, Result.ACCEPTED)
_URGENT: Final = 1
"""priority_flag of emergencies. 2 and 3 mean "urgent" and "emergency" on some networks only and
are refused (RINVPRTFLG) on others; 1 is above normal everywhere."""
_NUMBER: Final = re.compile(r"\+?[0-9]{3,20}")
"""What fits destination_addr. Its encoder checks nothing: a NUL would shift every later field."""
_BRAND: Final = 5
_LONGEST_BRAND: Final = 11


@dataclass(frozen=True, slots=True)
class SmsContent:
    """What a phone shows."""

    text: str


@dataclass(slots=True)
class _Written:
    """One message on its way: what was written, or the outcome when nothing was."""

    recipient: Recipient
    answers: list[Answer] = field(default_factory=list)
    outcome: Outcome | None = None


def validity_period(expires: datetime) -> str:
    """Return SMPP's absolute time, in UTC, to the second below."""
    return expires.astimezone(UTC).strftime("%y%m%d%H%M%S") + "000+"


def address_type(address: str) -> tuple[int, int]:
    """Return (type of number, numbering plan) of a sender: brand name, short code or number."""
    digits = address.removeprefix("+")
    if not digits.isdigit():
        return _BRAND, 0
    return (3, 0) if len(digits) <= 6 else (1, 1)


class SmsChannel:
    """One account at one SMSC.

    A message is one or more submit_sm, all written before any answer is awaited. Its outcome is
    its worst part's: PERMANENT, then TEMPORARY, then UNKNOWN, and ACCEPTED only when every part
    was. A part surely refused means the handset can never show the text, so the whole message is
    tried again even when another part is in doubt; the concatenation reference is the same on
    every try, so the new parts complete the old. `provider_ids` holds the ids of the parts that
    were accepted, in order, whatever the outcome: their receipts will come.

    Half the window is written while the caller commits the other half, so of one batch never
    more than `window` messages are written and not yet committed. Several batches may be sent at
    once: they share the window, but each may leave that many uncommitted. The pace counts submits
    (parts), as carriers do.
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
        self._source_ton, self._source_npi = address_type(source_addr)
        if self._source_ton == _BRAND and not 1 <= len(source_addr) <= _LONGEST_BRAND:
            raise ValueError(f"a sender name is 1 to {_LONGEST_BRAND} characters")
        self._source = source_addr.removeprefix("+")
        self._patience = connect_patience
        self._group = window // 2
        self._bind = Bind(url, BIND_TRANSMITTER, window=window, answer_timeout=answer_timeout)

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
        """Send a batch; yields groups of at most half the window."""
        encoded = _encode_all(batch.contents)
        patience = self._patience
        on_its_way: list[_Written] = []
        for group in _groups(batch, encoded, self._group):
            written_now = [_Written(recipient) for recipient in group]
            try:
                link = await self._bind.ready(patience)
                await self._write(link, written_now, batch, encoded, permit, pace)
            except NotBoundError as error:
                patience = 0.0
                for message in written_now:
                    message.outcome = _not_bound(message.recipient, error, permit)
            if on_its_way:
                yield [await _settle(message) for message in on_its_way]
            on_its_way = written_now
        if on_its_way:
            yield [await _settle(message) for message in on_its_way]

    async def _write(
        self,
        link: Link,
        messages: list[_Written],
        batch: Batch[SmsContent],
        encoded: Mapping[str, Encoded | None],
        permit: Permit,
        pace: Pace,
    ) -> None:
        """Write a group, asking before every message whether it may still go."""
        validity = validity_period(batch.expires)
        for message in messages:
            ref = message.recipient.ref
            content = encoded[message.recipient.content]
            if content is None or not _NUMBER.fullmatch(message.recipient.address):
                reason = "not a number" if content else "too long for SMS"
                message.outcome = Outcome(ref, Result.PERMANENT, reason)
                continue
            await link.room.acquire()
            await pace.take()
            if not permit():
                message.outcome = Outcome(ref, Result.NOT_SENT, "permit withdrawn")
            elif datetime.now(UTC) >= batch.expires:
                message.outcome = Outcome(ref, Result.NOT_SENT, "expired")
            elif link.closed:
                message.outcome = Outcome(ref, Result.TEMPORARY, Silence.LOST, action=Action.AWAY)
            if message.outcome:
                link.room.release()
                continue
            for number, part in enumerate(content.parts):
                if number:
                    await link.room.acquire()
                    await pace.take()
                message.answers.append(
                    self._submit(link, message.recipient, content, part, validity, batch.urgent)
                )

    def _submit(
        self,
        link: Link,
        recipient: Recipient,
        content: Encoded,
        part: bytes,
        validity: str,
        urgent: bool,
    ) -> Answer:
        sequence = link.next_sequence()
        pdu = smpp34.SubmitSm(
            self._source,
            recipient.address.removeprefix("+"),
            part,
            source_addr_ton=self._source_ton,
            source_addr_npi=self._source_npi,
            dest_addr_ton=1,
            dest_addr_npi=1,
            esm_class=content.esm_class,
            priority_flag=_URGENT if urgent else 0,
            validity_period=validity,
            registered_delivery=1,
            data_coding=content.data_coding,
            sequence_number=sequence,
        )
        return link.post(pdu.encode(), sequence)


def _encode_all(contents: Mapping[str, SmsContent]) -> dict[str, Encoded | None]:
    """Encode every wording once; None for one that no number of parts can carry."""
    encoded: dict[str, Encoded | None] = {}
    for key, content in contents.items():
        try:
            encoded[key] = encode(content.text)
        except ValueError:
            encoded[key] = None
    return encoded


def _count(encoded: Mapping[str, Encoded | None], recipient: Recipient) -> int:
    content = encoded[recipient.content]
    return len(content.parts) if content else 0


def _groups(
    batch: Batch[SmsContent], encoded: Mapping[str, Encoded | None], most: int
) -> Iterator[list[Recipient]]:
    """Cut a batch so that a group's parts fit half the window (or it is one long message)."""
    group: list[Recipient] = []
    parts = 0
    for recipient in batch.recipients:
        more = _count(encoded, recipient)
        if group and (parts + more > most or len(group) == most):
            yield group
            group, parts = [], 0
        group.append(recipient)
        parts += more
    if group:
        yield group


def _not_bound(recipient: Recipient, error: NotBoundError, permit: Permit) -> Outcome:
    if not permit():
        return Outcome(recipient.ref, Result.NOT_SENT, "permit withdrawn")
    if error.status is not None:
        return Outcome(recipient.ref, Result.NOT_SENT, str(error), action=Action.PAUSE)
    return Outcome(recipient.ref, Result.TEMPORARY, str(error), action=Action.AWAY)


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


async def _settle(message: _Written) -> Outcome:
    """Wait for every part's answer and return the message's outcome: its worst part's."""
    if message.outcome:
        return message.outcome
    ref = message.recipient.ref
    parts = [_judge(ref, await answer) for answer in message.answers]
    if len(parts) == 1:
        return parts[0]
    worst = min(parts, key=lambda part: _WORST_FIRST.index(part.result))
    waits = [part.retry_after for part in parts if part.retry_after is not None]
    return Outcome(
        ref,
        worst.result,
        worst.reason,
        provider_ids=tuple(one for part in parts for one in part.provider_ids),
        retry_after=max(waits, default=None),
        action=next((part.action for part in parts if part.action is not Action.NONE), Action.NONE),
    )
