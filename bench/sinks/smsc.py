"""An SMSC for volume: SMPP 3.4 with receipts, a line for every part.

    python -m bench.sinks.smsc --dir DIR --port P --control P

Any account binds. What a transmitter submits is reported to the receivers of the same account,
each receipt until it is acknowledged, as a carrier does.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import defaultdict, deque
from functools import partial
from typing import Any, Final, cast

from bench.sinks import process
from bench.sinks.faults import Sink
from bench.sinks.record import Answer, Record
from channels.sms_errors import RSYSERR, RTHROTTLED
from channels.sms_link import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
    build,
)

_HEADER: Final = struct.Struct(">IIII")
_BINDS: Final = frozenset({BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER})
_WINDOW: Final = 50
"""Receipts that one bind may have open."""
_RECEIPT_DELAY: Final = 0.2
_TICK: Final = 0.005
_PATIENCE: Final = 10.0
_PAYLOAD: Final = 0x0424
_UDHI: Final = 0x40
_UCS2: Final = 0x08
_REFUSED: Final = {Answer.FAILED: RSYSERR, Answer.THROTTLED: RTHROTTLED}

Receipt = tuple[float, int, bytes, bytes]
"""Due at, message id, who got it, who sent it."""


class Smsc:
    """Takes every message there is, and reports each."""

    def __init__(self, port: int) -> None:
        self.record = Record()
        self.sink = Sink(self.record, partial(_Session, self), port)
        self.due: defaultdict[bytes, deque[Receipt]] = defaultdict(deque)
        self.receivers: defaultdict[bytes, list[_Session]] = defaultdict(list)
        self._reporting: asyncio.TimerHandle | None = None

    def take(self, account: bytes, body: bytes) -> tuple[Answer, int]:
        """Keep a submit_sm; returns what it is answered and the message's id."""
        source, destination, esm_class, validity, coding, text = read_submit(body)
        mark, words = (
            (text[: text[0] + 1], text[text[0] + 1 :]) if esm_class & _UDHI else (b"", text)
        )
        # All parts of one number's message share a reference; what is alike comes after it.
        key = b"%b|%d|%b|%b" % (mark[-2:], coding, validity, words)
        content = self.record.find(key)
        if content is None:
            content = self.record.content(key, _described(mark, coding, validity, words))
        answer = self.sink.faults.verdict()
        number = self.record.add(b"+" + destination, content, answer)
        if answer is Answer.TAKEN:
            due = time.monotonic() + _RECEIPT_DELAY
            self.due[account].append((due, number, destination, source))
            if self._reporting is None:
                self._later()
        return answer, number

    def _later(self) -> None:
        self._reporting = asyncio.get_running_loop().call_later(_TICK, self._report)

    def _report(self) -> None:
        """Send the receipts that are due, as far as the windows allow."""
        now = time.monotonic()
        for account in list(self.due):
            for session in self.receivers[account]:
                session.sweep(now)
                self.refill(account, session, now)
        self._reporting = None
        if any(self.due.values()) or any(s.busy for all_ in self.receivers.values() for s in all_):
            self._later()

    def refill(self, account: bytes, session: _Session, now: float) -> None:
        """Send a receiver what is due, as far as its window allows."""
        waiting = self.due[account]
        some: list[Receipt] = []
        while waiting and waiting[0][0] <= now and session.room > len(some):
            some.append(waiting.popleft())
        if some:
            session.report(some, now)

    def again(self, account: bytes, receipts: list[Receipt]) -> None:
        """Keep what was not acknowledged for later."""
        due = time.monotonic() + 1.0
        self.due[account].extend((due, *receipt[1:]) for receipt in receipts)
        if self._reporting is None:
            self._later()


def read_submit(body: bytes) -> tuple[bytes, bytes, int, bytes, int, bytes]:
    """Return (source, destination, esm_class, validity, data_coding, text) of a submit_sm."""
    at = body.index(0) + 3
    end = body.index(0, at)
    source, at = body[at:end], end + 3
    end = body.index(0, at)
    destination, esm_class, at = body[at:end], body[end + 1], end + 4
    at = body.index(0, at) + 1
    end = body.index(0, at)
    validity, coding, size = body[at:end], body[end + 3], body[end + 5]
    text = body[end + 6 : end + 6 + size]
    at = end + 6 + size
    while not text and at + 4 <= len(body):
        tag, length = struct.unpack_from(">HH", body, at)
        if tag == _PAYLOAD:
            text = body[at + 4 : at + 4 + length]
        at += 4 + length
    return source, destination, esm_class, validity, coding, text


def _described(mark: bytes, coding: int, validity: bytes, words: bytes) -> dict[str, Any]:
    parts, part = (mark[-2], mark[-1]) if mark else (1, 1)
    text = words.decode("utf-16-be" if coding == _UCS2 else "latin-1", "replace")
    return {"text": text, "part": part, "parts": parts, "validity": validity.decode("ascii")}


class _Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, smsc: Smsc) -> None:
        self._smsc = smsc
        self._buffer = bytearray()
        self._account = b""
        self._open: dict[int, tuple[float, Receipt]] = {}
        self._sequence = 0
        self._transport: asyncio.Transport

    @property
    def room(self) -> int:
        """How many more receipts may be open."""
        return _WINDOW - len(self._open)

    @property
    def busy(self) -> bool:
        """Whether a receipt waits for its acknowledgement."""
        return bool(self._open)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a bind."""
        self._transport = cast(asyncio.Transport, transport)
        self._smsc.sink.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep the receipts that were not acknowledged."""
        self._smsc.sink.transports.discard(self._transport)
        receivers = self._smsc.receivers[self._account]
        if self in receivers:
            receivers.remove(self)
        self._again(list(self._open))

    def sweep(self, now: float) -> None:
        """Give up on acknowledgements that do not come."""
        self._again([n for n, (sent, _) in self._open.items() if now - sent > _PATIENCE])

    def _again(self, sequences: list[int]) -> None:
        if sequences:
            lost = [self._open.pop(sequence)[1] for sequence in sequences]
            self._smsc.again(self._account, lost)

    def report(self, receipts: list[Receipt], now: float) -> None:
        """Send receipts."""
        out = []
        for receipt in receipts:
            self._sequence = self._sequence % 0x7FFFFFFE + 1
            self._open[self._sequence] = now, receipt
            out.append(build(DELIVER_SM, 0, self._sequence, _receipt(receipt)))
        self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        """Take whole PDUs; answers leave as one write."""
        buffer = self._buffer
        buffer += data
        at, out, full = 0, list[bytes](), self.room < _WINDOW // 2
        while len(buffer) - at >= 16:
            size, command, status, sequence = _HEADER.unpack_from(buffer, at)
            if size < 16 or len(buffer) - at < size:
                break
            body = bytes(buffer[at + 16 : at + size])
            at += size
            if command == SUBMIT_SM:
                self._submit(sequence, body, out)
            elif command & RESPONSE:
                self._acknowledged(command, status, sequence)
            else:
                self._other(command, sequence, body, out)
        del buffer[:at]
        if out:
            self._transport.write(b"".join(out))
        if full and self.room >= _WINDOW // 2:
            # Not at the next tick: then a window a tick would be all that anybody is told.
            self._smsc.refill(self._account, self, time.monotonic())

    def _submit(self, sequence: int, body: bytes, out: list[bytes]) -> None:
        answer, number = self._smsc.take(self._account, body)
        if answer is Answer.TAKEN:
            reply = build(SUBMIT_SM | RESPONSE, 0, sequence, b"%08x\0" % number)
        else:
            reply = build(SUBMIT_SM | RESPONSE, _REFUSED[answer], sequence)
        if self._smsc.sink.at_once:
            out.append(reply)
        else:
            self._smsc.sink.later(partial(self._write, reply))

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)

    def _acknowledged(self, command: int, status: int, sequence: int) -> None:
        _, receipt = self._open.pop(sequence, (0.0, None))
        if receipt is not None and (status or command == GENERIC_NACK):
            self._smsc.again(self._account, [receipt])

    def _other(self, command: int, sequence: int, body: bytes, out: list[bytes]) -> None:
        if command in _BINDS:
            self._account = body.partition(b"\0")[0]
            if command != BIND_TRANSMITTER:
                self._smsc.receivers[self._account].append(self)
            out.append(build(command | RESPONSE, 0, sequence, b"sink\0"))
        elif command in (ENQUIRE_LINK, UNBIND):
            out.append(build(command | RESPONSE, 0, sequence))
        else:
            out.append(build(GENERIC_NACK, 3, sequence))


def _receipt(receipt: Receipt) -> bytes:
    _, number, recipient, sender = receipt
    stamp = time.strftime("%y%m%d%H%M", time.gmtime()).encode()
    text = b"id:%08x sub:001 dlvrd:001 submit date:%b done date:%b stat:DELIVRD err:000 text:" % (
        number,
        stamp,
        stamp,
    )
    written = b"%08x\0" % number
    return b"".join(
        (
            b"\0\1\1", recipient, b"\0\0\0", sender, b"\0\4\0\0\0\0\0\0\0\0",
            bytes([len(text)]), text,
            struct.pack(">HH", 0x001E, len(written)), written,
            struct.pack(">HHB", 0x0427, 1, 2),
        )
    )  # fmt: skip


def main() -> None:
    """Serve until told to stop."""
    given = process.parser("An SMSC for volume.").parse_args()
    process.run(lambda: Smsc(given.port).sink, given)


if __name__ == "__main__":
    main()
