"""SMPP 3.4 over TCP: PDUs in and out of one connection, and a bind kept up for ever.

Why not a library's session: a submit that was never written, one that was written and lost, one
that timed out and one the SMSC failed must end differently here, and a delivery must be
refusable when it could not be stored. smpp34's client reports all the first four alike and
hides why a bind was refused; aiosmpplib can only answer ESME_ROK. smpp34's codec is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import random
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from channels.sms_errors import RBINDFAIL, RINVCMDID, RINVPASWD, RINVSYSID, ROK, written

log = logging.getLogger(__name__)

RESPONSE: Final = 0x80000000
GENERIC_NACK: Final = 0x80000000
BIND_RECEIVER: Final = 0x00000001
BIND_TRANSMITTER: Final = 0x00000002
SUBMIT_SM: Final = 0x00000004
DELIVER_SM: Final = 0x00000005
UNBIND: Final = 0x00000006
BIND_TRANSCEIVER: Final = 0x00000009
ENQUIRE_LINK: Final = 0x00000015
BINDS: Final = frozenset({BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER})
REFUSED: Final = frozenset({RBINDFAIL, RINVPASWD, RINVSYSID})
"""Answers to a bind that mean our account is at fault, not the network."""

_HEADER: Final = struct.Struct(">IIII")
_LONGEST: Final = 70_000
"""A message_payload holds 64 KiB; anything longer is not SMPP."""
_LAST_SEQUENCE: Final = 0x7FFFFFFF
_SWEEP: Final = 0.1
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
_ENQUIRE_EVERY: Final = 30.0


class Frame(NamedTuple):
    """One PDU."""

    command: int
    status: int
    sequence: int
    wire: bytes

    @property
    def body(self) -> bytes:
        """The octets after the header."""
        return self.wire[_HEADER.size :]


class Silence(enum.StrEnum):
    """Why a request that was written has no answer."""

    NO_ANSWER = "no answer"
    LOST = "connection lost"


Answer = asyncio.Future[Frame | Silence]
Answered = Callable[[Frame | Silence], None]


def build(command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    """Put a PDU together."""
    return _HEADER.pack(_HEADER.size + len(body), command, status, sequence) + body


def c_string(body: bytes) -> str:
    """Return the text before the first NUL."""
    return body.split(b"\0", 1)[0].decode("latin-1")


class Link(asyncio.Protocol):
    """One connection: splits what arrives into PDUs, pairs answers with requests by sequence.

    `window` bounds the requests awaiting an answer; take a place with `room.acquire()` before
    `post`, it is given back when the request ends. `on_request` gets every request but
    enquire_link and unbind, which are answered here.
    """

    def __init__(
        self, on_request: Callable[[Link, Frame], None], window: int, answer_timeout: float
    ) -> None:
        self.room = asyncio.Semaphore(window)
        self.lost = asyncio.Event()
        self._on_request = on_request
        self._answer_timeout = answer_timeout
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, tuple[Answered, float, bool]] = {}
        self._buffer = bytearray()
        self._sequence = 0
        self._transport: asyncio.Transport | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def closed(self) -> bool:
        """True when nothing can be written any more."""
        return self._transport is None or self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start watching for answers that do not come."""
        self._transport = cast(asyncio.Transport, transport)
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    def connection_lost(self, exc: Exception | None) -> None:
        """End every request still waiting: it was written, so its fate is not known."""
        self._transport = None
        if self._sweeper:
            self._sweeper.cancel()
        for sequence in list(self._pending):
            self._finish(sequence, Silence.LOST)
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        """Cut the stream into PDUs."""
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _HEADER.size:
            length, command, status, sequence = _HEADER.unpack_from(self._buffer, at)
            if not _HEADER.size <= length <= _LONGEST:
                log.warning("SMPP peer sent a PDU of %d octets, closing", length)
                self.close()
                return
            if len(self._buffer) - at < length:
                break
            wire = bytes(self._buffer[at : at + length])
            at += length
            self._handle(Frame(command, status, sequence, wire))
        del self._buffer[:at]

    def _handle(self, frame: Frame) -> None:
        if frame.command & RESPONSE:
            self._finish(frame.sequence, frame)
        elif frame.command == ENQUIRE_LINK:
            self.answer(frame)
        elif frame.command == UNBIND:
            self.answer(frame)
            self.close()
        else:
            self._on_request(self, frame)

    def next_sequence(self) -> int:
        """Return the sequence number the next request must carry."""
        self._sequence = self._sequence % _LAST_SEQUENCE + 1
        return self._sequence

    def request(
        self, wire: bytes, sequence: int, answered: Answered, *, roomed: bool = True
    ) -> None:
        """Write a request; `answered` is called with its answer, or the reason there is none."""
        self._pending[sequence] = (answered, self._loop.time() + self._answer_timeout, roomed)
        if self._transport is None:
            self._finish(sequence, Silence.LOST)
        else:
            self._transport.write(wire)

    def post(self, wire: bytes, sequence: int, *, roomed: bool = True) -> Answer:
        """Write a request whose answer comes through a future."""
        answer: Answer = self._loop.create_future()

        def answered(outcome: Frame | Silence) -> None:
            if not answer.done():
                answer.set_result(outcome)

        self.request(wire, sequence, answered, roomed=roomed)
        return answer

    async def call(self, command: int, body: bytes = b"") -> Frame | Silence:
        """Send a request that is no message and wait for its answer."""
        sequence = self.next_sequence()
        return await self.post(build(command, ROK, sequence, body), sequence, roomed=False)

    def answer(self, frame: Frame, status: int = ROK, body: bytes = b"") -> None:
        """Answer a request; dropped when the connection is gone."""
        if self._transport is not None:
            self._transport.write(build(frame.command | RESPONSE, status, frame.sequence, body))

    def answer_all(self, frames: Iterable[Frame], status: int, body: bytes) -> None:
        """Answer requests alike, all in one write: each would cost a call into the kernel."""
        if self._transport is not None:
            answers = [build(f.command | RESPONSE, status, f.sequence, body) for f in frames]
            self._transport.write(b"".join(answers))

    def nack(self, frame: Frame) -> None:
        """Answer a request this side does not serve."""
        if self._transport is not None:
            self._transport.write(build(GENERIC_NACK, RINVCMDID, frame.sequence))

    def pause(self, paused: bool) -> None:
        """Stop or resume reading, so a fast peer waits in its own buffers."""
        if self._transport is None or self._transport.is_closing():
            return
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close after what was written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def _finish(self, sequence: int, outcome: Frame | Silence) -> None:
        entry = self._pending.pop(sequence, None)
        if entry is None:
            return
        answered, _, roomed = entry
        if roomed:
            self.room.release()
        answered(outcome)

    def _sweep(self) -> None:
        now = self._loop.time()
        late = []
        for sequence, (_, deadline, _) in self._pending.items():
            if deadline > now:
                break
            late.append(sequence)
        for sequence in late:
            self._finish(sequence, Silence.NO_ANSWER)
        self._sweeper = self._loop.call_later(_SWEEP, self._sweep)


class NotBoundError(Exception):
    """There is no bind to write to; `status` is the SMSC's refusal, if it refused."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Account:
    """Where an SMSC listens and who we are there."""

    host: str
    port: int
    system_id: str
    password: str

    @classmethod
    def parse(cls, url: str) -> Account:
        """Read `smpp://user:password@host:port`; ValueError says what is missing."""
        parts = urlsplit(url)
        if parts.scheme != "smpp" or not parts.hostname or not parts.username:
            raise ValueError("an SMPP address is smpp://user:password@host:port")
        return cls(
            parts.hostname,
            parts.port or 2775,
            unquote(parts.username),
            unquote(parts.password or ""),
        )

    def bind_body(self) -> bytes:
        """Return the body of a bind request (interface version 3.4, no address range)."""
        names = (self.system_id.encode(), self.password.encode(), b"")
        return b"".join(name + b"\0" for name in names) + b"\x34\0\0\0"


class Bind:
    """Keeps one bind up: connects, binds, asks enquire_link, comes back with growing pauses."""

    def __init__(
        self,
        url: str,
        command: int,
        *,
        on_request: Callable[[Link, Frame], None] = Link.nack,
        window: int,
        answer_timeout: float,
    ) -> None:
        self._account = Account.parse(url)
        self._command = command
        self._on_request = on_request
        self._window = window
        self._answer_timeout = answer_timeout
        self._known = asyncio.Event()
        self._link: Link | None = None
        self._refusal: NotBoundError | None = None
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin keeping the bind up."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="smpp bind")

    async def stop(self) -> None:
        """Unbind, close and stop coming back; safe to call twice."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper

    @property
    def link(self) -> Link | None:
        """The link, if one is bound this moment."""
        return None if self._link is None or self._link.closed else self._link

    async def ready(self, patience: float) -> Link:
        """Return a bound link, waiting a little for one; NotBoundError says why there is none."""
        if not self._known.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._known.wait()
        link = self.link
        if link is None:
            raise self._refusal or NotBoundError("not connected")
        return link

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            began = loop.time()
            try:
                await self._serve()
            except NotBoundError as refusal:
                self._refusal = refusal if refusal.status in REFUSED else None
                if self._refusal:
                    self._known.set()
                log.warning("SMPP bind refused: %s", refusal)
            except OSError as error:
                self._refusal = None
                self._known.clear()
                log.warning("SMSC not reached: %s", str(error) or "timeout")
            if loop.time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _serve(self) -> None:
        """Connect, bind, and stay until the connection is lost."""
        link = await self._connect()
        try:
            await self._introduce(link)
            self._link, self._refusal = link, None
            self._known.set()
            await self._watch(link)
        finally:
            self._known.clear()
            self._link = None
            await self._leave(link)

    async def _connect(self) -> Link:
        loop = asyncio.get_running_loop()
        # Not wait_for(): before Python 3.12 it loses a cancellation that meets what it waits for,
        # and whoever closes this would wait for ever.
        async with asyncio.timeout(self._answer_timeout):
            _, link = await loop.create_connection(
                lambda: Link(self._on_request, self._window, self._answer_timeout),
                self._account.host,
                self._account.port,
            )
        return link

    async def _introduce(self, link: Link) -> None:
        answer = await link.call(self._command, self._account.bind_body())
        if isinstance(answer, Silence):
            raise TimeoutError(f"bind: {answer}")
        if answer.status != ROK:
            raise NotBoundError(written(answer.status), answer.status)

    async def _watch(self, link: Link) -> None:
        while not link.lost.is_set():
            try:
                async with asyncio.timeout(_ENQUIRE_EVERY):
                    await link.lost.wait()
            except TimeoutError:
                if await link.call(ENQUIRE_LINK) is Silence.NO_ANSWER:
                    raise TimeoutError("enquire_link was not answered") from None

    async def _leave(self, link: Link) -> None:
        """Unbind politely when we may, then close."""
        if not link.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await link.call(UNBIND)
        link.close()
