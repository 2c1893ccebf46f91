"""E-mail over SMTP: kept connections, a body rendered once, one return path per message."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

import aiosmtplib

from channels.base import Action, Batch, Limits, Outcome, Pace, Permit, Recipient, Result
from channels.email_errors import Stage, Verdict, classify
from channels.email_render import (
    EmailContent,
    header_splicer,
    render_shared,
    return_path,
    sender_address,
    valid_address,
    valid_token,
)
from channels.email_wire import LostError, RefusedError, Server, Wire

__all__ = ["EmailChannel", "EmailContent", "valid_address"]

_LINGER = 0.005
"""Seconds the first finished mail waits for the others: one commit for eight, not eight."""
_MAX_IDLE = 60.0
"""Seconds after which a silent connection is not trusted: firewalls forget it without a word."""
_DOWN = 1.0
"""Seconds for which a failed connect answers for all: 1,000 recipients do not dial 1,000 times."""


class _UnavailableError(Exception):
    """No connection could be made; the verdict says whose fault that is."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


@dataclass(slots=True)
class _Run:
    """One call of send: what its mails share."""

    shared: dict[str, bytes]
    permit: Permit
    pace: Pace
    halted: str = ""
    """Why nothing more of this batch is sent: a pause that one of its mails met."""


class EmailChannel:
    """One account at one mail relay."""

    name: ClassVar[str] = "email"
    limits: ClassVar[Limits] = Limits(per_second=1_000, batch=500, in_doubt=8)

    def __init__(
        self,
        url: str,
        sender: str,
        domain: str,
        base_url: str,
        connections: int = limits.in_doubt,
        *,
        timeout: float = 30.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """Check the settings; nothing is opened yet.

        `sender` is shown as the author; `domain` receives bounces, replies and unsubscribe mails
        (`bounce+…@`, `reply+…@`, `unsubscribe+…@`); `base_url` is the public web address.
        """
        if not 1 <= connections <= self.limits.in_doubt:
            raise ValueError(f"mail connections must be 1 to {self.limits.in_doubt}")
        self._server = Server.from_url(url)
        self._sender = sender_address(sender)
        self._domain = domain
        self._splice = header_splicer(domain, base_url)
        self._connections = connections
        self._timeout = timeout
        self._tls_context = tls_context
        self._idle: list[Wire] = []
        self._slots = asyncio.Semaphore(connections)
        self._down: tuple[float, Verdict] | None = None
        self._keeping = True
        self.connects = 0

    async def open(self) -> None:
        """Open every connection that can be opened."""
        self._keeping = True
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections - len(self._idle)):
                group.create_task(self._prepare())

    async def _prepare(self) -> None:
        try:
            self._idle.append(await self._dial())
        except _UnavailableError:
            return

    async def close(self) -> None:
        """Say goodbye on every connection at rest; those in use end with their mail."""
        self._keeping = False
        idle, self._idle = self._idle, []
        await asyncio.gather(*(wire.quit() for wire in idle))

    async def send(
        self, batch: Batch[EmailContent], permit: Permit, pace: Pace
    ) -> AsyncIterator[list[Outcome]]:
        """Send a batch in groups of at most `connections` mails.

        A mail is started only when fewer than `connections` are under way or not yet taken back
        by the caller, so that is also the most a crash can leave in doubt.
        """
        run = _Run(self._render(batch), permit, pace)
        waiting = deque(batch.recipients)
        pending: set[asyncio.Task[Outcome]] = set()
        try:
            while waiting or pending:
                while waiting and len(pending) < self._connections:
                    pending.add(asyncio.create_task(self._deliver(waiting.popleft(), run)))
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if pending:
                    more, pending = await asyncio.wait(pending, timeout=_LINGER)
                    done |= more
                yield [task.result() for task in done]
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def _render(self, batch: Batch[EmailContent]) -> dict[str, bytes]:
        now = datetime.now(UTC)
        return {
            key: render_shared(
                content, language=key, sender=self._sender, now=now, expires=batch.expires
            )
            for key, content in batch.contents.items()
        }

    async def _deliver(self, recipient: Recipient, run: _Run) -> Outcome:
        flaw = self._flaw(recipient, run)
        if flaw is not None:
            run.halted = run.halted or (flaw.reason if flaw.action is Action.PAUSE else "")
            return flaw
        async with self._slots:
            if run.halted:
                return Outcome(recipient.ref, Result.NOT_SENT, run.halted)
            if not run.permit():
                return Outcome(recipient.ref, Result.NOT_SENT, "permit withdrawn")
            try:
                verdict = await self._transfer(recipient, run)
            except _UnavailableError as away:
                verdict = away.verdict
        if verdict.action is Action.PAUSE:
            run.halted = run.halted or f"paused: {verdict.reason}"
        ids = (recipient.token,) if verdict.result is Result.ACCEPTED else ()
        return Outcome(recipient.ref, verdict.result, verdict.reason, ids, action=verdict.action)

    def _flaw(self, recipient: Recipient, run: _Run) -> Outcome | None:
        """Find what must not reach a header or a command line."""
        if not valid_address(recipient.address):
            return Outcome(recipient.ref, Result.PERMANENT, "invalid address", action=Action.RETIRE)
        if not valid_token(recipient.token):
            return Outcome(recipient.ref, Result.NOT_SENT, "invalid token", action=Action.PAUSE)
        if recipient.content not in run.shared:
            return Outcome(recipient.ref, Result.NOT_SENT, "no content", action=Action.PAUSE)
        return None

    async def _transfer(self, recipient: Recipient, run: _Run) -> Verdict:
        """Hand over one mail.

        A kept connection may have died unnoticed; as long as no body was written, a new one is
        tried once before the mail counts as failed.
        """
        headers = self._splice(recipient.address, recipient.token)
        message = headers + run.shared[recipient.content]
        mail_from = return_path(recipient.token, self._domain)
        kept = self._kept()
        while True:
            wire = kept or await self._dial()
            await run.pace.take(1, recipient.address.rpartition("@")[2].lower())
            if not run.permit():
                self._release(wire)
                return Verdict(Result.NOT_SENT, Action.NONE, "permit withdrawn")
            try:
                await wire.transact(mail_from, recipient.address, message)
            except RefusedError as refusal:
                return classify(refusal.stage, *refusal.reply)
            except LostError as lost:
                if lost.body_written:
                    return Verdict(Result.UNKNOWN, Action.NONE, "no answer")
                if kept is None:
                    return Verdict(Result.TEMPORARY, Action.NONE, "connection lost")
                kept = None
            else:
                return Verdict(Result.ACCEPTED, Action.NONE)
            finally:
                self._release(wire)

    def _kept(self) -> Wire | None:
        """Take the connection used last that is still good."""
        oldest = asyncio.get_running_loop().time() - _MAX_IDLE
        while self._idle:
            wire = self._idle.pop()
            if wire.usable and wire.idle_since > oldest:
                return wire
            wire.abort()
        return None

    def _release(self, wire: Wire) -> None:
        if wire.usable and self._keeping:
            self._idle.append(wire)
        else:
            wire.abort()

    async def _dial(self) -> Wire:
        """Open a connection, or repeat the verdict of one that failed a moment ago."""
        clock = asyncio.get_running_loop().time
        if self._down is not None and clock() < self._down[0]:
            raise _UnavailableError(self._down[1])
        try:
            wire = await Wire.connect(self._server, self._domain, self._timeout, self._tls_context)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            verdict = _connect_verdict(error)
            self._down = clock() + _DOWN, verdict
            raise _UnavailableError(verdict) from None
        self._down = None
        self.connects += 1
        return wire


def _connect_verdict(error: Exception) -> Verdict:
    """Say what a failed connect means: away for now, or our account at fault."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return classify(Stage.CONNECT, error.code, error.message)
    if isinstance(error, OSError):
        return Verdict(Result.TEMPORARY, Action.AWAY, "no connection")
    # What is left is a server that cannot do what the settings ask: AUTH or STARTTLS missing.
    return Verdict(Result.TEMPORARY, Action.PAUSE, "no common security")
