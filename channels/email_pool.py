"""The kept connections to one mail relay: a few, opened when needed, shared by all batches."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import aiosmtplib

from channels.base import Action, Result
from channels.email_errors import Stage, Verdict, classify
from channels.email_wire import Server, Wire

_MAX_IDLE: Final = 60.0
"""Seconds after which a silent connection is not trusted: firewalls forget it without a word."""
_DOWN: Final = 1.0
"""Seconds for which a failed connect answers for all: 1,000 recipients do not dial 1,000 times."""
_LAST_MAIL: Final = 1.0
"""Seconds a mail under way has when the connections are closed."""


class UnavailableError(Exception):
    """No connection could be made; the verdict says whose fault that is."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class Pool:
    """At most `most` connections; each is replaced after `mails` mails."""

    def __init__(
        self,
        server: Server,
        domain: str,
        timeout: float,
        tls_context: ssl.SSLContext | None,
        most: int,
        mails: int,
    ) -> None:
        self._server = server
        self._domain = domain
        self._timeout = timeout
        self._tls_context = tls_context
        self._most = most
        self._mails = mails
        self._idle: list[Wire] = []
        self._busy: set[Wire] = set()
        self._at_rest: asyncio.Event | None = None
        self._open = 0
        self._dialling = 0
        self._waiting: deque[asyncio.Future[Wire]] = deque()
        self._down: tuple[float, Verdict] | None = None
        self._keeping = True
        self._tasks: set[asyncio.Task[None]] = set()
        self.connects = 0

    async def open(self) -> None:
        """Open every connection that can be opened."""
        self._keeping = True
        wanted = self._most - self._open - self._dialling
        self._dialling += wanted
        await asyncio.gather(*(self._dial() for _ in range(wanted)))

    async def close(self) -> None:
        """Say goodbye on every connection at rest; those in use have a moment for their mail.

        After that they are closed, and what had its body written is in doubt: better said now
        than never.
        """
        self._keeping = False
        idle, self._idle = self._idle, []
        self._open -= len(idle)
        await asyncio.gather(*(wire.quit() for wire in idle))
        if self._busy:
            self._at_rest = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_MAIL):
                    await self._at_rest.wait()
            for wire in tuple(self._busy):
                wire.abort()

    def ready(self) -> Wire | None:
        """Take the connection used last that is still good, if one is at rest."""
        oldest = asyncio.get_running_loop().time() - _MAX_IDLE
        while self._idle:
            wire = self._idle.pop()
            if wire.usable and wire.idle_since > oldest:
                self._busy.add(wire)
                return wire
            self._drop(wire)
        return None

    async def take(self) -> Wire:
        """Wait for a connection; UnavailableError when none is open and none can be opened."""
        wire = self.ready()
        if wire is not None:
            return wire
        loop = asyncio.get_running_loop()
        if self._down is not None and loop.time() < self._down[0]:
            if not (self._open or self._dialling):
                raise UnavailableError(self._down[1])
        elif self._open + self._dialling < self._most:
            self._later()
        turn: asyncio.Future[Wire] = loop.create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.exception():
                self.give(turn.result())
            raise

    def give(self, wire: Wire) -> None:
        """Take a connection back after its mail."""
        self._busy.discard(wire)
        if not self._busy and self._at_rest is not None:
            self._at_rest.set()
        if not wire.usable:
            self._drop(wire)
            self._replace()
        elif not self._keeping or wire.transactions >= self._mails:
            self._open -= 1
            self._do(wire.quit())
            self._replace()
        else:
            self._hand_over(wire)

    def distrust(self) -> None:
        """Close what is at rest: one of them was found dead, and the others are as old."""
        idle, self._idle = self._idle, []
        for wire in idle:
            self._drop(wire)

    def _hand_over(self, wire: Wire) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy.add(wire)
                turn.set_result(wire)
                return
        self._idle.append(wire)

    def _drop(self, wire: Wire) -> None:
        self._open -= 1
        wire.abort()

    def _replace(self) -> None:
        """Open another connection when somebody waits for one."""
        if any(not turn.done() for turn in self._waiting):
            self._later()

    def _later(self) -> None:
        self._dialling += 1
        self._do(self._dial())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self) -> None:
        """Open one connection, and hand it to who waits; a failure answers for all of them.

        While others are open, a relay that refuses one more has told us how many it allows.
        """
        loop = asyncio.get_running_loop()
        try:
            wire = await Wire.connect(self._server, self._domain, self._timeout, self._tls_context)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            self._dialling -= 1
            verdict = _connect_verdict(error)
            self._down = loop.time() + _DOWN, verdict
            if not (self._open or self._dialling):
                while self._waiting:
                    turn = self._waiting.popleft()
                    if not turn.done():
                        turn.set_exception(UnavailableError(verdict))
            return
        self._dialling -= 1
        self._down = None
        self._open += 1
        self.connects += 1
        self._hand_over(wire)


def _connect_verdict(error: Exception) -> Verdict:
    """Say what a failed connect means: away for now, or our account at fault."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return classify(Stage.CONNECT, error.code, error.message)
    if isinstance(error, OSError):
        return Verdict(Result.TEMPORARY, Action.AWAY, "no connection")
    # What is left is a server that cannot do what the settings ask: AUTH or STARTTLS missing.
    return Verdict(Result.TEMPORARY, Action.PAUSE, "no common security")
