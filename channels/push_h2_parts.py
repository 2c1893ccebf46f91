"""The parts a connection has: frames, the header block of requests, messages on their way."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, Protocol

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD: Final = struct.Struct(">HBBBI")
"""A frame's head: length (16 and 8 bits), type, flags, stream."""
SETTING: Final = struct.Struct(">HI")
HEAD_BYTES: Final = 9
LONGEST_FRAME: Final = 16_384

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

TABLE_SIZE, ENABLE_PUSH, MOST_STREAMS, WINDOW = range(1, 5)
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8

DEFAULT_TABLE: Final = 4096


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Put a frame together."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def _integer(value: int, prefix: int, mark: int) -> bytes:
    """Encode an HPACK integer behind the bits of `mark`."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes((mark | value,))
    encoded = bytearray((mark | most,))
    value -= most
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _text(value: str) -> bytes:
    raw = value.encode("ascii")
    return _integer(len(raw), 7, 0) + raw


class RequestHead:
    """The header block that all requests of a connection share, but for their length.

    The first block after a change empties the server's table and enters every field; the blocks
    after it name them by their number, a byte each.
    """

    def __init__(self, table_size: int) -> None:
        self._table_size = min(table_size, DEFAULT_TABLE)
        self._fields: Sequence[tuple[str, str]] = ()
        self._block = b""
        self._lengths: dict[int, bytes] = {}

    def block(self, fields: Sequence[tuple[str, str]], length: int) -> bytes:
        """Return the block of the next request, whose body has this length."""
        block = self._block if fields is self._fields else self._enter(fields)
        tail = self._lengths.get(length)
        if tail is None:
            # Static name 28, content-length, kept out of the table.
            tail = self._lengths[length] = _integer(28, 4, 0) + _text(str(length))
        return block + tail

    def _enter(self, fields: Sequence[tuple[str, str]]) -> bytes:
        self._fields = fields
        if sum(len(name) + len(value) + 32 for name, value in fields) > self._table_size:
            self._block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
            return _integer(0, 5, 0x20) + self._block
        # The newest entry is number 62, so the first of them has the highest number.
        self._block = b"".join(
            _integer(61 + len(fields) - place, 7, 0x80) for place in range(len(fields))
        )
        emptied = _integer(0, 5, 0x20) + _integer(self._table_size, 5, 0x20)
        return emptied + b"".join(b"\x40" + _text(name) + _text(value) for name, value in fields)


def unpadded(payload: bytes) -> bytes:
    """Return a frame's payload without its padding; raises ProtocolError."""
    if not payload or payload[0] >= len(payload):
        raise ProtocolError("more padding than there is")
    return payload[1 : len(payload) - payload[0]]


class Sink(Protocol):
    """Who posted a message and hears of it; exactly one call for each message."""

    def answered(self, index: int, status: int, body: bytes, retry_after: str | None) -> None:
        """Take the server's answer."""

    def unanswered(self, index: int, reason: str) -> None:
        """Take it that no answer will come: the server may or may not have the message."""

    def refused(self, index: int) -> None:
        """Take it that the server has surely not read the message: it may be posted again."""


class ProtocolError(Exception):
    """The server does not speak HTTP/2 as it must."""


class Exchange:
    """One message on its way."""

    __slots__ = ("began", "body", "index", "retry_after", "sink", "status")

    def __init__(self, sink: Sink, index: int, began: float) -> None:
        self.sink = sink
        self.index = index
        self.began = began
        self.status = 0
        self.retry_after: str | None = None
        self.body = b""
