"""E-mail over SMTP: kept connections, a body rendered once, one return path per message."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar, Final

from channels.base import (
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
from channels.email_errors import Verdict, classify, throttled
from channels.email_pool import Pool, UnavailableError
from channels.email_render import (
    EmailContent,
    header_splicer,
    render_shared,
    return_path,
    sender_address,
    valid_address,
    valid_token,
)
from channels.email_wire import End, Lost, Refused, Server, Wire
from channels.window import Flight, Window

__all__ = ["EmailChannel", "EmailContent", "valid_address"]

_AHEAD: Final = 3
"""Mails not yet committed for each connection: one under way, two whose outcomes wait."""
_CONNECTIONS: Final = 16
_MAILS: Final = 500


@dataclass(slots=True)
class _Run:
    """One call of send: what its mails share."""

    shared: Mapping[str, bytes]
    flight: Flight
    permit: Permit
    pace: Pace
    held_up: dict[str, deque[Recipient]] = field(default_factory=dict)
    """Recipients by domain, where the domain's limit is reached."""
    under_way: set[Wire] = field(default_factory=set)
    again: set[asyncio.Task[None]] = field(default_factory=set)
    halted: str = ""
    """Why nothing more of this batch is sent: a pause that one of its mails met."""


class EmailChannel:
    """One account at one mail relay."""

    name: ClassVar[str] = "email"
    limits: ClassVar[Limits] = Limits(per_second=1_000, batch=500, in_doubt=50)

    def __init__(
        self,
        url: str,
        sender: str,
        domain: str,
        base_url: str,
        connections: int = _CONNECTIONS,
        *,
        mails_per_connection: int = _MAILS,
        timeout: float = 30.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """Check the settings; nothing is opened yet.

        `sender` is shown as the author; `domain` receives bounces, replies and unsubscribe mails
        (`bounce+…@`, `reply+…@`, `unsubscribe+…@`); `base_url` is the public web address. A
        connection is replaced after `mails_per_connection` mails, as many relays demand.
        """
        if not 1 <= connections <= self.limits.in_doubt:
            raise ValueError(f"mail connections must be 1 to {self.limits.in_doubt}")
        if mails_per_connection < 1:
            raise ValueError("a mail connection carries at least one mail")
        self._sender = sender_address(sender)
        self._domain = domain
        self._splice = header_splicer(domain, base_url)
        self._window = Window(min(connections * _AHEAD, self.limits.in_doubt))
        self._pool = Pool(
            Server.from_url(url), domain, timeout, tls_context, connections, mails_per_connection
        )

    @property
    def connects(self) -> int:
        """Connections opened so far."""
        return self._pool.connects

    @property
    def latency(self) -> float:
        """Seconds from the start of a mail to its answer, of late."""
        return self._window.latency

    async def open(self) -> None:
        """Open every connection that can be opened."""
        await self._pool.open()

    async def close(self) -> None:
        """Say goodbye on every connection; a mail under way has a second to be answered."""
        await self._pool.close()

    async def send(
        self, batch: Batch[EmailContent], permit: Permit, pace: Pace
    ) -> AsyncIterator[list[Outcome]]:
        """Send a batch; mails go on while the caller commits a group.

        Never more than three mails a connection, and `limits.in_doubt`, are started and not yet
        committed by the caller, whatever the number of batches.
        """
        run = _Run(
            self._render(batch),
            Flight(self._window, len(batch.recipients), batch.lane),
            permit,
            pace,
        )
        writer = asyncio.create_task(self._write_all(run, batch.recipients))
        try:
            async with aclosing(run.flight.groups(writer)) as groups:
                async for group in groups:
                    yield group
        finally:
            for task in tuple(run.again):
                task.cancel()
            for wire in tuple(run.under_way):
                wire.withdraw()

    def _render(self, batch: Batch[EmailContent]) -> dict[str, bytes]:
        now = datetime.now(UTC)
        return {
            key: render_shared(
                content,
                # A key is the language with the number of the wording behind it.
                language=key.rstrip("0123456789"),
                sender=self._sender,
                now=now,
                expires=batch.expires,
            )
            for key, content in batch.contents.items()
        }

    async def _write_all(self, run: _Run, recipients: Sequence[Recipient]) -> None:
        """Start every mail; those whose domain is at its limit go on beside the others."""
        async with asyncio.TaskGroup() as feeders:
            for recipient in recipients:
                flaw = _flaw(recipient, run)
                if flaw is not None:
                    run.flight.settled(flaw)
                    continue
                domain = _domain(recipient)
                if domain in run.held_up:
                    run.held_up[domain].append(recipient)
                    continue
                wire = await self._wire(run, recipient)
                if wire is None:
                    continue
                if run.pace.ready(1, domain):
                    self._start(run, recipient, wire)
                else:
                    self._step_back(run, wire)
                    run.held_up[domain] = deque([recipient])
                    feeders.create_task(self._feed(run, domain))

    async def _feed(self, run: _Run, domain: str) -> None:
        """Start the mails to one domain as its limit allows.

        Nobody's connection or place is held while it does not, so no other batch waits for this.
        """
        waiting = run.held_up[domain]
        while waiting:
            recipient, wire = waiting.popleft(), None
            while wire is None:
                if not run.halted:
                    await self._permission(run, domain)
                wire = self._wire_now(run)
                if wire is None:
                    # There was no room for it at once, and a permission does not keep.
                    wire = await self._wire(run, recipient)
                    if wire is None:
                        break
                    if not run.pace.ready(1, domain):
                        self._step_back(run, wire)
                        wire = None
            if wire is not None:
                self._start(run, recipient, wire)
        del run.held_up[domain]

    async def _permission(self, run: _Run, domain: str) -> None:
        if not await permission(run.pace, run.permit, 1, domain):
            run.halted = run.halted or WITHDRAWN

    def _wire_now(self, run: _Run) -> Wire | None:
        """Take a place and a connection if both are free this moment, else neither."""
        if not run.flight.board_now(1):
            return None
        wire = self._pool.ready()
        if wire is None:
            run.flight.leave(1)
        return wire

    def _step_back(self, run: _Run, wire: Wire) -> None:
        self._pool.give(wire)
        run.flight.leave(1)

    async def _wire(self, run: _Run, recipient: Recipient) -> Wire | None:
        """Wait for a place and a connection; None when the mail is settled without."""
        await run.flight.board(1)
        refusal = _refusal(recipient, run)
        if refusal is None:
            try:
                return await self._pool.take()
            except UnavailableError as away:
                refusal = self._outcome(run, recipient, away.verdict)
        run.flight.settled(refusal, 1)
        return None

    def _start(self, run: _Run, recipient: Recipient, wire: Wire, *, again: bool = False) -> None:
        refusal = _refusal(recipient, run)
        if refusal is not None:
            self._pool.give(wire)
            run.flight.settled(refusal, 1)
            return
        run.under_way.add(wire)
        wire.start(
            return_path(recipient.token, self._domain),
            recipient.address,
            self._splice(recipient.address, recipient.token) + run.shared[recipient.content],
            partial(self._ended, run, recipient, again, time.monotonic()),
        )

    def _ended(
        self, run: _Run, recipient: Recipient, again: bool, began: float, wire: Wire, end: End
    ) -> None:
        run.under_way.discard(wire)
        run.flight.answered_after(time.monotonic() - began)
        self._pool.give(wire)
        if isinstance(end, Refused):
            verdict = classify(end.stage, *end.reply)
        elif not isinstance(end, Lost):
            verdict = Verdict(Result.ACCEPTED, Action.NONE)
        elif end.body_written:
            verdict = Verdict(Result.UNKNOWN, Action.NONE, "no answer")
        elif not again:
            self._try_again(run, recipient)
            return
        else:
            verdict = Verdict(Result.TEMPORARY, Action.NONE, "connection lost")
        run.flight.settled(self._outcome(run, recipient, verdict), 1)

    def _try_again(self, run: _Run, recipient: Recipient) -> None:
        """Use a new connection: the kept one had died unnoticed, before any body was written."""
        self._pool.distrust()
        task = asyncio.create_task(self._again(run, recipient))
        run.again.add(task)
        task.add_done_callback(run.again.discard)

    async def _again(self, run: _Run, recipient: Recipient) -> None:
        try:
            wire = await self._pool.take()
        except UnavailableError as away:
            run.flight.settled(self._outcome(run, recipient, away.verdict), 1)
            return
        await self._permission(run, _domain(recipient))
        self._start(run, recipient, wire, again=True)

    def _outcome(self, run: _Run, recipient: Recipient, verdict: Verdict) -> Outcome:
        if verdict.action is Action.PAUSE:
            run.halted = run.halted or f"paused: {verdict.reason}"
        if throttled(verdict.reason):
            run.pace.slow_down(None)
        ids = (recipient.token,) if verdict.result is Result.ACCEPTED else ()
        return Outcome(recipient.ref, verdict.result, verdict.reason, ids, action=verdict.action)


def _domain(recipient: Recipient) -> str:
    return recipient.address.rpartition("@")[2].lower()


def _flaw(recipient: Recipient, run: _Run) -> Outcome | None:
    """Find what must not reach a header or a command line."""
    if not valid_address(recipient.address):
        return Outcome(recipient.ref, Result.PERMANENT, "invalid address", action=Action.RETIRE)
    flaw = "" if valid_token(recipient.token) else "invalid token"
    if recipient.content not in run.shared:
        flaw = "no content"
    if not flaw:
        return None
    run.halted = run.halted or flaw
    return Outcome(recipient.ref, Result.NOT_SENT, flaw, action=Action.PAUSE)


def _refusal(recipient: Recipient, run: _Run) -> Outcome | None:
    """Say why a mail may not leave now."""
    if run.halted:
        return Outcome(recipient.ref, Result.NOT_SENT, run.halted)
    if not run.permit():
        return Outcome(recipient.ref, Result.NOT_SENT, WITHDRAWN)
    return None
